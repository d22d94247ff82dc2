"""Three nodes and bodies of tens of MB: they get through beside small ones, and to all nodes."""

import os
import subprocess
import threading
import time
import unittest

import harness
from test_cluster import FAILOVER_S, NODES, ClusterCase

LIMITS = ("--body-max", "64M", "--outbox-max", "80M")
SIZES_MB = (2, 8) if harness.SHORT else (5, 20, 60)
AWAY_MB = 8 if harness.SHORT else 20
PUT_S = 60      # for the largest, on a busy machine


class LargeBodies(ClusterCase):
    """A founded cluster that takes bodies of up to 64 MB."""

    def setUp(self):
        super().setUp()
        for node in self.cluster.nodes.values():
            node.start("--bootstrap", *LIMITS)
        self.first = self.cluster.leader()

    def run_whole(self, *arguments, stdin=None):
        """`steward ... --whole`; what it printed."""
        done = subprocess.run([harness.binary("steward"), *arguments, "--whole"], env=self.env(),
                              stdin=stdin, timeout=PUT_S, check=True, stdout=subprocess.PIPE)
        return done.stdout

    def put_file(self, size_mb):
        """Puts so much; the bytes."""
        path = os.path.join(self.directory, "body")
        with open(path, "wb") as file:
            file.write(os.urandom(1 << 20) * size_mb)
        with open(path, "rb") as file:
            self.run_whole("put", "large", stdin=file)
        with open(path, "rb") as file:
            return file.read()

    def small_puts(self, until, times):
        """Puts small items, one after the other, until told; how long each took."""
        while not until.is_set():
            begun = time.monotonic()
            self.steward("put", "small", "x")
            times.append(time.monotonic() - begun)

    def test_they_get_through_beside_small_ones(self):
        until, times = threading.Event(), []
        small = threading.Thread(target=self.small_puts, args=(until, times))
        small.start()
        try:
            for size in SIZES_MB:
                body = self.put_file(size)
                self.assertEqual(self.run_whole("get", "large"), body)
        finally:
            until.set()
            small.join()
        self.assertGreater(len(times), len(SIZES_MB))
        self.assertLess(max(times), PUT_S)

    def test_a_follower_that_was_away_gets_them_too(self):
        away = next(node for node in self.cluster.nodes.values() if node is not self.first)
        away.process.kill()
        body = self.put_file(AWAY_MB)
        away.start(*LIMITS)
        harness.eventually(self.all_alive, "three nodes alive", FAILOVER_S)
        harness.eventually(self.all_caught_up, "no node behind", 3 * FAILOVER_S)
        leader = self.cluster.leader()
        other = next(node for node in self.cluster.nodes.values() if node not in (away, leader))
        other.process.kill()    # what is confirmed now, the one that was away confirms
        self.steward("put", "small", "y")
        self.assertEqual(self.run_whole("get", "large"), body)

    def all_caught_up(self):
        """No node lags, and all have said so."""
        rows = self.status()["nodes"]
        return len(rows) == len(NODES) and all(row["lag"] == 0 for row in rows)


if __name__ == "__main__":
    unittest.main()
