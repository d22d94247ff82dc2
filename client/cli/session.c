/*
 * `steward session list|show|end`: who is connected, and what they hold.
 */
#include "client/cli/pages.h"

#include <errno.h>
#include <stdlib.h>

static int fetch(const struct cli *cli, const struct page *page, stw_rows **rows)
{
    return stw_session_list(cli->client, page->after_id, page->max, rows);
}

int cmd_session_list(struct cli *cli)
{
    struct column columns[] = {{"session", "SESSION", -8},
                               {"host", "HOST", 10},
                               {"pid", "PID", -7},
                               {"program", "PROGRAM", 12},
                               {"age_ms", "AGE", -10},
                               {"leases", "LEASES", -6},
                               {"locks", "LOCKS", -5},
                               {"waiting", "WAITING", -7},
                               {"consumers", "CONSUMERS", -9},
                               {NULL, NULL, 0}};
    return pages_show(
        cli, &(struct listing){
                 .columns = columns, .key = "session", .most = UINT64_MAX, .fetch = fetch});
}

static bool session_id(struct cli *cli, uint64_t *id)
{
    char *end;
    errno = 0;
    *id = strtoull(cli->operands[0], &end, 10);
    if (errno != 0 || *end != '\0' || cli->operands[0][0] < '0' || cli->operands[0][0] > '9') {
        usage(cli, "'%s' is no session id", cli->operands[0]);
        return false;
    }
    return true;
}

int cmd_session_show(struct cli *cli)
{
    stw_rows *rows = NULL;
    uint64_t id;
    if (!session_id(cli, &id)) {
        return EXIT_USAGE;
    }
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_session_show(cli->client, id, &rows);
    if (code == STW_OK) {
        row_fields(cli, rows, 0);
        stw_rows_free(&rows);
    }
    return finish(cli, code);
}

int cmd_session_end(struct cli *cli)
{
    uint64_t id;
    if (!session_id(cli, &id)) {
        return EXIT_USAGE;
    }
    int code = client_open(cli);
    return code != EXIT_DONE ? code : acted(cli, stw_session_end(cli->client, id));
}
