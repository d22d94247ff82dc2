"""A manager that keeps everything: killed with SIGKILL, stopped, started again on its directory."""

import os
import re
import shutil
import stat
import threading
import time
import unittest

import harness
from steward_wire import ACK, Broken, Bye, Client, Refused, Unanswered

KILLS = 2 if harness.SHORT else 6
ALIVE_S = 0.4               # under load between two kills


class Kept(harness.DurableCase):
    """What comes back after any end."""

    def cli(self, *arguments, **more):
        """The steward command, in the background."""
        env = harness.environment(STEWARD_ENDPOINT=self.endpoint)
        return self.start([harness.binary("steward"), *arguments], env=env, **more)

    def test_7_the_manager_is_killed(self):
        """Clients that hold a lock, a lease and a blocked get sleep through it and go on."""
        queue, other, lock = self.name(), self.name("other"), self.name("lock")
        client, rival = self.client(), self.client()
        client.put(queue, b"leased")
        message = client.get(queue)
        token, _ = client.acquire(lock)
        blocked = client.get_request(other, timeout_ms=None)
        client.confirm()
        waiting = rival.acquire_request(lock, timeout_ms=None)
        rival.confirm()
        self.restart(down=0.5)
        rival.put(other, b"late")
        self.assertEqual(client.wait(blocked)[0].body, b"late")
        self.refused("EEMPTY", rival.get, queue)            # still leased
        with self.assertRaises(Unanswered):
            rival.wait(waiting, 0.2)                        # still locked
        client.ack(message)
        self.assertEqual(client.unlock(lock, token), 0)
        self.assertGreater(rival.wait(waiting)[0], token)
        self.assertEqual((client.resumes, client.news, rival.news), (1, [], []))
        self.assertEqual(client.show(queue)["unfinished"], 0)

    def test_7_with_the_command_line(self):
        """The library does it: a lock held by a command, and a get that waits."""
        lock, queue, done = self.name("lock"), self.name(), os.path.join(self.directory, "done")
        script = 'echo $STEWARD_TOKEN; while [ ! -e "$0" ]; do sleep 0.05; done'
        holder = self.cli("lock", lock, "--", "sh", "-c", script, done)
        harness.eventually(holder.out, "the lock")
        getter = self.cli("get", queue, "--timeout", "30")
        rival = self.client()
        harness.eventually(lambda: rival.show(queue)["getters"] == 1 if self.known(rival, queue)
                           else False, "the get waits")
        self.restart(down=0.3)
        rival.put(queue, b"late")
        self.assertEqual(getter.wait(), 0, getter.err())
        self.assertEqual(getter.out(), "late\n")
        self.refused("EBUSY", rival.acquire, lock)
        with open(done, "w", encoding="ascii"):
            pass
        self.assertEqual(holder.wait(), 0, holder.err())
        self.assertGreater(rival.acquire(lock)[0], int(holder.out()))

    def known(self, client, queue):
        """Is there such a queue?"""
        try:
            return bool(client.show(queue))
        except Refused:
            return False

    def test_a_session_that_nobody_resumes(self):
        """It ends after its time to live; its lock and its lease pass on."""
        lock, queue = self.name("lock"), self.name()
        gone, rival = self.client(ttl_ms=1500, grace_ms=100), self.client()
        rival.put(queue, b"item")
        gone.get(queue)
        token, _ = gone.acquire(lock)
        waiting = rival.acquire_request(lock, timeout_ms=None)
        rival.confirm()
        gone.vanish()
        self.restart()
        started = time.monotonic()
        self.assertGreater(rival.wait(waiting)[0], token)
        passed = time.monotonic() - started
        self.assertGreater(passed, 1.0)                     # its full time, not what was left
        self.assertLess(passed, 6.0)
        self.assertEqual(rival.get(queue, timeout_ms=5000).deliveries, 2)

    def test_what_was_taken_for_good_does_not_come_again(self):
        """A get that acknowledges by itself, and its confirmation: not confirmed before kept."""
        queue, client = self.name(), self.client()
        for body in (b"1", b"2", b"3"):
            client.put(queue, body)
            self.assertEqual(client.get(queue, auto_ack=True).body, body)
            client.confirm()
            self.restart()
            self.assertEqual(client.show(queue)["unfinished"], 0)
        self.assertEqual(client.show(queue)["redelivered"], 0)

    def test_a_stream_goes_on(self):
        """A consumer gets each message once; what it was not handed comes uncounted."""
        queue, client, putter = self.name(), self.client(), self.client()
        channel = client.consume(queue, messages=10)
        first, count = putter.puts(queue, [b"%d" % i for i in range(40)])
        putter.wait_run(first, count)
        for i in range(40):
            if i in (5, 25):
                self.restart()
            message = client.next(channel, timeout=10)
            self.assertEqual((message.body, message.deliveries), (b"%d" % i, 1))
            client.ack(message)
        self.assertEqual(client.show(queue)["unfinished"], 0)

    def test_sigterm_and_start(self):
        """Everybody is told to go, and finds everything as it was."""
        queue, lock = self.name(), self.name("lock")
        client = self.client()
        client.put(queue, b"1", b"2")
        message = client.get(queue)
        token, _ = client.acquire(lock)
        harness.end_manager(self.manager)
        self.manager = self.new_manager()
        client.ack(message)
        self.assertEqual(client.unlock(lock, token), 0)
        self.assertEqual(client.get(queue).body, b"2")
        self.assertEqual(client.resumes, 1)

    @unittest.skipIf(harness.SHORT, "instrumented copies of 66 MB take longer than a session lives")
    def test_a_larger_body_max(self):
        """Larger than the files that are there already."""
        queue, body = self.name(), b"x" * (66 << 20)
        self.client().put(queue, b"small")
        self.options = ("--body-max", "67M", "--outbox-max", "80M")
        self.restart()
        client = self.client()
        client.put(queue, body, wait=60)
        self.options = ()
        self.restart()          # what was kept stays, whatever is allowed
        client = self.client()
        self.assertEqual(client.get(queue).body, b"small")
        self.assertEqual(len(client.get(queue, wait=60).body), len(body))

    def test_what_it_says(self):
        """The log: which journal, where, how long the start took; and no warning."""
        self.assertRegex(self.manager.err(), r"event=ready .*journal=raft directory=\S*/data\b")
        self.assertRegex(self.manager.err(), r"event=recovered seconds=\d+\.\d{3} entries=\d+")
        self.assertNotIn("in_memory", self.manager.err())
        self.assertEqual(stat.S_IMODE(os.stat(self.data).st_mode), 0o700)


