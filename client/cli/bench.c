/* What the benchmarks share; see bench.h. */
#include "client/cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"

#define READY_MS 30000 /* for all children to open their clients */
#define END_MS   15000

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- latencies ------------------------------------------------------------------------------- */

/* Below 64 each value its own bucket; above, 32 buckets for every power of two. */
static size_t histogram_bucket(uint64_t ns)
{
    if (ns < 64) {
        return (size_t)ns;
    }
    unsigned shift = 58 - (unsigned)__builtin_clzll(ns);
    size_t bucket = (size_t)shift * 32 + (size_t)(ns >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static double histogram_value(size_t bucket)
{
    if (bucket < 64) {
        return (double)bucket;
    }
    unsigned shift = (unsigned)(bucket / 32 - 1);
    return ((double)(bucket % 32 + 32) + 0.5) * (double)(UINT64_C(1) << shift);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->buckets[histogram_bucket(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

double histogram_us(const struct histogram *histogram, double fraction)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += histogram->buckets[i];
    }
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= fraction * (double)total) {
            return histogram_value(i) / 1000;
        }
    }
    return 0;
}

/* ---- the parent ------------------------------------------------------------------------------ */

void *shared_alloc(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "steward: bench: no shared memory: %s\n", strerror(errno));
        exit(EXIT_FAILED);
    }
    return memory;
}

void bench_init(struct bench *bench, struct cli *cli, size_t count)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *bench = (struct bench){
        .cli = cli,
        .shared = shared_alloc(sizeof(struct bench_shared)),
        .slots = shared_alloc(count * sizeof(struct bench_slot)),
        .slots_count = count,
        .pids = mem_zalloc(count, sizeof(int)),
        .endpoint = cli->texts[OPTION_ENDPOINT],
        .run = (uint32_t)now.tv_nsec ^ (uint32_t)getpid(),
        .size = option_number(cli, OPTION_SIZE, 100),
        .in_flight = option_number(cli, OPTION_IN_FLIGHT, 4096),
        .batch = option_number(cli, OPTION_BATCH, 1),
        .prefetch = option_number(cli, OPTION_PREFETCH, 4096),
        .seconds_ms = option_number(cli, OPTION_SECONDS, 5000),
    };
    if (given(cli, OPTION_QUEUE)) {
        snprintf(bench->queue, sizeof(bench->queue), "%.190s", cli->texts[OPTION_QUEUE]);
    } else {
        snprintf(bench->queue, sizeof(bench->queue), "bench-%08" PRIx32, bench->run);
    }
    signals_watch(cli);
}

void bench_free(struct bench *bench)
{
    munmap(bench->shared, sizeof(struct bench_shared));
    munmap(bench->slots, bench->slots_count * sizeof(struct bench_slot));
    if (bench->extra != NULL) {
        munmap(bench->extra, bench->extra_size);
    }
    free(bench->pids);
}

bool bench_fork(struct bench *bench, size_t index, void (*body)(struct bench *, size_t))
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            body(bench, index);
            bench_end(bench, index);
        }
        _exit(0);
    }
    bench->pids[index] = pid;
    return pid > 0;
}

static void pause_ms(struct bench *bench, int ms)
{
    fd_wait(bench->cli, -1, 0, ms);
}

static bool any_error(const struct bench *bench)
{
    for (size_t i = 0; i < bench->slots_count; i++) {
        if (bench->slots[i].code != STW_OK) {
            return true;
        }
    }
    return false;
}

