/*
 * The durable journal: a data directory, consensus and a core. One node on its own is a cluster of
 * one voter. Commands are applied once the entry that holds them is committed: on the disks of more
 * than half of the voters (docs/log.md); and come back in their order after any stop.
 *
 * One owner thread. Nothing blocks but opening, closing, and what says so.
 */
#ifndef BROKER_JOURNAL_RAFT_H
#define BROKER_JOURNAL_RAFT_H

#include "broker/journal/consensus.h"
#include "broker/journal/journal.h"
#include "broker/journal/log.h"

struct snapshots;

struct journal_raft_options {
    const char *directory;          /* made when missing */
    struct core *core;              /* empty; borrowed */
    struct cmd_bootstrap bootstrap; /* random, for a directory that is empty */
    uint64_t body_max;              /* bytes: no body is larger */
    uint64_t now_ms;
    journal_applied *applied; /* effects of own commands while leading; of nothing else */
    void *context;            /* of `applied` and `send` */

    uint64_t node; /* this node's id; 0: 1 */
    /* For an empty directory: the voters of a new cluster, the same list on each of them; or
     * `join`: wait until a leader adds us. Neither: this node alone. */
    const struct members *founders;
    bool join;
    /* Bytes for another node; borrowed until return; may be lost, doubled, late. NULL: no
     * others. */
    void (*send)(void *context, uint64_t node, struct slice bytes);
    uint32_t election_ms, heartbeat_ms; /* 0: limits.h */
    uint32_t seed;                      /* of election timeouts: random, another on each node */
    uint64_t snapshot_bytes;            /* of log between two snapshots; 0: limits.h */

    /* for tests and simulations */
    const struct log_io *io; /* NULL: real files */
    uint64_t segment_bytes;  /* 0: by body_max */
    bool no_threads;         /* no threads, descriptors or processes: process does it all */
    /* An entry is about to be applied, anybody's; borrowed until return. NULL: not wanted. */
    void (*entry)(void *context, const struct log_item *item);
    uint8_t format;      /* newest version that this node writes; 0: what this build knows */
    uint32_t part_bytes; /* of a large entry in one message; 0: limits.h */
};

/*
 * Opens the directory: the newest snapshot is loaded, the log read and checked (this blocks). What
 * the log holds is applied by and by, by journal_process; the core is not to be read before the
 * journal is ready. NULL: `error` says why.
 */
struct journal *journal_raft_open(const struct journal_raft_options *options,
                                  struct log_error *error);

/* As a crash would leave it: nothing more is written. For tests and simulations. NULLs. */
void journal_raft_abandon(struct journal **journal);

/* What another node, which is known to be `from`, has sent: any bytes; what makes no sense is
 * dropped and counted. Borrowed until return. */
void journal_raft_receive(struct journal *journal, uint64_t now_ms, uint64_t from,
                          struct slice bytes);

/* What is known of a member. Of others only the leader knows more than id and role. */
struct raft_peer {
    uint64_t id;
    bool voter;
    bool alive;                /* heard of lately; always true of this node */
    uint64_t match;            /* last entry that is known to be on its disk; 0: unknown */
    uint64_t hash_index, hash; /* what it said last of its state; 0: nothing yet */
};

/* What a journal of this kind tells of itself. */
struct raft_status {
    uint64_t node;
    enum consensus_role role;
    uint64_t leader; /* 0: unknown */
    uint64_t term;
    uint64_t applied, commit, first, last; /* indexes; first and last of what the log holds */
    uint64_t snapshot_index;               /* 0: there is none */
    uint64_t hash_index, hash;             /* running hash after an entry: see struct state_mark */
    uint64_t log_bytes;                    /* written since the last snapshot */
    uint64_t room_bytes;                   /* that the log may still take: see log_room */
    bool tight;                            /* see journal_tight */
    bool replaying;                        /* what the log held at the start is not all applied */
    bool installing;                       /* a snapshot of the leader's is on its way */
    uint64_t install_bytes, install_total; /* how far that is; 0, 0: not known yet */
    bool snapshotting;                     /* an own one is being written */
    uint8_t format;                        /* version of the entries that a leader writes */
    uint64_t dropped;                      /* messages of other nodes that were not used */
    const char *dropped_why;               /* the last one; NULL: none yet. Static */
    uint64_t promotion_failed;             /* node that did not catch up when last asked; 0: none */
    const char *snapshot_trouble;          /* why the last one failed; NULL: it did not. Borrowed */
    size_t peers_count;                    /* members, this node among them if it is one */
    struct raft_peer peers[LIMIT_NODES];
};

void journal_raft_status(const struct journal *journal, struct raft_status *out);

enum raft_change {
    RAFT_CHANGE_ADD = 1,  /* as a spare */
    RAFT_CHANGE_PROMOTE,  /* to a voter, once it has caught up: see promotion_failed */
    RAFT_CHANGE_REMOVE,   /* not the leader itself */
    RAFT_CHANGE_TRANSFER, /* leadership; node 0: to the best one */
};

/* Leader: begins a change. OK: it is under way; status shows when it is done. */
enum consensus_result journal_raft_change(struct journal *journal, uint64_t now_ms,
                                          enum raft_change what, uint64_t node);

/* The store of snapshots, for backups: read and hold only. Borrowed. */
struct snapshots *journal_raft_snapshots(struct journal *journal);

/* Begins a snapshot of everything that is applied. false: one is being written, or there is nothing
 * new, or not now (status says which). */
bool journal_raft_snapshot_now(struct journal *journal, uint64_t now_ms);

/*
 * The running hash over commands and effects up to an entry: replicas that applied the same entries
 * have the same. Only for journals of this kind.
 */
struct state_mark {
    uint64_t index, hash;
};
struct state_mark journal_raft_mark(const struct journal *journal);

#endif
