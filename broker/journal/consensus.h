/*
 * Consensus: Raft, as a pure function of events to outputs.
 *
 * One `struct consensus` is one node's view of its cluster. It knows the log's indexes and terms,
 * never its contents; it does no I/O, reads no clock and has no threads: whoever owns it (the
 * replica) tells what happened, and carries out what comes back. libraft's raft_step() does the
 * thinking; no other file knows it. docs/decisions/libraft.md says which of its faults are guarded
 * against here.
 *
 * Every call may hand outputs to `emit`, before it returns and in the order in which they must be
 * carried out. `emit` must not call back; what an output points to is valid until it returns.
 * Times are milliseconds of one clock that does not go backwards. One owner thread.
 */
#ifndef BROKER_JOURNAL_CONSENSUS_H
#define BROKER_JOURNAL_CONSENSUS_H

#include "broker/journal/peer_message.h"

struct consensus;

enum consensus_role {
    CONSENSUS_FOLLOWER = 1,
    CONSENSUS_CANDIDATE,
    CONSENSUS_LEADER,
};

enum consensus_output_type {
    /* term, vote: on disk before any SEND of this or a later call leaves. */
    CONSENSUS_PERSIST_VOTE = 1,
    /* entries, entries_count: cut the log at `index`, append them from there, begin to write. */
    CONSENSUS_APPEND,
    /* The whole log is void; the next entry will be `index`. Only inside consensus_start and
     * consensus_installed. */
    CONSENSUS_LOG_RESET,
    /* snapshot: fetch its state from `leader`, make it durable, then consensus_installed(). Until
     * then keep the old log and snapshot on disk, and apply nothing. */
    CONSENSUS_INSTALL,
    /* message: to message->to. A lost one does no harm. */
    CONSENSUS_SEND,
    /* role, term, leader (0: unknown). */
    CONSENSUS_ROLE,
    /* Apply everything up to `index`: it is committed, and durable here. */
    CONSENSUS_APPLY,
    /* node: did not catch up, and stays a spare. */
    CONSENSUS_PROMOTION_FAILED,
    /* text: an impossible state. Stop, start again from disk; later calls do nothing. */
    CONSENSUS_FATAL,
};

/* What a snapshot stands for. index 0: there is none. */
struct consensus_snapshot {
    uint64_t index, term; /* of the last entry in it */
    uint64_t members_index;
    struct members members; /* as of `index`; made by the entry at members_index */
};

struct consensus_output {
    enum consensus_output_type type;
    enum consensus_role role;
    uint64_t term, vote, index, leader, node;
    const struct log_entry *entries;
    size_t entries_count;
    const struct consensus_snapshot *snapshot;
    const struct peer_message *message;
    const char *text;
};

typedef void consensus_emit(void *context, const struct consensus_output *output);

struct consensus_options {
    uint64_t id;           /* this node, > 0 */
    uint32_t seed;         /* of election timeouts; differs between nodes */
    uint32_t election_ms;  /* least time without a leader before an election */
    uint32_t heartbeat_ms; /* much less than election_ms */
    uint32_t install_ms;   /* a snapshot that took longer is announced again */
    uint32_t inflight_max; /* entries sent to one node and not yet acknowledged */
    consensus_emit *emit;
    void *context;
};

/* Entries after the previous run's `last` up to this `last` have this term. */
struct consensus_run {
    uint64_t last, term;
};

/* A change in the log. */
struct consensus_change {
    uint64_t index;
    struct members members;
};

/* What a node finds on its disk. All zero: a new node, which waits to be added to a cluster. The
 * founder of a cluster first writes term 1, no vote, and entry 1: a change of term 1. */
struct consensus_disk {
    uint64_t term, vote;
    struct consensus_snapshot snapshot;
    uint64_t first; /* of the log: at most snapshot.index + 1 */
    const struct consensus_run *runs;
    size_t runs_count;
    const struct consensus_change *changes; /* those in the log, in order */
    size_t changes_count;
};

