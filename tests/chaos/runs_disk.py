"""Chaos with one node on a bad disk: full, failing, without power, with flipped bytes."""

import json
import os
import shutil
import time

import lab as labs
import regions
from disks import Injection, PowerDisk, Tmpfs, copy_directory, flip
from lab import BUILD, Failed, Load, Node, command, eventually, steward
from runs_single import finish, must_lose, progress

# What may fail, and what with: everything that the log does to its files while it runs.
EIO_CALLS = ("pwrite64", "fdatasync", "fsync", "fallocate", "rename")


def full(lab, rounds):
    """The disk is full: puts are refused and say so, acks go on, room heals it by itself."""
    disk = Tmpfs(lab, 900)
    node = Node(lab)
    node.data = os.path.join(disk.path, "data")
    node.start().ready()
    load = Load(lab, node.endpoint).start(labs.SMALL_LOAD)
    large = [load.add("put-large") for _ in range(2)]
    progress(load)
    refused = []
    for _ in range(rounds):
        disk.fill()
        began = lab.events()
        load.alive()
        eventually(lambda: refusal(node.endpoint), "a put is refused", 90, 0.2)
        refused.append(round(lab.events() - began, 1))
        acks_go_on(lab, load)
        if "event=disk_nearly_full" not in node.log():
            raise Failed("the manager's log does not say that the disk is full")
        disk.empty()
        eventually(lambda: not refusal(node.endpoint), "puts are taken again", 30, 0.2)
        load.alive()
    for name in large:
        load.quit(name)
    progress(load)
    finish(lab, load)
    lab.result["refused_after_s"] = refused


def refusal(endpoint):
    """Does the manager refuse a put because its disk is full?"""
    said = steward(endpoint, "put", "probe", "x", "--timeout", "300ms", "--json", check=False)
    return "EDISK" in said


def acks_go_on(lab, load):
    """Consumers settle what there is although nothing can be put."""
    def acked():
        total = 0
        for path in lab.histories:
            if "history.get" in path or "history.stream" in path:
                total += os.path.getsize(path)
        return total
    before = acked()
    eventually(lambda: acked() > before, "acks go on", 20)
    load.alive()


def eio(lab, rounds):
    """A write, sync or rename fails: one clear line, a non-zero exit, and all is there again."""
    hits = {}
    node = Node(lab).start().ready()
    load = Load(lab, node.endpoint).start()
    load.add("put-large")
    for round_number in range(rounds):
        call = EIO_CALLS[round_number % len(EIO_CALLS)]
        progress(load)
        injection = Injection(lab, node.popen.pid, call, "EIO")
        deadline = time.monotonic() + 15
        while node.running() and time.monotonic() < deadline and not injection.hits():
            time.sleep(0.02)
        reached = bool(injection.hits())
        if reached:
            status = node.ended(20)
            hits[call] = hits.get(call, 0) + 1
            if status <= 0 or "level=error" not in node.log():
                raise Failed(f"{call} failed, and the manager left with {status}:\n"
                             + node.log()[-1000:])
        injection.end()
        if not reached:
            hits.setdefault(call, 0)
            node.kill()
        load.alive()
        node.start().ready()
    if not hits.get("pwrite64"):
        raise Failed("no write was made to fail: this proves nothing")
    finish(lab, load)
    lab.result["failed_calls"] = hits


def power_node(lab, preload=None):
    """A node whose data lie on a disk that can lose power."""
    disk = PowerDisk(lab, 4096)
    node = Node(lab)
    node.data = os.path.join(disk.path, "data")
    if preload:
        node.env["LD_PRELOAD"] = preload
    node.start().ready()
    return disk, node, Load(lab, node.endpoint).start()


def power_cut(lab, disk, node):
    """The plug is pulled out and put in again; whether the manager came back."""
    disk.cut()
    time.sleep(lab.random.random() * 0.1)
    status = node.kill()
    disk.off()
    disk.on()
    node.start()
    return status


def power(lab, rounds):
    """Power is lost under load: what was confirmed had been on the disk."""
    disk, node, load = power_node(lab)
    statuses = {}
    for _ in range(rounds):
        progress(load)
        time.sleep(lab.random.random() * 0.5)
        status = power_cut(lab, disk, node)
        statuses[str(status)] = statuses.get(str(status), 0) + 1
        node.ready()
        load.alive()
    progress(load)
    finish(lab, load)
    lab.result["cuts"] = rounds
    lab.result["exits"] = statuses


