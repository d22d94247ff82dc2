/* `steward queue ...`: what an operator does with queues. */
#include "client/cli/pages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PEEK_ROWS 10

/* ---- looking --------------------------------------------------------------------------------- */

static int list_fetch(const struct cli *cli, const struct page *page, stw_rows **rows)
{
    const char *prefix = cli->operands_count > 0 ? cli->operands[0] : "";
    return stw_queue_list(cli->client, page->after, prefix, page->max, rows);
}

static int peek_fetch(const struct cli *cli, const struct page *page, stw_rows **rows)
{
    return stw_queue_peek(cli->client, cli->operands[0], page->offset, page->max, rows);
}

int cmd_queue_list(struct cli *cli)
{
    struct column columns[] = {{"name", "QUEUE", 12},
                               {"ready", "READY", -6},
                               {"leased", "LEASED", -6},
                               {"delayed", "DELAYED", -7},
                               {"unfinished", "UNFINISHED", -10},
                               {"consumers", "CONSUMERS", -9},
                               {"put", "PUT", -8},
                               {"acked", "ACKED", -8},
                               {"state", "STATE", 6},
                               {NULL, NULL, 0}};
    return pages_show(
        cli, &(struct listing){
                 .columns = columns, .key = "name", .most = UINT64_MAX, .fetch = list_fetch});
}

int cmd_queue_show(struct cli *cli)
{
    stw_rows *rows = NULL;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_queue_show(cli->client, cli->operands[0], &rows);
    if (code == STW_OK) {
        row_fields(cli, rows, 0);
        stw_rows_free(&rows);
    }
    return finish(cli, code);
}

/* Few rows make a page when the bodies are large. */
int cmd_queue_peek(struct cli *cli)
{
    struct column columns[] = {{"sequence", "SEQUENCE", -8},
                               {"priority", "PRIORITY", -8},
                               {"deliveries", "DELIVERIES", -10},
                               {"body", "BODY", 4},
                               {NULL, NULL, 0}};
    return pages_show(cli, &(struct listing){.columns = columns,
                                             .offset = option_number(cli, OPTION_OFFSET, 0),
                                             .most = option_number(cli, OPTION_MAX, PEEK_ROWS),
                                             .fetch = peek_fetch});
}

/* ---- options --------------------------------------------------------------------------------- */

static bool overflow_parse(const char *text, enum stw_overflow *overflow)
{
    static const char *const names[] = {"block", "reject", "drop_oldest"};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *overflow = (enum stw_overflow)i;
            return true;
        }
    }
    return false;
}

static void number_option(const struct cli *cli, enum option_id id, uint32_t flag, uint64_t *to,
                          uint32_t *set)
{
    if (given(cli, id)) {
        *to = cli->numbers[id];
        *set |= flag;
    }
}

static bool queue_options(struct cli *cli, stw_queue_options *options)
{
    stw_queue_options_init(options);
    uint32_t *set = &options->given;
    number_option(cli, OPTION_MAXSIZE, STW_QUEUE_MAXSIZE, &options->maxsize, set);
    number_option(cli, OPTION_MAX_BYTES, STW_QUEUE_MAX_BYTES, &options->max_bytes, set);
    number_option(cli, OPTION_LEASE, STW_QUEUE_LEASE, &options->lease_ms, set);
    number_option(cli, OPTION_MAX_DELIVERIES, STW_QUEUE_MAX_DELIVERIES, &options->max_deliveries,
                  set);
    number_option(cli, OPTION_TTL, STW_QUEUE_TTL, &options->ttl_ms, set);
    number_option(cli, OPTION_DELAY, STW_QUEUE_DELAY, &options->delay_ms, set);
    number_option(cli, OPTION_DEDUP_WINDOW, STW_QUEUE_DEDUP_WINDOW, &options->dedup_window_ms, set);
    if (given(cli, OPTION_DEAD_LETTER)) {
        options->dead_letter = cli->texts[OPTION_DEAD_LETTER];
        *set |= STW_QUEUE_DEAD_LETTER;
    }
    if (given(cli, OPTION_OVERFLOW)) {
        *set |= STW_QUEUE_OVERFLOW;
        if (!overflow_parse(cli->texts[OPTION_OVERFLOW], &options->overflow)) {
            usage(cli, "--overflow wants block, reject or drop_oldest");
            return false;
        }
    }
    return true;
}

int cmd_queue_create(struct cli *cli)
{
    stw_queue_options options;
    if (!queue_options(cli, &options)) {
        return EXIT_USAGE;
    }
    int code = client_open(cli);
    return code != EXIT_DONE
               ? code
               : acted(cli, stw_queue_declare(cli->client, cli->operands[0], &options));
}

int cmd_queue_alter(struct cli *cli)
{
    stw_queue_options options;
    if (!queue_options(cli, &options)) {
        return EXIT_USAGE;
    }
    if (options.given == 0) {
        return usage(cli, "wants at least one option to change");
    }
    int code = client_open(cli);
    return code != EXIT_DONE ? code
                             : acted(cli, stw_queue_alter(cli->client, cli->operands[0], &options));
}

/* ---- acting ---------------------------------------------------------------------------------- */

static int act(struct cli *cli, int (*call)(stw_client *, const char *))
{
    int code = client_open(cli);
    return code != EXIT_DONE ? code : acted(cli, call(cli->client, cli->operands[0]));
}

int cmd_queue_delete(struct cli *cli)
{
    return act(cli, stw_queue_delete);
}

int cmd_queue_pause(struct cli *cli)
{
    return act(cli, stw_queue_pause);
}

int cmd_queue_resume(struct cli *cli)
{
    return act(cli, stw_queue_resume);
}

/* "12 items dropped", or {"queue":"q","dropped":12} */
static int count_print(const struct cli *cli, int code, const char *word, uint64_t count)
{
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (!given(cli, OPTION_JSON)) {
        printf("%" PRIu64 " items %s\n", count, word);
        return EXIT_DONE;
    }
    struct line *line = line_begin();
    line_text(line, "queue", cli->operands[0]);
    line_u64(line, word, count);
    line_print(&line, stdout);
    return EXIT_DONE;
}

int cmd_queue_purge(struct cli *cli)
{
    uint64_t count = 0;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_queue_purge(cli->client, cli->operands[0], &count);
    return count_print(cli, code, "dropped", count);
}

int cmd_queue_redrive(struct cli *cli)
{
    uint64_t count = 0;
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_queue_redrive(cli->client, cli->operands[0], cli->texts[OPTION_TO],
                             option_number(cli, OPTION_MAX, 0), &count);
    return count_print(cli, code, "moved", count);
}

int cmd_queue_shutdown(struct cli *cli)
{
    int code = client_open(cli);
    return code != EXIT_DONE ? code
                             : acted(cli, stw_queue_shutdown(cli->client, cli->operands[0],
                                                             given(cli, OPTION_NOW)));
}

int cmd_queue_join(struct cli *cli)
{
    int code = client_open(cli);
    return code != EXIT_DONE ? code
                             : acted(cli, stw_queue_join(cli->client, cli->operands[0],
                                                         option_ms(cli, OPTION_TIMEOUT, -1)));
}
