/*
 * A thread that does the log's jobs: a zactor that gets pointers to jobs over its pipe and sends
 * them back when they are done. Without a thread the job is done when it is collected.
 *
 * One owner thread; at most one job is out at a time.
 */
#ifndef BROKER_JOURNAL_LOG_WRITER_H
#define BROKER_JOURNAL_LOG_WRITER_H

#include "broker/journal/log_job.h"

struct log_worker {
    void *actor;         /* zactor_t *; NULL: no thread */
    struct log_job *out; /* submitted, not collected yet */
    bool early;          /* it was done so soon that the socket's descriptor does not tell */
};

void log_worker_start(struct log_worker *worker, bool thread);

/* Waits for the job that is out, and ends the thread. */
void log_worker_stop(struct log_worker *worker);

/* Lends the job; does not block. */
void log_worker_submit(struct log_worker *worker, struct log_job *job);

/* The job that is done, or NULL; with `wait` it blocks until the one that is out is done. */
struct log_job *log_worker_collect(struct log_worker *worker, bool wait);

/* zsock_t * that is readable when a job is done; NULL without a thread. */
void *log_worker_socket(const struct log_worker *worker);

#endif
