/*
 * `steward put`: operands, lines of stdin, or all of stdin into a queue.
 *
 * Each item is a request of its own; up to IN_FLIGHT_ITEMS of them (and IN_FLIGHT_BYTES) wait for
 * their receipt at once, so memory is constant however long stdin is. The manager applies them in
 * the order of sending. The first failure ends the reading; what is under way is waited for.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/limits.h"

#define IN_FLIGHT_ITEMS 8192
#define IN_FLIGHT_BYTES (32u << 20)
#define READ_BYTES      (64u << 10)
#define DRAIN_EVERY     256 /* items between two looks at what is finished */
#define LOOK_MS         200 /* while stdin is silent: failures are reported after this */

struct put {
    struct cli *cli;
    stw_put_options options;
    bool plain; /* nothing but a time-out: the short path */
    uint64_t in_flight, in_flight_bytes;
    uint64_t sent, done, duplicates;
    int code;             /* of the first failure */
    uint64_t failed_item; /* its number, from 1 */
    char error[512];
};

/* What goes with a future. */
struct ticket {
    uint64_t number;
    size_t size;
};

static void put_finished(struct put *put, stw_future *future, struct ticket *ticket)
{
    int code = stw_future_poll(future);
    put->in_flight--;
    put->in_flight_bytes -= ticket->size;
    if (code == STW_OK) {
        put->done++;
        put->duplicates += stw_future_value(future);
    } else if (put->code == STW_OK) {
        put->code = code;
        put->failed_item = ticket->number;
        snprintf(put->error, sizeof(put->error), "%s", stw_future_error(future));
    }
    stw_future_free(&future);
    free(ticket);
}

/* Takes what is finished; waits until at most `most` are in flight. false: interrupted. */
static bool put_drain(struct put *put, uint64_t most, uint64_t most_bytes)
{
    stw_completions *completions = put->cli->completions;
    stw_future *future;
    void *user;
    for (;;) {
        while (stw_completions_next(completions, 0, &future, &user) == STW_OK) {
            put_finished(put, future, user);
        }
        if (put->in_flight <= most && put->in_flight_bytes <= most_bytes) {
            return true;
        }
        stw_flush(put->cli->client);
        if (!fd_wait(put->cli, stw_completions_fd(completions), POLLIN, -1)) {
            return false;
        }
    }
}

/* false: no more items, something failed or we are to stop. */
static bool put_item(struct put *put, const void *data, size_t size)
{
    struct cli *cli = put->cli;
    const char *queue = cli->operands[0];
    stw_future *future = NULL;
    if (put->in_flight >= IN_FLIGHT_ITEMS || put->in_flight_bytes + size > IN_FLIGHT_BYTES) {
        uint64_t room = size < IN_FLIGHT_BYTES ? IN_FLIGHT_BYTES - size : 0;
        /* a quarter at once: one wake-up for many receipts */
        put_drain(put, IN_FLIGHT_ITEMS * 3 / 4, room);
    } else if (put->sent % DRAIN_EVERY == 0) {
        put_drain(put, UINT64_MAX, UINT64_MAX);
    }
    if (put->code != STW_OK || cli->interrupted != 0) {
        return false;
    }
    struct ticket *ticket = mem_alloc(sizeof(*ticket));
    *ticket = (struct ticket){.number = ++put->sent, .size = size};
    stw_item item = {.data = data, .size = size};
    int code = put->plain
                   ? stw_put_async(cli->client, queue, data, size, put->options.timeout_ms, &future)
                   : stw_put_many_async(cli->client, queue, &item, 1, &put->options, &future);
    if (code == STW_OK) {
        put->in_flight++;
        put->in_flight_bytes += size;
        code = stw_completions_add(cli->completions, future, ticket);
    }
    if (code != STW_OK) {
        put->code = code;
        put->failed_item = ticket->number;
        snprintf(put->error, sizeof(put->error), "%s", stw_last_error(cli->client));
        free(ticket);
    }
    return code == STW_OK;
}

/* ---- stdin ----------------------------------------------------------------------------------- */

struct input {
    char *data;
    size_t size, capacity;
    size_t searched; /* so many bytes hold no separator */
    bool ended;
};

