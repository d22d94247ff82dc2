/*
 * What consensus wants of other nodes.
 *
 * Happy path: what carries no entries leaves at once. Of messages with entries, and of heartbeats,
 * only how far they reach is noted, in one feed for each node; at the end of a turn each feed sends
 * a bounded part, with entries from the log, and goes on in the next turn. So messages of one turn
 * that say the same become one, and a follower that is far behind does not hold up the others.
 * Large entries go in parts (replica_large.c); meanwhile the feed only says that we lead.
 *
 * Failure modes: nothing leaves while the last vote is not durable; too many messages that wait for
 * it are dropped, and whatever is lost on the way is asked for again by consensus.
 */
#include "broker/journal/replica_parts.h"

#include "broker/journal/canary.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

static bool vote_is_durable(const struct replica *replica)
{
    return replica->vote_sequence <= replica->durable || JOURNAL_CANARY(VOTE_EARLY);
}

/* ---- messages without entries --------------------------------------------------------------- */

static void hold(struct replica *replica, uint64_t node, struct slice bytes)
{
    if (replica->held_count == LIMIT_HELD_MESSAGES) {
        return;
    }
    struct held *held = mem_zalloc(1, sizeof *held);
    held->node = node;
    buf_add(&held->bytes, bytes.data, bytes.size);
    *replica->held_end = held;
    replica->held_end = &held->next;
    replica->held_count++;
}

static struct held *take_held(struct replica *replica)
{
    struct held *held = replica->held;
    if (held) {
        replica->held = held->next;
        replica->held_end = replica->held ? replica->held_end : &replica->held;
        replica->held_count--;
    }
    return held;
}

static void free_held(struct held *held)
{
    buf_fini(&held->bytes);
    free(held);
}

void sends_release(struct replica *replica)
{
    const struct replica_host *host = &replica->options.host;
    while (replica->held && vote_is_durable(replica)) {
        struct held *held = take_held(replica);
        host->send(host->context, held->node, buf_view(&held->bytes));
        free_held(held);
    }
}

void sends_fini(struct replica *replica)
{
    while (replica->held) {
        free_held(take_held(replica));
    }
    sends_drop_feeds(replica);
    large_fini(replica);
    buf_fini(&replica->out);
}

static void send_plain(struct replica *replica, const struct peer_message *message)
{
    const struct replica_host *host = &replica->options.host;
    buf_clear(&replica->out);
    buf_u8(&replica->out, PEER_BYTES_CONSENSUS);
    peer_encode(message, &replica->out);
    if (replica->held || !vote_is_durable(replica)) {
        hold(replica, message->to, buf_view(&replica->out));
    } else {
        host->send(host->context, message->to, buf_view(&replica->out));
    }
}

/* ---- feeds ---------------------------------------------------------------------------------- */

/* This node's feed; a free one, or that of a node that has nothing to hear, when there is none. */
static struct feed *find_feed(struct replica *replica, uint64_t node)
{
    struct feed *feed = NULL;
    for (size_t i = 0; i < LIMIT_NODES; i++) {
        struct feed *other = &replica->feeds[i];
        if (other->node == node) {
            return other;
        }
        feed = other->due || other->large ? feed : other;
    }
    if (feed) {
        large_drop(feed);
        *feed = (struct feed){.node = node};
    }
    return feed;
}

static void feed_add(struct replica *replica, const struct peer_message *message)
{
    struct feed *feed = find_feed(replica, message->to);
    uint64_t upto = message->index + message->entries_count;
    if (feed == NULL) {
        return; /* more nodes than a cluster has: lost */
    }
    bool joins = (feed->due || feed->large) && feed->term == message->term &&
                 message->index >= feed->prev && message->index <= feed->upto;
    if (!joins) {
        feed->prev = message->index;
        feed->prev_term = message->index_term;
        feed->upto = upto;
    }
    feed->due = true;
    feed->term = message->term;
    feed->upto = max_u64(feed->upto, upto);
    feed->commit = message->commit;
}

/* One message: entries up to `most` bytes, one at least if there are any. false: the log failed. */
static bool feed_send(struct replica *replica, struct feed *feed, size_t most)
{
    const struct replica_host *host = &replica->options.host;
    struct peer_message message = {.type = PEER_APPEND,
                                   .from = replica->options.node,
                                   .to = feed->node,
                                   .term = feed->term,
                                   .index = feed->prev,
                                   .index_term = feed->prev_term,
                                   .commit = feed->commit};
    struct peer_append append;
    buf_clear(&replica->out);
    buf_u8(&replica->out, PEER_BYTES_CONSENSUS);
    peer_append_begin(&append, &message, &replica->out);
    while (feed->prev < feed->upto && !large_waits(replica, feed) &&
           (append.count == 0 || replica->out.size < most)) {
        struct log_item item;
        if (!host->read(host->context, feed->prev + 1, &item)) {
            replica_fail(replica, "the log cannot be read back");
            return false;
        }
        if (large_is(replica, item.payload)) {
            large_begin(replica, feed, &item);
            break;
        }
        struct log_entry entry = {.term = item.term, .type = item.tag, .payload = item.payload};
        peer_append_entry(&append, &entry);
        feed->prev++;
        feed->prev_term = item.term;
    }
    peer_append_end(&append);
    host->send(host->context, feed->node, buf_view(&replica->out));
    return true;
}

/* What lies before the log, or was cut, cannot be sent: consensus will find out, and ask anew. */
static bool feed_is_possible(const struct replica *replica, const struct feed *feed)
{
    bool none = feed->prev == feed->upto;
    return none || (feed->prev + 1 >= replica->disk.first && feed->upto <= replica->disk.last);
}

static void feed_run(struct replica *replica, struct feed *feed, bool alive)
{
    size_t most = alive ? LIMIT_APPEND_BYTES : LIMIT_APPEND_SILENT_BYTES;
    unsigned turns = alive ? LIMIT_APPEND_TURN : 1;
    feed->due = feed->due && feed_is_possible(replica, feed);
    for (; feed->due && turns > 0; turns--) {
        if (!feed_send(replica, feed, most)) {
            return;
        }
        feed->due = feed->prev < feed->upto && !large_waits(replica, feed);
    }
    feed->due = feed->due && alive; /* it will ask for the rest when it answers */
}

void sends_flush(struct replica *replica)
{
    if (!vote_is_durable(replica)) {
        return;
    }
    for (size_t i = 0; i < LIMIT_NODES && replica->failure == NULL; i++) {
        struct feed *feed = &replica->feeds[i];
        const struct known *known = marks_find(replica, feed->node);
        bool alive = known && marks_alive(replica, known);
        if (feed->due) {
            feed_run(replica, feed, alive);
        }
        if (feed->large && replica->failure == NULL) {
            large_run(replica, feed, alive);
        }
    }
}

bool sends_pending(const struct replica *replica)
{
    for (size_t i = 0; i < LIMIT_NODES; i++) {
        if (replica->feeds[i].due && vote_is_durable(replica)) {
            return true;
        }
    }
    return false;
}

void sends_drop_feeds(struct replica *replica)
{
    for (size_t i = 0; i < LIMIT_NODES; i++) {
        large_drop(&replica->feeds[i]);
        replica->feeds[i] = (struct feed){0};
    }
}

void sends_message(struct replica *replica, const struct peer_message *message)
{
    if (replica->options.host.send == NULL) {
        replica_fail(replica, "consensus has something to say to other nodes, and there are none");
    } else if (message->type == PEER_APPEND) {
        feed_add(replica, message);
    } else {
        send_plain(replica, message);
    }
}
