/* Simulation A2: what clients do, at random; and how they finish. See net.h. */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <utlist.h>

/* count: calls under way and deliveries held, at most */
#define CALLS_MAX 400
#define HELD_MAX  200

static uint64_t draw_timeout(struct client *client)
{
    struct rng *rng = &client->world->rng;
    switch (rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return rng_between(rng, 1, 200);
    case 2: return rng_between(rng, 200, 8000);
    default: return NET_NEVER;
    }
}

static uint32_t draw_queues(struct client *client)
{
    struct rng *rng = &client->world->rng;
    uint32_t queues = 1u << rng_below(rng, NET_QUEUES);
    return rng_chance(rng, 30) ? queues | 1u << rng_below(rng, NET_QUEUES) : queues;
}

static struct call *request(struct client *client, uint8_t op, struct conn_request wanted)
{
    struct call *call = call_new(client, op, wanted.timeout_ms);
    wanted.op = op;
    conn_request(client->conn, client_now(client), &call->ticket, &wanted);
    return call;
}

/* ---- puts ------------------------------------------------------------------------------------ */

static void put(struct client *client, int queue, uint64_t timeout_ms)
{
    struct net_world *world = client->world;
    struct call *call = call_new(client, WIRE_PUTS, timeout_ms);
    struct buf body = {0};
    call->item = oracle_put(world, client, queue, true);
    call->items = 1;
    oracle_body(world, call->item, &body);
    struct slice name = slice_str(queue_text(queue));
    struct conn_put wanted = {.queue = names_intern(conn_names(client->conn), name),
                              .body = buf_view(&body),
                              .timeout_ms = timeout_ms};
    conn_put(client->conn, client_now(client), &call->ticket, &wanted);
    names_release(conn_names(client->conn), wanted.queue);
    buf_fini(&body);
    world->counts.puts++;
}

static void act_put(struct client *client)
{
    struct rng *rng = &client->world->rng;
    put(client, (int)rng_below(rng, NET_QUEUES), draw_timeout(client));
}

static void act_put_run(struct client *client)
{
    struct rng *rng = &client->world->rng;
    int queue = (int)rng_below(rng, NET_QUEUES);
    uint64_t timeout_ms = draw_timeout(client), count = rng_between(rng, 2, 20);
    for (uint64_t i = 0; i < count; i++) {
        put(client, queue, timeout_ms);
    }
}

static void write_put_options(struct client *client, struct buf *out, bool plain)
{
    struct rng *rng = &client->world->rng;
    wire_write_map(out, plain ? 1 : 3);
    wire_write_str(out, slice_str("headers"));
    wire_write_map(out, 1);
    wire_write_str(out, slice_str("kind"));
    wire_write_str(out, slice_str("sim"));
    if (!plain) {
        wire_write_str(out, slice_str("priority"));
        wire_write_uint(out, rng_below(rng, 4));
        wire_write_str(out, slice_str("delay_ms"));
        wire_write_uint(out, rng_chance(rng, 50) ? 0 : rng_between(rng, 1, 3000));
    }
}

static void act_put_many(struct client *client)
{
    struct net_world *world = client->world;
    struct rng *rng = &world->rng;
    bool plain = rng_chance(rng, 50);
    int queue = (int)rng_below(rng, NET_QUEUES);
    uint64_t timeout_ms = draw_timeout(client), count = rng_between(rng, 1, 4);
    struct buf tail = {0}, body = {0};
    wire_write_str(&tail, slice_str(queue_text(queue)));
    wire_write_uint_or_nil(&tail, timeout_ms);
    write_put_options(client, &tail, plain);
    wire_write_array(&tail, (uint32_t)count);
    uint64_t first = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t item = oracle_put(world, client, queue, plain);
        first = i == 0 ? item : first;
        buf_clear(&body);
        oracle_body(world, item, &body);
        wire_write_bin(&tail, buf_view(&body));
    }
    struct call *call = request(
        client, WIRE_PUT,
        (struct conn_request){.fields = 4, .tail = buf_view(&tail), .timeout_ms = timeout_ms});
    call->item = first;
    call->items = count;
    buf_fini(&tail);
    buf_fini(&body);
    world->counts.puts += count;
}

