/*
 * What the log costs on this disk, beside what the disk alone does in the same run.
 *
 *   bench_log [DIRECTORY [SECONDS [raw]]]
 *
 * DIRECTORY (default: bench_log.data, here) is made and removed; each step runs SECONDS (2); with
 * `raw` only the disk alone is measured:
 *   raw      pwrite + fdatasync of 4 KiB and 256 KiB into a file whose blocks were written before,
 *            and O_DIRECT|O_DSYNC writes of the same sizes
 *   batches  256 KiB of 200-byte entries as one record, one in flight: MB/s, p50, p99
 *   latency  one entry of 200 bytes at a time, a record of 4 KiB
 *   group    entries of 200 bytes at given rates, and as fast as they are taken: what the entries
 *            wait until they are durable
 * then how long it takes to open the log again. Old entries are trimmed as it runs, so that
 * segments are recycled.
 */
#include "broker/journal/log.h"

#include "common/base/alloc.h"
#include "common/base/limits.h"

#include <czmq.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ENTRY_BYTES 200
#define RAW_BYTES   (64 * 1024 * 1024)
#define KEEP        100000            /* entries that are not trimmed */
#define AHEAD_BYTES (4 * 1024 * 1024) /* the most that gathers when nothing limits the rate */

struct samples {
    uint32_t *us10; /* tenths of microseconds */
    size_t count, capacity;
};

struct bench {
    struct disk_log *log;
    void *sockets[LOG_SOCKETS];
    zpoller_t *poller;
    uint64_t run_ns;
    struct samples samples;
};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void sample(struct samples *samples, uint64_t ns)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 65536;
        samples->us10 = mem_realloc(samples->us10, samples->capacity, sizeof *samples->us10);
    }
    samples->us10[samples->count++] = (uint32_t)(ns / 100);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* One line: name, MB/s, operations a second, p50, p99, longest; forgets the samples. */
static void report(struct samples *samples, const char *name, double bytes, uint64_t took_ns)
{
    qsort(samples->us10, samples->count, sizeof *samples->us10, compare);
    double seconds = (double)took_ns / 1e9;
    printf("%-34s %8.1f MB/s %9.0f /s   p50 %7.1f  p99 %8.1f  max %8.1f us\n", name,
           bytes / 1e6 / seconds, (double)samples->count / seconds,
           samples->us10[samples->count / 2] / 10.0,
           samples->us10[samples->count * 99 / 100] / 10.0,
           samples->us10[samples->count - 1] / 10.0);
    samples->count = 0;
}

/* ---- the disk alone ---- */

static int raw_open(const char *path, int flags)
{
    int file = open(path, O_RDWR | O_CREAT | flags, 0600);
    if (file < 0) {
        perror(path);
        exit(1);
    }
    return file;
}

/* A file whose blocks were written once. */
static void raw_prepare(const char *path, uint8_t *block, size_t size)
{
    int file = raw_open(path, 0);
    for (off_t at = 0; at < RAW_BYTES; at += (off_t)size) {
        if (pwrite(file, block, size, at) != (ssize_t)size) {
            perror(path);
            exit(1);
        }
    }
    fsync(file);
    close(file);
}

static void raw(struct bench *bench, const char *path, size_t size, bool direct)
{
    char name[64];
    uint8_t *block = aligned_alloc(4096, 256 * 1024);
    memset(block, 'x', 256 * 1024);
    raw_prepare(path, block, 256 * 1024);
    int file = raw_open(path, direct ? O_DIRECT | O_DSYNC : 0);
    uint64_t start = now_ns(), now = start;
    double bytes = 0;
    for (off_t at = 0; now - start < bench->run_ns; at = (at + (off_t)size) % RAW_BYTES) {
        uint64_t begun = now_ns();
        if (pwrite(file, block, size, at) != (ssize_t)size || (!direct && fdatasync(file) != 0)) {
            perror(path);
            exit(1);
        }
        now = now_ns();
        sample(&bench->samples, now - begun);
        bytes += (double)size;
    }
    snprintf(name, sizeof name, "raw %zu KiB, %s", size / 1024,
             direct ? "O_DIRECT|O_DSYNC" : "pwrite+fdatasync");
    report(&bench->samples, name, bytes, now - start);
    close(file);
    unlink(path);
    free(block);
}

/* ---- the log ---- */

static void append(struct bench *bench)
{
    static uint8_t payload[ENTRY_BYTES];
    struct log_item item = {.type = LOG_ENTRY,
                            .term = 1,
                            .index = log_last_index(bench->log) + 1,
                            .payload = slice_of(payload, sizeof payload)};
    memcpy(payload, &item.index, sizeof item.index);
    log_append(bench->log, &item);
}

static void process(struct bench *bench, int timeout_ms)
{
    if (timeout_ms > 0) {
        zpoller_wait(bench->poller, timeout_ms);
    }
    if (!log_process(bench->log, now_ns() / 1000000)) {
        fprintf(stderr, "bench_log: %s\n", log_failure(bench->log)->text);
        exit(1);
    }
    if (log_last_index(bench->log) > KEEP) {
        log_trim(bench->log, log_last_index(bench->log) - KEEP);
    }
}

static void wait_durable(struct bench *bench)
{
    log_flush(bench->log, now_ns() / 1000000);
    while (log_durable(bench->log) < log_appended(bench->log)) {
        process(bench, 1000);
    }
}

/* One record of `entries` at a time. */
static void one_in_flight(struct bench *bench, const char *name, unsigned entries)
{
    uint64_t start = now_ns(), now = start;
    double bytes = 0;
    while (now - start < bench->run_ns) {
        uint64_t begun = now_ns();
        for (unsigned i = 0; i < entries; i++) {
            append(bench);
        }
        wait_durable(bench);
        now = now_ns();
        sample(&bench->samples, now - begun);
        bytes += (double)entries * ENTRY_BYTES;
    }
    report(&bench->samples, name, bytes, now - start);
}

