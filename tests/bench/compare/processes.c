/* Processes that start together, and what the servers used meanwhile; see harness.h. */
#include "tests/bench/compare/harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_NS (UINT64_C(60) * 1000000000)
#define END_NS   (UINT64_C(60) * 1000000000)

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "compare: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(1);
}

void *zalloc(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (memory == NULL) {
        die("out of memory");
    }
    return memory;
}

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void *shared_alloc(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        die("no shared memory: %s", strerror(errno));
    }
    return memory;
}

int address_split(const char *address, char host[64])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon - address > 63) {
        die("an address is host:port, not %s", address);
    }
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    return (int)strtol(colon + 1, NULL, 10);
}

int tcp_connect(const char *address)
{
    char host[64];
    int on = 1, port = address_split(address, host), file = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || file < 0 ||
        connect(file, (struct sockaddr *)&to, sizeof to) != 0) {
        die("cannot connect to %s: %s", address, strerror(errno));
    }
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return file;
}

/* ---- servers --------------------------------------------------------------------------------- */

uint64_t servers_cpu_ns(const struct job *job)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < job->servers_count; i++) {
        clockid_t clock;
        struct timespec used;
        if (clock_getcpuclockid(job->servers[i], &clock) == 0 && clock_gettime(clock, &used) == 0) {
            sum += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
        }
    }
    return sum;
}

uint64_t servers_memory(const struct job *job)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < job->servers_count; i++) {
        char path[64];
        unsigned long all = 0, resident = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", (int)job->servers[i]);
        FILE *file = fopen(path, "re");
        if (file != NULL && fscanf(file, "%lu %lu", &all, &resident) == 2) {
            sum += (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    return sum;
}

/* ---- processes ------------------------------------------------------------------------------- */

static uint64_t own_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void processes_kill(struct run *run)
{
    for (size_t i = 0; i < run->processes; i++) {
        if (run->pids[i] > 0) {
            kill(run->pids[i], SIGKILL);
            waitpid(run->pids[i], NULL, 0);
        }
    }
}

/* true: it has ended well. */
static bool process_ended(struct run *run, size_t index)
{
    int status = 0;
    if (run->pids[index] == 0) {
        return true;
    }
    if (waitpid(run->pids[index], &status, WNOHANG) == 0) {
        return false;
    }
    run->pids[index] = 0;
    if (status != 0) {
        processes_kill(run);
        die("%s: process %zu failed", run->peer->name, index);
    }
    return true;
}

void processes_look(struct run *run)
{
    for (size_t i = 0; i < run->processes; i++) {
        process_ended(run, i);
    }
}

void processes_fork(struct run *run, size_t count, void (*body)(struct run *, size_t))
{
    pid_t parent = getpid();
    fflush(NULL);
    for (size_t i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent) {
                body(run, run->processes);
                run->slots[run->processes].cpu_ns += own_cpu_ns();
            }
            _exit(0);
        }
        if (pid < 0) {
            die("cannot fork: %s", strerror(errno));
        }
        run->pids[run->processes++] = pid;
    }
}

void processes_start(struct run *run)
{
    uint64_t until = clock_ns() + READY_NS;
    for (size_t i = 0; i < run->processes; i++) {
        while (!atomic_load(&run->slots[i].ready)) {
            usleep(1000);
            processes_look(run);
            if (clock_ns() > until) {
                processes_kill(run);
                die("%s: the clients do not start", run->peer->name);
            }
        }
    }
    run->servers_ns = servers_cpu_ns(&run->job);
    run->memory_before = servers_memory(&run->job);
    run->start_ns = clock_ns();
    atomic_store(&run->shared->go, 1);
}

void processes_wait(struct run *run, size_t from, size_t to)
{
    uint64_t until = clock_ns() + END_NS;
    for (size_t i = from; i < to; i++) {
        while (!process_ended(run, i)) {
            usleep(500);
            processes_look(run);
            if (clock_ns() > until) {
                processes_kill(run);
                die("%s: a client does not end", run->peer->name);
            }
        }
    }
}

void process_ready(struct run *run, size_t index)
{
    atomic_store(&run->slots[index].ready, 1);
    while (!atomic_load(&run->shared->go)) {
        usleep(500);
    }
    run->slots[index].cpu_ns -= own_cpu_ns(); /* what it used from here on */
}

uint64_t slots_sum(const struct run *run, size_t from, size_t to)
{
    uint64_t sum = 0;
    for (size_t i = from; i < to; i++) {
        sum += atomic_load_explicit(&run->slots[i].count, memory_order_relaxed);
    }
    return sum;
}

double slots_cpu_s(const struct run *run, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++) {
        sum += (double)run->slots[i].cpu_ns / 1e9;
    }
    return sum;
}
