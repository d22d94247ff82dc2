/* Simulation B: one node: its process, as broker/shell/manager.c would turn it. See nodes.h. */
#include "tests/sim/nodes.h"

#include <inttypes.h>
#include <stdio.h>

/* milliseconds: the loop turns at least so often, as the real one does */
#define TURN_MS 500

/* milliseconds: not reading for less is nothing that a client would notice */
#define UNREAD_MIN_MS 100

/* bytes: in half of the worlds many entries go from node to node in parts of this size; of the
 * second where bodies are large, for only a few go in a round trip */
#define PART_BYTES       400
#define PART_LARGE_BYTES 40000

/* Every so many turns the invariants of its core are checked. */
#define CHECK_TURNS 128

static uint64_t clock_ms(const struct node *node)
{
    return node->base_ms + (node->manager.world->now_ms - node->began_ms);
}

/* ---- what its journal and gateway ask for ---------------------------------------------------- */

static void applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct node *node = context;
    node->settled++;
    gateway_effects(node->manager.gateway, now_ms, effects);
}

void node_submit(struct node *node, const struct command *command)
{
    node->submitted++;
    journal_submit(node->manager.journal, node->manager.now_ms, command);
}

static void submit(void *context, const struct command *command)
{
    node_submit(context, command);
}

static uint64_t submitted(void *context)
{
    return ((struct node *)context)->submitted;
}

static struct slice leader_endpoint(void *context)
{
    static const char *const endpoints[NET_NODES_MAX + 1] = {
        "", "sim://1", "sim://2", "sim://3", "sim://4", "sim://5", "sim://6", "sim://7"};
    const struct node *node = context;
    uint64_t leader = journal_leader(node->manager.journal);
    bool known = leader != (uint64_t)node->manager.node && leader <= NET_NODES_MAX;
    return slice_str(endpoints[known ? leader : 0]);
}

