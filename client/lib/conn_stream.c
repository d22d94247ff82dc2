/*
 * What is delivered: messages of gets and consumers, credit, watermarks, leases and locks.
 *
 * Credit: a consumer may have `prefetch` messages between the manager and the program. What was
 * given in packets that a broken connection may have swallowed is given again; if it was
 * not lost, the manager sends a little more than it should, the count shows it, and the next credit
 * is that much smaller.
 */
#include "client/lib/conn_state.h"

#include "common/base/alloc.h"
#include "common/wire/canary.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- deliveries ---- */

/* Where messages of a channel go: one of the two, or nowhere (the request is gone). */
struct target {
    struct conn_consumer *consumer;
    struct items *items;
    bool inherited; /* came on the channel of before a resume: no credit of this one was used */
};

static struct conn_consumer *find_consumer(const struct conn *conn, uint64_t channel)
{
    struct conn_consumer *consumer;
    HASH_FIND(hh, conn->consumers, &channel, sizeof channel, consumer);
    return consumer;
}

static struct target find_target(struct conn *conn, uint64_t channel)
{
    struct target target = {.consumer = find_consumer(conn, channel)};
    if (target.consumer) {
        target.inherited = target.consumer->heir != NULL;
        target.consumer = target.inherited ? target.consumer->heir : target.consumer;
        return target;
    }
    struct request *request = requests_find(&conn->requests, channel);
    if (request && request->op == WIRE_GET) {
        if (request->items == NULL) {
            request->items = mem_zalloc(1, sizeof *request->items);
        }
        target.items = request->items;
    }
    return target;
}

void conn_items_drop(struct conn *conn, struct request *request)
{
    if (request->items) {
        items_fini(request->items, &conn->runs);
        free(request->items);
        request->items = NULL;
    }
}

static void give_back(struct conn *conn, uint64_t tag)
{
    if (!conn->leaving) {
        conn_settle(conn, NULL, &(struct conn_settle){.op = WIRE_RELEASE, .tag = tag});
    }
}

static void renew_by(struct conn *conn, uint64_t due_ms)
{
    if (due_ms < conn->renew_ms) {
        conn->renew_ms = due_ms;
    }
}

static void take_item(struct conn *conn, struct target target, struct item item)
{
    struct conn_consumer *consumer = target.consumer;
    if (consumer) {
        if (!target.inherited) {
            consumer->credit = consumer->credit > 0 ? consumer->credit - 1 : 0;
            consumer->credit_bytes -= (int64_t)item.size;
        }
        conn->last_tag = item.tag > conn->last_tag ? item.tag : conn->last_tag;
        if (consumer->closing) {
            give_back(conn, item.tag);
            return;
        }
        consumer->items_bytes += item.size;
        target.items = &consumer->items;
    }
    if (target.items) {
        item.run->refs++;
        items_push(target.items, item);
    }
}

/* The next body: a bin, or the packet's second frame. */
static struct slice read_body(struct wire_reader *in, const struct packet *packet)
{
    if (!wire_read_nil(in)) {
        return wire_read_bin(in);
    }
    if (packet->body.data == NULL) {
        wire_fail(in);
    }
    return packet->body;
}

static void arrived(struct conn *conn, struct target target, const struct run *run)
{
    if (target.consumer && !target.consumer->closing) {
        renew_by(conn, lease_due(run->lease_from_ms, run->lease_ms));
        conn->host.arrived(conn->host.context, target.consumer->user);
    }
}

bool conn_deliver_run(struct conn *conn, struct wire_reader *in, struct packet *packet)
{
    struct target target = find_target(conn, wire_read_uint(in));
    struct slice queue = wire_read_str(in);
    struct item item = {.tag = wire_read_uint(in)};
    item.token = wire_read_uint(in);
    uint64_t lease_ms = wire_read_uint(in);
    uint32_t count = wire_read_array(in);
    if (in->failed || queue.size > LIMIT_NAME_BYTES) {
        return false;
    }
    struct run *run = runs_new(&conn->runs, packet, names_intern(&conn->names, queue));
    run->lease_ms = lease_ms;
    run->lease_from_ms = conn->now_ms;
    item.run = run;
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        struct slice body = read_body(in, packet);
        item.data = body.data;
        item.size = body.size;
        if (!in->failed) {
            take_item(conn, target, item);
        }
        item.tag++;
        item.token++;
    }
    arrived(conn, target, run);
    runs_release(&conn->runs, run);
    return !in->failed;
}

