/*
 * The harness without a broker: a POSIX message queue of the kernel. Modes `lose` and `double`
 * break it on purpose, so that a test can see that the proof finds it.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/compare/harness.h"

#define QUEUE_MESSAGES 10 /* what every Linux allows */
#define BREAK_EVERY    100

struct link {
    mqd_t queue;
    bool lose, twice;
    size_t size;
    uint64_t count;
    char *body;
};

static mqd_t queue_open(const struct job *job, const char *name, int flags)
{
    char path[100];
    struct mq_attr attributes = {.mq_maxmsg = QUEUE_MESSAGES, .mq_msgsize = (long)job->size};
    snprintf(path, sizeof path, "/%s", name);
    mqd_t queue = mq_open(path, flags, 0600, &attributes);
    if (queue == (mqd_t)-1) {
        die("no message queue: %s", strerror(errno));
    }
    return queue;
}

/* Its name goes with the parent; the children inherit the descriptor. */
static mqd_t inherited;

static void prepare(const struct job *job, const char *name)
{
    char path[100];
    inherited = queue_open(job, name, O_RDWR | O_CREAT | O_EXCL);
    snprintf(path, sizeof path, "/%s", name);
    mq_unlink(path);
}

static void *link_open(const struct job *job, const char *name, unsigned roles)
{
    struct link *link = zalloc(1, sizeof *link);
    (void)name;
    (void)roles;
    link->queue = inherited;
    link->size = job->size;
    link->lose = strcmp(job->mode, "lose") == 0;
    link->twice = strcmp(job->mode, "double") == 0;
    link->body = zalloc(1, job->size);
    return link;
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    for (size_t i = 0; i < count; i++) {
        bool hit = ++link->count % BREAK_EVERY == 0;
        int times = hit && link->lose ? 0 : hit && link->twice ? 2 : 1;
        for (; times > 0; times--) {
            if (mq_send(link->queue, bodies + i * size, size, 0) != 0) {
                die("mq_send: %s", strerror(errno));
            }
        }
    }
}

static void confirm(void *context, size_t count)
{
    (void)context;
    (void)count;
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    struct timespec until;
    size_t count = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (; count < most; count++) {
        ssize_t size = mq_timedreceive(link->queue, link->body, link->size, NULL, &until);
        if (size < 0) {
            break;
        }
        note(noted, link->body, (size_t)size);
    }
    return count;
}

static void link_close(void *context)
{
    struct link *link = context;
    free(link->body);
    free(link);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "kernel",
                                     .prepare = prepare,
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
