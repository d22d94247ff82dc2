/* Inside the durable journal: its state, and what its files share. Only raft*.c includes this. */
#ifndef BROKER_JOURNAL_RAFT_PARTS_H
#define BROKER_JOURNAL_RAFT_PARTS_H

#include "broker/journal/class.h"
#include "broker/journal/raft.h"
#include "broker/journal/raft_trail.h"
#include "broker/journal/replica.h"
#include "broker/journal/snapshots.h"
#include "broker/journal/transfer.h"

struct raft_journal {
    struct disk_log *log;
    struct replica *replica;
    struct snapshots *snapshots;
    struct transfer *transfer;
    struct core *core;      /* borrowed */
    struct log_error error; /* of snapshots: trouble LOG_FINE, or it is final */
    const struct log_io *io;
    char *directory; /* owned */
    uint64_t node;
    uint64_t now_ms;

    journal_applied *applied;
    void (*entry)(void *context, const struct log_item *item);
    void (*send)(void *context, uint64_t node, struct slice bytes);
    void *context;

    /* snapshots and room: raft_snapshots.c */
    struct trail trail;
    uint64_t snapshot_bytes; /* of log between two */
    uint64_t segment_bytes;
    uint64_t last_bytes; /* of the last one */
    uint64_t last_index; /* of the last one */
    uint64_t retry_ms;   /* not before */
    bool no_room;        /* the disk has too little for the next one */
    bool tight;
    bool steps;                       /* nobody else writes them: process does */
    struct log_error trouble;         /* of the last one that failed; LOG_FINE: it did not */
    struct consensus_snapshot wanted; /* that is being installed */

    uint64_t dropped; /* messages */
    const char *dropped_why;
};

/* ---- raft_open.c ---- */

/* The class, for journal_self. */
extern const struct journal_class raft_class;

/* ---- raft_snapshots.c ---- */

/* What was written, and whether another one is due. */
void raft_snapshots_process(struct raft_journal *raft, uint64_t now_ms);
void raft_snapshots_consider(struct raft_journal *raft, uint64_t now_ms);
/* How much the log keeps for what makes room. */
void raft_snapshots_reserve(struct raft_journal *raft);
void raft_room(struct raft_journal *raft);
/* The leader has one for us; what another node says of snapshots. */
void raft_install(void *self, uint64_t leader, const struct consensus_snapshot *snapshot);
void raft_install_check(struct raft_journal *raft, uint64_t now_ms);
const char *raft_transfer(struct raft_journal *raft, uint64_t now_ms, uint64_t from,
                          struct slice bytes);

#endif