/* ---- gets and streams ------------------------------------------------------------------------ */

static void get(struct client *client, uint32_t queues, uint64_t max, uint64_t timeout_ms)
{
    struct rng *rng = &client->world->rng;
    bool draining = client->slot == NET_CLIENTS_MAX;
    struct buf tail = {0};
    call_queues(&tail, queues);
    wire_write_uint(&tail, max);
    wire_write_uint_or_nil(&tail, timeout_ms);
    wire_write_uint_or_nil(&tail, draining || rng_chance(rng, 70) ? NET_NEVER
                                                                  : rng_between(rng, 300, 6000));
    bool auto_ack = !draining && rng_chance(rng, 10);
    wire_write_bool(&tail, auto_ack);
    struct call *call = request(
        client, WIRE_GET,
        (struct conn_request){.fields = 5, .tail = buf_view(&tail), .timeout_ms = timeout_ms});
    call->draining = draining;
    call->auto_ack = auto_ack;
    buf_fini(&tail);
    client->world->counts.gets++;
}

static void act_get(struct client *client)
{
    if (client->held_count < HELD_MAX) {
        get(client, draw_queues(client), rng_between(&client->world->rng, 1, 10),
            draw_timeout(client));
    }
}

static void act_consume(struct client *client)
{
    struct rng *rng = &client->world->rng;
    uint64_t far = client->world->plan.latency_ms; /* more credit on a slow line */
    for (int i = 0; i < NET_STREAMS; i++) {
        struct stream *stream = &client->streams[i];
        if (stream->consumer) {
            continue;
        }
        struct buf queues = {0};
        stream->queues = draw_queues(client);
        call_queues(&queues, stream->queues);
        struct conn_consume wanted = {.queues = buf_view(&queues),
                                      .messages = rng_between(rng, 1 + far / 10, 20 + far / 10),
                                      .bytes = rng_between(rng, 20 + 20 * far, 4000 + 20 * far),
                                      .lease_ms = rng_chance(rng, 70) ? NET_NEVER : 3000,
                                      .user = stream};
        struct call *call = call_new(client, WIRE_CONSUME, NET_NEVER);
        stream->consumer = conn_consume(client->conn, client_now(client), &call->ticket, &wanted);
        buf_fini(&queues);
        return;
    }
}

static void close_stream(struct client *client, struct stream *stream)
{
    if (stream->consumer == NULL) {
        return;
    }
    struct call *call;
    DL_FOREACH (client->calls, call) {
        if (call->op == WIRE_CONSUME && !call->finished) {
            return; /* its ticket is out */
        }
    }
    conn_consumer_close(client->conn, &stream->consumer);
}

static void act_close(struct client *client)
{
    close_stream(client, &client->streams[rng_below(&client->world->rng, NET_STREAMS)]);
}

static void take_streamed(struct client *client, uint64_t most)
{
    for (int i = 0; i < NET_STREAMS; i++) {
        struct stream *stream = &client->streams[i];
        struct item item;
        while (stream->consumer && most > 0 && client->held_count < HELD_MAX &&
               conn_consumer_next(client->conn, client_now(client), stream->consumer, &item)) {
            held_take(client, &item, true);
            client->world->counts.streamed++;
            most--;
        }
        if (stream->consumer) {
            (void)conn_consumer_state(stream->consumer);
        }
    }
}

static void act_take(struct client *client)
{
    take_streamed(client, rng_between(&client->world->rng, 1, 12));
}

static struct net_held *draw_held(struct client *client)
{
    uint64_t index = rng_below(&client->world->rng, client->held_count + 1);
    struct net_held *held = client->held;
    while (held && index-- > 0) {
        held = held->next;
    }
    return held;
}

