/*
 * The replica: consensus around the core, as a function of events.
 *
 * Commands that are submitted gather; one entry of the log holds all that came since the last one
 * was begun (group commit), and one own entry is on its way at a time. An entry is applied once it
 * is committed and on this node's disk; the effects of own commands are handed on, while this node
 * leads. Whoever owns the replica has the log, the snapshots and the links, and tells what happened
 * there; the replica does no I/O, reads no clock and has no threads. The same entries make the same
 * core on any machine: the running hash compares.
 *
 * Life: new, recover (each item of the log, in order), start, then the events in any order. One
 * owner thread; nothing here may be called by what it calls.
 */
#ifndef BROKER_JOURNAL_REPLICA_H
#define BROKER_JOURNAL_REPLICA_H

#include "broker/core/core.h"
#include "broker/journal/journal.h"
#include "broker/journal/log.h"
#include "broker/journal/raft.h"
#include "broker/journal/snapshots.h"

struct replica;

/* What a replica needs of its owner. */
struct replica_host {
    void *context;
    /* Appends a copy to the log; returns the sequence of its record (see log_append). */
    uint64_t (*append)(void *context, const struct log_item *item);
    /* An entry of the log, borrowed until the next call; false: reading failed, for good. */
    bool (*read)(void *context, uint64_t index, struct log_item *out);
    /* Effects of an own command, committed and applied. */
    journal_applied *applied;
    /* An entry is about to be applied, own or not; borrowed until return. NULL: not wanted. */
    void (*entry)(void *context, const struct log_item *item);
    /* Bytes to another node, borrowed until return; may be lost. NULL: there are no others. */
    void (*send)(void *context, uint64_t node, struct slice bytes);
    /* Wanted: this snapshot, from the leader; then replica_installed, or replica_install_failed.
     * NULL: there are no others. */
    void (*install)(void *context, uint64_t leader, const struct consensus_snapshot *snapshot);
};

struct replica_options {
    uint64_t node;                      /* this node's id, > 0 */
    struct core *core;                  /* empty, or as of the snapshot; borrowed */
    struct cmd_bootstrap bootstrap;     /* of a fresh log */
    uint32_t election_ms, heartbeat_ms; /* 0: limits.h */
    uint32_t seed;
    uint8_t format;      /* newest version of entries to read and write; 0: entry_format */
    uint32_t part_bytes; /* of an entry that goes in parts; 0: limits.h */
    struct replica_host host;
};

/* Copies the options. */
struct replica *replica_new(const struct replica_options *options);
void replica_destroy(struct replica **replica);

/* An item that the log holds, from the first on. Ignores votes. */
void replica_recover(struct replica *replica, const struct log_item *item);

/* What the disk says. */
struct replica_disk {
    uint64_t term, vote;                  /* see log_vote; 0, 0: none */
    uint64_t last;                        /* see log_last_index */
    uint64_t payload_max;                 /* bytes: see log_payload_max; no command is larger */
    const struct snapshot_mark *snapshot; /* NULL: none; else the core is as of it */
    const struct members *founders; /* of a cluster that begins on an empty disk; NULL: join */
};

/* Everything is recovered. */
void replica_start(struct replica *replica, uint64_t now_ms, const struct replica_disk *disk);

/* NULL; or a sentence: an impossible state. Then nothing is done any more, and the process must end
 * and start again from disk. Borrowed. */
const char *replica_failure(const struct replica *replica);

/* The node that leads, as far as this one knows; 0: unknown. */
uint64_t replica_leader(const struct replica *replica);

/* Leads, and has applied its own first entry: commands may be submitted. */
bool replica_ready(const struct replica *replica);

/* Gathers a command; only while ready. Time that goes back counts as standing still. */
void replica_submit(struct replica *replica, uint64_t now_ms, const struct command *command);

/* End of a turn: appends what has gathered as the next entry, unless one is on its way; sends the
 * entries that other nodes lack, a bounded part of them. */
void replica_flush(struct replica *replica, uint64_t now_ms);

/* The log is durable up to this record. Nothing is applied yet: first the next entry may go. */
void replica_durable(struct replica *replica, uint64_t now_ms, uint64_t sequence);

/* Applies what is committed, up to a bound; then a new leader's first commands may have
 * gathered. */
void replica_apply(struct replica *replica, uint64_t now_ms);

/* When replica_tick is due; 0: there is more to apply or to send, go on with the next turn. */
uint64_t replica_deadline(const struct replica *replica);
void replica_tick(struct replica *replica, uint64_t now_ms);

/* What another node said, which is known to be `from`: its first byte says PEER_BYTES_CONSENSUS,
 * _MARK, _PART or _SEEN. NULL, or why it was dropped (static). */
enum peer_bytes {
    PEER_BYTES_CONSENSUS = 1, /* then: peer_encode() */
    PEER_BYTES_PULL = 2,      /* see transfer.h */
    PEER_BYTES_PIECE = 3,
    PEER_BYTES_MARK = 4, /* then: u8 version (1), u8 newest format of entries, u8 flags (1: the disk
                          * is nearly full, 2: you vote), u64 index, u64 hash */
    PEER_BYTES_PART = 5, /* see replica_large.c */
    PEER_BYTES_SEEN = 6,
};
const char *replica_receive(struct replica *replica, uint64_t now_ms, uint64_t from,
                            struct slice bytes);

/* `from` is there: it said something that is not for the replica. */
void replica_heard(struct replica *replica, uint64_t now_ms, uint64_t from);

/* This node's disk is nearly full, or not any more; and whether puts would be too much for the
 * cluster: for this node, or for so many voters that too few are left. */
void replica_set_tight(struct replica *replica, bool tight);
bool replica_tight(const struct replica *replica);

/* Membership and leadership: see consensus.h. */
enum consensus_result replica_change(struct replica *replica, uint64_t now_ms,
                                     enum raft_change what, uint64_t node);

/* ---- snapshots ---- */

/* What a snapshot of the core as it is now says of itself. false: not now (a snapshot is being
 * installed, or consensus does not know yet how far all is committed), or nothing new. */
bool replica_describe(const struct replica *replica, struct snapshot_mark *out);

/* An own snapshot is durable, as replica_describe said. Entries from keep_from on are kept for
 * nodes that are a little behind. Returns the index before which the log may be trimmed. */
uint64_t replica_snapshotted(struct replica *replica, uint64_t now_ms, uint64_t index,
                             uint64_t keep_from);

/* The snapshot that was wanted is durable, and the core is as of it. */
void replica_installed(struct replica *replica, uint64_t now_ms, const struct snapshot_mark *mark);

/* It cannot be had any more: the node goes on without, and is offered another. */
void replica_install_failed(struct replica *replica, uint64_t now_ms);
bool replica_installing(const struct replica *replica);

/* ---- what it knows ---- */

/* A COMMAND_TICK was submitted and is not applied yet: another one would be too much. */
bool replica_ticking(const struct replica *replica);

/* Bytes of commands submitted and not applied yet. */
uint64_t replica_backlog(const struct replica *replica);

/* The last entry that was applied, the running hash after it, and its last command's time. */
uint64_t replica_applied(const struct replica *replica);
uint64_t replica_hash(const struct replica *replica);
uint64_t replica_time_ms(const struct replica *replica);

/* What the log held at the start is not all applied. */
bool replica_replaying(const struct replica *replica);

/* Fills role, leader, term, indexes, hash, replaying, installing, format and peers; leaves the
 * rest. */
void replica_status(const struct replica *replica, struct raft_status *out);

#endif
