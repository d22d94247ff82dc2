"""The manager is stopped for 3 s and continued: nobody loses a session, a lease or a lock.

Times to live and leases here are shorter than the stop, so they would all be over if the manager
held its own silence against its clients.
"""

import os
import signal
import threading
import time

import harness

STOP_S = 3.0


class Stopped(harness.Case):
    """SIGSTOP, SIGCONT."""

    def stop(self, meanwhile=lambda: None):
        """Stops the manager for STOP_S seconds."""
        self.manager.signal(signal.SIGSTOP)
        self.addCleanup(self.manager.signal, signal.SIGCONT)
        started = time.monotonic()
        meanwhile()
        time.sleep(max(0, STOP_S - (time.monotonic() - started)))
        self.manager.signal(signal.SIGCONT)

    def test_quiet_clients_keep_everything(self):
        """They wait; nothing is reconnected, nothing runs out."""
        queue, lock, client = self.name(), self.name("lock"), self.client()
        client.put(queue, b"1")
        message = client.get(queue, lease_ms=1500)
        token, _ = client.acquire(lock, lease_ms=1500)
        waiting = client.get_request(queue, timeout_ms=2000)
        client.confirm()
        puts = []
        self.stop(lambda: puts.append(client.puts(queue, [b"2"])[0]))
        client.wait(puts[0])
        self.assertEqual(client.wait(waiting)[0].body, b"2")
        client.ack(message)
        self.assertEqual(client.unlock(lock, token), 0)
        self.assertEqual((client.resumes, client.news), (0, []))

    def test_impatient_clients_resume(self):
        """They take the silence for a broken connection, try again, and find all as it was."""
        queue, lock = self.name(), self.name("lock")
        client = self.client(ttl_ms=1000, grace_ms=500)
        client.put(queue, b"1")
        message = client.get(queue, lease_ms=1500)
        token, _ = client.acquire(lock)
        stopped = time.monotonic()
        stop = threading.Thread(target=self.stop, daemon=True)
        stop.start()
        time.sleep(0.1)
        put, _ = client.puts(queue, [b"2"])
        client.wait(put, 30)
        stop.join()
        self.assertGreater(time.monotonic() - stopped, STOP_S - 0.2)
        self.assertGreater(client.resumes, 0)
        client.ack(message)
        self.assertEqual(client.unlock(lock, token), 0)
        self.assertEqual(client.show(queue)["put"], 2)

    def test_the_line_of_a_lock_goes_on(self):
        """Holder and waiter, both stopped in the middle."""
        lock, a, b = self.name(), self.client(ttl_ms=6000), self.client(ttl_ms=6000)
        token, _ = a.acquire(lock)
        request = b.acquire_request(lock, timeout_ms=2000)
        b.confirm()
        self.stop()
        a.unlock(lock, token)
        self.assertGreater(b.wait(request)[0], token)

    def test_who_dies_meanwhile_is_noticed(self):
        """A client that goes away during the stop leaves nothing behind."""
        lock, a, b = self.name(), self.client(grace_ms=500), self.client()
        a.acquire(lock)
        self.stop(a.vanish)
        continued = time.monotonic()
        b.acquire(lock, timeout_ms=None)
        self.assertLess(time.monotonic() - continued, 3.0)

    def test_a_stream_between_two_steward_commands(self):
        """put and get are in the middle of it; all lines arrive once, in order."""
        queue, count = self.name(), 100000 if harness.SHORT else 1000000
        path = os.path.join(self.directory, "lines")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{i}\n" for i in range(count))
        steward = [harness.binary("steward"), "--endpoint", self.endpoint]
        holder = self.start([*steward, "lock", queue, "--", "sleep", "600"])
        get = self.start([*steward, "get", queue, "-n", str(count)])
        with open(path, "rb") as file:
            put = self.start([*steward, "put", queue], stdin=file)
        client = self.client()
        harness.eventually(lambda: os.path.getsize(get.out_path) > 1000, "lines arrive")
        self.stop(lambda: self.assertTrue(put.running() and get.running(), "too late"))
        self.assertEqual(put.wait(100), 0, put.err())
        self.assertEqual(get.wait(100), 0, get.err())
        with open(path, "rb") as wanted, open(get.out_path, "rb") as found:
            self.assertTrue(wanted.read() == found.read(), "other lines than went in")
        row = client.show(queue)
        self.assertEqual((row["put"], row["acked"], row["redelivered"]), (count, count, 0))
        self.assertTrue(holder.running())
        self.refused("EBUSY", client.acquire, queue)


if __name__ == "__main__":
    harness.main()
