/* Simulation A2: calls, what they return, and what a program then holds. See net.h. */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <utlist.h>

/* milliseconds: by so much a call may miss its time-out and the session's time-to-live */
#define SLACK_MS 2500

const char *queue_text(int queue)
{
    static const char *const texts[] = {"plain", "narrow", "full", "tries", "dead"};
    return texts[queue];
}

const char *lock_text(int lock)
{
    static const char *const texts[] = {"ledger", "door", "seats"};
    return texts[lock];
}

void call_queues(struct buf *out, uint32_t queues)
{
    uint32_t count = 0;
    for (int i = 0; i <= NET_QUEUES; i++) {
        count += queues >> i & 1;
    }
    wire_write_array(out, count);
    for (int i = 0; i <= NET_QUEUES; i++) {
        if (queues >> i & 1) {
            wire_write_str(out, slice_str(queue_text(i)));
        }
    }
}

struct call *call_new(struct client *client, uint8_t op, uint64_t timeout_ms)
{
    struct call *call = mem_zalloc(1, sizeof *call);
    call->client = client;
    call->op = op;
    call->lock = -1;
    call->limit_ms = timeout_ms == NET_NEVER
                         ? NET_NEVER
                         : client_ran(client) + timeout_ms + client->ttl_ms + SLACK_MS;
    DL_APPEND(client->calls, call);
    client->calls_count++;
    return call;
}

static void granted(struct call *call)
{
    struct client *client = call->client;
    struct net_hold *hold = call->hold;
    call->hold = NULL;
    hold->held.token = call->number;
    hold->lock = call->lock;
    hold->owner = call->owner;
    hold->epoch = call->epoch;
    conn_watch_lock(client->conn, &hold->held);
    DL_APPEND(client->holds, hold);
    client->holds_count++;
}

void calls_done(void *context, struct ticket *ticket, const struct outcome *outcome)
{
    struct client *client = context;
    struct call *call = (struct call *)ticket;
    struct net_world *world = client->world;
    if (call->finished) {
        net_fail(world, "a call ended twice: op %u of client %d", call->op, client->slot);
    }
    call->finished = true;
    call->code = outcome->code;
    call->number = outcome->number;
    call->epoch = conn_epoch(client->conn);
    net_note(world, "ended", (uint64_t)client->slot, call->op, (uint64_t)-outcome->code);
    if (outcome->code == 0 && outcome->items) {
        call->got = *outcome->items;
        *outcome->items = (struct items){0};
    }
    if (client_ran(client) > call->limit_ms) {
        net_fail(world, "a call of client %d ended too late: op %u, %llu ms after its limit",
                 client->slot, call->op, (unsigned long long)(client_ran(client) - call->limit_ms));
    }
    oracle_outcome(world, call, outcome->code);
    if (outcome->code == 0 && call->hold) {
        granted(call);
    }
}

void calls_collect(struct client *client)
{
    struct call *call, *next;
    DL_FOREACH_SAFE (client->calls, call, next) {
        if (!call->finished) {
            if (client_ran(client) > call->limit_ms) {
                net_fail(client->world, "a call of client %d does not end: op %u, code %d",
                         client->slot, call->op, call->code);
            }
            continue;
        }
        struct item item;
        while (items_pop(&call->got, &item)) {
            if (call->epoch == conn_epoch(client->conn)) {
                held_take(client, &item, !call->auto_ack);
            } else {
                runs_release(conn_runs(client->conn), item.run);
            }
        }
        items_fini(&call->got, conn_runs(client->conn));
        client->drained |= call->draining && call->code == STW_EEMPTY;
        free(call->hold);
        DL_DELETE(client->calls, call);
        client->calls_count--;
        free(call);
    }
}

void call_cancel(struct client *client, struct call *call)
{
    if (!call->finished) {
        net_note(client->world, "cancel", (uint64_t)client->slot, call->op, 0);
        call->canceled = true;
        conn_cancel(client->conn, &call->ticket);
    }
}

void call_forget(struct client *client, struct call *call)
{
    if (!call->finished) {
        net_note(client->world, "forget", (uint64_t)client->slot, call->op, 0);
        client->forgot |= call->op == WIRE_PUTS || call->op == WIRE_PUT;
        conn_forget(client->conn, &call->ticket);
        oracle_outcome(client->world, call, STW_ESESSION);
        call->finished = true;
        call->code = STW_ESESSION;
    }
}

/* ---- deliveries ------------------------------------------------------------------------------ */

void held_take(struct client *client, struct item *item, bool renewable)
{
    struct net_held *held = mem_zalloc(1, sizeof *held);
    held->item = oracle_handed(client->world, conn_session(client->conn), item);
    held->epoch = conn_epoch(client->conn);
    held->lease = (struct lease){
        .tag = item->tag, .lease_ms = item->run->lease_ms, .from_ms = item->run->lease_from_ms};
    runs_release(conn_runs(client->conn), item->run);
    held->renewed = renewable && rng_chance(&client->world->rng, 50);
    if (held->renewed) {
        conn_watch_lease(client->conn, &held->lease);
    }
    DL_APPEND(client->held, held);
    client->held_count++;
}

void held_drop(struct client *client, struct net_held *held)
{
    if (held->renewed && held->lease.lost && client->world->plan.calm) {
        net_fail(client->world, "client %d lost the lease of item %llu, which the library renews",
                 client->slot, (unsigned long long)held->item);
    }
    conn_unwatch_lease(client->conn, &held->lease);
    DL_DELETE(client->held, held);
    client->held_count--;
    free(held);
}

void held_settle(struct client *client, struct net_held *held, uint8_t op)
{
    if (held->epoch != conn_epoch(client->conn)) {
        held_drop(client, held);
        return;
    }
    struct buf tail = {0};
    struct conn_settle settle = {.op = op, .tag = held->lease.tag};
    if (op == WIRE_NACK) {
        settle.fields = 2;
        wire_write_uint(&tail, rng_chance(&client->world->rng, 60)
                                   ? 0
                                   : rng_between(&client->world->rng, 1, 3000));
        wire_write_str(&tail, slice_str("again"));
    } else if (op == WIRE_REJECT) {
        settle.fields = 1;
        wire_write_str(&tail, slice_str("bad"));
    } else if (op == WIRE_RENEW) {
        settle.fields = 1;
        wire_write_nil(&tail);
    }
    settle.tail = buf_view(&tail);
    struct call *call = call_new(client, op, NET_NEVER);
    conn_settle(client->conn, &call->ticket, &settle);
    buf_fini(&tail);
    if (op != WIRE_RENEW) {
        held_drop(client, held);
    }
}

/* ---- locks ----------------------------------------------------------------------------------- */

void hold_drop(struct client *client, struct net_hold *hold)
{
    conn_unwatch_lock(client->conn, &hold->held);
    DL_DELETE(client->holds, hold);
    client->holds_count--;
    free(hold);
}

void hold_release(struct client *client, struct net_hold *hold)
{
    if (hold->epoch == conn_epoch(client->conn)) {
        struct buf tail = {0};
        wire_write_str(&tail, slice_str(lock_text(hold->lock)));
        wire_write_uint(&tail, hold->owner);
        wire_write_uint(&tail, hold->held.token);
        struct call *call = call_new(client, WIRE_UNLOCK, NET_NEVER);
        conn_request(
            client->conn, client_now(client), &call->ticket,
            &(struct conn_request){
                .op = WIRE_UNLOCK, .fields = 3, .tail = buf_view(&tail), .timeout_ms = NET_NEVER});
        buf_fini(&tail);
    }
    hold_drop(client, hold);
}
