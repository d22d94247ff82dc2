/* Simulation B: what a seed's nodes are like, and what goes wrong with them. See nodes.h. */
#include "tests/sim/nodes.h"

/* bytes: the log's files, as small as they can be; and for bodies of LIMIT_BODY_FRAME_BYTES, or a
 * log that is never trimmed */
#define SEGMENT_BYTES       LIMIT_LOG_SEGMENT_MIN_BYTES
#define SEGMENT_LARGE_BYTES (1024 * 1024)

/* count: clients; there are nodes to see to as well */
#define CLIENTS_MAX 6

/* Nothing goes wrong: then no leader changes, and nobody is disturbed. */
static void plan_calm(struct nodes *nodes)
{
    struct nodes_plan *plan = &nodes->plan;
    plan->loss = plan->twice = plan->late = 0;
    plan->delay_ms = net_less(plan->delay_ms, 10);
    plan->disk_ms = net_less(plan->disk_ms, 10);
    for (int i = 0; i < NODE_FAULTS; i++) {
        plan->every_ms[i] = i == NODE_SNAPSHOT ? plan->every_ms[i] : 0;
    }
}

void nodes_plan_draw(struct nodes *nodes)
{
    struct net_world *world = nodes->world;
    struct rng *rng = &world->rng;
    struct nodes_plan *plan = &nodes->plan;
    static const int founders[] = {1, 1, 3, 3, 3, 3, 3, 5};
    static const uint32_t heartbeats[] = {30, 50, 100, 250};
    static const uint64_t delays[] = {0, 2, 10, 40};
    static const uint64_t latencies[] = {0, 1, 3, 10, 80};
    world->plan.large &= rng_chance(rng, 30); /* each node keeps all bodies, and its log, too */
    world->plan.clients = (int)net_less((uint64_t)world->plan.clients, CLIENTS_MAX);
    world->plan.faults_ms = rng_between(rng, 3000, 15000);
    plan->founders = founders[rng_below(rng, 8)];
    plan->heartbeat_ms = heartbeats[rng_below(rng, 4)];
    plan->election_ms = plan->heartbeat_ms * (uint32_t)rng_between(rng, 4, 8);
    plan->delay_ms = net_less(delays[rng_below(rng, 4)], plan->heartbeat_ms);
    plan->disk_ms = net_less(latencies[rng_below(rng, 5)], plan->heartbeat_ms);
    plan->loss = rng_chance(rng, 40) ? rng_between(rng, 1, 20) : 0;
    plan->twice = rng_chance(rng, 40) ? rng_between(rng, 1, 20) : 0;
    plan->late = rng_chance(rng, 40) ? rng_between(rng, 1, 20) : 0;
    plan->skew_ms = rng_chance(rng, 40) ? rng_between(rng, 1, 60000) : 0;
    plan->snapshot_bytes = rng_chance(rng, 70) ? rng_between(rng, 500, 20000) : 0;
    bool large = world->plan.large || plan->snapshot_bytes == 0;
    plan->segment_bytes = large ? SEGMENT_LARGE_BYTES : SEGMENT_BYTES;
    plan->body_max = world->plan.large ? LIMIT_BODY_FRAME_BYTES + 1024 : 4096;
    static const uint64_t downs[] = {50, 1000, 4000, 12000};
    plan->down_ms = downs[rng_below(rng, 4)];
    uint64_t storm = rng_chance(rng, 30) ? 5 : 1;
    for (int i = 0; i < NODE_FAULTS; i++) {
        plan->every_ms[i] =
            rng_chance(rng, i == NODE_CHANGE ? 70 : 40) ? rng_between(rng, 1000, 10000) / storm : 0;
    }
    if (world->plan.calm) {
        plan_calm(nodes);
    }
    world->plan.every_ms[FAULT_MANAGER] = 0; /* NODE_PAUSE is that */
}

