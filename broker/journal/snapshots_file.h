/*
 * Reading a snapshot's file: whatever comes out of it was verified before. Blocks while it reads.
 */
#ifndef BROKER_JOURNAL_SNAPSHOTS_FILE_H
#define BROKER_JOURNAL_SNAPSHOTS_FILE_H

#include "broker/journal/snapshots_format.h"

struct snapshot_file {
    const struct log_io *io; /* borrowed */
    const char *path;        /* borrowed */
    int file;
    struct snapshot_mark mark;
    struct snapshot_shape shape;
    uint8_t *table; /* padded */
    struct log_error *error;
};

/* Reads and verifies the header and the table. false: *error says why, nothing is open. */
bool snapshot_file_open(struct snapshot_file *file, const struct log_io *io, const char *path,
                        struct log_error *error);
void snapshot_file_close(struct snapshot_file *file);

/* A block of the state into SNAPSHOT_BLOCK bytes. false: *error says why. */
bool snapshot_file_block(struct snapshot_file *file, uint64_t number, uint8_t *block);

/* All blocks, and that the state is of a version that this build knows. */
bool snapshot_file_verify(struct snapshot_file *file);

/* The state into the core, in place, each block verified on its way; false: the core is empty. */
bool snapshot_file_load(struct snapshot_file *file, struct core *core);

#endif
