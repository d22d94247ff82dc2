"""Chaos with one durable node: killed at any instant, slept through by its clients, and clients
killed themselves. Each run takes a Lab and how many rounds; it raises Failed, or leaves its figures
in lab.result.
"""

import json
import os
import subprocess
import time

import lab as labs
from lab import Failed, Load, Node, eventually, percentiles, stalls, steward


def one_node(lab, roles=None, options=(), prefix=()):
    """A node and a load on it."""
    node = Node(lab, options=options, prefix=prefix).start().ready()
    return node, Load(lab, node.endpoint).start(roles)


def finish(lab, load, **options):
    """The end of every run: all outcomes, everything drained, judged."""
    load.stop()
    load.drain()
    return lab.judge(**options)


def must_lose(lab, load):
    """The end of a control run: the checker must find that confirmed messages are gone."""
    try:
        finish(lab, load, quiet=True)
    except Failed:
        if "lost" in lab.result.get("faults", {}):
            return
        raise
    raise Failed("the control lost nothing: the run that it controls proves nothing")


def progress(load, timeout=labs.PATIENCE):
    """Waits until the producers got somewhere."""
    before = load.confirmed()
    eventually(lambda: load.confirmed() > before + 2000, "puts are confirmed again", timeout)


def kill_manager(lab, rounds):
    """kill -9 under load, started again at once; one time in five while it is still starting."""
    node, load = one_node(lab)
    progress(load)
    kills, starts = [], []
    for round_number in range(rounds):
        if lab.random.random() < 0.2 and round_number + 1 < rounds:
            time.sleep(lab.random.random() * 0.2)       # wherever it is by now
        else:
            began = lab.events()
            node.ready()
            starts.append(lab.events() - began)
            time.sleep(0.05 + lab.random.random() * 0.6)
            if round_number % 5 == 0:
                progress(load)
        load.alive()
        kills.append(lab.events())
        node.kill()
        node.start()
    node.ready()
    progress(load)
    history = finish(lab, load)
    lab.result["kills"] = len(kills)
    lab.result["stall"] = percentiles(stalls(history, kills))
    lab.result["start"] = percentiles(starts)


def ballast(lab, endpoint, megabytes):
    """Items that nobody takes, so that snapshots take their time."""
    path = os.path.join(lab.directory, "ballast")
    with open(path, "w", encoding="ascii") as file:
        for number in range(megabytes):
            file.write(f"{number} " + "x" * 1000000 + "\n")
    with open(path, encoding="ascii") as file:
        put = subprocess.run([labs.binary("steward"), "put", "ballast"], stdin=file, check=False,
                             env=labs.environment(STEWARD_ENDPOINT=endpoint), timeout=120)
    os.remove(path)
    if put.returncode != 0:
        raise Failed(f"the ballast was not put: {put.returncode}")


def kill_snapshot(lab, rounds):
    """kill -9 while a snapshot is written; it was asked for by a backup, which dies with it."""
    node, load = one_node(lab)
    ballast(lab, node.endpoint, 60)
    progress(load)
    taken = 0
    for round_number in range(rounds):
        path = os.path.join(lab.directory, f"backup{round_number}")
        backup = subprocess.Popen([labs.binary("steward"), "backup", path],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=labs.environment(STEWARD_ENDPOINT=node.endpoint))
        lab.started.append(backup)
        time.sleep(lab.random.random() * 2)
        load.alive()
        node.kill()
        backup.kill()
        backup.wait()
        if os.path.exists(path):
            taken += 1
            os.remove(path)
        node.start().ready()
        progress(load)
    finish(lab, load)
    queue = json.loads(steward(node.endpoint, "queue", "show", "ballast", "--json"))
    if queue["ready"] != 60:
        raise Failed(f"the ballast is not what was put: {queue}")
    lab.result["kills"], lab.result["backups_done_before"] = rounds, taken


def control_memory(lab, rounds):
    """The same against a manager that keeps nothing: the checker must find that."""
    node = Node(lab)
    node.memory = True
    node.start().ready()
    load = Load(lab, node.endpoint).start()
    progress(load)
    for _ in range(rounds):
        time.sleep(0.3 + lab.random.random())
        node.kill()
        node.start().ready()
        progress(load)
    must_lose(lab, load)


def kill_clients(lab, rounds):
    """kill -9 of one client after the other; another of its kind takes its place."""
    _, load = one_node(lab)
    for _ in range(rounds):
        time.sleep(0.05 + lab.random.random() * 0.3)
        load.kill(lab.random.choice(sorted(load.workers)))
    progress(load)
    # The ordered queue is promised to one consumer, and that one was killed with what it held.
    finish(lab, load, left_out=("order",))
    lab.result["kills"] = rounds


def sleep_through(lab, rounds):
    """Clients that hold a lock and a lease and wait in a get sleep through the manager's death."""
    node = Node(lab).start().ready()
    load = Load(lab, node.endpoint)
    for round_number in range(rounds):
        names = [f"s{round_number}.{i}" for i in range(3)]
        sleepers = [load.run("sleeper", name) for name in names]
        for name in names:
            eventually(lambda n=name: sleeping(lab, n), f"{name} sleeps")
        for _ in range(1 + round_number % 3):
            node.kill()
            node.start().ready()
        for name, popen in zip(names, sleepers):
            wake(node.endpoint, name)
            if popen.wait(labs.PATIENCE) != 0:
                raise Failed(f"sleeper {name} lost something:\n" + said(lab, name)[-1500:])
    lab.result["sleepers"] = 3 * rounds


def said(lab, name):
    """The history of a worker, as text."""
    with open(f"{lab.directory}/history.{name}.jsonl", encoding="ascii") as file:
        return file.read()


def sleeping(lab, name):
    """Does it hold what it wants to hold, and wait?"""
    try:
        return '"op":"sleeping"' in said(lab, name)
    except FileNotFoundError:
        return False


def wake(endpoint, name):
    """Its lock must still be its own, its lease too; then what it waits for is put."""
    held = json.loads(steward(endpoint, "lock", "show", f"sleep.{name}", "--json").splitlines()[0])
    queue = json.loads(steward(endpoint, "queue", "show", f"sleep.{name}", "--json"))
    if queue["leased"] != 1 or queue["ready"] != 0:
        raise Failed(f"the lease of {name} is gone: {queue}")
    if held.get("holders", 1) != 1:
        raise Failed(f"the lock of {name} is gone: {held}")
    steward(endpoint, "put", f"sleep.{name}", "awaited")


RUNS = {
    "kill-manager": (kill_manager, 100, "kill -9 of a durable node under load"),
    "kill-snapshot": (kill_snapshot, 20, "kill -9 while a snapshot is written"),
    "control-memory": (control_memory, 3, "the control: a manager in memory must lose"),
    "kill-clients": (kill_clients, 100, "kill -9 of clients"),
    "sleep-through": (sleep_through, 5, "clients sleep through the manager's death"),
}
