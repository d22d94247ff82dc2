/* Simulation A2, the world: time, the manager's loop, the phases of a seed. See net.h. */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* milliseconds: the manager's loop turns at least so often, as the real one does */
#define TURN_MS 500

/* milliseconds: how long a quiet world that is not at rest may go on without any acknowledgement */
#define QUIET_MS 60000

/* milliseconds: by then the sessions of those who left without a word have ended */
#define RETIRE_MS 16000

uint64_t net_hash(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3ULL;
    }
    return hash;
}

void net_note(struct net_world *world, const char *word, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t numbers[] = {world->now_ms, a, b, c};
    world->hash = net_hash(world->hash, numbers, sizeof numbers);
    if (world->verbose) {
        printf("%8" PRIu64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", world->now_ms, word, a, b,
               c);
    }
}

void net_fail(struct net_world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ms: ", world->seed, world->now_ms);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nreplay: sim_network --seed %" PRIu64 "\n", world->seed);
    va_end(arguments);
    exit(1);
}

/* ---- the manager ----------------------------------------------------------------------------- */

static void applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct net_world *world = context;
    if (world->gateway) {
        oracle_effects(world, effects);
        gateway_effects(world->gateway, now_ms, effects);
    }
}

static void host_submit(void *context, const struct command *command)
{
    struct net_world *world = context;
    oracle_command(world, command);
    world->counts.resumed += command->kind == COMMAND_SESSION_RESUME;
    journal_submit(world->journal, world->now_ms, command);
}

static enum send_result host_send(void *context, struct slice peer, struct slice head,
                                  struct slice body)
{
    struct net_world *world = context;
    struct wire *wire = wire_find(world, peer);
    if (wire == NULL || wire->gone) {
        return SEND_GONE;
    }
    if (wire->full_ms > world->now_ms) {
        return SEND_LATER;
    }
    wire_push(world, wire, false, head, body);
    return SEND_DONE;
}

static void host_random(void *context, void *out, size_t size)
{
    struct net_world *world = context;
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)rng_next(&world->rng);
    }
}

static void host_log(void *context, char level, const char *event, const char *detail)
{
    struct net_world *world = context;
    bool bad = strcmp(event, "bad_packet") == 0;
    if (bad && !strstr(detail, "are missing") && !strstr(detail, "came again") &&
        !strstr(detail, "state=stranger")) {
        net_fail(world, "the gateway does not understand a client: %s", detail);
    }
    if (world->verbose) {
        printf("%8" PRIu64 " log %c %s %s\n", world->now_ms, level, event, detail);
    }
}

/* The wire whose next packet came first. */
static struct wire *next_arrival(struct net_world *world)
{
    struct wire *found = NULL;
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        const struct net_packet *packet = wire->to_manager.first;
        if (packet && packet->due_ms <= world->now_ms &&
            (!found || packet->due_ms < found->to_manager.first->due_ms)) {
            found = wire;
        }
    }
    return found;
}

static void turn_packets(struct net_world *world)
{
    struct wire *wire;
    uint64_t most = rng_between(&world->rng, 1, 40);
    while (most-- > 0 && (wire = next_arrival(world))) {
        struct net_packet *packet = wire_pop(&wire->to_manager, world->now_ms);
        const struct slice frames[] = {buf_view(&packet->head), buf_view(&packet->body)};
        struct gateway_packet received = {.peer = slice_of(wire->peer, NET_PEER),
                                          .frames = frames,
                                          .count = packet->two ? 2 : 1,
                                          .descriptor = wire->descriptor};
        net_note(world, "arrived", wire->serial, packet->head.size, 0);
        gateway_receive(world->gateway, world->now_ms, &received);
        net_packet_free(packet);
    }
}

static void turn_closed(struct net_world *world)
{
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        if (!wire->gone && wire->gone_ms <= world->now_ms && wire->to_manager.first == NULL) {
            wire->gone = true;
            if (wire->told) {
                gateway_closed(world->gateway, world->now_ms, wire->descriptor);
            }
        }
    }
}