/* Reads some more; looks at the receipts while stdin is silent. false: failed or to stop. */
static bool input_fill(struct put *put, struct input *input)
{
    struct cli *cli = put->cli;
    if (input->capacity - input->size < READ_BYTES) {
        input->capacity = input->capacity * 2 + READ_BYTES;
        input->data = mem_realloc(input->data, input->capacity, 1);
    }
    while (!fd_wait(cli, STDIN_FILENO, POLLIN, LOOK_MS)) {
        if (cli->interrupted != 0 || !put_drain(put, UINT64_MAX, UINT64_MAX) ||
            put->code != STW_OK) {
            return false;
        }
    }
    ssize_t n = read(STDIN_FILENO, input->data + input->size, input->capacity - input->size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    if (n < 0) {
        put->code = STW_EINVAL;
        snprintf(put->error, sizeof(put->error), "cannot read stdin: %s", strerror(errno));
        return false;
    }
    input->ended = n == 0;
    input->size += (size_t)n;
    return true;
}

/* Puts every complete item in the buffer; false to stop. */
static bool input_split(struct put *put, struct input *input, char separator)
{
    size_t from = 0, searched = input->searched;
    char *end;
    while ((end = memchr(input->data + searched, separator, input->size - searched)) != NULL) {
        size_t size = (size_t)(end - input->data) - from;
        if (!put_item(put, input->data + from, size)) {
            return false;
        }
        from += size + 1;
        searched = from;
    }
    input->size -= from;
    input->searched = input->size;
    memmove(input->data, input->data + from, input->size);
    return true;
}

static void put_lines(struct put *put, char separator)
{
    struct input input = {0};
    bool more = true;
    while (more && !input.ended) {
        stw_flush(put->cli->client);
        more = input_fill(put, &input) && input_split(put, &input, separator);
        if (more && input.size > LIMIT_BODY_CEILING_BYTES) {
            put->code = STW_ETOOBIG;
            snprintf(put->error, sizeof(put->error), "item %" PRIu64 " is larger than any limit",
                     put->sent + 1);
            more = false;
        }
    }
    if (more && input.size > 0) {
        put_item(put, input.data, input.size); /* the last line had no newline */
    }
    free(input.data);
}

static void put_whole(struct put *put)
{
    struct input input = {0};
    bool more = true;
    while (more && !input.ended && input.size <= LIMIT_BODY_CEILING_BYTES) {
        more = input_fill(put, &input);
    }
    if (more) {
        put_item(put, input.data != NULL ? input.data : "", input.size);
    }
    free(input.data);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void put_options(struct put *put)
{
    struct cli *cli = put->cli;
    stw_put_options *options = &put->options;
    stw_put_options_init(options);
    options->timeout_ms = option_ms(cli, OPTION_TIMEOUT, -1);
    options->delay_ms = option_ms(cli, OPTION_DELAY, STW_DEFAULT);
    options->ttl_ms = option_ms(cli, OPTION_TTL, STW_DEFAULT);
    options->priority = (uint8_t)option_number(cli, OPTION_PRIORITY, 0);
    options->headers = cli->headers;
    options->headers_count = cli->headers_count;
    if (given(cli, OPTION_DEDUP_ID)) {
        options->dedup_id = cli->texts[OPTION_DEDUP_ID];
        options->dedup_id_size = strlen(cli->texts[OPTION_DEDUP_ID]);
    }
    put->plain = (cli->given & (BIT(OPTION_DELAY) | BIT(OPTION_TTL) | BIT(OPTION_PRIORITY) |
                                BIT(OPTION_HEADER) | BIT(OPTION_DEDUP_ID))) == 0;
}

static int put_report(struct put *put)
{
    struct cli *cli = put->cli;
    char detail[768];
    if (given(cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_text(line, "queue", cli->operands[0]);
        line_u64(line, "put", put->done - put->duplicates);
        line_u64(line, "duplicates", put->duplicates);
        line_print(&line, stdout);
    }
    if (put->code == STW_OK && cli->interrupted == 0) {
        return EXIT_DONE;
    }
    if (put->code == STW_OK) {
        return fail(cli, "interrupted: %" PRIu64 " items were put, %" PRIu64 " are unknown",
                    put->done, put->in_flight);
    }
    const char *sentence = put->error[0] != '\0' ? put->error : stw_strerror(put->code);
    if (put->sent > 1) {
        snprintf(detail, sizeof(detail), "item %" PRIu64 ": %s; %" PRIu64 " were put",
                 put->failed_item, sentence, put->done);
        sentence = detail;
    }
    return fail_code(cli, put->code, sentence);
}

int cmd_put(struct cli *cli)
{
    struct put put = {.cli = cli};
    bool stdin_items = cli->operands_count == 1;
    put_options(&put);
    if (given(cli, OPTION_DEDUP_ID) && cli->operands_count != 2 && !given(cli, OPTION_WHOLE)) {
        return usage(cli, "--dedup-id wants exactly one ITEM, or --whole");
    }
    if (!stdin_items && (given(cli, OPTION_WHOLE) || given(cli, OPTION_NULL))) {
        return usage(cli, "--whole and --null are for stdin: leave out ITEM");
    }
    signals_watch(cli);
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_completions_new(cli->client, &cli->completions);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (!stdin_items) {
        size_t i = 1;
        while (i < cli->operands_count &&
               put_item(&put, cli->operands[i], strlen(cli->operands[i]))) {
            i++;
        }
    } else if (given(cli, OPTION_WHOLE)) {
        put_whole(&put);
    } else {
        put_lines(&put, given(cli, OPTION_NULL) ? '\0' : '\n');
    }
    if (cli->interrupted == 0) {
        put_drain(&put, 0, 0);
    }
    return put_report(&put);
}
