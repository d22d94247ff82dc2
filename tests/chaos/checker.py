#!/usr/bin/python3
"""Judges histories: was every promise kept, as far as the clients can know?

    checker.py [--ordered QUEUE] [--permits NAME=N] FILE...

Each rule is a function that yields the faults it finds. What ended unknown may have happened or
not, and at any time from its invocation on; a rule accuses only where no such choice explains what
was seen. docs/chaos.md says what each rule stands for.
"""

import argparse
import collections
import heapq
import json
import sys

from history import FAIL, OK, UNKNOWN, History

SHOWN_MAX = 5       # faults of one rule that are printed


def broken(history, _):
    """The files themselves make sense."""
    yield from history.broken


def drained(history, _):
    """The run ended with a drain that found every queue finished: else nothing proves a loss."""
    if not any(note["op"] == "drained" for note in history.notes):
        yield "the queues were never seen empty at the end"


def lost(history, _):
    """What was confirmed was acknowledged in the end, by somebody, somehow."""
    ended = {c.key for c in history.settlements if c.op == "ack" and c.outcome != FAIL}
    for put in history.puts.values():
        if put.outcome == OK and put.key not in ended:
            yield f"{put}: never acknowledged"


def acked_again(history, _):
    """After an ack that was confirmed there is no later delivery: tokens say what is later."""
    acked = {}
    for call in history.settlements:
        if call.op != "ack" or call.outcome != OK:
            continue
        if call.key in acked:
            yield f"{call}: acknowledged before, with token {acked[call.key].token}"
        acked[call.key] = call
    for delivery in history.deliveries:
        ack = acked.get(delivery.key)
        if ack and delivery.token > ack.token:
            yield f"{delivery}: after its {ack}"


def invented(history, _):
    """What is delivered was put, as it is, and had not been refused."""
    for delivery in history.deliveries:
        put = history.puts.get(delivery.key)
        if put is None:
            yield f"{delivery}: nobody put it"
        elif put.value != delivery.value:
            yield f"{delivery}: its body is not that of the put"
        elif put.outcome == FAIL:
            yield f"{delivery}: its put was refused ({put.error})"
        elif delivery.time < put.invoked:
            yield f"{delivery}: before its {put}"
        elif delivery.queue != put.queue and not delivery.queue.endswith(".dead"):
            yield f"{delivery}: it was put into {put.queue}"


def unasked(history, _):
    """What is settled had been delivered to the same worker under that token."""
    given = {(d.worker, d.token): d.key for d in history.deliveries}
    for call in history.settlements:
        if given.get((call.worker, call.token)) != call.key:
            yield f"{call}: not what it was given"


def held_twice(history, _):
    """While a lease or lock is certainly held, nobody gets the next one.

    By tokens: B comes after A. A held it when it asked for its release, or for more time, and was
    not refused. So B cannot have been told of its own before that.
    """
    by_name = collections.defaultdict(list)
    for grant in history.grants:
        if grant.kind != "permit":
            by_name[(grant.kind, grant.name)].append(grant)
    for grants in by_name.values():
        grants.sort(key=lambda g: g.token)
        longest = None
        for grant in grants:
            if longest and grant.seen < longest.until:
                yield f"{grant}: while held by {longest}"
            if grant.until is not None and (longest is None or grant.until > longest.until):
                longest = grant


def permits(history, options):
    """Never more certain holders of a semaphore than it has permits."""
    by_name = collections.defaultdict(list)
    for grant in history.grants:
        if grant.kind == "permit" and grant.until is not None:
            by_name[grant.name].append(grant)
    for name, grants in by_name.items():
        grants.sort(key=lambda g: g.seen)
        holders = []
        for grant in grants:
            while holders and holders[0][0] <= grant.seen:
                heapq.heappop(holders)
            heapq.heappush(holders, (grant.until, grant.token))
            if len(holders) > options.permits.get(name, 1):
                yield f"{grant}: {len(holders)} holders at once"


def token_twice(history, _):
    """A token is given out once, for whatever it is given."""
    seen = {}
    for grant in history.grants:
        if grant.token in seen:
            yield f"{grant}: the token was given before: {seen[grant.token]}"
        seen[grant.token] = grant


def token_fell(history, _):
    """What is asked for after another grant was seen gets a larger token."""
    asked = sorted((g for g in history.grants if g.invoked is not None), key=lambda g: g.invoked)
    told = sorted(history.grants, key=lambda g: g.seen)
    highest, at = None, 0
    for grant in asked:
        while at < len(told) and told[at].seen < grant.invoked:
            if highest is None or told[at].token > highest.token:
                highest = told[at]
            at += 1
        if highest and grant.token <= highest.token:
            yield f"{grant}: asked for after {highest}"


