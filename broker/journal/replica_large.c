/*
 * Entries that are too large for one message go to a follower in parts, so that heartbeats pass
 * between them, and only so much is on its way as was not yet heard of: what is sent is never sent
 * again while it may still arrive.
 *
 *     u8 PEER_BYTES_PART, u8 version 1, u64 term of the leader, u64 index and u64 term of the entry
 *     before, u64 commit, u64 term of the entry, u8 its type, u64 its bytes, u64 offset, bytes
 *     u8 PEER_BYTES_SEEN, u8 version 1, u64 index of the entry, u64 its term, u64 bytes so far
 *
 * Happy path: a feed comes to such an entry, keeps a copy, and sends parts within a window; the
 * follower gathers them, says how much it has, and hands the whole to consensus as any other entry.
 * An entry is the same wherever index and term are, so another leader goes on with it.
 *
 * Failure modes: parts or answers that are lost are sent again after a pause, a short one when the
 * follower says that something is missing; a few that come early are kept. A follower that has the
 * entry says so at the first part; one that began anew says where it is.
 */
#include "broker/journal/replica_parts.h"

#include "broker/journal/peer_message.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define PART_VERSION 1

/* ---- the leader's side ---------------------------------------------------------------------- */

bool large_is(const struct replica *replica, struct slice payload)
{
    return payload.size > LIMIT_PARTS * (size_t)replica->options.part_bytes;
}

/* It is on its way to this follower, or came there just now. */
bool large_waits(const struct replica *replica, const struct feed *feed)
{
    uint64_t next = feed->prev + 1;
    return (feed->large && feed->large->index == next) ||
           (feed->given == next && replica->now_ms - feed->given_ms < LIMIT_PART_AGAIN_MS);
}

void large_drop(struct feed *feed)
{
    struct large *large = feed->large;
    feed->large = NULL;
    if (large && --large->users == 0) {
        buf_fini(&large->payload);
        free(large);
    }
}

/* Followers mostly get the same one at the same time. */
static struct large *find_large(const struct replica *replica, uint64_t index)
{
    for (size_t i = 0; i < LIMIT_NODES; i++) {
        struct large *large = replica->feeds[i].large;
        if (large && large->index == index) {
            return large;
        }
    }
    return NULL;
}

void large_begin(struct replica *replica, struct feed *feed, const struct log_item *item)
{
    struct large *large = find_large(replica, item->index);
    if (large == NULL) {
        large = mem_zalloc(1, sizeof *large);
        large->index = item->index;
        large->term = item->term;
        large->type = item->tag;
        buf_add(&large->payload, item->payload.data, item->payload.size);
    }
    large->users++;
    large_drop(feed);
    feed->large = large;
    feed->sent = feed->seen = feed->told = 0;
    feed->stuck = false;
    feed->progress_ms = replica->now_ms;
}

static void send_part(struct replica *replica, struct feed *feed)
{
    const struct replica_host *host = &replica->options.host;
    const struct large *large = feed->large;
    size_t size = (size_t)min_u64(large->payload.size - feed->sent, replica->options.part_bytes);
    buf_clear(&replica->out);
    buf_u8(&replica->out, PEER_BYTES_PART);
    buf_u8(&replica->out, PART_VERSION);
    buf_u64(&replica->out, feed->term);
    buf_u64(&replica->out, feed->prev);
    buf_u64(&replica->out, feed->prev_term);
    buf_u64(&replica->out, feed->commit);
    buf_u64(&replica->out, large->term);
    buf_u8(&replica->out, large->type);
    buf_u64(&replica->out, large->payload.size);
    buf_u64(&replica->out, feed->sent);
    buf_add(&replica->out, large->payload.data + feed->sent, size);
    feed->sent += size;
    host->send(host->context, feed->node, buf_view(&replica->out));
}

