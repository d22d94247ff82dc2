/*
 * A few durable journals in one process, on disks in memory, with a network that passes their
 * messages by hand and one client that puts: every step of time is the test's own.
 */
#ifndef TESTS_UNIT_JOURNAL_RIG_NODES_H
#define TESTS_UNIT_JOURNAL_RIG_NODES_H

#include "broker/journal/raft.h"
#include "broker/journal/snapshots.h"
#include "tests/unit/log_rig.h"

#define TRIO_NODES    5 /* ids 1 to 4; slot 0 stays empty */
#define TRIO_SEGMENT  (256 * 1024)
#define TRIO_SNAPSHOT (128 * 1024) /* bytes of log between two snapshots, unless a test says else */
#define TRIO_STEP_MS  5
#define TRIO_BODY     600  /* bytes of a body, most of them filler */
#define TRIO_PATIENCE 4000 /* steps: 20 seconds */

struct trio;

struct trio_node {
    struct trio *trio;
    uint64_t id;
    struct disk *disk;
    struct core *core;
    struct journal *journal; /* NULL: down */
    struct log_error error;
    struct log_io io;     /* the disk's, and: */
    bool busy;            /* what it was told to write is not written yet */
    bool no_room;         /* for snapshots: none can be begun */
    bool full;            /* nor can any more be written to one */
    int snapshot;         /* file that was opened last to write one; 0: none */
    size_t bytes;         /* sent to it, up or down */
    size_t lives, handed; /* handed: effects of own commands in this life */
    uint8_t format;       /* see journal_raft_options */
};

struct trio_packet {
    uint64_t from, to;
    struct buf bytes;
};

/* Whether a message is lost; NULL: none is. */
typedef bool trio_loss(struct trio *trio, const struct trio_packet *packet);

struct trio {
    struct trio_node nodes[TRIO_NODES];
    struct members founders;
    uint64_t now_ms;
    uint64_t snapshot_bytes;
    uint32_t part_bytes;              /* see journal_raft_options */
    bool cut[TRIO_NODES][TRIO_NODES]; /* from, to */
    trio_loss *loss;
    struct trio_packet *packets; /* on their way, in order */
    size_t count, capacity;
    size_t sent, largest; /* messages, and bytes of the largest one, ever */
    size_t sent_bytes;    /* ever */
    size_t kinds[7];      /* messages by their first byte */

    uint64_t session, request; /* the client's; 0: none yet */
    uint64_t term;             /* in which it asked last */
    size_t replies;            /* confirmed puts */
    size_t refused;
};

/* So many founders; all of them are up. */
void trio_init(struct trio *trio, size_t nodes);
/* The same with settings of the test's own: time and what the nodes are opened with. */
void trio_found(struct trio *trio, size_t nodes);
void trio_fini(struct trio *trio);

/* false: node->error says why. */
bool trio_open(struct trio *trio, uint64_t id, bool join);
/* As a crash would leave it; `lose`: what is not durable is forgotten. */
void trio_crash(struct trio *trio, uint64_t id, bool lose);
void trio_close(struct trio *trio, uint64_t id);

/* Time goes on. */
void trio_step(struct trio *trio);
void trio_run(struct trio *trio, unsigned steps);

/* A node that is ready, or NULL. */
struct trio_node *trio_leader(struct trio *trio);
/* Waits for one. */
struct trio_node *trio_elect(struct trio *trio);

/* Opens the client's session if there is none; then puts so many, some at a time, and waits until
 * each is confirmed. */
void trio_put(struct trio *trio, size_t count);
/* So many entries of about 100 KB, one after the other. */
void trio_put_large(struct trio *trio, size_t count);
/* Gives one put to a node that is ready, and does not wait. */
void trio_put_one(struct trio *trio, struct trio_node *node);

/* Waits until all that are up have applied the same, and compares their states. */
void trio_settle(struct trio *trio);
/* As above, but for one node, which may be behind. */
void trio_settle_but(struct trio *trio, uint64_t id);
struct raft_status trio_status(struct trio *trio, uint64_t id);
/* Cuts a node off, both ways, or not. */
void trio_isolate(struct trio *trio, uint64_t id, bool isolated);
/* How many messages stand in the queue that the client puts to, on this node. */
size_t trio_messages(struct trio *trio, uint64_t id);

#endif
