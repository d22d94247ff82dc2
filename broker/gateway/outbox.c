/*
 * The way out: records gather in a connection's open packet; a packet goes out when it is full, or
 * at the flush that ends the loop's turn. What a full pipe refuses is kept, in order and bounded.
 *
 * Packets come from a pool, so that an idle connection owns no buffer and a busy one does not
 * allocate. Numbers are given when a packet is closed: kept packets keep theirs.
 */
#include "broker/gateway/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/canary.h"

#include <stdlib.h>
#include <utlist.h>

/* count: packets the pool holds on to; bytes: larger buffers go back to the system */
#define POOL_MAX        64
#define POOL_HEAD_BYTES ((size_t)1024 * 1024)

static struct packet *packet_new(struct gateway *gateway)
{
    struct packet *packet = gateway->pool;
    if (packet) {
        gateway->pool = packet->next;
        gateway->pool_count--;
    } else {
        packet = mem_zalloc(1, sizeof *packet);
    }
    packet->next = NULL;
    packet->receipts_count = 0;
    buf_clear(&packet->head);
    (void)buf_reserve(&packet->head, HEADER_ROOM);
    packet->head.size = HEADER_ROOM;
    return packet;
}

static void packet_free(struct gateway *gateway, struct packet *packet)
{
    buf_fini(&packet->body);
    if (gateway->pool_count < POOL_MAX && packet->head.capacity <= POOL_HEAD_BYTES) {
        packet->next = gateway->pool;
        gateway->pool = packet;
        gateway->pool_count++;
        return;
    }
    buf_fini(&packet->head);
    free(packet);
}

static void write_receipts(struct packet *packet)
{
    if (packet->receipts_count == 0) {
        return;
    }
    wire_write_array(&packet->head, (uint32_t)(1 + 2 * packet->receipts_count));
    wire_write_uint(&packet->head, WIRE_RECEIPT);
    for (size_t i = 0; i < packet->receipts_count; i++) {
        wire_write_uint(&packet->head, packet->receipts[i].first);
        wire_write_uint(&packet->head, packet->receipts[i].count);
    }
    packet->receipts_count = 0;
}

void outbox_touch(struct gateway *gateway, struct connection *connection)
{
    if (!connection->dirty) {
        connection->dirty = true;
        /* in front: what a packet caused for others leaves before its own receipt, so that the
         * consumer that waits for it is woken first */
        DL_PREPEND2(gateway->dirty, connection, dirty_prev, dirty_next);
    }
}

static struct packet *open_packet(struct gateway *gateway, struct connection *connection)
{
    if (connection->open == NULL) {
        connection->open = packet_new(gateway);
        outbox_touch(gateway, connection);
    }
    return connection->open;
}

size_t outbox_left(const struct connection *connection)
{
    size_t used = connection->open ? connection->open->head.size : HEADER_ROOM;
    return used < LIMIT_PACKET_BYTES ? LIMIT_PACKET_BYTES - used : 0;
}

struct buf *outbox_record(struct gateway *gateway, struct connection *connection, size_t size)
{
    if (connection->open && size > outbox_left(connection)) {
        outbox_send(gateway, connection, slice_of(NULL, 0));
    }
    if (!connection_live(connection)) {
        return NULL;
    }
    struct packet *packet = open_packet(gateway, connection);
    write_receipts(packet);
    return &packet->head;
}

void outbox_receipt(struct gateway *gateway, struct connection *connection, uint64_t first,
                    uint64_t count)
{
    struct packet *packet = open_packet(gateway, connection);
    if (packet->receipts_count > 0) {
        struct id_range *last = &packet->receipts[packet->receipts_count - 1];
        if (last->first + last->count == first) {
            last->count += count;
            return;
        }
        if (NET_CANARY(RECEIPT_WIDE) && last->first + last->count + 1 == first) {
            last->count += count + 1;
            return;
        }
    }
    if (packet->receipts_count == RECEIPTS_MAX) {
        if (outbox_record(gateway, connection, RECEIPTS_MAX * HEADER_ROOM) == NULL) {
            return;
        }
        packet = open_packet(gateway, connection);
    }
    packet->receipts[packet->receipts_count++] = (struct id_range){first, count};
}

