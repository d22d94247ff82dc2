/*
 * `steward bench latency`: the time from a put to its delivery, one item in flight.
 *
 * A producer and a consumer, each a process. The next put leaves when the item before has been
 * received and acknowledged: the consumer tells the producer so through shared memory.
 */
#include "client/cli/bench.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

enum { PRODUCER, CONSUMER, PROCESSES };

#define WARM_UP 200 /* items that do not count */

static void producer_main(struct bench *bench, size_t index)
{
    stw_client *client = NULL;
    char *body = mem_zalloc(1, bench->size);
    struct bench_body head = {.run = bench->run};
    bool good = bench_open(bench, index, &client) && bench_ready(bench, index);
    while (good && !atomic_load(&bench->shared->stop)) {
        head.sequence++;
        head.put_ns = clock_ns();
        memcpy(body, &head, sizeof(head));
        int code = stw_put(client, bench->queue, body, bench->size, -1);
        if (code != STW_OK) {
            good = bench_error(bench, index, code, stw_last_error(client));
        }
        while (good && atomic_load(&bench->shared->turn) < head.sequence &&
               !atomic_load(&bench->shared->finish)) {
            bench_turn_wait(bench, (unsigned)head.sequence - 1);
        }
        bench->slots[index].count = head.sequence;
    }
    stw_close(&client);
    free(body);
}

static void consumer_run(struct bench *bench, size_t index, stw_client *client,
                         stw_consumer *consumer)
{
    struct bench_slot *slot = &bench->slots[index];
    struct bench_body head;
    stw_message *message;
    while (!atomic_load(&bench->shared->finish)) {
        int code = stw_consumer_next(consumer, 200, &message);
        uint64_t now = clock_ns();
        if (code == STW_ETIMEOUT) {
            continue;
        }
        if (code == STW_OK) {
            memcpy(&head, stw_message_data(message), sizeof(head));
            code = stw_ack(&message);
        }
        if (code != STW_OK) {
            bench_error(bench, index, code, stw_last_error(client));
            return;
        }
        slot->wrong += head.run != bench->run || head.sequence != slot->count + 1;
        slot->count++;
        if (head.sequence > WARM_UP) {
            histogram_add(&slot->histogram, now - head.put_ns);
        }
        bench_turn_set(bench, (unsigned)head.sequence);
    }
}

static void consumer_main(struct bench *bench, size_t index)
{
    stw_client *client = NULL;
    stw_consumer *consumer = NULL;
    const char *queue = bench->queue;
    if (bench_open(bench, index, &client)) {
        int code = stw_consume(client, &queue, 1, NULL, &consumer);
        if (code != STW_OK) {
            bench_error(bench, index, code, stw_last_error(client));
        } else if (bench_ready(bench, index)) {
            consumer_run(bench, index, client, consumer);
        }
        stw_consumer_close(&consumer);
    }
    stw_close(&client);
}

static int report(struct bench *bench)
{
    const struct bench_slot *consumer = &bench->slots[CONSUMER];
    uint64_t put = bench->slots[PRODUCER].count, got = consumer->count;
    struct line *line = line_begin();
    line_real(line, "p50_us", histogram_us(&consumer->histogram, 0.50));
    line_real(line, "p99_us", histogram_us(&consumer->histogram, 0.99));
    line_real(line, "p999_us", histogram_us(&consumer->histogram, 0.999));
    line_real(line, "max_us", histogram_us(&consumer->histogram, 1.0));
    line_u64(line, "messages", got);
    line_u64(line, "lost", put - got);
    line_u64(line, "wrong", consumer->wrong);
    line_real(line, "producer_cpu_s", bench_cpu_s(bench, PRODUCER, PRODUCER + 1));
    line_real(line, "consumer_cpu_s", bench_cpu_s(bench, CONSUMER, CONSUMER + 1));
    bench_broker(bench, line);
    line_u64(line, "size", bench->size);
    line_show(bench->cli, &line);
    return put == got && consumer->wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}

int cmd_bench_latency(struct cli *cli)
{
    struct bench bench;
    bench_init(&bench, cli, PROCESSES);
    bench_fork(&bench, PRODUCER, producer_main);
    bench_fork(&bench, CONSUMER, consumer_main);
    int code = bench_start(&bench);
    if (code == EXIT_DONE) {
        bench_sleep(&bench, bench.seconds_ms, 1);
        atomic_store(&bench.shared->stop, 1);
        bench_wait(&bench, PRODUCER, PRODUCER + 1);
        atomic_store(&bench.shared->finish, 1);
        bench_wait(&bench, CONSUMER, CONSUMER + 1);
        code = bench_failed(&bench);
        code = code != EXIT_DONE ? code : report(&bench);
        bench_queue_delete(&bench);
    }
    bench_free(&bench);
    return code;
}
