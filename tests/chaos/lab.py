"""What every chaos run stands on: nodes that can be killed and started again, and a load of real
clients that write histories. Everything is ended by its own process id, whatever happens.

    Node     one stewardd and its data directory
    Load     workers of several roles; their histories
    Lab      a directory, a seed, and the end of all that was started in it
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import checker
from history import History

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("STEWARD_BUILD", os.path.join(HERE, "..", "..", "build")))
PATIENCE = 60.0     # seconds: longer than anything takes that works

# role -> how many of them; a put is at most RATE a second for each producer
LOAD = {"put": 2, "put-ordered": 1, "get": 2, "get-ordered": 1, "stream": 1, "lock": 3}
SMALL_LOAD = {"put": 1, "put-ordered": 1, "get": 1, "get-ordered": 1, "stream": 1, "lock": 2}
RATE = 400
DRAIN_SECONDS = 120


class Failed(Exception):
    """A run that did not show what it must."""


class Skip(Exception):
    """A run that this machine cannot carry out; says why."""


def binary(name):
    """The path of a binary of ours."""
    return os.path.join(BUILD, name)


def eventually(condition, what, timeout=PATIENCE, pause=0.005):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {timeout} s: {what}")
        time.sleep(pause)


def free_port(address="127.0.0.1"):
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def environment(**more):
    """The environment of our programs: nothing of the caller's that would change them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}
    kept.update(more)
    return kept


