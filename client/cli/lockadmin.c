/*
 * `steward lock list|show|break`: what an operator does with locks and semaphores.
 */
#include "client/cli/pages.h"

#include <string.h>

static int fetch(const struct cli *cli, const struct page *page, stw_rows **rows)
{
    const char *prefix = cli->operands_count > 0 ? cli->operands[0] : "";
    return stw_lock_list(cli->client, page->after, prefix, page->max, rows);
}

int cmd_lock_list(struct cli *cli)
{
    struct column columns[] = {{"name", "LOCK", 12},       {"kind", "KIND", 9},
                               {"permits", "PERMITS", -7}, {"holders", "HOLDERS", -7},
                               {"waiters", "WAITERS", -7}, {"acquired", "ACQUIRED", -8},
                               {"broken", "BROKEN", -6},   {NULL, NULL, 0}};
    return pages_show(
        cli,
        &(struct listing){.columns = columns, .key = "name", .most = UINT64_MAX, .fetch = fetch});
}

static bool row_is(const stw_rows *rows, size_t row, const char *role)
{
    stw_value value;
    return stw_rows_find(rows, row, "role", &value) && strcmp(value.data, role) == 0;
}

/* One object: the lock's fields, and arrays of those who hold it and who wait. */
static void lock_json(const stw_rows *rows)
{
    struct line *line = line_begin();
    stw_value value;
    for (size_t row = 0; row < stw_rows_count(rows); row++) {
        struct line *into = row == 0 ? line : line_begin();
        for (size_t field = 0; stw_rows_value(rows, row, field, &value); field++) {
            line_value(into, &value);
        }
        if (row > 0) {
            line_append(line, row_is(rows, row, "holder") ? "held_by" : "waited_for_by", &into);
        }
    }
    line_array(line, "held_by");
    line_array(line, "waited_for_by");
    line_print(&line, stdout);
}

static void party_print(const stw_rows *rows, size_t row)
{
    static const char *const keys[] = {"role", "session", "token",  "since_ms",
                                       "host", "pid",     "program"};
    char text[32];
    stw_value value;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        bool found = stw_rows_find(rows, row, keys[i], &value);
        bool number = found && value.type == STW_VALUE_NUMBER;
        if (number && strcmp(keys[i], "since_ms") == 0) {
            duration_text(value.number, text, sizeof(text));
        } else if (number) {
            snprintf(text, sizeof(text), "%llu", (unsigned long long)value.number);
        }
        printf("%-*s", i + 1 < sizeof(keys) / sizeof(keys[0]) ? 12 : 0,
               !found   ? "-"
               : number ? text
                        : value.data);
    }
    printf("\n");
}

int cmd_lock_show(struct cli *cli)
{
    stw_rows *rows = NULL;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_lock_show(cli->client, cli->operands[0], &rows);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (given(cli, OPTION_JSON)) {
        lock_json(rows);
    } else {
        row_fields(cli, rows, 0);
        if (stw_rows_count(rows) > 1) {
            printf("\n%-12s%-12s%-12s%-12s%-12s%-12s%s\n", "ROLE", "SESSION", "TOKEN", "SINCE",
                   "HOST", "PID", "PROGRAM");
        }
        for (size_t row = 1; row < stw_rows_count(rows); row++) {
            party_print(rows, row);
        }
    }
    stw_rows_free(&rows);
    return EXIT_DONE;
}

int cmd_lock_break(struct cli *cli)
{
    int code = client_open(cli);
    return code != EXIT_DONE ? code : acted(cli, stw_lock_break(cli->client, cli->operands[0]));
}
