/*
 * `steward cluster ...`: who belongs to the manager's cluster, and who leads.
 *
 * Every step is decided by what the leader says of the cluster, so a step whose answer was lost is
 * looked at and, if need be, asked for again.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows of an answer: the manager's totals, its gateway's counters, its journal, then the nodes. */
enum { ROW_JOURNAL = 2, ROW_NODES = 3 };

/* milliseconds: between two looks at the cluster; and how long one answer may take */
#define LOOK_PAUSE_MS   200
#define LOOK_TIMEOUT_MS 10000

/* milliseconds: how long a change may take by default: catching up copies everything */
#define CHANGE_TIMEOUT_MS (UINT64_C(3600) * 1000)

/* ---- looking --------------------------------------------------------------------------------- */

static uint64_t number_of(const stw_rows *rows, size_t row, const char *key)
{
    stw_value value;
    bool found = stw_rows_find(rows, row, key, &value) && value.type == STW_VALUE_NUMBER;
    return found ? value.number : 0;
}

static bool text_is(const stw_rows *rows, size_t row, const char *key, const char *text)
{
    stw_value value;
    return stw_rows_find(rows, row, key, &value) && value.type == STW_VALUE_TEXT &&
           strcmp(value.data, text) == 0;
}

/* The row of a node; 0: it is no member. */
static size_t row_of(const stw_rows *rows, uint64_t node)
{
    for (size_t row = ROW_NODES; row < stw_rows_count(rows); row++) {
        if (number_of(rows, row, "node") == node) {
            return row;
        }
    }
    return 0;
}

static int look(struct cli *cli, stw_rows **rows)
{
    int code = stw_manage(cli->client, "cluster", NULL, LOOK_TIMEOUT_MS, rows);
    if (code == STW_OK && stw_rows_count(*rows) <= ROW_JOURNAL) {
        stw_rows_free(rows);
        code = STW_EPROTO;
    }
    return code;
}

/* ---- status ---------------------------------------------------------------------------------- */

static void status_json(const stw_rows *rows)
{
    struct line *line = line_begin();
    line_row(line, rows, ROW_JOURNAL);
    line_array(line, "nodes");
    for (size_t row = ROW_NODES; row < stw_rows_count(rows); row++) {
        struct line *node = line_begin();
        line_row(node, rows, row);
        line_append(line, "nodes", &node);
    }
    line_print(&line, stdout);
}

static void status_print(const stw_rows *rows)
{
    struct column columns[] = {
        {"node", "NODE", -4},       {"role", "ROLE", 5},          {"leader", "LEADS", -5},
        {"alive", "ALIVE", -5},     {"match", "MATCH", -8},       {"lag", "LAG", -5},
        {"address", "ADDRESS", 10}, {"endpoint", "ENDPOINT", 10}, {NULL, NULL, 0}};
    if (text_is(rows, ROW_JOURNAL, "journal", "memory")) {
        printf("no cluster: everything is kept in the memory of one process\n");
        return;
    }
    printf("node %" PRIu64 " leads in term %" PRIu64 "; applied %" PRIu64 " of %" PRIu64
           " entries; state %016" PRIx64 " after entry %" PRIu64 "\n\n",
           number_of(rows, ROW_JOURNAL, "leader"), number_of(rows, ROW_JOURNAL, "term"),
           number_of(rows, ROW_JOURNAL, "applied"), number_of(rows, ROW_JOURNAL, "last"),
           number_of(rows, ROW_JOURNAL, "hash"), number_of(rows, ROW_JOURNAL, "hash_index"));
    rows_rest(rows, ROW_NODES, columns);
}

int cmd_cluster_status(struct cli *cli)
{
    stw_rows *rows = NULL;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = look(cli, &rows);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (given(cli, OPTION_JSON)) {
        status_json(rows);
    } else {
        status_print(rows);
    }
    stw_rows_free(&rows);
    return EXIT_DONE;
}

/* ---- changing -------------------------------------------------------------------------------- */

struct change {
    uint64_t node;
    uint64_t leader; /* at first; 0: not known yet */
    uint64_t due_ms; /* on the monotonic clock */
    uint64_t lag;    /* printed last */
};

/* What the next step of a change is: 0 (done), STW_EAGAIN (look again), or why it failed. */
typedef int change_step(struct cli *cli, const stw_rows *rows, struct change *change);

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Asks for an action. Whether it was taken shows in the next look, so what passes is no failure:
 * a change under way, a leader that has just lost its place. */
