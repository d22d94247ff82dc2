/*
 * The log on disk: items are appended in order, and come back in that order after any stop.
 *
 * Items gather in memory; log_flush begins to write them. One record is in flight at a time, and
 * holds whatever had gathered when it was begun (group commit); a thread writes it. log_process
 * takes what the threads report: how far the log is durable, or that it failed. A failed write or
 * sync is final: nothing is tried again; the process must end and recover from the files.
 *
 * One owner thread, which never blocks here but in log_open, log_close, and in a log_read of an
 * entry that is not in memory any more. What is on disk and what is promised: docs/log.md.
 */
#ifndef BROKER_JOURNAL_LOG_H
#define BROKER_JOURNAL_LOG_H

#include "broker/journal/log_io.h"
#include "common/base/buf.h"

/* What is appended. An item counts once it is durable; those of one record count together. */
enum log_type {
    LOG_ENTRY = 1,    /* index: the last one's plus 1; term, tag, payload: as given */
    LOG_TRUNCATE = 2, /* entries behind index are void; the next has index + 1 */
    LOG_RESTART =
        3,        /* all entries are void; the next has index + 1 (a snapshot took their place) */
    LOG_VOTE = 4, /* term: the current one; index: the node voted for in it, 0: none */
};

struct log_item {
    enum log_type type;
    uint8_t tag; /* of an entry: the owner's own, e.g. what kind of entry it is */
    uint64_t term;
    uint64_t index;
    struct slice payload; /* of an entry; borrowed */
};

/* Called in log_open for each surviving item, in order; the payload is borrowed until return. */
typedef void log_recovered(void *context, const struct log_item *item);

struct log_options {
    const char *directory;     /* made when missing, mode 0700 */
    uint64_t segment_bytes;    /* 0: LIMIT_LOG_SEGMENT_BYTES; whole blocks of 4 KiB */
    uint32_t reserve_segments; /* see log_room; 0: LIMIT_LOG_RESERVE_SEGMENTS */
    log_recovered *recovered;  /* NULL: not wanted */
    void *context;             /* for `recovered` */
    const struct log_io *io;   /* NULL: real files; must outlive the log */
    bool no_threads;           /* log_process does the work itself: for simulations and tests */
};

/* Why a log cannot be opened, or stopped. */
enum log_trouble {
    LOG_FINE = 0,
    LOG_LOCKED,    /* another process uses the directory */
    LOG_NOT_OURS,  /* no data directory of Steward */
    LOG_NEWER,     /* a format that this build does not know */
    LOG_CORRUPTED, /* something that was confirmed is gone or changed */
    LOG_NO_ROOM,   /* too little room on disk to start */
    LOG_IO_FAILED, /* the system refused: errno's text is in the sentence */
};

struct log_error {
    enum log_trouble trouble;
    char text[1024]; /* whole sentences: which file, which byte, what to do */
};

struct disk_log;

/*
 * Opens a directory, recovers what is in it, and prepares to go on behind it. NULL: `error` says
 * why; then nothing on disk was changed, but for what an unfinished first start had left.
 */
struct disk_log *log_open(const struct log_options *options, struct log_error *error);

/* Reads and checks as log_open would, without a lock and without changing anything. */
bool log_verify(const struct log_options *options, struct log_error *error);

/* Writes what has gathered, waits for it, ends the threads. *log becomes NULL. */
void log_close(struct disk_log **log);

/* As a crash would leave it: nothing more is begun; waits for what the threads are at. */
void log_abandon(struct disk_log **log);

/* bytes: the largest payload of an entry; a record does not span segments. */
uint64_t log_payload_max(const struct disk_log *log);

/*
 * Appends a copy of an item. Returns the sequence of the record it will be in: it is durable when
 * log_durable has reached that. Asserts that an item follows what came before it.
 */
uint64_t log_append(struct disk_log *log, const struct log_item *item);

/* End of a loop turn: begins to write what has gathered, unless a record is in flight. */
void log_flush(struct disk_log *log, uint64_t now_ms);

/* Sockets of the log's threads (zsock_t *): when one is readable, or log_tick is due, call
 * log_process. */
#define LOG_SOCKETS 2
void log_sockets(struct disk_log *log, void *sockets[LOG_SOCKETS]);

/* Takes all reports, and goes on writing. false: the log failed; see log_failure. */
bool log_process(struct disk_log *log, uint64_t now_ms);

/* Why the log failed; trouble LOG_FINE: it did not. */
const struct log_error *log_failure(const struct disk_log *log);

/* Sequence up to which all is durable, and the last one that was given out. */
uint64_t log_durable(const struct disk_log *log);
uint64_t log_appended(const struct disk_log *log);

/* When log_tick is due (ms), UINT64_MAX: never. It seals an idle log and looks for room again. */
uint64_t log_deadline(const struct disk_log *log);
void log_tick(struct disk_log *log, uint64_t now_ms);

/* Entries before `index` are not needed any more: files that hold nothing else are recycled. */
void log_trim(struct disk_log *log, uint64_t index);

struct log_room {
    uint64_t bytes;    /* that can be appended before the reserve is touched */
    bool disk_full;    /* the pool of files cannot grow now: refuse what only adds */
    uint32_t segments; /* files that hold records, */
    uint32_t pool;     /* and that stand ready for more */
};

/*
 * Room that is allocated already, so that writing into it cannot fail for want of room. The last
 * `reserve` segments are for what makes room: acks, releases, snapshots.
 */
struct log_room log_room(const struct disk_log *log);
void log_set_reserve(struct disk_log *log, uint32_t segments);

/* The entries there are; first = last + 1: none. Appended ones count, durable or not. */
uint64_t log_first_index(const struct disk_log *log);
uint64_t log_last_index(const struct disk_log *log);

/* Term of an entry; 0 when there is none of that index. */
uint64_t log_term(const struct disk_log *log, uint64_t index);

/* The last LOG_VOTE that was appended. */
void log_vote(const struct disk_log *log, uint64_t *term, uint64_t *vote);

/*
 * An entry, from memory or from its file; the payload is borrowed until the next call with this
 * log. false: there is none of that index, or reading failed (then log_failure says so).
 */
bool log_read(struct disk_log *log, uint64_t index, struct log_item *out);

#endif