bool conn_deliver_one(struct conn *conn, struct wire_reader *in, struct packet *packet)
{
    struct target target = find_target(conn, wire_read_uint(in));
    struct slice queue = wire_read_str(in);
    struct item item = {.tag = wire_read_uint(in)};
    item.token = wire_read_uint(in);
    struct run about = {.lease_ms = wire_read_uint(in)};
    about.deliveries = (uint32_t)wire_read_uint(in);
    about.priority = (uint8_t)wire_read_uint(in);
    about.sequence = wire_read_uint(in);
    about.fields = wire_read_value(in);
    struct slice body = read_body(in, packet);
    if (in->failed || queue.size > LIMIT_NAME_BYTES) {
        return false;
    }
    struct run *run = runs_new(&conn->runs, packet, names_intern(&conn->names, queue));
    run->lease_ms = about.lease_ms;
    run->lease_from_ms = conn->now_ms;
    run->deliveries = about.deliveries;
    run->priority = about.priority;
    run->sequence = about.sequence;
    run->fields = about.fields;
    item.run = run;
    item.data = body.data;
    item.size = body.size;
    take_item(conn, target, item);
    arrived(conn, target, run);
    runs_release(&conn->runs, run);
    return true;
}

/* ---- credit and watermarks ---- */

static int64_t wanted_messages(const struct conn_consumer *consumer)
{
    return (int64_t)consumer->prefetch - (int64_t)consumer->items.count - consumer->credit;
}

static int64_t wanted_bytes(const struct conn_consumer *consumer)
{
    return (int64_t)consumer->prefetch_bytes - (int64_t)consumer->items_bytes -
           consumer->credit_bytes;
}

/* Credit is topped up when half of it is used. */
static void check_credit(struct conn *conn, struct conn_consumer *consumer)
{
    if (consumer->due || consumer->asked || consumer->closing || consumer->ended) {
        return;
    }
    if (wanted_messages(consumer) * 2 >= (int64_t)consumer->prefetch ||
        wanted_bytes(consumer) * 2 >= (int64_t)consumer->prefetch_bytes) {
        consumer->due = true;
        conn->credit_due = true;
    }
}

static void write_credit(struct conn_consumer *consumer, struct buf *out)
{
    int64_t messages = wanted_messages(consumer), bytes = wanted_bytes(consumer);
    messages = messages > 0 ? messages : 0;
    bytes = bytes > 0 ? bytes : 0;
    consumer->due = false;
    if (consumer->closing || consumer->ended || messages + bytes == 0) {
        return;
    }
    wire_write_array(out, 4);
    wire_write_uint(out, WIRE_CREDIT);
    wire_write_uint(out, consumer->channel);
    wire_write_uint(out, NET_CANARY(CREDIT_SHORT) ? 0 : (uint64_t)messages);
    wire_write_uint(out, (uint64_t)bytes);
    consumer->credit += messages;
    consumer->credit_bytes += bytes;
}

/* Every streamed delivery up to it is in the program's hands. */
static uint64_t watermark(const struct conn *conn)
{
    uint64_t mark = conn->last_tag;
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        if (c->items.count > 0 && items_at(&c->items, 0)->tag <= mark) {
            mark = items_at(&c->items, 0)->tag - 1;
        }
    }
    return mark;
}

void conn_stream_write(struct conn *conn, struct buf *out)
{
    if (conn->all_consumers == NULL) {
        conn->credit_due = false; /* it was for a consumer that is gone */
        return;
    }
    uint64_t mark = watermark(conn);
    if (mark > conn->handed_sent) {
        conn->handed_sent = mark;
        wire_write_array(out, 2);
        wire_write_uint(out, WIRE_HANDED);
        wire_write_uint(out, mark);
    }
    if (!conn->credit_due) {
        return;
    }
    conn->credit_due = false;
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        if (c->due) {
            write_credit(c, out);
        }
    }
}

