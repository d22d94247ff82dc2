/*
 * `steward bench throughput`: producers and consumers, each a process of its own.
 *
 * Every put is confirmed by its own future, every delivery is acknowledged. Each body carries its
 * producer and its number; each consumer keeps a bitmap per producer of what it got, and the
 * parent compares the bitmaps with what the producers put: nothing lost, nothing doubled.
 */
#include "client/cli/bench.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/limits.h"

#define SEQUENCES_MAX (UINT64_C(1) << 31) /* per producer: bounds the bitmaps' address space */
#define WORDS_MAX     (SEQUENCES_MAX / 64)
#define SAMPLE        64    /* every so many items carries the time: clocks cost as much as puts */
#define STALL_MS      10000 /* without any progress the rest is lost */

/* ---- producers ------------------------------------------------------------------------------- */

struct producer {
    struct bench *bench;
    size_t index;
    stw_client *client;
    stw_future **futures; /* ring */
    size_t ring;
    uint64_t sent, collected; /* futures */
    uint64_t confirmed_ns;    /* when puts were last confirmed */
    uint64_t sequence;
    char *bodies; /* batch bodies */
    stw_item *items;
};

/* Takes `count` finished puts off the ring; waits for the last first: one wake-up for all. */
static bool producer_collect(struct producer *producer, uint64_t count)
{
    struct bench *bench = producer->bench;
    stw_future_wait(producer->futures[(producer->collected + count - 1) % producer->ring], -1);
    for (uint64_t i = 0; i < count; i++) {
        stw_future **future = &producer->futures[producer->collected++ % producer->ring];
        int code = stw_future_wait(*future, -1);
        if (code != STW_OK) {
            return bench_error(bench, producer->index, code, stw_future_error(*future));
        }
        stw_future_free(future);
    }
    atomic_fetch_add_explicit(&bench->slots[producer->index].count, count * bench->batch,
                              memory_order_relaxed);
    uint64_t now = clock_ns(), pause = now - producer->confirmed_ns;
    struct bench_slot *slot = &bench->slots[producer->index];
    slot->pause_ns = pause > slot->pause_ns ? pause : slot->pause_ns;
    producer->confirmed_ns = now;
    return true;
}

static void producer_stamp(struct producer *producer, char *body)
{
    uint64_t sequence = producer->sequence++;
    struct bench_body head = {
        .run = producer->bench->run,
        .producer = (uint32_t)producer->index,
        .sequence = sequence,
        .put_ns = sequence % SAMPLE == 0 ? clock_ns() : 0,
    };
    memcpy(body, &head, sizeof(head));
}

static bool producer_put(struct producer *producer)
{
    struct bench *bench = producer->bench;
    stw_future **future = &producer->futures[producer->sent % producer->ring];
    for (size_t i = 0; i < bench->batch; i++) {
        producer_stamp(producer, producer->bodies + i * bench->size);
    }
    int code = bench->batch == 1 ? stw_put_async(producer->client, bench->queue, producer->bodies,
                                                 bench->size, -1, future)
                                 : stw_put_many_async(producer->client, bench->queue,
                                                      producer->items, bench->batch, NULL, future);
    if (code != STW_OK) {
        return bench_error(bench, producer->index, code, stw_last_error(producer->client));
    }
    producer->sent++;
    return true;
}

static void producer_run(struct producer *producer)
{
    struct bench *bench = producer->bench;
    uint64_t refill = producer->ring / 4 > 0 ? producer->ring / 4 : 1;
    bool good = true;
    producer->confirmed_ns = clock_ns();
    while (good && producer->sequence + bench->batch <= SEQUENCES_MAX &&
           !atomic_load_explicit(&bench->shared->stop, memory_order_relaxed)) {
        if (producer->sent - producer->collected == producer->ring) {
            good = producer_collect(producer, refill);
        }
        good = good && producer_put(producer);
    }
    if (good && producer->sent > producer->collected) {
        producer_collect(producer, producer->sent - producer->collected);
    }
    bench->slots[producer->index].ended_ns = clock_ns();
}

static void producer_main(struct bench *bench, size_t index)
{
    struct producer producer = {.bench = bench, .index = index};
    producer.ring = bench->in_flight / bench->batch > 0 ? bench->in_flight / bench->batch : 1;
    producer.futures = mem_zalloc(producer.ring, sizeof(stw_future *));
    producer.bodies = mem_zalloc(bench->batch, bench->size);
    producer.items = mem_zalloc(bench->batch, sizeof(stw_item));
    for (size_t i = 0; i < bench->batch; i++) {
        producer.items[i] = (stw_item){producer.bodies + i * bench->size, bench->size};
    }
    if (bench_open(bench, index, &producer.client) && bench_ready(bench, index)) {
        producer_run(&producer);
    }
    stw_close(&producer.client);
    free(producer.futures);
    free(producer.bodies);
    free(producer.items);
}