/* 0: as ever. */
static uint32_t part_bytes(const struct nodes *nodes)
{
    bool small = nodes->plan.election_ms / nodes->plan.heartbeat_ms % 2;
    return !small ? 0 : nodes->world->plan.large ? PART_LARGE_BYTES : PART_BYTES;
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct journal *open_journal(struct node *node, struct log_error *error)
{
    struct nodes *nodes = node->nodes;
    const struct nodes_plan *plan = &nodes->plan;
    struct rng *rng = &nodes->world->rng;
    struct members founders = {0};
    for (int i = 1; i <= plan->founders; i++) {
        members_set(&founders, (uint64_t)i, MEMBER_VOTER);
    }
    struct journal_raft_options options = {
        .directory = "data",
        .core = node->manager.core,
        .bootstrap = {.hash_key = rng_next(rng), .incarnation = rng_next(rng) | 1},
        .body_max = plan->body_max,
        .now_ms = node->manager.now_ms,
        .applied = applied,
        .context = node,
        .node = (uint64_t)node->manager.node,
        .founders = node->joins ? NULL : &founders,
        .join = node->joins,
        .send = nodes_send,
        .election_ms = plan->election_ms,
        .heartbeat_ms = plan->heartbeat_ms,
        .seed = (uint32_t)rng_next(rng) | 1,
        .snapshot_bytes = plan->snapshot_bytes,
        .io = nodes_disk_io(node->disk),
        .segment_bytes = plan->segment_bytes,
        .part_bytes = part_bytes(nodes),
        .no_threads = true,
        .entry = nodes_applied};
    return journal_raft_open(&options, error);
}

/* Its machine's wall clock is wrong by some time, another one at each start. */
static void set_clock(struct node *node)
{
    struct net_world *world = node->manager.world;
    node->began_ms = world->now_ms;
    node->base_ms = world->now_ms + rng_between(&world->rng, 0, node->nodes->plan.skew_ms);
    node->manager.now_ms = node->manager.turned_ms = node->base_ms;
}

static void close_process(struct node *node)
{
    struct net_world *world = node->manager.world;
    gateway_destroy(&node->manager.gateway);
    core_destroy(&node->manager.core);
    node->life = NODE_DOWN;
    node->leads = false;
    node->wake_ms = node->stopped_ms = node->unread_ms = node->doom_ms = 0;
    node->restart_ms = world->now_ms + rng_between(&world->rng, 1, node->nodes->plan.down_ms);
    for (struct wire *wire = world->wires; wire; wire = wire->next) {
        if (wire->node == node->manager.node && !wire->gone) {
            wire_drop(world, wire);
        }
    }
    for (int i = 0; i <= NET_CLIENTS_MAX; i++) {
        struct client *client = &world->clients[i];
        if (client->wire && client->wire->node == node->manager.node) {
            client->wire = NULL;
            client->noticed = rng_chance(&world->rng, 80);
        }
    }
}

/* What stopped it must be something that was done to its disk. */
static void fell(struct node *node, const char *why)
{
    if (!nodes_disk_failed(node->disk)) {
        net_fail(node->manager.world, "node %d stopped: %s", node->manager.node, why);
    }
    net_note(node->manager.world, "fell", (uint64_t)node->manager.node, 0, 0);
    node_end(node, nodes_disk_dead(node->disk) ? DISK_POWER_OFF : DISK_KILLED);
}

void node_start(struct node *node)
{
    struct net_manager *manager = &node->manager;
    struct net_world *world = manager->world;
    struct log_error error;
    node->life = NODE_UP;
    node->lives++;
    set_clock(node);
    net_note(world, "start", (uint64_t)manager->node, node->lives, manager->now_ms);
    nodes_disk_time(node->disk, world->now_ms, 0);
    manager->core = core_new();
    manager->gateway = manager_gateway(
        manager, (struct gateway_host){
                     .submit = submit, .submitted = submitted, .leader_endpoint = leader_endpoint});
    manager->journal = open_journal(node, &error);
    node->wake_ms = world->now_ms;
    if (manager->journal == NULL && error.trouble == LOG_NO_ROOM && node->full_ms) {
        node_end(node, DISK_KILLED);
    } else if (manager->journal == NULL) {
        fell(node, error.text);
    } else {
        nodes_remembers(node);
    }
}

void node_end(struct node *node, enum disk_end how)
{
    net_note(node->manager.world, "end", (uint64_t)node->manager.node, how, 0);
    node->manager.world->counts.crashes++;
    if (node->manager.journal) {
        journal_raft_abandon(&node->manager.journal);
    }
    nodes_disk_end(node->disk, how);
    close_process(node);
}

void node_stop(struct node *node)
{
    net_note(node->manager.world, "stop", (uint64_t)node->manager.node, 0, 0);
    gateway_goodbye(node->manager.gateway, STW_EDRAINING, "the manager is shutting down");
    journal_destroy(&node->manager.journal);
    nodes_disk_end(node->disk, nodes_disk_dead(node->disk) ? DISK_POWER_OFF : DISK_KILLED);
    close_process(node);
}

struct node *nodes_leader(struct nodes *nodes)
{
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node->life == NODE_UP && node->leads && node->stopped_ms == 0) {
            return node;
        }
    }
    return NULL;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static void turn_role(struct node *node)
{
    struct net_manager *manager = &node->manager;
    bool leads = journal_ready(manager->journal);
    if (leads == node->leads) {
        return;
    }
    node->leads = leads;
    net_note(manager->world, leads ? "leads" : "follows", (uint64_t)manager->node, 0, 0);
    if (leads) {
        uint64_t time_ms = journal_time_ms(manager->journal);
        node->base_ms += time_ms > manager->now_ms ? time_ms - manager->now_ms : 0;
        manager->now_ms = manager->turned_ms = clock_ms(node);
        node->submitted = node->settled = 0;
        gateway_lead(manager->gateway, manager->now_ms);
    } else {
        gateway_follow(manager->gateway, manager->now_ms);
    }
}

static void turn_gap(struct node *node)
{
    struct net_manager *manager = &node->manager;
    uint64_t gap_ms = manager_gap(manager);
    if (gap_ms > 0 && node->leads) {
        struct command command = {.kind = COMMAND_CLOCK_GAP, .gap_ms = gap_ms};
        submit(node, &command);
        gateway_gap(manager->gateway, manager->now_ms, gap_ms);
    }
}

