/*
 * The works, the same for every contestant:
 *
 *   throughput   producers put and confirm for some seconds, consumers take and acknowledge until
 *                they have all of it
 *   fill         producers put `count` messages, the servers' memory is read, then consumers begin
 *   latency      one message in flight: from put to its arrival at the consumer
 *   connections  many connections, each: put, take its own message back, acknowledge
 *   pairs        lock and unlock, one client, one in flight
 *   pairs64      eight clients, each with 64 locks of its own in flight
 *   handoffs     eight clients want one lock: how often it changes hands, how fairly
 */
#include "tests/bench/compare/harness.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX  4000000
#define BACKLOG_MAX  100000 /* messages that wait while producers go on */
#define WARM_UP      100    /* messages that do not count */
#define THREADS_MAX  50     /* connections of one process */
#define RIVALS       8
#define LOCKS_FLIGHT 64

static bool stopped(const struct run *run)
{
    return atomic_load_explicit(&run->shared->stop, memory_order_relaxed);
}

static uint64_t patience_ns(const struct run *run)
{
    return (uint64_t)(run->job.patience * 1e9);
}

static void sleep_s(struct run *run, double seconds)
{
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < until) {
        usleep(2000);
        processes_look(run);
    }
}

/* ---- producers and consumers ----------------------------------------------------------------- */

static void stamp(const struct run *run, size_t index, char *body, uint64_t sequence)
{
    struct stamp head = {.run = run->job.run, .producer = (uint32_t)index, .sequence = sequence};
    memcpy(body, &head, sizeof head);
}

/* So that no broker is measured on how it bears a queue that only grows (that is `fill`). */
static void backlog_wait(const struct run *run)
{
    size_t producers = run->job.producers;
    while (run->job.count == 0 && !stopped(run) &&
           slots_sum(run, 0, producers) >
               slots_sum(run, producers, producers + run->job.consumers) + BACKLOG_MAX) {
        usleep(200);
    }
}

/* In the pieces they were put in: peers count on that. How many it was. */
static size_t producer_confirm(struct run *run, size_t index, void *link, uint64_t unconfirmed)
{
    size_t count = unconfirmed < run->job.batch ? (size_t)unconfirmed : run->job.batch;
    run->peer->confirm(link, count);
    atomic_fetch_add(&run->slots[index].count, count);
    return count;
}

static void producer_main(struct run *run, size_t index)
{
    const struct job *job = &run->job;
    void *link = run->peer->open(job, job->queue, ROLE_PUT);
    char *bodies = zalloc(job->batch, job->size);
    uint64_t sent = 0, confirmed = 0;
    uint64_t most = job->count > 0 ? job->count / job->producers : UINT64_MAX;
    memset(bodies, 'x', job->batch * job->size);
    process_ready(run, index);
    while (!stopped(run) && sent < most) {
        size_t count = most - sent < job->batch ? (size_t)(most - sent) : job->batch;
        for (size_t i = 0; i < count; i++) {
            stamp(run, index, bodies + i * job->size, sent + i);
        }
        backlog_wait(run);
        run->peer->put(link, bodies, job->size, count);
        sent += count;
        if (sent - confirmed + job->batch > job->in_flight && sent > confirmed) {
            confirmed += producer_confirm(run, index, link, sent - confirmed);
        }
    }
    while (confirmed < sent) {
        confirmed += producer_confirm(run, index, link, sent - confirmed);
    }
    run->peer->close(link);
    free(bodies);
}

struct taker {
    struct run *run;
    size_t index;    /* slot */
    size_t consumer; /* bitmap */
    uint64_t arrived_ns;
    struct stamp head;
};

static void note_bitmap(void *context, const void *body, size_t size)
{
    struct taker *taker = context;
    struct run *run = taker->run;
    struct stamp head = {0};
    if (size == run->job.size) {
        memcpy(&head, body, sizeof head);
    }
    if (head.run != run->job.run ||
        !proof_note(run, taker->consumer, head.producer, head.sequence)) {
        atomic_fetch_add(&run->slots[taker->index].wrong, 1);
    }
}

static void consumer_main(struct run *run, size_t index)
{
    const struct job *job = &run->job;
    struct taker taker = {.run = run, .index = index, .consumer = index - job->producers};
    bool held = strcmp(job->work, "fill") == 0;
    void *link = held ? NULL : run->peer->open(job, job->queue, ROLE_TAKE);
    process_ready(run, index);
    while (held && !atomic_load(&run->shared->take)) {
        usleep(1000);
    }
    link = held ? run->peer->open(job, job->queue, ROLE_TAKE) : link;
    while (!atomic_load_explicit(&run->shared->finish, memory_order_relaxed)) {
        size_t count = run->peer->take(link, job->batch, note_bitmap, &taker);
        atomic_fetch_add_explicit(&run->slots[index].count, count, memory_order_relaxed);
    }
    if (run->peer->settle != NULL) {
        run->peer->settle(link);
    }
    run->peer->close(link);
}

