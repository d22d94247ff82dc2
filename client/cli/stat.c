/*
 * `steward stat`: the manager's totals, its gateway's counters, the process, what it keeps. Each
 * name is explained in docs/statistics.md.
 */
#include "client/cli/cli.h"

/* milliseconds: how long the answer may take; as long as a client waits for a manager at first */
#define ANSWER_MS 30000

/* Rows of the answer: both of STAT, then the process and the journal; nodes follow. */
enum { ROW_TOTALS, ROW_GATEWAY, ROW_PROCESS, ROW_JOURNAL, ROWS };

/* Totals and gateway's counters in one object, as their names differ; the rest within. */
static void stat_json(const stw_rows *rows)
{
    static const char *const INNER[] = {[ROW_PROCESS] = "process", [ROW_JOURNAL] = "journal"};
    struct line *line = line_begin();
    line_row(line, rows, ROW_TOTALS);
    line_row(line, rows, ROW_GATEWAY);
    for (size_t row = ROW_PROCESS; row < ROWS; row++) {
        struct line *inner = line_begin();
        line_row(inner, rows, row);
        line_object(line, INNER[row], &inner);
    }
    line_print(&line, stdout);
}

int cmd_stat(struct cli *cli)
{
    stw_rows *rows = NULL;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_manage(cli->client, "stat", NULL, ANSWER_MS, &rows);
    if (code == STW_OK && stw_rows_count(rows) < ROWS) {
        stw_rows_free(&rows);
        code = STW_EPROTO;
    }
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (given(cli, OPTION_JSON)) {
        stat_json(rows);
    }
    for (size_t row = 0; row < ROWS && !given(cli, OPTION_JSON); row++) {
        printf("%s", row > 0 ? "\n" : "");
        row_fields(cli, rows, row);
    }
    stw_rows_free(&rows);
    return EXIT_DONE;
}