/* What was appended together: how long it waits until it is durable. */
struct waiting {
    uint64_t sequence;
    uint64_t at_ns;
};

struct gathering {
    struct waiting *waiting; /* a ring, of GROUPS */
    size_t first, count;
    uint64_t entries; /* all that were appended */
};

/* A ring's size; entries appended at once, and how often at most, when nothing limits the rate. */
enum { GROUPS = 65536, GATHER_ENTRIES = 500, GATHER = AHEAD_BYTES / ENTRY_BYTES / GATHER_ENTRIES };

static void group_append(struct bench *bench, struct gathering *group, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        append(bench);
    }
    if (group->count < GROUPS) { /* else it is not measured, which a long stall can bring about */
        group->waiting[(group->first + group->count++) % GROUPS] =
            (struct waiting){log_appended(bench->log), now_ns()};
    }
    group->entries += entries;
    log_flush(bench->log, now_ns() / 1000000);
}

static void group_take(struct bench *bench, struct gathering *group)
{
    uint64_t now = now_ns();
    while (group->count > 0 && group->waiting[group->first].sequence <= log_durable(bench->log)) {
        sample(&bench->samples, now - group->waiting[group->first].at_ns);
        group->first = (group->first + 1) % GROUPS;
        group->count--;
    }
}

/* rate: entries a second; 0: as many as are taken */
static void group_commit(struct bench *bench, uint64_t rate)
{
    struct gathering group = {.waiting = mem_zalloc(GROUPS, sizeof(struct waiting))};
    char name[64];
    uint64_t start = now_ns(), now = start;
    while (now - start < bench->run_ns) {
        uint64_t due = (now - start) / 1000 * rate / 1000000;
        uint64_t most = AHEAD_BYTES / ENTRY_BYTES;
        if (rate == 0 && group.count < GATHER) {
            group_append(bench, &group, GATHER_ENTRIES);
        } else if (due > group.entries) {
            uint64_t entries = due - group.entries;
            group_append(bench, &group, entries < most ? entries : most);
        } else if (rate > 0) {
            nanosleep(&(struct timespec){.tv_nsec = 20000},
                      NULL); /* a loop that spins is no loop */
        }
        process(bench, rate == 0 && group.count >= GATHER ? 1000 : 0);
        group_take(bench, &group);
        now = now_ns();
    }
    wait_durable(bench);
    group_take(bench, &group);
    now = now_ns();
    snprintf(name, sizeof name, rate ? "group commit, %" PRIu64 "k/s" : "group commit, saturated",
             rate / 1000);
    printf("%-34s %8.0f entries/s:\n", name, (double)group.entries * 1e9 / (double)(now - start));
    report(&bench->samples, "  appended together", (double)group.entries * ENTRY_BYTES,
           now - start);
    free(group.waiting);
}

static void count_item(void *context, const struct log_item *item)
{
    uint64_t *bytes = context;
    *bytes += item->payload.size;
}

static void open_log(struct bench *bench, const char *directory)
{
    uint64_t bytes = 0, start = now_ns();
    struct log_error error;
    struct log_options options = {
        .directory = directory, .recovered = count_item, .context = &bytes};
    bench->log = log_open(&options, &error);
    if (bench->log == NULL) {
        fprintf(stderr, "bench_log: %s\n", error.text);
        exit(1);
    }
    log_sockets(bench->log, bench->sockets);
    bench->poller = zpoller_new(bench->sockets[0], bench->sockets[1], NULL);
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("opened in %.3f s: %.1f MB of entries\n", seconds, (double)bytes / 1e6);
    while (log_room(bench->log).pool < LIMIT_LOG_POOL_SEGMENTS) {
        process(bench, 1000);
    }
}

static void close_log(struct bench *bench)
{
    zpoller_destroy(&bench->poller);
    log_close(&bench->log);
}

static void remove_directory(const char *path)
{
    char name[4096];
    DIR *list = opendir(path);
    struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(name) != 0) {
            remove_directory(name);
        }
    }
    if (list) {
        closedir(list);
    }
    rmdir(path);
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "bench_log.data";
    uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 2;
    bool raw_only = argc > 3 && strcmp(argv[3], "raw") == 0;
    struct bench bench = {.run_ns = (seconds ? seconds : 1) * 1000000000u};
    char path[4096];
    if (access(directory, F_OK) == 0) {
        fprintf(stderr, "bench_log: %s is there already\n", directory);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    zsys_handler_set(NULL);
    if (raw_only) {
        raw(&bench, directory, 4096, true);
        raw(&bench, directory, 256 * 1024, true);
        raw(&bench, directory, 4096, false);
        free(bench.samples.us10);
        return 0;
    }
    open_log(&bench, directory);
    snprintf(path, sizeof path, "%s/raw", directory);
    for (int round = 0; round < 2; round++) {
        raw(&bench, path, 4096, false);
        raw(&bench, path, 4096, true);
        one_in_flight(&bench, "log, one entry (4 KiB record)", 1);
        raw(&bench, path, 256 * 1024, false);
        raw(&bench, path, 256 * 1024, true);
        one_in_flight(&bench, "log, 256 KiB of entries", 256 * 1024 / (ENTRY_BYTES + 24));
    }
    group_commit(&bench, 400000);
    group_commit(&bench, 1600000);
    group_commit(&bench, 0);
    close_log(&bench);
    open_log(&bench, directory);
    close_log(&bench);
    remove_directory(directory);
    free(bench.samples.us10);
    return 0;
}
