"""Sections 2 to 4 of docs/protocol.md: packets, request ids, sessions, and what breaks them."""

import os
import re
import time

import harness
from steward_wire import (QUEUE_PEEK, LOCK_SHOW, LOCK_LIST, SESSION_LIST, STAT, ACK, SESSION_KILL,
                          BYE_CLIENT, ACQUIRE, GOT, BYE, CANCEL, CODE, CONSUME, CREDIT, DELIVER,
                          FAILED, GET, HANDED, HELLO, NUMBER, PUT, PUTS, QUEUE_SHOW, RECEIPT, SEEN,
                          WELCOME, Bye, Link, pack_values)


class Raw:
    """A session without a client's cleverness: records out, records in."""

    def __init__(self, endpoint, features=1, versions=(1, 1), **info):
        self.link = Link(endpoint)
        self.queue = []
        self.link.send([[HELLO, *versions, features, info]])
        self.first = self.take()
        self.info = self.first[3] if self.first[0] == WELCOME else None

    def send(self, *records, body=None):
        """One packet."""
        self.link.send(records, body)

    def take(self, timeout=5.0):
        """The next record; None when none comes."""
        deadline = time.monotonic() + timeout
        while not self.queue:
            left = deadline - time.monotonic()
            records = self.link.receive(left) if left > 0 else None
            if records is None:
                return None
            self.queue += records
        return self.queue.pop(0)

    def quiet(self, timeout=0.2):
        """Nothing but keepalives comes."""
        return self.take(timeout) is None

    def close(self):
        """Without a word."""
        self.link.close()


