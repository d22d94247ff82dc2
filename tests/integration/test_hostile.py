"""Hostile bytes, floods and sizes: whatever one peer does, its neighbours go on."""

import os
import random
import resource
import socket
import struct
import time

import zmq

import harness
from hostile_packets import hostile_packets
from steward_wire import (ACK, CODE, PUTS, SESSION_LIST, QUEUE_PURGE, Broken, BYE, CONSUME, FAILED,
                          HELLO, WELCOME, Link, Refused, pack_values)

SEED = 20240607
GROWTH_KB = 200000 if harness.SHORT else 60000      # what hostile packets may cost at most


class Hostile(harness.Case):
    """One manager for all; a neighbour who wants to put and get."""

    def setUp(self):
        super().setUp()
        self.neighbour = self.client()

    def neighbour_works(self, what):
        """Its put and get go on as if nothing had been."""
        try:
            self.neighbour.put("neighbour", b"item")
            message = self.neighbour.get("neighbour", timeout_ms=1000)
            self.assertEqual((message.body, message.deliveries), (b"item", 1))
            self.neighbour.ack(message)
        except Exception as error:
            raise AssertionError(f"after {what}: {error}\n{self.manager.err()[-3000:]}") from error
        self.assertEqual(self.neighbour.resumes, 0, what)

    def link(self, hello):
        """A connection, with or without a session; it ends at once when the connection does."""
        link = Link(self.endpoint)
        if hello:
            link.send([[HELLO, 1, 1, 1, {"grace_ms": 0}]])
            self.assertEqual(link.receive(5)[0][0], WELCOME)
        return link

    def test_200_hostile_packets(self):
        """After each, a neighbour's put and get still work."""
        packets = list(hostile_packets(SEED, 2))
        self.assertGreaterEqual(len(packets), 200)
        before = self.manager.memory_kb()
        answered = 0
        for what, frames, fresh in packets:
            link = self.link(not fresh)
            link.send_frames(frames)
            link.sent = 1 << 64     # whatever number it claims to have
            self.neighbour_works(what)
            answered += self.answer(link, what)
            link.close()
        self.assertGreater(answered, 150)
        self.assertLess(self.manager.memory_kb() - before, GROWTH_KB)
        self.check_forgotten()

    def answer(self, link, what):
        """Was there an answer? Only refusals, goodbyes and harmless answers are right."""
        try:
            records = link.receive(0.2)
        except Broken:
            return True     # libzmq cut it: larger than any packet may be
        except Exception as error:
            raise AssertionError(f"after {what}: {error!r}") from error
        for record in records or ():
            if record[0] in (BYE, FAILED):
                code = record[1] if record[0] == BYE else record[3]
                self.assertNotIn(code, (0, CODE["EINTERNAL"]), what)
        return records is not None

    def check_forgotten(self):
        """No session of them stays."""
        harness.eventually(lambda: len(self.neighbour.call(SESSION_LIST, 0, 1000)) == 1,
                           "hostile sessions are over")

    def test_random_changes_of_good_packets(self):
        """Bits are flipped in packets that were right."""
        rng, rounds = random.Random(SEED), 60 if harness.SHORT else 300
        good = [frames for _, frames, fresh in hostile_packets(SEED, 2)
                if not fresh and 10 < len(frames[0]) < 5000]
        link = self.link(True)
        for i in range(rounds):
            data = bytearray(rng.choice(good)[0])
            for _ in range(rng.choice([1, 1, 2, 8])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            link.send_frames([bytes(data)])
            if i % 10 == 9:
                self.neighbour_works(f"change {i}")
            link.close()
            link = self.link(True)
        link.close()
        self.check_forgotten()

    def test_garbage_below_zeromq(self):
        """Bytes on the TCP port that are no ZMTP at all."""
        rng = random.Random(SEED)
        address = ("127.0.0.1", int(self.manager.tcp.rsplit(":", 1)[1]))
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
        garbage = [b"", b"\0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", rng.randbytes(5000), greeting,
                   greeting[:20], greeting + rng.randbytes(500), greeting + b"\x04\x05READY",
                   greeting + b"\x06" + struct.pack(">Q", 1 << 62),
                   b"\xff" * 64, greeting.replace(b"NULL", b"EVIL")]
        for data in garbage:
            with socket.create_connection(address, timeout=5) as sock:
                try:
                    sock.sendall(data)
                    self.neighbour_works(f"garbage {data[:20]!r}")
                except (ConnectionResetError, BrokenPipeError):
                    self.neighbour_works(f"garbage {data[:20]!r}")

    def test_other_zeromq_sockets(self):
        """Peers of other types, with routing ids of their own choice."""
        for kind in (zmq.REQ, zmq.ROUTER, zmq.DEALER, zmq.PUB):
            with zmq.Context.instance().socket(kind) as sock:
                sock.linger = 0
                sock.setsockopt(zmq.IMMEDIATE, 1)
                if kind == zmq.DEALER:
                    sock.routing_id = b"\x01" * 255
                sock.connect(self.endpoint)
                time.sleep(0.05)
                if sock.poll(50, zmq.POLLOUT):
                    try:
                        sock.send_multipart([b"", pack_values([[1, 0], [HELLO, 1, 1, 1, {}]])],
                                            flags=zmq.NOBLOCK)
                    except zmq.ZMQError:
                        pass
                self.neighbour_works(f"a socket of type {kind}")

    def test_two_peers_with_the_same_routing_id(self):
        """The second does not take the first one's connection away."""
        links = [Link(self.endpoint, options={zmq.ROUTING_ID: b"twin"}) for _ in range(2)]
        links[0].send([[HELLO, 1, 1, 1, {}]])
        self.assertEqual(links[0].receive(5)[0][0], WELCOME)
        try:
            links[1].send([[HELLO, 1, 1, 1, {}]], timeout=0.3)
        except Broken:
            pass
        self.neighbour_works("a twin")
        links[0].send()
        self.assertIsNotNone(links[0].receive(5))
        for link in links:
            link.close()

    def test_a_stranger_that_floods(self):
        """Thousands of packets without HELLO; log and memory stay bounded."""
        before, log = self.manager.memory_kb(), len(self.manager.err())
        link, count = Link(self.endpoint), 2000 if harness.SHORT else 10000
        packet = [os.urandom(3000)]
        for i in range(count):
            link.send_frames(packet)
            if i % 500 == 0:
                self.neighbour_works(f"{i} packets of a flood")
        self.neighbour_works("a flood")
        link.close()
        self.assertLess(self.manager.memory_kb() - before, GROWTH_KB)
        self.assertLess(len(self.manager.err()) - log, 100000)

    # ---- sizes ---------------------------------------------------------------------------------

    def test_bodies_of_all_sizes(self):
        """0 bytes, the limit, the limit + 1: refused, and the connection goes on."""
        client, limit = self.client(), 1 << 20
        self.assertEqual(client.welcome["body_max"], limit)
        for size in (0, 1, 65535, 65536, limit):
            body = os.urandom(size)
            client.put("sizes", body)
            message = client.get("sizes")
            self.assertEqual(message.body, body, size)
            client.ack(message)
        self.refused("ETOOBIG", client.put, "sizes", bytes(limit + 1))
        first, count = client.puts("sizes", [b"before", bytes(limit + 1), b"behind"])
        results = client.wait_run(first, count)
        self.assertEqual([getattr(r, "name", r) for r in results], [None, "ETOOBIG", None])
        self.assertEqual([m.body for m in client.get_many("sizes", count=3)],
                         [b"before", b"behind"])
        self.assertEqual(client.resumes, 0)

    def test_headers_names_and_reasons_at_their_limits(self):
        """What fits is taken; one more byte is refused by name."""
        client, queue = self.client(), "n" * 255
        client.put(queue, b"x", headers={"k" * 100: "v" * 3996})
        self.refused("ETOOBIG", client.put, queue, b"x", headers={"k" * 100: "v" * 3997})
        client.put(queue, b"x", dedup_id=b"d" * 128)
        self.refused("EINVAL", client.put, queue, b"x", dedup_id=b"d" * 129)
        message = client.get(queue)
        self.refused("EINVAL", client.nack, message, 0, "r" * 256)
        client.nack(message, 0, "r" * 255)
        self.refused("EINVAL", client.put, queue + "n", b"x")

    # ---- floods --------------------------------------------------------------------------------

    def test_a_thousand_connections(self):
        """All get a session, all can put; none disturbs the neighbour."""
        count = 200 if harness.SHORT else 1000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 4 * count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
        context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 2 * count + 100)
        sockets = []
        hello = pack_values([[1, 0], [HELLO, 1, 1, 1, {"grace_ms": 0}]])
        for _ in range(count):
            sock = context.socket(zmq.DEALER)
            sock.linger = 0
            sock.connect(self.endpoint)
            sock.send(hello)
            sockets.append(sock)
        for i, sock in enumerate(sockets):
            self.assertTrue(sock.poll(30000), f"connection {i} has no WELCOME")
            sock.recv_multipart()
        self.neighbour_works("a thousand connections")
        for sock in sockets:
            sock.send(pack_values([[2, 1], [PUTS, 1, "thousand", 0, [b"x"]]]))
        for sock in sockets:
            self.assertTrue(sock.poll(30000))
        self.assertEqual(self.neighbour.show("thousand")["ready"], count)
        self.neighbour_works("a thousand puts")
        context.destroy(linger=0)
        harness.eventually(lambda: len(self.neighbour.call(SESSION_LIST, 0, 1000)) == 1,
                           "their sessions end", pause=0.1)


