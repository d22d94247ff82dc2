/*
 * The consensus adapter's own simulation: nodes, their disks and the network between them, in one
 * process, on simulated time, from one seed. Entries only: no manager, no state but the log.
 *
 * A world lives through a time of faults (crashes that lose unsynced writes, partitions, lost,
 * doubled, late and reordered packets, pauses, membership changes, transfers, snapshots), then the
 * faults end and it has to make progress. Every output of every node is checked on the way.
 */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include "broker/journal/consensus.h"
#include "tests/sim/sim_random.h"

#define WORLD_NODES     8
#define WORLD_ENTRIES   3000 /* indexes of a log */
#define WORLD_TERMS     4000
#define WORLD_CONFIGS   512
#define WORLD_FAULTS    9
#define ELECTION_MS     300
#define HEARTBEAT_MS    50
#define PROGRESS_ROUNDS 40 /* election timeouts until everything must work again */

/* An entry as the simulation keeps it; a change's value is its number in world.configs. */
struct stored {
    uint64_t term, value;
    uint8_t type;
};

/* [first, last]; slot i is index i. */
struct stored_log {
    uint64_t first, last;
    struct stored entries[WORLD_ENTRIES];
};

enum write_kind { WRITE_APPEND, WRITE_RESET, WRITE_INSTALL, WRITE_SNAPSHOT };

/* A write under way. They become durable in order. */
struct write {
    enum write_kind kind;
    uint64_t done_at, index;
    size_t count;
    struct stored *entries;
    struct consensus_snapshot snapshot;
    uint32_t trailing;
};

struct disk {
    uint64_t term, vote;
    struct consensus_snapshot snapshot;
    struct stored_log log;
    struct write *writes;
    size_t writes_count, writes_capacity;
};

struct node {
    uint64_t id;
    bool exists; /* was ever started */
    uint64_t wakes_at, frozen_until;
    uint64_t applied, commit_seen;
    uint32_t incarnation;
    struct consensus *consensus; /* NULL: crashed */
    struct stored_log log;       /* what the node believes to be its log */
    struct disk disk;
};

struct packet {
    uint64_t at, order;
    uint64_t from, to;
    uint8_t *bytes;
    size_t size;
};

struct cluster {
    struct rng rng;
    uint64_t seed, now, order;
    struct node nodes[WORLD_NODES];
    bool cut[WORLD_NODES + 1][WORLD_NODES + 1]; /* from, to */
    uint32_t loss, twice, late;                 /* percent of packets */
    uint64_t delay_ms;
    uint32_t weights[WORLD_FAULTS]; /* of each kind of fault */
    struct packet *packets;         /* a heap by (at, order) */
    size_t packets_count, packets_capacity;
    struct members configs[WORLD_CONFIGS];
    size_t configs_count;
    struct {
        uint64_t node;
        uint32_t incarnation;
    } leaders[WORLD_TERMS];
    struct stored committed[WORLD_ENTRIES];
    uint64_t committed_last;
    uint64_t values, events_now;
    bool calm, trace, failed;
    char why[256];
    uint64_t elections, changes, installs, transfers, crashes, progress_ms;
};

/* Runs one seed; false: see why. */
bool cluster_live(struct cluster *world, uint64_t seed, bool trace);
void cluster_fini(struct cluster *world);

void cluster_fail(struct cluster *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cluster_trace(const struct cluster *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct node *cluster_node(struct cluster *world, uint64_t id);
/* The leader of the highest term that lives, or NULL. */
struct node *cluster_leader(struct cluster *world);
void cluster_wake(struct cluster *world, struct node *node);
void cluster_after(struct cluster *world, struct node *node); /* after each call into a node */

/* cluster_disk.c */
void cluster_disk_append(struct cluster *world, struct node *node,
                         const struct consensus_output *output);
void cluster_disk_reset_log(struct cluster *world, struct node *node, uint64_t index);
void cluster_disk_install(struct cluster *world, struct node *node,
                          const struct consensus_snapshot *snapshot);
void cluster_disk_snapshot(struct cluster *world, struct node *node);
uint64_t cluster_disk_due(const struct node *node);
void cluster_disk_finish(struct cluster *world, struct node *node);
void cluster_disk_crash(struct cluster *world, struct node *node);
void cluster_disk_start(struct cluster *world, struct node *node);
void cluster_disk_found(struct cluster *world, struct node *node, const struct members *members);

/* cluster_net.c */
void cluster_net_send(struct cluster *world, const struct node *node,
                      const struct peer_message *message);
uint64_t cluster_net_due(const struct cluster *world);
void cluster_net_deliver(struct cluster *world);

/* cluster_plan.c */
void cluster_plan_begin(struct cluster *world);
void cluster_plan_fault(struct cluster *world);
void cluster_plan_heal(struct cluster *world);
void cluster_plan_submit(struct cluster *world);
bool cluster_plan_change(struct cluster *world, struct node *leader);

#endif
