/*
 * What a snapshot costs the process that takes it, at the size of a loaded manager.
 *
 *   bench_snapshot [DIRECTORY [MESSAGES [BODY]]]
 *
 * Puts MESSAGES (1,000,000) of BODY bytes (100) into a core, takes a snapshot of it into DIRECTORY
 * (a new one in /tmp) while puts and deliveries go on, and loads it again. Prints: how long the
 * owner stood still in snapshots_begin and the longest turn meanwhile (each turn is a run of 100
 * puts, deliveries and acks), what a turn costs beside the child and without it, the memory of both
 * processes, how long the file took, and how long loading it.
 */
#include "broker/journal/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUN = 100 };

struct bench {
    struct core *core;
    struct effects effects;
    uint64_t producer, consumer;
    uint64_t put_id, ack_id, tag;
    struct slice bodies[RUN];
    uint64_t longest_ns, turns, turns_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A line of /proc/PID/status or smaps_rollup, in MB; 0: there is none. */
static double megabytes(const char *file, const char *key)
{
    char path[64], line[128];
    unsigned long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/self/%s", file);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            sscanf(line + strlen(key), ": %lu", &kilobytes);
        }
    }
    if (status) {
        fclose(status);
    }
    return (double)kilobytes / 1000;
}

/* MB that may still be had, of all processes: what a snapshot takes shows here, shared or not. */
static double available(void)
{
    char line[128];
    unsigned long kilobytes = 0;
    FILE *memory = fopen("/proc/meminfo", "r");
    while (memory && fgets(line, sizeof line, memory)) {
        sscanf(line, "MemAvailable: %lu", &kilobytes);
    }
    if (memory) {
        fclose(memory);
    }
    return (double)kilobytes / 1000;
}

static void apply(struct bench *bench, const struct command *command)
{
    core_apply(bench->core, 1000, command, &bench->effects);
}

static void seen(struct bench *bench, uint64_t session, uint64_t first)
{
    struct id_range range = {first, RUN};
    struct command command = {
        .kind = COMMAND_SEEN, .session = session, .seen = {.ranges = &range, .count = 1}};
    apply(bench, &command);
}

static void put(struct bench *bench)
{
    struct command command = {
        .kind = COMMAND_PUT,
        .session = bench->producer,
        .request = bench->put_id,
        .put = {.queue = slice_str("q"), .bodies = bench->bodies, .count = RUN}};
    apply(bench, &command);
    seen(bench, bench->producer, bench->put_id);
    bench->put_id += RUN;
}

/* A run put, the oldest run delivered and acked. */
static void turn(struct bench *bench)
{
    uint64_t start = now_ns();
    put(bench);
    struct command credit = {.kind = COMMAND_CREDIT,
                             .session = bench->consumer,
                             .credit = {.channel = 1, .messages = RUN, .bytes = 1 << 30}};
    apply(bench, &credit);
    struct command ack = {.kind = COMMAND_ACK,
                          .session = bench->consumer,
                          .request = bench->ack_id,
                          .settle = {.first_tag = bench->tag, .count = RUN}};
    apply(bench, &ack);
    seen(bench, bench->consumer, bench->ack_id);
    bench->ack_id += RUN;
    bench->tag += RUN;
    uint64_t took = now_ns() - start;
    bench->turns++;
    bench->turns_ns += took;
    bench->longest_ns = took > bench->longest_ns ? took : bench->longest_ns;
}

static uint64_t open_session(struct bench *bench)
{
    struct command command = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 10000}};
    apply(bench, &command);
    return bench->effects.items[0].session;
}

