#!/usr/bin/python3
"""Measures Steward beside its peers: the same work, the same machine, one interleaved run.

compare.py [--works W1-100,...] [--only NAME]... [--rounds N] [--seconds S] [--output DIR]

Every round runs each contestant once, in turn, each with a fresh server; floors (libzmq alone, the
disk alone, our log alone) are contestants like the others. Prints a Markdown report; writes
compare.json, compare.md and charts to DIR. Ends with 1 if anything was lost or doubled, or a run
failed.
"""
import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import peers
import report

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(peers.HERE)))
MESSAGES, OPERATIONS = "messages_per_s", "operations_per_s"
# name -> (what, the harness' work, bytes of a body, durable, what counts)
WORKS = {
    "W1-100": ("in memory, 2 + 2, 100 B, messages/s", "throughput", 100, False, MESSAGES),
    "W1-1024": ("in memory, 2 + 2, 1 KiB, messages/s", "throughput", 1024, False, MESSAGES),
    "W2-100": ("durable, 2 + 2, 100 B, messages/s", "throughput", 100, True, MESSAGES),
    "W2-1024": ("durable, 2 + 2, 1 KiB, messages/s", "throughput", 1024, True, MESSAGES),
    "W3": ("put to delivery, one in flight, p50 in us", "latency", 100, False, "p50_us"),
    "W4-one": ("lock and unlock, one in flight, pairs/s", "pairs", 100, False, OPERATIONS),
    "W4-64": ("8 clients, 64 locks in flight each, pairs/s", "pairs64", 100, False, OPERATIONS),
    "W4-handoffs": ("one lock, 8 waiting clients, hand-offs/s", "handoffs", 100, False, OPERATIONS),
    "W5": ("200 connections, put-get-ack, operations/s", "connections", 100, False, OPERATIONS),
    "W6": ("server bytes a queued 100 B message", "fill", 100, False, "bytes_per_message"),
}
# work -> its floors: name -> arguments of floor_zmq between endpoint and size
FLOORS = {
    "throughput": {"libzmq, one by one": ("throughput", "2", "2"),
                   "libzmq, packed": ("packed", "2", "2")},
    "latency": {"libzmq, relay": ("latency",), "libzmq, with receipt and ack": ("confirmed",)},
    "pairs": {"libzmq, two round trips": ("pairs",)},
    "handoffs": {"libzmq, hand-offs": ("handoffs",)},
}
DISK = "disk"
FILL_ROUNDS = 2  # memory hardly varies