class Directory(harness.DurableCase):
    """What must not be touched."""

    def refused_start(self, data):
        """A second manager on that directory: what it says."""
        argv = [harness.binary("stewardd"), "--data", data, "--listen",
                "ipc://" + os.path.join(self.directory, "t")]
        process = self.start(argv)
        self.assertEqual(process.wait(), 1, process.err())
        lines = [line for line in process.err().splitlines() if line.startswith("stewardd: ")]
        self.assertEqual(len(lines), 1, process.err())
        return lines[0]

    def test_two_managers(self):
        """The second is refused, and the first goes on."""
        self.assertIn("in use by another process", self.refused_start(self.data))
        self.client().put(self.name(), b"x")

    def test_a_directory_of_somebody_else(self):
        """It stays as it is."""
        path = os.path.join(self.directory, "home")
        os.mkdir(path)
        with open(os.path.join(path, "letter"), "w", encoding="ascii") as file:
            file.write("dear")
        self.assertIn(path, self.refused_start(path))
        self.assertEqual(os.listdir(path), ["letter"])

    def test_another_version(self):
        """A later format is refused; with the right file all is there again."""
        client = self.client()
        client.put(self.name(), b"x")
        harness.end_manager(self.manager)
        path = os.path.join(self.data, "version")
        with open(path, encoding="ascii") as file:
            right = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(re.sub(r"\d+", lambda found: str(int(found.group()) + 1), right, count=1))
        self.assertIn("this build knows format", self.refused_start(self.data))
        with open(path, "w", encoding="ascii") as file:
            file.write(right)
        self.manager = self.new_manager()
        self.assertEqual(self.client().get(self.name()).body, b"x")

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_a_disk_that_fails(self):
        """One line, no further word to anybody, exit 1; then all that was confirmed is there."""
        queue, confirmed, client = self.name(), 0, self.client(resume=False)
        client.put(queue, b"first")
        log = os.path.join(self.data, "log")
        harness.eventually(lambda: "unfinished" not in os.listdir(log), "files stand ready")
        tracer = self.start(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(self.manager.pid),
                             "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO:when=20+"])
        with self.assertRaises((Broken, Bye)):
            while confirmed < 100000:
                client.put(queue, b"%d" % confirmed)
                confirmed += 1
        self.assertEqual(self.manager.wait(), 1, self.manager.err())
        self.assertEqual(self.manager.err().count("event=journal_failed"), 1, self.manager.err())
        self.assertIn("Input/output error", self.manager.err())
        self.assertNotIn("event=stopped", self.manager.err())
        tracer.wait()
        self.manager = self.new_manager()
        self.assertIn(self.client().show(queue)["put"] - 1, (confirmed, confirmed + 1))

    def test_memory_keeps_nothing(self):
        """And writes nothing."""
        manager = harness.Manager(self.directory, listen=["ipc://" + self.directory + "/m"])
        manager.ready()
        self.addCleanup(manager.kill)
        self.client("ipc://" + self.directory + "/m").put("q", b"x")
        self.assertFalse(os.path.exists(os.path.join(self.directory, "steward.data")))
        manager.kill()
        again = harness.Manager(self.directory, listen=["ipc://" + self.directory + "/m"])
        again.ready()
        self.addCleanup(again.kill)
        with self.assertRaises(Refused):
            self.client("ipc://" + self.directory + "/m").get("q")