/* ---- consumers ---- */

static void open_consumer(struct conn *conn, struct conn_consumer *consumer)
{
    struct buf tail = {0};
    consumer->credit = consumer->credit_bytes = 0;
    int64_t messages = wanted_messages(consumer), bytes = wanted_bytes(consumer);
    consumer->credit = messages > 0 ? messages : 0;
    consumer->credit_bytes = bytes > 0 ? bytes : 0;
    buf_add(&tail, consumer->queues.data, consumer->queues.size);
    wire_write_uint(&tail, (uint64_t)consumer->credit);
    wire_write_uint(&tail, (uint64_t)consumer->credit_bytes);
    wire_write_uint_or_nil(&tail, consumer->lease_ms);
    conn_request(
        conn, conn->now_ms, NULL,
        &(struct conn_request){
            .op = WIRE_CONSUME, .fields = 4, .tail = buf_view(&tail), .timeout_ms = NEVER});
    buf_fini(&tail);
    consumer->channel = conn->requests.next - 1;
    consumer->due = false;
    consumer->asked = true;
    HASH_ADD(hh, conn->consumers, channel, sizeof consumer->channel, consumer);
}

struct conn_consumer *conn_consume(struct conn *conn, uint64_t now_ms, struct ticket *ticket,
                                   const struct conn_consume *consume)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
    struct conn_consumer *consumer = mem_zalloc(1, sizeof *consumer);
    consumer->ticket = ticket;
    consumer->user = consume->user;
    consumer->lease_ms = consume->lease_ms;
    consumer->prefetch = consume->messages;
    consumer->prefetch_bytes = consume->bytes;
    buf_add(&consumer->queues, consume->queues.data, consume->queues.size);
    DL_APPEND(conn->all_consumers, consumer);
    open_consumer(conn, consumer);
    return consumer;
}

bool conn_consumer_next(struct conn *conn, uint64_t now_ms, struct conn_consumer *consumer,
                        struct item *item)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
    if (consumer->lost) {
        return false; /* first the loss is told */
    }
    bool taken = false;
    while (!taken && items_pop(&consumer->items, item)) {
        consumer->items_bytes -= item->size;
        taken = item->run != NULL;
    }
    check_credit(conn, consumer);
    return taken;
}

int conn_consumer_state(struct conn_consumer *consumer)
{
    if (consumer->lost) {
        consumer->lost = false;
        return STW_ESESSION;
    }
    return consumer->items.count > 0 ? 0 : consumer->ended;
}

static void drop_items(struct conn *conn, struct conn_consumer *consumer)
{
    items_fini(&consumer->items, &conn->runs);
    consumer->items_bytes = 0;
}

static void unlink_channel(struct conn *conn, struct conn_consumer *consumer)
{
    if (consumer->channel) {
        HASH_DEL(conn->consumers, consumer);
        consumer->channel = 0;
    }
}

static void free_consumer(struct conn *conn, struct conn_consumer *consumer)
{
    unlink_channel(conn, consumer);
    drop_items(conn, consumer);
    DL_DELETE(conn->all_consumers, consumer);
    buf_fini(&consumer->queues);
    free(consumer);
}

/* Closes its channel; the answer frees it. */
static void unconsume(struct conn *conn, struct conn_consumer *consumer)
{
    struct buf tail = {0};
    wire_write_uint(&tail, consumer->channel);
    conn_request(
        conn, conn->now_ms, NULL,
        &(struct conn_request){
            .op = WIRE_UNCONSUME, .fields = 1, .tail = buf_view(&tail), .timeout_ms = NEVER});
    buf_fini(&tail);
    requests_slot(&conn->requests, conn->requests.next - 1)->tag = consumer->channel;
    consumer->closing = true;
}

