"""Chaos with three nodes: leaders and followers killed, stopped, asked to hand over, restarted."""

import os
import signal
import time

from cluster import Cluster
from lab import SMALL_LOAD, Failed, eventually, percentiles, stalls
from runs_single import ballast, finish, progress

# What a client may be told although nothing is wrong: nothing was there to get, or it was asked
# to stop.
NO_ERRORS = {("get", "STW_ETIMEOUT"), ("get", "STW_ECANCELED")}

# seconds: a node that is frozen for good closes no connection: clients notice its silence
FROZEN_SECONDS = 20

# bytes of the history of somebody who puts large bodies: more of them than the log keeps
FAR_BEHIND = 1500000

# milliseconds: what must hold, see docs/operations.md
STALL_P50_MS, STALL_MAX_MS, TRANSFER_MS = 1000, 3000, 300


def three(lab):
    """A cluster and its load."""
    cluster = Cluster(lab).found()
    load = cluster.load(SMALL_LOAD)
    progress(load)
    return cluster, load


def conclude(lab, cluster, load, events):
    """Drained, judged, and the replicas compared."""
    progress(load)
    history = finish(lab, load)
    cluster.whole()
    cluster.equal()
    lab.result["stall"] = percentiles(stalls(history, events))
    return history


def within(lab, p50=None, most=None):
    """Holds the run to its times, unless the machine is so busy that even a cluster that is left
    alone takes half as long."""
    stall, quiet = lab.result["stall"], lab.result.get("stall_quiet", {"max_ms": 0})
    if not lab.timed or most and quiet["max_ms"] > most / 2:
        lab.result["times"] = "not judged"
        return
    if p50 and stall["p50_ms"] > p50 or most and stall["max_ms"] > most:
        raise Failed(f"too long without confirmed puts: {stall}, allowed {p50} and {most} ms")


def kill_leader(lab, rounds):
    """kill -9 of the leader; it comes back a little later, as a follower."""
    cluster, load = three(lab)
    events = []
    for _ in range(rounds):
        cluster.whole()
        leader = cluster.leader()
        time.sleep(lab.random.random() * 0.5)
        load.alive()
        events.append(lab.events())
        leader.kill()
        time.sleep(lab.random.random())
        leader.start()
        progress(load)
        leader.ready()
    conclude(lab, cluster, load, events)
    lab.result["kills"] = rounds
    within(lab, STALL_P50_MS, STALL_MAX_MS)


def kill_followers(lab, rounds):
    """kill -9 of one follower, which nobody notices; every fourth time of both."""
    cluster, load = three(lab)
    events = []
    for round_number in range(rounds):
        cluster.whole()
        victims = cluster.followers()
        if round_number % 4 != 3:
            victims = [lab.random.choice(victims)]
        load.alive()
        events.append((lab.events(), len(victims)))
        for node in victims:
            node.kill()
        time.sleep(lab.random.random())
        for node in victims:
            node.start()
        for node in victims:
            node.ready()
        progress(load)
    history = conclude(lab, cluster, load, [at for at, _ in events])
    times = stalls(history, [at for at, _ in events])
    one = [stall for stall, (_, count) in zip(times, events) if count == 1]
    lab.result["stall"] = percentiles(one)
    lab.result["stall_both"] = percentiles([s for s, (_, n) in zip(times, events) if n == 2])
    lab.result["kills"] = sum(count for _, count in events)


def kill_all(lab, rounds):
    """kill -9 of all three at once, and all three come back."""
    cluster, load = three(lab)
    events = []
    for _ in range(rounds):
        cluster.whole()
        time.sleep(lab.random.random() * 0.3)
        load.alive()
        events.append(lab.events())
        for node in cluster.nodes.values():
            node.signal(signal.SIGKILL)
        for node in cluster.nodes.values():
            node.kill()
            node.start()
        progress(load)
        for node in cluster.nodes.values():
            node.ready()
    conclude(lab, cluster, load, events)
    lab.result["kills"] = 3 * rounds