void large_run(struct replica *replica, struct feed *feed, bool alive)
{
    if (feed->large->index <= feed->prev || feed->large->index < replica->disk.first) {
        large_drop(feed); /* consensus went on without */
        return;
    }
    if (feed->large->index != feed->prev + 1) {
        return; /* first what comes before it */
    }
    uint64_t pause_ms = feed->stuck ? replica->options.heartbeat_ms : LIMIT_PART_AGAIN_MS;
    if (replica->now_ms - feed->progress_ms >= pause_ms) {
        feed->sent = feed->seen = feed->told;
        feed->stuck = false;
        feed->progress_ms = replica->now_ms;
    }
    uint64_t window = (alive ? LIMIT_PARTS_ON_WAY : 1) * (uint64_t)replica->options.part_bytes;
    while (feed->sent < feed->large->payload.size && feed->sent - feed->seen < window) {
        send_part(replica, feed);
    }
}

static void take_seen(struct replica *replica, struct feed *feed, uint64_t seen)
{
    feed->told = seen;
    feed->stuck = seen <= feed->seen;
    if (!feed->stuck) {
        feed->seen = seen;
        feed->sent = max_u64(feed->sent, seen); /* another leader had sent it some */
        feed->progress_ms = replica->now_ms;
    }
    if (seen < feed->large->payload.size) {
        return;
    }
    feed->given = feed->large->index;
    feed->given_ms = replica->now_ms;
    if (feed->prev + 1 == feed->given) {
        feed->prev = feed->given;
        feed->prev_term = feed->large->term;
        feed->upto = max_u64(feed->upto, feed->prev);
        feed->due = feed->due || feed->prev < feed->upto;
    }
    large_drop(feed);
}

const char *large_receive_seen(struct replica *replica, uint64_t from, struct slice bytes)
{
    struct reader reader;
    reader_init(&reader, bytes);
    uint8_t version = reader_u8(&reader);
    uint64_t index = reader_u64(&reader), term = reader_u64(&reader), seen = reader_u64(&reader);
    if (version != PART_VERSION || !reader_done(&reader)) {
        return "about parts that make no sense, or of a version that this build does not know";
    }
    for (size_t i = 0; i < LIMIT_NODES; i++) {
        struct feed *feed = &replica->feeds[i];
        if (feed->node == from && feed->large && feed->large->index == index &&
            feed->large->term == term && seen <= feed->large->payload.size) {
            take_seen(replica, feed, seen);
            return NULL;
        }
    }
    return "about parts that are not on their way";
}

/* ---- the follower's side -------------------------------------------------------------------- */

struct part {
    uint64_t leader_term, prev, prev_term, commit, term, total, offset;
    uint8_t type;
    struct slice bytes;
};

static bool read_part(struct slice bytes, struct part *out)
{
    struct reader reader;
    reader_init(&reader, bytes);
    uint8_t version = reader_u8(&reader);
    out->leader_term = reader_u64(&reader);
    out->prev = reader_u64(&reader);
    out->prev_term = reader_u64(&reader);
    out->commit = reader_u64(&reader);
    out->term = reader_u64(&reader);
    out->type = reader_u8(&reader);
    out->total = reader_u64(&reader);
    out->offset = reader_u64(&reader);
    out->bytes = reader_raw(&reader, (size_t)(reader.end - reader.at));
    return version == PART_VERSION && reader_done(&reader) && out->bytes.size > 0 &&
           out->prev < UINT64_MAX && out->offset <= out->total &&
           out->bytes.size <= out->total - out->offset;
}

static void tell_seen(struct replica *replica, uint64_t node, const struct part *part,
                      uint64_t seen)
{
    const struct replica_host *host = &replica->options.host;
    buf_clear(&replica->out);
    buf_u8(&replica->out, PEER_BYTES_SEEN);
    buf_u8(&replica->out, PART_VERSION);
    buf_u64(&replica->out, part->prev + 1);
    buf_u64(&replica->out, part->term);
    buf_u64(&replica->out, seen);
    host->send(host->context, node, buf_view(&replica->out));
}

/* As if it had come in one message. payload NULL: it is here already; so the leader hears of it
 * again, if the answer was lost. */
