/* What the process asks of its host: most of it once, at start. */
#include "broker/shell/system.h"

#include "common/base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

/* version: the oldest libzmq without known remote overflows, as ZMQ_MAKE_VERSION */
#define SYSTEM_ZMQ_MIN ZMQ_MAKE_VERSION(4, 3, 3)

/* count: descriptors that are not connections: log, signals, libzmq's own, listeners */
#define SYSTEM_DESCRIPTORS_OWN 64

/*
 * bytes: packets of up to 1 MiB come and go thousands of times a second. Below these, glibc maps
 * and unmaps, or trims the heap, for each of them, and the kernel zeroes the pages anew. The core's
 * regions of messages are a little larger than 2 MiB: they go back to the system one by one.
 */
#define SYSTEM_MMAP_THRESHOLD_BYTES (2 * 1024 * 1024)
#define SYSTEM_TRIM_THRESHOLD_BYTES (64 * 1024 * 1024)

void system_random(void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        STEWARD_ASSERT(got > 0 || errno == EINTR);
        at += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
    }
}

const char *system_problem(void)
{
    int major = 0;
    int minor = 0;
    int patch = 0;
    zmq_version(&major, &minor, &patch);
    if (ZMQ_MAKE_VERSION(major, minor, patch) < SYSTEM_ZMQ_MIN) {
        return "libzmq is older than 4.3.3, which can be overrun from the network: update it";
    }
    return NULL;
}

static void raise_descriptors(struct log *log, uint64_t connections_max)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        limit.rlim_cur < connections_max + SYSTEM_DESCRIPTORS_OWN) {
        struct log_line line;
        log_begin(&line, log, LEVEL_INFO, "shell", "descriptors_low");
        log_number(&line, "limit", limit.rlim_cur);
        log_number(&line, "connections_max", connections_max);
        log_end(&line);
    }
}

void system_prepare(struct log *log, uint64_t connections_max)
{
    unsigned seed = 0;
    system_random(&seed, sizeof seed);
    /* tidy: allow banned: libzmq draws its first routing id from rand() and never seeds it */
    srand(seed);
    raise_descriptors(log, connections_max);
    mallopt(M_MMAP_THRESHOLD, SYSTEM_MMAP_THRESHOLD_BYTES);
    mallopt(M_TRIM_THRESHOLD, SYSTEM_TRIM_THRESHOLD_BYTES);
}

bool system_descriptors_exhausted(void)
{
    int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) {
        close(copy);
        return false;
    }
    return errno == EMFILE || errno == ENFILE;
}

static uint64_t ms_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_usec / 1000;
}

void system_usage(struct system_usage *out)
{
    struct rusage usage = {0};
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*s %llu", &pages) != 1) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    out->cpu_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
    out->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
