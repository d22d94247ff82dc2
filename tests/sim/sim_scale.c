/*
 * Many of everything: what an operation costs while the manager is full of something.
 *
 *     sim_scale [--sizes LIST]     for example --sizes 1000,100000
 *
 * Each scenario builds its state through core_apply alone, then plays rounds of put, get, ack,
 * acquire, release and tick beside it, and takes the state down again. Times are printed, never
 * judged: a busy machine must not fail a test. What is judged: nothing is lost (counts), every
 * invariant holds (core_check, at the smaller sizes), and no single core_apply does more than about
 * LIMIT_WORK_UNITS units of work, whatever the state. With STW_SHORT sizes above 10,000 are left
 * out.
 *
 * A scenario more: a function like queued(), and a row in `scenarios`.
 */
#include "broker/core/core.h"
#include "common/base/alloc.h"
#include "common/base/fields.h"
#include "common/base/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* bytes: of every message */
#define BODY_BYTES 100

/* count: rounds of every operation at each size */
#define ROUNDS 2000

/* count: requests after which a session confirms its answers */
#define CONFIRM 256

/* Up to here every invariant is walked: the walk itself costs as much as building. */
#define CHECK_SIZE 10000

/* One apply may do what is under way to its end: this much above the limit is no fault. */
#define UNITS_MOST (2 * LIMIT_WORK_UNITS)

#define SESSIONS_MAX 10100

struct world {
    struct core *core;
    struct effects effects;
    uint64_t now_ms;
    uint64_t size; /* of the scenario */
    uint64_t prober;
    uint64_t highest[SESSIONS_MAX]; /* request ids by session */
    uint64_t units_most;            /* of one apply */
};

enum operation { PUT, GET, ACK, ACQUIRE, RELEASE, TICK, OPERATIONS };

/* What each round's operations took. */
struct times {
    uint64_t ns[OPERATIONS][ROUNDS];
    size_t round;
};

/* ---- commands ------------------------------------------------------------------------------- */

/* Units of work that the effects show: one per message, request or tag. */
static uint64_t units_of(const struct effects *effects)
{
    uint64_t units = 0;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        bool run = effect->kind == EFFECT_REPLY || effect->kind == EFFECT_DELIVER ||
                   effect->kind == EFFECT_LEASE_LOST;
        units += run ? effect->count : 1;
    }
    return units;
}

/* Leases and locks that come back show no effect: they are counted by core_held. */
static void apply(struct world *world, const struct command *command)
{
    uint64_t before = core_held(world->core);
    core_apply(world->core, world->now_ms, command, &world->effects);
    uint64_t after = core_held(world->core);
    uint64_t units = units_of(&world->effects), returned = before > after ? before - after : 0;
    units = units > returned ? units : returned;
    world->units_most = units > world->units_most ? units : world->units_most;
    STEWARD_ASSERT(units <= UNITS_MOST);
}

static void confirm(struct world *world, uint64_t session)
{
    struct id_range range = {world->highest[session] - CONFIRM + 1, CONFIRM};
    struct command seen = {.kind = COMMAND_SEEN, .session = session, .seen = {&range, 1}};
    apply(world, &seen);
}

/* Applies a request under the session's next ids. Effects are the request's. */
static void request(struct world *world, uint64_t session, struct command command)
{
    STEWARD_ASSERT(session > 0 && session < SESSIONS_MAX);
    if (world->highest[session] > 0 && world->highest[session] % CONFIRM == 0) {
        confirm(world, session);
    }
    command.session = session;
    command.request = world->highest[session] + 1;
    world->highest[session] += command_requests(&command);
    apply(world, &command);
}

static uint64_t open_session(struct world *world)
{
    struct command open = {.kind = COMMAND_SESSION_OPEN};
    apply(world, &open);
    STEWARD_ASSERT(world->effects.items[0].kind == EFFECT_SESSION_OPENED);
    return world->effects.items[0].session;
}

static void put(struct world *world, uint64_t session, struct slice queue)
{
    static const uint8_t bytes[BODY_BYTES];
    struct slice body = slice_of(bytes, sizeof bytes);
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.queue = queue, .bodies = &body, .count = 1}};
    request(world, session, command);
    STEWARD_ASSERT(world->effects.items[0].code == 0);
}