/* Until the consumers have all, or nothing moves any more. The time when they had it. */
static uint64_t drain(struct run *run)
{
    size_t producers = run->job.producers;
    uint64_t put = slots_sum(run, 0, producers), before = UINT64_MAX, since = clock_ns();
    for (;;) {
        uint64_t got = slots_sum(run, producers, run->processes), now = clock_ns();
        if (got != before) {
            before = got;
            since = now;
        }
        if (got >= put || now - since > patience_ns(run)) {
            return since;
        }
        usleep(1000);
        processes_look(run);
    }
}

static void report_servers(const struct run *run)
{
    printf("\"server_cpu_s\":%.4f,\"server_bytes\":%" PRIu64 ",",
           (double)(servers_cpu_ns(&run->job) - run->servers_ns) / 1e9, servers_memory(&run->job));
}

static int work_messages(struct run *run)
{
    const struct job *job = &run->job;
    size_t producers = job->producers;
    bool fill = strcmp(job->work, "fill") == 0;
    proof_init(run);
    processes_fork(run, producers, producer_main);
    processes_fork(run, job->consumers, consumer_main);
    processes_start(run);
    if (!fill) {
        sleep_s(run, job->seconds);
        atomic_store(&run->shared->stop, 1);
    }
    processes_wait(run, 0, producers);
    uint64_t put_ns = clock_ns() - run->start_ns;
    run->memory_filled = servers_memory(job);
    atomic_store(&run->shared->take, 1);
    uint64_t took_ns = drain(run) - run->start_ns;
    printf("{");
    report_servers(run);
    atomic_store(&run->shared->finish, 1);
    processes_wait(run, producers, run->processes);
    struct proof proof = proof_check(run);
    uint64_t put = slots_sum(run, 0, producers), got = slots_sum(run, producers, run->processes);
    double before = (double)run->memory_before, filled = (double)run->memory_filled;
    printf("\"messages_per_s\":%.0f,\"put_per_s\":%.0f,\"messages\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"doubled\":%" PRIu64 ",\"bytes_per_message\":%.1f,\"producer_cpu_s\":%.4f,"
           "\"consumer_cpu_s\":%.4f}\n",
           (double)got * 1e9 / (double)took_ns, (double)put * 1e9 / (double)put_ns, got, proof.lost,
           proof.doubled, fill && put > 0 ? (filled - before) / (double)put : 0.0,
           slots_cpu_s(run, 0, producers), slots_cpu_s(run, producers, run->processes));
    return proof.lost + proof.doubled == 0 && got == put ? 0 : 1;
}

/* ---- latency --------------------------------------------------------------------------------- */

static void sample(struct run *run, uint64_t ns)
{
    uint64_t at = atomic_fetch_add(&run->shared->samples_count, 1);
    if (at < SAMPLES_MAX) {
        run->shared->samples[at] = ns;
    }
}

static void turn_wait(struct run *run, unsigned old)
{
    struct timespec most = {.tv_nsec = 200000000};
    while (atomic_load(&run->shared->turn) == old && !stopped(run)) {
        syscall(SYS_futex, &run->shared->turn, FUTEX_WAIT, old, &most, NULL, 0);
    }
}

static void latency_producer(struct run *run, size_t index)
{
    void *link = run->peer->open(&run->job, run->job.queue, ROLE_PUT);
    char *body = zalloc(1, run->job.size);
    struct stamp head = {.run = run->job.run};
    process_ready(run, index);
    while (!stopped(run)) {
        head.put_ns = clock_ns();
        memcpy(body, &head, sizeof head);
        run->peer->put(link, body, run->job.size, 1);
        run->peer->confirm(link, 1);
        turn_wait(run, (unsigned)head.sequence++);
        atomic_store(&run->slots[index].count, head.sequence);
    }
    run->peer->close(link);
    free(body);
}

static void note_stamp(void *context, const void *body, size_t size)
{
    struct taker *taker = context;
    taker->arrived_ns = clock_ns();
    if (size == taker->run->job.size) {
        memcpy(&taker->head, body, sizeof taker->head);
    }
}

