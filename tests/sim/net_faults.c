/* Simulation A2: what a seed is like, and what goes wrong in it. See net.h. */
#include "tests/sim/net.h"

/* Nothing goes wrong: then nobody may be disturbed, however little they say. */
static void plan_calm(struct net_world *world)
{
    struct plan *plan = &world->plan;
    plan->calm = true;
    plan->latency_ms = net_less(plan->latency_ms, 10);
    plan->pace_ms = rng_between(&world->rng, 200, 6000);
    plan->weights[NET_ACT_LEAVE] = plan->weights[NET_ACT_KILL] = 0;
    memset(plan->every_ms, 0, sizeof plan->every_ms);
}

/* Swarm testing: each seed leaves much out, so that rare combinations come up. */
void plan_draw(struct net_world *world)
{
    struct rng *rng = &world->rng;
    struct plan *plan = &world->plan;
    static const uint64_t paces[] = {5, 20, 60, 200};
    static const uint64_t latencies[] = {0, 2, 10, 80, 400};
    plan->clients = (int)rng_between(rng, 2, NET_CLIENTS_MAX);
    plan->pace_ms = paces[rng_below(rng, 4)];
    plan->latency_ms = latencies[rng_below(rng, 5)];
    plan->faults_ms = rng_between(rng, 5000, 25000);
    plan->large = rng_chance(rng, 15);
    plan->late_percent = rng_chance(rng, 50) ? rng_between(rng, 10, 90) : 0;
    for (size_t i = 0; i < sizeof plan->weights / sizeof plan->weights[0]; i++) {
        plan->weights[i] = rng_chance(rng, 70) ? rng_between(rng, 1, 10) : 0;
    }
    for (int i = 0; i < FAULT_COUNT; i++) {
        plan->every_ms[i] = rng_chance(rng, 45) ? rng_between(rng, 300, 8000) : 0;
    }
    if (world->seed % 10 == 3) {
        plan_calm(world);
    }
}

static void schedule(struct net_world *world, int fault)
{
    uint64_t every = world->plan.every_ms[fault];
    bool off = every == 0 || !world->faults || fault == FAULT_DOUBLE;
    world->due_ms[fault] = off ? NET_NEVER : world->now_ms + rng_between(&world->rng, 1, 2 * every);
}

void faults_start(struct net_world *world)
{
    world->faults = true;
    for (int i = 0; i < FAULT_COUNT; i++) {
        schedule(world, i);
    }
}

static void cut(struct net_world *world, struct client *client)
{
    if (client->wire) {
        wire_close(world, client->wire);
        client->wire = NULL;
        client->noticed = rng_chance(&world->rng, 80);
    }
}

/* As libzmq does: the socket stays, the manager sees a new peer, and a stretch is lost. */
static void switch_wire(struct net_world *world, struct client *client)
{
    if (client->wire) {
        wire_close(world, client->wire);
        client->wire = wire_open(world, client);
    }
}

static void lose(struct net_world *world, struct client *client)
{
    if (client->wire) {
        struct wire *wire = client->wire;
        struct net_pipe *pipe = rng_chance(&world->rng, 50) ? &wire->to_manager : &wire->to_client;
        pipe->lose = rng_between(&world->rng, 1, 5);
    }
}

static void fill(struct net_world *world, struct client *client)
{
    if (client->wire) {
        client->wire->full_ms = world->now_ms + rng_between(&world->rng, 5, 3000);
    }
}

static void suspend(struct net_world *world)
{
    uint64_t for_ms = rng_between(&world->rng, 1000, 60000);
    world->now_ms += for_ms;
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        world->clients[i].lag_ms += for_ms; /* CLOCK_MONOTONIC does not count it */
        world->clients[i].paused += for_ms;
    }
}

static void strike(struct net_world *world, enum fault fault)
{
    struct rng *rng = &world->rng;
    struct client *client = &world->clients[rng_below(rng, (uint64_t)world->plan.clients)];
    net_note(world, "fault", fault, (uint64_t)client->slot, world->now_ms);
    bool alive = client->life != 0 && client->stopped_ms == 0;
    switch (fault) {
    case FAULT_CUT: cut(world, client); break;
    case FAULT_SWITCH: switch_wire(world, client); break;
    case FAULT_LOSE: lose(world, client); break;
    case FAULT_FULL: fill(world, client); break;
    case FAULT_STOP:
        if (alive) {
            client_stop(client,
                        world->now_ms + rng_between(rng, 10, rng_chance(rng, 50) ? 500 : 20000));
        }
        break;
    case FAULT_KILL:
        if (client->life != 0) {
            world->counts.killed++;
            client_die(client);
        }
        break;
    case FAULT_PARTITION:
        world->blocked_ms[rng_between(rng, 1, (uint64_t)world->nodes)] =
            world->now_ms + rng_between(rng, 50, 5000);
        break;
    case FAULT_MANAGER: world->managers->stop(world, rng_between(rng, 50, 15000)); break;
    case FAULT_SUSPEND: suspend(world); break;
    case FAULT_DOUBLE:
    case FAULT_COUNT: break;
    }
}

void faults_step(struct net_world *world)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (world->due_ms[i] <= world->now_ms) {
            strike(world, (enum fault)i);
            schedule(world, i);
        }
    }
}

uint64_t faults_next(const struct net_world *world)
{
    uint64_t next = NET_NEVER;
    for (int i = 0; i < FAULT_COUNT; i++) {
        next = net_less(next, world->due_ms[i]);
    }
    return next;
}

void faults_end(struct net_world *world)
{
    world->faults = false;
    for (int i = 0; i < FAULT_COUNT; i++) {
        world->due_ms[i] = NET_NEVER;
    }
    memset(world->blocked_ms, 0, sizeof world->blocked_ms);
    world->managers->heal(world);
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        wire->full_ms = 0;
        wire->to_client.lose = wire->to_manager.lose = 0;
    }
    for (int i = 0; i < NET_CLIENTS_MAX; i++) {
        client_continue(&world->clients[i]);
    }
    net_note(world, "quiet", world->now_ms, 0, 0);
}