static void get(struct world *world, uint64_t session, struct slice queue, uint64_t max)
{
    struct command command = {.kind = COMMAND_GET,
                              .get = {.queues = &queue,
                                      .queues_count = 1,
                                      .max = max,
                                      .timeout_ms = TIMEOUT_FOREVER,
                                      .lease_ms = LIMIT_LEASE_MS}};
    request(world, session, command);
}

static void lock_command(struct world *world, uint64_t session, struct slice name, uint64_t token)
{
    struct command command = {.kind = token ? COMMAND_UNLOCK : COMMAND_ACQUIRE};
    if (token) {
        command.unlock = (struct cmd_unlock){.name = name, .token = token};
    } else {
        command.acquire = (struct cmd_acquire){
            .name = name, .kind = LOCK_MUTEX, .timeout_ms = TIMEOUT_FOREVER, .permits = 1};
    }
    request(world, session, command);
}

static void tick(struct world *world)
{
    struct command command = {.kind = COMMAND_TICK};
    apply(world, &command);
}

/* Ticks until nothing is due; how many it took. */
static uint64_t finish(struct world *world)
{
    uint64_t ticks = 0;
    while (core_deadline(world->core) <= world->now_ms) {
        tick(world);
        STEWARD_ASSERT(++ticks < 1000000);
    }
    return ticks;
}

/* A number of the first row of a SHOW or STAT. */
static uint64_t shown(struct world *world, struct command command, const char *key)
{
    request(world, world->prober, command);
    struct reader reader;
    struct field field;
    reader_init(&reader, world->effects.items[0].fields);
    while (fields_next(&reader, &field)) {
        if (field.type == FIELD_U64 && slice_equal(field.key, slice_str(key))) {
            return field.number;
        }
    }
    STEWARD_ASSERT(!"there is such a field");
    return 0;
}

static uint64_t total(struct world *world, const char *key)
{
    return shown(world, (struct command){.kind = COMMAND_STAT}, key);
}

