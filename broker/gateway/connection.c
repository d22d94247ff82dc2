/* Connections: found by routing id, by number and by descriptor; their death and what follows. */
#include "broker/gateway/internal.h"

#include "broker/core/hash.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/canary.h"

#include <stdlib.h>
#include <utlist.h>

/* Peers choose their routing ids, so the table's hash is keyed: nobody can make its chains long. */
static unsigned peer_hash(const struct gateway *gateway, struct slice peer)
{
    return (unsigned)hash_bytes(gateway->hash_seed, peer.data, peer.size);
}

struct connection *connection_find(struct gateway *gateway, struct slice peer)
{
    struct connection *found = NULL;
    HASH_FIND_BYHASHVALUE(by_peer, gateway->by_peer, peer.data, peer.size, peer_hash(gateway, peer),
                          found);
    return found;
}

struct connection *connection_numbered(struct gateway *gateway, uint64_t number)
{
    struct connection *found = NULL;
    HASH_FIND(by_number, gateway->by_number, &number, sizeof number, found);
    return found;
}

/* Out of its descriptor's list. */
static void leave_descriptor(struct gateway *gateway, struct connection *connection)
{
    if (connection->descriptor >= 0) {
        struct connection **list = &gateway->by_descriptor[connection->descriptor];
        DL_DELETE2(*list, connection, near_prev, near_next);
        connection->descriptor = -1;
    }
}

void connection_on(struct gateway *gateway, struct connection *connection, int descriptor)
{
    if (descriptor == connection->descriptor) {
        return;
    }
    leave_descriptor(gateway, connection);
    if (descriptor < 0) {
        return;
    }
    size_t index = (size_t)descriptor;
    if (index >= gateway->descriptors) {
        size_t old = gateway->descriptors;
        gateway->descriptors = index + 64;
        gateway->by_descriptor = mem_realloc(gateway->by_descriptor, gateway->descriptors,
                                             sizeof *gateway->by_descriptor);
        memset(gateway->by_descriptor + old, 0,
               (gateway->descriptors - old) * sizeof *gateway->by_descriptor);
    }
    connection->descriptor = descriptor;
    DL_APPEND2(gateway->by_descriptor[index], connection, near_prev, near_next);
}

struct connection *connection_new(struct gateway *gateway, struct slice peer, int descriptor)
{
    struct connection *connection = mem_zalloc(1, sizeof *connection + peer.size);
    connection->number = gateway->next_number++;
    connection->state = CONNECTION_OPENING;
    connection->descriptor = -1;
    connection->peer_size = peer.size;
    if (peer.size > 0) {
        memcpy(connection->peer, peer.data, peer.size);
    }
    connection->timer.kind = TIMER_OF_CONNECTION;
    timer_arm(&gateway->timers, &connection->timer, gateway->now_ms + OPENING_MS);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_peer, gateway->by_peer, connection->peer, peer.size,
                                peer_hash(gateway, peer), connection);
    HASH_ADD(by_number, gateway->by_number, number, sizeof connection->number, connection);
    connection_on(gateway, connection, descriptor);
    gateway->counters.connections++;
    return connection;
}

void connection_kill(struct gateway *gateway, struct connection *connection)
{
    if (!connection_live(connection) || (NET_CANARY(OLD_SERVED) && connection->link == NULL)) {
        return;
    }
    link_resuming_over(gateway, connection);
    settle_forget(gateway, connection);
    connection->state = CONNECTION_DEAD;
    outbox_drop(gateway, connection);
    leave_descriptor(gateway, connection);
    HASH_DELETE(by_number, gateway->by_number, connection);
    gateway->counters.connections--;
    if (connection->link) {
        link_unbind(gateway, connection->link);
    }
    timer_arm(&gateway->timers, &connection->timer, gateway->now_ms + DEAD_MS);
}

void connection_bye(struct gateway *gateway, struct connection *connection, int code,
                    const char *text)
{
    struct buf *out = connection_live(connection) ? outbox_record(gateway, connection, 0) : NULL;
    if (out == NULL) {
        return;
    }
    hello_write_bye(out, code, text);
    outbox_send(gateway, connection, slice_of(NULL, 0));
    connection_kill(gateway, connection);
}

void connection_forget(struct gateway *gateway, struct connection *connection)
{
    connection_kill(gateway, connection);
    timer_disarm(&gateway->timers, &connection->timer);
    HASH_DELETE(by_peer, gateway->by_peer, connection);
    free(connection);
}

void connection_timer(struct gateway *gateway, struct connection *connection)
{
    if (connection->state == CONNECTION_DEAD) {
        connection_forget(gateway, connection);
        return;
    }
    STEWARD_ASSERT(connection->state == CONNECTION_OPENING);
    connection_bye(gateway, connection, STW_ETIMEOUT, "the session could not be opened in time");
}
