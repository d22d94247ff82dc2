/*
 * `steward get`: items from queues to stdout.
 *
 * Batch by batch: get, write, then acknowledge what was written completely. What was not (Ctrl-C,
 * a closed pipe, a full disk) is released: it comes back and the delivery does not count. A
 * batch is so small that its items, at the size of those before, stay under BATCH_BYTES.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/limits.h"

#define BATCH_BYTES (4u << 20)
#define BATCH_FIRST 32

struct get {
    struct cli *cli;
    stw_get_options options;
    struct output output;
    uint64_t wanted; /* UINT64_MAX: all */
    uint64_t printed;
    uint64_t lost; /* printed, but the acknowledgement failed */
    size_t batch;  /* items to ask for next */
    stw_message *messages[LIMIT_BATCH];
    size_t ends[LIMIT_BATCH]; /* where each item ends in the output */
    size_t count;
};

static void message_json(struct output *output, const stw_message *message)
{
    static const char *const headers[] = {"dead.queue", "dead.reason", "first_failure",
                                          "last_failure"};
    struct line *line = line_begin();
    line_text(line, "queue", stw_message_queue(message));
    line_data(line, "data", stw_message_data(message), stw_message_size(message));
    line_u64(line, "token", stw_message_token(message));
    line_u64(line, "deliveries", stw_message_deliveries(message));
    line_u64(line, "priority", stw_message_priority(message));
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *value = stw_message_header(message, headers[i]);
        if (value != NULL) {
            line_text(line, headers[i], value);
        }
    }
    char *text = line_end(&line);
    output_add(output, text, strlen(text));
    output_add(output, "\n", 1);
    free(text);
}

static void message_format(struct get *get, const stw_message *message)
{
    struct cli *cli = get->cli;
    if (given(cli, OPTION_JSON)) {
        message_json(&get->output, message);
        return;
    }
    output_add(&get->output, stw_message_data(message), stw_message_size(message));
    if (!given(cli, OPTION_WHOLE)) {
        output_add(&get->output, given(cli, OPTION_NULL) ? "\0" : "\n", 1);
    }
}

/* Acknowledges what was written, releases the rest. */
static void batch_settle(struct get *get)
{
    stw_future *futures[LIMIT_BATCH];
    size_t acked = 0;
    for (size_t i = 0; i < get->count; i++) {
        if (get->ends[i] <= get->output.written) {
            futures[acked] = NULL;
            stw_ack_async(&get->messages[i], &futures[acked]);
            acked++;
        } else {
            stw_release_async(&get->messages[i], NULL);
        }
    }
    for (size_t i = 0; i < acked; i++) {
        bool good = futures[i] != NULL && stw_future_wait(futures[i], -1) == STW_OK;
        get->lost += good ? 0 : 1;
        stw_future_free(&futures[i]);
    }
    get->printed += acked;
}

/* Writes a batch and settles it; false: output failed or we are to stop. */
static bool batch_write(struct get *get)
{
    output_clear(&get->output);
    for (size_t i = 0; i < get->count; i++) {
        message_format(get, get->messages[i]);
        get->ends[i] = get->output.size;
    }
    bool good = output_flush(get->cli, &get->output);
    int error = errno;
    size_t average = get->output.size / get->count + 1;
    batch_settle(get);
    if (!good && get->cli->interrupted == 0 && error != EPIPE) {
        fail(get->cli, "cannot write: %s", strerror(error));
    }
    size_t batch = BATCH_BYTES / average;
    get->batch = batch < 1 ? 1 : batch > LIMIT_BATCH ? LIMIT_BATCH : batch;
    return good;
}

/* Asks for a batch; the library's code, STW_ECANCELED when interrupted. */
static int batch_get(struct get *get)
{
    struct cli *cli = get->cli;
    uint64_t left = get->wanted - get->printed;
    size_t most = left < get->batch ? (size_t)left : get->batch;
    stw_future *future = NULL;
    int code = stw_get_async(cli->client, cli->operands, cli->operands_count, &get->options, most,
                             &future);
    get->count = 0;
    if (code == STW_OK) {
        code = future_wait(cli, future);
        while (code == STW_OK && get->count < LIMIT_BATCH &&
               (get->messages[get->count] = stw_future_message(future)) != NULL) {
            get->count++;
        }
    }
    if (code != STW_OK && cli->interrupted == 0 && code != STW_ESESSION) {
        bool end = code == STW_EEMPTY || code == STW_ETIMEOUT || code == STW_ESHUTDOWN;
        if (!end || get->printed == 0 || get->wanted != UINT64_MAX) {
            fail_code(cli, code, future != NULL ? stw_future_error(future) : "");
        }
    }
    if (future != NULL && cli->interrupted != 0) {
        stw_future_cancel(future);
    }
    stw_future_free(&future);
    return code;
}

/* Batches until there is enough, nothing left, or a failure. Its exit code. */
static int get_run(struct get *get)
{
    while (get->printed < get->wanted) {
        int code = batch_get(get);
        if (code == STW_ESESSION) {
            continue; /* nothing was handed over: the items are back in their queue */
        }
        if (code == STW_EEMPTY || code == STW_ETIMEOUT || code == STW_ESHUTDOWN) {
            return get->wanted == UINT64_MAX && get->printed > 0 ? EXIT_DONE : EXIT_NOTHING;
        }
        if (code != STW_OK) {
            return exit_code(code);
        }
        if (get->count > 0 && !batch_write(get)) {
            return EXIT_FAILED;
        }
    }
    return EXIT_DONE;
}

int cmd_get(struct cli *cli)
{
    static struct get get;
    bool all = given(cli, OPTION_ALL);
    get.cli = cli;
    get.batch = BATCH_FIRST;
    get.wanted = option_number(cli, OPTION_MAX, all ? UINT64_MAX : 1);
    stw_get_options_init(&get.options);
    get.options.timeout_ms = option_ms(cli, OPTION_TIMEOUT, all ? 0 : -1);
    get.options.lease_ms = option_ms(cli, OPTION_LEASE, STW_DEFAULT);
    if (all && given(cli, OPTION_MAX)) {
        return usage(cli, "--all and --max exclude each other");
    }
    signals_watch(cli);
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = get_run(&get);
    free(get.output.data);
    if (get.lost > 0) {
        code = fail(cli,
                    "%" PRIu64 " items were printed after their lease was lost: they will be "
                    "delivered again",
                    get.lost);
    }
    return code;
}
