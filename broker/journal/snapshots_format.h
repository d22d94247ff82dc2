/*
 * The bytes of a snapshot file: docs/snapshot.md has them one by one.
 *
 *     header, 4 KiB | state, zeros up to 4 KiB | checksums of its blocks, zeros up to 4 KiB
 *
 * Every byte is under some checksum: a block's covers its zeros, the header's covers all before it
 * and has the table's. The same mark and state give the same bytes.
 */
#ifndef BROKER_JOURNAL_SNAPSHOTS_FORMAT_H
#define BROKER_JOURNAL_SNAPSHOTS_FORMAT_H

#include "broker/journal/snapshots.h"

#define SNAPSHOT_FORMAT_VERSION 1

/* bytes: what the parts of a file are multiples of, and the size of its header */
#define SNAPSHOT_ALIGN 4096

#define SNAPSHOT_BLOCK LIMIT_SNAPSHOT_BLOCK_BYTES

/* Where the parts of a file lie; all bytes. */
struct snapshot_shape {
    uint64_t state; /* as padded; begins behind the header */
    uint64_t blocks;
    uint64_t table; /* as padded; behind the state */
    uint64_t file;
};

/* For 1 to LIMIT_SNAPSHOT_STATE_BYTES of state. */
struct snapshot_shape snapshot_shape(uint64_t bytes);

/* Is this the size of some snapshot's file? */
bool snapshot_size_possible(uint64_t file_bytes);

/* bytes: how long block `number` is, padded. */
size_t snapshot_block_size(const struct snapshot_shape *shape, uint64_t number);

uint64_t snapshot_block_sum(const void *block, size_t size);

/* Over the padded table of a state of that many bytes. */
uint64_t snapshot_table_sum(const void *table, uint64_t size, uint64_t bytes);

void snapshot_header_encode(const struct snapshot_mark *mark, uint64_t table_sum,
                            uint8_t header[SNAPSHOT_ALIGN]);

/* Takes any bytes. NULL; or what is wrong, for a sentence; *newer: a format not known here. */
const char *snapshot_header_decode(const uint8_t header[SNAPSHOT_ALIGN], struct snapshot_mark *mark,
                                   uint64_t *table_sum, bool *newer);

#endif