def stop(lab, rounds):
    """SIGSTOP of the leader, or of a follower, and SIGCONT when others have gone on long since."""
    cluster, load = three(lab)
    events = []
    for round_number in range(rounds):
        cluster.whole()
        node = cluster.leader() if round_number % 3 else lab.random.choice(cluster.followers())
        load.alive()
        events.append(lab.events())
        node.signal(signal.SIGSTOP)
        if round_number % 5 == 1:
            progress(load, FROZEN_SECONDS)      # without the one that is frozen
        else:
            time.sleep(0.2 + lab.random.random() * 3)
        node.signal(signal.SIGCONT)
        progress(load)
    conclude(lab, cluster, load, events)
    lab.result["stops"] = rounds


def hand_over(cluster, round_number):
    """By command, or by the leader's SIGTERM; returns when another one leads."""
    before = cluster.leader()
    if round_number % 2:
        status = before.leave()
        if status != 0:
            raise Failed(f"node {before.number} left with {status}:\n{before.log()[-1500:]}")
        before.start().ready()
    else:
        cluster.steward("cluster", "transfer")
    eventually(lambda: cluster.leader() is not before, "another node leads", 10, 0.1)


def transfer(lab, rounds):
    """Leadership is handed over under load, by command and by SIGTERM."""
    cluster, load = three(lab)
    events, quiet = [], []
    for round_number in range(rounds):
        cluster.whole()
        quiet.append(lab.events())
        time.sleep(1)
        load.alive()
        events.append(lab.events())
        hand_over(cluster, round_number)
        time.sleep(0.5)
    history = conclude(lab, cluster, load, events)
    every = stalls(history, sorted([*events, *quiet]))      # quiet, event, quiet, event, ...
    lab.result["stall"] = percentiles(every[1::2])
    lab.result["stall_quiet"] = percentiles(every[::2])
    lab.result["transfers"] = rounds
    within(lab, most=TRANSFER_MS)


def rolling(lab, rounds):
    """All three are restarted, one after the other, under load: no client sees an error."""
    cluster, load = three(lab)
    events = []
    for _ in range(rounds):
        for node in cluster.nodes.values():
            cluster.whole()
            events.append(lab.events())
            status = node.leave()
            if status != 0:
                raise Failed(f"node {node.number} left with {status}:\n{node.log()[-1500:]}")
            node.start().ready()
            progress(load)
            load.alive()
    history = conclude(lab, cluster, load, events)
    lab.result["restarts"] = 3 * rounds
    seen = {f"{op}: {error}": count for (op, error), count in history.errors.items()
            if (op, error) not in NO_ERRORS}
    if seen:
        raise Failed(f"clients saw errors: {seen}")


def install(lab, rounds):
    """A follower that was away so long that it gets a snapshot, under load; every second time it
    is killed while it does, or the leader is."""
    cluster, load = three(lab)
    ballast(lab, cluster.endpoints, 40)
    installed, events = 0, []
    for round_number in range(rounds):
        cluster.whole()
        away = lab.random.choice(cluster.followers())
        away.kill()
        large = load.add("put-large", 2000)
        history = os.path.join(lab.directory, f"history.{large}.jsonl")
        eventually(lambda: os.path.getsize(history) > FAR_BEHIND, "much has been put", 120, 0.1)
        load.quit(large)
        cluster.steward("backup", os.path.join(lab.directory, "backup"))    # takes a snapshot
        away.start()
        if round_number % 2:
            time.sleep(lab.random.random())
            events.append(lab.events())
            victim = lab.random.choice([away, cluster.leader()])
            victim.kill()
            installed += "event=installing" in away.log()
            victim.start()
        cluster.whole()
        installed += "event=installed" in away.log()
        progress(load)
        load.alive()
    conclude(lab, cluster, load, events)
    lab.result["installs"] = installed
    if not installed:
        raise Failed("no follower was sent a snapshot: this proves nothing")


RUNS = {
    "kill-leader": (kill_leader, 100, "kill -9 of the leader of three"),
    "kill-followers": (kill_followers, 40, "kill -9 of followers"),
    "kill-all": (kill_all, 15, "kill -9 of all three nodes at once"),
    "install": (install, 6, "a follower far behind gets a snapshot under load, and is killed"),
    "stop": (stop, 20, "SIGSTOP and SIGCONT of leaders and followers"),
    "transfer": (transfer, 20, "leadership is handed over under load"),
    "rolling": (rolling, 3, "all three restarted under load"),
}
