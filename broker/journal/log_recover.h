/*
 * Reads the segments of a data directory in order, hands every surviving item on, and judges the
 * first record that is not valid. Changes nothing. Not thread-safe.
 */
#ifndef BROKER_JOURNAL_LOG_RECOVER_H
#define BROKER_JOURNAL_LOG_RECOVER_H

#include "broker/journal/log_dir.h"
#include "broker/journal/log_index.h"

/* A segment, as the owner's thread knows it. */
struct log_segment {
    uint64_t ordinal;
    uint64_t incarnation;
    uint64_t size_bytes;
    uint64_t last_sequence; /* of the last record in it; 0: none */
    uint64_t max_index;     /* largest index of an entry in it that is not void; 0: none */
    unsigned flags;
};

struct log_recovery {
    const struct log_dir *dir; /* borrowed */
    log_recovered *recovered;  /* NULL: not wanted */
    void *context;
    struct log_index *index; /* filled when not NULL; borrowed */
    struct log_error *error; /* borrowed */

    struct log_state state;       /* behind the last surviving record */
    struct log_segment *segments; /* used ones, oldest first; owned */
    size_t count;
    bool prepared; /* a further one waits, unused: */
    struct log_segment next;
    bool torn; /* an unfinished record was cut: */
    uint64_t torn_ordinal, torn_offset;
};

/* false: `error` says why. Free `segments` in both cases. */
bool log_recover(struct log_recovery *recovery, const struct log_names *names);

/* Voids entries behind `index` in all segments that are known. */
void log_segments_cut(struct log_segment *segments, size_t count, uint64_t index);

/* Reads and checks the first block of a segment; without a log's id, of any log. */
bool log_segment_read(const struct log_dir *dir, uint64_t ordinal, struct log_segment_header *out,
                      struct log_error *error);

#endif