class Bench:
    def __init__(self, given, top):
        self.given, self.top = given, top
        self.runs, self.settings, self.tried, self.skipped = [], {}, [], {}
        self.failed = []
        self.number, self.disks = 0, set()

    def directory(self):
        self.number += 1
        return f"{self.top}/{self.number}"

    def once(self, contestant, name, setting, seconds):
        """One run on a fresh server; None: the contestant is skipped."""
        _, work, size, durable, _ = WORKS[name]
        in_flight, batch = setting
        options = ["--size", str(size), "--seconds", str(seconds), "--in-flight", str(in_flight),
                   "--batch", str(batch), "--connections", str(self.given.connections)]
        options += ["--durable"] if durable else []
        options += ["--count", str(self.given.count or contestant.fill)]
        try:
            contestant.command(self.given.build)
            server = contestant.server(self.given.build, self.directory(), durable)
        except peers.Skip as why:
            if (contestant.name, durable) not in self.skipped:
                self.skipped[contestant.name, durable] = str(why)
                print(f"skipped: {contestant.name}: {why}", file=sys.stderr)
            return None
        try:
            return json.loads(contestant.run(self.given.build, server, work, options))
        except (RuntimeError, subprocess.TimeoutExpired) as why:
            self.failed.append({"contestant": contestant.name, "work": name, "why": str(why)})
            print(f"failed: {contestant.name}: {why}", file=sys.stderr)
            return None
        finally:
            server.stop()

    def setting(self, contestant, name):
        """How many in flight and in a batch: the best of those it may try, by short runs."""
        work = WORKS[name][1]
        if work in ("latency", "connections") or work in peers.LOCKS:
            return (1, 1)
        if work == "fill" or self.given.no_tune or len(contestant.settings) == 1:
            return contestant.settings[0]
        if (contestant.name, name) not in self.settings:
            best = (0, contestant.settings[0])
            for setting in contestant.settings:
                result = self.once(contestant, name, setting, self.given.tune_seconds)
                if result is None:
                    break
                self.tried.append({"contestant": contestant.name, "work": name, "setting": setting,
                                   MESSAGES: result[MESSAGES]})
                best = max(best, (result[MESSAGES], setting))
            self.settings[contestant.name, name] = best[1]
        return self.settings[contestant.name, name]

    def keep(self, name, contestant, number, result, **more):
        self.runs.append({"work": name, "contestant": contestant, "round": number, **more,
                          "result": result})
        shown = result.get(WORKS[name][4] if name in WORKS else "mb_per_s", 0)
        print(f"round {number}: {name}: {contestant}: {shown:,.2f}", file=sys.stderr)

    def floors(self, name, number):
        _, work, size, _, _ = WORKS[name]
        for floor, (mode, *more) in FLOORS.get(work, {}).items():
            endpoint = f"tcp://127.0.0.1:{peers.free_port()}"
            done = subprocess.run([f"{self.given.build}/tests/floor_zmq", mode, endpoint,
                                   str(self.given.seconds), str(size), *more],
                                  capture_output=True, text=True, check=True, timeout=300)
            result = json.loads(done.stdout)
            result["server_cpu_s"] = result.pop("broker_cpu_s")
            self.keep(name, floor, number, result)

    def disk(self, number):
        """The disk alone and our log alone."""
        if number in self.disks:  # once a round, for all durable works
            return
        self.disks.add(number)
        directory = self.directory()
        text = subprocess.run([f"{self.given.build}/tests/bench_log", directory, "1"],
                              capture_output=True, text=True, check=True, timeout=600).stdout
        pattern = r"^ *(raw .*?|log, .*?)  +([\d.]+) MB/s +(\d+) /s +p50 +([\d.]+)"
        for floor, rate, writes, p50 in re.findall(pattern, text, re.M):
            floor = floor.replace("|", ", ")  # a table's column ends with it
            self.keep(DISK, floor, number, {"mb_per_s": float(rate), "writes_per_s": float(writes),
                                            "p50_us": float(p50)})
        entries = re.search(r"saturated +(\d+) entries/s:\n.*?([\d.]+) MB/s", text)
        self.keep(DISK, "log, group commit of 200 B entries", number,
                  {"mb_per_s": float(entries[2]), "entries_per_s": float(entries[1])})
        shutil.rmtree(directory, ignore_errors=True)

    def contestants(self, name):
        only = self.given.only
        for contestant in peers.CONTESTANTS:
            if WORKS[name][1] in contestant.works and (not only or contestant.name in only):
                yield contestant

    def work(self, name):
        rounds = self.given.rounds
        if WORKS[name][1] == "fill":
            rounds = min(rounds, FILL_ROUNDS)
        for contestant in self.contestants(name):
            self.setting(contestant, name)
        for number in range(1, rounds + 1):
            if WORKS[name][3]:
                self.disk(number)
            else:
                self.floors(name, number)
            for contestant in self.contestants(name):
                setting = self.setting(contestant, name)
                result = self.once(contestant, name, setting, self.given.seconds)
                if result is not None:
                    self.keep(name, contestant.name, number, result, setting=setting)


def versions():
    found = {}
    for package in peers.PACKAGES:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                              capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found[package] = done.stdout.strip()
    return found


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
    return {"cores": os.cpu_count(), "processor": model[1] if model else platform.machine(),
            "linux": platform.release(), "load": os.getloadavg()[0],
            "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") >> 20}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", default=",".join(WORKS), help=", ".join(WORKS))
    parser.add_argument("--only", action="append", metavar="NAME", help="repeatable: "
                        + "; ".join(one.name for one in peers.CONTESTANTS),
                        choices=[one.name for one in peers.CONTESTANTS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--tune-seconds", type=float, default=1)
    parser.add_argument("--no-tune", action="store_true", help="take each one's first setting")
    parser.add_argument("--connections", type=int, default=200, help="of W5")
    parser.add_argument("--count", type=int, help="messages of W6 (1,000,000; Manager 100,000)")
    parser.add_argument("--build", default=f"{ROOT}/build")
    parser.add_argument("--output", help="directory for the results (default: in the build's)")
    parser.add_argument("--dir", help="where servers keep their files (default: a temporary one)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    names = given.works.split(",")
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        parser.error(f"there is no work {unknown[0]}: {', '.join(WORKS)}")
    given.build = os.path.abspath(given.build)
    given.output = given.output or f"{given.build}/compare"
    top = tempfile.mkdtemp(prefix="steward-compare-", dir=given.dir)
    bench = Bench(given, top)
    document = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "command": " ".join(sys.argv), "machine": machine(), "versions": versions(),
                "rounds": given.rounds, "seconds": given.seconds}
    try:
        for name in names:
            bench.work(name)
    finally:
        shutil.rmtree(top, ignore_errors=True)
        document.update(runs=bench.runs, tried=bench.tried, failed=bench.failed,
                        skipped=[{"contestant": name, "durable": durable, "why": why}
                                 for (name, durable), why in bench.skipped.items()])
        report.write(document, WORKS, given.output)
    wrong = sum(run["result"].get("lost", 0) + run["result"].get("doubled", 0)
                for run in bench.runs)
    return 1 if wrong or bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
