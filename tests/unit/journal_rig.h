/*
 * A durable journal and a core with one client in the same process, for tests: it puts, gets,
 * acknowledges and locks by commands, and notes each answer as the journal hands it on.
 */
#ifndef TESTS_UNIT_JOURNAL_RIG_H
#define TESTS_UNIT_JOURNAL_RIG_H

#include "broker/journal/raft.h"

#include <czmq.h>
#include <poll.h>

#define LIFE_SEGMENT  (1024 * 1024)
#define LIFE_SNAPSHOT (20 * 1024) /* bytes of log between two: some in a life */
#define LIFE_SESSIONS 64          /* ids are small: one session a life */
#define LIFE_NUMBER   8           /* bytes of a body that say which message it is */

/* What a life reports, in the order in which it happened. */
enum report_type { REPORT_PUT = 1, REPORT_ACK_TRIED, REPORT_ACKED, REPORT_LOCKED };

struct report {
    uint64_t type, number; /* of the message, or the lock's token */
};

/* A request, or a leased message: which message it is about. */
struct about {
    uint64_t type, number;
};

struct life {
    const char *directory;
    struct core *core;
    struct journal *journal;
    struct pollfd polled[JOURNAL_DESCRIPTORS];
    size_t polled_count;
    uint64_t session, request; /* ids: 0, or the last one */
    struct about *requests;    /* by id */
    size_t capacity;
    uint64_t tags[4096], numbers[4096]; /* delivered, not acknowledged yet */
    size_t leased;
    uint64_t next; /* message */
    struct buf reports;
    uint64_t random;
    size_t handed; /* callbacks */
};

/* Wall clock. */
uint64_t life_now_ms(void);
uint32_t life_random(struct life *life, uint32_t below);

/* Opens the journal and makes an empty core. io: NULL for real files. */
struct journal *life_open(struct life *life, const struct log_io *io, bool no_threads,
                          struct log_error *error);
/* Opens with threads, and waits until it is ready. */
void life_begin(struct life *life, const struct log_io *io);
/* A loop's turn: waits for the journal, takes what it has, and lets it begin to write. */
void life_turn(struct life *life);
void life_end(struct life *life);

/* The sessions of earlier lives give back what they hold; then one of its own, and a lock. */
void life_hello(struct life *life);
void life_put(struct life *life);
void life_get(struct life *life);
/* Acknowledges one of those that are leased; it stays in the list. */
void life_ack(struct life *life, size_t which);

/* Which message a body is. */
uint64_t life_number(struct slice body);

#endif
