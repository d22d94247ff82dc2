#!/bin/sh
# Branch coverage of broker/core by simulation A alone: the normal build and the one with tight
# limits, together.
# usage: coverage.sh [SEEDS] [STEPS]
#
# Left out, because only a programmer's error reaches them: the failing side of STEWARD_ASSERT, the
# insides of uthash's and utlist's macros, and queue_check.c, which consists of assertions.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seeds=${1:-300} steps=${2:-1000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -D_GNU_SOURCE -g -I$root"
tight="-include $root/tests/sim/tight_limits.h"

build() { # NAME FLAGS...
    mkdir "$work/$1"
    cd "$work/$1"
    shift
    for file in "$root"/broker/core/*.c; do
        gcc $flags -O0 --coverage "$@" -c "$file" -o "core_$(basename "$file" .c).o"
    done
    for file in "$root"/common/base/*.c "$root"/tests/sim/machine.c "$root"/tests/sim/model*.c \
        "$root"/tests/sim/plan*.c "$root"/tests/sim/program.c "$root"/tests/sim/shrink.c \
        "$root"/tests/sim/trace*.c "$root"/tests/sim/sim_core.c; do
        gcc $flags -O1 "$@" -c "$file" -o "sim_$(basename "$file" .c).o"
    done
    gcc --coverage ./*.o -o sim_core
}

build normal
build tight $tight
"$work/normal/sim_core" --seeds "$seeds" --steps "$steps"
"$work/tight/sim_core" --seeds "$seeds" --steps "$steps"
gcovr --root "$root" --filter "$root/broker/core/" --exclude '.*_check\.c' --branches \
    --exclude-lines-by-pattern '.*STEWARD_ASSERT.*' \
    --exclude-branches-by-pattern '.*(STEWARD_ASSERT|HASH_|DL_|LL_|CDL_).*' \
    --exclude-unreachable-branches "$work"
