#!/usr/bin/python3
"""Chaos on real processes: real clients write down what they are told while nodes, disks and
networks are made to fail; then a checker judges what they wrote. docs/chaos.md says more.

    chaos.py [NAME...] [--rounds N] [--seed S] [--keep] [--list] [--json FILE]

Prints a line of JSON for each run and a table at the end. What failed is kept, and said where.
"""

import argparse
import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lab as labs
import runs_cluster
import runs_disk
import runs_network
import runs_single

RUNS = {**runs_single.RUNS, **runs_disk.RUNS, **runs_cluster.RUNS, **runs_network.RUNS}
TABLE = ("puts_confirmed", "puts_unknown", "acks_confirmed", "redeliveries", "locks")


def run_one(name, rounds, seed, keep=False, timed=True):
    """Carries out one run; its result. timed False: on a busy machine, times prove nothing."""
    function, usual, _ = RUNS[name]
    rounds = rounds or usual
    lab = labs.Lab(name, seed)
    lab.timed = timed
    result = {"run": name, "seed": seed, "rounds": rounds, "outcome": "passed"}
    began = time.monotonic()
    try:
        function(lab, rounds)
    except labs.Skip as error:
        result.update(outcome="skipped", why=str(error))
    except (labs.Failed, OSError, ValueError, KeyError, labs.subprocess.SubprocessError) as error:
        traceback.print_exc()
        result.update(outcome="failed", why=str(error)[:2000], kept=lab.directory)
    finally:
        lab.end(keep or result["outcome"] == "failed" or sys.exc_info()[0] is not None)
    result.update(lab.result)
    result["seconds"] = round(time.monotonic() - began, 1)
    return result


def table(results):
    """One line a run."""
    columns = "".join(f"{name.replace('_', ' '):>16}" for name in TABLE)
    print(f"\n{'run':<16}{'outcome':<9}{'rounds':>7}{'s':>7}{columns}{'stall p50/max ms':>20}")
    for result in results:
        stall = result.get("stall") or {}
        times = f"{stall['p50_ms']}/{stall['max_ms']}" if stall else ""
        print(f"{result['run']:<16}{result['outcome']:<9}{result['rounds']:>7}"
              f"{result['seconds']:>7}"
              + "".join(f"{result.get(name, ''):>16}" for name in TABLE) + f"{times:>20}")
        if result["outcome"] != "passed":
            print(f"    {result['why'].splitlines()[0]}"
                  + (f"; histories and logs: {result['kept']}" if "kept" in result else ""))


def main():
    parser = argparse.ArgumentParser(description="chaos on real processes")
    parser.add_argument("names", nargs="*", metavar="NAME", help="runs; default: all")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep histories and logs of all runs")
    parser.add_argument("--list", action="store_true", help="names and rounds of the runs")
    parser.add_argument("--json", metavar="FILE", help="append the results' lines to FILE, too")
    given = parser.parse_args()
    if given.list:
        for name, (_, rounds, text) in RUNS.items():
            print(f"{name:<16}{rounds:>5}  {text}")
        return 0
    unknown = [name for name in given.names if name not in RUNS]
    if unknown:
        parser.error(f"there is no run {unknown[0]}; there are: {', '.join(RUNS)}")
    results = []
    for name in given.names or RUNS:
        seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(4), "big")
        print(f"chaos: {name}, seed {seed}", flush=True)
        results.append(run_one(name, given.rounds, seed, given.keep))
        print(json.dumps(results[-1]), flush=True)
        if given.json:
            with open(given.json, "a", encoding="ascii") as file:
                file.write(json.dumps(results[-1]) + "\n")
    table(results)
    return 1 if any(r["outcome"] == "failed" for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
