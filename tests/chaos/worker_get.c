/* Consumers: single gets and streams, which settle what they get in every way; and the drain. */
#include <stdio.h>
#include <string.h>

#include "tests/chaos/worker.h"

/* count: most messages of one get */
#define GET_MESSAGES 8

/* milliseconds: how long a get waits */
#define GET_MS 1000

/* count: settlements of a stream without an outcome */
#define SETTLE_WINDOW 128

/* Writes what is about to be asked for a message; the id. */
static uint64_t settle_invoke(struct worker *worker, const char *op, const stw_message *message)
{
    char key[HISTORY_KEY_BYTES];
    worker_key(message, key);
    struct event event = {.event = "invoke", .op = op, .key = key};
    event.id = history_id(&worker->history);
    event.queue = stw_message_queue(message);
    event.token = stw_message_token(message);
    history_write(&worker->history, &event);
    return event.id;
}

static void settle_ack(struct worker *worker, stw_message **message)
{
    uint64_t id = settle_invoke(worker, "ack", *message);
    history_outcome(&worker->history, "ack", id, stw_ack(message));
}

static void settle_renew(struct worker *worker, stw_message *message)
{
    uint64_t id = settle_invoke(worker, "renew", message);
    history_outcome(&worker->history, "renew", id, stw_renew(message, STW_DEFAULT));
}

/* Ends one delivery in one of the ways there are; mostly an ack. */
static void settle(struct worker *worker, stw_message **message)
{
    uint64_t choice = worker_random(worker, 100), id;
    if (choice < 5) {
        id = settle_invoke(worker, "nack", *message);
        history_outcome(&worker->history, "nack", id,
                        stw_nack(message, (int64_t)worker_random(worker, 50), NULL));
    } else if (choice < 10) {
        id = settle_invoke(worker, "release", *message);
        history_outcome(&worker->history, "release", id, stw_release(message));
    } else if (choice < 11) {
        id = settle_invoke(worker, "reject", *message);
        history_outcome(&worker->history, "reject", id, stw_reject(message, "chaos"));
    } else if (choice < 13) {
        stw_message_free(message); /* the lease runs out */
    } else if (choice < 15) {
        settle_renew(worker, *message);
        worker_sleep_us(worker_random(worker, 50000));
        settle_ack(worker, message);
    } else {
        settle_ack(worker, message);
    }
}

/* One get of several queues; how many messages came, or the code. Each delivery is written. */
static int get_some(struct worker *worker, const char *const *queues, size_t queues_count,
                    stw_message **messages)
{
    size_t count = 0;
    stw_get_options options;
    stw_get_options_init(&options);
    options.timeout_ms = GET_MS;
    uint64_t id = history_id(&worker->history);
    struct event event = {.event = "invoke", .op = "get", .id = id, .queue = queues[0]};
    history_write(&worker->history, &event);
    int code = stw_get_many(worker->client, queues, queues_count, &options, messages,
                            1 + (size_t)worker_random(worker, GET_MESSAGES), &count);
    for (size_t i = 0; code == STW_OK && i < count; i++) {
        worker_delivered(worker, id, messages[i]);
    }
    history_outcome(&worker->history, "get", id, code);
    worker->history.session = stw_client_session(worker->client);
    return code == STW_OK ? (int)count : code;
}

int role_get(struct worker *worker)
{
    stw_message *messages[GET_MESSAGES];
    while (!worker_stopping) {
        int count = get_some(worker, load_queues, LOAD_QUEUES, messages);
        for (int i = 0; i < count; i++) {
            settle(worker, &messages[i]);
        }
        if (count < 0 && count != STW_ETIMEOUT) {
            worker_sleep_us(1000);
        }
    }
    return 0;
}

/* Waits for ever in each get, so that none is taken back behind the program's back: only then is
 * the order of what it sees the order of the queue. */
int role_get_ordered(struct worker *worker)
{
    while (!worker_stopping) {
        stw_message *message;
        uint64_t id = history_id(&worker->history);
        struct event event = {.event = "invoke", .op = "get", .id = id, .queue = LOAD_ORDERED};
        history_write(&worker->history, &event);
        worker_waiting = worker->client;
        int code = stw_get(worker->client, LOAD_ORDERED, -1, &message);
        worker_waiting = NULL;
        if (code == STW_OK) {
            worker_delivered(worker, id, message);
        }
        history_outcome(&worker->history, "get", id, code);
        worker->history.session = stw_client_session(worker->client);
        if (code == STW_OK) {
            settle_ack(worker, &message);
        } else if (!worker_stopping) {
            worker_sleep_us(1000);
        }
    }
    return 0;
}