/* "q12": in a ring of buffers, good until the fourth call from now. */
static struct slice numbered(char letter, uint64_t number)
{
    static char names[4][32];
    static unsigned next;
    char *name = names[next++ % 4];
    int size = snprintf(name, sizeof names[0], "%c%" PRIu64, letter, number);
    return slice_of(name, (size_t)size);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static const struct effect *effect_of(const struct world *world, enum effect_kind kind)
{
    for (size_t i = 0; i < world->effects.count; i++) {
        if (world->effects.items[i].kind == kind) {
            return &world->effects.items[i];
        }
    }
    return NULL;
}

static void note(struct times *times, enum operation operation, uint64_t start)
{
    times->ns[operation][times->round] = now_ns() - start;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* A busy machine takes the processor away now and then: the mean would show that only. */
static uint64_t median(uint64_t *ns)
{
    qsort(ns, ROUNDS, sizeof ns[0], compare);
    return ns[ROUNDS / 2];
}

/* Whoever got a message by the last command acknowledges it; false: nobody did. */
static bool acknowledge(struct world *world, struct times *times)
{
    const struct effect *deliver = effect_of(world, EFFECT_DELIVER);
    if (!deliver) {
        return false;
    }
    STEWARD_ASSERT(deliver->count == 1);
    struct command ack = {.kind = COMMAND_ACK, .settle = {deliver->first_tag, 1, 0, 0, {0}}};
    uint64_t session = deliver->session, start = now_ns();
    request(world, session, ack);
    note(times, ACK, start);
    STEWARD_ASSERT(world->effects.items[0].code == 0);
    return true;
}

/* A message goes through the queue; where others wait, the prober waits behind them. */
static void message_round(struct world *world, struct slice queue, struct times *times)
{
    uint64_t start = now_ns();
    put(world, world->prober, queue);
    note(times, PUT, start);
    bool done = acknowledge(world, times);
    start = now_ns();
    get(world, world->prober, queue, 1);
    note(times, GET, start);
    STEWARD_ASSERT(acknowledge(world, times) != done);
}

static void lock_round(struct world *world, struct slice lock, struct times *times)
{
    uint64_t start = now_ns();
    lock_command(world, world->prober, lock, 0);
    note(times, ACQUIRE, start);
    const struct effect *grant = effect_of(world, EFFECT_REPLY);
    STEWARD_ASSERT(grant && grant->reply == REPLY_GRANT);
    uint64_t token = grant->value;
    start = now_ns();
    lock_command(world, world->prober, lock, token);
    note(times, RELEASE, start);
    STEWARD_ASSERT(world->effects.items[0].code == 0);
}

/* Rounds on names that `many` says how many there are of. */
static void measure(struct world *world, const char *scenario, uint64_t many)
{
    static struct times times;
    for (times.round = 0; times.round < ROUNDS; times.round++) {
        uint64_t at = times.round * 7919 % many;
        message_round(world, numbered('q', at), &times);
        lock_round(world, numbered('l', at), &times);
        uint64_t start = now_ns();
        tick(world);
        note(&times, TICK, start);
    }
    printf("%-18s %8" PRIu64, scenario, world->size);
    for (int i = 0; i < OPERATIONS; i++) {
        printf(" %8" PRIu64, median(times.ns[i]));
    }
    printf(" %12" PRIu64, core_bytes(world->core));
    if (world->size <= CHECK_SIZE) {
        core_check(world->core);
    }
}

/* ---- scenarios ------------------------------------------------------------------------------ */

static void queued(struct world *world)
{
    for (uint64_t i = 0; i < world->size; i++) {
        put(world, world->prober, slice_str("q0"));
    }
    measure(world, "queued messages", 1);
    STEWARD_ASSERT(total(world, "ready") == world->size);
    struct command purge = {.kind = COMMAND_QUEUE_PURGE, .named = {.name = slice_str("q0")}};
    request(world, world->prober, purge);
    STEWARD_ASSERT(world->effects.items[0].value == world->size);
}

static void queues(struct world *world)
{
    for (uint64_t i = 0; i < world->size; i++) {
        put(world, world->prober, numbered('q', i));
    }
    STEWARD_ASSERT(total(world, "queues") == world->size);
    measure(world, "queues", world->size);
    STEWARD_ASSERT(total(world, "ready") == world->size);
    for (uint64_t i = 0; i < world->size; i++) {
        struct command delete = {.kind = COMMAND_QUEUE_DELETE, .named = {.name = numbered('q', i)}};
        request(world, world->prober, delete);
    }
}

/* Each holds a lock and waits for another one that the prober holds. */
static void sessions(struct world *world)
{
    struct slice kept = slice_str("kept");
    lock_command(world, world->prober, kept, 0);
    uint64_t token = effect_of(world, EFFECT_REPLY)->value, first = world->prober + 1;
    for (uint64_t i = 0; i < world->size; i++) {
        uint64_t session = open_session(world);
        lock_command(world, session, numbered('s', i), 0);
        lock_command(world, session, kept, 0);
        STEWARD_ASSERT(world->effects.count == 0);
    }
    measure(world, "sessions", 1);
    STEWARD_ASSERT(total(world, "sessions") == world->size + 1);
    STEWARD_ASSERT(core_held(world->core) == world->size + 1);
    lock_command(world, world->prober, kept, token);
    for (uint64_t i = 0; i < world->size; i++) { /* each end hands the lock on */
        struct command end = {.kind = COMMAND_SESSION_END, .session = first + i};
        apply(world, &end);
    }
}

static void waiters(struct world *world)
{
    uint64_t session = 0;
    for (uint64_t i = 0; i < world->size; i++) {
        session = i % 10 == 0 ? open_session(world) : session;
        get(world, session, slice_str("q0"), 1);
        STEWARD_ASSERT(world->effects.count == 0);
    }
    measure(world, "waiters, one queue", 1);
    struct command show = {.kind = COMMAND_QUEUE_SHOW, .named = {.name = slice_str("q0")}};
    STEWARD_ASSERT(shown(world, show, "getters") == world->size);
    struct command delete = {.kind = COMMAND_QUEUE_DELETE, .named = {.name = slice_str("q0")}};
    request(world, world->prober, delete);
}

/* One half's holder dies, the other half runs out. */
static void leases(struct world *world)
{
    uint64_t dying = open_session(world);
    struct slice queue = slice_str("leased");
    for (uint64_t i = 0; i < world->size; i++) {
        put(world, world->prober, queue);
    }
    for (uint64_t i = 0; core_held(world->core) < world->size; i++) {
        get(world, i % 2 ? dying : world->prober, queue, world->size / 2 < 1000 ? 250 : 1000);
    }
    measure(world, "leases", 1);
    STEWARD_ASSERT(core_held(world->core) == world->size);
    struct command end = {.kind = COMMAND_SESSION_END, .session = dying};
    apply(world, &end);
    (void)finish(world);
    STEWARD_ASSERT(core_held(world->core) == world->size / 2);
    world->now_ms += LIMIT_LEASE_MS;
    (void)finish(world);
    STEWARD_ASSERT(core_held(world->core) == 0 && total(world, "ready") == world->size);
}

static void delayed(struct world *world)
{
    static const struct slice body = {(const uint8_t *)"delayed", 7};
    struct put_options options = {.ttl_ms = SETTING_DEFAULT};
    struct command command = {
        .kind = COMMAND_PUT_MANY,
        .put = {.queue = slice_str("later"), .bodies = &body, .count = 1, .options = &options}};
    for (uint64_t i = 0; i < world->size; i++) {
        options.delay_ms = 60000 + i * 7919 % world->size;
        request(world, world->prober, command);
    }
    measure(world, "delayed messages", 1);
    STEWARD_ASSERT(total(world, "delayed") == world->size);
    world->now_ms += 60000 + world->size;
    uint64_t ticks = finish(world);
    STEWARD_ASSERT(total(world, "delayed") == 0 && total(world, "ready") == world->size);
    STEWARD_ASSERT(ticks >= world->size / LIMIT_WORK_UNITS);
}

static const struct {
    void (*run)(struct world *world);
    uint64_t most; /* size */
} scenarios[] = {
    {queued, 1000000}, {queues, 100000},  {sessions, 10000},
    {waiters, 10000},  {leases, 1000000}, {delayed, 100000},
};

/* ---- main ----------------------------------------------------------------------------------- */

static void run(void (*scenario)(struct world *world), uint64_t size)
{
    struct world *world = mem_zalloc(1, sizeof *world);
    *world = (struct world){.core = core_new(), .now_ms = 1000, .size = size};
    struct command boot = {.kind = COMMAND_BOOTSTRAP, .bootstrap = {42, 7}};
    apply(world, &boot);
    world->prober = open_session(world);
    uint64_t start = now_ns();
    scenario(world);
    (void)finish(world);
    if (size <= CHECK_SIZE) {
        core_check(world->core);
    }
    printf(" %8" PRIu64 " %8.2f\n", world->units_most, (double)(now_ns() - start) / 1e9);
    fflush(stdout);
    core_destroy(&world->core);
    effects_fini(&world->effects);
    free(world);
}

/* Runs each scenario that may be so large. */
static void run_all(uint64_t size)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (size <= scenarios[i].most) {
            run(scenarios[i].run, size);
        }
    }
}

int main(int argc, char **argv)
{
    const char *list = getenv("STW_SHORT") ? "1000,10000" : "1000,10000,100000,1000000";
    if (argc == 3 && strcmp(argv[1], "--sizes") == 0) {
        list = argv[2];
    } else if (argc != 1) {
        fprintf(stderr, "usage: sim_scale [--sizes 1000,10000,...]\n");
        return 2;
    }
    printf("%-18s %8s %8s %8s %8s %8s %8s %8s %12s %8s %8s\n", "state (median ns)", "size", "put",
           "get", "ack", "acquire", "release", "tick", "core_bytes", "units", "seconds");
    while (*list != '\0') {
        char *end;
        uint64_t size = strtoull(list, &end, 10);
        if (size < 1000 || size % 1000 != 0 || (*end != ',' && *end != '\0')) {
            fprintf(stderr, "sim_scale: sizes are multiples of 1000\n");
            return 2;
        }
        run_all(size);
        list = *end == ',' ? end + 1 : end;
    }
    return 0;
}