class Bounded(harness.Case):
    """A manager with small bounds."""

    options = ("--outbox-max", "4M", "--memory-max", "64M", "--body-max", "100000",
               "--connections-max", "20")
    shared = False

    def test_a_consumer_that_never_reads(self):
        """Its session ends when too much waits for it; the items go to another."""
        count, body = 3000, bytes(10000)
        lazy = Link(self.endpoint, options={zmq.RCVHWM: 1, zmq.RCVBUF: 4096})
        lazy.send([[HELLO, 1, 1, 1, {"ttl_ms": 60000, "grace_ms": 0}]])
        self.assertEqual(lazy.receive(5)[0][0], WELCOME)
        lazy.send([[CONSUME, 1, ["q"], 10 ** 6, 1 << 40, None]])
        client = self.client()
        for start in range(0, count, 100):
            first, sent = client.puts("q", [body] * 100)
            client.wait_run(first, sent)
        got = 0
        while got < count:
            messages = client.get_many("q", count=100, timeout_ms=10000)
            got += len(messages)
            client.wait_run(client.settle_request(ACK, messages[0].tag, len(messages)),
                            len(messages))
        self.assertLess(self.manager.memory_kb(), 400000)
        self.assertEqual(len(client.call(SESSION_LIST, 0, 100)), 1)
        lazy.close()

    def test_the_memory_ceiling(self):
        """Puts are refused above it, everything else goes on; then puts again."""
        client, body = self.client(), bytes(90000)
        refusal, stored = None, 0
        while refusal is None and stored < 2000:
            try:
                client.put("q", body)
                stored += 1
            except Refused as refused:
                refusal = refused
        self.assertEqual(refusal.name, "EMEMORY")
        self.assertGreater(stored * len(body), 50 << 20)
        client.ack(client.get("q"))
        client.call(QUEUE_PURGE, "q")
        harness.eventually(lambda: self.puts_again(client, body), "puts are taken again")

    def puts_again(self, client, body):
        """Does a put get in?"""
        try:
            return client.put("q", body) == 0
        except Refused as refused:
            self.assertEqual(refused.name, "EMEMORY")
            return False

    def test_the_body_limit_is_an_option(self):
        """WELCOME says it."""
        client = self.client()
        self.assertEqual(client.welcome["body_max"], 100000)
        client.put("q", bytes(100000))
        self.refused("ETOOBIG", client.put, "q", bytes(100001))

    def test_the_limit_of_connections(self):
        """One too many is refused with ELIMIT; when one leaves there is room."""
        clients = [self.client() for _ in range(20)]
        link = Link(self.endpoint)
        link.send([[HELLO, 1, 1, 1, {}]])
        self.assertEqual(link.receive(5)[0][:2], [BYE, CODE["ELIMIT"]])
        link.close()
        clients[0].leave()
        self.client().put("q", b"x")


if __name__ == "__main__":
    harness.main()
