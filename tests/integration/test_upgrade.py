"""Nodes of two builds in one cluster: this one, and one that writes the next version of entries."""

import json
import os
import unittest
from unittest import mock

import harness
import test_cluster

NEXT = "stewardd_next"


def start(node, build):
    """Starts a node with this build."""
    binary = harness.binary
    with mock.patch.object(harness, "binary",
                           lambda name: binary(build if name == "stewardd" else name)):
        node.start()


class Upgrade(test_cluster.ClusterCase):
    """docs/decisions/rolling-upgrades.md."""

    def setUp(self):
        super().setUp()
        self.cluster.start()
        self.cluster.leader()
        self.fed = 0

    def replace(self, node, build):
        """Ends a node's process and starts the other build on its directory."""
        node.process.signal(test_cluster.signal.SIGTERM)
        self.assertEqual(node.process.wait(), 0, node.log())
        self.cluster.leader()
        start(node, build)
        self.cluster.leader()
        harness.eventually(self.all_alive, "all are alive")

    def all_new(self):
        """The leader has heard from everybody, and writes what only the new build reads."""
        return json.loads(self.steward("--json", "cluster", "status"))["format"] == 2

    def more(self, feed):
        """Some more items."""
        feed(self.fed, self.fed + 300)
        self.fed += 300

    def test_one_node_after_the_other(self):
        """Under load, forth, back and forth again; after the last one there is no way back."""
        nodes = list(self.cluster.nodes.values())
        producer, feed, writer = self.producer("load")
        for node, build in ((nodes[0], NEXT), (nodes[1], NEXT), (nodes[0], "stewardd"),
                            (nodes[0], NEXT), (nodes[2], NEXT)):
            self.more(feed)
            self.replace(node, build)
        self.more(feed)
        os.close(writer)
        self.assertEqual(producer.wait(), 0, producer.err())
        self.all_there("load", self.fed)
        harness.eventually(self.all_new, "the leader writes the new version")

        old = next(node for node in nodes if node is not self.cluster.leader())
        old.process.signal(test_cluster.signal.SIGTERM)
        self.assertEqual(old.process.wait(), 0, old.log())
        self.steward("put", "q", "new")
        start(old, "stewardd")
        self.assertEqual(old.process.wait(), 1, old.log())
        self.assertRegex(old.log(), "entry of version 2.*knows versions up to 1")
        start(old, NEXT)
        self.cluster.leader()
        harness.eventually(self.all_alive, "all are alive")
        self.assertEqual(self.steward("get", "q"), "new\n")

    def end(self):
        """The old build had to end."""
        for node in self.cluster.nodes.values():
            if node.process and not node.running():
                node.process.popen.returncode = 0
        super().end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