static const char *deliver(struct replica *replica, uint64_t from, const struct part *part,
                           const struct buf *payload)
{
    struct log_entry entry = {.term = part->term, .type = part->type};
    struct peer_message message = {.type = PEER_APPEND,
                                   .from = from,
                                   .to = replica->options.node,
                                   .term = part->leader_term,
                                   .index = payload ? part->prev : part->prev + 1,
                                   .index_term = payload ? part->prev_term : part->term,
                                   .commit = part->commit};
    if (payload) {
        entry.payload = buf_view(payload);
        message.entries = &entry;
        message.entries_count = 1;
    }
    return consensus_receive(replica->consensus, replica->now_ms, &message);
}

void large_fini(struct replica *replica)
{
    struct gathered *gathered = &replica->gathered;
    for (size_t i = 0; i < LIMIT_PARTS_ON_WAY; i++) {
        buf_fini(&gathered->early[i].bytes);
    }
    buf_fini(&gathered->bytes);
    *gathered = (struct gathered){0};
}

/* Keeps it until those before it have come, unless it is kept already, or too many are. */
static void keep_early(struct gathered *gathered, const struct part *part)
{
    struct early *to = NULL;
    for (size_t i = 0; i < LIMIT_PARTS_ON_WAY; i++) {
        struct early *early = &gathered->early[i];
        if (early->offset == part->offset) {
            return;
        }
        to = early->offset < gathered->bytes.size || early->offset == 0 ? early : to;
    }
    if (to) {
        to->offset = part->offset;
        buf_clear(&to->bytes);
        buf_add(&to->bytes, part->bytes.data, part->bytes.size);
    }
}

/* true: one that was kept came next. */
static bool take_early(struct gathered *gathered)
{
    for (size_t i = 0; i < LIMIT_PARTS_ON_WAY; i++) {
        struct early *early = &gathered->early[i];
        if (early->offset > 0 && early->offset == gathered->bytes.size) {
            buf_add(&gathered->bytes, early->bytes.data, early->bytes.size);
            early->offset = 0;
            return true;
        }
    }
    return false;
}

/* Adds the part to what has come; true: it is whole now. */
static bool gather_part(struct replica *replica, const struct part *part)
{
    struct gathered *gathered = &replica->gathered;
    if (gathered->index != part->prev + 1 || gathered->term != part->term ||
        gathered->total != part->total) {
        large_fini(replica);
        gathered->index = part->prev + 1;
        gathered->term = part->term;
        gathered->total = part->total;
    }
    if (part->offset > gathered->bytes.size) {
        keep_early(gathered, part);
    } else if (part->offset == gathered->bytes.size) {
        buf_add(&gathered->bytes, part->bytes.data, part->bytes.size);
        while (take_early(gathered)) {
            /* and the next one */
        }
    }
    return gathered->bytes.size == gathered->total;
}

static bool is_here(const struct replica *replica, const struct part *part)
{
    const struct disk_view *disk = &replica->disk;
    uint64_t index = part->prev + 1;
    return index <= disk->snapshot.index ||
           (index <= disk->last && disk_term_at(disk, index) == part->term);
}

const char *large_receive_part(struct replica *replica, uint64_t from, struct slice bytes)
{
    struct part part;
    if (!read_part(bytes, &part)) {
        return "a part that makes no sense, or of a version that this build does not know";
    }
    if (from != consensus_leader(replica->consensus) || replica->leader ||
        part.leader_term != consensus_term(replica->consensus)) {
        return "a part of an entry, and not from the leader";
    }
    if (part.total > replica->payload_max) {
        replica_fail_large(replica);
        return NULL;
    }
    if (is_here(replica, &part)) {
        tell_seen(replica, from, &part, part.total);
        return deliver(replica, from, &part, NULL);
    }
    bool whole = gather_part(replica, &part);
    tell_seen(replica, from, &part, replica->gathered.bytes.size);
    if (!whole) {
        return NULL;
    }
    struct buf payload = replica->gathered.bytes;
    buf_init(&replica->gathered.bytes);
    large_fini(replica);
    const char *why = deliver(replica, from, &part, &payload);
    buf_fini(&payload);
    return why;
}

void large_forget(struct replica *replica)
{
    if (replica->gathered.index <= replica->disk.last) {
        large_fini(replica);
    }
}