static void turn_gap(struct net_world *world)
{
    uint64_t gap_ms = world->now_ms - world->turned_ms;
    world->turned_ms = world->now_ms;
    if (gap_ms <= LIMIT_CLOCK_GAP_MS) {
        return;
    }
    net_note(world, "gap", gap_ms, 0, 0);
    world->counts.gaps++;
    struct command command = {.kind = COMMAND_CLOCK_GAP, .gap_ms = gap_ms};
    host_submit(world, &command);
    gateway_gap(world->gateway, world->now_ms, gap_ms);
}

static void manager_turn(struct net_world *world)
{
    turn_gap(world);
    turn_closed(world);
    turn_packets(world);
    if (core_deadline(world->core) <= world->now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        host_submit(world, &command);
    }
    if (gateway_deadline(world->gateway) <= world->now_ms) {
        gateway_tick(world->gateway, world->now_ms);
    }
    journal_flush(world->journal, world->now_ms);
    gateway_flush(world->gateway, world->now_ms);
    if (++world->turns % 64 == 0) {
        core_check(world->core);
    }
}

static uint64_t manager_next(const struct net_world *world)
{
    if (world->manager_stopped_ms > world->now_ms) {
        return world->manager_stopped_ms;
    }
    uint64_t next = net_less(core_deadline(world->core), gateway_deadline(world->gateway));
    for (const struct wire *wire = world->wires; wire; wire = wire->next) {
        if (wire->to_manager.first) {
            next = net_less(next, wire->to_manager.first->due_ms);
        }
        if (!wire->gone) {
            next = net_less(next, wire->gone_ms);
        }
    }
    return net_less(next, world->turned_ms + TURN_MS);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void step(struct net_world *world)
{
    faults_step(world);
    if (manager_next(world) <= world->now_ms) {
        manager_turn(world);
    }
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        struct client *client = &world->clients[i];
        if (client_next(client) <= world->now_ms) {
            client_step(client);
        }
    }
    wires_sweep(world);
}

static void advance(struct net_world *world)
{
    uint64_t next = net_less(faults_next(world), manager_next(world));
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        next = net_less(next, client_next(&world->clients[i]));
    }
    world->now_ms = next > world->now_ms ? next : world->now_ms + 1;
}

