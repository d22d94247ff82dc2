/*
 * A disk in memory for tests of the log: it fails, tears, forgets and fills up as told.
 *
 * Writes are durable when they return if the file was opened LOG_OPEN_SYNCED, else after a sync;
 * renames and removals after sync_directory. disk_crash forgets what is not durable: of each
 * written sector and of the names' changes chance decides what had reached the disk already.
 */
#ifndef TESTS_UNIT_LOG_RIG_H
#define TESTS_UNIT_LOG_RIG_H

#include "broker/journal/log.h"
#include "broker/journal/log_format.h"

enum disk_call {
    DISK_WRITE,
    DISK_SYNC,
    DISK_RENAME,
    DISK_SYNC_DIRECTORY,
    DISK_ALLOCATE,
    DISK_SHRINK,
    DISK_OPEN,
    DISK_READ,
    DISK_CALLS
};

struct disk;

struct disk *disk_new(uint64_t seed);
void disk_free(struct disk **disk);
const struct log_io *disk_io(struct disk *disk);

/* The n-th call of this kind from now on fails with -error; 0: none does. */
void disk_fail(struct disk *disk, enum disk_call call, unsigned nth, int error);
/* Has a call of this kind failed as told? */
bool disk_failed(const struct disk *disk, enum disk_call call);
/* A write that fails writes some of its sectors nevertheless. */
void disk_tear(struct disk *disk, bool tear);
/* A write that is to fail is short instead. */
void disk_shorten(struct disk *disk, bool shorten);
/* bytes: of all files together */
void disk_limit(struct disk *disk, uint64_t bytes);
/* No LOG_OPEN_DIRECT: the log has to write and sync. */
void disk_refuse_direct(struct disk *disk);
/* Syncs say that all is well and do nothing, and synced writes are as others. */
void disk_lie(struct disk *disk, bool lie);
/* How often a kind of call was made. */
unsigned disk_count(const struct disk *disk, enum disk_call call);

/* What is not durable is forgotten; locks and handles are gone. */
void disk_crash(struct disk *disk);

/* A file's bytes, to be changed in place; NULL: there is none. The path has no directory. */
uint8_t *disk_file(struct disk *disk, const char *name, uint64_t *size);
void disk_resize(struct disk *disk, const char *name, uint64_t size);
void disk_remove(struct disk *disk, const char *name);
/* A copy of everything that is there. */
struct disk *disk_copy(const struct disk *disk);

/* ---- a log on it ---- */

#define RIG_SEGMENT LIMIT_LOG_SEGMENT_MIN_BYTES

/* What recovery handed on: one line an item, "entry 1 3 payload" and so on. */
struct rig {
    struct disk *disk; /* borrowed */
    struct disk_log *log;
    struct log_error error;
    struct buf lines;
    uint64_t now_ms;
};

/* Opens without threads; rig->log is NULL when that fails. */
void rig_open(struct rig *rig, struct disk *disk);
void rig_open_segments(struct rig *rig, struct disk *disk, uint64_t segment_bytes);
/* As a crash leaves it. */
void rig_abandon(struct rig *rig);
void rig_close(struct rig *rig);
void rig_fini(struct rig *rig);

/* Appends; the payload is a text, or `size` bytes that depend on the index. */
uint64_t rig_entry(struct rig *rig, uint64_t term, const char *payload);
uint64_t rig_fill(struct rig *rig, uint64_t term, size_t size);
uint64_t rig_vote(struct rig *rig, uint64_t term, uint64_t vote);
uint64_t rig_cut(struct rig *rig, uint64_t index);
/* Writes what has gathered, until nothing is in flight. */
bool rig_write(struct rig *rig);
/* Lets an idle log be sealed. */
void rig_seal(struct rig *rig);
/* The recovered lines as a text. */
const char *rig_lines(struct rig *rig);

#endif