enum consensus_result {
    CONSENSUS_OK = 0,
    CONSENSUS_NOT_LEADER, /* or leadership is being transferred */
    CONSENSUS_BUSY,       /* another change is under way, or the term has just begun */
    CONSENSUS_BAD_NODE,   /* no such member, or not in that role */
    CONSENSUS_IS_LEADER,  /* transfer leadership first */
    CONSENSUS_NO_TARGET,  /* nobody else votes */
    CONSENSUS_FULL,       /* LIMIT_NODES */
};

/* A sentence for the operator. */
const char *consensus_result_text(enum consensus_result result);

/* A node that has not started. Copies the options. */
struct consensus *consensus_new(const struct consensus_options *options);

/* Once, before anything else. Borrows `disk`. NULL, or a sentence that says what is impossible
 * about it: then nothing was started. */
const char *consensus_start(struct consensus *consensus, uint64_t now,
                            const struct consensus_disk *disk);

void consensus_destroy(struct consensus **consensus);

/* When consensus_tick is due; read it again after every call. */
uint64_t consensus_deadline(const struct consensus *consensus);
void consensus_tick(struct consensus *consensus, uint64_t now);

/* A message of an authenticated node of this cluster. Every value is checked. NULL, or a sentence
 * why it was dropped (for the log: drops are harmless, and some are usual). */
const char *consensus_receive(struct consensus *consensus, uint64_t now,
                              const struct peer_message *message);

/* The log is durable up to `index`, whose entry has this term. Late and repeated calls are fine. */
void consensus_persisted(struct consensus *consensus, uint64_t now, uint64_t index, uint64_t term);

/* The snapshot of the last CONSENSUS_INSTALL is durable and loaded. */
void consensus_installed(struct consensus *consensus, uint64_t now);

/* An own snapshot up to `index` (applied, more than the last one) is durable: afterwards the log
 * before consensus_first() may go. false while a snapshot is being installed, or it is older. */
bool consensus_snapshotted(struct consensus *consensus, uint64_t now, uint64_t index,
                           uint32_t trailing);

/* What a snapshot up to `index` has to say of itself. Requires applied entries not yet trimmed. */
void consensus_describe(const struct consensus *consensus, uint64_t index,
                        struct consensus_snapshot *out);

/* Leader: one entry; the payload is only passed on to APPEND. OK does not mean committed: that is
 * when APPLY reaches *index while the entry there still has this term. */
enum consensus_result consensus_submit(struct consensus *consensus, uint64_t now,
                                       struct slice payload, uint64_t *index);

/* Leader: membership, one change at a time. A node joins as a spare; promoting waits until it has
 * caught up, then makes it a voter. The leader itself cannot be removed. */
enum consensus_result consensus_add(struct consensus *consensus, uint64_t now, uint64_t node);
enum consensus_result consensus_promote(struct consensus *consensus, uint64_t now, uint64_t node);
enum consensus_result consensus_remove(struct consensus *consensus, uint64_t now, uint64_t node);

/* Leader: hands leadership to a voter, 0: the best one. Given up after one election timeout. */
enum consensus_result consensus_transfer(struct consensus *consensus, uint64_t now, uint64_t node);

enum consensus_role consensus_role(const struct consensus *consensus);
uint64_t consensus_term(const struct consensus *consensus);
/* 0: unknown. */
uint64_t consensus_leader(const struct consensus *consensus);
/* Known to be committed: may be more than this node has on disk. */
uint64_t consensus_commit(const struct consensus *consensus);
uint64_t consensus_first(const struct consensus *consensus); /* index of the log's first entry */
uint64_t consensus_last(const struct consensus *consensus);
/* The newest configuration in the log, committed or not; count 0: none yet. Borrowed. */
const struct members *consensus_members(const struct consensus *consensus);
/* Leader: the last entry that `node` is known to have; false when it is not a member. */
bool consensus_match(const struct consensus *consensus, uint64_t node, uint64_t *index);

#endif
