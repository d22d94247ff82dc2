/*
 * What a message costs inside the core: runs of plain puts, deliveries to a consumer, runs of acks,
 * and the confirmation of their answers, without wire and sockets.
 *
 *   bench_core [MESSAGES [RUN [DEPTH [BODY]]]]
 *
 * MESSAGES in all (4,000,000), in runs of RUN (100), with DEPTH (10,000) messages queued meanwhile,
 * bodies of BODY bytes (100). Prints nanoseconds a message for each step, and what one of a million
 * queued messages costs in bytes (resident memory).
 */
#include "broker/core/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { RUN_MAX = 1024 };

struct bench {
    struct core *core;
    struct effects effects;
    uint64_t producer, consumer;
    uint64_t put_id, ack_id, tag;
    struct slice bodies[RUN_MAX];
    size_t run;
    uint64_t put_ns, deliver_ns, ack_ns, seen_ns;
    uint64_t delivered;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Bytes of resident memory. */
static uint64_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &pages) != 2) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t apply(struct bench *bench, const struct command *command)
{
    uint64_t start = now_ns();
    core_apply(bench->core, 1000, command, &bench->effects);
    return now_ns() - start;
}

static uint64_t open_session(struct bench *bench)
{
    struct command command = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 10000}};
    apply(bench, &command);
    return bench->effects.items[0].session;
}

static void put(struct bench *bench)
{
    struct command command = {
        .kind = COMMAND_PUT,
        .session = bench->producer,
        .request = bench->put_id,
        .put = {.queue = slice_str("q"), .bodies = bench->bodies, .count = bench->run}};
    bench->put_ns += apply(bench, &command);
    struct id_range range = {bench->put_id, bench->run};
    struct command seen = {
        .kind = COMMAND_SEEN, .session = bench->producer, .seen = {.ranges = &range, .count = 1}};
    bench->seen_ns += apply(bench, &seen);
    bench->put_id += bench->run;
}

/* One run's worth of credit, and what it brings. */
static void deliver(struct bench *bench)
{
    struct command command = {.kind = COMMAND_CREDIT,
                              .session = bench->consumer,
                              .credit = {.channel = 1, .messages = bench->run, .bytes = 1 << 30}};
    bench->deliver_ns += apply(bench, &command);
    for (size_t i = 0; i < bench->effects.count; i++) {
        if (bench->effects.items[i].kind == EFFECT_DELIVER) {
            bench->delivered += bench->effects.items[i].count;
        }
    }
}

static void ack(struct bench *bench)
{
    struct command command = {.kind = COMMAND_ACK,
                              .session = bench->consumer,
                              .request = bench->ack_id,
                              .settle = {.first_tag = bench->tag, .count = bench->run}};
    bench->ack_ns += apply(bench, &command);
    struct id_range range = {bench->ack_id, bench->run};
    struct command seen = {
        .kind = COMMAND_SEEN, .session = bench->consumer, .seen = {.ranges = &range, .count = 1}};
    bench->seen_ns += apply(bench, &seen);
    bench->ack_id += bench->run;
    bench->tag += bench->run;
}

static void begin(struct bench *bench)
{
    struct command bootstrap = {.kind = COMMAND_BOOTSTRAP,
                                .bootstrap = {.hash_key = 1, .incarnation = 1}};
    bench->core = core_new();
    apply(bench, &bootstrap);
    bench->producer = open_session(bench);
    bench->consumer = open_session(bench);
    bench->put_id = bench->tag = 1;
    bench->ack_id = 2;
    struct slice name = slice_str("q");
    struct command consume = {
        .kind = COMMAND_CONSUME,
        .session = bench->consumer,
        .request = 1,
        .get = {.queues = &name, .queues_count = 1, .lease_ms = SETTING_DEFAULT}};
    apply(bench, &consume);
}

static void report(const struct bench *bench, uint64_t messages)
{
    double n = (double)messages;
    double total = (double)(bench->put_ns + bench->deliver_ns + bench->ack_ns);
    printf("put %.1f  deliver %.1f  ack %.1f  seen %.1f  put+deliver+ack %.1f ns a message\n",
           (double)bench->put_ns / n, (double)bench->deliver_ns / n, (double)bench->ack_ns / n,
           (double)bench->seen_ns / n, total / n);
}

/* A million messages queued: what each takes. */
static void measure_memory(struct bench *bench)
{
    enum { COUNT = 1000000 };
    uint64_t resident_before = resident(), bytes_before = core_bytes(bench->core), put_count = 0;
    for (; put_count < COUNT; put_count += bench->run) {
        put(bench);
    }
    double n = (double)put_count;
    printf("queued: %.1f bytes resident, %.1f bytes by core_bytes a message\n",
           (double)(resident() - resident_before) / n,
           (double)(core_bytes(bench->core) - bytes_before) / n);
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    uint64_t run = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    uint64_t depth = argc > 3 ? strtoull(argv[3], NULL, 10) : 10000;
    uint64_t size = argc > 4 ? strtoull(argv[4], NULL, 10) : 100;
    if (run < 1 || run > RUN_MAX || size > LIMIT_BODY_BYTES) {
        fprintf(stderr, "usage: bench_core [MESSAGES [RUN (1..1024) [DEPTH [BODY]]]]\n");
        return 2;
    }
    struct bench bench = {.run = run};
    uint8_t *body = calloc(1, size + 1);
    for (size_t i = 0; i < run; i++) {
        bench.bodies[i] = slice_of(body, size);
    }
    begin(&bench);
    for (uint64_t i = 0; i < depth; i += run) {
        put(&bench);
    }
    bench.put_ns = bench.seen_ns = 0;
    uint64_t done = 0;
    for (; done < messages; done += run) {
        put(&bench);
        deliver(&bench);
        ack(&bench);
    }
    report(&bench, done);
    int status = bench.delivered == done ? 0 : 1;
    measure_memory(&bench);
    core_destroy(&bench.core);
    effects_fini(&bench.effects);
    free(body);
    return status;
}
