#!/bin/sh
# Runs inside a booted root (systemd is process 1) that has stewardd installed: the service as its
# operator meets it, with all its confinement. prove_service.sh SUITE
set -eu
suite=$1
cd /

say() { echo "package: $suite: $*"; }
fail() {
    say "$*" >&2
    journalctl --no-pager -n 30 -u stewardd >&2
    exit 1
}

show() { systemctl show -p "$1" --value stewardd; }

# await WHAT SECONDS COMMAND...: until it succeeds
await() {
    what=$1
    seconds=$2
    shift 2
    for _ in $(seq "$seconds"); do
        "$@" 2>/dev/null && return
        sleep 1
    done
    fail "$what: not within $seconds s"
}

restarted() { [ "$(show NRestarts)" = "$1" ] && [ "$(show ActiveState)" = active ]; }

# said TEXT: the log of the service has it
said() { journalctl --no-pager -u stewardd | grep -q "$1"; }

await "it serves after booting" 60 systemctl -q is-active stewardd
[ "$(show StatusText)" = serving ] || fail "it did not say that it serves"
steward put numbers one two three
[ "$(steward get numbers)" = one ] || fail "steward get"
steward backup /tmp/backup >/dev/null || fail "steward backup"
systemctl restart stewardd || fail "restart"
[ "$(steward get numbers)" = two ] || fail "a restart lost an item"
kill -KILL "$(show MainPID)"
await "it is started again after kill -9" 30 restarted 1
[ "$(steward get numbers)" = three ] || fail "kill -9 lost an item"
kill -STOP "$(show MainPID)"
await "the watchdog ends a manager that does not turn" 60 restarted 2
steward lock guard -- true || fail "steward lock"
echo "log-level = debug" >>/etc/steward/steward.conf
systemctl reload stewardd || fail "reload"
await "a reload reads the configuration" 10 said event=reloaded
systemctl stop stewardd || fail "stop"
[ "$(show Result):$(show ExecMainStatus)" = success:0 ] || fail "it did not leave with 0"
echo "nonsense = 1" >>/etc/steward/steward.conf
systemctl start stewardd 2>/dev/null && fail "it started with a wrong option"
sleep 2
[ "$(show NRestarts):$(show ExecMainStatus)" = 0:2 ] || fail "a wrong option was tried again"
say "the service boots, restarts, survives kill -9 and is watched, under systemd itself"
