/*
 * One harness for all contestants of `./dev bench compare`: the same work, bodies and proof,
 * whatever the broker. A contestant is one program: this harness and one peer_NAME.c, which
 * says how its clients put, take and lock through the best C client there is.
 *
 * Producers and consumers are processes. Every body carries its run, its producer and its number;
 * each consumer keeps a bitmap for each producer, and the parent compares them with what was
 * confirmed: nothing lost, nothing doubled. A peer's function that cannot go on calls die().
 */
#ifndef TESTS_BENCH_COMPARE_HARNESS_H
#define TESTS_BENCH_COMPARE_HARNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVERS_MAX   16
#define PROCESSES_MAX 64
#define BODY_MIN      24 /* bytes: struct stamp */

/* What the program was asked for. */
struct job {
    const char *work;    /* see works.c */
    const char *address; /* of the server, as the peer reads it */
    const char *mode;    /* the peer's own: list, batch, stream...; "" if none was given */
    char queue[64];      /* of this run */
    uint32_t run;
    size_t size, in_flight, batch, producers, consumers, connections;
    uint64_t count; /* messages to fill the queue with */
    double seconds;
    double patience; /* seconds without progress, then the rest is lost */
    bool durable;
    pid_t servers[SERVERS_MAX]; /* their CPU time and memory are reported */
    size_t servers_count;
};

/* The first bytes of every body. */
struct stamp {
    uint32_t run, producer;
    uint64_t sequence;
    uint64_t put_ns; /* 0: not measured */
};

/* Is called for each body that was taken. */
typedef void note_body(void *context, const void *body, size_t size);

enum role { ROLE_PUT = 1, ROLE_TAKE = 2, ROLE_LOCK = 4 };

/* A broker's clients. A link is one connection, used by one thread. */
struct peer {
    const char *name;
    /* The parent, before there are children: makes the queue, if the broker wants that. Or NULL. */
    void (*prepare)(const struct job *job, const char *queue);
    void *(*open)(const struct job *job, const char *queue, unsigned roles);
    /* Sends `count` bodies of `size` bytes each, side by side; may keep them until confirm(). */
    void (*put)(void *link, const char *bodies, size_t size, size_t count);
    /* Waits until the broker has confirmed the `count` oldest puts. */
    void (*confirm)(void *link, size_t count);
    /* Takes and acknowledges up to `most` messages; waits about 100 ms for the first. How many. */
    size_t (*take)(void *link, size_t most, note_body *note, void *context);
    /* Waits until the acknowledgements have been answered; NULL: take() does. */
    void (*settle)(void *link);
    /* Locks [first, first + count), all in flight together, then waits for all. NULL: no locks. */
    void (*lock)(void *link, unsigned first, unsigned count);
    void (*unlock)(void *link, unsigned first, unsigned count);
    void (*close)(void *link);
};

/* The program: options, the work, one JSON object. Returns the exit code. */
int harness_main(int argc, char **argv, const struct peer *peer);

/* Prints what went wrong and ends this process. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* malloc, but it does not return NULL; zeroed. */
void *zalloc(size_t count, size_t size);
uint64_t clock_ns(void);
/* A TCP connection to "host:port" without Nagle's delay. */
int tcp_connect(const char *address);
/* Splits "host:port" into host (of 64 bytes) and port. */
int address_split(const char *address, char host[64]);

/* ---- inside the harness ---- */

/* One process, on cache lines of its own. */
struct slot {
    _Alignas(64) atomic_int ready;
    _Atomic uint64_t count; /* confirmed, taken, pairs, hand-offs */
    _Atomic uint64_t wrong; /* doubled, foreign, not exclusive */
    uint64_t cpu_ns;
};

struct shared {
    _Alignas(64) atomic_int go;
    atomic_int stop;   /* producers and whoever works alone */
    atomic_int finish; /* consumers */
    atomic_int take;   /* consumers may begin */
    _Alignas(64) atomic_uint turn;
    _Alignas(64) atomic_int inside;
    size_t last_holder;
    _Atomic uint64_t samples_count;
    uint64_t samples[]; /* ns */
};

struct run {
    struct job job;
    const struct peer *peer;
    struct shared *shared;
    struct slot *slots;
    uint64_t *bitmaps;
    pid_t pids[PROCESSES_MAX];
    size_t processes;
    uint64_t start_ns, servers_ns, memory_before, memory_filled;
};

/* works.c: runs job.work, prints the result. The exit code. */
int work_run(struct run *run);

/* processes.c */
void *shared_alloc(size_t size);
/* Forks a process for each slot; they open their links and wait for the start. */
void processes_fork(struct run *run, size_t count, void (*body)(struct run *, size_t));
/* Parent: waits until all are ready, then lets them go. */
void processes_start(struct run *run);
/* Parent: waits for [from, to); ends the program if one failed. */
void processes_wait(struct run *run, size_t from, size_t to);
/* Parent: ends the program if a process has failed already. */
void processes_look(struct run *run);
/* Child: ready, and waits for the start. */
void process_ready(struct run *run, size_t index);
uint64_t slots_sum(const struct run *run, size_t from, size_t to);
double slots_cpu_s(const struct run *run, size_t from, size_t to);
/* CPU time of all servers in ns; resident memory in bytes. */
uint64_t servers_cpu_ns(const struct job *job);
uint64_t servers_memory(const struct job *job);

/* proof.c: a consumer took this. false: it had it already, or the number is out of range. */
bool proof_note(struct run *run, size_t consumer, uint32_t producer, uint64_t sequence);
void proof_init(struct run *run);
struct proof {
    uint64_t lost, doubled;
};
/* Against what the producers' slots say was confirmed. */
struct proof proof_check(const struct run *run);

#endif
