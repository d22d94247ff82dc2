/*
 * The gateway's doors: packets, effects, closes, time. The rules of packets (numbers, frames, who
 * may speak) are here; the records inside are decode.c's.
 */
#include "broker/gateway/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

void gateway_options_default(struct gateway_options *options)
{
    *options = (struct gateway_options){.body_max = LIMIT_BODY_BYTES,
                                        .memory_max = LIMIT_MEMORY_BYTES,
                                        .outbox_max = LIMIT_OUTBOX_BYTES,
                                        .connections_max = LIMIT_SESSIONS,
                                        .server = "stewardd"};
}

struct gateway *gateway_new(const struct core *core, const struct gateway_options *options,
                            const struct gateway_host *host)
{
    STEWARD_ASSERT(core && host->submit && host->send && host->random && host->log);
    STEWARD_ASSERT(options->body_max <= LIMIT_BODY_CEILING_BYTES);
    struct gateway *gateway = mem_zalloc(1, sizeof *gateway);
    gateway->core = core;
    gateway->options = *options;
    gateway->host = *host;
    (void)snprintf(gateway->server, sizeof gateway->server, "%s", options->server);
    host->random(host->context, &gateway->hash_seed, sizeof gateway->hash_seed);
    /* References of another life of the manager, still in a log, must not name a connection. */
    host->random(host->context, &gateway->next_number, sizeof gateway->next_number);
    gateway->next_number = (gateway->next_number >> 1) + 1;
    STEWARD_ASSERT(msgpack_zone_init(&gateway->scratch.zone, MSGPACK_ZONE_CHUNK_SIZE));
    return gateway;
}

void gateway_destroy(struct gateway **gateway)
{
    struct gateway *g = *gateway;
    if (g == NULL) {
        return;
    }
    struct connection *connection, *next_connection;
    HASH_ITER (by_peer, g->by_peer, connection, next_connection) {
        connection_forget(g, connection);
    }
    struct link *link, *next_link;
    HASH_ITER (hh, g->links, link, next_link) {
        link_free(g, link);
    }
    outbox_fini(g);
    timers_fini(&g->timers);
    free(g->by_descriptor);
    msgpack_zone_destroy(&g->scratch.zone);
    buf_fini(&g->scratch.fields);
    free(g);
    *gateway = NULL;
}

/* The packet broke the protocol: counted, logged, answered, and the connection is dead. */
static void bad_packet(struct incoming *packet)
{
    struct gateway *gateway = packet->gateway;
    struct connection *connection = packet->connection;
    const char *wrong = packet->wrong ? packet->wrong : "malformed packet";
    gateway->counters.bad_packets++;
    char line[200];
    (void)snprintf(line, sizeof line, "session=%" PRIu64 " wrong=\"%s\"", packet->session, wrong);
    report_limited(gateway, 'w', "bad_packet", line);
    connection_bye(gateway, connection, STW_EPROTO, wrong);
}

/* The frames' number and sizes; then the header. false: packet->wrong says why. */
static bool read_header(struct incoming *packet, const struct slice *frames, size_t count)
{
    wire_reader_init(&packet->in, count > 0 ? frames[0] : slice_of(NULL, 0));
    if (count == 0 || count > 2) {
        decode_wrong(packet, "a packet has one frame, or two");
        return false;
    }
    if (frames[0].size > LIMIT_PACKET_CEILING_BYTES) {
        decode_wrong(packet, "the packet's head is too large");
        return false;
    }
    if (count == 2) {
        packet->body = frames[1];
        packet->body_waits = true;
    }
    if (wire_read_array(&packet->in) != 2) {
        decode_wrong(packet, "a packet begins with [number, seen]");
        return false;
    }
    packet->number = wire_read_uint(&packet->in);
    packet->seen = wire_read_uint(&packet->in);
    if (packet->in.failed) {
        decode_wrong(packet, "a packet begins with [number, seen]");
        return false;
    }
    return true;
}

/* Does the packet come in its turn? */
static bool in_order(struct incoming *packet)
{
    const struct connection *connection = packet->connection;
    uint64_t number = packet->number;
    bool gap = number > connection->received + 1 && !NET_CANARY(GAP_IGNORED);
    if (gap || number <= connection->received) {
        packet->wrong =
            gap ? "packets are missing before this one" : "a packet's number came again";
        return false;
    }
    if (packet->seen > connection->sent) {
        packet->wrong = "a packet was seen that was never sent";
        return false;
    }
    if (connection->state == CONNECTION_OPENING) {
        packet->wrong = "a packet before WELCOME";
        return false;
    }
    return true;
}

static void receive_known(struct incoming *packet)
{
    struct gateway *gateway = packet->gateway;
    struct connection *connection = packet->connection;
    if (!in_order(packet)) {
        bad_packet(packet);
        return;
    }
    connection->received = packet->number;
    connection->link->heard_ms = gateway->now_ms;
    packet->session = connection->link->session;
    settle_begin(gateway, connection);
    bool good = decode_records(packet);
    if (connection_live(connection)) {
        settle_received(gateway, connection);
    }
    if (good && packet->body_waits && connection_live(connection)) {
        packet->wrong = "a second frame without a nil body";
        good = false;
    }
    if (!good) {
        bad_packet(packet);
    }
}

/* From a peer without a connection, or with one that is over. */
static void receive_stranger(struct incoming *packet, const struct gateway_packet *received,
                             bool good)
{
    bool first = good && packet->number == 1 && packet->seen == 0;
    if (packet->connection && !first) {
        return; /* late packets of a dead connection */
    }
    if (packet->connection) {
        connection_forget(packet->gateway, packet->connection);
        packet->connection = NULL;
    }
    if (good && !first) {
        decode_wrong(packet, "no HELLO came on this connection");
    }
    hello_receive(packet, received->peer, received->descriptor);
}

