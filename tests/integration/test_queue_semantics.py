"""What queues promise, seen from the wire: bounds, order, time, ends."""

import harness
from steward_wire import (ACK, CODE, CONSUMER_ENDED, LEASE_LOST, QUEUE_ALTER, QUEUE_DECLARE,
                          QUEUE_DELETE, QUEUE_JOIN, QUEUE_LIST, QUEUE_PAUSE, QUEUE_PEEK,
                          QUEUE_PURGE, QUEUE_REDRIVE, QUEUE_RESUME, QUEUE_SHUTDOWN, RENEW,
                          UNCONSUME, Refused, Unanswered)


def bodies(messages):
    """Their bodies."""
    return [message.body for message in messages]


class Queues(harness.Case):
    """One client or two; one manager for all tests."""

    def setUp(self):
        super().setUp()
        self.queue, self.c = self.name(), self.client()

    def fill(self, *items, **options):
        """Puts items one by one."""
        for item in items:
            self.c.put(self.queue, item, **options)

    def drain(self):
        """Gets and acks whatever is ready; the bodies."""
        found = []
        while True:
            try:
                message = self.c.get(self.queue)
            except Refused as refused:
                self.assertEqual(refused.name, "EEMPTY")
                return found
            found.append(message.body)
            self.c.ack(message)

    # ---- bounds --------------------------------------------------------------------------------

    def test_maxsize_blocks_until_there_is_room(self):
        self.c.declare(self.queue, maxsize=2)
        self.fill(b"1", b"2")
        self.refused("EFULL", self.c.put, self.queue, b"3", timeout_ms=0)
        self.refused("ETIMEOUT", self.c.put, self.queue, b"3", timeout_ms=100)
        first, _ = self.c.puts(self.queue, [b"3", b"4"])
        with self.assertRaises(Unanswered):
            self.c.wait(first, 0.1)
        self.c.ack(self.c.get(self.queue))
        self.c.wait(first)
        with self.assertRaises(Unanswered):
            self.c.wait(first + 1, 0.1)
        self.c.ack(self.c.get(self.queue))
        self.c.wait(first + 1)
        self.assertEqual(self.drain(), [b"3", b"4"])

    def test_max_bytes_bounds_too(self):
        self.c.declare(self.queue, max_bytes=10, overflow="reject")
        self.fill(b"12345")
        self.refused("EFULL", self.c.put, self.queue, b"123456")
        self.fill(b"12345")
        self.refused("ETOOBIG", self.c.put, self.queue, b"12345678901")

    def test_overflow_reject_does_not_wait(self):
        self.c.declare(self.queue, maxsize=1, overflow="reject")
        self.fill(b"1")
        self.refused("EFULL", self.c.put, self.queue, b"2", timeout_ms=None)

    def test_overflow_drop_oldest_keeps_the_newest(self):
        self.c.declare(self.queue, maxsize=2, overflow="drop_oldest")
        self.fill(b"1", b"2", b"3")
        self.assertEqual(self.c.show(self.queue)["dropped"], 1)
        self.assertEqual(self.drain(), [b"2", b"3"])

    def test_a_put_of_many_is_all_or_none(self):
        self.c.declare(self.queue, maxsize=3)
        self.fill(b"1")
        self.refused("EFULL", self.c.put, self.queue, b"2", b"3", b"4", timeout_ms=0)
        self.assertEqual(self.c.show(self.queue)["ready"], 1)
        self.c.put(self.queue, b"2", b"3")
        self.refused("ETOOBIG", self.c.put, self.queue, *[b"x"] * 4)
        self.assertEqual(self.drain(), [b"1", b"2", b"3"])

    # ---- order and time ------------------------------------------------------------------------

    def test_higher_priorities_go_first_in_order(self):
        for priority, body in [(0, b"a"), (9, b"b"), (255, b"c"), (9, b"d"), (0, b"e")]:
            self.fill(body, priority=priority)
        messages = self.c.get_many(self.queue, count=5)
        self.assertEqual(bodies(messages), [b"c", b"b", b"d", b"a", b"e"])
        self.assertEqual([m.priority for m in messages], [255, 9, 9, 0, 0])

    def test_a_returned_message_regains_its_place(self):
        self.fill(b"1", b"2", b"3")
        first, second = self.c.get_many(self.queue, count=2)
        self.c.nack(second)
        self.c.release(first)
        again = self.c.get_many(self.queue, count=3)
        self.assertEqual(bodies(again), [b"1", b"2", b"3"])
        self.assertEqual([m.deliveries for m in again], [1, 2, 1])
        self.assertEqual(again[1].fields["last_failure"], "failed")

    def test_delay(self):
        self.fill(b"late", delay_ms=300)
        self.assertEqual(self.c.show(self.queue)["delayed"], 1)
        self.refused("EEMPTY", self.c.get, self.queue)
        self.refused("ETIMEOUT", self.c.get, self.queue, timeout_ms=50)
        self.assertEqual(self.c.get(self.queue, timeout_ms=5000).body, b"late")

    def test_nack_with_delay(self):
        self.fill(b"x")
        self.c.nack(self.c.get(self.queue), 300, "later")
        self.refused("EEMPTY", self.c.get, self.queue)
        message = self.c.get(self.queue, timeout_ms=5000)
        self.assertEqual((message.deliveries, message.fields["first_failure"]), (2, "later"))

    def test_ttl(self):
        self.fill(b"short", ttl_ms=100)
        self.fill(b"long")
        harness.eventually(lambda: self.c.show(self.queue)["ready"] == 1, "it expired")
        self.assertEqual(self.drain(), [b"long"])
        self.assertEqual(self.c.show(self.queue)["expired"], 1)

    def test_headers_travel(self):
        headers = {"kind": "letter", "ü": "ß"}
        self.c.put(self.queue, b"x", headers=headers)
        fields = self.c.get(self.queue).fields
        self.assertEqual({k[2:]: v for k, v in fields.items() if k.startswith("h.")}, headers)
        self.refused("ETOOBIG", self.c.put, self.queue, b"x", headers={"k": "v" * 4096})
        self.refused("EINVAL", self.c.put, self.queue, b"x", colour="red")

    # ---- idempotent puts -----------------------------------------------------------------------

    def test_dedup_id_within_its_window(self):
        self.c.declare(self.queue, dedup_window_ms=400)
        self.assertEqual(self.c.put(self.queue, b"1", dedup_id=b"A"), 0)
        self.assertEqual(self.c.put(self.queue, b"2", dedup_id=b"A"), 1)
        self.assertEqual(self.client().put(self.queue, b"3", dedup_id=b"A"), 1)
        self.assertEqual(self.c.put(self.queue, b"4", dedup_id=b"B"), 0)
        self.assertEqual(self.drain(), [b"1", b"4"])
        self.c.idle(0.5)
        self.assertEqual(self.c.put(self.queue, b"5", dedup_id=b"A"), 0)
        self.refused("EINVAL", self.c.put, self.queue, b"1", b"2", dedup_id=b"C")

    # ---- leases --------------------------------------------------------------------------------

    def test_a_settled_message_cannot_be_settled_again(self):
        self.fill(b"1")
        message = self.c.get(self.queue)
        self.c.ack(message)
        for settle in (self.c.ack, self.c.nack, self.c.release, self.c.reject, self.c.renew):
            self.refused("ELEASE", settle, message)

    def test_one_ack_of_many_tags(self):
        self.fill(*[b"%d" % i for i in range(5)])
        messages = self.c.get_many(self.queue, count=5)
        self.c.ack(messages[2])
        results = self.c.wait_run(self.c.settle_request(ACK, messages[0].tag, 5), 5)
        self.assertEqual([getattr(r, "name", r) for r in results],
                         [None, None, "ELEASE", None, None])
        self.assertEqual(self.c.show(self.queue)["unfinished"], 0)

    def test_another_session_cannot_ack(self):
        self.fill(b"1")
        message = self.c.get(self.queue)
        self.refused("ELEASE", self.client().ack, message)
        self.c.ack(message)

    def test_a_lease_runs_out(self):
        self.fill(b"1")
        message = self.c.get(self.queue, lease_ms=200)
        self.assertEqual(message.lease_ms, 200)
        again = self.c.get(self.queue, timeout_ms=5000)
        self.assertEqual((again.body, again.deliveries), (b"1", 2))
        self.assertGreater(again.token, message.token)
        self.assertEqual(self.c.news, [[LEASE_LOST, message.tag, 1, CODE["ELEASE"]]])
        self.refused("ELEASE", self.c.ack, message)
        self.c.ack(again)

    def test_renew_prolongs(self):
        self.fill(b"1")
        message = self.c.get(self.queue, lease_ms=400)
        for _ in range(4):
            self.c.idle(0.2)
            self.assertEqual(self.c.renew(message), 400)
        self.assertEqual(self.c.settle(RENEW, message, 60000), 60000)
        self.c.idle(0.5)
        self.c.ack(message)

    def test_auto_ack_when_the_answer_was_seen(self):
        self.fill(b"1")
        self.c.get(self.queue, auto_ack=True)
        self.c.confirm()
        self.assertEqual(self.c.show(self.queue)["unfinished"], 0)

    def test_get_of_several_queues(self):
        names = [self.queue + str(i) for i in range(3)]
        request = self.c.get_request(*names, timeout_ms=None)
        other = self.client()
        other.put(names[2], b"z")
        message, = self.c.wait(request)
        self.assertEqual((message.queue, message.body), (names[2], b"z"))
        for name in names:
            other.put(name, name.encode())
        self.assertEqual([self.c.get(*names).queue for _ in names], names)
        self.refused("EEMPTY", self.c.get, *names)
        self.refused("EINVAL", self.c.get)

    def test_waiting_gets_are_served_in_turn(self):
        clients = [self.client() for _ in range(3)]
        requests = []
        for client in clients:
            requests.append(client.get_request(self.queue, timeout_ms=None))
            client.confirm()
        self.fill(b"0", b"1", b"2")
        got = [client.wait(request)[0].body for client, request in zip(clients, requests)]
        self.assertEqual(got, [b"0", b"1", b"2"])

    # ---- consumers -----------------------------------------------------------------------------

    def test_a_consumer_gets_no_more_than_its_credit(self):
        self.fill(*[b"%d" % i for i in range(10)])
        channel = self.c.consume(self.queue, messages=3)
        got = [self.c.next(channel, credit=False).body for _ in range(3)]
        self.assertEqual(got, [b"0", b"1", b"2"])
        self.assertIsNone(self.c.next(channel, timeout=0.2))
        self.c.add_credit(channel, 2, 0)
        self.assertEqual(self.c.next(channel, credit=False).body, b"3")
        self.assertEqual(self.c.next(channel, credit=False).body, b"4")
        self.assertIsNone(self.c.next(channel, timeout=0.2))
        self.c.call(UNCONSUME, channel)
        self.assertEqual(self.c.show(self.queue)["leased"], 5)

    def test_a_deleted_queue_ends_consumer_and_leases(self):
        self.fill(b"1")
        channel = self.c.consume(self.queue)
        message = self.c.next(channel)
        other = self.client()
        waiting = other.get_request(self.queue, timeout_ms=None)
        other.confirm()
        self.c.call(QUEUE_DELETE, self.queue)
        with self.assertRaises(Refused) as caught:
            other.wait(waiting)
        self.assertEqual(caught.exception.name, "EDELETED")
        self.refused("ELEASE", self.c.ack, message)
        self.assertIn([CONSUMER_ENDED, channel, CODE["EDELETED"]], self.c.news)
        self.refused("ENOENT", self.c.show, self.queue)

    # ---- dead letters --------------------------------------------------------------------------

    def test_max_deliveries_then_dead_letter_then_redrive(self):
        self.c.declare(self.queue, max_deliveries=2)
        self.fill(b"poison")
        self.c.nack(self.c.get(self.queue), 0, "first")
        self.c.nack(self.c.get(self.queue), 0, "second")
        self.refused("EEMPTY", self.c.get, self.queue)
        dead, = self.c.call(QUEUE_PEEK, self.queue + ".dead", 0, 10)
        self.assertEqual(dead["body"], b"poison")
        self.assertEqual(dead["dead.queue"], self.queue)
        self.assertEqual(dead["dead.deliveries"], 2)
        self.assertEqual((dead["first_failure"], dead["last_failure"]), ("first", "second"))
        self.assertTrue(dead["dead.reason"])
        self.assertEqual(self.c.call(QUEUE_REDRIVE, self.queue + ".dead", "", 0), 1)
        message = self.c.get(self.queue)
        self.assertEqual((message.body, message.deliveries), (b"poison", 1))
        self.c.ack(message)

    def test_reject_to_a_named_dead_letter_queue(self):
        grave = self.queue + "-grave"
        self.c.declare(self.queue, dead_letter=grave)
        self.fill(b"bad")
        self.c.reject(self.c.get(self.queue), "unreadable")
        message = self.c.get(grave)
        self.assertEqual(message.body, b"bad")
        self.assertEqual(message.fields["dead.queue"], self.queue)
        self.assertEqual(message.fields["last_failure"], "unreadable")
        self.c.release(message)
        self.assertEqual(self.c.call(QUEUE_REDRIVE, grave, self.queue + "-new", 0), 1)
        self.assertEqual(self.c.get(self.queue + "-new").body, b"bad")

    def test_a_full_dead_letter_queue_loses_nothing(self):
        self.c.declare(self.queue + ".dead", maxsize=1)
        self.fill(b"1", b"2")
        for message in self.c.get_many(self.queue, count=2):
            self.c.reject(message)
        self.assertEqual(self.c.show(self.queue)["unfinished"], 1)
        self.c.ack(self.c.get(self.queue + ".dead"))
        message = self.c.get(self.queue + ".dead", timeout_ms=5000)
        self.assertEqual(message.body, b"2")

    # ---- operating -----------------------------------------------------------------------------

    def test_peek_purge_pause_resume(self):
        self.fill(*[b"%d" % i for i in range(5)])
        rows = self.c.call(QUEUE_PEEK, self.queue, 1, 3)
        self.assertEqual([row["body"] for row in rows], [b"1", b"2", b"3"])
        self.c.call(QUEUE_PAUSE, self.queue)
        self.refused("ETIMEOUT", self.c.get, self.queue, timeout_ms=100)
        request = self.c.get_request(self.queue, timeout_ms=None)
        self.fill(b"5")
        with self.assertRaises(Unanswered):
            self.c.wait(request, 0.1)
        self.c.call(QUEUE_RESUME, self.queue)
        self.c.ack(self.c.wait(request)[0])
        self.assertEqual(self.c.call(QUEUE_PURGE, self.queue), 5)
        self.assertEqual(self.c.show(self.queue)["unfinished"], 0)

    def test_shutdown_lets_gets_empty_the_queue(self):
        self.fill(b"1", b"2")
        self.c.call(QUEUE_SHUTDOWN, self.queue, False)
        self.refused("ESHUTDOWN", self.c.put, self.queue, b"3")
        self.assertEqual(bodies(self.c.get_many(self.queue, count=5)), [b"1", b"2"])
        self.refused("ESHUTDOWN", self.c.get, self.queue, timeout_ms=None)

    def test_immediate_shutdown_ends_all_waits(self):
        self.c.declare(self.queue, maxsize=1)
        self.fill(b"1")
        held = self.c.get(self.queue)
        self.fill(b"2")
        put, _ = self.c.puts(self.queue, [b"3"])
        join = self.c.request(QUEUE_JOIN, self.queue, None)
        self.c.call(QUEUE_SHUTDOWN, self.queue, True)
        with self.assertRaises(Refused) as caught:
            self.c.wait(put)
        self.assertEqual(caught.exception.name, "ESHUTDOWN")
        self.c.wait(join)
        self.refused("ESHUTDOWN", self.c.get, self.queue)
        self.c.ack(held)

    def test_a_blocked_get_ends_with_the_shutdown(self):
        other = self.client()
        request = other.get_request(self.queue, timeout_ms=None)
        other.confirm()
        self.c.call(QUEUE_SHUTDOWN, self.queue, False)
        with self.assertRaises(Refused) as caught:
            other.wait(request)
        self.assertEqual(caught.exception.name, "ESHUTDOWN")

    def test_join(self):
        self.refused("ENOENT", self.c.call, QUEUE_JOIN, self.queue, None)
        self.fill(b"1", b"2")
        self.refused("ETIMEOUT", self.c.call, QUEUE_JOIN, self.queue, 50)
        self.refused("ETIMEOUT", self.c.call, QUEUE_JOIN, self.queue, 0)
        join = self.c.request(QUEUE_JOIN, self.queue, None)
        messages = self.c.get_many(self.queue, count=2)
        self.c.ack(messages[0])
        with self.assertRaises(Unanswered):
            self.c.wait(join, 0.1)
        self.c.ack(messages[1])
        self.c.wait(join)

    def test_declare_again_and_alter(self):
        self.c.declare(self.queue, maxsize=5, lease_ms=1000)
        self.c.declare(self.queue, maxsize=5)
        self.c.declare(self.queue)
        error = self.refused("EEXIST", self.c.declare, self.queue, maxsize=6)
        self.assertIn("maxsize", error.text)
        self.c.call(QUEUE_ALTER, self.queue, {"maxsize": 6})
        self.c.declare(self.queue, maxsize=6)
        row = self.c.show(self.queue)
        self.assertEqual((row["maxsize"], row["lease_ms"]), (6, 1000))
        self.refused("ENOENT", self.c.call, QUEUE_ALTER, self.queue + "-none", {"maxsize": 6})
        error = self.refused("EINVAL", self.c.declare, self.queue + "-new", colour=5)
        self.assertIn("colour", error.text)
        self.refused("EINVAL", self.c.call, QUEUE_DECLARE, self.queue + "-new", {"overflow": "x"})
        self.refused("EINVAL", self.c.declare, self.queue + "-new", lease_ms=1)

    def test_alter_makes_room(self):
        self.c.declare(self.queue, maxsize=1)
        self.fill(b"1")
        put, _ = self.c.puts(self.queue, [b"2"])
        self.c.call(QUEUE_ALTER, self.queue, {"maxsize": 2})
        self.c.wait(put)

    def test_names(self):
        for name in ("", "x" * 256, "a\nb", "\x7f", "$own"):
            self.refused("EINVAL", self.c.put, name, b"x")
        for name in ("x" * 255, "Größe", "a b/c.d:e"):
            self.c.put(name, b"x")
            self.c.ack(self.c.get(name))

    def test_list_in_pages(self):
        names = [f"{self.queue}-{i:02d}" for i in range(7)]
        for name in names:
            self.c.put(name, b"x")
        found, after = [], ""
        while True:
            rows = self.c.call(QUEUE_LIST, after, self.queue + "-", 3)
            self.assertLessEqual(len(rows), 3)
            if not rows:
                break
            found += [row["name"] for row in rows]
            after = found[-1]
        self.assertEqual(found, names)

    def test_a_hundred_thousand_messages_keep_their_order(self):
        count = 20000 if harness.SHORT else 100000
        first, sent = self.c.puts(self.queue, (b"%d" % i for i in range(count)))
        self.assertEqual(self.c.wait_run(first, sent, harness.PATIENCE), [None] * count)
        self.assertEqual(self.c.show(self.queue)["ready"], count)
        channel, acks = self.c.consume(self.queue, messages=5000), []
        for i in range(count):
            message = self.c.next(channel, credit=i % 1000 == 999)
            self.assertEqual(message.body, b"%d" % i)
            if i % 1000 == 999:
                self.c.add_credit(channel, 999, 1 << 16)
                acks.append(self.c.settle_request(ACK, message.tag - 999, 1000))
        for request in acks:
            self.assertEqual(self.c.wait_run(request, 1000), [None] * 1000)
        self.assertEqual(self.c.show(self.queue)["unfinished"], 0)


if __name__ == "__main__":
    harness.main()
