#!/bin/bash
# Steward in containers, with a real engine. `./dev docker` calls it.
#
#   docker.sh build     builds both images, says their sizes, lists the packages in them
#   docker.sh demo      compose.yml: two producers, two consumers, and checks what came out
#   docker.sh cluster   compose.cluster.yml: three nodes; kills the one that leads, under load
#   docker.sh test      all three
#   docker.sh key       makes the cluster's key, docker/secrets/cluster.key, unless it is there
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/.." && pwd)
# shellcheck source=docker/engine.sh
. "$here/engine.sh"

image_bytes_max=120000000
# of this run alone: it is taken down with its volumes, which must be nobody else's
export COMPOSE_PROJECT_NAME=steward-try-$$
export STEWARD_MANAGER_IMAGE=steward-manager STEWARD_TOOLS_IMAGE=steward-tools
project=
work= # what a run writes down; gone with it

finish() {
    local status=$?
    set +e
    [ -z "$project" ] || project_down
    [ -z "$work" ] || rm -rf "$work"
    engine_stop
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- images ------------------------------------------------------------------------------------

image_build() {
    local target=$1 image=steward-$1 bytes proxy=() name log
    for name in http_proxy https_proxy no_proxy; do
        [ -z "${!name:-}" ] || proxy+=(--build-arg "$name=${!name}")
    done
    # our own engine has no bridge yet; the usual one needs no help
    [ -z "$engine_own" ] || proxy+=(--network host --pull=false)
    log=$source/build-docker/$target.log
    mkdir -p "${log%/*}"
    docker build "${proxy[@]}" -f "$here/Dockerfile" --target "$target" -t "$image" "$source" \
        >"$log" 2>&1 || {
        tail -n 40 "$log"
        fail "building $image failed: ${log#"$source/"}"
    }
    bytes=$(docker image inspect "$image" --format '{{.Size}}')
    say "$image: $((bytes / 1000000)) MB"
    [ "$bytes" -le $image_bytes_max ] || fail "$image is larger than $image_bytes_max bytes"
}

images_build() {
    local started=$SECONDS list=$source/build-docker/packages.txt
    image_build manager
    image_build tools
    docker run --rm --network none --entrypoint cat steward-manager \
        /usr/share/doc/steward/packages.txt >"$list" || fail "the image does not list its packages"
    say "$(wc -l <"$list") packages are in it: ${list#"$source/"}"
    say "built in $((SECONDS - started)) s"
}

images_need() {
    docker image inspect steward-manager steward-tools >/dev/null 2>&1 || images_build
}

# ---- projects ----------------------------------------------------------------------------------

project_compose() { compose -f "$here/$project" "$@"; }

project_up() {
    project_compose up -d --no-build >"$1/up" 2>&1 || { cat "$1/up"; fail "compose up failed"; }
}

# compose 1.29 ends with an error when a container went away while it looked: the second time works
project_down() {
    project_compose down -v -t 30 >/dev/null 2>&1 || project_compose down -v -t 30 >/dev/null 2>&1
    project=
}

# container SERVICE: its id
container() { project_compose ps -a -q "$1" 2>/dev/null || project_compose ps -q "$1"; }

# output SERVICE: what it printed on stdout
output() { docker logs "$(container "$1")" 2>/dev/null; }

# ---- demo --------------------------------------------------------------------------------------

demo() {
    local started=$SECONDS service status
    images_need
    work=$(mktemp -d)
    project=compose.yml
    project_up "$work"
    for service in producer1 producer2 consumer1 consumer2; do
        status=$(timeout 120 "${engine_docker:-docker}" wait "$(container $service)")
        [ "$status" = 0 ] || fail "$service ended: $status $(docker logs "$(container $service)")"
    done
    { output consumer1; output consumer2; } | sort >"$work/got"
    # shellcheck disable=SC2016 # for the container's shell
    docker run --rm --network none --entrypoint sh steward-tools -c \
        'for _ in 1 2; do tr -cs A-Za-z "\n" </usr/share/common-licenses/GPL-3 | grep .; done' |
        sort >"$work/wanted"
    [ -s "$work/wanted" ] && cmp -s "$work/got" "$work/wanted" ||
        fail "consumers got $(wc -l <"$work/got") words of $(wc -l <"$work/wanted"), or others"
    say "demo: $(wc -l <"$work/got") words put by two producers, each got once by two consumers" \
        "($(output consumer1 | wc -l) and $(output consumer2 | wc -l))"
    drains
    project_down
    rm -rf "$work"
    work=
    say "demo: $((SECONDS - started)) s"
}

# drains: SIGTERM, which `docker stop` sends, ends the manager well, and the volume keeps its items
drains() {
    local id left
    id=$(container manager)
    docker exec -e STEWARD_ENDPOINT=tcp://127.0.0.1:5757 "$id" steward put kept item ||
        fail "the manager does not answer"
    docker stop -t 30 "$id" >/dev/null
    [ "$(docker inspect "$id" --format '{{.State.ExitCode}}')" = 0 ] ||
        fail "the manager did not leave with 0: $(docker logs --tail 5 "$id" 2>&1)"
    docker start "$id" >/dev/null
    left=$(docker exec -e STEWARD_ENDPOINT=tcp://127.0.0.1:5757 "$id" steward get kept --timeout 10)
    [ "$left" = item ] || fail "what was put before a restart is gone"
    say "demo: docker stop drains (status 0); after docker start everything is there"
}

# ---- cluster -----------------------------------------------------------------------------------

key_make() {
    local secrets=$here/secrets
    [ -s "$secrets/cluster.key" ] && return
    images_need
    mkdir -p "$secrets" && chmod 0700 "$secrets"
    # the manager's user in the container must be able to read it, and nobody else
    docker run --rm --network none --user 0 --entrypoint sh -v "$secrets:/secrets" steward-manager \
        -c 'stewardd keygen /secrets/cluster.key && chown 10001:10001 /secrets/cluster.key' ||
        fail "cannot make the cluster's key"
}

tools() { docker exec -i "$(container tools)" "$@"; }

# leader: the id of the node that leads, "" when nobody knows
leader() {
    tools timeout 5 steward cluster status 2>/dev/null | sed -n 's/^node \([0-9]*\) leads.*/\1/p'
}

wait_leader() {
    local other=${1:-none} now
    for _ in $(seq 300); do
        now=$(leader)
        [ -n "$now" ] && [ "$now" != 0 ] && [ "$now" != "$other" ] && { echo "$now"; return; }
        sleep 0.1
    done
    return 1
}

# load SECONDS: puts numbers, one confirmed put each, with the time of each confirmation
load() {
    # shellcheck disable=SC2016 # for the container's shell
    tools sh -c 'i=0; end=$(($(date +%s) + '"$1"')); while [ "$(date +%s)" -lt $end ]; do
        i=$((i + 1)); steward put numbers $i --timeout 30 >/dev/null || exit 1
        echo "$(date +%s%N) $i"; done'
}

cluster_up() {
    local work=$1
    STEWARD_FOUND=--bootstrap project_up "$work"
    wait_leader >/dev/null || { nodes_logs; fail "no node leads"; }
    STEWARD_FOUND='' project_up "$work"
    wait_leader >/dev/null || { nodes_logs; fail "no node leads after the founding"; }
}

nodes_logs() {
    local node
    for node in node1 node2 node3; do
        docker logs --tail 30 "$(container $node)" 2>&1 | sed "s/^/$node: /"
    done
}

cluster() {
    local started=$SECONDS first next pid killed
    images_need
    key_make
    work=$(mktemp -d)
    project=compose.cluster.yml
    cluster_up "$work"
    first=$(wait_leader)
    say "cluster: three nodes, node $first leads"
    load 20 >"$work/confirmed" &
    pid=$!
    for _ in $(seq 200); do [ "$(wc -l <"$work/confirmed")" -ge 20 ] && break; sleep 0.1; done
    killed=$(date +%s%N)
    docker kill -s KILL "$(container "node$first")" >/dev/null
    wait $pid || { nodes_logs; fail "the producer failed"; }
    next=$(wait_leader "$first") || { nodes_logs; fail "nobody took over"; }
    cluster_check "$work" "$killed"
    say "cluster: killed node $first, node $next took over;" \
        "longest time without a confirmed put: $(gap "$work/confirmed") ms"
    docker start "$(container "node$first")" >/dev/null
    wait_alive "$first" || { nodes_logs; fail "node $first did not come back"; }
    say "cluster: node $first is back"
    project_down
    rm -rf "$work"
    work=
    say "cluster: $((SECONDS - started)) s"
}

# cluster_check WORK KILLED: puts went on after that time, and every confirmed one is there once
cluster_check() {
    local after count
    count=$(wc -l <"$1/confirmed")
    after=$(awk -v killed="$2" '$1 > killed { n++ } END { print n + 0 }' "$1/confirmed")
    [ "$after" -gt 0 ] || fail "nothing was put after the kill"
    tools steward get numbers --all --timeout 5 | sort -n >"$1/got"
    seq "$count" | cmp -s - "$1/got" || {
        seq "$count" | diff - "$1/got" | head -n 20
        fail "what was confirmed and what is there differ"
    }
    say "cluster: $count puts confirmed, $after of them after the kill: 0 lost, 0 twice"
}

# wait_alive NODE: the others see it again, and it has all they have
wait_alive() {
    for _ in $(seq 300); do
        tools timeout 5 steward cluster status 2>/dev/null |
            awk -v node="$1" '$1 == node && $4 == 1 { found = 1 } END { exit !found }' && return
        sleep 0.1
    done
    return 1
}

# gap FILE: the longest time between two confirmations, milliseconds
gap() { awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 }
             END { printf "%d", most / 1000000 }' "$1"; }

# ---- commands ----------------------------------------------------------------------------------

command=${1:-help}
case $command in
build | demo | cluster | test | key) engine_start ;;
*) fail "say build, demo, cluster, test or key" ;;
esac
case $command in
build) images_build ;;
key) key_make ;;
demo) images_need && engine_enclose && demo ;;
cluster) images_need && engine_enclose && cluster ;;
test) images_build && engine_enclose && demo && cluster ;;
esac