/* ---- consumers ------------------------------------------------------------------------------- */

/* What consumer number `consumer` got of a producer. */
static uint64_t *bitmap(const struct bench *bench, size_t consumer, size_t producer)
{
    return (uint64_t *)bench->extra + (consumer * bench->producers + producer) * WORDS_MAX;
}

static void consumer_note(struct bench *bench, size_t index, const stw_message *message)
{
    struct bench_slot *slot = &bench->slots[index];
    struct bench_body head = {0};
    if (stw_message_size(message) == bench->size) {
        memcpy(&head, stw_message_data(message), sizeof(head));
    }
    if (head.run != bench->run || head.producer >= bench->producers ||
        head.sequence >= SEQUENCES_MAX) {
        return; /* not of this run */
    }
    uint64_t *word = bitmap(bench, index - bench->producers, head.producer) + head.sequence / 64;
    uint64_t bit = UINT64_C(1) << (head.sequence % 64);
    if ((*word & bit) != 0) {
        atomic_fetch_add(&slot->wrong, 1);
        return;
    }
    *word |= bit;
    uint64_t count = atomic_load_explicit(&slot->count, memory_order_relaxed);
    atomic_store_explicit(&slot->count, count + 1, memory_order_relaxed);
    if (head.put_ns != 0) {
        histogram_add(&slot->histogram, clock_ns() - head.put_ns);
    }
}

static void consumer_run(struct bench *bench, size_t index, stw_client *client,
                         stw_consumer *consumer)
{
    stw_message *message;
    while (!atomic_load_explicit(&bench->shared->finish, memory_order_relaxed)) {
        int code = stw_consumer_next(consumer, 50, &message);
        if (code == STW_ETIMEOUT || code == STW_EEMPTY) {
            continue;
        }
        if (code != STW_OK) {
            bench_error(bench, index, code, stw_last_error(client));
            return;
        }
        consumer_note(bench, index, message);
        stw_ack_async(&message, NULL);
    }
}

