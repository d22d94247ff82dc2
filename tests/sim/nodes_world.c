/* Simulation B: the nodes of a seed, in the manager's place. See nodes.h. */
#include "tests/sim/nodes.h"

#include "common/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* milliseconds: founding a cluster and making the queues takes less, without faults */
#define SETUP_MS 30000

/* milliseconds: once the faults have ended, something is committed within this and so many election
 * timeouts, and all members have applied everything within this */
#define PROGRESS_MS        10000
#define PROGRESS_ELECTIONS 40

/* ---- founding -------------------------------------------------------------------------------- */

static void make_node(struct nodes *nodes, int number)
{
    struct node *node = &nodes->list[number];
    struct net_world *world = nodes->world;
    *node = (struct node){.manager = {.world = world, .node = number}, .nodes = nodes};
    node->disk = nodes_disk_new(rng_next(&world->rng));
    if (NODES_CANARY(NO_SYNC)) {
        nodes_disk_lie(node->disk);
    }
    bool founder = number <= nodes->plan.founders;
    if (founder || nodes->plan.every_ms[NODE_CHANGE]) { /* who founded it may be gone one day */
        size_t used = strlen(world->endpoints);
        snprintf(world->endpoints + used, sizeof world->endpoints - used, "%ssim://%d",
                 used ? "," : "", number);
    }
    if (founder) {
        node_start(node);
    }
}

/* The first leader makes the queues; if it does not last the next one makes what is missing. */
static void setup(struct nodes *nodes)
{
    struct net_world *world = nodes->world;
    uint64_t until_ms = world->now_ms + SETUP_MS, asked = 0;
    while (!nodes->history.setup) {
        struct node *leader = nodes_leader(nodes);
        struct command command;
        for (uint64_t step = 0; leader && !asked && manager_setup(step, 1, &command); step++) {
            node_submit(leader, &command);
        }
        asked |= leader != NULL;
        net_run_until(world, world->now_ms + 1);
        if (world->now_ms > until_ms) {
            net_fail(world, "no leader, without faults");
        }
    }
}

static void nodes_open(struct net_world *world)
{
    struct nodes *nodes = mem_zalloc(1, sizeof *nodes);
    nodes->world = world;
    world->managed = nodes;
    nodes_plan_draw(nodes);
    world->nodes = nodes->plan.founders;
    for (int i = 0; i < NODE_FAULTS; i++) {
        nodes->due_ms[i] = NET_NEVER;
    }
    for (int i = 0; i < FAULT_COUNT; i++) {
        world->due_ms[i] = NET_NEVER;
    }
    nodes_history_open(nodes);
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        make_node(nodes, i);
    }
    setup(nodes);
    world->counts = (struct net_counts){0};
    nodes_faults_start(nodes);
}

/* What the nodes say of themselves, before a failure is reported. */
static void describe(const struct nodes *nodes)
{
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        const struct node *node = &nodes->list[i];
        struct raft_status status;
        if (node->life != NODE_UP) {
            fprintf(stderr, "node %d is %s\n", i, node->life == NODE_DOWN ? "down" : "not there");
            continue;
        }
        journal_raft_status(node->manager.journal, &status);
        fprintf(stderr,
                "node %d: role %d term %" PRIu64 " leader %" PRIu64 " log %" PRIu64 "-%" PRIu64
                " commit %" PRIu64 " applied %" PRIu64 " snapshot %" PRIu64 "%s%s, members",
                i, (int)status.role, status.term, status.leader, status.first, status.last,
                status.commit, status.applied, status.snapshot_index,
                status.installing ? " installing" : "", status.tight ? " tight" : "");
        for (size_t n = 0; n < status.peers_count; n++) {
            fprintf(stderr, " %" PRIu64 "%s(%" PRIu64 ")", status.peers[n].id,
                    status.peers[n].voter ? "" : "s", status.peers[n].match);
        }
        fprintf(stderr, "; dropped %" PRIu64 ": %s\n", status.dropped,
                status.dropped_why ? status.dropped_why : "");
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Somebody takes commands, and all that there are is committed: nobody has anything to say. */
static bool idle(struct nodes *nodes)
{
    struct node *leader = nodes_leader(nodes);
    struct raft_status status;
    if (leader == NULL) {
        return false;
    }
    journal_raft_status(leader->manager.journal, &status);
    return status.applied == status.last;
}

static void watch_progress(struct nodes *nodes)
{
    uint64_t patience = PROGRESS_MS + PROGRESS_ELECTIONS * (uint64_t)nodes->plan.election_ms;
    if (nodes->healed_ms && !nodes->progressed &&
        nodes->world->now_ms > nodes->healed_ms + patience && !idle(nodes)) {
        describe(nodes);
        net_fail(nodes->world, "nothing is committed, %d ms after the last fault", (int)patience);
    }
}

static void nodes_step(struct net_world *world)
{
    struct nodes *nodes = nodes_of(world);
    nodes_faults_step(nodes);
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node_next(node) > world->now_ms) {
            continue;
        }
        if (node->life == NODE_DOWN) {
            node_start(node);
        } else {
            node->stopped_ms = 0;
            node_turn(node);
        }
    }
    watch_progress(nodes);
}

