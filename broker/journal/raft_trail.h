/*
 * How many bytes of the log lie behind an entry, roughly: points at every so many bytes. Decides
 * when a snapshot is worth taking, and how much of the log to keep behind it. Pure values.
 */
#ifndef BROKER_JOURNAL_RAFT_TRAIL_H
#define BROKER_JOURNAL_RAFT_TRAIL_H

#include <stddef.h>
#include <stdint.h>

/* count: points; with a step of a 64th of what lies between snapshots, four times that */
#define TRAIL_POINTS 256

struct trail {
    uint64_t step;  /* bytes between two points */
    uint64_t total; /* bytes so far */
    size_t count;
    struct trail_point {
        uint64_t index, bytes; /* the total before this entry */
    } points[TRAIL_POINTS];
};

/* Empty; step > 0. */
void trail_init(struct trail *trail, uint64_t step);

/* An entry of so many bytes was appended, or recovered. */
void trail_add(struct trail *trail, uint64_t index, uint64_t bytes);

/* Entries behind `last` are void. */
void trail_cut(struct trail *trail, uint64_t last);

/* bytes: of the entries behind `index`, one step too many at most. */
uint64_t trail_behind(const struct trail *trail, uint64_t index);

/* The first entry of the last `bytes` bytes; 0 when all there is are fewer. */
uint64_t trail_back(const struct trail *trail, uint64_t bytes);

#endif
