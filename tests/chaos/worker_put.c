/* Producers: many confirmed puts in flight, some of them atomic batches; or one at a time. */
#include <stdio.h>
#include <string.h>

#include "tests/chaos/worker.h"

/* count: puts of one producer without an outcome; some turns wait for fewer */
#define WINDOW_MAX 64

/* count: items of an atomic put */
#define BATCH_ITEMS 5

/* milliseconds: large puts are refused after this, when there is no room for them */
#define PUT_LARGE_MS 500

/* A put under way: one message, or a batch with ids from `id` on. */
struct put {
    uint64_t id;
    size_t count;
    stw_future *future;
};

struct producer {
    struct worker *worker;
    stw_completions *completions;
    struct put puts[WINDOW_MAX];
    size_t under_way;
    uint64_t started; /* nanoseconds */
    uint64_t done;    /* puts asked for */
    char bodies[BATCH_ITEMS][BODY_BYTES_MAX];
};

static uint64_t put_invoke(struct worker *worker, struct event *event, const char *queue)
{
    event->event = "invoke";
    event->op = "put";
    event->queue = queue;
    event->id = history_id(&worker->history);
    history_write(&worker->history, event);
    return event->id;
}

static struct put *producer_free_put(struct producer *producer)
{
    for (size_t i = 0; i < WINDOW_MAX; i++) {
        if (producer->puts[i].future == NULL) {
            return &producer->puts[i];
        }
    }
    return NULL;
}

/* Writes the outcomes of one put, or of all in a batch. */
static void producer_ended(struct producer *producer, struct put *put, int code)
{
    for (size_t i = 0; i < put->count; i++) {
        history_outcome(&producer->worker->history, "put", put->id + i, code);
    }
    if (put->future != NULL) {
        stw_future_free(&put->future);
        producer->under_way--;
    }
    /* A lost session: what follows is the next one's. */
    producer->worker->history.session = stw_client_session(producer->worker->client);
}

static void producer_put(struct producer *producer, struct put *put)
{
    struct worker *worker = producer->worker;
    const char *queue = load_queues[worker_random(worker, LOAD_QUEUES)];
    char key[HISTORY_KEY_BYTES];
    stw_item items[BATCH_ITEMS];
    put->count = worker_random(worker, 50) == 0 ? BATCH_ITEMS : 1;
    for (size_t i = 0; i < put->count; i++) {
        struct event event = {.key = key};
        items[i].size = worker_body(worker, key, producer->bodies[i]);
        items[i].data = producer->bodies[i];
        event.value = worker_checksum(items[i].data, items[i].size);
        event.batch = put->count == 1 ? 0 : i == 0 ? worker->history.ids + 1 : put->id;
        uint64_t id = put_invoke(worker, &event, queue);
        put->id = i == 0 ? id : put->id;
    }
    int code;
    if (put->count == 1) {
        code = stw_put_async(worker->client, queue, items[0].data, items[0].size, worker->put_ms,
                             &put->future);
    } else {
        stw_put_options options;
        stw_put_options_init(&options);
        options.timeout_ms = worker->put_ms;
        code = stw_put_many_async(worker->client, queue, items, put->count, &options, &put->future);
    }
    producer->done += put->count;
    if (code != STW_OK) {
        producer_ended(producer, put, code);
        return;
    }
    producer->under_way++;
    stw_completions_add(producer->completions, put->future, put);
}

/* Takes outcomes; waits at most so long for the first one. */
static void producer_collect(struct producer *producer, int64_t timeout_ms)
{
    stw_future *future;
    void *user;
    while (producer->under_way > 0 &&
           stw_completions_next(producer->completions, timeout_ms, &future, &user) == STW_OK) {
        producer_ended(producer, user, stw_future_poll(future));
        timeout_ms = 0;
    }
}

/* How many puts the rate allows now. */
static bool producer_may(const struct producer *producer)
{
    uint64_t elapsed_us = (history_now() - producer->started) / 1000;
    return producer->done < elapsed_us * producer->worker->rate / 1000000 + 1;
}

int role_put(struct worker *worker)
{
    static struct producer producer; /* half a megabyte of bodies */
    producer.worker = worker;
    producer.started = history_now();
    if (stw_completions_new(worker->client, &producer.completions) != STW_OK) {
        return 1;
    }
    while (!worker_stopping) {
        size_t window = 1 + (size_t)worker_random(worker, WINDOW_MAX);
        while (producer.under_way < window && producer_may(&producer) && !worker_stopping) {
            producer_put(&producer, producer_free_put(&producer));
        }
        stw_flush(worker->client);
        producer_collect(&producer, 5);
        if (producer.under_way == 0) {
            worker_sleep_us(500);
        }
    }
    /* A manager that was kept from answering would have been slow for rate: do not catch up. */
    uint64_t deadline = history_now() + worker->seconds * 1000000000;
    while (producer.under_way > 0 && history_now() < deadline) {
        producer_collect(&producer, 100);
    }
    stw_completions_free(&producer.completions);
    return producer.under_way == 0 ? 0 : 1;
}

int role_put_large(struct worker *worker)
{
    worker->large = true;
    worker->put_ms = PUT_LARGE_MS;
    return role_put(worker);
}

int role_put_ordered(struct worker *worker)
{
    static char body[BODY_BYTES_MAX];
    char key[HISTORY_KEY_BYTES];
    while (!worker_stopping) {
        struct event event = {.key = key};
        size_t size = worker_body(worker, key, body);
        event.value = worker_checksum(body, size);
        uint64_t id = put_invoke(worker, &event, LOAD_ORDERED);
        int code = stw_put(worker->client, LOAD_ORDERED, body, size, worker->put_ms);
        history_outcome(&worker->history, "put", id, code);
        worker->history.session = stw_client_session(worker->client);
        worker_sleep_us(1000000 / (worker->rate + 1));
    }
    return 0;
}
