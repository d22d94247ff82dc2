/*
 * The durable journal: a data directory, consensus and a core. One node on its own is a cluster of
 * one voter. Commands are applied once the entry that holds them is on disk (docs/log.md), and come
 * back in their order after any stop.
 */
#ifndef BROKER_JOURNAL_RAFT_H
#define BROKER_JOURNAL_RAFT_H

#include "broker/journal/journal.h"
#include "broker/journal/log.h"

struct journal_raft_options {
    const char *directory;          /* made when missing */
    struct core *core;              /* empty; borrowed */
    struct cmd_bootstrap bootstrap; /* random, for a directory that is empty */
    uint64_t body_max;              /* bytes: no body is larger */
    uint64_t now_ms;
    journal_applied *applied; /* not called for what is applied again at a start */
    void *context;

    /* for tests */
    const struct log_io *io; /* NULL: real files */
    uint64_t segment_bytes;  /* 0: by body_max */
    bool no_threads;         /* no descriptors either: process does the work itself */
};

/*
 * Opens the directory; the core stays empty until it is polled, and then becomes ready. NULL:
 * `error` says why. Blocks while it reads what is in the directory.
 */
struct journal *journal_raft_open(const struct journal_raft_options *options,
                                  struct log_error *error);

/*
 * The running hash over commands and effects up to an entry: replicas that applied the same entries
 * have the same. Only for journals of this kind.
 */
struct state_mark {
    uint64_t index, hash;
};
struct state_mark journal_raft_mark(const struct journal *journal);

#endif
