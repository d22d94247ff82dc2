/*
 * The blocking work of the log, one job at a time: write a record, fill a new file with zeros, make
 * a file of the pool the next segment, put a segment back into the pool.
 *
 * A job belongs to the owner's thread until it is submitted and after it was collected, to the
 * worker's thread in between. Jobs know nothing of threads: log_job_run does one, at once.
 */
#ifndef BROKER_JOURNAL_LOG_JOB_H
#define BROKER_JOURNAL_LOG_JOB_H

#include "broker/journal/log_dir.h"

#include <stdatomic.h>

enum log_job_kind { LOG_JOB_WRITE, LOG_JOB_FILL, LOG_JOB_PREPARE, LOG_JOB_RECYCLE };

/* Writes one record; before it, when `begin` is set, the header of its segment. */
struct log_job_write {
    int file;
    bool direct; /* the file was opened so that writes are durable when they return */
    bool begin;
    int old_file;                     /* closed first; -1: none */
    struct log_segment_header header; /* start.chain is set by the job */
    uint64_t offset;
    uint8_t *data;            /* log_record_extent(record.size) bytes, aligned to LOG_BLOCK */
    struct log_record record; /* previous, hash and so on are set by the job */
    uint64_t chain;           /* goes on from job to job */
};

/* Some of a new file: call again until `done`. */
struct log_job_fill {
    uint64_t number; /* its name in the pool */
    uint64_t size_bytes;
    uint64_t offset; /* how far it got; 0: begin */
    int file;
    bool hurry;   /* somebody waits for the file: no pauses */
    bool no_room; /* out: the disk is full; not a failure */
    bool done;    /* out */
};

/* From the pool to the next segment, with its file open. */
struct log_job_prepare {
    uint64_t number; /* in the pool; with `adopt`: it is in place already */
    bool adopt;
    uint64_t ordinal;
    struct log_segment_header header; /* out */
    int file;                         /* out */
    bool direct;                      /* out */
};

struct log_job_recycle {
    uint64_t ordinal;
    uint64_t number; /* its name in the pool */
};

struct log_job {
    atomic_int turn; /* passes what the pipe between threads carries on to race detectors, too */
    enum log_job_kind kind;
    const struct log_dir *dir; /* borrowed */
    uint8_t *scratch;          /* LOG_SCRATCH_BYTES, aligned to LOG_BLOCK */
    struct log_error error;    /* LOG_FINE: done */
    struct log_job_write write;
    struct log_job_fill fill;
    struct log_job_prepare prepare;
    struct log_job_recycle recycle;
};

/* bytes: zeros are written in pieces of this size, so that records get in between */
#define LOG_SCRATCH_BYTES (256 * 1024)

void log_job_init(struct log_job *job, const struct log_dir *dir);
void log_job_fini(struct log_job *job);

/* Blocks. */
void log_job_run(struct log_job *job);

#endif