class Node:
    """One stewardd. It keeps its port and its data directory over all its lives."""

    def __init__(self, lab, number=1, options=(), prefix=(), listen=None):
        self.lab, self.number, self.prefix = lab, number, list(prefix)
        self.options, self.env, self.memory = list(options), {}, False
        self.data = os.path.join(lab.directory, f"data{number}")
        self.log_path = os.path.join(lab.directory, f"stewardd{number}.log")
        self.endpoint = listen or f"tcp://127.0.0.1:{free_port()}"
        self.popen, self.started_at = None, 0

    def start(self):
        """Starts it; does not wait."""
        kept = ["--memory"] if self.memory else ["--data", self.data]
        argv = [*self.prefix, binary("stewardd"), *kept, "--listen", self.endpoint, *self.options]
        with open(self.log_path, "ab") as log:
            self.started_at = log.tell()
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=environment(**self.env))
        self.lab.started.append(self.popen)
        return self

    def log(self):
        """What this life logged so far."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.started_at)
            return file.read()

    def running(self):
        """Has it not ended?"""
        return self.popen is not None and self.popen.poll() is None

    def ready(self, timeout=PATIENCE):
        """Waits until it serves, or follows; itself."""
        def is_ready():
            if not self.running():
                raise Failed(f"node {self.number} left with {self.popen.returncode}:\n"
                             f"{self.log()[-3000:]}")
            return "event=ready" in self.log()
        eventually(is_ready, f"event=ready of node {self.number}", timeout)
        return self

    def signal(self, number):
        """Sends a signal, if it still runs."""
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        """SIGKILL; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        return self.popen.wait()

    def leave(self, timeout=PATIENCE):
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended(timeout)

    def ended(self, timeout=PATIENCE):
        """Its exit status, when it leaves by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"node {self.number} did not end within {timeout} s:\n"
                         f"{self.log()[-3000:]}") from None


class Load:
    """Workers, by role. Each has a history of its own."""

    def __init__(self, lab, endpoints, rate=RATE, prefix=()):
        self.lab, self.endpoints, self.rate, self.prefix = lab, endpoints, rate, list(prefix)
        self.workers = {}       # name -> (role, Popen)
        self.count = 0

    def run(self, role, name, rate=None, seconds=DRAIN_SECONDS):
        """Starts one worker."""
        path = os.path.join(self.lab.directory, f"history.{name}.jsonl")
        with open(path, "ab"):
            pass        # so that it is there before the worker is
        argv = [*self.prefix, binary("tests/chaos_worker"), role, name, path, self.endpoints,
                str(self.lab.random.randrange(1, 1 << 31)), str(rate or self.rate), str(seconds)]
        with open(os.path.join(self.lab.directory, f"worker.{name}.log"), "ab") as log:
            popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env=environment())
        self.lab.started.append(popen)
        self.lab.histories.append(path)
        return popen

    def add(self, role, rate=None):
        """One more worker of a role."""
        self.count += 1
        name = f"{role}{self.count}"
        self.workers[name] = (role, self.run(role, name, rate))
        return name

    def declare(self):
        """Makes the queues; the manager must be there within the patience of a client."""
        popen = self.run("declare", "declare")
        if popen.wait(PATIENCE) != 0:
            raise Failed("the queues could not be declared:\n" + self.said("declare"))

    def start(self, roles=None):
        """Declares the queues and starts a whole load."""
        self.declare()
        for role, count in (LOAD if roles is None else roles).items():
            for _ in range(count):
                self.add(role)
        return self

    def said(self, name):
        """What a worker wrote to stderr."""
        path = os.path.join(self.lab.directory, f"worker.{name}.log")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def alive(self):
        """A worker ends only when told to; one that did not wait for it is a finding."""
        for name, (_, popen) in self.workers.items():
            if popen.poll() is not None:
                raise Failed(f"worker {name} left with {popen.returncode}:\n{self.said(name)}")

    def kill(self, name):
        """SIGKILL for one worker; a new one of its role takes its place."""
        role, popen = self.workers.pop(name)
        popen.kill()
        popen.wait()
        return self.add(role)

    def quit(self, name, timeout=PATIENCE):
        """Ends one worker in peace: it has all its outcomes."""
        popen = self.workers.pop(name)[1]
        popen.send_signal(signal.SIGTERM)
        if popen.wait(timeout) != 0:
            raise Failed(f"worker {name} left with {popen.returncode}:\n{self.said(name)}")

    def confirmed(self):
        """Roughly how many lines the producers wrote: grows while puts are confirmed."""
        return sum(os.path.getsize(p) for p in self.lab.histories if "history.put" in p)

    def stop(self, timeout=PATIENCE):
        """Ends all workers, producers first; each must have its outcomes."""
        order = sorted(self.workers.items(), key=lambda item: not item[1][0].startswith("put"))
        self.alive()
        for name, (_, popen) in order:
            deadline = time.monotonic() + timeout
            while popen.poll() is None:
                if time.monotonic() > deadline:
                    raise Failed(f"worker {name} does not end")
                popen.send_signal(signal.SIGTERM)   # again: it may just have begun to wait
                try:
                    popen.wait(0.2)
                except subprocess.TimeoutExpired:
                    pass
            if popen.returncode != 0:
                raise Failed(f"worker {name} left with {popen.returncode}:\n{self.said(name)}")
        self.workers = {}

    def drain(self):
        """Takes everything that is left, and acknowledges it."""
        popen = self.run("drain", "drain")
        if popen.wait(DRAIN_SECONDS + PATIENCE) != 0:
            raise Failed("the drain failed:\n" + self.said("drain"))


class Lab:
    """One run: where it lives, its luck, what it found."""

    def __init__(self, name, seed, parent=None):
        self.name, self.seed, self.random = name, seed, random.Random(f"{name} {seed}")
        self.directory = tempfile.mkdtemp(prefix=f"steward-chaos-{name}-", dir=parent)
        self.started, self.histories, self.cleaners = [], [], []
        self.result = {}
        self.timed = True       # False: how long things took is told, and not judged

    def events(self):
        """(seconds of the histories' clock): now."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def judge(self, quiet=False, **options):
        """Reads all histories and checks them; faults go into the result, and fail the run."""
        history = History(self.histories)
        faults = checker.check(history, checker.Options(**options))
        if not quiet:
            checker.print_faults(faults)
        self.result.update(checker.numbers(history))
        self.result["faults"] = {rule: len(found) for rule, found in faults.items()}
        if faults:
            raise Failed(f"the histories break: {', '.join(faults)}")
        return history

    def end(self, keep):
        """Ends what was started, undoes what was set up, removes the directory unless kept."""
        for popen in self.started:
            if popen.poll() is None:
                popen.send_signal(signal.SIGCONT)
                popen.kill()
                popen.wait()
        for clean in reversed(self.cleaners):
            try:
                clean()
            except (OSError, subprocess.SubprocessError) as error:
                print(f"chaos: cleaning up: {error}", file=sys.stderr)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def stalls(history, events):
    """For each event (seconds) the longest time without a confirmed put that ended after it, and
    before the next one, in seconds."""
    done = history.confirmed_puts()
    found, at = [], 0
    for this, following in zip(events, [*events[1:], float("inf")]):
        longest = 0.0
        while at + 1 < len(done) and done[at + 1] <= following:
            if done[at + 1] > this:
                longest = max(longest, done[at + 1] - done[at])
            at += 1
        found.append(longest)
    return found


def percentiles(values):
    """{p50, p90, max} in milliseconds of seconds."""
    if not values:
        return {}
    values = sorted(values)
    def at(share):
        return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1)
    return {"p50_ms": at(0.5), "p90_ms": at(0.9), "max_ms": round(values[-1] * 1000, 1)}


def command(*argv, timeout=PATIENCE, check=True, env=None):
    """Runs a program to its end; its stdout. With check False also what it said of a failure."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False, env=env or environment())
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}".strip())
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def steward(endpoints, *argv, timeout=PATIENCE, check=True, prefix=()):
    """Runs the command line client."""
    return command(*prefix, binary("steward"), *argv, timeout=timeout, check=check,
                   env=environment(STEWARD_ENDPOINT=endpoints))


def number_in(text, name):
    """The number behind name= in a log."""
    found = re.findall(rf"\b{name}=(\d+)", text)
    return int(found[-1]) if found else 0
