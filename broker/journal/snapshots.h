/*
 * Snapshots on disk: the core's whole state up to an entry of the log, so that the log before it
 * may go. The files in DIR/snapshot, how they are written, found again, sent and received.
 *
 *     DIR/snapshot/00000000000004d2.snapshot   state after entry 1234 (hexadecimal)
 *     DIR/snapshot/unfinished.snapshot         being written
 *     DIR/snapshot/receiving.snapshot          being received
 *
 * A snapshot is taken by a child process: fork() freezes the state in an instant, the child writes
 * its copy and says how it went. A file counts once it has its name, and it gets that only when all
 * of it is durable; a crash at any instant leaves the old one or the new one. The newest is kept,
 * the one before it (its blocks serve the next one), and one that is held.
 *
 * One owner thread. Calls block only where they say so. Bytes of a file: docs/snapshot.md.
 */
#ifndef BROKER_JOURNAL_SNAPSHOTS_H
#define BROKER_JOURNAL_SNAPSHOTS_H

#include "broker/core/core.h"
#include "broker/journal/consensus.h"
#include "broker/journal/log.h"

struct snapshots;

/* What a snapshot says of itself. */
struct snapshot_mark {
    struct consensus_snapshot at; /* the last entry in it, the members as of then */
    uint64_t hash;                /* running hash after it */
    uint64_t time_ms;             /* of the last command in it */
    uint64_t bytes;               /* of the state; 0 while not known */
};

struct snapshots_options {
    const char *directory;   /* the data directory, which exists and is locked by the caller */
    const struct log_io *io; /* NULL: real files; must outlive the store */
    bool no_fork;            /* serialised at begin, written in pieces by snapshots_process */
};

/*
 * Finds the newest whole snapshot (all of it is read and verified: this blocks) and removes what is
 * unfinished. NULL: `error` says why: reading failed, or a format that this build does not know.
 * A damaged file is passed over and stays as it is: see snapshots_damage.
 */
struct snapshots *snapshots_open(const struct snapshots_options *options, struct log_error *error);

/* Kills a child at work and waits for its end; what is unfinished stays behind. NULLs. */
void snapshots_close(struct snapshots **snapshots);

/* The file that open passed over although it is newer than the one in use: LOG_CORRUPTED and
 * sentences; LOG_FINE: none. Harmless as long as the log reaches back to what is in use. */
const struct log_error *snapshots_damage(const struct snapshots *snapshots);

/* The newest durable one, own or received; false: there is none. */
bool snapshots_newest(const struct snapshots *snapshots, struct snapshot_mark *out);

/* The newest one into the core, in place. Blocks. false: no file, not readable, or not a core's
 * state: the core is then empty, and `error` says why. */
bool snapshots_load(struct snapshots *snapshots, struct core *core, struct log_error *error);

/* ---- taking one ----------------------------------------------------------------------------- */

/*
 * Begins a snapshot of the core as it is now, which is the state after mark->at.index. mark->bytes
 * is not looked at. Returns within milliseconds for each GB of state, which the child then writes.
 * false: one is being written already, or there is one as new. What goes wrong later, fork() among
 * it, comes from snapshots_process.
 */
bool snapshots_begin(struct snapshots *snapshots, const struct snapshot_mark *mark,
                     const struct core *core);

bool snapshots_writing(const struct snapshots *snapshots);

/* A pipe that is readable when snapshots_process has something to find; -1 while there is none. */
int snapshots_descriptor(const struct snapshots *snapshots);

enum snapshots_event {
    SNAPSHOTS_NOTHING = 0,
    SNAPSHOTS_WRITTEN, /* durable: snapshots_newest gives it */
    SNAPSHOTS_FAILED,  /* the old one stays in use; error says why */
};

/*
 * Finds out how the one at work is going. Call it on every turn of a loop; it does not block but
 * for one sync of the directory at the end. After SNAPSHOTS_FAILED: trouble LOG_IO_FAILED is final,
 * the process must end; LOG_NO_ROOM (disk or memory full, the child was killed) is not: try again
 * later.
 */
enum snapshots_event snapshots_process(struct snapshots *snapshots, struct log_error *error);

/* ---- sending -------------------------------------------------------------------------------- */

/* bytes: of the whole file of the snapshot at that index; false: not kept (any more). */
bool snapshots_size(struct snapshots *snapshots, uint64_t index, uint64_t *bytes);

/* Reads of that file as it lies on disk, header and checksums included. Blocks for that long.
 * Returns how many bytes, 0 at the end, -errno: -ENOENT when it is not kept. */
int64_t snapshots_read(struct snapshots *snapshots, uint64_t index, uint64_t offset, void *out,
                       size_t size);

/* Keeps the one of that index although newer ones come; 0: none. One at a time for followers, and
 * one for a backup. */
void snapshots_hold(struct snapshots *snapshots, uint64_t index);
void snapshots_hold_backup(struct snapshots *snapshots, uint64_t index);

/* ---- receiving ------------------------------------------------------------------------------ */

/* Begins to receive the file of another node's snapshot; one that was being received is dropped.
 * false: no room for it (LOG_NO_ROOM), not a possible size (LOG_CORRUPTED), LOG_IO_FAILED. */
bool snapshots_receive_begin(struct snapshots *snapshots, uint64_t index, uint64_t bytes,
                             struct log_error *error);

/* bytes: received so far, the offset of the next piece; 0 also when nothing is being received. */
uint64_t snapshots_received(const struct snapshots *snapshots);

/* The next piece; one at another offset is passed over (true). Blocks while it is written. false:
 * not what was announced (LOG_CORRUPTED, LOG_NEWER), LOG_NO_ROOM, LOG_IO_FAILED (final): nothing is
 * being received any more. */
bool snapshots_receive(struct snapshots *snapshots, uint64_t offset, struct slice piece,
                       struct log_error *error);

/* All should be there: syncs it, then it is the newest. Every piece was verified as it came. Blocks
 * for two syncs. false: something is missing or damaged (LOG_CORRUPTED: ask again), LOG_IO_FAILED
 * (final). Nothing is being received any more, either way. */
bool snapshots_receive_end(struct snapshots *snapshots, struct log_error *error);

/* Drops what was received. */
void snapshots_receive_cancel(struct snapshots *snapshots);

/* ---- one file, without a store -------------------------------------------------------------- */

/* Reads and verifies all of a file; a backup is such a file. NULL io: real files. Blocks. false:
 * error says why (LOG_CORRUPTED, LOG_NEWER, LOG_IO_FAILED). mark may be NULL. */
bool snapshot_verify(const struct log_io *io, const char *path, struct snapshot_mark *mark,
                     struct log_error *error);

/* As snapshot_verify, and its state into the core, in place; empty when false. */
bool snapshot_load(const struct log_io *io, const char *path, struct core *core,
                   struct snapshot_mark *mark, struct log_error *error);

/* Writes a file, durable when this returns (its directory not yet). Blocks. The path must not exist
 * or may be overwritten. */
bool snapshot_write(const struct log_io *io, const char *path, const struct snapshot_mark *mark,
                    const struct core *core, struct log_error *error);

#endif