def count_fell(history, _):
    """The delivery count of a message does not fall."""
    by_key = collections.defaultdict(list)
    for delivery in history.deliveries:
        by_key[(delivery.queue, delivery.key)].append(delivery)
    for deliveries in by_key.values():
        deliveries.sort(key=lambda d: d.token)
        for before, after in zip(deliveries, deliveries[1:]):
            if after.count < before.count:
                yield f"{after}: after {before}"


def order(history, options):
    """In a queue with one consumer: a put that was confirmed before another was asked for is
    delivered first."""
    first = {}
    for delivery in history.deliveries:
        if delivery.queue in options.ordered:
            first[delivery.key] = min(delivery.token, first.get(delivery.key, delivery.token))
    for queue in options.ordered:
        puts = [p for p in history.puts.values() if p.queue == queue and p.key in first]
        done = sorted((p for p in puts if p.outcome == OK), key=lambda p: p.ended)
        latest, at = None, 0
        for put in sorted(puts, key=lambda p: p.invoked):
            while at < len(done) and done[at].ended < put.invoked:
                if latest is None or first[done[at].key] > first[latest.key]:
                    latest = done[at]
                at += 1
            if latest and first[put.key] < first[latest.key]:
                yield f"{put}: delivered before the earlier {latest}"


def torn(history, _):
    """An atomic put is delivered all or not at all."""
    delivered = {d.key for d in history.deliveries}
    batches = collections.defaultdict(list)
    for put in history.puts.values():
        if put.batch:
            batches[(put.worker, put.batch)].append(put)
    for puts in batches.values():
        there = sum(put.key in delivered for put in puts)
        if 0 < there < len(puts):
            yield f"{puts[0]}: {there} of {len(puts)} of one atomic put were delivered"


RULES = (broken, drained, lost, acked_again, invented, unasked, held_twice, permits, token_twice,
         token_fell, count_fell, order, torn)


class Options:
    """What a run promised beside the general."""

    def __init__(self, ordered=("load.ordered",), semaphores=None, left_out=()):
        self.ordered = ordered
        self.permits = semaphores if semaphores is not None else {"semaphore.2": 2}
        self.left_out = left_out        # names of rules that a run cannot promise


def check(history, options=None):
    """{rule: [fault, ...]} of the rules that found any."""
    options = options or Options()
    faults = {}
    for rule in RULES:
        found = [] if rule.__name__ in options.left_out else list(rule(history, options))
        if found:
            faults[rule.__name__] = found
    return faults


def numbers(history):
    """What there was to judge."""
    acks = [c for c in history.settlements if c.op == "ack"]
    return {
        "puts": len(history.puts),
        "puts_confirmed": sum(p.outcome == OK for p in history.puts.values()),
        "puts_unknown": sum(p.outcome == UNKNOWN for p in history.puts.values()),
        "puts_refused": sum(p.outcome == FAIL for p in history.puts.values()),
        "deliveries": len(history.deliveries),
        "redeliveries": len(history.deliveries) - len({d.key for d in history.deliveries}),
        "acks_confirmed": sum(c.outcome == OK for c in acks),
        "acks_unknown": sum(c.outcome == UNKNOWN for c in acks),
        "locks": sum(g.kind == "acquire" for g in history.grants),
        "permits": sum(g.kind == "permit" for g in history.grants),
        "errors": {f"{op}: {error}": n for (op, error), n in sorted(history.errors.items())},
    }


def print_faults(faults):
    """A few of each rule, in words."""
    for rule, found in faults.items():
        for fault in found[:SHOWN_MAX]:
            print(f"{rule}: {fault}")
        if len(found) > SHOWN_MAX:
            print(f"{rule}: and {len(found) - SHOWN_MAX} more")


def main():
    parser = argparse.ArgumentParser(description="check histories of a chaos run")
    parser.add_argument("--ordered", action="append", default=[])
    parser.add_argument("--permits", action="append", default=[], metavar="NAME=N")
    parser.add_argument("files", nargs="+")
    given = parser.parse_args()
    semaphores = {name: int(n) for name, n in (p.rsplit("=", 1) for p in given.permits)}
    options = Options(tuple(given.ordered) or ("load.ordered",), semaphores or None)
    history = History(given.files)
    faults = check(history, options)
    print_faults(faults)
    print(json.dumps({**numbers(history), "faults": {r: len(f) for r, f in faults.items()}}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
