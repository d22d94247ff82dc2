/*
 * A history: what one client asked and what it was told, a line of JSON for each, written before
 * the next thing happens. So a worker that is killed leaves everything it knew; what has no outcome
 * in the file has an unknown one. docs/chaos.md names the fields.
 */
#ifndef TESTS_CHAOS_HISTORY_H
#define TESTS_CHAOS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bytes: longest key, with its end */
#define HISTORY_KEY_BYTES 48

/* One line. Strings are plain ASCII without quotes; NULL and 0 are left out. */
struct event {
    const char *event; /* invoke, deliver, ok, fail, unknown, note */
    const char *op;    /* put, get, ack, nack, release, reject, acquire, permit, unlock, renew */
    uint64_t id;       /* joins an outcome, or a delivery, to what was invoked */
    const char *queue; /* or the lock's name */
    const char *key;   /* of the message */
    uint64_t value;    /* checksum of the body, for puts and deliveries */
    uint64_t token;
    uint64_t deliveries;
    uint64_t batch; /* of puts that are all done or none: the first one's id */
    const char *error;
};

struct history {
    int fd;
    const char *worker;
    uint64_t session;
    uint64_t ids;
};

/* Appends to the file `path`, made when missing; `worker` is kept, not copied. false: errno says
 * why. */
bool history_open(struct history *history, const char *path, const char *worker);

/* The next id of this worker. */
uint64_t history_id(struct history *history);

/* Writes one line with the time of now. Ends the process when it cannot: a history with holes
 * would accuse the manager of what it has not done. */
void history_write(struct history *history, const struct event *event);

/* ok, fail or unknown, by the code of a call; op and id as in its invoke. */
void history_outcome(struct history *history, const char *op, uint64_t id, int code);

/* Nanoseconds of CLOCK_MONOTONIC: one clock for all processes of the machine. */
uint64_t history_now(void);

#endif