static void act_ack(struct client *client)
{
    /* neighbours, so that acks travel as runs */
    struct net_held *held = draw_held(client);
    for (uint64_t n = rng_between(&client->world->rng, 1, 8); held && n > 0; n--) {
        struct net_held *next = held->next;
        held_settle(client, held, WIRE_ACK);
        held = next;
    }
}

static void act_settle(struct client *client)
{
    static const uint8_t ops[] = {WIRE_NACK, WIRE_RELEASE, WIRE_REJECT, WIRE_RENEW, WIRE_RENEW};
    struct net_held *held = draw_held(client);
    if (held) {
        held_settle(client, held, ops[rng_below(&client->world->rng, 5)]);
    }
}

static void act_lose_held(struct client *client)
{
    struct net_held *held = draw_held(client);
    if (held) {
        held_drop(client, held); /* nobody settles it: its lease runs out, or its session ends */
    }
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void act_acquire(struct client *client)
{
    struct rng *rng = &client->world->rng;
    if (client->holds_count > 6) {
        return;
    }
    int lock = (int)rng_below(rng, NET_LOCKS);
    bool semaphore = lock == NET_SEMAPHORE;
    uint64_t timeout_ms = draw_timeout(client), owner = client->calls_count + 1;
    struct buf tail = {0};
    wire_write_str(&tail, slice_str(lock_text(lock)));
    wire_write_uint(&tail, semaphore);
    wire_write_uint(&tail, semaphore ? NET_PERMITS : 1);
    wire_write_uint(&tail, owner);
    wire_write_uint_or_nil(&tail, timeout_ms);
    wire_write_uint(&tail, rng_chance(rng, 70) ? 0 : rng_between(rng, 100, 5000));
    wire_write_bool(&tail, false);
    struct call *call = request(
        client, WIRE_ACQUIRE,
        (struct conn_request){.fields = 7, .tail = buf_view(&tail), .timeout_ms = timeout_ms});
    call->lock = lock;
    call->owner = owner;
    call->hold = mem_zalloc(1, sizeof *call->hold);
    buf_fini(&tail);
}

static void act_unlock(struct client *client)
{
    if (client->holds) {
        hold_release(client, client->holds);
    }
}

static void act_break(struct client *client)
{
    struct buf tail = {0};
    wire_write_str(&tail, slice_str(lock_text((int)rng_below(&client->world->rng, NET_LOCKS))));
    (void)request(
        client, WIRE_LOCK_BREAK,
        (struct conn_request){.fields = 1, .tail = buf_view(&tail), .timeout_ms = NET_NEVER});
    buf_fini(&tail);
}

/* ---- others ---------------------------------------------------------------------------------- */

static struct call *draw_call(struct client *client)
{
    uint64_t index = rng_below(&client->world->rng, client->calls_count + 1);
    struct call *call = client->calls;
    while (call && index-- > 0) {
        call = call->next;
    }
    return call && call->op != WIRE_CONSUME ? call : NULL;
}

static void act_cancel(struct client *client)
{
    struct call *call = draw_call(client);
    if (call && (call->op == WIRE_GET || call->op == WIRE_ACQUIRE || call->op == WIRE_PUTS ||
                 call->op == WIRE_PUT || call->op == WIRE_QUEUE_JOIN)) {
        call_cancel(client, call);
    }
}

static void act_forget(struct client *client)
{
    struct call *call = draw_call(client);
    if (call) {
        call_forget(client, call);
    }
}

static void act_join(struct client *client)
{
    uint64_t timeout_ms = draw_timeout(client);
    struct buf tail = {0};
    wire_write_str(&tail, slice_str(queue_text((int)rng_below(&client->world->rng, NET_QUEUES))));
    wire_write_uint_or_nil(&tail, timeout_ms);
    (void)request(
        client, WIRE_QUEUE_JOIN,
        (struct conn_request){.fields = 2, .tail = buf_view(&tail), .timeout_ms = timeout_ms});
    buf_fini(&tail);
}

static void act_look(struct client *client)
{
    struct buf tail = {0};
    struct conn_request wanted = {.timeout_ms = NET_NEVER};
    uint8_t op = WIRE_STAT;
    if (rng_chance(&client->world->rng, 50)) {
        op = WIRE_QUEUE_SHOW;
        wanted.fields = 1;
        wire_write_str(&tail, slice_str(queue_text((int)rng_below(&client->world->rng, 4))));
    }
    wanted.tail = buf_view(&tail);
    (void)request(client, op, wanted);
    buf_fini(&tail);
}

static void act_kill_session(struct client *client)
{
    if (!rng_chance(&client->world->rng, 5)) {
        return;
    }
    struct buf tail = {0};
    wire_write_uint(&tail, rng_between(&client->world->rng, 1, client->world->lives + 2));
    (void)request(
        client, WIRE_SESSION_KILL,
        (struct conn_request){.fields = 1, .tail = buf_view(&tail), .timeout_ms = NET_NEVER});
    buf_fini(&tail);
}

static void act_leave(struct client *client)
{
    if (rng_chance(&client->world->rng, 3)) {
        conn_leave(client->conn);
        client->leaving = true;
    }
}

static void (*const ACTS[])(struct client *) = {
    act_put,     act_put_run, act_put_many, act_get,       act_get,         act_consume,
    act_close,   act_take,    act_take,     act_ack,       act_ack,         act_settle,
    act_acquire, act_unlock,  act_unlock,   act_break,     act_cancel,      act_forget,
    act_join,    act_look,    act_leave,    act_lose_held, act_kill_session};

enum { ACTS_COUNT = sizeof ACTS / sizeof ACTS[0] };

void program_act(struct client *client)
{
    const struct plan *plan = &client->world->plan;
    uint64_t sum = 0;
    for (int i = 0; i < ACTS_COUNT; i++) {
        sum += plan->weights[i];
    }
    if (sum == 0 || client->calls_count > CALLS_MAX) {
        act_take(client);
        act_ack(client);
        return;
    }
    uint64_t at = rng_below(&client->world->rng, sum);
    int act = 0;
    while (at >= plan->weights[act]) {
        at -= plan->weights[act++];
    }
    ACTS[act](client);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void settle_all(struct client *client)
{
    while (client->held) {
        held_settle(client, client->held, WIRE_ACK);
    }
    while (client->holds) {
        hold_release(client, client->holds);
    }
}

void program_finish(struct client *client)
{
    take_streamed(client, NET_NEVER);
    settle_all(client);
    struct call *call, *next;
    DL_FOREACH_SAFE (client->calls, call, next) {
        bool waits = call->op == WIRE_GET || call->op == WIRE_ACQUIRE || call->op == WIRE_PUTS ||
                     call->op == WIRE_PUT || call->op == WIRE_QUEUE_JOIN;
        if (waits && !call->canceled) {
            call_cancel(client, call);
        }
    }
}

bool program_finished(const struct client *client)
{
    if (client->life == 0) {
        return true;
    }
    uint32_t streamed = 0;
    for (int i = 0; i < NET_STREAMS; i++) {
        streamed |= client->streams[i].consumer ? client->streams[i].queues : 0;
    }
    return !client->calls && !client->held && !client->holds && !client->leaving &&
           (client->forgot || conn_outstanding(client->conn) == 0) &&
           oracle_left(client->world, streamed) == 0 &&
           oracle_unseen(client->world, conn_session(client->conn)) == 0;
}

void program_drain(struct client *client)
{
    settle_all(client);
    if (!client->drained && client->calls_count == 0) {
        get(client, (1u << (NET_QUEUES + 1)) - 1, 64, 0);
    }
}
