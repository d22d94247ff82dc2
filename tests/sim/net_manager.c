/* Simulations A2 and B: what a manager's shell does for its gateway. See net.h. */
#include "tests/sim/net.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- what the gateway asks of its host ------------------------------------------------------- */

static enum send_result host_send(void *context, struct slice peer, struct slice head,
                                  struct slice body)
{
    struct net_manager *manager = context;
    struct net_world *world = manager->world;
    struct wire *wire = wire_find(world, peer);
    if (wire == NULL || wire->gone || wire->node != manager->node) {
        return SEND_GONE;
    }
    if (wire->full_ms > world->now_ms) {
        return SEND_LATER;
    }
    wire_push(world, wire, false, head, body);
    return SEND_DONE;
}

static void host_random(void *context, void *out, size_t size)
{
    struct net_manager *manager = context;
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)rng_next(&manager->world->rng);
    }
}

static void host_log(void *context, char level, const char *event, const char *detail)
{
    struct net_manager *manager = context;
    struct net_world *world = manager->world;
    bool bad = strcmp(event, "bad_packet") == 0;
    if (bad && !strstr(detail, "are missing") && !strstr(detail, "came again") &&
        !strstr(detail, "state=stranger")) {
        net_fail(world, "the gateway does not understand a client: %s", detail);
    }
    if (world->verbose) {
        printf("%8" PRIu64 " log %d %c %s %s\n", world->now_ms, manager->node, level, event,
               detail);
    }
}

struct gateway *manager_gateway(struct net_manager *manager, struct gateway_host host)
{
    struct gateway_options options;
    gateway_options_default(&options);
    host.context = manager;
    host.send = host_send;
    host.random = host_random;
    host.log = host_log;
    return gateway_new(manager->core, &options, &host);
}

/* ---- what arrives ---------------------------------------------------------------------------- */

/* The wire whose next packet came first. */
static struct wire *next_arrival(const struct net_manager *manager)
{
    struct wire *found = NULL;
    for (struct wire *wire = manager->world->wires; wire; wire = wire->next) {
        const struct net_packet *packet = wire->to_manager.first;
        if (packet && wire->node == manager->node && packet->due_ms <= manager->world->now_ms &&
            (!found || packet->due_ms < found->to_manager.first->due_ms)) {
            found = wire;
        }
    }
    return found;
}

static void receive_packets(struct net_manager *manager)
{
    struct net_world *world = manager->world;
    struct wire *wire;
    uint64_t most = rng_between(&world->rng, 1, 40);
    while (most-- > 0 && (wire = next_arrival(manager))) {
        struct net_packet *packet = wire_pop(&wire->to_manager, world->now_ms);
        const struct slice frames[] = {buf_view(&packet->head), buf_view(&packet->body)};
        struct gateway_packet received = {.peer = slice_of(wire->peer, NET_PEER),
                                          .frames = frames,
                                          .count = packet->two ? 2 : 1,
                                          .descriptor = wire->descriptor};
        net_note(world, "arrived", wire->serial, packet->head.size, 0);
        gateway_receive(manager->gateway, manager->now_ms, &received);
        net_packet_free(packet);
    }
}

static void notice_closed(struct net_manager *manager)
{
    struct net_world *world = manager->world;
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        if (wire->node == manager->node && !wire->gone && wire->gone_ms <= world->now_ms &&
            wire->to_manager.first == NULL) {
            wire->gone = true;
            if (wire->told) {
                gateway_closed(manager->gateway, manager->now_ms, wire->descriptor);
            }
        }
    }
}

void manager_receive(struct net_manager *manager)
{
    notice_closed(manager);
    receive_packets(manager);
}

uint64_t manager_arrival(const struct net_manager *manager)
{
    uint64_t next = NET_NEVER;
    for (const struct wire *wire = manager->world->wires; wire; wire = wire->next) {
        if (wire->node != manager->node) {
            continue;
        }
        if (wire->to_manager.first) {
            next = net_less(next, wire->to_manager.first->due_ms);
        }
        if (!wire->gone) {
            next = net_less(next, wire->gone_ms);
        }
    }
    return next;
}

uint64_t manager_gap(struct net_manager *manager)
{
    uint64_t gap_ms = manager->now_ms - manager->turned_ms;
    manager->turned_ms = manager->now_ms;
    if (gap_ms <= LIMIT_CLOCK_GAP_MS) {
        return 0;
    }
    net_note(manager->world, "gap", gap_ms, (uint64_t)manager->node, 0);
    manager->world->counts.gaps++;
    return gap_ms;
}

/* ---- the queues ------------------------------------------------------------------------------ */

static void declare(struct command *command, uint64_t session, int queue)
{
    static const struct queue_options options[NET_QUEUES + 1] = {
        {.lease_ms = 5000},
        {.lease_ms = 2000, .maxsize = 5, .overflow = OVERFLOW_BLOCK},
        {.lease_ms = 5000, .maxsize = 8, .overflow = OVERFLOW_REJECT},
        {.lease_ms = 1500, .max_deliveries = 3},
        {.lease_ms = 5000}};
    *command = (struct command){.kind = COMMAND_QUEUE_DECLARE, .session = session};
    command->request = (uint64_t)(NET_QUEUES - queue) + 1; /* the dead-letter queue comes first */
    command->queue.name = slice_str(queue_text(queue));
    command->queue.options = options[queue];
    command->queue.options.given =
        QUEUE_LEASE | QUEUE_MAXSIZE | QUEUE_OVERFLOW | QUEUE_MAX_DELIVERIES | QUEUE_DEAD_LETTER;
    command->queue.options.dead_letter = slice_str(queue_text(NET_DEAD));
    if (queue == NET_DEAD) {
        command->queue.options.given = QUEUE_LEASE;
    }
}

bool manager_setup(uint64_t step, uint64_t session, struct command *command)
{
    if (step == 0) {
        *command = (struct command){.kind = COMMAND_SESSION_OPEN};
        command->open.ttl_ms = LIMIT_SESSION_TTL_MS;
        command->open.reference = UINT64_MAX; /* nobody's connection */
    } else if (step <= NET_QUEUES + 1) {
        declare(command, session, NET_QUEUES + 1 - (int)step);
    } else if (step == NET_QUEUES + 2) {
        *command = (struct command){.kind = COMMAND_SESSION_END, .session = session};
    }
    return step <= NET_QUEUES + 2;
}
