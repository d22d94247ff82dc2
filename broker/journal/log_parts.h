/* The log's own structures: private to broker/journal/log*.c. */
#ifndef BROKER_JOURNAL_LOG_PARTS_H
#define BROKER_JOURNAL_LOG_PARTS_H

#include "broker/journal/log_recover.h"
#include "broker/journal/log_writer.h"

/* The items of one record, in memory. */
struct log_batch {
    struct log_batch *next;  /* newer */
    uint8_t *data;           /* aligned to LOG_BLOCK */
    uint64_t capacity;       /* bytes, whole blocks */
    uint64_t used;           /* bytes, header included */
    struct log_state before; /* what a segment says that begins with this record */
    uint64_t cut;            /* smallest index that entries were cut to; UINT64_MAX: none were */
    uint64_t max_index;      /* largest index in it that is not void; 0: none */
    bool seal;
};

/* How the disk's files stand; touched by the owner's thread only. */
struct log_files {
    struct log_segment *segments; /* used ones, oldest first; the last is written, if `current` */
    size_t count;
    bool current;    /* the last segment takes records */
    bool beginning;  /* its header is in flight */
    uint64_t offset; /* where its next record goes */
    int file;
    bool direct;
    bool have_next; /* a prepared segment waits: */
    struct log_segment next;
    int next_file;
    bool next_direct;
    struct log_names pool;
    uint64_t pool_number; /* the next name in the pool */
    uint64_t segment_bytes;
    uint64_t reserve;     /* segments */
    uint64_t trim_index;  /* entries before it are not needed */
    bool disk_full;       /* the last new file found no room: */
    uint64_t retry_at_ms; /* when to look again */
};

/* The file that entries are read back from. */
struct log_reader {
    int file; /* -1: none */
    uint64_t ordinal;
    uint8_t *data; /* one record, aligned */
    uint64_t capacity;
    uint64_t sequence; /* of the record in `data`; 0: none */
};

struct disk_log {
    struct log_dir dir;
    struct log_error failure;
    struct log_state state; /* behind the last item appended; sequence: of the next batch */
    uint64_t durable;       /* sequence */
    uint64_t now_ms;
    uint64_t seal_at_ms; /* UINT64_MAX: not waited for */
    /* Batches, oldest first: durable ones that are kept, the one in flight, those that gather. */
    struct log_batch *oldest, *newest;
    struct log_batch *flight; /* the first that is not durable */
    uint64_t recent_bytes;
    struct log_batch *spare; /* at most SPARE_BATCHES */
    unsigned spares;
    struct log_index index;
    struct log_files files;
    struct log_reader reader;
    struct log_worker writer, helper;
    struct log_job write_job, help_job;
    bool ending; /* nothing new is begun but what has gathered */
};

/* Puts the failure where log_failure finds it, and returns false. */
bool log_fail(struct disk_log *log, const struct log_error *error);

/* Begins what the pool needs, unless the helper is at work. */
void log_help(struct disk_log *log);

/* Takes what the helper has done. */
bool log_helped(struct disk_log *log, const struct log_job *job);

/* Makes the prepared segment the one that takes records; false: none is ready. */
bool log_files_advance(struct disk_log *log);

/* Looks for room again when it is time. */
void log_files_tick(struct disk_log *log);

/* Segments that stand ready. */
uint64_t log_files_ready(const struct disk_log *log);

/* Removes what a start need not keep, and makes the first segment ready. Blocks. */
bool log_files_start(struct disk_log *log, const struct log_listing *listing,
                     struct log_error *error);
void log_files_stop(struct disk_log *log);

void log_reader_fini(struct disk_log *log);

#endif
