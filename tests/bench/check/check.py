#!/usr/bin/python3
"""Counts instructions per message with callgrind and compares them with the budget in the tree.

check.py --program PROGRAM --compiler NAME [--budget FILE] [--update]

Fails when a work takes more than 5 % over its budget, and names the functions that grew. Budgets
are for one compiler and version each; where there is none, or no valgrind, it is skipped (77).
--update writes what was found as the budget.
"""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORKS = ("runs", "singles", "locks", "codec")
OVER = 1.05  # instructions vary a little with the C library and the processor
UNDER = 0.90  # then the budget is worth lowering
SKIPPED = 77
NAMED_MAX = 8
FUNCTIONS_MIN = 0.5  # instructions a message; what is less is not written down


def functions(path):
    """Function -> its own instructions, from a callgrind file."""
    names, counts, current, called = {}, collections.Counter(), None, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if found := re.match(r"fn=\((\d+)\)(?: (.*))?", line):
                if found[2]:
                    names[found[1]] = found[2].split("'")[0]
                current = names[found[1]]
            elif found := re.match(r"cfn=\((\d+)\) (.*)", line):
                names[found[1]] = found[2].split("'")[0]
            elif line.startswith("calls="):
                called = True  # the next line is what the call cost: it counts there
            elif found := re.match(r"[+\-*\d]\S* (\d+)$", line):
                if not called and current:
                    counts[current] += int(found[1])
                called = False
    return counts


def count(program, work):
    """Instructions a message: in all, and of each function."""
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/callgrind"
        done = subprocess.run(
            ["valgrind", "-q", "--tool=callgrind", "--toggle-collect=measure",
             f"--callgrind-out-file={out}", program, work],
            capture_output=True, text=True, check=False, timeout=100)
        if done.returncode != 0:
            sys.exit(f"check: {program} {work} failed: {done.stderr}")
        messages, counts = int(done.stdout), functions(out)
    each = {name: own / messages for name, own in counts.items()}
    return sum(each.values()), each


def grown(before, now):
    """The functions that take more than they did, worst first."""
    more = sorted(((now[name] - before.get(name, 0), name) for name in now), reverse=True)
    return [f"{name}: {before.get(name, 0):.1f} -> {now[name]:.1f}"
            for rise, name in more[:NAMED_MAX] if rise >= FUNCTIONS_MIN]


def compare(work, budget, total, each):
    """Prints how it stands. false: over the budget."""
    ratio = total / budget["instructions"]
    print(f"check: {work}: {total:.1f} instructions a message, budget "
          f"{budget['instructions']:.1f} ({100 * (ratio - 1):+.1f} %)")
    if ratio > OVER:
        print(f"check: {work} is over its budget; these grew:")
        print("".join(f"    {line}\n" for line in grown(budget["functions"], each)), end="")
    elif ratio < UNDER:
        print(f"check: {work} got cheaper: keep it so with ./dev bench check --update")
    return ratio <= OVER


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--compiler", required=True, help="name and version: gcc 12.2.0 x86_64")
    parser.add_argument("--budget", default=f"{HERE}/budget.json")
    parser.add_argument("--update", action="store_true")
    given = parser.parse_args()
    if not shutil.which("valgrind"):
        print("check: skipped: valgrind is not installed")
        return SKIPPED
    budgets = {}
    if os.path.exists(given.budget):
        with open(given.budget, encoding="utf-8") as file:
            budgets = json.load(file)
    if given.compiler not in budgets and not given.update:
        print(f"check: skipped: there is no budget for {given.compiler}")
        return SKIPPED
    found, good = {}, True
    for work in WORKS:
        total, each = count(given.program, work)
        found[work] = {"instructions": round(total, 1),
                       "functions": {name: round(own, 1) for name, own in sorted(each.items())
                                     if own >= FUNCTIONS_MIN}}
        if given.update:
            print(f"check: {work}: {total:.1f} instructions a message")
        else:
            good = compare(work, budgets[given.compiler][work], total, each) and good
    if given.update:
        budgets[given.compiler] = found
        with open(given.budget, "w", encoding="utf-8") as file:
            json.dump(budgets, file, indent=1, sort_keys=True)
            file.write("\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