void conn_consumer_close(struct conn *conn, struct conn_consumer **pointer)
{
    struct conn_consumer *consumer = *pointer;
    *pointer = NULL;
    consumer->ticket = NULL;
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        c->heir = c->heir == consumer ? NULL : c->heir;
    }
    if (consumer->channel && !consumer->ended && !conn->leaving) {
        unconsume(conn, consumer);
    }
    struct item item;
    while (items_pop(&consumer->items, &item)) {
        if (item.run) {
            runs_release(&conn->runs, item.run);
            give_back(conn, item.tag);
        }
    }
    if (!consumer->closing) {
        free_consumer(conn, consumer);
    }
}

static void tell_opened(struct conn *conn, struct conn_consumer *consumer, int code)
{
    struct ticket *ticket = consumer->ticket;
    consumer->ticket = NULL;
    if (ticket) {
        conn->host.done(conn->host.context, ticket,
                        &(struct outcome){.code = code, .op = WIRE_CONSUME});
    } else if (code != 0 && !consumer->closing) {
        conn->host.arrived(conn->host.context, consumer->user);
    }
}

void conn_consume_answered(struct conn *conn, uint64_t id, int code)
{
    struct conn_consumer *consumer = find_consumer(conn, id);
    if (consumer == NULL) {
        return;
    }
    consumer->asked = false;
    if (code == 0) {
        consumer->opened = true;
        check_credit(conn, consumer);
    } else {
        consumer->ended = code;
    }
    tell_opened(conn, consumer, code);
}

void conn_unconsume_answered(struct conn *conn, uint64_t channel)
{
    struct conn_consumer *consumer = find_consumer(conn, channel);
    if (consumer && consumer->closing) {
        free_consumer(conn, consumer);
    }
}

void conn_consumer_ended(struct conn *conn, uint64_t channel, int code)
{
    struct conn_consumer *consumer = find_consumer(conn, channel);
    if (consumer && !consumer->closing) {
        consumer->ended = code;
        conn->host.arrived(conn->host.context, consumer->user);
    }
}

void conn_streams_open(struct conn *conn)
{
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        if (c->channel == 0 && !c->ended && !conn->leaving) {
            open_consumer(conn, c);
        }
    }
}

void conn_streams_rewind(struct conn *conn)
{
    conn->handed_sent = 0;
}

void conn_streams_resumed(struct conn *conn)
{
    struct conn_consumer *c, *next;
    DL_FOREACH_SAFE (conn->all_consumers, c, next) {
        bool sent = c->channel != 0 && c->channel <= conn->sent_max;
        if (!sent || c->closing || c->ended || conn->leaving) {
            continue;
        }
        struct conn_consumer *old = mem_zalloc(1, sizeof *old);
        old->channel = c->channel;
        old->heir = c;
        unlink_channel(conn, c);
        DL_PREPEND(conn->all_consumers, old);
        HASH_ADD(hh, conn->consumers, channel, sizeof old->channel, old);
        unconsume(conn, old);
        open_consumer(conn, c);
    }
}

static void lose_all(struct conn *conn)
{
    struct lease *lease, *next_lease;
    DL_FOREACH_SAFE (conn->leases, lease, next_lease) {
        lease->lost = true;
        conn_unwatch_lease(conn, lease);
    }
    struct held *held, *next_held;
    DL_FOREACH_SAFE (conn->locks, held, next_held) {
        held->lost = true;
        conn_unwatch_lock(conn, held);
    }
}

void conn_streams_lost(struct conn *conn)
{
    lose_all(conn);
    conn->handed_sent = 0;
    struct conn_consumer *c, *next;
    DL_FOREACH_SAFE (conn->all_consumers, c, next) {
        unlink_channel(conn, c);
        drop_items(conn, c);
        if (c->closing) {
            free_consumer(conn, c);
            continue;
        }
        c->due = false;
        c->lost = c->opened && !c->ended && !conn->fatal;
        if (conn->fatal) {
            c->ended = conn->fatal;
            tell_opened(conn, c, conn->fatal);
        } else if (c->lost) {
            conn->host.arrived(conn->host.context, c->user);
        }
    }
}

void conn_streams_fini(struct conn *conn)
{
    while (conn->all_consumers) {
        free_consumer(conn, conn->all_consumers);
    }
}