def control_round(lab):
    """One disk without syncs, one cut: how many confirmed puts are gone; all, when no start takes
    what is left."""
    disk, node, load = power_node(lab, os.path.join(BUILD, "tests/chaos_nosync.so"))
    progress(load)
    command("sync", "-f", disk.path)    # so that the directory itself is there; what follows is not
    progress(load)
    time.sleep(1)
    power_cut(lab, disk, node)
    try:
        node.ready()
    except Failed:
        history = labs.History(lab.histories)
        return sum(put.outcome == "ok" for put in history.puts.values()), True
    must_lose(lab, load)
    return lab.result["faults"]["lost"], False


def control_power(lab, rounds):
    """The same with every sync taken away: this must lose, or the run above proves nothing."""
    lost, refused = [], 0
    for round_number in range(rounds):
        inner = labs.Lab("control-power", f"{lab.seed}.{round_number}")
        try:
            gone, damaged = control_round(inner)
        finally:
            inner.end(False)
        lost.append(gone)
        refused += damaged
    lab.result["lost"], lab.result["starts_refused"] = lost, refused


# ---- bytes that change at rest --------------------------------------------------------------


def state_of(endpoint):
    """What a manager holds, without what is only true of one life of it."""
    rows = []
    for line in steward(endpoint, "queue", "list", "--json").splitlines():
        row = json.loads(line)
        for name in ("age_ms", "getters", "putters", "joiners", "consumers"):
            row.pop(name, None)
        rows.append(row)
    return rows


def flip_source(lab):
    """A data directory with some of everything in it, and the state that it stands for."""
    node = Node(lab).start().ready()
    load = Load(lab, node.endpoint).start()
    progress(load)
    for number in range(2):     # several segments, votes, lists of nodes, seals, snapshots
        steward(node.endpoint, "backup", os.path.join(lab.directory, f"backup{number}"))
        node.kill()
        node.start().ready()
        progress(load)
    load.stop()
    time.sleep(1)
    state = state_of(node.endpoint)
    time.sleep(0.5)         # the log is idle: sealed, so that its last record is known as confirmed
    node.kill()
    return node, state


def flip_try(lab, node, region, state):
    """Starts on a copy with one byte flipped: refused with a sentence, or all as it was."""
    file, offset = region.choose(lab.random)
    flip(os.path.join(node.data, file), offset, 1 << lab.random.randrange(8))
    where = f"{region.name}: {file} at {offset}"
    node.start()
    def decided():
        return not node.running() or "event=ready" in node.log()
    eventually(decided, f"a start after a flip in {where}")
    if not node.running():
        if node.popen.returncode <= 0 or f"stewardd: {node.data}" not in node.log():
            raise Failed(f"{where}: left with {node.popen.returncode}:\n{node.log()[-1500:]}")
        if region.refuse == regions.MUST_NOT:
            raise Failed(f"{where}: refused although nothing is kept there:\n{node.log()[-800:]}")
        return "refused"
    now = state_of(node.endpoint)
    node.kill()
    if now != state:
        raise Failed(f"{where}: started, and the state is another")
    if region.refuse == regions.MUST:
        raise Failed(f"{where}: a confirmed byte changed, and nobody noticed")
    return "whole"


def flip_bytes(lab, rounds):
    """A byte changes at rest, in every region of log and snapshot: refused, or nothing changed."""
    node, state = flip_source(lab)
    source, node.data = node.data, os.path.join(lab.directory, "copy")
    outcomes = {}
    for region in regions.of_directory(source):
        for _ in range(rounds):
            copy_directory(source, node.data)
            outcome = flip_try(lab, node, region, state)
            seen = outcomes.setdefault(region.name, {})
            seen[outcome] = seen.get(outcome, 0) + 1
    shutil.rmtree(node.data, ignore_errors=True)
    lab.result["flips"] = outcomes


RUNS = {
    "full": (full, 3, "the disk is full, and has room again"),
    "eio": (eio, 10, "writes, syncs and renames fail"),
    "power": (power, 25, "the disk loses power under load"),
    "control-power": (control_power, 5, "the control: the same without sync must lose"),
    "flip": (flip_bytes, 2, "a byte changes at rest, in each region of the files"),
}
