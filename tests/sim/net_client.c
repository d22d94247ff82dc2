/*
 * Simulation A2: one client process. Its loop is that of client/lib/driver.c: the socket that conn
 * wants, receive, tick, send; then its program acts.
 */
#include "tests/sim/net.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

/* count: packets received before what they caused is sent */
#define RECEIVE_RUN 64

/* milliseconds: between two tries to connect to a manager that is not there */
#define RECONNECT_MS 100

struct received {
    struct packet packet; /* first */
    struct net_packet *content;
};

uint64_t client_now(const struct client *client)
{
    return client->world->now_ms - client->lag_ms;
}

uint64_t client_ran(const struct client *client)
{
    return client->world->now_ms - client->paused;
}

static void stream_arrived(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void changed(void *context)
{
    ((struct client *)context)->dirty = true;
}

void client_born(struct client *client)
{
    struct net_world *world = client->world;
    struct rng *rng = &world->rng;
    int slot = client->slot;
    *client = (struct client){.slot = slot, .world = world, .life = ++world->lives};
    /* half of it must be more than a way there and back, else no connection ever stands */
    client->ttl_ms = rng_between(rng, 500 + 8 * world->plan.latency_ms, 10000);
    client->act_ms = world->now_ms + rng_between(rng, 0, 500);
    client->flush_ms = NET_NEVER;
    struct conn_options options = {.endpoints = world->endpoints,
                                   .ttl_ms = client->ttl_ms,
                                   .grace_ms = rng_between(rng, 0, 4000),
                                   .program = "simulation",
                                   .pid = client->life,
                                   .seed = rng_next(rng)};
    struct conn_host host = {
        .context = client, .done = calls_done, .arrived = stream_arrived, .changed = changed};
    client->conn = conn_new(&options, &host, client_now(client));
    net_note(world, "born", (uint64_t)slot, client->life, client->ttl_ms);
}

static void drop_wire(struct client *client)
{
    if (client->wire) {
        wire_close(client->world, client->wire);
    }
    client->wire = NULL;
    client->connected = client->noticed = false;
    client->connect_ms = 0;
}

void client_die(struct client *client)
{
    struct net_world *world = client->world;
    drop_wire(client);
    while (client->calls) {
        struct call *call = client->calls;
        if (!call->finished) {
            oracle_outcome(world, call, STW_ESESSION);
        }
        items_fini(&call->got, conn_runs(client->conn));
        free(call->hold);
        DL_DELETE(client->calls, call);
        free(call);
    }
    while (client->held) {
        held_drop(client, client->held);
    }
    while (client->holds) {
        hold_drop(client, client->holds);
    }
    conn_destroy(&client->conn);
    net_note(world, "died", (uint64_t)client->slot, client->life, 0);
    int slot = client->slot;
    *client = (struct client){.slot = slot, .world = world};
    client->born_ms = world->faults ? world->now_ms + rng_between(&world->rng, 1, 2000) : NET_NEVER;
}

void client_stop(struct client *client, uint64_t until_ms)
{
    client->stopped_ms = until_ms;
    client->stopped_from = client->world->now_ms;
}

void client_continue(struct client *client)
{
    if (client->stopped_ms) {
        client->paused += client->world->now_ms - client->stopped_from;
        client->stopped_ms = 0;
        net_note(client->world, "continued", (uint64_t)client->slot, 0, 0);
    }
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void sync_socket(struct client *client)
{
    struct net_world *world = client->world;
    uint64_t generation;
    const char *endpoint = conn_socket(client->conn, &generation);
    if (generation == client->generation) {
        return;
    }
    client->generation = generation;
    drop_wire(client);
    if (endpoint) {
        client->node = (int)strtol(endpoint + strlen("sim://"), NULL, 10);
        STEWARD_ASSERT(client->node > 0 && client->node <= NET_NODES_MAX);
        uint64_t blocked = world->blocked_ms[client->node];
        uint64_t from = world->now_ms > blocked ? world->now_ms : blocked;
        client->connect_ms = from + rng_between(&world->rng, 0, world->plan.latency_ms);
    }
}

static void check_connection(struct client *client)
{
    struct net_world *world = client->world;
    if (client->connect_ms && client->connect_ms <= world->now_ms) {
        if (!world->managers->up(world, client->node)) {
            client->connect_ms = world->now_ms + RECONNECT_MS; /* as libzmq does */
            return;
        }
        client->connect_ms = 0;
        client->wire = wire_open(world, client);
        client->connected = true;
        conn_connected(client->conn, client_now(client));
    }
    if (client->noticed) {
        client->noticed = client->connected = false;
        conn_disconnected(client->conn, client_now(client));
    }
}

static void received_release(struct packet *packet)
{
    struct received *received = (struct received *)packet;
    net_packet_free(received->content);
    free(received);
}

static void receive(struct client *client, struct net_packet *content)
{
    struct received *received = mem_zalloc(1, sizeof *received);
    received->content = content;
    received->packet =
        (struct packet){.head = buf_view(&content->head), .refs = 1, .release = received_release};
    if (content->two) {
        received->packet.body = buf_view(&content->body);
    }
    net_note(client->world, "received", (uint64_t)client->slot, content->head.size, 0);
    conn_receive(client->conn, client_now(client), &received->packet);
    packet_release(&received->packet);
}

static bool receive_run(struct client *client)
{
    for (int i = 0; i < RECEIVE_RUN; i++) {
        uint64_t generation;
        conn_socket(client->conn, &generation);
        if (client->wire == NULL || generation != client->generation) {
            return false;
        }
        struct net_packet *packet = wire_pop(&client->wire->to_client, client->world->now_ms);
        if (packet == NULL) {
            return false;
        }
        receive(client, packet);
    }
    return true;
}

static bool wants_send(const struct client *client)
{
    return client->connected &&
           (client->flush_ms <= client->world->now_ms || conn_urgent(client->conn) ||
            conn_pending_bytes(client->conn) >= LIMIT_PACKET_BYTES);
}

static void send_all(struct client *client)
{
    struct buf head = {0};
    struct slice body;
    for (int n = 0; conn_next_packet(client->conn, client_now(client), &head, &body); n++) {
        STEWARD_ASSERT(n < 10000);
        if (client->wire) { /* else it was cut and the socket has not noticed yet */
            wire_push(client->world, client->wire, true, buf_view(&head), body);
        }
    }
    buf_fini(&head);
    client->flush_ms = NET_NEVER;
}

/* What was submitted leaves soon, not at once. */
static void arm_flush(struct client *client)
{
    struct net_world *world = client->world;
    bool pending = conn_pending(client->conn) > 0;
    if ((client->dirty || pending) && client->flush_ms == NET_NEVER) {
        client->flush_ms = world->now_ms + rng_between(&world->rng, 0, 3);
    }
    client->dirty = false;
}

static void drive(struct client *client)
{
    uint64_t generation;
    int rounds = 0;
    bool more;
    do {
        STEWARD_ASSERT(++rounds < 1000);
        sync_socket(client);
        more = receive_run(client);
        check_connection(client);
        conn_tick(client->conn, client_now(client));
        if (strcmp(conn_trouble(client->conn), "the manager broke the protocol") == 0) {
            net_fail(client->world, "client %d does not understand the manager", client->slot);
        }
        calls_collect(client);
        arm_flush(client);
        if (wants_send(client)) {
            send_all(client);
        }
        conn_socket(client->conn, &generation);
    } while (more || generation != client->generation);
}

static void act(struct client *client)
{
    struct net_world *world = client->world;
    if (client->slot == NET_CLIENTS_MAX) {
        program_drain(client);
        client->act_ms = world->now_ms + 50;
    } else if (client->finishing) {
        program_finish(client);
        client->act_ms = world->now_ms + 100;
    } else {
        program_act(client);
        client->act_ms = world->now_ms + rng_between(&world->rng, 0, 2 * world->plan.pace_ms);
    }
    client->dirty = true;
}

void client_step(struct client *client)
{
    struct net_world *world = client->world;
    if (client->life == 0 && client->born_ms <= world->now_ms && !client->finishing) {
        client_born(client);
    }
    if (client->stopped_ms && client->stopped_ms <= world->now_ms) {
        client_continue(client);
    }
    if (client->life == 0 || client->stopped_ms) {
        return;
    }
    drive(client);
    if (client->act_ms <= world->now_ms && !client->leaving) {
        act(client);
        arm_flush(client);
        if (client->life && wants_send(client)) {
            send_all(client);
        }
    }
    if (client->life && conn_left(client->conn)) {
        client_die(client);
    }
}

uint64_t client_next(const struct client *client)
{
    if (client->life == 0) {
        return client->born_ms;
    }
    if (client->stopped_ms) {
        return client->stopped_ms;
    }
    uint64_t next = net_less(client->leaving ? NET_NEVER : client->act_ms,
                             client->connected ? client->flush_ms : NET_NEVER);
    uint64_t due = conn_deadline(client->conn);
    next = net_less(next, due == NET_NEVER ? due : due + client->lag_ms);
    if (client->connect_ms) {
        next = net_less(next, client->connect_ms);
    }
    if (client->noticed) {
        return client->world->now_ms;
    }
    if (client->wire && client->wire->to_client.first) {
        next = net_less(next, client->wire->to_client.first->due_ms);
    }
    return next;
}