static int ask(struct cli *cli, const char *action, uint64_t node)
{
    char argument[24] = "";
    stw_rows *rows = NULL;
    if (node != 0) {
        snprintf(argument, sizeof(argument), "%" PRIu64, node);
    }
    int code = stw_manage(cli->client, action, argument, LOOK_TIMEOUT_MS, &rows);
    stw_rows_free(&rows);
    bool passes = code == STW_OK || code == STW_EBUSY || code == STW_EREDIRECT ||
                  code == STW_ETIMEOUT || code == STW_ESESSION;
    return passes ? STW_EAGAIN : code;
}

/* Looks and steps until it is done, failed, or too late. */
static int change_run(struct cli *cli, struct change *change, change_step *step)
{
    int code = STW_EAGAIN;
    while (code == STW_EAGAIN) {
        stw_rows *rows = NULL;
        code = look(cli, &rows);
        if (code == STW_OK) {
            code = step(cli, rows, change);
            stw_rows_free(&rows);
        } else if (code == STW_ETIMEOUT || code == STW_ESESSION) {
            code = STW_EAGAIN;
        }
        if (code == STW_EAGAIN && now_ms() >= change->due_ms) {
            return fail_code(cli, STW_ETIMEOUT, "it is not done yet; it may still be: see status");
        }
        if (code == STW_EAGAIN) {
            nanosleep(&(struct timespec){.tv_nsec = LOOK_PAUSE_MS * 1000000L}, NULL);
        }
    }
    return code == STW_OK ? acted(cli, code) : finish(cli, code);
}

static bool node_parse(struct cli *cli, uint64_t *node)
{
    char *end;
    const char *text = cli->operands[0];
    errno = 0;
    *node = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '1' || text[0] > '9') {
        usage(cli, "'%s' is no id of a node: a number from 1 on", text);
        return false;
    }
    return true;
}

static int change_begin(struct cli *cli, change_step *step)
{
    struct change change = {0};
    if (cli->operands_count > 0 && !node_parse(cli, &change.node)) {
        return EXIT_USAGE;
    }
    change.due_ms = now_ms() + option_number(cli, OPTION_TIMEOUT, CHANGE_TIMEOUT_MS);
    int code = client_open(cli);
    return code != EXIT_DONE ? code : change_run(cli, &change, step);
}

/* ---- add ------------------------------------------------------------------------------------- */

static void progress(const struct cli *cli, struct change *change, uint64_t lag)
{
    if (lag != change->lag && !given(cli, OPTION_JSON)) {
        fprintf(stderr, "node %" PRIu64 ": %" PRIu64 " entries behind\n", change->node, lag);
    }
    change->lag = lag;
}

static int add_step(struct cli *cli, const stw_rows *rows, struct change *change)
{
    size_t row = row_of(rows, change->node);
    if (row == 0) {
        return ask(cli, "cluster.add", change->node);
    }
    if (text_is(rows, row, "role", "voter")) {
        return STW_OK;
    }
    progress(cli, change, number_of(rows, row, "lag"));
    /* It has to be heard of first: to wait for a node that does not run is no way to catch up. */
    return number_of(rows, row, "alive") != 0 ? ask(cli, "cluster.promote", change->node)
                                              : STW_EAGAIN;
}

int cmd_cluster_add(struct cli *cli)
{
    return change_begin(cli, add_step);
}

/* ---- remove ---------------------------------------------------------------------------------- */

static int remove_step(struct cli *cli, const stw_rows *rows, struct change *change)
{
    bool cluster = !text_is(rows, ROW_JOURNAL, "journal", "memory");
    if (cluster && row_of(rows, change->node) == 0) {
        return STW_OK;
    }
    if (cluster && number_of(rows, ROW_JOURNAL, "leader") == change->node) {
        return ask(cli, "cluster.transfer", 0);
    }
    return ask(cli, "cluster.remove", change->node);
}

int cmd_cluster_remove(struct cli *cli)
{
    return change_begin(cli, remove_step);
}

/* ---- transfer -------------------------------------------------------------------------------- */

static int transfer_step(struct cli *cli, const stw_rows *rows, struct change *change)
{
    uint64_t leader = number_of(rows, ROW_JOURNAL, "leader");
    if (change->leader == 0) {
        change->leader = leader;
    }
    if (change->node != 0 ? leader == change->node : leader != change->leader) {
        return STW_OK;
    }
    return ask(cli, "cluster.transfer", change->node);
}

int cmd_cluster_transfer(struct cli *cli)
{
    return change_begin(cli, transfer_step);
}