static uint64_t nodes_next(const struct net_world *world)
{
    const struct nodes *nodes = nodes_of(world);
    uint64_t next = nodes_faults_next(nodes);
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        next = net_less(next, node_next(&nodes->list[i]));
    }
    return next;
}

static void nodes_halt(struct net_world *world, uint64_t for_ms)
{
    (void)world;
    (void)for_ms; /* NODE_PAUSE does that to one of them */
}

static void nodes_healed(struct net_world *world)
{
    nodes_heal(nodes_of(world));
}

static void nodes_check(struct net_world *world)
{
    core_check(nodes_of(world)->history.core);
}

static bool nodes_up(const struct net_world *world, int number)
{
    return nodes_of(world)->list[number].life == NODE_UP;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* true: all voters have applied what is committed; then their states are compared. */
static bool converged(struct nodes *nodes)
{
    struct node *leader = nodes_leader(nodes);
    struct raft_status status;
    if (leader == NULL) {
        return false;
    }
    journal_raft_status(leader->manager.journal, &status);
    for (size_t i = 0; i < status.peers_count; i++) {
        const struct node *node = &nodes->list[status.peers[i].id];
        if (!status.peers[i].voter) {
            continue; /* a spare gets entries when it is to be promoted */
        }
        if (node->life != NODE_UP ||
            journal_raft_mark(node->manager.journal).index != nodes->history.index) {
            return false;
        }
    }
    for (size_t i = 0; i < status.peers_count; i++) {
        nodes_compare(&nodes->list[status.peers[i].id]);
    }
    return true;
}

static void finish(struct nodes *nodes)
{
    struct net_world *world = nodes->world;
    uint64_t until_ms = world->now_ms + PROGRESS_MS;
    while (!converged(nodes)) {
        net_run_until(world, world->now_ms + 1);
        if (world->now_ms > until_ms) {
            describe(nodes);
            net_fail(world, "some nodes do not catch up, %d ms after the last fault", PROGRESS_MS);
        }
    }
    nodes_compare(nodes_leader(nodes));
    world->counts.simulated_ms += world->now_ms - 1000000;
}

static void nodes_close(struct net_world *world)
{
    struct nodes *nodes = nodes_of(world);
    finish(nodes);
    world->hash = net_hash(world->hash, nodes->history.right.data, nodes->history.right.size);
    for (int i = 1; i <= NET_NODES_MAX; i++) {
        struct node *node = &nodes->list[i];
        if (node->life == NODE_UP) {
            node_stop(node);
        }
        nodes_disk_free(&node->disk);
    }
    nodes_packets_free(nodes);
    nodes_history_close(nodes);
    free(nodes);
}

const struct net_managers nodes_managers = {.program = "sim_cluster",
                                            .open = nodes_open,
                                            .close = nodes_close,
                                            .step = nodes_step,
                                            .next = nodes_next,
                                            .stop = nodes_halt,
                                            .heal = nodes_healed,
                                            .check = nodes_check,
                                            .up = nodes_up};