class Rules(harness.Case):
    """One manager for all."""

    def setUp(self):
        super().setUp()
        self.queue = self.name()
        self.raws = []

    def clean(self):
        for raw in self.raws:
            if not raw.link.socket.closed:
                raw.send([BYE_CLIENT])
                raw.take(0.05)
                raw.close()
        super().clean()

    def raw(self, **more):
        """A raw session."""
        self.raws.append(Raw(self.endpoint, **more))
        return self.raws[-1]

    def bye(self, raw, error):
        """The manager says goodbye with this error."""
        record = raw.take()
        self.assertIsNotNone(record, "no BYE")
        self.assertEqual(record[:2], [BYE, CODE[error]], record)
        self.assertTrue(record[2])

    # ---- opening -------------------------------------------------------------------------------

    def test_welcome(self):
        raw = self.raw(ttl_ms=1, grace_ms=10 ** 9, host="h", program="p", pid=1, later="ignored")
        self.assertEqual(raw.first[:3], [WELCOME, 1, 1])
        info = raw.info
        self.assertEqual((info["ttl_ms"], info["grace_ms"]), (500, 3600000))
        self.assertEqual((info["resumed"], info["highest_request"]), (False, 0))
        self.assertEqual((len(info["secret"]), info["body_max"]), (16, 1 << 20))
        self.assertTrue(info["incarnation"] and info["server"].startswith("stewardd"))

    def test_versions(self):
        self.assertEqual(self.raw(versions=(0, 7)).first[0], WELCOME)
        self.assertEqual(self.raw(versions=(2, 7)).first[:2], [BYE, CODE["EVERSION"]])

    def test_the_first_packet_is_hello_alone(self):
        link = Link(self.endpoint)
        link.send([[QUEUE_SHOW, 1, "q"]])
        self.assertEqual(link.receive(5)[0][:2], [BYE, CODE["EPROTO"]])
        link.close()
        link = Link(self.endpoint)
        link.send([[HELLO, 1, 1, 1, {}], [PUTS, 1, self.queue, 0, [b"x"]]])
        self.assertEqual(link.receive(5)[0][:2], [BYE, CODE["EPROTO"]])
        link.close()

    def test_without_two_frames_large_bodies_come_in_the_head(self):
        body = os.urandom(200000)
        raw = self.raw(features=0)
        self.assertEqual(raw.first[2], 0)
        raw.send([PUTS, 1, self.queue, 0, [body]], [GET, 2, [self.queue], 1, 0, None, True])
        self.assertEqual(raw.take(), [RECEIPT, 1, 1])
        self.assertEqual(raw.take()[6], [body])

    # ---- packets -------------------------------------------------------------------------------

    def test_a_keepalive_is_answered(self):
        raw = self.raw()
        for _ in range(3):
            raw.send()
            while raw.link.confirmed < raw.link.sent:   # it may send some of its own accord
                self.assertEqual(raw.link.receive(5), [])

    def test_a_gap_in_packet_numbers_breaks_the_connection(self):
        raw = self.raw(grace_ms=10000)
        raw.link.sent += 1
        raw.send([PUTS, 1, self.queue, 0, [b"x"]])
        self.bye(raw, "EPROTO")
        raw.send([PUTS, 2, self.queue, 0, [b"x"]])
        self.assertTrue(raw.quiet())
        again = self.raw(session=raw.info["session"], secret=raw.info["secret"])
        self.assertTrue(again.info["resumed"])
        self.assertEqual(again.info["highest_request"], 0)

    def test_a_repeated_packet_breaks_the_connection(self):
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [b"x"]])
        raw.take()
        raw.link.sent -= 1
        raw.send([PUTS, 2, self.queue, 0, [b"x"]])
        self.bye(raw, "EPROTO")

    # ---- request ids ---------------------------------------------------------------------------

    def test_the_same_request_again_gets_the_kept_answer(self):
        raw = self.raw()
        put = [PUT, 1, self.queue, 0, {}, [b"x"]]
        for _ in range(3):
            raw.send(put)
            self.assertEqual(raw.take(), [NUMBER, 1, 0])
        raw.send([QUEUE_SHOW, 2, self.queue])
        self.assertEqual(raw.take()[2][0]["put"], 1)

    def test_requests_may_be_grouped_otherwise_when_sent_again(self):
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [b"1", b"2", b"3"]])
        self.assertEqual(raw.take(), [RECEIPT, 1, 3])
        raw.send([PUTS, 1, self.queue, 0, [b"1"]], [PUTS, 2, self.queue, 0, [b"2", b"3", b"4"]])
        self.assertEqual(raw.take(), [RECEIPT, 1, 4])
        raw.send([QUEUE_SHOW, 5, self.queue])
        self.assertEqual(raw.take()[2][0]["put"], 4)

    def test_the_same_id_with_other_content_is_refused(self):
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [b"x"]])
        raw.take()
        for other in ([PUTS, 1, self.queue, 0, [b"y"]], [PUTS, 1, self.queue + "2", 0, [b"x"]],
                      [PUTS, 1, self.queue, 9, [b"x"]], [PUT, 1, self.queue, 0, {}, [b"x"]],
                      [QUEUE_SHOW, 1, self.queue]):
            raw.send(other)
            self.assertEqual(raw.take()[:5], [FAILED, 1, 1, CODE["EREUSED"], "EREUSED"], other)
        raw.send([PUTS, 1, self.queue, 0, [b"x"]])
        self.assertEqual(raw.take(), [RECEIPT, 1, 1])

    def test_a_seen_answer_is_forgotten(self):
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [b"1", b"2"]])
        raw.take()
        raw.send([SEEN, 1, 1], [PUTS, 1, self.queue, 0, [b"1", b"2"]])
        self.assertEqual(raw.take(), [RECEIPT, 2, 1])
        self.assertTrue(raw.quiet())
        raw.send([QUEUE_SHOW, 3, self.queue])
        self.assertEqual(raw.take()[2][0]["put"], 2)

    def test_a_gap_in_request_ids_is_refused(self):
        raw = self.raw()
        raw.send([PUTS, 2, self.queue, 0, [b"x"]])
        self.assertEqual(raw.take()[:5], [FAILED, 2, 1, CODE["EPROTO"], "EPROTO"])
        raw.send([PUTS, 1, self.queue, 0, [b"x"]])
        self.assertEqual(raw.take(), [RECEIPT, 1, 1])

    def test_a_waiting_request_sent_again_waits_once(self):
        raw = self.raw()
        get = [GET, 1, [self.queue], 1, None, None, False]
        raw.send(get)
        raw.send(get)
        raw.send([PUTS, 2, self.queue, 0, [b"1", b"2"]])
        self.assertEqual(sorted(raw.take()[0] for _ in range(3)), [RECEIPT, GOT, DELIVER])
        self.assertTrue(raw.quiet())
        raw.send([QUEUE_SHOW, 4, self.queue])
        row = raw.take()[2][0]
        self.assertEqual((row["ready"], row["leased"]), (1, 1))

    def test_a_got_answer_sent_again_brings_its_messages_again(self):
        raw = self.raw()
        get = [GET, 2, [self.queue], 5, 0, None, False]
        raw.send([PUTS, 1, self.queue, 0, [b"1"]], get)
        first = [raw.take() for _ in range(3)]
        raw.send(get)
        self.assertEqual([raw.take() for _ in range(2)], first[1:])

    def test_cancel(self):
        raw = self.raw()
        raw.send([GET, 1, [self.queue], 1, None, None, False], [CANCEL, 2, 1])
        self.assertEqual(raw.take()[:4], [FAILED, 1, 1, CODE["ECANCELED"]])
        self.assertEqual(raw.take(), [RECEIPT, 2, 1])
        raw.send([PUTS, 3, self.queue, 0, [b"x"]], [CANCEL, 4, 3])
        self.assertEqual([raw.take(), raw.take()], [[RECEIPT, 3, 1], [NUMBER, 4, 0]])

    def test_a_cancelled_put_is_not_inserted(self):
        client = self.client()
        client.declare(self.queue, maxsize=1)
        client.put(self.queue, b"1")
        put, _ = client.puts(self.queue, [b"ghost"])
        client.call(CANCEL, put)
        self.refused("ECANCELED", client.wait, put)
        client.ack(client.get(self.queue))
        self.refused("EEMPTY", client.get, self.queue)
        self.assertEqual(client.show(self.queue)["put"], 1)

    def test_cancel_unlocks_what_was_acquired(self):
        raw, other = self.raw(), self.client()
        raw.send([ACQUIRE, 1, self.queue, 0, 1, 1, 0, 0, False])
        token = raw.take()[2]
        raw.send([CANCEL, 2, 1])
        self.assertEqual(raw.take(), [RECEIPT, 2, 1])
        self.assertGreater(other.acquire(self.queue)[0], token)

    def test_cancel_gives_back_what_was_got(self):
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [b"x"]], [GET, 2, [self.queue], 1, 0, None, False])
        tag = [raw.take() for _ in range(3)][1][3]
        raw.send([CANCEL, 3, 2], [ACK, 4, tag, 1], [QUEUE_SHOW, 5, self.queue])
        answers = [raw.take() for _ in range(3)]
        self.assertEqual(answers[0], [RECEIPT, 3, 1])
        self.assertEqual(answers[1][:4], [FAILED, 4, 1, CODE["ELEASE"]])
        self.assertEqual(answers[2][2][0]["ready"], 1)

    # ---- sessions ------------------------------------------------------------------------------

    def test_resume_needs_the_secret(self):
        raw = self.raw(grace_ms=5000)
        session, secret = raw.info["session"], raw.info["secret"]
        wrong = bytes([secret[0] ^ 1]) + secret[1:]
        self.assertEqual(self.raw(session=session, secret=wrong).first[:2],
                         [BYE, CODE["ESECRET"]])
        self.assertEqual(self.raw(session=session + 10 ** 6, secret=secret).first[:2],
                         [BYE, CODE["ESESSION"]])
        self.assertEqual(self.raw(session=session).first[:2], [BYE, CODE["EPROTO"]])
        raw.send([QUEUE_SHOW, 1, self.queue])
        self.assertEqual(raw.take()[0], FAILED)

    def test_a_resumed_session_supersedes_its_connection(self):
        old = self.raw()
        old.send([PUTS, 1, self.queue, 0, [b"x"]])
        self.assertEqual(old.take(), [RECEIPT, 1, 1])
        new = self.raw(session=old.info["session"], secret=old.info["secret"])
        self.assertEqual((new.info["resumed"], new.info["highest_request"]), (True, 1))
        old.send([PUTS, 2, self.queue, 0, [b"ghost"]])
        self.assertNotEqual((old.take(0.3) or [None])[0], RECEIPT)
        new.send([PUTS, 1, self.queue, 0, [b"x"]], [PUTS, 2, self.queue, 0, [b"y"]])
        self.assertEqual(new.take(), [RECEIPT, 1, 2])
        new.send([QUEUE_SHOW, 3, self.queue])
        self.assertEqual(new.take()[2][0]["put"], 2)

    def test_silence_ends_a_session_after_its_ttl(self):
        raw = self.raw(ttl_ms=500)
        started = time.monotonic()
        self.bye(raw, "ESESSION")
        self.assertGreater(time.monotonic() - started, 0.45)
        self.assertEqual(self.raw(session=raw.info["session"], secret=raw.info["secret"]).first[1],
                         CODE["ESESSION"])

    def test_keepalives_keep_a_session(self):
        client = self.client(ttl_ms=500, resume=False)
        client.acquire(self.queue)
        client.idle(2.0)
        self.assertEqual(client.news, [])
        self.refused("EBUSY", client.acquire, self.queue)

    def test_the_grace_time(self):
        client = self.client(grace_ms=1500)
        token, _ = client.acquire(self.queue)
        client.vanish()
        time.sleep(0.5)
        client.resume()
        self.assertEqual(client.unlock(self.queue, token), 0)
        client.acquire(self.queue)
        client.vanish()
        self.client().acquire(self.queue, timeout_ms=10000)
        with self.assertRaises(Bye) as caught:
            client.resume()
        self.assertEqual(caught.exception.name, "ESESSION")

    def test_a_blocked_request_survives_a_resume(self):
        client, other = self.client(), self.client()
        request = client.get_request(self.queue, timeout_ms=None)
        client.confirm()
        client.vanish()
        other.put(self.queue, b"x")
        client.resume()
        self.assertEqual(client.wait(request)[0].deliveries, 1)

    def test_an_operator_ends_a_session(self):
        victim, operator = self.raw(), self.client()
        operator.call(SESSION_KILL, victim.info["session"])
        self.bye(victim, "ESESSION")
        self.refused("ENOENT", operator.call, SESSION_KILL, victim.info["session"])

    def test_leaving_ends_the_session_at_once(self):
        raw, other = self.raw(), self.client()
        raw.send([ACQUIRE, 1, self.queue, 0, 1, 1, 0, 0, False])
        raw.take()
        raw.send([BYE_CLIENT])
        raw.take(0.2)
        raw.close()
        self.assertEqual(other.acquire(self.queue, timeout_ms=1000)[1], 1)

    # ---- streams -------------------------------------------------------------------------------

    def test_what_was_not_handed_does_not_count(self):
        raw, other = self.raw(), self.client()
        for body in (b"1", b"2", b"3"):
            other.put(self.queue, body)
        raw.send([CONSUME, 1, [self.queue], 10, 1 << 20, None])
        records = [raw.take(), raw.take()]
        delivery = next(r for r in records if r[0] == DELIVER)
        self.assertEqual(delivery[6], [b"1", b"2", b"3"])
        raw.send([HANDED, delivery[3]])
        raw.send([BYE_CLIENT])
        raw.take(0.2)
        raw.close()
        harness.eventually(lambda: other.show(self.queue)["ready"] == 3, "they come back")
        messages = other.get_many(self.queue, count=3)
        self.assertEqual([m.deliveries for m in messages], [2, 1, 1])

    def test_a_resumed_stream_begins_after_last_tag(self):
        raw, other = self.raw(), self.client()
        for body in (b"1", b"2", b"3"):
            other.put(self.queue, body)
        raw.send([CONSUME, 1, [self.queue], 3, 1 << 20, None])
        delivery = next(r for r in [raw.take(), raw.take()] if r[0] == DELIVER)
        first, token = delivery[3], delivery[4]
        new = self.raw(session=raw.info["session"], secret=raw.info["secret"], last_tag=first)
        again = new.take()
        self.assertEqual(again[:6], [DELIVER, 1, self.queue, first + 1, token + 1, delivery[5]])
        self.assertEqual(again[6], [b"2", b"3"])
        other.put(self.queue, b"4")
        self.assertTrue(new.quiet())
        new.send([CREDIT, 1, 1, 100])
        self.assertEqual(new.take()[6], [b"4"])

    def test_credit_in_bytes(self):
        raw, other = self.raw(), self.client()
        for body in (b"x" * 60, b"y" * 60, b"z" * 60):
            other.put(self.queue, body)
        raw.send([CONSUME, 1, [self.queue], 10, 100, None])
        got = [r[6] for r in (raw.take(), raw.take()) if r[0] == DELIVER]
        self.assertEqual(sum(len(bodies) for bodies in got), 2)
        raw.send([CREDIT, 1, 0, 100])
        self.assertEqual(raw.take()[6], [b"z" * 60])

    # ---- the page itself -----------------------------------------------------------------------

    def test_the_page_names_every_field_of_rows(self):
        path = os.path.join(harness.HERE, "..", "..", "docs", "protocol.md")
        with open(path, encoding="utf-8") as file:
            named = set(re.findall(r"[`\"]([a-z_.]+)[`\"]", file.read()))
        client = self.client()
        client.declare(self.queue, max_deliveries=1)
        client.put(self.queue, b"x" * 300000)
        client.nack(client.get(self.queue))
        client.put(self.queue, b"x")
        client.acquire(self.queue, lease_ms=1000)
        client.acquire_request(self.queue, owner=2, timeout_ms=None)
        rows = [client.show(self.queue), *client.call(QUEUE_PEEK, self.queue, 0, 10),
                *client.call(QUEUE_PEEK, self.queue + ".dead", 0, 10),
                *client.call(LOCK_SHOW, self.queue), *client.call(LOCK_LIST, "", "", 10),
                *client.call(SESSION_LIST, 0, 10), *client.call(STAT)]
        found = {key for row in rows for key in row}
        self.assertGreater(len(found), 60)
        self.assertEqual(found - named, set())

    # ---- frames --------------------------------------------------------------------------------

    def test_second_frames(self):
        raw = self.raw()
        body = os.urandom(100000)
        raw.send([PUTS, 1, self.queue, 0, [b"a", None, b"b"]], body=body)
        self.assertEqual(raw.take(), [RECEIPT, 1, 3])
        raw.send([GET, 4, [self.queue], 3, 0, None, True])
        bodies = []
        while len(bodies) < 3:
            bodies += raw.take()[6]
        self.assertEqual(bodies, [b"a", body, b"b"])
        raw.take()
        raw.send([PUTS, 5, self.queue, 0, [b"a"]], body=body)
        self.assertEqual(raw.take(), [RECEIPT, 5, 1])
        self.bye(raw, "EPROTO")
        raw = self.raw()
        raw.send([PUTS, 1, self.queue, 0, [None]])
        self.bye(raw, "EPROTO")
        raw = self.raw()
        raw.link.send_frames([pack_values([[2, 1]]), b"", b""])
        self.bye(raw, "EPROTO")


if __name__ == "__main__":
    harness.main()
