/*
 * The replica: consensus around the core, as a function of events.
 *
 * Commands that are submitted gather; one entry of the log holds all that came since the last one
 * was begun (group commit), and one own entry is on its way to disk at a time. An entry is applied
 * once it is committed, and only then are the effects of its commands handed on. Whoever owns the
 * replica has the log, and tells how far it is durable; the replica does no I/O, reads no clock and
 * has no threads. The same entries make the same core on any machine: the running hash compares.
 *
 * Life: new, recover (each item of the log, in order), start, then the events in any order. When
 * the node leads and everything that the log held is applied, the replica is ready. A cluster of
 * one voter. One owner thread; nothing here may be called by what it calls.
 */
#ifndef BROKER_JOURNAL_REPLICA_H
#define BROKER_JOURNAL_REPLICA_H

#include "broker/core/core.h"
#include "broker/journal/journal.h"
#include "broker/journal/log.h"

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
};

struct replica_options {
    uint64_t node;                  /* this node's id, > 0 */
    struct core *core;              /* empty; borrowed */
    struct cmd_bootstrap bootstrap; /* of a fresh log */
    struct replica_host host;
};

/* Copies the options. */
struct replica *replica_new(const struct replica_options *options);
void replica_destroy(struct replica **replica);

/* An item that the log holds, from the first on. Ignores votes. */
void replica_recover(struct replica *replica, const struct log_item *item);

/* What an open log says of itself. */
struct replica_disk {
    uint64_t term, vote;  /* see log_vote; 0, 0: none */
    uint64_t payload_max; /* bytes: see log_payload_max; no command may be larger */
};

/* Everything is recovered. A fresh log is founded: a cluster of this node alone. */
void replica_start(struct replica *replica, uint64_t now_ms, const struct replica_disk *disk);

/* NULL; or a sentence: an impossible state. Then nothing is done any more, and the process must end
 * and start again from disk. */
const char *replica_failure(const struct replica *replica);

/* Leads, and has applied its own first entry: commands may be submitted. */
bool replica_ready(const struct replica *replica);

/* Gathers a command; only while ready. Time that goes back counts as standing still. */
void replica_submit(struct replica *replica, uint64_t now_ms, const struct command *command);

/* Appends what has gathered as the next entry, unless one is on its way. */
void replica_flush(struct replica *replica, uint64_t now_ms);

/* The log is durable up to this record. Nothing is applied yet: first the next entry may go. */
void replica_durable(struct replica *replica, uint64_t now_ms, uint64_t sequence);

/* Applies what is committed; then a new leader's first commands may have gathered. */
void replica_apply(struct replica *replica, uint64_t now_ms);

uint64_t replica_deadline(const struct replica *replica);
void replica_tick(struct replica *replica, uint64_t now_ms);

/* A COMMAND_TICK was submitted and is not applied yet: another one would be too much. */
bool replica_ticking(const struct replica *replica);

/* Bytes of commands submitted and not applied yet. */
uint64_t replica_backlog(const struct replica *replica);

/* The last entry that was applied, the running hash after it, and its last command's time. */
uint64_t replica_applied(const struct replica *replica);
uint64_t replica_hash(const struct replica *replica);
uint64_t replica_time_ms(const struct replica *replica);

#endif
