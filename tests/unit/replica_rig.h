/*
 * A replica on a disk in memory with a real core, for tests: every step is the test's own, so a
 * write can be withheld, torn or lost; and a random stream of commands that is remembered.
 */
#ifndef TESTS_UNIT_REPLICA_RIG_H
#define TESTS_UNIT_REPLICA_RIG_H

#include "broker/journal/replica.h"
#include "tests/unit/log_rig.h"

#define NODE_SEGMENT  (256 * 1024)
#define NODE_SESSIONS 3

/* A command that was submitted. */
struct said {
    struct buf bytes; /* encoded */
    uint64_t now_ms;
    uint64_t effects; /* their hash, once it was applied */
    bool confirmed;   /* its effects were handed on */
};

/* An entry on its way: `commands` of this life stand in it or before it. */
struct sent {
    uint64_t sequence;
    size_t commands;
};

struct node {
    struct disk *disk; /* borrowed */
    struct disk_log *log;
    struct replica *replica;
    struct core *core;
    uint64_t now_ms;
    uint64_t random;

    struct said *said;
    size_t said_count;
    size_t answered; /* of said: so many have been handed on */

    struct sent *sent; /* of this life */
    size_t sent_count;
    size_t handed; /* callbacks in this life */
    bool early;    /* effects were handed on before their entry was durable */

    uint64_t sessions[NODE_SESSIONS]; /* ids; 0: not open */
    uint64_t requests[NODE_SESSIONS]; /* last request id */
    size_t opening;
};

void node_init(struct node *node, struct disk *disk, uint64_t seed);
/* false: the disk failed. */
bool node_open(struct node *node);
/* One turn: begins to write what gathered, completes it, applies. false: the disk failed. */
bool node_turn(struct node *node);
/* Turns until it is ready. false: the disk failed. */
bool node_lead(struct node *node);
/* As a crash leaves it; the disk is left as it is. */
void node_stop(struct node *node);
void node_fini(struct node *node);

uint32_t node_random(struct node *node, uint32_t below);
void node_submit(struct node *node, const struct command *command);
/* A random command, by a session if there is one. */
void node_say(struct node *node);

/*
 * Reads the log of an open node: the commands in it must be those that were said, in their order,
 * all that were confirmed among them; and a memory journal that is fed with them must hand on the
 * same effects, and have the hash that the node has, which must have applied everything. What was
 * said and is not in the log is forgotten. Returns that journal's core.
 */
struct core *node_judge(struct node *node);
/* Both cores have the same snapshot. */
bool node_same(const struct core *one, const struct core *other);

#endif