static void fill(struct bench *bench, uint64_t messages, size_t size)
{
    struct command bootstrap = {.kind = COMMAND_BOOTSTRAP,
                                .bootstrap = {.hash_key = 1, .incarnation = 1}};
    uint8_t *body = calloc(1, size + 1);
    struct slice name = slice_str("q");
    struct command consume = {
        .kind = COMMAND_CONSUME,
        .request = 1,
        .get = {.queues = &name, .queues_count = 1, .lease_ms = SETTING_DEFAULT}};
    bench->core = core_new();
    apply(bench, &bootstrap);
    bench->producer = open_session(bench);
    bench->consumer = open_session(bench);
    bench->put_id = bench->tag = 1;
    bench->ack_id = 2;
    consume.session = bench->consumer;
    apply(bench, &consume);
    for (size_t i = 0; i < RUN; i++) {
        bench->bodies[i] = slice_of(body, size);
    }
    for (uint64_t i = 0; i < messages; i += RUN) {
        put(bench);
    }
}

static void report_turns(struct bench *bench, const char *when)
{
    printf("%-22s %8.1f us a turn, longest %7.2f ms, %" PRIu64 " turns\n", when,
           (double)bench->turns_ns / 1e3 / (double)bench->turns, (double)bench->longest_ns / 1e6,
           bench->turns);
    bench->turns = bench->turns_ns = bench->longest_ns = 0;
}

/* As many turns as there are while the child writes. */
static bool take(struct bench *bench, struct snapshots *snapshots)
{
    struct snapshot_mark mark = {.at = {.index = 1, .term = 1, .members_index = 1}};
    struct log_error error;
    enum snapshots_event event = SNAPSHOTS_NOTHING;
    members_set(&mark.at.members, 1, MEMBER_VOTER);
    double before = available(), least = before;
    uint64_t start = now_ns();
    snapshots_begin(snapshots, &mark, bench->core);
    printf("begin: the owner stood still for %.2f ms\n", (double)(now_ns() - start) / 1e6);
    for (uint64_t i = 0; event == SNAPSHOTS_NOTHING; i++) {
        turn(bench);
        event = snapshots_process(snapshots, &error);
        if (i % 1000 == 0) {
            double now = available();
            least = now < least ? now : least;
        }
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    if (event == SNAPSHOTS_FAILED) {
        printf("failed: %s\n", error.text);
        return false;
    }
    snapshots_newest(snapshots, &mark);
    report_turns(bench, "beside the child:");
    printf("written: %.0f MB of state in %.2f s; memory of both together grew by %.0f MB\n",
           (double)mark.bytes / 1e6, seconds, before - least);
    return true;
}

static void load(struct snapshots *snapshots)
{
    struct core *core = core_new();
    struct log_error error;
    uint64_t start = now_ns();
    bool good = snapshots_load(snapshots, core, &error);
    uint64_t loaded = now_ns();
    core_destroy(&core);
    printf("load: %s in %.2f s (and %.2f s to give it all back)\n", good ? "whole" : error.text,
           (double)(loaded - start) / 1e9, (double)(now_ns() - loaded) / 1e9);
}

int main(int argc, char **argv)
{
    struct bench bench = {.turns = 0};
    struct log_error error;
    char directory[] = "/tmp/bench-snapshot-XXXXXX";
    uint64_t messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
    struct snapshots_options options = {.directory = argc > 1 ? argv[1] : mkdtemp(directory)};
    struct snapshots *snapshots = options.directory ? snapshots_open(&options, &error) : NULL;
    if (!snapshots) {
        fprintf(stderr, "bench_snapshot: %s\n", options.directory ? error.text : "no directory");
        return EXIT_FAILURE;
    }
    fill(&bench, messages, size);
    printf("%" PRIu64 " messages of %zu bytes: %.0f MB resident, %.0f MB of it in huge pages\n",
           messages, size, megabytes("status", "VmRSS"),
           megabytes("smaps_rollup", "AnonHugePages"));
    for (int i = 0; i < 20000; i++) {
        turn(&bench);
    }
    report_turns(&bench, "without a snapshot:");
    bool good = take(&bench, snapshots);
    for (int i = 0; i < 20000; i++) {
        turn(&bench);
    }
    report_turns(&bench, "after it:");
    core_destroy(&bench.core);
    if (good) {
        load(snapshots);
    }
    effects_fini(&bench.effects);
    snapshots_close(&snapshots);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
