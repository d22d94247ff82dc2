/*
 * `steward log-level [LEVEL]`: how much the manager logs, until it is told otherwise.
 */
#include "client/cli/cli.h"

/* milliseconds: how long the answer may take */
#define ANSWER_MS 10000

int cmd_log_level(struct cli *cli)
{
    const char *wanted = cli->operands_count > 0 ? cli->operands[0] : "";
    stw_rows *rows = NULL;
    stw_value level;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_manage(cli->client, "log-level", wanted, ANSWER_MS, &rows);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (!stw_rows_find(rows, stw_rows_count(rows) - 1, "level", &level) ||
        level.type != STW_VALUE_TEXT) {
        stw_rows_free(&rows);
        return fail_code(cli, STW_ESESSION, "whether it was done is not known: ask again");
    }
    struct line *line = line_begin();
    line_text(line, "level", level.data);
    line_show(cli, &line);
    stw_rows_free(&rows);
    return EXIT_DONE;
}
