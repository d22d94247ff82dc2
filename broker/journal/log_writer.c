/* The log's threads. See log_writer.h. */
#include "broker/journal/log_writer.h"

#include "common/base/panic.h"

#include <czmq.h>
#include <pthread.h>

/* The pipe orders memory already; race detectors that do not see into libzmq see this. */
static void hand_over(struct log_job *job)
{
    atomic_store_explicit(&job->turn, 1, memory_order_release);
}

static void take_over(struct log_job *job)
{
    (void)atomic_load_explicit(&job->turn, memory_order_acquire);
}

static void send_job(zsock_t *pipe, struct log_job *job)
{
    hand_over(job);
    zframe_t *frame = zframe_new(&job, sizeof job);
    int status = zframe_send(&frame, pipe, 0);
    STEWARD_ASSERT(status == 0); /* one message at a time: the pipe is never full */
}

/* NULL for anything else than a job: the order to end, or an ending context. */
static struct log_job *receive_job(zsock_t *pipe)
{
    struct log_job *job = NULL;
    zframe_t *frame;
    do {
        errno = 0;
        frame = zframe_recv(pipe);
    } while (frame == NULL && errno == EINTR);
    if (frame != NULL && zframe_size(frame) == sizeof job) {
        memcpy(&job, zframe_data(frame), sizeof job);
        take_over(job);
    }
    zframe_destroy(&frame);
    return job;
}

static void worker_main(zsock_t *pipe, void *argument)
{
    struct log_job *job;
    (void)argument;
    /* Signals are for the process's own thread. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_setname_np(pthread_self(), "steward-log");
    zsock_signal(pipe, 0);
    while ((job = receive_job(pipe)) != NULL) {
        log_job_run(job);
        send_job(pipe, job);
    }
}

void log_worker_start(struct log_worker *worker, bool thread)
{
    *worker = (struct log_worker){.actor = NULL};
    if (thread) {
        worker->actor = zactor_new(worker_main, NULL);
        STEWARD_ASSERT(worker->actor != NULL); /* out of memory or threads, at start */
    }
}

void log_worker_stop(struct log_worker *worker)
{
    if (worker->actor != NULL) {
        zactor_t *actor = worker->actor;
        log_worker_collect(worker, true);
        zactor_destroy(&actor);
    }
    *worker = (struct log_worker){.actor = NULL};
}

void log_worker_submit(struct log_worker *worker, struct log_job *job)
{
    STEWARD_ASSERT(worker->out == NULL);
    worker->out = job;
    if (worker->actor != NULL) {
        zsock_t *socket = zactor_sock(worker->actor);
        send_job(socket, job);
        /* The descriptor is edge-triggered: it tells of what comes after this question. */
        worker->early = (zsock_events(socket) & ZMQ_POLLIN) != 0;
    }
}

struct log_job *log_worker_collect(struct log_worker *worker, bool wait)
{
    struct log_job *job = worker->out;
    if (job == NULL) {
        return NULL;
    }
    if (worker->actor == NULL) {
        const struct log_io *io = job->dir->io;
        if (!wait && io->busy && io->busy(io->context)) {
            return NULL;
        }
        log_job_run(job);
    } else {
        zsock_t *socket = zactor_sock(worker->actor);
        if (!wait && !(zsock_events(socket) & ZMQ_POLLIN)) {
            return NULL;
        }
        struct log_job *got = receive_job(socket);
        STEWARD_ASSERT(got == job);
    }
    worker->out = NULL;
    worker->early = false;
    return job;
}

void *log_worker_socket(const struct log_worker *worker)
{
    return worker->actor ? zactor_sock(worker->actor) : NULL;
}
