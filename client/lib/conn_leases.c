/* Leases that the library renews, leases and locks that are lost. See conn.h. */
#include "client/lib/conn_state.h"

#include "common/wire/canary.h"

#include <utlist.h>

/* Renews what lies in the buffer and is due: the time of the next. Items of a run are together. */
static uint64_t renew_buffer(struct conn *conn, const struct items *items, uint64_t next)
{
    struct run *run = NULL;
    bool due = false;
    for (size_t i = 0; i < items->count; i++) {
        const struct item *item = items_at(items, i);
        if (item->run == NULL) {
            continue;
        }
        if (item->run != run) {
            run = item->run;
            due = lease_due(run->lease_from_ms, run->lease_ms) <= conn->now_ms;
            run->lease_from_ms = due ? conn->now_ms : run->lease_from_ms;
            uint64_t at = lease_due(run->lease_from_ms, run->lease_ms);
            next = at < next ? at : next;
        }
        if (due) {
            conn_renew(conn, item->tag);
        }
    }
    return next;
}

void conn_streams_renew(struct conn *conn)
{
    uint64_t next = NEVER;
    if (conn->leaving || NET_CANARY(RENEW_FORGOTTEN)) {
        conn->renew_ms = NEVER;
        return;
    }
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        next = renew_buffer(conn, &c->items, next);
    }
    struct lease *lease;
    DL_FOREACH (conn->leases, lease) {
        if (lease_due(lease->from_ms, lease->lease_ms) <= conn->now_ms) {
            conn_renew(conn, lease->tag);
            lease->from_ms = conn->now_ms;
        }
        uint64_t at = lease_due(lease->from_ms, lease->lease_ms);
        next = at < next ? at : next;
    }
    conn->renew_ms = next;
    if (conn->pending > 0) {
        conn->keepalive_due = true; /* they should not wait for a flush */
    }
}

static void lost_in_buffer(struct conn *conn, struct conn_consumer *consumer, uint64_t first,
                           uint64_t count)
{
    for (size_t i = 0; i < consumer->items.count; i++) {
        struct item *item = items_at(&consumer->items, i);
        if (item->run && item->tag >= first && item->tag - first < count) {
            runs_release(&conn->runs, item->run);
            item->run = NULL;
            item->data = NULL;
        }
    }
}

void conn_leases_lost(struct conn *conn, uint64_t first, uint64_t count)
{
    for (struct conn_consumer *c = conn->all_consumers; c; c = c->next) {
        lost_in_buffer(conn, c, first, count);
    }
    struct lease *lease, *next;
    DL_FOREACH_SAFE (conn->leases, lease, next) {
        if (lease->tag >= first && lease->tag - first < count) {
            lease->lost = true;
            conn_unwatch_lease(conn, lease);
        }
    }
}

void conn_watch_lease(struct conn *conn, struct lease *lease)
{
    lease->watched = true;
    DL_APPEND(conn->leases, lease);
    uint64_t at = lease_due(lease->from_ms, lease->lease_ms);
    conn->renew_ms = at < conn->renew_ms ? at : conn->renew_ms;
}

void conn_unwatch_lease(struct conn *conn, struct lease *lease)
{
    if (lease->watched) {
        lease->watched = false;
        DL_DELETE(conn->leases, lease);
    }
}

void conn_watch_lock(struct conn *conn, struct held *held)
{
    held->watched = true;
    DL_APPEND(conn->locks, held);
}

void conn_unwatch_lock(struct conn *conn, struct held *held)
{
    if (held->watched) {
        held->watched = false;
        DL_DELETE(conn->locks, held);
    }
}

void conn_lock_lost(struct conn *conn, uint64_t token)
{
    struct held *held, *next;
    DL_FOREACH_SAFE (conn->locks, held, next) {
        if (held->token == token) {
            held->lost = true;
            conn_unwatch_lock(conn, held);
        }
    }
}
