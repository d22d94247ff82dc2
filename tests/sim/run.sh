#!/bin/sh
# Simulation A in full: at least 1,000 seeds and 1,000,000 commands, the same with tight limits,
# then every canary; then the consensus adapter alone, 30,000 seeds and its canaries; then clusters
# with their clients, 10,000 seeds and their canaries.
# usage: run.sh [--build DIR] [--seeds N] [--steps N]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build seeds=3000 steps=1000
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 ;;
    --seeds) seeds=$2 ;;
    --steps) steps=$2 ;;
    *)
        echo "usage: run.sh [--build DIR] [--seeds N] [--steps N]" >&2
        exit 2
        ;;
    esac
    shift 2
done
"$build/tests/sim_core" --seeds "$seeds" --steps "$steps"
"$build/tests/sim_core_tight" --seeds "$seeds" --steps "$steps"
"$build/tests/sim_core_canary" --canaries --seeds 250 --steps "$steps"
"$build/tests/sim_network" --seeds 5000
"$build/tests/sim_network_canary" --canaries --seeds 1000
"$build/tests/sim_consensus" --seeds 30000
"$build/tests/sim_consensus_canary" --canaries --seeds 6000
"$build/tests/sim_cluster" --seeds 10000
"$build/tests/sim_cluster_canary" --canaries --seeds 1000