/* Writes the header in front of the records. */
static void close_packet(struct connection *connection, struct packet *packet)
{
    uint8_t room[HEADER_ROOM];
    struct buf header = {.data = room, .capacity = sizeof room};
    write_receipts(packet);
    wire_write_header(&header, ++connection->sent, connection->confirmed);
    STEWARD_ASSERT(header.data == room);
    packet->start = HEADER_ROOM - header.size;
    memcpy(packet->head.data + packet->start, room, header.size);
}

static struct slice packet_head(const struct packet *packet)
{
    return slice_of(packet->head.data + packet->start, packet->head.size - packet->start);
}

static enum send_result transmit(struct gateway *gateway, struct connection *connection,
                                 const struct packet *packet, struct slice body)
{
    struct slice head = packet_head(packet);
    enum send_result result = gateway->host.send(
        gateway->host.context, slice_of(connection->peer, connection->peer_size), head, body);
    if (result == SEND_DONE) {
        gateway->counters.packets_out++;
        gateway->counters.bytes_out += head.size + body.size;
    } else if (result == SEND_GONE) {
        gateway->counters.unroutable++;
        connection_kill(gateway, connection);
    }
    return result;
}

/* What a kept packet costs: its buffers, not only what is in them. */
static size_t packet_bytes(const struct packet *packet)
{
    return sizeof *packet + packet->head.capacity + packet->body.capacity;
}

/* Takes the packet. Beyond the bound the client is taken for one that does not read. */
static void keep(struct gateway *gateway, struct connection *connection, struct packet *packet,
                 struct slice body)
{
    gateway->counters.kept++;
    buf_add(&packet->body, body.data, body.size);
    if (connection->kept) {
        connection->kept_last->next = packet;
    } else {
        connection->kept = packet;
        DL_APPEND2(gateway->stalled, connection, stalled_prev, stalled_next);
        gateway->retry_ms = gateway->now_ms + RETRY_MS;
    }
    connection->kept_last = packet;
    connection->kept_bytes += packet_bytes(packet);
    if (connection->kept_bytes > gateway->options.outbox_max) {
        gateway->counters.overflowed++;
        if (connection->link) {
            link_end(gateway, connection->link, "the client does not read");
        }
        connection_kill(gateway, connection);
    }
}

void outbox_send(struct gateway *gateway, struct connection *connection, struct slice body)
{
    struct packet *packet = open_packet(gateway, connection);
    connection->open = NULL;
    connection->owes = false;
    close_packet(connection, packet);
    if (connection->kept == NULL && transmit(gateway, connection, packet, body) != SEND_LATER) {
        packet_free(gateway, packet);
        return;
    }
    keep(gateway, connection, packet, body);
}

/* Sends kept packets as far as the pipe takes them. true: none is left. */
static bool send_kept(struct gateway *gateway, struct connection *connection)
{
    while (connection->kept) {
        struct packet *packet = connection->kept;
        struct slice body = packet->body.size > 0 ? buf_view(&packet->body) : slice_of(NULL, 0);
        enum send_result result = transmit(gateway, connection, packet, body);
        if (result != SEND_DONE) {
            return false;
        }
        connection->kept = packet->next;
        connection->kept_bytes -= packet_bytes(packet);
        packet_free(gateway, packet);
    }
    return true;
}

void outbox_flush(struct gateway *gateway, struct connection *connection)
{
    if (connection->kept) {
        if (!send_kept(gateway, connection)) {
            return; /* the kept packets are answer enough; the open one goes on growing */
        }
        DL_DELETE2(gateway->stalled, connection, stalled_prev, stalled_next);
    }
    if (connection->open || connection->owes) {
        outbox_send(gateway, connection, slice_of(NULL, 0));
    }
}

void outbox_drop(struct gateway *gateway, struct connection *connection)
{
    if (connection->kept) {
        DL_DELETE2(gateway->stalled, connection, stalled_prev, stalled_next);
    }
    while (connection->kept) {
        struct packet *packet = connection->kept;
        connection->kept = packet->next;
        packet_free(gateway, packet);
    }
    connection->kept_bytes = 0;
    if (connection->open) {
        packet_free(gateway, connection->open);
        connection->open = NULL;
    }
    if (connection->dirty) {
        connection->dirty = false;
        DL_DELETE2(gateway->dirty, connection, dirty_prev, dirty_next);
    }
}

void outbox_fini(struct gateway *gateway)
{
    while (gateway->pool) {
        struct packet *packet = gateway->pool;
        gateway->pool = packet->next;
        buf_fini(&packet->head);
        buf_fini(&packet->body);
        free(packet);
    }
}
