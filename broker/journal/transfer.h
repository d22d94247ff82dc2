/*
 * A snapshot's way from one node to another: who needs it pulls it, piece by piece.
 *
 *     PULL    u8 2, u8 version (1), u64 index, u64 offset
 *     PIECE   u8 3, u8 version (1), u64 index, u64 bytes of the whole file, u64 offset, bytes
 *
 * A PIECE with 0 as the whole says that there is no such snapshot (any more). Pieces are those of
 * the file on disk, header and checksums included, LIMIT_SNAPSHOT_PIECE_BYTES at most; a few PULLs
 * are under way at a time, and what does not come is asked for again. All values are checked.
 *
 * One owner thread; blocks while one piece is read or written, and at the end while all is
 * verified.
 */
#ifndef BROKER_JOURNAL_TRANSFER_H
#define BROKER_JOURNAL_TRANSFER_H

#include "broker/journal/snapshots.h"

struct transfer;

struct transfer_options {
    struct snapshots *snapshots; /* borrowed */
    void (*send)(void *context, uint64_t node, struct slice bytes);
    void *context;
};

/* Copies the options. */
struct transfer *transfer_new(const struct transfer_options *options);
void transfer_destroy(struct transfer **transfer);

/* Fetches the snapshot of that index from that node; goes on where an earlier one of the same index
 * stopped. */
void transfer_begin(struct transfer *transfer, uint64_t now_ms, uint64_t node, uint64_t index);
/* Asks no more; what was received stays, in case the same is wanted again. */
void transfer_stop(struct transfer *transfer);

enum transfer_event {
    TRANSFER_NOTHING = 0,
    TRANSFER_DONE,   /* whole, verified and durable: snapshots_newest; nothing is under way now */
    TRANSFER_GONE,   /* the node has no such snapshot; nothing is under way now */
    TRANSFER_FAILED, /* error says why: the disk failed, or it is of a newer format */
};

/* Bytes of a PULL or a PIECE. *why: NULL, or why they were dropped (static). */
enum transfer_event transfer_receive(struct transfer *transfer, uint64_t now_ms, uint64_t from,
                                     struct slice bytes, const char **why);

/* Why it failed; trouble LOG_FINE: it did not. */
const struct log_error *transfer_error(const struct transfer *transfer);

/* When transfer_tick is due (ms); UINT64_MAX: never. */
uint64_t transfer_deadline(const struct transfer *transfer);
/* leader: who leads now, 0: unknown; it is asked for what does not come from another. */
void transfer_tick(struct transfer *transfer, uint64_t now_ms, uint64_t leader);

/* bytes: how far what is being fetched is; 0, 0: nothing has come yet. */
void transfer_progress(const struct transfer *transfer, uint64_t *have, uint64_t *total);

/* Index of the snapshot that another node fetches from here, or did just now; 0: none. */
uint64_t transfer_held(const struct transfer *transfer);

#endif
