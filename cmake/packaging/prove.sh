#!/bin/sh
# Runs inside a clean root that has the packages in /proof: installs them, uses them as users and
# operators do, purges them, and looks for traces. prove.sh SUITE RAFT-SUITE ("" or /backports)
set -eu
suite=$1
raft=$2
cd /proof

say() { echo "package: $suite: $*"; }
fail() { say "$*" >&2; exit 1; }

# Every file, with size and hash, but of what apt, dpkg and ldconfig keep about themselves.
traces() {
    find / -xdev \( -path /proc -o -path /proof -o -path /tmp -o -path /var/lib/dpkg -o \
        -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /run \) -prune -o \
        \( -type f ! -path /etc/ld.so.cache ! -path '/etc/*-' -exec sha256sum {} + \) -o \
        -type l -printf 'link %p %l\n' -o -type d -printf 'directory %p\n' | sort
}

install() {
    quietly apt-get -q -y install --no-install-recommends "$@"
}

quietly() {
    "$@" >/tmp/quiet.log 2>&1 || { tail -n 40 /tmp/quiet.log >&2; return 1; }
}

# start: the manager as its service starts it, on a free port; sets $pid and STEWARD_ENDPOINT
start() {
    setpriv --reuid=steward --regid=steward --init-groups sh -c 'cd /var/lib/steward &&
        umask 0007 && exec stewardd --config /etc/steward/steward.conf \
            --listen "tcp://127.0.0.1:*"' 2>/tmp/log &
    pid=$!
    for _ in $(seq 100); do
        grep -q event=ready /tmp/log && break
        kill -0 $pid 2>/dev/null || { cat /tmp/log >&2; fail "the manager did not start"; }
        sleep 0.1
    done
    STEWARD_ENDPOINT=$(sed -n 's/.*event=listening endpoint=//p' /tmp/log | tr -d '"' | head -n 1)
    export STEWARD_ENDPOINT
}

# stop: by SIGTERM, as its service stops it; it must leave with 0
stop() {
    kill -TERM $pid
    wait $pid || { cat /tmp/log >&2; fail "the manager left with $?"; }
}

# ---- install -----------------------------------------------------------------------------------

quietly apt-get -q update
# systemd makes users and directories of its own; libraft0 is asked for by name, so it stays
say "apt install libraft0$raft"
install "libraft0$raft" systemd
traces >/tmp/before
say "apt install ./*.deb"
install ./stewardd_*.deb ./steward_*.deb ./libsteward1_*.deb ./libsteward-dev_*.deb
getent passwd steward >/dev/null || fail "there is no user steward"
[ "$(stat -c %U:%a /var/lib/steward)" = steward:700 ] || fail "/var/lib/steward is not its own"
[ -L /etc/systemd/system/multi-user.target.wants/stewardd.service ] || fail "it is not enabled"
systemd-analyze verify stewardd.service || fail "systemd-analyze verify"
systemd-analyze security --offline=true --threshold=20 stewardd.service >/tmp/security ||
    fail "systemd-analyze security: $(tail -n 1 /tmp/security)"
say "$(grep -o 'Overall exposure.*: [0-9.]*' /tmp/security)"

# ---- use ---------------------------------------------------------------------------------------

start
steward put numbers one two three
[ "$(steward get numbers)" = one ] || fail "steward get"
steward lock guard -- true
# shellcheck disable=SC2046 # words on purpose
gcc example.c -o by_pkgconf $(pkg-config --cflags --libs steward)
./by_pkgconf
quietly cmake -S . -B by_cmake
quietly cmake --build by_cmake
./by_cmake/example
[ ! -e by_cmake/example_static ] || ./by_cmake/example_static
stop
start
[ "$(steward get numbers -n 2 | tr '\n' ' ')" = "two three " ] || fail "a restart lost items"
stop
say "manager, client, pkg-config and find_package work"

for page in "8 stewardd" "1 steward" "1 steward-put" "5 steward.conf" "3 libsteward" "3 stw_put"; do
    # shellcheck disable=SC2086
    [ "$(man -P cat $page 2>/tmp/man.log | wc -l)" -gt 10 ] || fail "man $page: $(cat /tmp/man.log)"
done
bash -c '. /usr/share/bash-completion/completions/steward; COMP_WORDS=(steward qu); COMP_CWORD=1
    _steward; [ "${COMPREPLY[*]}" = queue ]' || fail "completion"
stewardd --check-config --config /etc/steward/steward.conf >/dev/null
say "manual pages, completion and configuration are there"

# ---- remove, purge -----------------------------------------------------------------------------

quietly apt-get -q -y remove stewardd steward libsteward-dev libsteward1
[ -d /var/lib/steward ] || fail "removing took the data: only purging may"
[ -e /etc/steward/steward.conf ] || fail "removing took the configuration"
[ ! -e /usr/bin/stewardd ] || fail "the program is still there"
quietly apt-get -q -y purge stewardd
quietly apt-get -q -y autoremove --purge
traces >/tmp/after
if ! diff -U0 /tmp/before /tmp/after >/tmp/diff; then
    grep '^[-+][^-+]' /tmp/diff >&2
    fail "purging left traces"
fi
getent passwd steward >/dev/null && fail "the user is still there"
say "removed and purged: no trace"
