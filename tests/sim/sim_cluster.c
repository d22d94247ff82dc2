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

int main(int argc, char **argv)
{
    /* logs take and give back large buffers at every start: not from the system each time */
    mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    const struct net_program program = {
        .title = "simulation B", .managers = &nodes_managers, .print = print};
    return net_main(&program, argc, argv);
}
