/*
 * A gateway with the real core and the memory journal, and a host that records: for tests of what
 * goes over the wire. Packets are written and compared in the notation of notation.h.
 */
#ifndef TESTS_UNIT_GATEWAY_RIG_H
#define TESTS_UNIT_GATEWAY_RIG_H

#include "broker/gateway/gateway.h"
#include "broker/journal/journal.h"

#define RIG_SENT_MAX 4096

struct rig_sent {
    char peer[16];
    struct buf head;
    struct buf body;
    bool large;
};

struct rig {
    struct core *core;
    struct journal *journal;
    struct gateway *gateway;
    uint64_t now_ms;
    enum send_result answer; /* what send says */
    struct rig_sent sent[RIG_SENT_MAX];
    size_t sent_count;
    size_t log_lines;
    char log[4096];     /* all lines, as far as they fit */
    uint64_t random;    /* secrets count up from here */
    struct buf text;    /* of rig_sent_text */
    bool late;          /* commands wait for rig_apply, as behind a log that is being written */
    struct buf waiting; /* they, and those that were applied */
    uint64_t submitted, applied; /* count: while late */
    const char *leader;          /* endpoint that a follower tells; NULL: unknown */
    size_t managed; /* MANAGE requests that the host had; each adds a row with this number */
};

/* options NULL: the defaults. */
struct rig *rig_new(const struct gateway_options *options);
/* For tests that set `late`. */
struct rig *rig_new_late(void);
void rig_free(struct rig *rig);

/* One packet from a peer, then a flush. Two frames when body is not NULL. */
void rig_receive(struct rig *rig, const char *peer, const char *head, const char *body);
void rig_receive_bytes(struct rig *rig, const char *peer, struct slice head);
void rig_flush(struct rig *rig);
/* Time passes: ticks of gateway and core, and a flush. */
void rig_wait(struct rig *rig, uint64_t ms);

/* Everything sent to the peer since the last call, packets separated by " | "; "" for nothing.
 * A large body is shown as " + 'body'". Good until the next call. */
const char *rig_take(struct rig *rig, const char *peer);

/* The first `count` commands that wait are applied, and a flush. */
void rig_apply(struct rig *rig, uint64_t count);

/* HELLO of a new session, and the answer is taken. Its id: 1 for the first, and so on. */
void rig_hello(struct rig *rig, const char *peer);

/* A packet in, and exactly these packets to the same peer out. */
#define EXCHANGE(peer, in, out)                                                                    \
    do {                                                                                           \
        rig_receive(rig, peer, in, NULL);                                                          \
        ck_assert_str_eq(rig_take(rig, peer), out);                                                \
    } while (0)

/* The first session's secret in a rig. */
#define SECRET_1 "h'00000000000000000000000000000001'"

/* HELLO that resumes, by number and secret. */
#define RESUME(number, secret)                                                                     \
    "[1, 0] [1, 1, 1, 0, {\"session\": " number ", \"secret\": " secret ", \"last_tag\": 0}]"

static inline bool begins_with(const char *text, const char *head)
{
    return strncmp(text, head, strlen(head)) == 0;
}

#endif
