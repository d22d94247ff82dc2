/*
 * Steward through libsteward. Message by message each put is a future of its own; mode `batch` puts
 * many items with one call and one future.
 */
#include <steward.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/compare/harness.h"

#define PREFETCH_MIN 4096
#define NAME_BYTES   96
#define LOCKS_MAX    64

struct link {
    stw_client *client;
    stw_consumer *consumer;
    char queue[NAME_BYTES];
    bool batch;
    stw_future **futures; /* a ring */
    size_t ring, first, count;
    stw_item *items;
    stw_lock *locks[LOCKS_MAX];
};

static void check(const struct link *link, int code, const char *what)
{
    if (code != STW_OK) {
        die("%s: %s: %s", what, stw_strerror(code), stw_last_error(link->client));
    }
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    struct link *link = zalloc(1, sizeof *link);
    stw_consume_options options;
    snprintf(link->queue, sizeof link->queue, "%s", queue);
    check(link, stw_open(&link->client, job->address, NULL), "open");
    link->batch = strcmp(job->mode, "batch") == 0;
    link->ring = job->in_flight + job->batch;
    link->futures = zalloc(link->ring, sizeof *link->futures);
    link->items = zalloc(job->batch, sizeof *link->items);
    if ((roles & ROLE_TAKE) != 0) {
        const char *name = link->queue;
        stw_consume_options_init(&options);
        options.prefetch = job->in_flight > PREFETCH_MIN ? job->in_flight : PREFETCH_MIN;
        check(link, stw_consume(link->client, &name, 1, &options, &link->consumer), "consume");
    }
    return link;
}

static stw_future **ring_next(struct link *link)
{
    if (link->count == link->ring) {
        die("more puts in flight than there should be");
    }
    return &link->futures[(link->first + link->count++) % link->ring];
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    if (link->batch) {
        for (size_t i = 0; i < count; i++) {
            link->items[i] = (stw_item){bodies + i * size, size};
        }
        check(link,
              stw_put_many_async(link->client, link->queue, link->items, count, NULL,
                                 ring_next(link)),
              "put");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        check(
            link,
            stw_put_async(link->client, link->queue, bodies + i * size, size, -1, ring_next(link)),
            "put");
    }
}

static void confirm(void *context, size_t count)
{
    struct link *link = context;
    size_t futures = link->batch ? 1 : count;
    /* The last first: one wake-up for all. */
    stw_future_wait(link->futures[(link->first + futures - 1) % link->ring], -1);
    for (size_t i = 0; i < futures; i++) {
        stw_future **future = &link->futures[link->first];
        check(link, stw_future_wait(*future, -1), "confirmation");
        stw_future_free(future);
        link->first = (link->first + 1) % link->ring;
        link->count--;
    }
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    stw_message *message;
    size_t count = 0;
    while (count < most) {
        int code = stw_consumer_next(link->consumer, count == 0 ? 100 : 0, &message);
        if (code == STW_ETIMEOUT || code == STW_EEMPTY) {
            break;
        }
        check(link, code, "next");
        note(noted, stw_message_data(message), stw_message_size(message));
        check(link, stw_ack_async(&message, NULL), "ack");
        count++;
    }
    return count;
}

static void settle(void *context)
{
    struct link *link = context;
    check(link, stw_queue_join(link->client, link->queue, 10000), "acknowledgements");
}

static void lock_name(const struct link *link, unsigned number, char name[NAME_BYTES + 12])
{
    snprintf(name, NAME_BYTES + 12, "%s-%u", link->queue, number);
}

static void lock(void *context, unsigned first, unsigned count)
{
    struct link *link = context;
    stw_future *futures[LOCKS_MAX];
    char name[NAME_BYTES + 12];
    if (count == 1) {
        lock_name(link, first, name);
        check(link, stw_lock_acquire(link->client, name, NULL, &link->locks[0]), "lock");
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        lock_name(link, first + i, name);
        check(link, stw_lock_acquire_async(link->client, name, NULL, &futures[i]), "lock");
    }
    check(link, stw_future_wait(futures[count - 1], -1), "lock");
    for (unsigned i = 0; i < count; i++) {
        check(link, stw_future_wait(futures[i], -1), "lock");
        link->locks[i] = stw_future_lock(futures[i]);
        stw_future_free(&futures[i]);
    }
}

static void unlock(void *context, unsigned first, unsigned count)
{
    struct link *link = context;
    stw_future *futures[LOCKS_MAX];
    (void)first;
    if (count == 1) {
        check(link, stw_lock_release(&link->locks[0]), "unlock");
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        check(link, stw_lock_release_async(&link->locks[i], &futures[i]), "unlock");
    }
    check(link, stw_future_wait(futures[count - 1], -1), "unlock");
    for (unsigned i = 0; i < count; i++) {
        check(link, stw_future_wait(futures[i], -1), "unlock");
        stw_future_free(&futures[i]);
    }
}

static void link_close(void *context)
{
    struct link *link = context;
    stw_consumer_close(&link->consumer);
    stw_close(&link->client);
    free(link->futures);
    free(link->items);
    free(link);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "steward",
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .lock = lock,
                                     .unlock = unlock,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
