/*
 * Sessions as the gateway sees them: which connection serves each, its silence and its grace time,
 * and its end.
 *
 * A packet only notes when it came; the timer stays where it is and, when it fires, is set to what
 * is due by then. So ten thousand sessions cost a few timers a second, not one per packet.
 */
#include "broker/gateway/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

struct link *link_find(struct gateway *gateway, uint64_t session)
{
    struct link *found = gateway->last_link; /* effects come in runs for one session */
    if (found && found->session == session) {
        return found;
    }
    HASH_FIND(hh, gateway->links, &session, sizeof session, found);
    if (found) {
        gateway->last_link = found;
    }
    return found;
}

struct link *link_new(struct gateway *gateway, uint64_t session, const struct session_info *info)
{
    struct link *link = mem_zalloc(1, sizeof *link);
    link->session = session;
    link->ttl_ms = info->ttl_ms;
    link->grace_ms = info->grace_ms;
    link->timer.kind = TIMER_OF_LINK;
    HASH_ADD(hh, gateway->links, session, sizeof link->session, link);
    link_away(gateway, link, link->grace_ms);
    return link;
}

void link_away(struct gateway *gateway, struct link *link, uint64_t away_ms)
{
    STEWARD_ASSERT(link->connection == NULL);
    link->gone_ms = gateway->now_ms;
    link->away_ms = away_ms;
    timer_arm(&gateway->timers, &link->timer, gateway->now_ms + away_ms);
}

void link_replaced(struct gateway *gateway, struct link *link)
{
    struct connection *old = link->connection;
    old->link = NULL; /* its death is none of the session's */
    link->connection = NULL;
    connection_kill(gateway, old);
    link_away(gateway, link, link->grace_ms);
}

void link_resuming(struct link *link, struct connection *connection)
{
    link->resuming++;
    connection->resumes = link->session;
}

void link_resuming_over(struct gateway *gateway, struct connection *connection)
{
    struct link *link = connection->resumes ? link_find(gateway, connection->resumes) : NULL;
    connection->resumes = 0;
    if (link && link->resuming > 0) {
        link->resuming--;
    }
}

void link_bind(struct gateway *gateway, struct link *link, struct connection *connection)
{
    if (link->connection) {
        link_replaced(gateway, link);
    }
    link_resuming_over(gateway, connection);
    link->connection = connection;
    link->heard_ms = gateway->now_ms;
    connection->link = link;
    connection->state = CONNECTION_OPEN;
    timer_disarm(&gateway->timers, &connection->timer);
    timer_arm(&gateway->timers, &link->timer, gateway->now_ms + link->ttl_ms);
}

void link_unbind(struct gateway *gateway, struct link *link)
{
    STEWARD_ASSERT(link->connection->link == link);
    link_detach(gateway, link);
    link->connection->link = NULL;
    link->connection = NULL;
    link_away(gateway, link, link->grace_ms);
}

void link_detach(struct gateway *gateway, struct link *link)
{
    STEWARD_ASSERT(link->reference != 0);
    if (link->ending) {
        return; /* nobody waits for it much longer */
    }
    if (link->gone == 0) {
        DL_APPEND2(gateway->detaches, link, detach_prev, detach_next);
    }
    link->gone = link->reference;
}

void link_end(struct gateway *gateway, struct link *link, const char *reason)
{
    if (link->ending == NULL) {
        link->ending = reason;
        DL_APPEND2(gateway->endings, link, ending_prev, ending_next);
    }
}

static uint64_t detach_take(struct gateway *gateway, struct link *link)
{
    uint64_t reference = link->gone;
    DL_DELETE2(gateway->detaches, link, detach_prev, detach_next);
    link->gone = 0;
    return reference;
}

void link_submit(struct gateway *gateway)
{
    while (gateway->detaches) {
        struct link *link = gateway->detaches;
        struct command command = {.kind = COMMAND_SESSION_DETACH, .session = link->session};
        command.reference = detach_take(gateway, link);
        gateway->host.submit(gateway->host.context, &command); /* the link may be gone now */
    }
    while (gateway->endings) {
        struct link *link = gateway->endings;
        DL_DELETE2(gateway->endings, link, ending_prev, ending_next);
        link->submitted = true;
        struct command command = {.kind = COMMAND_SESSION_END, .session = link->session};
        command.text = slice_str(link->ending);
        gateway->host.submit(gateway->host.context, &command); /* the link may be gone now */
    }
}

void link_timer(struct gateway *gateway, struct link *link)
{
    struct session_info info;
    if (!core_session(gateway->core, link->session, &info)) {
        link_ended(gateway, link, "no such session");
        return;
    }
    uint64_t due = link->connection ? link->heard_ms + link->ttl_ms : link->gone_ms + link->away_ms;
    if (link->ending) {
        if (link->submitted) { /* and still there: the journal must have lost it */
            link->submitted = false;
            DL_APPEND2(gateway->endings, link, ending_prev, ending_next);
        }
        due = gateway->now_ms + LIMIT_SESSION_TTL_MS;
    } else if (due <= gateway->now_ms && link->resuming > 0) {
        due = gateway->now_ms + RESUMING_MS; /* it came in time, the journal is slow */
    } else if (due <= gateway->now_ms) {
        link_end(gateway, link, link->connection ? "silence" : "the connection was lost");
        due = gateway->now_ms + LIMIT_SESSION_TTL_MS;
    }
    timer_arm(&gateway->timers, &link->timer, due);
}

void link_ended(struct gateway *gateway, struct link *link, const char *reason)
{
    struct connection *connection = link->connection;
    link_free(gateway, link);
    if (connection) {
        connection_bye(gateway, connection, STW_ESESSION, reason);
    }
}

void link_free(struct gateway *gateway, struct link *link)
{
    if (link->connection) {
        link->connection->link = NULL;
        link->connection = NULL;
    }
    if (link->ending && !link->submitted) {
        DL_DELETE2(gateway->endings, link, ending_prev, ending_next);
    }
    if (link->gone) {
        (void)detach_take(gateway, link);
    }
    manage_forget(gateway, link->session);
    if (gateway->last_link == link) {
        gateway->last_link = NULL;
    }
    timer_disarm(&gateway->timers, &link->timer);
    HASH_DEL(gateway->links, link);
    free(link);
}

void link_stat_add(struct link *link, uint64_t request)
{
    if (link->stats_count == STATS_MAX) {
        link->stats_count--;
        memmove(link->stats, link->stats + 1, link->stats_count * sizeof link->stats[0]);
    }
    link->stats[link->stats_count++] = request;
}

bool link_stat_take(struct link *link, uint64_t request)
{
    for (size_t i = 0; i < link->stats_count; i++) {
        if (link->stats[i] == request) {
            link->stats[i] = link->stats[--link->stats_count];
            return true;
        }
    }
    return false;
}
