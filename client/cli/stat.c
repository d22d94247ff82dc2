/*
 * `steward stat`: the manager's totals, and its gateway's counters.
 */
#include "client/cli/cli.h"

int cmd_stat(struct cli *cli)
{
    stw_rows *rows = NULL;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_stat(cli->client, &rows);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (given(cli, OPTION_JSON)) {
        rows_merged(rows);
    } else {
        for (size_t row = 0; row < stw_rows_count(rows); row++) {
            printf("%s", row > 0 ? "\n" : "");
            row_fields(cli, rows, row);
        }
    }
    stw_rows_free(&rows);
    return EXIT_DONE;
}
