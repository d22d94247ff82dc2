/*
 * The envelope of what one node sends another: one ZeroMQ message a turn. Pure.
 *
 * Little-endian:
 *
 *     u32 magic "STWL", u8 version 1, u64 from, u64 to, u64 run,
 *     text address, text endpoint        u32 size, then bytes: printable ASCII, may be empty
 *     u8 count, then count times         u64 node, text address
 *     until the end                      u32 size, then one message of the journal, at least 1 byte
 *
 * `run` is drawn at each start of a process: a peer that restarted, or two that use one id, show by
 * it. `address` is where other nodes reach the sender, `endpoint` where clients do. The list names
 * nodes that the sender hears, so that a node that knows one other comes to know all. Whoever holds
 * the cluster's key could still send anything: every length is checked before it is used.
 */
#ifndef BROKER_SHELL_LINKS_ENVELOPE_H
#define BROKER_SHELL_LINKS_ENVELOPE_H

#include "common/base/buf.h"
#include "common/base/limits.h"

/* The bytes S T W L as they go out. */
#define ENVELOPE_MAGIC 0x4C575453u

/* version: of the envelope; another one is refused */
#define ENVELOPE_VERSION 1

struct envelope_neighbour {
    uint64_t node;
    struct slice address;
};

struct envelope {
    uint64_t from; /* > 0 */
    uint64_t to;   /* > 0 */
    uint64_t run;
    struct slice address;  /* at most LIMIT_LINK_ADDRESS_BYTES */
    struct slice endpoint; /* likewise */
    struct envelope_neighbour neighbours[LIMIT_NODES];
    size_t neighbours_count;
    struct slice messages; /* all of them, checked; see envelope_next */
};

/* Appends the head of an envelope; messages (envelope->messages is not looked at) come behind. */
void envelope_begin(struct buf *buf, const struct envelope *envelope);

/* Appends a message of 1 byte at least. */
void envelope_add(struct buf *buf, struct slice message);

/* Reads and checks a whole envelope; out borrows from bytes. NULL, or what is wrong with it (a
 * static word). */
const char *envelope_read(struct envelope *out, struct slice bytes);

/* Takes the next message off `messages` as envelope_read left them; false: there is none. */
bool envelope_next(struct slice *messages, struct slice *message);

#endif