static void schedule(struct nodes *nodes, int fault)
{
    uint64_t every = nodes->plan.every_ms[fault];
    struct net_world *world = nodes->world;
    nodes->due_ms[fault] = every == 0 || !nodes->faults
                               ? NET_NEVER
                               : world->now_ms + rng_between(&world->rng, 1, 2 * every);
}

void nodes_faults_start(struct nodes *nodes)
{
    nodes->faults = true;
    for (int i = 0; i < NODE_FAULTS; i++) {
        schedule(nodes, i);
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* One that runs, more often than not the leader; NULL: the one drawn does not. */
static struct node *draw(struct nodes *nodes)
{
    struct rng *rng = &nodes->world->rng;
    struct node *leader = nodes_leader(nodes);
    if (leader && rng_chance(rng, 50)) {
        return leader;
    }
    struct node *node = &nodes->list[rng_between(rng, 1, NET_NODES_MAX)];
    return node->life == NODE_UP ? node : NULL;
}

static void blackout(struct nodes *nodes)
{
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        if (nodes->list[i].life == NODE_UP) {
            node_end(&nodes->list[i], DISK_POWER_OFF);
        }
    }
}

/* Some on one side, the others on the other; each way is cut, or only one. */
static void cut(struct nodes *nodes)
{
    struct net_world *world = nodes->world;
    struct rng *rng = &world->rng;
    uint64_t side = rng_next(rng);
    bool there = rng_chance(rng, 80), back = !there || rng_chance(rng, 60);
    for (int from = 1; from <= NET_NODES_MAX; from++) {
        for (int to = 1; to <= NET_NODES_MAX; to++) {
            bool a = side >> from & 1, b = side >> to & 1;
            nodes->cut[from][to] = (a && !b && there) || (!a && b && back);
        }
    }
    nodes->cut_ms = world->now_ms + rng_between(rng, 100, 8000);
}

static void mend(struct nodes *nodes)
{
    memset(nodes->cut, 0, sizeof nodes->cut);
    nodes->cut_ms = 0;
}

static void fill(struct node *node)
{
    struct net_world *world = node->manager.world;
    nodes_disk_limit(node->disk, rng_below(&world->rng, 2 * 1024 * 1024));
    node->full_ms = world->now_ms + rng_between(&world->rng, 500, 8000);
}

static void make_room(struct node *node)
{
    nodes_disk_limit(node->disk, UINT64_MAX);
    node->full_ms = 0;
}

static void add_node(struct nodes *nodes, struct node *leader)
{
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node->life == NODE_ABSENT) {
            node->joins = true;
            nodes->world->nodes = i > nodes->world->nodes ? i : nodes->world->nodes;
            node_start(node);
            (void)journal_raft_change(leader->manager.journal, leader->manager.now_ms,
                                      RAFT_CHANGE_ADD, (uint64_t)i);
            return;
        }
    }
}

/* The next step of some member's life: one that was begun is gone on with. */
static void change_members(struct nodes *nodes)
{
    struct node *leader = nodes_leader(nodes);
    struct rng *rng = &nodes->world->rng;
    struct raft_status status;
    if (leader == NULL) {
        return;
    }
    struct journal *journal = leader->manager.journal;
    journal_raft_status(journal, &status);
    uint64_t voters = 0;
    for (size_t i = 0; i < status.peers_count; i++) {
        voters += status.peers[i].voter;
        if (!status.peers[i].voter && rng_chance(rng, 80)) {
            (void)journal_raft_change(journal, leader->manager.now_ms, RAFT_CHANGE_PROMOTE,
                                      status.peers[i].id);
            return;
        }
    }
    if (voters >= 5 || (voters > 1 && rng_chance(rng, 40))) {
        (void)journal_raft_change(journal, leader->manager.now_ms, RAFT_CHANGE_REMOVE,
                                  status.peers[rng_below(rng, status.peers_count)].id);
    } else {
        add_node(nodes, leader);
    }
}