static void latency_consumer(struct run *run, size_t index)
{
    void *link = run->peer->open(&run->job, run->job.queue, ROLE_TAKE);
    struct taker taker = {.run = run};
    process_ready(run, index);
    for (unsigned next = 0; !atomic_load(&run->shared->finish);) {
        if (run->peer->take(link, 1, note_stamp, &taker) == 0) {
            continue;
        }
        if (taker.head.run != run->job.run || taker.head.sequence != next) {
            atomic_fetch_add(&run->slots[index].wrong, 1);
        }
        if (next++ >= WARM_UP) {
            sample(run, taker.arrived_ns - taker.head.put_ns);
        }
        atomic_store(&run->slots[index].count, next);
        atomic_store(&run->shared->turn, next);
        syscall(SYS_futex, &run->shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    if (run->peer->settle != NULL) {
        run->peer->settle(link);
    }
    run->peer->close(link);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report_quantiles(struct run *run)
{
    uint64_t count = atomic_load(&run->shared->samples_count);
    static const double fractions[] = {0.5, 0.99, 0.999};
    static const char *const names[] = {"p50_us", "p99_us", "p999_us"};
    count = count < SAMPLES_MAX ? count : SAMPLES_MAX;
    qsort(run->shared->samples, count, sizeof(uint64_t), compare);
    for (size_t i = 0; i < 3; i++) {
        size_t at = (size_t)(fractions[i] * (double)count);
        printf("\"%s\":%.1f,", names[i], count > 0 ? (double)run->shared->samples[at] / 1000 : 0.0);
    }
}

static int work_latency(struct run *run)
{
    processes_fork(run, 1, latency_producer);
    processes_fork(run, 1, latency_consumer);
    processes_start(run);
    sleep_s(run, run->job.seconds);
    atomic_store(&run->shared->stop, 1);
    processes_wait(run, 0, 1);
    uint64_t put = slots_sum(run, 0, 1), until = clock_ns() + patience_ns(run);
    while (slots_sum(run, 1, 2) < put && clock_ns() < until) {
        usleep(1000);
        processes_look(run);
    }
    atomic_store(&run->shared->finish, 1);
    processes_wait(run, 1, 2);
    uint64_t got = slots_sum(run, 1, 2), wrong = atomic_load(&run->slots[1].wrong);
    printf("{");
    report_servers(run);
    report_quantiles(run);
    printf("\"messages\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64
           ",\"client_cpu_s\":%.4f}\n",
           got, put > got ? put - got : 0, wrong, slots_cpu_s(run, 0, 2));
    return put == got && wrong == 0 ? 0 : 1;
}

/* ---- many connections ------------------------------------------------------------------------ */

struct worker {
    struct run *run;
    size_t index, number;
    void *link;
    pthread_t thread;
};

static void worker_queue(const struct run *run, size_t number, char name[96])
{
    snprintf(name, 96, "%s-%zu", run->job.queue, number);
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct stamp head = {.run = run->job.run, .producer = (uint32_t)worker->number};
    char *body = zalloc(1, run->job.size);
    while (!stopped(run)) {
        struct taker taker = {.run = run};
        memcpy(body, &head, sizeof head);
        run->peer->put(worker->link, body, run->job.size, 1);
        run->peer->confirm(worker->link, 1);
        uint64_t until = clock_ns() + patience_ns(run);
        while (run->peer->take(worker->link, 1, note_stamp, &taker) == 0) {
            if (clock_ns() > until) {
                die("a message did not come back");
            }
        }
        if (run->peer->settle != NULL) {
            run->peer->settle(worker->link);
        }
        if (memcmp(&taker.head, &head, sizeof head) != 0) {
            atomic_fetch_add(&run->slots[worker->index].wrong, 1);
        }
        head.sequence++;
        atomic_fetch_add_explicit(&run->slots[worker->index].count, 1, memory_order_relaxed);
    }
    free(body);
    return NULL;
}

static void workers_main(struct run *run, size_t index)
{
    size_t before = index * THREADS_MAX, left = run->job.connections - before;
    size_t count = left < THREADS_MAX ? left : THREADS_MAX;
    struct worker *workers = zalloc(count, sizeof *workers);
    char name[96];
    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){.run = run, .index = index, .number = before + i};
        worker_queue(run, before + i, name);
        workers[i].link = run->peer->open(&run->job, name, ROLE_PUT | ROLE_TAKE);
    }
    process_ready(run, index);
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0) {
            die("cannot start a thread");
        }
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        run->peer->close(workers[i].link);
    }
    free(workers);
}