class Worker(threading.Thread):
    """A client of its own that does one thing until told to stop; its failure is the test's."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.endpoint, self.stopping, self.error = endpoint, False, None

    def run(self):
        try:
            client = Client(self.endpoint)
            while not self.stopping:
                self.step(client)
            self.end(client)
            client.leave()
        except Exception as error:      # pylint: disable=broad-except
            self.error = error

    def end(self, client):
        """What is left when it is told to stop."""


class Putter(Worker):
    """Numbered bodies; `confirmed` counts those that are certain."""

    def __init__(self, endpoint, queue, prefix):
        super().__init__(endpoint)
        self.queue, self.prefix, self.confirmed = queue, prefix, []
        self.number = 0

    def step(self, client):
        """A run of puts, not faster than a Python program gets them."""
        time.sleep(0.02)
        bodies = [b"%s%d" % (self.prefix, self.number + i) for i in range(50)]
        self.number += len(bodies)
        first, count = client.puts(self.queue, bodies)
        results = client.wait_run(first, count, 60)
        self.confirmed += [b for b, result in zip(bodies, results) if result is None]


class Getter(Worker):
    """Gets and acks; notes what was delivered, and what is acked for certain."""

    def __init__(self, endpoint, queue):
        super().__init__(endpoint)
        self.queue, self.delivered, self.acked = queue, [], []

    def step(self, client):
        """Some messages."""
        try:
            messages = client.get_many(self.queue, count=100, timeout_ms=100, wait=60)
        except Refused as refused:
            assert refused.name == "ETIMEOUT", refused
            return
        self.delivered += [message.body for message in messages]
        requests = [client.settle_request(ACK, message.tag, 1) for message in messages]
        for request, message in zip(requests, messages):
            client.wait(request, 60)
            self.acked.append(message.body)


class Locker(Worker):
    """Takes and gives a lock; its tokens."""

    def __init__(self, endpoint, lock):
        super().__init__(endpoint)
        self.lock, self.tokens = lock, []

    def step(self, client):
        """Once."""
        token, _ = client.acquire(self.lock, timeout_ms=None, wait=60)
        self.tokens.append((token, time.monotonic()))
        client.unlock(self.lock, token)


class Load(harness.DurableCase):
    """kill -9 in the middle of work."""

    def test_killed_again_and_again(self):
        """Nothing confirmed is lost, nothing acked comes again, tokens grow."""
        queue, lock = self.name(), self.name("lock")
        putters = [Putter(self.endpoint, queue, prefix) for prefix in (b"a", b"b")]
        getters = [Getter(self.endpoint, queue) for _ in range(2)]
        lockers = [Locker(self.endpoint, lock) for _ in range(2)]
        workers = [*putters, *getters, *lockers]
        for worker in workers:
            worker.start()
        for _ in range(KILLS):
            time.sleep(ALIVE_S)
            self.restart()
        time.sleep(ALIVE_S)
        self.stop_all(putters)
        client = self.client()
        harness.eventually(lambda: client.show(queue)["unfinished"] == 0, "the queue is empty")
        self.stop_all(workers)
        self.check(putters, getters, lockers)

    def stop_all(self, workers):
        """They end by themselves."""
        for worker in workers:
            worker.stopping = True
        for worker in workers:
            worker.join(harness.PATIENCE * 2)
            if worker.error:
                raise worker.error
            self.assertFalse(worker.is_alive(), worker)

    def check(self, putters, getters, lockers):
        """The books balance."""
        confirmed = [body for putter in putters for body in putter.confirmed]
        acked = [body for getter in getters for body in getter.acked]
        delivered = [body for getter in getters for body in getter.delivered]
        self.assertGreater(len(confirmed), 100 * KILLS)
        self.assertEqual(set(confirmed) - set(acked), set(), "confirmed, and lost")
        self.assertEqual(len(acked), len(set(acked)), "acked, and given again")
        self.assertEqual(len(delivered), len(set(delivered)), "leases did not survive")
        tokens = sorted((at, token) for locker in lockers for token, at in locker.tokens)
        grown = [token for _, token in tokens]
        self.assertEqual(grown, sorted(set(grown)), "tokens do not grow")
        self.assertGreater(len(grown), 10)


if __name__ == "__main__":
    harness.main()
