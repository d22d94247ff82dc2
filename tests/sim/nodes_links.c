/* Simulation B: messages between nodes: lost, doubled, late, cut off. See nodes.h. */
#include "tests/sim/nodes.h"

#include "broker/journal/replica.h"
#include "common/base/alloc.h"

#include <stdlib.h>

/* bytes: whatever speaks of terms and no entries is smaller */
#define SMALL_BYTES 256

static void enqueue(struct nodes *nodes, const struct node *from, uint64_t to, struct slice bytes)
{
    struct net_world *world = nodes->world;
    struct rng *rng = &world->rng;
    uint64_t delay = rng_between(rng, 0, nodes->plan.delay_ms);
    if (nodes->faults && rng_chance(rng, nodes->plan.late)) {
        delay += rng_between(rng, 1, 20 * (nodes->plan.delay_ms + nodes->plan.election_ms / 4));
    }
    struct nodes_packet *packet = mem_alloc(sizeof *packet + bytes.size), **at = &nodes->packets;
    *packet = (struct nodes_packet){.due_ms = world->now_ms + delay,
                                    .from = (uint64_t)from->manager.node,
                                    .to = to,
                                    .size = bytes.size};
    memcpy(packet->bytes, bytes.data, bytes.size);
    while (*at && (*at)->due_ms <= packet->due_ms) {
        at = &(*at)->next;
    }
    packet->next = *at;
    *at = packet;
}

/* A term that others were told of may not be forgotten: whoever speaks in it has it on disk. */
static void note_promise(struct node *node, struct slice bytes)
{
    struct peer_message message;
    if (bytes.data[0] != PEER_BYTES_CONSENSUS || bytes.size > SMALL_BYTES ||
        !peer_decode(slice_of(bytes.data + 1, bytes.size - 1), &message)) {
        return;
    }
    if (!message.pre_vote && message.term > node->promised) {
        node->promised = message.term;
    }
    peer_fini(&message);
}

void nodes_send(void *context, uint64_t to, struct slice bytes)
{
    struct node *node = context;
    struct nodes *nodes = node->nodes;
    struct net_world *world = nodes->world;
    net_note(world, "tell", (uint64_t)node->manager.node, to, bytes.size);
    world->hash = net_hash(world->hash, bytes.data, bytes.size);
    world->counts.messages++;
    bool lost = nodes->faults && rng_chance(&world->rng, nodes->plan.loss);
    if (nodes_disk_dead(node->disk) || to == 0 || to > NET_NODES_MAX) {
        return;
    }
    note_promise(node, bytes);
    if (lost) {
        return;
    }
    enqueue(nodes, node, to, bytes);
    if (nodes->faults && rng_chance(&world->rng, nodes->plan.twice)) {
        enqueue(nodes, node, to, bytes);
    }
}

void nodes_deliver(struct node *node)
{
    struct nodes *nodes = node->nodes;
    uint64_t to = (uint64_t)node->manager.node;
    for (struct nodes_packet **at = &nodes->packets; *at;) {
        struct nodes_packet *packet = *at;
        if (packet->due_ms > nodes->world->now_ms) {
            return;
        }
        if (packet->to != to) {
            at = &packet->next;
            continue;
        }
        *at = packet->next;
        if (!nodes->cut[packet->from][to]) {
            net_note(nodes->world, "told", packet->from, to, packet->size);
            journal_raft_receive(node->manager.journal, node->manager.now_ms, packet->from,
                                 slice_of(packet->bytes, packet->size));
        }
        free(packet);
        at = &nodes->packets; /* the journal may have sent something meanwhile */
    }
}

uint64_t nodes_arrival(const struct node *node)
{
    const struct nodes_packet *packet = node->nodes->packets;
    while (packet && packet->to != (uint64_t)node->manager.node) {
        packet = packet->next;
    }
    return packet ? packet->due_ms : NET_NEVER;
}

void nodes_packets_free(struct nodes *nodes)
{
    while (nodes->packets) {
        struct nodes_packet *packet = nodes->packets;
        nodes->packets = packet->next;
        free(packet);
    }
}
