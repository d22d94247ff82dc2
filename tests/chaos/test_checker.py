#!/usr/bin/python3
"""Forged histories: each lie must be found by its rule and by no other; good ones must pass.

A checker that finds nothing is worth as much as what it has been seen to find.
"""

import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import checker
from history import History

QUEUE, ORDERED = "load.0", "load.ordered"


class Forger:
    """Writes a history by hand. Its clock goes one second with every line."""

    def __init__(self):
        self.lines, self.now, self.ids = [], 0, 0
        self.token = 100

    def line(self, worker, event, **fields):
        """One line, one second later."""
        self.now += 1
        self.lines.append({"time": self.now * 10**9, "event": event, "worker": worker, **fields})

    def invoke(self, worker, op, **fields):
        """Asks; the id."""
        self.ids += 1
        self.line(worker, "invoke", id=self.ids, op=op, **fields)
        return self.ids

    def end(self, worker, op, number, event="ok", **fields):
        """Is told."""
        if event is not None:
            self.line(worker, event, id=number, op=op, **fields)

    def put(self, key, event="ok", queue=QUEUE, value=7, **fields):
        """A put and its outcome (None: none is in the file)."""
        self.end("p", "put", self.invoke("p", "put", key=key, queue=queue, value=value, **fields),
                 event)

    def deliver(self, key, worker="c", token=None, queue=QUEUE, value=7, count=1):
        """A delivery of a stream, with the next token; the token."""
        if token is None:
            self.token += 1
            token = self.token
        self.line(worker, "deliver", op="get", key=key, queue=queue, value=value, token=token,
                  deliveries=count)
        return token

    def get(self, key, worker="c", token=None, **fields):
        """The same as a get with an invocation."""
        number = self.invoke(worker, "get", queue=QUEUE)
        if token is None:
            self.token += 1
            token = self.token
        self.line(worker, "deliver", id=number, op="get", key=key, queue=QUEUE, value=7,
                  token=token, deliveries=fields.get("count", 1))
        self.end(worker, "get", number)
        return token

    def settle(self, key, token, op="ack", event="ok", worker="c"):
        """An ack or another end of a delivery."""
        self.end(worker, op, self.invoke(worker, op, key=key, queue=QUEUE, token=token), event)

    def acquire(self, worker, token=None, name="lock.0", op="acquire"):
        """A lock; its token."""
        number = self.invoke(worker, op, queue=name)
        if token is None:
            self.token += 1
            token = self.token
        self.end(worker, op, number, token=token)
        return token

    def unlock(self, worker, token, event="ok", name="lock.0", op="unlock"):
        """Gives a lock back."""
        self.end(worker, op, self.invoke(worker, op, queue=name, token=token), event)

    def drained(self):
        """The note that the queues were empty."""
        self.line("d", "note", op="drained")

    def check(self, **options):
        """{rule: faults}."""
        self.drained()
        return checker.check(History(lines=self.lines), checker.Options(**options))