/* CPU time of a process in microseconds, from /proc; 0 if it cannot be read. */
static uint64_t process_cpu_us(uint64_t pid)
{
    char path[64], text[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at != NULL) {
        user = strtoull(at, &at, 10);
        system = strtoull(at, NULL, 10);
    }
    return (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

int bench_start(struct bench *bench)
{
    uint64_t until = clock_ns() + READY_MS * UINT64_C(1000000);
    for (size_t i = 0; i < bench->slots_count; i++) {
        while (!atomic_load(&bench->slots[i].ready)) {
            pause_ms(bench, 2);
            if (bench->cli->interrupted != 0 || any_error(bench) || clock_ns() > until) {
                atomic_store(&bench->shared->stop, 1);
                atomic_store(&bench->shared->finish, 1);
                atomic_store(&bench->shared->go, 1);
                bench_wait(bench, 0, bench->slots_count);
                int code = bench_failed(bench);
                return code != EXIT_DONE ? code : fail(bench->cli, "the processes do not start");
            }
        }
    }
    bench->cpu_start_us = process_cpu_us(option_number(bench->cli, OPTION_BROKER_PID, 0));
    bench->start_ns = clock_ns();
    atomic_store(&bench->shared->go, 1);
    return EXIT_DONE;
}

bool bench_sleep(struct bench *bench, uint64_t ms, size_t work)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t from = clock_ns(), shown = from, before = 0;
    while (clock_ns() - from < ms * 1000000) {
        uint64_t left = ms - (clock_ns() - from) / 1000000;
        pause_ms(bench, left < 100 ? (int)left + 1 : 100);
        if (bench->cli->interrupted != 0 || any_error(bench)) {
            break;
        }
        uint64_t now = clock_ns();
        if (terminal && now - shown >= 1000000000) {
            uint64_t sum = bench_sum(bench, 0, work);
            fprintf(stderr, "\r%2.0f s of %.0f  %11.0f/s ", (double)(now - from) / 1e9,
                    (double)ms / 1e3, (double)(sum - before) / ((double)(now - shown) / 1e9));
            shown = now;
            before = sum;
        }
    }
    fprintf(stderr, "%s", terminal ? "\r\033[K" : "");
    return bench->cli->interrupted == 0 && !any_error(bench);
}

void bench_wait(struct bench *bench, size_t from, size_t to)
{
    uint64_t until = clock_ns() + END_MS * UINT64_C(1000000);
    for (size_t i = from; i < to; i++) {
        while (bench->pids[i] > 0 && waitpid(bench->pids[i], NULL, WNOHANG) == 0) {
            if (clock_ns() > until) {
                kill(bench->pids[i], SIGKILL);
                bench_error(bench, i, STW_ETIMEOUT, "a process did not end in time");
            }
            usleep(1000);
        }
        bench->pids[i] = 0;
        if (!atomic_load(&bench->slots[i].ended)) {
            bench_error(bench, i, STW_EINTERNAL, "a process ended before its time");
        }
    }
}

int bench_failed(struct bench *bench)
{
    for (size_t i = 0; i < bench->slots_count; i++) {
        if (bench->slots[i].code != STW_OK) {
            fail_code(bench->cli, bench->slots[i].code, bench->slots[i].error);
            return EXIT_FAILED;
        }
    }
    return EXIT_DONE;
}

uint64_t bench_sum(const struct bench *bench, size_t from, size_t to)
{
    uint64_t sum = 0;
    for (size_t i = from; i < to; i++) {
        sum += atomic_load_explicit(&bench->slots[i].count, memory_order_relaxed);
    }
    return sum;
}

double bench_cpu_s(const struct bench *bench, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++) {
        sum += (double)bench->slots[i].cpu_us / 1e6;
    }
    return sum;
}

void bench_broker(const struct bench *bench, struct line *line)
{
    if (given(bench->cli, OPTION_BROKER_PID)) {
        uint64_t now = process_cpu_us(option_number(bench->cli, OPTION_BROKER_PID, 0));
        line_real(line, "broker_cpu_s", (double)(now - bench->cpu_start_us) / 1e6);
    }
}

void bench_queue_delete(const struct bench *bench)
{
    stw_client *client = NULL;
    if (!given(bench->cli, OPTION_QUEUE) && stw_open(&client, bench->endpoint, NULL) == STW_OK) {
        stw_queue_delete(client, bench->queue);
    }
    stw_close(&client);
}

/* ---- the children ---------------------------------------------------------------------------- */

static uint64_t own_cpu_us(void)
{
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    return (uint64_t)(usage_now.ru_utime.tv_sec + usage_now.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage_now.ru_utime.tv_usec + usage_now.ru_stime.tv_usec);
}

bool bench_error(struct bench *bench, size_t index, int code, const char *detail)
{
    struct bench_slot *slot = &bench->slots[index];
    if (slot->code == STW_OK) {
        snprintf(slot->error, sizeof(slot->error), "%s",
                 detail[0] != '\0' ? detail : stw_strerror(code));
        slot->code = code;
    }
    return false;
}

bool bench_open(struct bench *bench, size_t index, stw_client **client)
{
    int code = stw_open(client, bench->endpoint, NULL);
    return code == STW_OK || bench_error(bench, index, code, "");
}

bool bench_ready(struct bench *bench, size_t index)
{
    atomic_store(&bench->slots[index].ready, 1);
    while (!atomic_load(&bench->shared->go)) {
        usleep(500);
    }
    bench->cpu_start_us = own_cpu_us();
    return !atomic_load(&bench->shared->stop);
}

void bench_end(struct bench *bench, size_t index)
{
    struct bench_slot *slot = &bench->slots[index];
    slot->cpu_us = own_cpu_us() - bench->cpu_start_us;
    if (slot->ended_ns == 0) {
        slot->ended_ns = clock_ns();
    }
    atomic_store(&slot->ended, 1);
}

void bench_turn_wait(struct bench *bench, unsigned old)
{
    struct timespec most = {.tv_nsec = 200000000};
    syscall(SYS_futex, &bench->shared->turn, FUTEX_WAIT, old, &most, NULL, 0);
}

void bench_turn_set(struct bench *bench, unsigned value)
{
    atomic_store(&bench->shared->turn, value);
    syscall(SYS_futex, &bench->shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}
