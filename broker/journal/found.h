/*
 * Founding a data directory from a state: what a restored backup becomes. The directory then holds
 * one snapshot and a log that goes on behind it, as after a snapshot that a leader sent.
 */
#ifndef BROKER_JOURNAL_FOUND_H
#define BROKER_JOURNAL_FOUND_H

#include "broker/journal/snapshots.h"

struct found_options {
    const char *directory;   /* missing, or empty */
    uint64_t node;           /* its only voter; > 0 */
    const struct log_io *io; /* NULL: real files */
    uint64_t segment_bytes;  /* 0: limits.h */
};

/*
 * Writes the core's state as the state after mark->at.index; the members become the node alone, of
 * the mark's index, term, hash and time are taken. Everything is durable when it returns. Blocks
 * for as long as that takes. false: `error` says why; what was begun is left behind.
 */
bool journal_found(const struct found_options *options, const struct snapshot_mark *mark,
                   const struct core *core, struct log_error *error);

#endif
