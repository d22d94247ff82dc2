/* The simulated network: packets are lost, doubled, late; links are cut, one way or both. */
#include "tests/sim/cluster.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

static bool before(const struct packet *a, const struct packet *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void heap_push(struct cluster *w, struct packet packet)
{
    if (w->packets_count == w->packets_capacity) {
        w->packets_capacity = w->packets_capacity * 2 + 64;
        w->packets = mem_realloc(w->packets, w->packets_capacity, sizeof(*w->packets));
    }
    size_t at = w->packets_count++;
    while (at > 0 && before(&packet, &w->packets[(at - 1) / 2])) {
        w->packets[at] = w->packets[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->packets[at] = packet;
}

static struct packet heap_pop(struct cluster *w)
{
    struct packet top = w->packets[0], last = w->packets[--w->packets_count];
    size_t at = 0, child;
    while ((child = at * 2 + 1) < w->packets_count) {
        if (child + 1 < w->packets_count && before(&w->packets[child + 1], &w->packets[child]))
            child++;
        if (!before(&w->packets[child], &last))
            break;
        w->packets[at] = w->packets[child];
        at = child;
    }
    w->packets[at] = last;
    return top;
}

static uint64_t travel_ms(struct cluster *w)
{
    if (rng_chance(&w->rng, w->late))
        return rng_between(&w->rng, 200, 5000);
    return rng_between(&w->rng, 1, w->delay_ms);
}

static void post(struct cluster *w, const struct peer_message *message)
{
    struct buf bytes = {0};
    if (rng_chance(&w->rng, w->loss))
        return;
    peer_encode(message, &bytes);
    for (int copies = rng_chance(&w->rng, w->twice) ? 2 : 1; copies > 0; copies--)
        heap_push(w, (struct packet){.at = w->now + travel_ms(w),
                                     .order = w->order++,
                                     .from = message->from,
                                     .to = message->to,
                                     .bytes = mem_dup(bytes.data, bytes.size),
                                     .size = bytes.size});
    buf_fini(&bytes);
}

/* A message's entries, from the log. */
static void fill(struct cluster *w, const struct node *node, struct peer_message *message,
                 struct buf *payloads)
{
    for (uint32_t i = 0; i < message->entries_count; i++) {
        const struct stored *stored = &node->log.entries[message->index + 1 + i];
        struct log_entry *entry = &message->entries[i];
        size_t from = payloads->size;
        *entry = (struct log_entry){.term = stored->term, .type = stored->type};
        if (stored->type == ENTRY_CHANGE)
            members_encode(&w->configs[stored->value], payloads);
        else if (stored->type == ENTRY_COMMAND)
            buf_add(payloads, &stored->value, sizeof(stored->value));
        entry->payload.size = payloads->size - from;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < message->entries_count; i++) {
        message->entries[i].payload.data = payloads->data + at;
        at += message->entries[i].payload.size;
    }
}

void cluster_net_send(struct cluster *w, const struct node *node,
                      const struct peer_message *message)
{
    struct peer_message copy = *message;
    struct buf payloads = {0};
    if (copy.entries_count == 0) {
        post(w, &copy);
        return;
    }
    if (copy.index + 1 < node->log.first || copy.index + copy.entries_count > node->log.last) {
        cluster_fail(w, "node %d sends %d entries after %d, and has %d to %d", (int)node->id,
                     (int)copy.entries_count, (int)copy.index, (int)node->log.first,
                     (int)node->log.last);
        return;
    }
    struct log_entry *entries = mem_zalloc(copy.entries_count, sizeof(*entries));
    copy.entries = entries;
    fill(w, node, &copy, &payloads);
    /* Large ones travel in pieces. */
    uint32_t piece = rng_chance(&w->rng, 20) ? 3 : copy.entries_count;
    for (uint32_t at = 0; at < message->entries_count; at += piece) {
        struct peer_message part = copy;
        part.index = message->index + at;
        part.index_term = at > 0 ? entries[at - 1].term : message->index_term;
        part.entries = entries + at;
        part.entries_count =
            message->entries_count - at < piece ? message->entries_count - at : piece;
        post(w, &part);
    }
    free(entries);
    buf_fini(&payloads);
}

uint64_t cluster_net_due(const struct cluster *w)
{
    return w->packets_count > 0 ? w->packets[0].at : UINT64_MAX;
}

void cluster_net_deliver(struct cluster *w)
{
    struct packet packet = heap_pop(w);
    struct node *node = cluster_node(w, packet.to);
    struct peer_message message;
    if (node && node->frozen_until > w->now && node->consensus) {
        packet.at = node->frozen_until; /* waits in the socket's buffer */
        heap_push(w, packet);
        return;
    }
    if (node && node->consensus && !w->cut[packet.from][packet.to]) {
        STEWARD_ASSERT(peer_decode(slice_of(packet.bytes, packet.size), &message));
        const char *why = consensus_receive(node->consensus, w->now, &message);
        cluster_trace(w, "%d <- %d type %d term %d index %d^%d n %d rejected %d commit %d%s%s%s %s",
                      (int)packet.to, (int)packet.from, message.type, (int)message.term,
                      (int)message.index, (int)message.index_term, (int)message.entries_count,
                      (int)message.rejected, (int)message.commit, message.pre_vote ? " pre" : "",
                      message.granted ? " granted" : "", message.stale ? " stale" : "",
                      why ? why : "");
        peer_fini(&message);
        cluster_after(w, node);
    }
    free(packet.bytes);
}