class Good(unittest.TestCase):
    """Histories that look odd and accuse nobody."""

    def setUp(self):
        self.forger = Forger()

    def passes(self):
        """No rule finds anything."""
        self.assertEqual(self.forger.check(), {})

    def test_plain(self):
        for key in ("p-1", "p-2"):
            self.forger.put(key)
        for key in ("p-1", "p-2"):
            self.forger.settle(key, self.forger.get(key))
        self.passes()

    def test_unknown_put_is_free(self):
        self.forger.put("p-1", "unknown")
        self.forger.put("p-2", "unknown")
        self.forger.put("p-3", None)
        self.forger.settle("p-2", self.forger.get("p-2"))
        self.passes()

    def test_refused_put(self):
        self.forger.put("p-1", "fail")
        self.passes()

    def test_unknown_ack_may_come_again_or_not(self):
        for key in ("p-1", "p-2", "p-3"):
            self.forger.put(key)
        self.forger.settle("p-1", self.forger.get("p-1"), event="unknown")
        self.forger.settle("p-2", self.forger.get("p-2"), event=None)
        self.forger.settle("p-2", self.forger.get("p-2", count=2))
        self.forger.settle("p-3", self.forger.get("p-3"), event="fail")
        self.forger.settle("p-3", self.forger.get("p-3", count=2))
        self.passes()

    def test_late_sight_of_an_old_delivery(self):
        self.forger.put("p-1")
        token = self.forger.token = 200
        self.forger.settle("p-1", self.forger.deliver("p-1", token=201, count=2))
        self.forger.deliver("p-1", worker="slow", token=token)
        self.passes()

    def test_lock_lost_and_taken(self):
        lost = self.forger.acquire("a")
        taken = self.forger.acquire("b")
        self.forger.unlock("a", lost, "fail")
        self.forger.unlock("b", taken)
        self.passes()

    def test_unlock_unknown(self):
        first = self.forger.acquire("a")
        second = self.forger.acquire("b")
        self.forger.unlock("a", first, "unknown")
        self.forger.unlock("b", second)
        self.passes()

    def test_two_permits(self):
        tokens = [self.forger.acquire(w, name="semaphore.2", op="permit") for w in "ab"]
        for worker, token in zip("ab", tokens):
            self.forger.unlock(worker, token, name="semaphore.2")
        self.passes()

    def test_dead_letter(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.get("p-1"), op="reject")
        token = self.forger.deliver("p-1", queue="load.dead", count=1)
        self.forger.settle("p-1", token)
        self.passes()

    def test_order_of_overlapping_puts_is_free(self):
        first = self.forger.invoke("p", "put", key="p-1", queue=ORDERED, value=7)
        self.forger.put("p-2", queue=ORDERED)
        self.forger.end("p", "put", first)
        for key in ("p-2", "p-1"):
            self.forger.settle(key, self.forger.deliver(key, queue=ORDERED))
        self.passes()

    def test_whole_batches(self):
        for key in ("p-1", "p-2"):
            self.forger.put(key, "unknown", batch=5)
        for key in ("p-3", "p-4"):
            self.forger.put(key, "unknown", batch=7)
            self.forger.settle(key, self.forger.get(key))
        self.passes()

    def test_half_a_last_line(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write('{"time":1,"event":"note","worker":"w","op":"drained"}\n{"time":2,"ev')
            file.flush()
            self.assertEqual(checker.check(History([file.name])), {})


class Bad(unittest.TestCase):
    """One lie each."""

    def setUp(self):
        self.forger = Forger()

    def finds(self, *rules, **options):
        """Exactly these rules find something."""
        self.assertEqual(sorted(self.forger.check(**options)), sorted(rules))

    def test_lost(self):
        self.forger.put("p-1")
        self.finds("lost")

    def test_lost_after_a_delivery(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.get("p-1"), op="nack")
        self.finds("lost")

    def test_lost_after_a_refused_ack(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.get("p-1"), event="fail")
        self.finds("lost")

    def test_delivered_after_its_ack(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.get("p-1"))
        self.forger.deliver("p-1", count=2)
        self.finds("acked_again")

    def test_acked_twice(self):
        self.forger.put("p-1")
        for worker in "ab":
            self.forger.settle("p-1", self.forger.get("p-1", worker=worker), worker=worker)
        self.finds("acked_again")

    def test_put_twice_by_the_manager(self):
        self.forger.put("p-1")
        tokens = [self.forger.get("p-1", worker=w) for w in "ab"]
        self.forger.settle("p-1", tokens[0], worker="a")
        self.forger.settle("p-1", tokens[1], worker="b")
        self.finds("acked_again", "held_twice")

    def test_nobody_put_it(self):
        self.forger.settle("p-9", self.forger.get("p-9"))
        self.finds("invented")

    def test_another_body(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.deliver("p-1", value=8))
        self.finds("invented")

    def test_a_refused_put_is_delivered(self):
        self.forger.put("p-1", "fail")
        self.forger.settle("p-1", self.forger.get("p-1"))
        self.finds("invented")

    def test_delivered_before_it_was_put(self):
        self.forger.settle("p-1", self.forger.get("p-1"))
        self.forger.put("p-1")
        self.finds("invented")

    def test_another_queue(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.deliver("p-1", queue="load.1"))
        self.finds("invented")

    def test_settled_what_it_was_not_given(self):
        self.forger.put("p-1")
        token = self.forger.get("p-1")
        self.forger.settle("p-1", token, worker="other")
        self.finds("unasked")

    def test_leased_twice(self):
        self.forger.put("p-1")
        tokens = [self.forger.get("p-1", worker=w, count=n) for w, n in (("a", 1), ("b", 2))]
        self.forger.settle("p-1", tokens[0], op="nack", worker="a")
        self.forger.settle("p-1", tokens[1], worker="b")
        self.finds("held_twice")

    def test_renewed_by_one_and_given_to_another(self):
        self.forger.put("p-1")
        tokens = [self.forger.get("p-1", worker=w, count=n) for w, n in (("a", 1), ("b", 2))]
        self.forger.settle("p-1", tokens[0], op="renew", worker="a")
        self.forger.settle("p-1", tokens[1], worker="b")
        self.finds("held_twice")

    def test_two_holders(self):
        tokens = [self.forger.acquire(w) for w in "ab"]
        self.forger.unlock("a", tokens[0])
        self.forger.unlock("b", tokens[1])
        self.finds("held_twice")

    def test_two_holders_one_of_whom_was_killed(self):
        first = self.forger.acquire("a")
        self.forger.acquire("b")
        self.forger.unlock("a", first)
        self.finds("held_twice")

    def test_three_permits_of_two(self):
        tokens = [self.forger.acquire(w, name="semaphore.2", op="permit") for w in "abc"]
        for worker, token in zip("abc", tokens):
            self.forger.unlock(worker, token, name="semaphore.2")
        self.finds("permits")

    def test_a_token_again(self):
        self.forger.put("p-1")
        token = self.forger.deliver("p-1", worker="a")
        self.forger.deliver("p-1", worker="b", token=token)
        self.forger.settle("p-1", token, worker="b")
        self.finds("token_twice")

    def test_one_token_for_a_lock_and_a_lease(self):
        token = self.forger.acquire("a")
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.deliver("p-1", token=token))
        self.finds("token_twice")

    def test_a_smaller_token_for_the_next_holder(self):
        self.forger.unlock("a", self.forger.acquire("a", token=50))
        self.forger.unlock("b", self.forger.acquire("b", token=49))
        self.finds("held_twice", "token_fell")

    def test_a_smaller_token_after_a_holder_that_was_lost(self):
        self.forger.unlock("a", self.forger.acquire("a", token=50), "unknown")
        self.forger.unlock("b", self.forger.acquire("b", token=49), "unknown")
        self.finds("token_fell")

    def test_a_smaller_token_for_a_later_get(self):
        self.forger.put("p-1")
        self.forger.put("p-2")
        self.forger.settle("p-1", self.forger.get("p-1", token=50))
        self.forger.settle("p-2", self.forger.get("p-2", token=49))
        self.finds("token_fell")

    def test_the_count_falls(self):
        self.forger.put("p-1")
        self.forger.settle("p-1", self.forger.get("p-1", count=3), op="nack")
        self.forger.settle("p-1", self.forger.get("p-1", count=2))
        self.finds("count_fell")

    def test_out_of_order(self):
        for key in ("p-1", "p-2", "p-3"):
            self.forger.put(key, queue=ORDERED)
        for key in ("p-1", "p-3", "p-2"):
            self.forger.settle(key, self.forger.deliver(key, queue=ORDERED))
        self.finds("order")

    def test_a_torn_batch(self):
        for key in ("p-1", "p-2"):
            self.forger.put(key, "unknown", batch=5)
        self.forger.settle("p-1", self.forger.get("p-1"))
        self.finds("torn")

    def test_never_drained(self):
        faults = checker.check(History(lines=self.forger.lines))
        self.assertEqual(list(faults), ["drained"])

    def test_garbage_in_the_middle(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write('{"time":2,"ev\n{"time":1,"event":"note","worker":"w","op":"drained"}\n')
            file.flush()
            self.assertEqual(list(checker.check(History([file.name]))), ["broken"])

    def test_every_rule_was_broken_here(self):
        """The names of the rules stand in this file as often as they must: at least once."""
        with open(__file__, encoding="utf-8") as file:
            text = file.read()
        for rule in checker.RULES:
            self.assertIn(f'"{rule.__name__}"', text)


def honest_run(seed):
    """Lines of a small random run against an honest manager, with kills and lost outcomes."""
    chance, forger = random.Random(seed), Forger()
    ready, count = [], {}
    for n in range(60):
        key = f"p-{n}"
        forger.put(key, chance.choice(["ok", "ok", "ok", "unknown"]))
        if forger.lines[-1]["event"] == "ok" or chance.random() < 0.5:
            ready.append(key)
            count[key] = 1
        while ready and chance.random() < 0.6:
            worker = chance.choice("abc")
            key = ready.pop(0)
            token = forger.get(key, worker=worker, count=count[key])
            way = chance.random()
            if way < 0.7:
                done = chance.random() < 0.9
                forger.settle(key, token, event="ok" if done else "unknown", worker=worker)
                if not done and chance.random() < 0.5:
                    count[key] += 1
                    ready.append(key)
            else:
                forger.settle(key, token, op="nack", worker=worker)
                count[key] += 1
                ready.append(key)
            if way < 0.2:
                forger.unlock(worker, forger.acquire(worker))
    for key in ready:
        forger.settle(key, forger.get(key, count=count[key]))
    return forger


class Random(unittest.TestCase):
    """Honest runs pass; one of their lines changed is found, or could be true."""

    def test_honest_runs(self):
        for seed in range(50):
            self.assertEqual(honest_run(seed).check(), {}, f"seed {seed}")

    def test_forged_runs(self):
        """Takes back what the drain found: each such message is missed."""
        for seed in range(50):
            forger = honest_run(seed)
            confirmed = [x["id"] for x in forger.lines if x["op"] == "put" and x["event"] == "ok"]
            victim = random.Random(seed).choice(confirmed)
            key = next(x["key"] for x in forger.lines if x.get("id") == victim and "key" in x)
            ids = {x.get("id") for x in forger.lines if x.get("key") == key and x["op"] != "put"}
            forger.lines = [x for x in forger.lines if x.get("id") not in ids or not x.get("id")]
            self.assertEqual(list(forger.check()), ["lost"], f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
