/*
 * Writing a snapshot's file front to back, in blocks, past the page cache where that is possible;
 * the header comes last. Nothing here formats text or looks at errno's names: a forked child of a
 * process with threads may use it.
 */
#ifndef BROKER_JOURNAL_SNAPSHOTS_OUT_H
#define BROKER_JOURNAL_SNAPSHOTS_OUT_H

#include "broker/journal/snapshots_format.h"

/* How far a file came when something failed; 0: nothing did. */
struct snapshots_trouble {
    int64_t status;   /* -errno */
    const char *verb; /* "open", "write": static */
};

/* Called after every block, with what was written so far: to keep a pace. */
typedef void snapshots_pace(void *context, uint64_t bytes);

struct snapshots_out {
    const struct log_io *io; /* borrowed */
    snapshots_pace *pace;    /* NULL: none */
    void *context;           /* for `pace` */
    int file;                /* -1: none */
    bool direct;
    bool full;                        /* the disk had no room for what was expected */
    struct snapshots_trouble trouble; /* the first; then nothing more is done */
    uint8_t *block;                   /* SNAPSHOT_BLOCK bytes, aligned */
    size_t used;                      /* of it */
    uint64_t offset;                  /* in the file, of the block */
    uint64_t unsynced;                /* bytes */
    struct buf sums;                  /* of the blocks of state: the table, not padded */
};

/* Opens the file, which may exist: what it holds is overwritten. `expected` bytes are given their
 * blocks where the file system can do that; a full disk shows later. io, pace and context are set
 * by the caller, the rest is zero. */
void snapshots_out_open(struct snapshots_out *out, const char *path, uint64_t expected);

/* The next bytes of a part; takes up to the block's end, returns how many. A full block waits for
 * one of the two below. */
size_t snapshots_out_fill(struct snapshots_out *out, const void *data, size_t size);

/* Writes what is in the block, with zeros up to a multiple of 4 KiB. As part of the state: with its
 * checksum added to `sums`. */
void snapshots_out_state(struct snapshots_out *out);
void snapshots_out_plain(struct snapshots_out *out);

/* Everything else is written: the header, the file's size, a sync. Closes the file. */
void snapshots_out_end(struct snapshots_out *out, const uint8_t header[SNAPSHOT_ALIGN]);

/* The state, and then all that follows it and the header. */
void snapshots_out_add(struct snapshots_out *out, const void *data, size_t size);
void snapshots_out_finish(struct snapshots_out *out, const struct snapshot_mark *mark,
                          uint64_t bytes);

/* Closes the file if it is open, frees memory; `trouble` stays. */
void snapshots_out_fini(struct snapshots_out *out);

/* The whole core by way of snapshots_out_add; returns how many bytes it is. */
uint64_t snapshots_out_core(struct snapshots_out *out, const struct core *core);

/* Gives back a file's blocks a bit at a time, with pauses, so that the log beside it is not held
 * up. Returns 0 or -errno. */
int snapshots_shrink(const struct log_io *io, int file, uint64_t size);

#endif