static int work_connections(struct run *run)
{
    size_t processes = (run->job.connections + THREADS_MAX - 1) / THREADS_MAX;
    uint64_t wrong = 0;
    char name[96];
    for (size_t i = 0; i < run->job.connections && run->peer->prepare != NULL; i++) {
        worker_queue(run, i, name);
        run->peer->prepare(&run->job, name);
    }
    processes_fork(run, processes, workers_main);
    processes_start(run);
    sleep_s(run, run->job.seconds);
    uint64_t count = slots_sum(run, 0, processes);
    double seconds = (double)(clock_ns() - run->start_ns) / 1e9;
    printf("{");
    report_servers(run);
    atomic_store(&run->shared->stop, 1);
    processes_wait(run, 0, processes);
    for (size_t i = 0; i < processes; i++) {
        wrong += atomic_load(&run->slots[i].wrong);
    }
    printf("\"operations_per_s\":%.0f,\"messages\":%" PRIu64 ",\"lost\":0,\"doubled\":%" PRIu64
           ",\"client_cpu_s\":%.4f}\n",
           (double)count / seconds, count, wrong, slots_cpu_s(run, 0, processes));
    return wrong == 0 ? 0 : 1;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void pairs_main(struct run *run, size_t index)
{
    unsigned flight = strcmp(run->job.work, "pairs") == 0 ? 1 : LOCKS_FLIGHT;
    unsigned first = (unsigned)index * LOCKS_FLIGHT;
    void *link = run->peer->open(&run->job, run->job.queue, ROLE_LOCK);
    process_ready(run, index);
    while (!stopped(run)) {
        run->peer->lock(link, first, flight);
        run->peer->unlock(link, first, flight);
        atomic_fetch_add_explicit(&run->slots[index].count, flight, memory_order_relaxed);
    }
    run->peer->close(link);
}

static void rival_main(struct run *run, size_t index)
{
    void *link = run->peer->open(&run->job, run->job.queue, ROLE_LOCK);
    process_ready(run, index);
    while (!stopped(run)) {
        run->peer->lock(link, 0, 1);
        if (atomic_exchange(&run->shared->inside, 1) != 0) {
            atomic_fetch_add(&run->slots[index].wrong, 1);
        }
        if (run->shared->last_holder != index + 1) {
            atomic_fetch_add(&run->slots[index].count, 1);
        }
        run->shared->last_holder = index + 1;
        atomic_store(&run->shared->inside, 0);
        run->peer->unlock(link, 0, 1);
    }
    run->peer->close(link);
}

static double jain(const struct run *run)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < run->processes; i++) {
        double count = (double)atomic_load(&run->slots[i].count);
        sum += count;
        squares += count * count;
    }
    return squares > 0 ? sum * sum / ((double)run->processes * squares) : 0;
}

static int work_locks(struct run *run)
{
    bool rivals = strcmp(run->job.work, "handoffs") == 0;
    size_t clients = strcmp(run->job.work, "pairs") == 0 ? 1 : RIVALS;
    uint64_t wrong = 0;
    if (run->peer->lock == NULL) {
        die("%s has no locks", run->peer->name);
    }
    processes_fork(run, clients, rivals ? rival_main : pairs_main);
    processes_start(run);
    sleep_s(run, run->job.seconds);
    uint64_t count = slots_sum(run, 0, clients);
    double seconds = (double)(clock_ns() - run->start_ns) / 1e9, fairness = jain(run);
    printf("{");
    report_servers(run);
    atomic_store(&run->shared->stop, 1);
    processes_wait(run, 0, clients);
    for (size_t i = 0; i < clients; i++) {
        wrong += atomic_load(&run->slots[i].wrong);
    }
    printf("\"operations_per_s\":%.0f,\"messages\":%" PRIu64
           ",\"jain\":%.3f,\"lost\":0,\"doubled\":%" PRIu64 ",\"client_cpu_s\":%.4f}\n",
           (double)count / seconds, count, fairness, wrong, slots_cpu_s(run, 0, clients));
    return wrong == 0 ? 0 : 1;
}

/* ---- all of them ----------------------------------------------------------------------------- */

int work_run(struct run *run)
{
    static const struct {
        const char *name;
        int (*body)(struct run *);
    } works[] = {{"throughput", work_messages}, {"fill", work_messages},
                 {"latency", work_latency},     {"connections", work_connections},
                 {"pairs", work_locks},         {"pairs64", work_locks},
                 {"handoffs", work_locks}};
    run->shared = shared_alloc(sizeof(struct shared) + SAMPLES_MAX * sizeof(uint64_t));
    run->slots = shared_alloc(PROCESSES_MAX * sizeof(struct slot));
    if (run->peer->prepare != NULL) {
        run->peer->prepare(&run->job, run->job.queue);
    }
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, run->job.work) == 0) {
            return works[i].body(run);
        }
    }
    die("there is no work %s", run->job.work);
}
