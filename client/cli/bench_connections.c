/*
 * `steward bench connections`: many connections, each of which puts an item, gets it back and
 * acknowledges it, over and over, with one request in flight. One thread a connection, some fifty
 * to a process.
 */
#include "client/cli/bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

#define THREADS_MAX 50 /* connections of one process */
#define GET_MS      10000

struct worker {
    struct bench *bench;
    size_t process, number; /* number: among all connections */
    stw_client *client;
    pthread_t thread;
    bool started;
    uint64_t count, wrong;
    struct histogram histogram;
};

static int worker_turn(struct worker *worker, const char *queue, char *body, uint64_t sequence)
{
    struct bench *bench = worker->bench;
    stw_message *message = NULL;
    struct bench_body head = {.run = bench->run, .sequence = sequence}, got = {0};
    memcpy(body, &head, sizeof(head));
    int code = stw_put(worker->client, queue, body, bench->size, -1);
    if (code == STW_OK) {
        code = stw_get(worker->client, queue, GET_MS, &message);
    }
    if (code != STW_OK) {
        return code;
    }
    if (stw_message_size(message) == bench->size) {
        memcpy(&got, stw_message_data(message), sizeof(got));
    }
    worker->wrong += got.run != bench->run || got.sequence != sequence;
    return stw_ack(&message);
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct bench *bench = worker->bench;
    char queue[256];
    char *body = mem_zalloc(1, bench->size);
    snprintf(queue, sizeof(queue), "%s-%zu", bench->queue, worker->number);
    while (!atomic_load_explicit(&bench->shared->stop, memory_order_relaxed)) {
        uint64_t from = clock_ns();
        int code = worker_turn(worker, queue, body, worker->count + 1);
        if (code != STW_OK) {
            bench_error(bench, worker->process, code, stw_last_error(worker->client));
            break;
        }
        histogram_add(&worker->histogram, clock_ns() - from);
        worker->count++;
        atomic_fetch_add_explicit(&bench->slots[worker->process].count, 1, memory_order_relaxed);
    }
    stw_queue_delete(worker->client, queue); /* so that the manager is as before */
    free(body);
    return NULL;
}

static size_t share(const struct bench *bench, size_t process)
{
    size_t total = (size_t)option_number(bench->cli, OPTION_CONNECTIONS, 200);
    size_t before = process * THREADS_MAX;
    return total - before < THREADS_MAX ? total - before : THREADS_MAX;
}

static void process_main(struct bench *bench, size_t index)
{
    size_t count = share(bench, index), opened = 0;
    struct worker *workers = mem_zalloc(count, sizeof(*workers));
    struct bench_slot *slot = &bench->slots[index];
    while (opened < count && bench_open(bench, index, &workers[opened].client)) {
        opened++;
    }
    bool good = opened == count && bench_ready(bench, index);
    for (size_t i = 0; good && i < count; i++) {
        struct worker *worker = &workers[i];
        worker->bench = bench;
        worker->process = index;
        worker->number = index * THREADS_MAX + i;
        worker->started = pthread_create(&worker->thread, NULL, worker_run, worker) == 0;
        if (!worker->started) {
            bench_error(bench, index, STW_ENOMEM, "cannot start a thread");
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (workers[i].started) {
            pthread_join(workers[i].thread, NULL);
        }
        slot->wrong += workers[i].wrong;
        histogram_merge(&slot->histogram, &workers[i].histogram);
    }
    for (size_t i = 0; i < opened; i++) {
        stw_close(&workers[i].client);
    }
    free(workers);
}

static int report(struct bench *bench)
{
    static struct histogram latencies;
    uint64_t count = bench_sum(bench, 0, bench->slots_count), wrong = 0;
    for (size_t i = 0; i < bench->slots_count; i++) {
        wrong += bench->slots[i].wrong;
        histogram_merge(&latencies, &bench->slots[i].histogram);
    }
    struct line *line = line_begin();
    line_real(line, "operations_per_s", (double)count / ((double)bench->seconds_ms / 1e3));
    line_u64(line, "connections", option_number(bench->cli, OPTION_CONNECTIONS, 200));
    line_u64(line, "operations", count);
    line_u64(line, "wrong", wrong);
    line_real(line, "p50_us", histogram_us(&latencies, 0.50));
    line_real(line, "p99_us", histogram_us(&latencies, 0.99));
    line_real(line, "client_cpu_s", bench_cpu_s(bench, 0, bench->slots_count));
    bench_broker(bench, line);
    line_u64(line, "size", bench->size);
    line_show(bench->cli, &line);
    return wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}

int cmd_bench_connections(struct cli *cli)
{
    struct bench bench;
    size_t total = (size_t)option_number(cli, OPTION_CONNECTIONS, 200);
    size_t processes = (total + THREADS_MAX - 1) / THREADS_MAX;
    bench_init(&bench, cli, processes);
    for (size_t i = 0; i < processes; i++) {
        bench_fork(&bench, i, process_main);
    }
    int code = bench_start(&bench);
    if (code == EXIT_DONE) {
        bench_sleep(&bench, bench.seconds_ms, processes);
        atomic_store(&bench.shared->stop, 1);
        bench_wait(&bench, 0, processes);
        code = bench_failed(&bench);
        code = code != EXIT_DONE ? code : report(&bench);
    }
    bench_free(&bench);
    return code;
}
