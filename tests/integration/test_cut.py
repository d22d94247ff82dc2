"""Connections that are cut in the middle of a stream, with what was on its way lost.

Nothing is lost or doubled, and the order is kept: with our own client and with `steward`.
"""

import os
import subprocess

import harness
from proxy import Proxy
from steward_wire import ACK

# ThreadSanitizer does not see how libzmq's threads agree, and each access to a large packet costs a
# suppressed report: there the same is done with little.
TINY = os.environ.get("STW_TINY") == "1"
ITEMS = 1000 if TINY else 10000 if harness.SHORT else 50000
WINDOW = 200 if TINY else 4000      # requests without an answer


def item(i):
    """The i-th line: long enough that a stream of them is cut several times."""
    return b"%08d " % i + b"." * 60


class Cut(harness.Case):
    """Everything under test goes through the proxy; what is checked goes beside it."""

    def proxy(self, seed, cuts=12, least=100000, most=400000):
        """A proxy to this manager."""
        port = int(self.manager.tcp.rsplit(":", 1)[1])
        if TINY:
            least, most, cuts = 20000, 40000, min(cuts, 3)
        proxy = Proxy(port, seed, least, most, cuts)
        self.addCleanup(proxy.stop)
        return proxy

    def cut_often_enough(self, proxy, least=3):
        """The test is worth something only if there were cuts."""
        self.assertGreaterEqual(proxy.cuts, 1 if harness.SHORT else least)

    def fill(self, queue, count):
        """Puts items, beside the proxy."""
        client = self.client()
        first, sent = client.puts(queue, map(item, range(count)))
        self.assertEqual(client.wait_run(first, sent, harness.PATIENCE), [None] * count)
        return client

    def check_queue(self, queue, count):
        """The queue holds the items 0 .. count-1, each once, in order."""
        client = self.client()
        row = client.show(queue)
        self.assertEqual((row["put"], row["ready"], row["leased"]), (count, count, 0))
        for start in range(0, count, 1000):
            wanted = [item(i) for i in range(start, min(start + 1000, count))]
            got = client.get_many(queue, count=1000)
            self.assertEqual([m.body for m in got], wanted)
            self.assertEqual({m.deliveries for m in got}, {1})
            client.wait_run(client.settle_request(ACK, got[0].tag, len(got)), len(got))

    def test_puts_of_our_client(self):
        """Requests without an answer are sent again, and applied once."""
        queue, proxy = self.name(), self.proxy(1)
        client = self.client(proxy.endpoint)
        for start in range(0, ITEMS, WINDOW):
            run = [item(i) for i in range(start, min(start + WINDOW, ITEMS))]
            first, count = client.puts(queue, run)
            self.assertEqual(client.wait_run(first, count, 60), [None] * count)
        self.cut_often_enough(proxy)
        self.assertGreater(client.resumes, 0)
        self.check_queue(queue, ITEMS)

    def test_a_stream_to_our_client(self):
        """Deliveries come once, in order; acks are sent again; credit goes on."""
        queue, proxy = self.name(), self.proxy(2)
        beside = self.fill(queue, ITEMS)
        client = self.client(proxy.endpoint)
        channel, acks = client.consume(queue, messages=2000), []
        for i in range(ITEMS):
            message = client.next(channel, timeout=60, credit=i % 100 == 99)
            self.assertEqual((message.body, message.deliveries), (item(i), 1))
            if i % 100 == 99:
                acks.append(client.settle_request(ACK, message.tag - 99, 100))
                client.add_credit(channel, 99, 99 * len(message.body))
        for request in acks:
            self.assertEqual(client.wait_run(request, 100, 60), [None] * 100)
        self.cut_often_enough(proxy)
        row = beside.show(queue)
        self.assertEqual((row["acked"], row["unfinished"], row["redelivered"]), (ITEMS, 0, 0))

    def test_gets_and_locks_while_it_is_cut(self):
        """One at a time: a get, a lock around it, an ack; a cut every few steps."""
        queue, lock, proxy = self.name(), self.name("lock"), self.proxy(3, cuts=0)
        rounds = 20 if harness.SHORT else 100
        beside = self.fill(queue, rounds)
        client, last = self.client(proxy.endpoint), 0
        for i in range(rounds):
            if i % 9 == 4:
                proxy.cut_now.set()
            token, depth = client.acquire(lock, timeout_ms=None, wait=30)
            self.assertGreater(token, last)
            self.assertEqual(depth, 1)
            last = token
            message = client.get(queue, wait=30)
            self.assertEqual((message.body, message.deliveries), (item(i), 1))
            if i % 9 == 7:
                proxy.cut_now.set()
            client.ack(message)
            self.assertEqual(client.unlock(lock, token), 0)
        self.assertGreater(client.resumes, 1)
        self.assertEqual(beside.show(queue)["unfinished"], 0)

    def steward(self, proxy, *arguments, **more):
        """The steward command through the proxy."""
        argv = [harness.binary("steward"), "--endpoint", proxy.endpoint, *arguments]
        return self.start(argv, **more)

    def lines(self, count):
        """A file of items."""
        path = os.path.join(self.directory, "lines")
        with open(path, "wb") as file:
            file.writelines(item(i) + b"\n" for i in range(count))
        return path

    def test_steward_put(self):
        """A pipe of lines into `steward put`."""
        queue, proxy = self.name(), self.proxy(4, least=300000, most=800000)
        with open(self.lines(ITEMS), "rb") as file:
            process = self.steward(proxy, "put", queue, stdin=file)
        self.assertEqual(process.wait(100), 0, process.err())
        self.cut_often_enough(proxy)
        self.check_queue(queue, ITEMS)

    def test_steward_get(self):
        """`steward get` of all lines."""
        queue, proxy = self.name(), self.proxy(5, least=300000, most=800000)
        beside = self.fill(queue, ITEMS)
        process = self.steward(proxy, "get", queue, "-n", str(ITEMS))
        self.assertEqual(process.wait(100), 0, process.err())
        self.cut_often_enough(proxy)
        status = subprocess.run(["cmp", self.lines(ITEMS), process.out_path], check=False)
        self.assertEqual(status.returncode, 0, "other lines came out than went in")
        row = beside.show(queue)
        self.assertEqual((row["acked"], row["unfinished"]), (ITEMS, 0))


if __name__ == "__main__":
    harness.main()
