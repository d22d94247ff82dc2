/* Simulation A2, the network: see net.h. */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <stdlib.h>

static int free_descriptor(const struct net_world *world)
{
    for (int descriptor = 10;; descriptor++) {
        bool used = false;
        for (const struct wire *wire = world->wires; wire; wire = wire->next) {
            used |= !wire->gone && wire->descriptor == descriptor;
        }
        if (!used) {
            return descriptor;
        }
    }
}

struct wire *wire_open(struct net_world *world, const struct client *client)
{
    struct wire *wire = mem_zalloc(1, sizeof *wire), **at = &world->wires;
    wire->serial = ++world->serial;
    memcpy(wire->peer + 1, &wire->serial, sizeof wire->serial);
    wire->descriptor = free_descriptor(world);
    wire->client = client->slot;
    wire->node = client->node;
    wire->up = true;
    wire->gone_ms = NET_NEVER;
    while (*at) {
        at = &(*at)->next;
    }
    *at = wire;
    net_note(world, "wire", wire->serial, (uint64_t)client->slot, (uint64_t)wire->descriptor);
    return wire;
}

void net_packet_free(struct net_packet *packet)
{
    buf_fini(&packet->head);
    buf_fini(&packet->body);
    free(packet);
}

static void pipe_truncate(struct net_world *world, struct net_pipe *pipe, bool all)
{
    struct net_packet **at = &pipe->first, *last = NULL;
    while (*at && !all && rng_chance(&world->rng, 60)) {
        last = *at;
        at = &last->next;
    }
    while (*at) {
        struct net_packet *packet = *at;
        *at = packet->next;
        net_packet_free(packet);
        world->counts.lost++;
    }
    pipe->last = last;
}

/* What still is under way comes late: after the next connection's first packets, maybe. */
static void delay(struct net_world *world, struct net_pipe *pipe)
{
    uint64_t by = rng_between(&world->rng, 20, 3000);
    for (struct net_packet *packet = pipe->first; packet; packet = packet->next) {
        packet->due_ms += by;
        world->counts.late++;
    }
}

void wire_close(struct net_world *world, struct wire *wire)
{
    if (!wire->up) {
        return;
    }
    struct rng *rng = &world->rng;
    wire->up = false;
    pipe_truncate(world, &wire->to_client, true);
    if (rng_chance(rng, world->plan.late_percent)) {
        delay(world, &wire->to_manager);
    } else {
        pipe_truncate(world, &wire->to_manager, false);
    }
    bool half_open = world->faults && rng_chance(rng, 20);
    wire->gone_ms =
        world->now_ms + (half_open ? rng_between(rng, 1000, 20000) : rng_between(rng, 0, 30));
    if (wire->to_manager.last && wire->to_manager.last->due_ms > wire->gone_ms) {
        wire->gone_ms = wire->to_manager.last->due_ms; /* what was received is read first */
    }
    wire->told = !rng_chance(rng, world->faults ? 20 : 0);
    net_note(world, "close", wire->serial, wire->gone_ms, wire->told);
}

void wire_drop(struct net_world *world, struct wire *wire)
{
    wire->up = false;
    wire->gone = true;
    pipe_truncate(world, &wire->to_client, true);
    pipe_truncate(world, &wire->to_manager, true);
}

static void enqueue(struct net_world *world, struct wire *wire, bool up, struct slice head,
                    struct slice body)
{
    struct net_pipe *pipe = up ? &wire->to_manager : &wire->to_client;
    struct net_packet *packet = mem_zalloc(1, sizeof *packet);
    uint64_t blocked = world->blocked_ms[wire->node];
    uint64_t from = world->now_ms > blocked ? world->now_ms : blocked;
    uint64_t due = from + rng_between(&world->rng, 0, world->plan.latency_ms);
    pipe->latest_ms = packet->due_ms = due > pipe->latest_ms ? due : pipe->latest_ms;
    buf_add(&packet->head, head.data, head.size);
    packet->two = body.data != NULL;
    if (packet->two) {
        buf_add(&packet->body, body.data, body.size);
    }
    if (pipe->last) {
        pipe->last->next = packet;
    } else {
        pipe->first = packet;
    }
    pipe->last = packet;
}

void wire_push(struct net_world *world, struct wire *wire, bool up, struct slice head,
               struct slice body)
{
    struct net_pipe *pipe = up ? &wire->to_manager : &wire->to_client;
    world->counts.packets++;
    world->hash = net_hash(net_hash(world->hash, head.data, head.size), body.data, body.size);
    net_note(world, up ? "send_up" : "send_down", wire->serial, head.size, body.size);
    if (!wire->up || pipe->lose > 0) {
        pipe->lose -= pipe->lose > 0;
        world->counts.lost++;
        return;
    }
    enqueue(world, wire, up, head, body);
    uint64_t every = world->faults ? world->plan.every_ms[FAULT_DOUBLE] : 0;
    if (every > 0 && rng_below(&world->rng, every) < 10) {
        world->counts.doubled++;
        net_note(world, "double", wire->serial, up, 0);
        enqueue(world, wire, up, head, body);
    }
}

struct net_packet *wire_pop(struct net_pipe *pipe, uint64_t now_ms)
{
    struct net_packet *packet = pipe->first;
    if (packet == NULL || packet->due_ms > now_ms) {
        return NULL;
    }
    pipe->first = packet->next;
    if (pipe->first == NULL) {
        pipe->last = NULL;
    }
    return packet;
}

struct wire *wire_find(struct net_world *world, struct slice peer)
{
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        if (slice_equal(peer, slice_of(wire->peer, NET_PEER))) {
            return wire;
        }
    }
    return NULL;
}

static void wire_free(struct wire *wire)
{
    for (int i = 0; i < 2; i++) {
        struct net_pipe *pipe = i ? &wire->to_manager : &wire->to_client;
        while (pipe->first) {
            net_packet_free(wire_pop(pipe, NET_NEVER));
        }
    }
    free(wire);
}

void wires_sweep(struct net_world *world)
{
    struct wire **at = &world->wires;
    while (*at) {
        struct wire *wire = *at;
        if (wire->up || !wire->gone || wire->to_manager.first) {
            at = &wire->next;
            continue;
        }
        *at = wire->next;
        wire_free(wire);
    }
}

void wires_free(struct net_world *world)
{
    while (world->wires) {
        struct wire *wire = world->wires;
        world->wires = wire->next;
        wire_free(wire);
    }
}
