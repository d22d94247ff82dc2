/*
 * Leading and following. Who leads serves clients: every session that the core knows gets a link,
 * without connection, and its full time. Who follows sends them to the leader.
 *
 * And what is certain: a packet is confirmed to its peer (`seen` in our headers) when the commands
 * that were submitted with it are applied, not when it was read; else a client would forget what a
 * crash of the manager takes away. Peers whose packets wait for the journal hear from us in time
 * all the same, so that nobody takes a slow disk for a dead manager; and so do all, when the
 * journal has so much to do that the host reads no packets.
 */
#include "broker/gateway/internal.h"

#include "common/wire/canary.h"

#include <utlist.h>

static void adopt(void *context, uint64_t session, const struct session_info *info)
{
    struct gateway *gateway = context;
    struct link *link = link_find(gateway, session);
    link = link ? link : link_new(gateway, session, info);
    if (link->connection == NULL) {
        bool longer = info->ttl_ms > info->grace_ms && !NET_CANARY(LEAD_SHORT);
        uint64_t away_ms = longer ? info->ttl_ms : info->grace_ms;
        link_away(gateway, link, away_ms);
    }
}

void gateway_lead(struct gateway *gateway, uint64_t now_ms)
{
    gateway_now(gateway, now_ms);
    gateway->leads = true;
    gateway->settled = 0;
    core_sessions(gateway->core, adopt, gateway);
}

void gateway_follow(struct gateway *gateway, uint64_t now_ms)
{
    gateway_now(gateway, now_ms);
    gateway->leads = false;
    gateway_goodbye(gateway, STW_EREDIRECT, NULL);
    struct link *link, *next;
    HASH_ITER (hh, gateway->links, link, next) {
        link_free(gateway, link);
    }
    STEWARD_ASSERT(!gateway->endings && !gateway->detaches && !gateway->unsettled);
}

void gateway_set_tight(struct gateway *gateway, bool tight)
{
    gateway->tight = tight;
}

/* ---- what is certain ------------------------------------------------------------------------ */

static uint64_t submitted(const struct gateway *gateway)
{
    const struct gateway_host *host = &gateway->host;
    return host->submitted ? host->submitted(host->context) : 0;
}

static void wait_for_journal(struct gateway *gateway, struct connection *connection)
{
    connection->mark_number = connection->received;
    connection->mark = submitted(gateway);
    if (gateway->unsettled == NULL) {
        gateway->answer_ms = gateway->now_ms + ANSWER_MS;
    }
    DL_APPEND2(gateway->unsettled, connection, unsettled_prev, unsettled_next);
    connection->unsettled = true;
}

void settle_received(struct gateway *gateway, struct connection *connection)
{
    connection->owes = true;
    if (connection->unsettled) {
        return; /* its mark first: then this packet gets one */
    }
    if (submitted(gateway) > gateway->settled && !NET_CANARY(SEEN_EARLY)) {
        wait_for_journal(gateway, connection);
        return;
    }
    connection->confirmed = connection->received;
    outbox_touch(gateway, connection);
}

void settle_begin(struct gateway *gateway, struct connection *connection)
{
    if (gateway->host.submitted == NULL) {
        connection->confirmed = connection->received; /* what it asks for is done when it is read */
        outbox_touch(gateway, connection); /* behind those whom it causes something for */
    }
}

void settle_forget(struct gateway *gateway, struct connection *connection)
{
    if (connection->unsettled) {
        DL_DELETE2(gateway->unsettled, connection, unsettled_prev, unsettled_next);
        connection->unsettled = false;
    }
}

void gateway_settled(struct gateway *gateway, uint64_t applied)
{
    struct connection *connection;
    gateway->settled = applied;
    while ((connection = gateway->unsettled) && connection->mark <= applied) {
        settle_forget(gateway, connection);
        connection->confirmed = connection->mark_number;
        connection->owes = true; /* the peer waits to hear just this */
        outbox_touch(gateway, connection);
        if (connection->received > connection->mark_number) {
            wait_for_journal(gateway, connection);
        }
    }
}

void settle_tick(struct gateway *gateway)
{
    if (gateway->unsettled == NULL || gateway->now_ms < gateway->answer_ms) {
        return;
    }
    struct connection *connection;
    gateway->answer_ms = gateway->now_ms + ANSWER_MS;
    DL_FOREACH2(gateway->unsettled, connection, unsettled_next)
    {
        if (connection->owes) {
            outbox_touch(gateway, connection);
        }
    }
}

/* Clients give up after half of their time-to-live: at half of that they hear from us. */
static void tell_alive(struct gateway *gateway, struct link *link, uint64_t since_ms)
{
    uint64_t told_ms = link->told_ms > since_ms ? link->told_ms : since_ms;
    if (link->connection && gateway->now_ms >= told_ms + link->ttl_ms / 4) {
        link->told_ms = gateway->now_ms;
        link->connection->owes = true;
        outbox_touch(gateway, link->connection);
    }
}

void gateway_unread(struct gateway *gateway, uint64_t now_ms, uint64_t since_ms)
{
    struct link *link, *next;
    gateway_now(gateway, now_ms);
    if (gateway->now_ms < gateway->unread_ms) {
        return;
    }
    gateway->unread_ms = gateway->now_ms + ANSWER_MS / 2;
    HASH_ITER (hh, gateway->links, link, next) {
        tell_alive(gateway, link, since_ms);
    }
}

uint64_t settle_deadline(const struct gateway *gateway)
{
    return gateway->unsettled ? gateway->answer_ms : UINT64_MAX;
}
