/*
 * Looking at a data directory from outside: what its log and its snapshots hold, and whether all of
 * it is whole. Nothing is changed, no lock is held; a process may be at work in it meanwhile, and
 * then what is just being written may look damaged: look again.
 */
#ifndef BROKER_JOURNAL_EXAMINE_H
#define BROKER_JOURNAL_EXAMINE_H

#include "broker/journal/snapshots.h"

/* count: snapshots that are told of; a directory holds three or so */
#define EXAMINED_SNAPSHOTS 16

struct examined_snapshot {
    uint64_t index; /* by its name */
    struct snapshot_mark mark;
    struct log_error trouble;
};

struct examination {
    bool locked;     /* a process uses it */
    uint64_t node;   /* whose it is; 0: not said yet */
    uint64_t log_id; /* of all segments */

    /* the log's files */
    uint64_t segments, pool; /* in use, in reserve */
    uint64_t segment_bytes;  /* all in use together */
    uint64_t first_ordinal, last_ordinal;
    uint64_t term, vote; /* without `verified`: as the newest segment begins */
    uint64_t last;       /* likewise: last entry */

    /* what was read of it */
    bool verified;
    uint64_t first;             /* entry; last + 1: none is there */
    uint64_t entries, commands; /* trimmed and void ones among them */
    uint64_t last_ms;           /* time of the last command; 0: none */
    struct log_error trouble;   /* of the directory and its log, or of how both fit together */

    struct examined_snapshot snapshots[EXAMINED_SNAPSHOTS]; /* ascending */
    size_t snapshots_count;
};

/* Fills in `out`. verify: reads every byte, else only how each file begins. Blocks. false: there is
 * some trouble in `out`. */
bool journal_examine(const char *directory, bool verify, struct examination *out);

#endif
