/* Lockers, the declaration of the queues, and the sleeper of failure 7. */
#include <stdio.h>
#include <string.h>

#include "tests/chaos/worker.h"

/* count: locks, and permits of the semaphore */
#define LOCKS   3
#define PERMITS 2

/* milliseconds: how long an acquire waits; a lease, where one is asked for; one that is left to run
 * out: each start of a manager gives it its full time again, so it must be shorter than their
 * distance, or nobody gets the lock for as long as managers are killed */
#define ACQUIRE_MS     15000
#define LEASE_MS       1500
#define LEASE_SHORT_MS 150

/* milliseconds: leases of the queues: short, so that some run out during a run */
#define QUEUE_LEASE_MS 2000

static const char *const LOCK_NAMES[LOCKS] = {"lock.0", "lock.1", "lock.2"};
#define SEMAPHORE "semaphore.2"

static void lock_event(struct worker *worker, const char *op, uint64_t id, const stw_lock *lock)
{
    struct event event = {.event = "invoke", .op = op, .id = id, .token = stw_lock_token(lock)};
    event.queue = stw_lock_name(lock);
    history_write(&worker->history, &event);
}

/* The lock, or NULL; its outcome is written with the token. lease_ms 0: none. */
static stw_lock *lock_take(struct worker *worker, const char *name, const char *op,
                           uint64_t lease_ms)
{
    stw_lock *lock = NULL;
    stw_lock_options options;
    stw_lock_options_init(&options);
    options.timeout_ms = ACQUIRE_MS;
    options.lease_ms = lease_ms;
    options.permits = PERMITS;
    uint64_t id = history_id(&worker->history);
    struct event event = {.event = "invoke", .op = op, .id = id, .queue = name};
    history_write(&worker->history, &event);
    int code = strcmp(op, "permit") == 0
                   ? stw_semaphore_acquire(worker->client, name, &options, &lock)
                   : stw_lock_acquire(worker->client, name, &options, &lock);
    worker->history.session = stw_client_session(worker->client);
    if (code == STW_OK) {
        event = (struct event){.event = "ok", .op = op, .id = id, .token = stw_lock_token(lock)};
        history_write(&worker->history, &event);
    } else {
        history_outcome(&worker->history, op, id, code);
    }
    return lock;
}

static void lock_give(struct worker *worker, stw_lock **lock)
{
    uint64_t id = history_id(&worker->history);
    lock_event(worker, "unlock", id, *lock);
    history_outcome(&worker->history, "unlock", id, stw_lock_release(lock));
}

static void lock_renew(struct worker *worker, stw_lock *lock)
{
    uint64_t id = history_id(&worker->history);
    lock_event(worker, "renew", id, lock);
    history_outcome(&worker->history, "renew", id, stw_lock_renew(lock, LEASE_MS));
}

int role_lock(struct worker *worker)
{
    while (!worker_stopping) {
        uint64_t choice = worker_random(worker, LOCKS + 1);
        bool left = worker_random(worker, 200) == 0, leased = worker_random(worker, 3) == 0;
        const char *op = choice == LOCKS ? "permit" : "acquire";
        const char *name = choice == LOCKS ? SEMAPHORE : LOCK_NAMES[choice];
        stw_lock *lock = lock_take(worker, name, op, left ? LEASE_SHORT_MS : leased ? LEASE_MS : 0);
        if (lock == NULL) {
            worker_sleep_us(1000);
            continue;
        }
        worker_sleep_us(worker_random(worker, 8000));
        if (leased && !left && worker_random(worker, 4) == 0) {
            lock_renew(worker, lock);
        }
        if (left) {
            stw_lock_free(&lock); /* the lease runs out */
        } else {
            lock_give(worker, &lock);
        }
    }
    return 0;
}

static int declare(struct worker *worker, const char *queue, uint64_t lease_ms)
{
    stw_queue_options options;
    stw_queue_options_init(&options);
    options.given = STW_QUEUE_MAX_DELIVERIES | STW_QUEUE_DEAD_LETTER | STW_QUEUE_LEASE;
    options.max_deliveries = 0;
    options.dead_letter = LOAD_DEAD;
    options.lease_ms = lease_ms;
    int code = stw_queue_declare(worker->client, queue, &options);
    if (code != STW_OK) {
        fprintf(stderr, "chaos_worker: %s: %s\n", queue, stw_last_error(worker->client));
    }
    return code;
}

int role_declare(struct worker *worker)
{
    int code = declare(worker, LOAD_ORDERED, 60000);
    for (size_t i = 0; code == STW_OK && i < LOAD_QUEUES; i++) {
        code = declare(worker, load_queues[i], QUEUE_LEASE_MS);
    }
    return code == STW_OK ? 0 : 1;
}

/* Holds a lock and a lease and waits in a get, through whatever happens to the manager, until an
 * item comes; then settles all three, and each must still be its own. */
int role_sleeper(struct worker *worker)
{
    stw_message *held, *awaited;
    char queue[64];
    snprintf(queue, sizeof queue, "sleep.%.32s", worker->history.worker);
    stw_lock *lock = lock_take(worker, queue, "acquire", 0);
    if (lock == NULL || stw_put(worker->client, queue, "held", 4, -1) != STW_OK ||
        stw_get(worker->client, queue, 5000, &held) != STW_OK) {
        return 1;
    }
    worker_delivered(worker, 0, held);
    stw_message_auto_renew(held, true);
    history_write(&worker->history, &(struct event){.event = "note", .op = "sleeping"});
    int code = stw_get(worker->client, queue, (int64_t)worker->seconds * 1000, &awaited);
    history_outcome(&worker->history, "awaited", 0, code);
    if (code == STW_OK) {
        worker_delivered(worker, 0, awaited);
        history_outcome(&worker->history, "ack-awaited", 0, stw_ack(&awaited));
    }
    int acked = stw_ack(&held);
    history_outcome(&worker->history, "ack-held", 0, acked);
    int released = stw_lock_release(&lock);
    history_outcome(&worker->history, "unlock-held", 0, released);
    return code == STW_OK && acked == STW_OK && released == STW_OK ? 0 : 1;
}
