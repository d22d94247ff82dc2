#!/usr/bin/python3
"""The house's style, checked as a test.

    tidy.py [--root DIR]     check the tree; prints file:line: rule: what and why
    tidy.py --self-test      check the checker: samples/bad must be caught line by line,
                             samples/good must pass

A finding that has to stay is marked on its line or just above, with a reason:
    /* tidy: allow banned: seeds the load generator, no secret depends on it */
"""

import argparse
import os
import re
import statistics
import sys

import rules
from csource import Source

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = "tests/tidy/samples"
TEXT = (".c", ".h", ".py", ".sh", ".md", ".cmake", ".txt", ".in", ".map", ".json", ".yml", ".yaml",
        ".service", ".conf", ".1", ".5", ".7", ".8", ".allow", ".supp")
NAMES = ("dev", "run", "Dockerfile", "Makefile", ".gitignore", ".clang-format", ".clang-tidy")
DATA = ("LICENSE", "corpus")


def tree_files(root):
    """Paths of the tree's text files, relative to root, sorted; no build directories."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(n for n in names if not skip_directory(directory, n))
        for name in files:
            if name in DATA or not (name.endswith(TEXT) or name in NAMES):
                continue
            found.append(os.path.relpath(os.path.join(directory, name), root))
    return sorted(p for p in found if not p.startswith(SAMPLES))


def skip_directory(directory, name):
    """Version control, build output, fuzz corpora, caches."""
    if name in (".git", "__pycache__", "steward.data") or name in DATA:
        return True
    built = os.path.exists(os.path.join(directory, name, "CMakeCache.txt"))
    return built or re.match(r"build($|-)", name) is not None


def check_file(root, path):
    """Findings (line, rule, message) of one file, the marks used, and its Source when it is C."""
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    lines = text.split("\n")
    findings = list(rules.text_findings(path, lines)) + list(rules.file_length(path, lines))
    source = None
    if path.endswith((".c", ".h")):
        source = Source(path, text)
        for rule in rules.RULES:
            findings += list(rule(source))
        findings += [(mark.line, "mark", f"'allow {mark.rule}' gives no reason")
                     for mark in source.marks if not mark.reason]
    kept = [f for f in findings if not (source and source.allows(f[1], f[0]))]
    return sorted(kept), len(findings) - len(kept), source


def check_tree(root):
    """Prints every finding and a summary; returns the number of findings."""
    total, marked, files, lengths = 0, 0, 0, []
    for path in tree_files(root):
        findings, allowed, source = check_file(root, path)
        files += 1
        marked += allowed
        total += len(findings)
        for line, rule, message in findings:
            print(f"{path}:{line}: {rule}: {message}")
        if source:
            lengths += [f.last - f.line + 1 for f in source.functions if f.is_definition]
    shape = ""
    if lengths:
        shape = f", median {statistics.median(lengths):.0f} lines, longest {max(lengths)}"
    print(f"tidy: {files} files, {len(lengths)} functions{shape}; "
          f"{total} findings, {marked} marked exceptions")
    return total


def expectations(text):
    """(line, rule) for every expect(rule) in a sample; expect(rule, +1) means the line below."""
    wanted = set()
    for number, line in enumerate(text.split("\n"), 1):
        for rule, offset in re.findall(r"expect\(([a-z-]+)(?:, *([+-]\d+))?\)", line):
            wanted.add((number + int(offset or 0), rule))
    return wanted


def check_sample(root, path):
    """The number of differences between what a sample expects and what the rules find."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        wanted = expectations(file.read())
    found = {(line, rule) for line, rule, _ in check_file(root, path)[0]}
    for line, rule in sorted(wanted - found):
        print(f"{path}:{line}: {rule}: expected here, but not found")
    for line, rule in sorted(found - wanted):
        print(f"{path}:{line}: {rule}: found here, but not expected")
    return len(wanted ^ found), {rule for _, rule in wanted}


def self_test():
    """Every rule is broken somewhere in the samples, is caught there, and nowhere else."""
    wrong, seen = 0, set()
    for sample in ("bad", "good"):
        root = os.path.join(HERE, "samples", sample)
        for path in tree_files(root):
            differences, rules_seen = check_sample(root, path)
            wrong += differences
            seen |= rules_seen
    long_file = list(rules.file_length("a.c", ["x"] * (rules.FILE_LINES_MAX + 1)))
    if not long_file or list(rules.file_length("a.c", ["x"] * rules.FILE_LINES_MAX)):
        print("file-length: does not hold its limit")
        wrong += 1
    every = {"function-length", "parameters", "banned", "includes", "public-comment", "limits",
             "columns", "marker", "path", "white-space", "mark"}
    for rule in sorted(every - seen):
        print(f"{rule}: no sample breaks it")
        wrong += 1
    print(f"tidy self-test: {len(seen) + 1} rules, {wrong} differences")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="check the style of the tree")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(HERE)))
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    wrong = self_test() if options.self_test else check_tree(options.root)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
