/* Simulation A2, the world: time, the phases of a seed. See net.h. */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* milliseconds: how long a quiet world that is not at rest may go on without any acknowledgement */
#define QUIET_MS 60000

/* milliseconds: by then the sessions of those who left without a word have ended */
#define RETIRE_MS 16000

uint64_t net_hash(uint64_t hash, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, hash);
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
    fprintf(stderr, "\nreplay: %s --seed %" PRIu64 "\n", world->managers->program, world->seed);
    va_end(arguments);
    exit(1);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void step(struct net_world *world)
{
    faults_step(world);
    if (world->managers->next(world) <= world->now_ms) {
        world->managers->step(world);
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
    uint64_t next = net_less(faults_next(world), world->managers->next(world));
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        next = net_less(next, client_next(&world->clients[i]));
    }
    world->now_ms = next > world->now_ms ? next : world->now_ms + 1;
}

void net_run_until(struct net_world *world, uint64_t until_ms)
{
    while (world->now_ms < until_ms) {
        step(world);
        advance(world);
    }
    world->managers->check(world);
}

/* ---- phases ---------------------------------------------------------------------------------- */

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
        net_run_until(world, world->now_ms + 100);
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
                     "%zu held, %d answers unconfirmed; of its streams' queues %d are left",
                     open, client->calls_count, client->calls ? client->calls->op : 0,
                     conn_outstanding(client->conn), client->held_count,
                     (int)oracle_unseen(world, conn_session(client->conn)),
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
    net_run_until(world, world->now_ms + RETIRE_MS);
}

static void drain(struct net_world *world)
{
    struct client *client = &world->clients[NET_CLIENTS_MAX];
    uint64_t until_ms = world->now_ms + QUIET_MS, acked = 0;
    client_born(client);
    while (!client->drained || client->calls || client->held) {
        net_run_until(world, world->now_ms + 50);
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
    for (int i = 0; i < NET_CLIENTS_MAX; i++) {
        if (world->clients[i].life) {
            client_die(&world->clients[i]);
        }
    }
    world->managers->close(world);
    wires_free(world);
    oracle_free(&world->oracle);
}

void net_run(struct net_world *world, const struct net_managers *managers, uint64_t seed,
             bool verbose)
{
    *world = (struct net_world){
        .seed = seed, .verbose = verbose, .managers = managers, .now_ms = 1000000, .nodes = 1};
    world->hash = 0xcbf29ce484222325ULL;
    world->rng.state = seed * 0x2545f4914f6cdd1dULL;
    plan_draw(world);
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        world->clients[i] = (struct client){.slot = i, .world = world, .born_ms = NET_NEVER};
    }
    managers->open(world);
    for (int i = 0; i < world->plan.clients; i++) {
        world->clients[i].born_ms = world->now_ms + rng_below(&world->rng, 300);
    }
    faults_start(world);
    net_run_until(world, world->now_ms + world->plan.faults_ms);
    finish(world);
    retire(world);
    drain(world);
    close_world(world);
}