static void transfer(struct nodes *nodes)
{
    struct node *leader = nodes_leader(nodes);
    if (leader) {
        uint64_t to = rng_below(&nodes->world->rng, (uint64_t)nodes->world->nodes + 1);
        nodes->world->counts.transfers++;
        (void)journal_raft_change(leader->manager.journal, leader->manager.now_ms,
                                  RAFT_CHANGE_TRANSFER, to);
    }
}

static void strike_node(struct nodes *nodes, struct node *node, enum node_fault fault)
{
    struct net_world *world = nodes->world;
    struct rng *rng = &world->rng;
    switch (fault) {
    case NODE_KILL: node_end(node, DISK_KILLED); break;
    case NODE_POWER: node_end(node, DISK_POWER_OFF); break;
    case NODE_TORN: nodes_disk_fail(node->disk, rng_between(rng, 1, 20), true); break;
    case NODE_EIO: nodes_disk_fail(node->disk, rng_between(rng, 1, 20), false); break;
    case NODE_STOP: node_stop(node); break;
    case NODE_PAUSE:
        node->stopped_ms = world->now_ms + rng_between(rng, 10, rng_chance(rng, 50) ? 1000 : 15000);
        break;
    case NODE_FULL: fill(node); break;
    case NODE_SNAPSHOT:
        (void)journal_raft_snapshot_now(node->manager.journal, node->manager.now_ms);
        node->wake_ms = world->now_ms;
        break;
    default: break;
    }
}

static void strike(struct nodes *nodes, enum node_fault fault)
{
    net_note(nodes->world, "strike", fault, 0, 0);
    switch (fault) {
    case NODE_BLACKOUT: blackout(nodes); return;
    case NODE_CUT: cut(nodes); return;
    case NODE_TRANSFER: transfer(nodes); return;
    case NODE_CHANGE: change_members(nodes); return;
    default: break;
    }
    struct node *node = draw(nodes);
    if (node && node->stopped_ms == 0) {
        strike_node(nodes, node, fault);
    }
}

void nodes_faults_step(struct nodes *nodes)
{
    uint64_t now_ms = nodes->world->now_ms;
    for (int i = 0; i < NODE_FAULTS; i++) {
        if (nodes->due_ms[i] <= now_ms) {
            strike(nodes, (enum node_fault)i);
            schedule(nodes, i);
        }
    }
    if (nodes->cut_ms && nodes->cut_ms <= now_ms) {
        mend(nodes);
    }
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node->full_ms && node->full_ms <= now_ms) {
            make_room(node);
        }
        if (node->life == NODE_UP && node->doom_ms && node->doom_ms <= now_ms) {
            node_end(node, DISK_POWER_OFF);
        }
    }
}

uint64_t nodes_faults_next(const struct nodes *nodes)
{
    uint64_t next = nodes->cut_ms ? nodes->cut_ms : NET_NEVER;
    for (int i = 0; i < NODE_FAULTS; i++) {
        next = net_less(next, nodes->due_ms[i]);
    }
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        uint64_t full_ms = nodes->list[i].full_ms, doom_ms = nodes->list[i].doom_ms;
        next = net_less(next, full_ms ? full_ms : NET_NEVER);
        next = net_less(next, doom_ms ? doom_ms : NET_NEVER);
    }
    return next;
}

void nodes_heal(struct nodes *nodes)
{
    struct net_world *world = nodes->world;
    nodes->faults = false;
    nodes->healed_ms = world->now_ms;
    for (int i = 0; i < NODE_FAULTS; i++) {
        nodes->due_ms[i] = NET_NEVER;
    }
    mend(nodes);
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node->life == NODE_ABSENT) {
            continue;
        }
        make_room(node);
        nodes_disk_fail(node->disk, 0, false);
        node->doom_ms = 0;
        node->stopped_ms = 0;
        if (node->life == NODE_DOWN) {
            node->restart_ms = world->now_ms + rng_between(&world->rng, 0, 500);
        }
    }
}
