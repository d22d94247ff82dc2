/*
 * One client of a chaos run: what its roles share. A worker runs one role until SIGTERM, and ends
 * with 0 when it has the outcome of everything it asked for.
 */
#ifndef TESTS_CHAOS_WORKER_H
#define TESTS_CHAOS_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <steward.h>

#include "tests/chaos/history.h"

/* count: queues that all share, load.0 to load.3; beside them the queue whose order is checked */
#define LOAD_QUEUES 4

struct worker {
    struct history history;
    stw_client *client;
    const char *endpoints;
    uint64_t random;  /* state of the generator; not 0 */
    uint64_t rate;    /* of puts, in a second */
    uint64_t seconds; /* a drain gives up after this long */
    uint64_t keys;    /* keys made so far */
    bool large;       /* only bodies that fill a disk soon */
    int64_t put_ms;   /* how long a put waits */
};

/* Set by SIGTERM. */
extern volatile sig_atomic_t worker_stopping;

/* The client that waits for ever, if it does: SIGTERM interrupts it. All other calls have
 * time-outs, and an interrupted one is one more outcome that nobody knows. */
extern stw_client *volatile worker_waiting;

/* load.0 to load.3. */
extern const char *const load_queues[LOAD_QUEUES];

/* Where their rejected messages go. */
#define LOAD_DEAD "load.dead"

/* Filled by one producer with one put at a time, emptied by one consumer. */
#define LOAD_ORDERED "load.ordered"

/* A number from 0 to below - 1. */
uint64_t worker_random(struct worker *worker, uint64_t below);

/* Sleeps at most so long; SIGTERM ends it. */
void worker_sleep_us(uint64_t microseconds);

/* bytes: the largest body: travels as a frame of its own */
#define BODY_BYTES_MAX (96 * 1024)

/* A new key, and the body that goes with it; the body's size. */
size_t worker_body(struct worker *worker, char key[HISTORY_KEY_BYTES], char body[BODY_BYTES_MAX]);

/* A checksum of a body, never 0. */
uint64_t worker_checksum(const void *data, size_t size);

/* The key that a message's body begins with, as far as it is plain text. */
void worker_key(const stw_message *message, char key[HISTORY_KEY_BYTES]);

/* Writes a delivery: key and checksum are read from the body. `get` is the id of the get, 0 for
 * a stream. */
void worker_delivered(struct worker *worker, uint64_t get, const stw_message *message);

/* The roles. Each returns the process' exit code. */
int role_put(struct worker *worker);
int role_put_large(struct worker *worker);
int role_put_ordered(struct worker *worker);
int role_get(struct worker *worker);
int role_get_ordered(struct worker *worker);
int role_stream(struct worker *worker);
int role_lock(struct worker *worker);
int role_declare(struct worker *worker);
int role_drain(struct worker *worker);
int role_sleeper(struct worker *worker);

#endif
