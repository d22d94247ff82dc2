/*
 * What the benchmarks share: processes that start together and count in shared memory.
 *
 * The parent forks before anybody opens a client: a handle belongs to one process. Each child opens
 * its own, says that it is ready, waits for the start, works until told to stop, and leaves
 * its counts, CPU time and latencies in its slot.
 */
#ifndef CLIENT_CLI_BENCH_H
#define CLIENT_CLI_BENCH_H

#include <stdatomic.h>

#include "client/cli/cli.h"

#define HISTOGRAM_BUCKETS 2048

/* Counts of nanoseconds in buckets 3 % wide; one writer. */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
};
void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Microseconds below which the fraction of all values lies; 0 when there are none. */
double histogram_us(const struct histogram *histogram, double fraction);

/* One process' slot, on cache lines of its own. */
struct bench_slot {
    _Alignas(64) atomic_int ready;
    atomic_int ended;
    _Atomic uint64_t count; /* puts confirmed, messages got, pairs */
    _Atomic uint64_t wrong; /* what must be 0: doubled, foreign, out of order */
    uint64_t cpu_us;
    uint64_t ended_ns;
    uint64_t pause_ns; /* longest between two confirmations that a producer saw */
    int code;          /* what made it fail; STW_OK */
    char error[200];
    struct histogram histogram;
};

/* In shared memory. */
struct bench_shared {
    _Alignas(64) atomic_int go;
    atomic_int stop;                /* producers, and whoever works by himself */
    atomic_int finish;              /* consumers */
    _Alignas(64) atomic_uint turn;  /* of the latency benchmark: see bench_turn_wait */
    _Alignas(64) atomic_int inside; /* of the lock benchmark, guarded by the lock */
    uint64_t last_token;
    size_t last_holder;
};

struct bench {
    struct cli *cli;
    struct bench_shared *shared;
    struct bench_slot *slots;
    size_t slots_count;
    int *pids;
    const char *endpoint;
    char queue[200]; /* of this run */
    uint32_t run;    /* in every body: an item of another run is seen */
    uint64_t size, in_flight, batch, prefetch, seconds_ms, producers;
    uint64_t cpu_start_us; /* child: at the start; parent: the broker's */
    uint64_t start_ns;
    void *extra; /* shared memory of one benchmark */
    size_t extra_size;
};

uint64_t clock_ns(void);
/* Shared memory for `count` processes; settings from the options. */
void bench_init(struct bench *bench, struct cli *cli, size_t count);
void bench_free(struct bench *bench);
/* Zeroed memory that the children will share; address space only until it is touched. */
void *shared_alloc(size_t size);
/* Forks; the child runs body(bench, index) and ends. */
bool bench_fork(struct bench *bench, size_t index, void (*body)(struct bench *, size_t));
/* Parent: waits until all are ready, then starts them. EXIT_DONE, or why not. */
int bench_start(struct bench *bench);
/* Parent: sleeps for the benchmark's seconds, with a progress line on a terminal. `work`: how many
 * of the slots, from the first, are shown. false: interrupted or a child failed. */
bool bench_sleep(struct bench *bench, uint64_t ms, size_t work);
/* Parent: waits for slots [from, to) to end; kills what has not after 15 s. */
void bench_wait(struct bench *bench, size_t from, size_t to);
/* Parent: after bench_wait; prints the failure of a child. EXIT_DONE if there is none. */
int bench_failed(struct bench *bench);
uint64_t bench_sum(const struct bench *bench, size_t from, size_t to);
double bench_cpu_s(const struct bench *bench, size_t from, size_t to);
/* The broker's CPU seconds since the start, by --broker-pid; adds nothing without it. */
void bench_broker(const struct bench *bench, struct line *line);
/* Parent: deletes this run's queue unless --queue named it. */
void bench_queue_delete(const struct bench *bench);
/* Child: opens a client; on failure the slot says why. */
bool bench_open(struct bench *bench, size_t index, stw_client **client);
/* Child: ready; waits for the start. false: there will be none. */
bool bench_ready(struct bench *bench, size_t index);
/* Child: keeps the first failure in its slot. false, for convenience. */
bool bench_error(struct bench *bench, size_t index, int code, const char *detail);
/* Child: CPU time and end; then it may only exit. */
void bench_end(struct bench *bench, size_t index);

/* Sleeps until turn != old, at most 200 ms; sets it and wakes. */
void bench_turn_wait(struct bench *bench, unsigned old);
void bench_turn_set(struct bench *bench, unsigned value);

/* The first bytes of every body. */
struct bench_body {
    uint32_t run, producer;
    uint64_t sequence;
    uint64_t put_ns; /* 0: not measured */
};

#endif
