/*
 * Simulation B: several nodes (gateway, durable journal, core), their disks and network, and many
 * client connections. See nodes.h.
 *
 *     sim_cluster [--seeds N] [--from SEED] [--jobs N]    run N seeds; some twice, to compare
 *     sim_cluster --seed S                                replay one, showing everything
 *     sim_cluster --canaries [...]                        find each deliberate bug
 *
 * Exit status: 0 nothing found (with --canaries: all found), 1 otherwise, 2 usage.
 * docs/simulation.md says how to read a failure.
 */
#include "broker/core/canary.h"
#include "broker/journal/canary.h"
#include "broker/journal/consensus_guard.h"
#include "common/wire/canary.h"
#include "tests/sim/net_campaign.h"
#include "tests/sim/nodes.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>

static void print(const struct net_counts *c, double seconds)
{
    double simulated = (double)c->simulated_ms / 1000;
    printf("nodes: ends %" PRIu64 ", elections %" PRIu64 ", transfers %" PRIu64 ", changes %" PRIu64
           ", snapshots %" PRIu64 ", installs %" PRIu64 "; messages %" PRIu64 ", entries %" PRIu64
           ", commands %" PRIu64 ", states compared %" PRIu64 "\n",
           c->crashes, c->elections, c->transfers, c->changes, c->snapshots, c->installs,
           c->messages, c->entries, c->commands, c->compared);
    printf("%.0f simulated seconds, %.0f in each real one\n", simulated, simulated / seconds);
}

#ifdef STEWARD_CANARIES
int core_canary, net_canary, journal_canary, nodes_canary;

#define JOURNAL_BUG(name, text) {text, &journal_canary, JOURNAL_CANARY_##name},
#define GUARD_BUG(name, text)   {"guard off: " text, &consensus_guard_off, GUARD_##name},

/* Of the core and the gateway only what happens to nodes; the others are hunted by simulations A
 * and A2. All guards can be switched off by --bug; the last ones are hunted by sim_consensus and
 * test_consensus_canary, because hardly a seed finds them here. */
static const struct net_bug bugs[] = {
    JOURNAL_CANARY_TABLE(JOURNAL_BUG){"nothing is synced", &nodes_canary, NODES_CANARY_NO_SYNC},
    {"what answers carry is not in the snapshot", &core_canary, CANARY_ANSWERS_UNSAVED},
    {"tokens begin again after a snapshot was loaded", &core_canary, CANARY_TOKENS_RESET},
    {"a new leader gives nobody the full time again", &core_canary, CANARY_LEADER_IMPATIENT},
    {"sessions have only their grace time when another node leads", &net_canary,
     NET_CANARY_LEAD_SHORT},
    {"a packet is confirmed before what it said is applied", &net_canary, NET_CANARY_SEEN_EARLY},
    {"guard off: a single voter leads without a new term", &consensus_guard_off, GUARD_NEW_TERM},
    GUARD_TABLE(GUARD_BUG)};

/* count: those of the table that are hunted here */
enum { HUNTED = sizeof bugs / sizeof bugs[0] - (GUARD_END - 1) };
#endif

int main(int argc, char **argv)
{
    /* logs take and give back large buffers at every start: not from the system each time */
    mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    const struct net_program program = {
        .title = "simulation B",
        .managers = &nodes_managers,
        .print = print,
#ifdef STEWARD_CANARIES
        .bugs = bugs,
        .bugs_count = sizeof bugs / sizeof bugs[0],
        .bugs_hunted = HUNTED,
#endif
    };
    return net_main(&program, argc, argv);
}