static void consumer_main(struct bench *bench, size_t index)
{
    stw_client *client = NULL;
    stw_consumer *consumer = NULL;
    stw_consume_options options;
    const char *queue = bench->queue;
    stw_consume_options_init(&options);
    options.prefetch = bench->prefetch;
    if (bench_open(bench, index, &client)) {
        int code = stw_consume(client, &queue, 1, &options, &consumer);
        if (code != STW_OK) {
            bench_error(bench, index, code, stw_last_error(client));
        } else if (bench_ready(bench, index)) {
            consumer_run(bench, index, client, consumer);
        }
        stw_consumer_close(&consumer);
    }
    stw_close(&client);
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Until the consumers have all, or nothing moves any more. The time at which they had it. */
static uint64_t drain(struct bench *bench, size_t producers)
{
    uint64_t put = bench_sum(bench, 0, producers), before = UINT64_MAX, since = clock_ns();
    for (;;) {
        uint64_t got = bench_sum(bench, producers, bench->slots_count);
        uint64_t now = clock_ns();
        if (got != before) {
            before = got;
            since = now;
        }
        if (got >= put || now - since > STALL_MS * UINT64_C(1000000) ||
            bench->cli->interrupted != 0) {
            return since;
        }
        fd_wait(bench->cli, -1, 0, 5);
    }
}

struct verdict {
    uint64_t lost, duplicates, unacked;
};

static void verify_producer(const struct bench *bench, size_t producer, struct verdict *verdict)
{
    size_t consumers = bench->slots_count - bench->producers;
    uint64_t put = bench->slots[producer].count;
    for (uint64_t word = 0; word * 64 < put; word++) {
        uint64_t seen = 0;
        for (size_t consumer = 0; consumer < consumers; consumer++) {
            uint64_t bits = bitmap(bench, consumer, producer)[word];
            verdict->duplicates += (uint64_t)__builtin_popcountll(seen & bits);
            seen |= bits;
        }
        uint64_t left = put - word * 64;
        uint64_t expected = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        verdict->lost += (uint64_t)__builtin_popcountll(expected & ~seen);
    }
}

/* What the manager says of the queue: all acknowledgements arrived. */
static void verify_queue(struct bench *bench, struct verdict *verdict)
{
    stw_client *client = NULL;
    stw_rows *rows = NULL;
    stw_value value;
    if (stw_open(&client, bench->endpoint, NULL) != STW_OK) {
        return;
    }
    if (stw_queue_join(client, bench->queue, 5000) != STW_OK &&
        stw_queue_show(client, bench->queue, &rows) == STW_OK &&
        stw_rows_find(rows, 0, "unfinished", &value)) {
        verdict->unacked = value.number;
    }
    stw_rows_free(&rows);
    stw_close(&client);
}

static int report(struct bench *bench, uint64_t end_ns)
{
    size_t producers = (size_t)bench->producers;
    struct verdict verdict = {0};
    static struct histogram latencies;
    uint64_t put = bench_sum(bench, 0, producers);
    uint64_t got = bench_sum(bench, producers, bench->slots_count);
    uint64_t put_end_ns = bench->start_ns + 1, pause_ns = 0;
    for (size_t i = 0; i < bench->slots_count; i++) {
        uint64_t ended_ns = bench->slots[i].ended_ns;
        put_end_ns = i < producers && ended_ns > put_end_ns ? ended_ns : put_end_ns;
        pause_ns = bench->slots[i].pause_ns > pause_ns ? bench->slots[i].pause_ns : pause_ns;
        histogram_merge(&latencies, &bench->slots[i].histogram);
        verdict.duplicates += bench->slots[i].wrong;
    }
    for (size_t i = 0; i < producers; i++) {
        verify_producer(bench, i, &verdict);
    }
    verify_queue(bench, &verdict);
    struct line *line = line_begin();
    line_real(line, "messages_per_s", (double)got / ((double)(end_ns - bench->start_ns) / 1e9));
    line_real(line, "put_per_s", (double)put / ((double)(put_end_ns - bench->start_ns) / 1e9));
    line_u64(line, "messages", got);
    line_u64(line, "lost", verdict.lost);
    line_u64(line, "duplicates", verdict.duplicates);
    line_u64(line, "unacked", verdict.unacked);
    line_real(line, "p50_us", histogram_us(&latencies, 0.50));
    line_real(line, "p99_us", histogram_us(&latencies, 0.99));
    line_real(line, "put_pause_ms", (double)pause_ns / 1e6);
    line_real(line, "producer_cpu_s", bench_cpu_s(bench, 0, producers));
    line_real(line, "consumer_cpu_s", bench_cpu_s(bench, producers, bench->slots_count));
    bench_broker(bench, line);
    line_u64(line, "producers", producers);
    line_u64(line, "consumers", bench->slots_count - producers);
    line_u64(line, "size", bench->size);
    line_u64(line, "in_flight", bench->in_flight);
    line_u64(line, "batch", bench->batch);
    line_real(line, "seconds", (double)(end_ns - bench->start_ns) / 1e9);
    line_show(bench->cli, &line);
    return verdict.lost + verdict.duplicates + verdict.unacked == 0 ? EXIT_DONE : EXIT_FAILED;
}

int cmd_bench_throughput(struct cli *cli)
{
    struct bench bench;
    size_t producers = (size_t)option_number(cli, OPTION_PRODUCERS, 2);
    size_t consumers = (size_t)option_number(cli, OPTION_CONSUMERS, 2);
    bench_init(&bench, cli, producers + consumers);
    bench.producers = producers;
    bench.extra_size = producers * consumers * WORDS_MAX * 8;
    bench.extra = shared_alloc(bench.extra_size);
    for (size_t i = 0; i < producers + consumers; i++) {
        bench_fork(&bench, i, i < producers ? producer_main : consumer_main);
    }
    int code = bench_start(&bench);
    if (code == EXIT_DONE) {
        bench_sleep(&bench, bench.seconds_ms, producers);
        atomic_store(&bench.shared->stop, 1);
        bench_wait(&bench, 0, producers);
        uint64_t end_ns = drain(&bench, producers);
        atomic_store(&bench.shared->finish, 1);
        bench_wait(&bench, producers, producers + consumers);
        code = bench_failed(&bench);
        if (cli->interrupted == 0) { /* else what was under way would seem lost */
            int verdict = report(&bench, end_ns);
            code = code != EXIT_DONE ? code : verdict;
        }
        bench_queue_delete(&bench);
    }
    bench_free(&bench);
    return code;
}