void gateway_receive(struct gateway *gateway, uint64_t now_ms, const struct gateway_packet *packet)
{
    struct incoming in = {.gateway = gateway, .connection = connection_find(gateway, packet->peer)};
    gateway_now(gateway, now_ms);
    gateway->counters.packets_in++;
    for (size_t i = 0; i < packet->count; i++) {
        gateway->counters.bytes_in += packet->frames[i].size;
    }
    bool good = read_header(&in, packet->frames, packet->count);
    if (in.connection == NULL || !connection_live(in.connection)) {
        receive_stranger(&in, packet, good);
    } else {
        connection_on(gateway, in.connection, packet->descriptor);
        if (good) {
            receive_known(&in);
        } else {
            bad_packet(&in);
        }
    }
    link_submit(gateway);
}

void gateway_effects(struct gateway *gateway, uint64_t now_ms, const struct effects *effects)
{
    gateway_now(gateway, now_ms);
    for (size_t i = 0; gateway->leads && i < effects->count; i++) {
        encode_effect(gateway, &effects->items[i]);
    }
}

void gateway_closed(struct gateway *gateway, uint64_t now_ms, int descriptor)
{
    gateway_now(gateway, now_ms);
    if (descriptor < 0 || (size_t)descriptor >= gateway->descriptors) {
        return;
    }
    struct connection *connection, *next;
    DL_FOREACH_SAFE2(gateway->by_descriptor[descriptor], connection, next, near_next)
    {
        if (connection->state == CONNECTION_OPENING) {
            continue; /* nothing may come before WELCOME, which will tell as well */
        }
        outbox_touch(gateway, connection);
        connection->owes = true; /* a packet, if only an empty one: is the peer still there? */
        outbox_flush(gateway, connection);
    }
    link_submit(gateway);
}

static void flush_list(struct gateway *gateway)
{
    while (gateway->dirty) {
        struct connection *connection = gateway->dirty;
        connection->dirty = false;
        DL_DELETE2(gateway->dirty, connection, dirty_prev, dirty_next);
        outbox_flush(gateway, connection);
    }
}

static void retry_stalled(struct gateway *gateway)
{
    if (gateway->stalled == NULL || gateway->now_ms < gateway->retry_ms) {
        return;
    }
    gateway->retry_ms = gateway->now_ms + RETRY_MS;
    struct connection *connection, *next;
    DL_FOREACH_SAFE2(gateway->stalled, connection, next, stalled_next)
    {
        outbox_flush(gateway, connection);
    }
}

void gateway_flush(struct gateway *gateway, uint64_t now_ms)
{
    gateway_now(gateway, now_ms);
    link_submit(gateway);
    manage_flush(gateway);
    flush_list(gateway);
    retry_stalled(gateway);
    link_submit(gateway);
}

static void *owner_of(struct timer *timer, size_t offset)
{
    return (uint8_t *)timer - offset;
}

void gateway_tick(struct gateway *gateway, uint64_t now_ms)
{
    gateway_now(gateway, now_ms);
    struct timer *timer;
    while ((timer = timers_first(&gateway->timers)) && timer->due_ms <= gateway->now_ms) {
        timer_disarm(&gateway->timers, timer);
        if (timer->kind == TIMER_OF_LINK && NET_CANARY(SESSION_KEPT)) {
            continue;
        }
        if (timer->kind == TIMER_OF_LINK) {
            link_timer(gateway, owner_of(timer, offsetof(struct link, timer)));
        } else {
            connection_timer(gateway, owner_of(timer, offsetof(struct connection, timer)));
        }
    }
    retry_stalled(gateway);
    settle_tick(gateway);
    link_submit(gateway);
}

uint64_t gateway_deadline(const struct gateway *gateway)
{
    const struct timer *first = timers_first(&gateway->timers);
    uint64_t due = first ? first->due_ms : UINT64_MAX;
    uint64_t answer = settle_deadline(gateway);
    if (gateway->endings || gateway->detaches) {
        return 0;
    }
    due = answer < due ? answer : due;
    return gateway->stalled && gateway->retry_ms < due ? gateway->retry_ms : due;
}

static uint64_t later(uint64_t time_ms, uint64_t gap_ms, uint64_t now_ms)
{
    return gap_ms > now_ms - time_ms ? now_ms : time_ms + gap_ms;
}

void gateway_gap(struct gateway *gateway, uint64_t now_ms, uint64_t gap_ms)
{
    gateway_now(gateway, now_ms);
    struct link *link, *next;
    HASH_ITER (hh, gateway->links, link, next) {
        link->heard_ms = later(link->heard_ms, gap_ms, gateway->now_ms);
        link->gone_ms = later(link->gone_ms, gap_ms, gateway->now_ms);
    }
}

void gateway_set_ceilings(struct gateway *gateway, const struct gateway_options *options)
{
    gateway->options.memory_max = options->memory_max;
    gateway->options.outbox_max = options->outbox_max;
    gateway->options.connections_max = options->connections_max;
}

void gateway_drain(struct gateway *gateway)
{
    gateway->draining = true;
}

void gateway_goodbye(struct gateway *gateway, int code, const char *text)
{
    struct connection *connection, *next;
    HASH_ITER (by_peer, gateway->by_peer, connection, next) {
        connection_bye(gateway, connection, code, text);
    }
}

void gateway_counters(const struct gateway *gateway, struct gateway_counters *out)
{
    *out = gateway->counters;
}