/* As the real one: less is read from clients while much waits for the disk. */
static void turn_clients(struct node *node)
{
    struct net_manager *manager = &node->manager;
    bool crowded = journal_backlog(manager->journal) > LIMIT_BACKLOG_BYTES;
    if (crowded) {
        node->unread_ms = node->unread_ms ? node->unread_ms : manager->now_ms;
        return;
    }
    if (node->unread_ms && manager->now_ms - node->unread_ms >= UNREAD_MIN_MS) {
        gateway_gap(manager->gateway, manager->now_ms, manager->now_ms - node->unread_ms);
    }
    node->unread_ms = 0;
    bool tight = journal_tight(manager->journal);
    manager->world->oracle.unordered |= tight;
    gateway_set_tight(manager->gateway, tight);
    manager_receive(manager);
}

static uint64_t core_due(const struct node *node)
{
    bool reads = node->leads && !journal_ticking(node->manager.journal);
    return reads ? core_deadline(node->manager.core) : NET_NEVER;
}

static uint64_t gateway_due(const struct node *node)
{
    return node->unread_ms ? NET_NEVER : gateway_deadline(node->manager.gateway);
}

static void turn_ticks(struct node *node)
{
    struct net_manager *manager = &node->manager;
    if (core_due(node) <= manager->now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        submit(node, &command);
    }
    if (gateway_due(node) <= manager->now_ms) {
        gateway_tick(manager->gateway, manager->now_ms);
    }
    if (journal_deadline(manager->journal) <= manager->now_ms) {
        journal_tick(manager->journal, manager->now_ms);
    }
}

/* Something happened: then the disk may have work, which the next turn asks after. */
static void turn_after(struct node *node, bool happened)
{
    struct net_world *world = node->manager.world;
    uint64_t calls = nodes_disk_calls(node->disk);
    happened |= calls != node->calls;
    node->calls = calls;
    node->wake_ms = happened ? world->now_ms + 1 : nodes_disk_due(node->disk);
    if (journal_failure(node->manager.journal) || nodes_disk_dead(node->disk)) {
        const char *why = journal_failure(node->manager.journal);
        fell(node, why ? why : "its disk died");
        return;
    }
    nodes_observe(node);
    if (++node->turns % CHECK_TURNS == 0) {
        nodes_compare(node);
    }
}

static uint64_t earliest(const struct node *node)
{
    const struct net_manager *manager = &node->manager;
    uint64_t now_ms = manager->world->now_ms, clock = clock_ms(node);
    uint64_t due = net_less(core_due(node), gateway_due(node));
    due = net_less(due, journal_deadline(manager->journal));
    if (due != NET_NEVER) { /* by its own clock */
        due = due > clock ? now_ms + (due - clock) : now_ms;
    }
    uint64_t clients = node->unread_ms ? NET_NEVER : manager_arrival(manager);
    return net_less(due, net_less(clients, nodes_arrival(node)));
}

void node_turn(struct node *node)
{
    struct net_manager *manager = &node->manager;
    bool happened = earliest(node) <= manager->world->now_ms;
    manager->now_ms = clock_ms(node);
    nodes_disk_time(node->disk, manager->world->now_ms, node->nodes->plan.disk_ms);
    turn_gap(node);
    nodes_deliver(node);
    turn_role(node);
    turn_clients(node);
    journal_process(manager->journal, manager->now_ms);
    turn_role(node);
    turn_ticks(node);
    turn_role(node);
    journal_flush(manager->journal, manager->now_ms);
    gateway_settled(manager->gateway, node->settled);
    gateway_flush(manager->gateway, manager->now_ms);
    turn_after(node, happened);
}

uint64_t node_next(const struct node *node)
{
    if (node->life != NODE_UP) {
        return node->life == NODE_DOWN ? node->restart_ms : NET_NEVER;
    }
    if (node->stopped_ms) {
        return node->stopped_ms;
    }
    uint64_t turned_ago_ms = clock_ms(node) - node->manager.turned_ms;
    uint64_t pulse = node->manager.world->now_ms + TURN_MS - turned_ago_ms;
    return net_less(net_less(node->wake_ms, pulse), earliest(node));
}