static void run_until(struct net_world *world, uint64_t until_ms)
{
    while (world->now_ms < until_ms) {
        step(world);
        advance(world);
    }
    core_check(world->core);
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void declare(struct net_world *world, uint64_t session, int queue)
{
    static const struct queue_options options[NET_QUEUES + 1] = {
        {.lease_ms = 5000},
        {.lease_ms = 2000, .maxsize = 5, .overflow = OVERFLOW_BLOCK},
        {.lease_ms = 5000, .maxsize = 8, .overflow = OVERFLOW_REJECT},
        {.lease_ms = 1500, .max_deliveries = 3},
        {.lease_ms = 5000}};
    struct command command = {.kind = COMMAND_QUEUE_DECLARE, .session = session};
    command.request = (uint64_t)(NET_QUEUES - queue) + 1; /* the dead-letter queue comes first */
    command.queue.name = slice_str(queue_text(queue));
    command.queue.options = options[queue];
    command.queue.options.given =
        QUEUE_LEASE | QUEUE_MAXSIZE | QUEUE_OVERFLOW | QUEUE_MAX_DELIVERIES | QUEUE_DEAD_LETTER;
    command.queue.options.dead_letter = slice_str(queue_text(NET_DEAD));
    if (queue == NET_DEAD) {
        command.queue.options.given = QUEUE_LEASE;
    }
    journal_submit(world->journal, world->now_ms, &command);
}

static void open_manager(struct net_world *world)
{
    world->core = core_new();
    world->journal = journal_memory_new(world->core, applied, world);
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap.hash_key = rng_next(&world->rng);
    command.bootstrap.incarnation = rng_next(&world->rng) | 1;
    journal_submit(world->journal, world->now_ms, &command);
    command = (struct command){.kind = COMMAND_SESSION_OPEN};
    command.open.ttl_ms = LIMIT_SESSION_TTL_MS;
    journal_submit(world->journal, world->now_ms, &command);
    for (int i = NET_QUEUES; i >= 0; i--) {
        declare(world, 1, i);
    }
    command = (struct command){.kind = COMMAND_SESSION_END, .session = 1};
    journal_submit(world->journal, world->now_ms, &command);
    struct gateway_options options;
    gateway_options_default(&options);
    struct gateway_host host = {.context = world,
                                .submit = host_submit,
                                .send = host_send,
                                .random = host_random,
                                .log = host_log};
    world->gateway = gateway_new(world->core, &options, &host);
}

/* No faults any more: every call ends, everything held is settled, every stream runs dry. */
static void finish(struct net_world *world)
{
    faults_end(world);
    if (world->plan.calm && world->counts.resumed + world->counts.ended > 0) {
        net_fail(world,
                 "nothing went wrong, and %" PRIu64 " connections and %" PRIu64 " sessions broke",
                 world->counts.resumed, world->counts.ended);
    }
    for (int i = 0; i < NET_CLIENTS_MAX; i++) {
        world->clients[i].finishing = true;
    }
    uint64_t until_ms = world->now_ms + QUIET_MS, acked = 0;
    for (int open = -1; open != NET_CLIENTS_MAX;) {
        run_until(world, world->now_ms + 100);
        if (acked != world->counts.acked) {
            acked = world->counts.acked;
            until_ms = world->now_ms + QUIET_MS;
        }
        for (open = 0; open < NET_CLIENTS_MAX && program_finished(&world->clients[open]);) {
            open++;
        }
        if (open < NET_CLIENTS_MAX && world->now_ms > until_ms) {
            const struct client *client = &world->clients[open];
            net_fail(world,
                     "client %d does not come to rest: %zu calls (first op %u), %zu outstanding, "
                     "%zu held; of its streams' queues %d are left",
                     open, client->calls_count, client->calls ? client->calls->op : 0,
                     conn_outstanding(client->conn), client->held_count,
                     (int)oracle_left(world, 0xf));
        }
    }
}

static void retire(struct net_world *world)
{
    for (int i = 0; i < NET_CLIENTS_MAX; i++) {
        struct client *client = &world->clients[i];
        if (client->life && rng_chance(&world->rng, 50)) {
            client_die(client);
        } else if (client->life && !client->leaving) {
            conn_leave(client->conn);
            client->leaving = true;
        }
        client->act_ms = world->now_ms;
    }
    run_until(world, world->now_ms + RETIRE_MS);
}

static void drain(struct net_world *world)
{
    struct client *client = &world->clients[NET_CLIENTS_MAX];
    uint64_t until_ms = world->now_ms + QUIET_MS, acked = 0;
    client_born(client);
    while (!client->drained || client->calls || client->held) {
        run_until(world, world->now_ms + 50);
        if (acked != world->counts.acked) {
            acked = world->counts.acked;
            until_ms = world->now_ms + QUIET_MS;
        }
        if (world->now_ms > until_ms) {
            net_fail(world, "the queues are not drained: %zu calls, %zu held", client->calls_count,
                     client->held_count);
        }
    }
    client_die(client);
    oracle_end(world);
}

static void close_world(struct net_world *world)
{
    struct buf snapshot = {0};
    core_snapshot(world->core, &snapshot);
    world->hash = net_hash(world->hash, snapshot.data, snapshot.size);
    buf_fini(&snapshot);
    for (int i = 0; i < NET_CLIENTS_MAX; i++) {
        if (world->clients[i].life) {
            client_die(&world->clients[i]);
        }
    }
    gateway_destroy(&world->gateway);
    journal_destroy(&world->journal);
    core_destroy(&world->core);
    wires_free(world);
    oracle_free(&world->oracle);
}

void net_run(struct net_world *world, uint64_t seed, bool verbose)
{
    *world = (struct net_world){.seed = seed, .verbose = verbose, .now_ms = 1000000};
    world->hash = 0xcbf29ce484222325ULL;
    world->rng.state = seed * 0x2545f4914f6cdd1dULL;
    world->turned_ms = world->now_ms;
    plan_draw(world);
    open_manager(world);
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        world->clients[i] = (struct client){.slot = i, .world = world, .born_ms = NET_NEVER};
    }
    for (int i = 0; i < world->plan.clients; i++) {
        world->clients[i].born_ms = world->now_ms + rng_below(&world->rng, 300);
    }
    faults_start(world);
    run_until(world, world->now_ms + world->plan.faults_ms);
    finish(world);
    retire(world);
    drain(world);
    close_world(world);
}
