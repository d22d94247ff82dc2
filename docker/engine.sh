#!/bin/bash
# A container engine for docker.sh, which sources this file. On a machine where Docker runs, that
# one is used. Else, as root on Debian, one of our own is started, and gone with us: its images and
# containers below one directory, its networks in a network namespace without a way out.
# STW_DOCKER_DIR: keep the images there, for the next time.
#
#   engine_start     sets DOCKER_HOST if need be and makes sure that debian:bookworm-slim is there
#   engine_enclose   before containers run: an own engine moves into its namespace
#   engine_stop      ends what was started here

engine_own=      # 1: this script started it
engine_pid=
engine_dir=
engine_namespace=steward-docker-$$
engine_base=${STW_DOCKER_BASE:-/var/tmp/steward-debian-bookworm-slim.tar}

say() { printf 'docker: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# docker, by the engine's own command where two of them are there
docker() { command "${engine_docker:-docker}" "$@"; }

compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose "$@"
    else
        docker-compose "$@"
    fi
}

engine_start() {
    if timeout 20 docker version >/dev/null 2>&1; then
        say "using the engine at ${DOCKER_HOST:-its usual socket}"
        return
    fi
    [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers; as root this script starts one"
    engine_packages
    engine_own=1
    engine_docker=/usr/bin/docker
    engine_dir=${STW_DOCKER_DIR:-$(mktemp -d /var/tmp/steward-docker.XXXXXX)}
    mkdir -p "$engine_dir"
    export DOCKER_HOST=unix://$engine_dir/socket
    unset DOCKER_CONTEXT
    engine_make_base
    say "starting an engine of our own in $engine_dir"
    # first on the host's network, for apt in builds; the host's rules and forwarding are left alone
    engine_run env -- --iptables=false --ip6tables=false --ip-forward=false
    docker import "$engine_base" debian:bookworm-slim >/dev/null
}

engine_packages() {
    local missing=() name
    for name in mmdebstrap docker.io docker-compose iproute2; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    { apt-get -q -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"; } >/dev/null ||
        fail "cannot install ${missing[*]}"
}

# engine_run PREFIX... -- OPTION...: dockerd with a root of its own; waits until it answers
engine_run() {
    local prefix=()
    while [ "$1" != -- ]; do prefix+=("$1") && shift; done
    shift
    "${prefix[@]}" /usr/sbin/dockerd --bridge=none "$@" --host "$DOCKER_HOST" \
        --default-address-pool base=10.213.0.0/16,size=24 --data-root "$engine_dir/data" \
        --exec-root "$engine_dir/exec" --pidfile "$engine_dir/pid" >>"$engine_dir/log" 2>&1 &
    engine_pid=$!
    for _ in $(seq 240); do
        docker version >/dev/null 2>&1 && return
        kill -0 $engine_pid 2>/dev/null || break
        sleep 0.25
    done
    tail -n 20 "$engine_dir/log" >&2
    fail "the engine did not start"
}

# engine_make_base: debian:bookworm-slim from Debian's mirror, kept between runs
engine_make_base() {
    local slim=() name machine=$engine_dir/99machine clean=$engine_dir/docker-clean
    # /var/tmp is everybody's: root runs nothing that another user laid there
    [ -s "$engine_base" ] && [ -O "$engine_base" ] && [ ! -L "$engine_base" ] && return
    rm -f "$engine_base"
    say "making debian:bookworm-slim"
    for name in doc man locale info groff lintian linda; do
        slim+=("--dpkgopt=path-exclude=/usr/share/$name/*")
    done
    # this machine's own way to its mirror: a proxy, leniency about clocks
    apt-config dump | grep -E '^Acquire::(https?::|Check-)' >"$machine" || true
    # as in Docker's own Debian images: what apt downloads does not stay in a layer
    printf '%s\n' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' \
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin"; };' \
        'Acquire::Languages "none";' >"$clean"
    mmdebstrap --quiet --format=tar --variant=minbase --dpkgopt=force-unsafe-io "${slim[@]}" \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged \
        --customize-hook='rm -f "$1"/var/cache/apt/*.bin' \
        --customize-hook="upload $machine /etc/apt/apt.conf.d/99machine" \
        --customize-hook="upload $clean /etc/apt/apt.conf.d/docker-clean" \
        bookworm "$engine_base.$$" >"$engine_dir/base.log" 2>&1 || {
        tail -n 20 "$engine_dir/base.log" >&2
        fail "cannot make debian:bookworm-slim"
    }
    mv "$engine_base.$$" "$engine_base"
}

engine_enclose() {
    [ -n "$engine_own" ] || return 0
    engine_halt
    ip netns add "$engine_namespace"
    # nsenter, as `ip netns exec` hides /sys/fs/cgroup
    nsenter --net=/run/netns/"$engine_namespace" ip link set lo up
    engine_run nsenter --net=/run/netns/"$engine_namespace" --
}

engine_halt() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null
    wait "$engine_pid" 2>/dev/null
    engine_pid=
    umount "$engine_dir"/exec/netns/* 2>/dev/null
    return 0
}

engine_stop() {
    [ -n "$engine_own" ] || return 0
    engine_halt
    awk -v dir="$engine_dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r |
        xargs -r umount 2>/dev/null
    # control groups of containers, which are gone; those of another engine are not empty
    find /sys/fs/cgroup -maxdepth 2 -type d -name docker -exec rmdir {} + 2>/dev/null
    [ ! -e /run/netns/"$engine_namespace" ] || ip netns del "$engine_namespace"
    [ -n "${STW_DOCKER_DIR:-}" ] || rm -rf --one-file-system "$engine_dir"
    engine_own=
}
