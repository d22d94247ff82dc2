"""Seven failures of multiprocessing.Manager: the first five, each killed with SIGKILL.

Sessions have their default grace time of 2 s, so whatever a dead process owned is free within 3 s
of its death (twice that where every instruction is instrumented).
"""

import os
import sys
import time

import harness
from steward_wire import ACK, QUEUE_JOIN, Client, Unanswered

FREE_WITHIN = 6.0 if harness.SHORT else 3.0
SEEN_WITHIN = 0.2           # the manager sees a closed connection, with much to spare
AT_ONCE = 1.5               # well before the grace time is over


class Failures(harness.Case):
    """By number, as in the README."""

    def victim(self, *arguments):
        """A process that is ready to be killed, and what it said."""
        argv = [sys.executable, "-B", os.path.join(harness.HERE, "victim.py"), self.endpoint]
        process = self.start([*argv, *arguments])

        def said():
            self.assertTrue(process.running(), process.err())
            return process.out().endswith("\n") and process.out()
        words = harness.eventually(said, "the victim is ready").split()
        self.assertEqual(words[0], "READY")
        return process, words[1:]

    def in_time(self, started):
        """Not more than FREE_WITHIN seconds since `started`."""
        self.assertLess(time.monotonic() - started, FREE_WITHIN)

    def test_1_the_holder_of_a_lock_is_killed(self):
        """The next waiter gets it, with a larger fencing token."""
        name, waiter = self.name(), self.client()
        holder, (token,) = self.victim("lock", name)
        request = waiter.acquire_request(name, timeout_ms=None)
        with self.assertRaises(Unanswered):
            waiter.wait(request, 0.2)
        holder.kill()
        killed = time.monotonic()
        new_token, depth = waiter.wait(request)
        self.in_time(killed)
        self.assertGreater(new_token, int(token))
        self.assertEqual(depth, 1)

    def test_1_a_killed_waiter_does_not_get_the_lock(self):
        """It is taken out of the line; who came after it gets the lock."""
        name, holder, last = self.name(), self.client(), self.client()
        token, _ = holder.acquire(name)
        waiter, _ = self.victim("wait-lock", name)
        request = last.acquire_request(name, timeout_ms=None)
        last.confirm()
        waiter.kill()
        killed = time.monotonic()
        holder.unlock(name, token)
        self.assertGreater(last.wait(request)[0], token)
        self.in_time(killed)

    def test_2_a_release_of_another_ones_lock(self):
        """Refused, whoever knows the token; and the holder still holds."""
        name, holder, other = self.name(), self.client(), self.client()
        token, _ = holder.acquire(name)
        self.refused("ENOTHOLDER", other.unlock, name, token)
        self.refused("ENOTHOLDER", holder.unlock, name, token + 1)
        self.refused("ENOTHOLDER", holder.unlock, name, token, owner=2)
        self.refused("EBUSY", other.acquire, name)
        self.assertEqual(holder.unlock(name, token), 0)
        self.assertGreater(other.acquire(name)[0], token)

    def test_3_a_client_is_killed_in_get(self):
        """Its waiter is gone: the next item goes to a living consumer."""
        queue, client = self.name(), self.client()
        victim, _ = self.victim("get", queue)
        self.assertEqual(client.show(queue)["getters"], 1)
        victim.kill()
        killed = time.monotonic()
        harness.eventually(lambda: client.show(queue)["getters"] == 0, "the waiter is gone")
        self.in_time(killed)
        client.put(queue, b"item")
        message = client.get(queue, timeout_ms=1000)
        self.assertEqual((message.body, message.deliveries), (b"item", 1))
        client.ack(message)

    def test_3_an_item_put_right_after_the_death(self):
        """It goes to a living consumer at once, long before the dead session ends."""
        queue, client, living = self.name(), self.client(), self.client()
        victim, _ = self.victim("get", queue)
        request = living.get_request(queue, timeout_ms=None)
        with self.assertRaises(Unanswered):
            living.wait(request, 0.1)
        victim.kill()
        killed = time.monotonic()
        time.sleep(SEEN_WITHIN)
        client.put(queue, b"item")
        message = living.wait(request)[0]
        self.assertLess(time.monotonic() - killed, AT_ONCE)
        self.assertEqual((message.body, message.deliveries), (b"item", 1))
        living.ack(message)

    def test_4_a_client_is_killed_in_a_blocked_put(self):
        """Nothing is inserted."""
        queue, client = self.name(), self.client()
        client.declare(queue, maxsize=1)
        client.put(queue, b"first")
        victim, _ = self.victim("put", queue, "ghost")
        self.assertEqual(client.show(queue)["putters"], 1)
        victim.kill()
        killed = time.monotonic()
        time.sleep(SEEN_WITHIN)
        client.ack(client.get(queue))
        self.refused("EEMPTY", client.get, queue)
        client.put(queue, b"second")        # not behind the dead one
        self.assertLess(time.monotonic() - killed, AT_ONCE)
        harness.eventually(lambda: client.show(queue)["putters"] == 0, "the waiter is gone")
        self.in_time(killed)
        message = client.get(queue)
        self.assertEqual((message.body, message.deliveries), (b"second", 1))
        client.ack(message)
        self.refused("EEMPTY", client.get, queue)
        self.assertEqual(client.show(queue)["put"], 2)

    def test_5_a_worker_is_killed_between_get_and_ack(self):
        """The item comes again with delivery count 2, and join returns."""
        queue, client, joiner = self.name(), self.client(), self.client()
        client.put(queue, b"item")
        worker, (body, token, deliveries) = self.victim("work", queue)
        self.assertEqual((body, deliveries), ("item", "1"))
        join = joiner.request(QUEUE_JOIN, queue, None)
        with self.assertRaises(Unanswered):
            joiner.wait(join, 0.1)
        worker.kill()
        killed = time.monotonic()
        message = client.get(queue, timeout_ms=10000)
        self.in_time(killed)
        self.assertEqual((message.body, message.deliveries), (b"item", 2))
        self.assertGreater(message.token, int(token))
        with self.assertRaises(Unanswered):
            joiner.wait(join, 0.1)
        client.ack(message)
        joiner.wait(join)

    def test_5_a_killed_consumer_only_counts_what_it_was_handed(self):
        """What lay in its prefetch buffer comes back uncounted, in the old order."""
        queue, client = self.name(), self.client()
        for i in range(6):
            client.put(queue, b"%d" % i)
        worker, handed = self.victim("prefetch", queue, "2")
        self.assertEqual(handed, ["0", "1"])
        worker.kill()
        harness.eventually(lambda: client.show(queue)["ready"] == 6, "all items came back")
        messages = client.get_many(queue, count=6)
        self.assertEqual([m.body for m in messages], [b"%d" % i for i in range(6)])
        self.assertEqual([m.deliveries for m in messages], [2, 2, 1, 1, 1, 1])
        client.wait_run(client.settle_request(ACK, messages[0].tag, 6), 6)

    def test_the_grace_time_of_a_clean_exit_is_none(self):
        """BYE gives everything back at once."""
        queue, client = self.name(), self.client()
        client.put(queue, b"item")
        worker = Client(self.endpoint, grace_ms=60000)
        worker.get(queue)
        worker.leave()
        self.assertEqual(client.get(queue, timeout_ms=1000).deliveries, 2)


if __name__ == "__main__":
    harness.main()