/* ---- streams -------------------------------------------------------------------------------- */

struct stream {
    struct worker *worker;
    stw_consumer *consumer;
    stw_completions *completions;
    size_t under_way;
};

/* Ids travel as the completions' pointers. */
static void stream_collect(struct stream *stream, size_t most, int64_t timeout_ms)
{
    stw_future *future;
    void *user;
    while (stream->under_way > most &&
           stw_completions_next(stream->completions, timeout_ms, &future, &user) == STW_OK) {
        history_outcome(&stream->worker->history, "ack", (uint64_t)(uintptr_t)user,
                        stw_future_poll(future));
        stw_future_free(&future);
        stream->under_way--;
    }
}

static void stream_ack(struct stream *stream, stw_message **message)
{
    stw_future *future;
    uint64_t id = settle_invoke(stream->worker, "ack", *message);
    int code = stw_ack_async(message, &future);
    if (code != STW_OK) {
        history_outcome(&stream->worker->history, "ack", id, code);
        return;
    }
    stream->under_way++;
    stw_completions_add(stream->completions, future, (void *)(uintptr_t)id);
}

static void stream_turn(struct stream *stream)
{
    struct worker *worker = stream->worker;
    stw_message *message;
    int code = stw_consumer_next(stream->consumer, 100, &message);
    worker->history.session = stw_client_session(worker->client);
    if (code == STW_OK) {
        worker_delivered(worker, 0, message);
        if (worker_random(worker, 10) == 0) {
            settle(worker, &message);
        } else {
            stream_ack(stream, &message);
        }
    } else if (code != STW_ETIMEOUT && code != STW_EEMPTY) {
        struct event event = {.event = "note", .op = "stream", .error = stw_err_name(code)};
        history_write(&worker->history, &event);
        worker_sleep_us(1000);
    }
}

int role_stream(struct worker *worker)
{
    struct stream stream = {.worker = worker};
    stw_consume_options options;
    stw_consume_options_init(&options);
    options.prefetch = 64;
    if (stw_completions_new(worker->client, &stream.completions) != STW_OK ||
        stw_consume(worker->client, load_queues, LOAD_QUEUES, &options, &stream.consumer) !=
            STW_OK) {
        return 1;
    }
    while (!worker_stopping) {
        stream_turn(&stream);
        stream_collect(&stream, 0, 0);
        stream_collect(&stream, SETTLE_WINDOW, 1000);
    }
    stream_collect(&stream, 0, (int64_t)worker->seconds * 1000);
    stw_consumer_close(&stream.consumer);
    stw_completions_free(&stream.completions);
    return stream.under_way == 0 ? 0 : 1;
}

/* ---- the end of a run ----------------------------------------------------------------------- */

/* Unfinished messages of a queue; UINT64_MAX when nobody can say. */
static uint64_t drain_unfinished(struct worker *worker, const char *queue)
{
    stw_rows *rows;
    stw_value value;
    uint64_t unfinished = UINT64_MAX;
    int code = stw_queue_show(worker->client, queue, &rows);
    if (code == STW_ENOENT) {
        return 0;
    }
    if (code == STW_OK) {
        if (stw_rows_find(rows, 0, "unfinished", &value)) {
            unfinished = value.number;
        }
        stw_rows_free(&rows);
    }
    return unfinished;
}

static bool drain_done(struct worker *worker, const char *const *queues, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (drain_unfinished(worker, queues[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Takes and acknowledges all there is, until nothing is unfinished; then says so. */
int role_drain(struct worker *worker)
{
    const char *queues[LOAD_QUEUES + 2];
    stw_message *messages[GET_MESSAGES];
    uint64_t deadline = history_now() + worker->seconds * 1000000000;
    memcpy(queues, load_queues, sizeof load_queues);
    queues[LOAD_QUEUES] = LOAD_DEAD;
    queues[LOAD_QUEUES + 1] = LOAD_ORDERED;
    while (!worker_stopping && history_now() < deadline) {
        int count = get_some(worker, queues, LOAD_QUEUES + 2, messages);
        for (int i = 0; i < count; i++) {
            settle_ack(worker, &messages[i]);
        }
        if (count <= 0 && drain_done(worker, queues, LOAD_QUEUES + 2)) {
            struct event event = {.event = "note", .op = "drained"};
            history_write(&worker->history, &event);
            return 0;
        }
    }
    fprintf(stderr, "chaos_worker: the queues are not empty after %u s\n",
            (unsigned)worker->seconds);
    return 1;
}
