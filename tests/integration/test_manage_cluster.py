"""steward cluster and steward backup on three nodes; and redirects, by one that only redirects."""

import json
import os
import subprocess
import threading
import time

import msgpack
import zmq

import harness
from cli_case import CliCase
from steward_link import BYE, REDIRECT
from test_cluster import ClusterCase, Node, free_ports

PATIENCE = 60 if harness.SHORT else 30


class Commands(ClusterCase):
    """What an operator does."""

    def setUp(self):
        super().setUp()
        self.cluster.start()
        self.cluster.leader()

    def run_it(self, *arguments, status=0):
        """`steward ARGUMENTS`; its stdout and stderr."""
        done = subprocess.run([harness.binary("steward"), *map(str, arguments)],
                              env=harness.environment(STEWARD_ENDPOINT=self.cluster.endpoints()),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                              check=False)
        self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def status(self):
        """`steward --json cluster status`."""
        return json.loads(self.run_it("--json", "cluster", "status")[0])

    def nodes(self):
        """{id: role}"""
        return {node["node"]: node["role"] for node in self.status()["nodes"]}

    def test_status(self):
        self.run_it("put", "q", *range(100))
        status = self.status()
        self.assertEqual(status["leader"], status["node"])
        self.assertEqual(self.nodes(), {1: "voter", 2: "voter", 3: "voter"})
        for node in status["nodes"]:
            self.assertEqual(node["leader"], int(node["node"] == status["leader"]))
            self.assertEqual((node["alive"], node["lag"] < 10), (1, True), node)
            self.assertEqual(node["endpoint"], self.cluster.nodes[node["node"]].endpoint)
            self.assertIn(self.cluster.nodes[node["node"]].address, node["address"])

        def told():
            """Followers tell theirs with their heartbeats: each look is a command of its own."""
            return all(node["hash_index"] > 0 for node in self.status()["nodes"])
        harness.eventually(told, "all nodes tell the hash of their state", pause=0.05)

    def test_transfer(self):
        first = self.status()["leader"]
        other = first % 3 + 1
        began = time.monotonic()
        self.run_it("cluster", "transfer", other)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.status()["leader"], other)
        self.run_it("cluster", "transfer", other)       # it is so: no failure
        self.run_it("cluster", "transfer")
        self.assertNotEqual(self.status()["leader"], other)
        self.run_it("cluster", "transfer", 9, status=1)

    def test_replace_a_node_that_leads(self):
        self.run_it("put", "q", *range(200))
        self.cluster.nodes[4] = node = Node(self.cluster, 4, free_ports(2))
        node.start()
        self.run_it("cluster", "add", 4)
        self.assertEqual(self.nodes()[4], "voter")
        self.run_it("cluster", "add", 4)
        old = self.status()["leader"]
        self.run_it("cluster", "remove", old)
        self.assertNotIn(old, self.nodes())
        self.assertEqual(len(self.nodes()), 3)
        self.run_it("cluster", "remove", old)
        self.cluster.nodes[old].process.kill()
        out, _ = self.run_it("get", "q", "-n", 200)
        self.assertEqual(out.split(), [str(i) for i in range(200)])

    def test_a_node_that_does_not_run_is_waited_for(self):
        self.cluster.nodes[4] = Node(self.cluster, 4, free_ports(2))
        _, err = self.run_it("cluster", "add", 4, "--timeout", 1, status=3)
        self.assertIn("STW_ETIMEOUT", err)
        self.assertEqual(self.nodes()[4], "spare")      # and has no vote
        self.cluster.nodes[4].start()
        self.run_it("cluster", "add", 4)
        self.assertEqual(self.nodes()[4], "voter")

    def test_a_minority_says_so(self):
        leader = self.status()["leader"]
        for number in (leader % 3 + 1, leader):
            self.cluster.nodes[number].process.kill()
        _, err = self.run_it("cluster", "status", status=1)
        self.assertIn("STW_ENOQUORUM", err)
        _, err = self.run_it("put", "q", "x", status=1)
        self.assertIn("STW_ENOQUORUM", err)

    def test_backup_of_a_cluster_is_a_manager_alone(self):
        self.run_it("put", "q", *range(300))
        backup, data = os.path.join(self.directory, "b"), os.path.join(self.directory, "alone")
        self.run_it("backup", backup)
        subprocess.run([harness.binary("stewardd"), "restore", "--data", data, backup], check=True,
                       stderr=subprocess.DEVNULL, timeout=PATIENCE)
        alone = harness.Manager(self.directory, data=data).ready()
        self.processes.append(alone)
        done = subprocess.run([harness.binary("steward"), "--json", "cluster", "status"],
                              env=harness.environment(STEWARD_ENDPOINT=alone.ipc), check=True,
                              stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual([n["node"] for n in json.loads(done.stdout)["nodes"]], [1])
        done = subprocess.run([harness.binary("steward"), "get", "q", "-n", "300"], check=True,
                              env=harness.environment(STEWARD_ENDPOINT=alone.ipc),
                              stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual(done.stdout.split(), [b"%d" % i for i in range(300)])


class Signpost(threading.Thread):
    """A manager that answers every HELLO with one record."""

    def __init__(self, endpoint, record):
        super().__init__(daemon=True)
        self.record, self.asked, self.ending = record, 0, False
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.start()

    def run(self):
        while not self.ending:
            if self.socket.poll(20):
                peer, *_ = self.socket.recv_multipart()
                self.asked += 1
                head = msgpack.packb([1, 1]) + msgpack.packb(self.record)
                self.socket.send_multipart([peer, head])
        self.socket.close()
        self.context.term()

    def end(self):
        """Stops it."""
        self.ending = True
        self.join()


class Redirects(CliCase):
    """Where the library goes when it is sent elsewhere."""

    def signpost(self, name, record):
        """An endpoint that answers so."""
        endpoint = f"ipc://{self.directory}/{name}"
        post = Signpost(endpoint, record)
        self.addCleanup(post.end)
        return post, endpoint

    def through(self, endpoint, *arguments, status=0):
        """`steward -e ENDPOINT ARGUMENTS`; stdout and stderr."""
        done = subprocess.run([harness.binary("steward"), "-e", endpoint, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                              env=harness.environment(), check=False)
        self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def test_a_redirect_is_followed(self):
        post, there = self.signpost("r", [REDIRECT, self.endpoint])
        self.through(there, "put", self.name(), "a")
        self.assertEqual(self.through(there, "get", self.name())[0], "a\n")
        self.assertEqual(post.asked, 2)

    def test_a_redirect_to_nowhere_is_left(self):
        _, there = self.signpost("r", [REDIRECT, f"ipc://{self.directory}/nobody"])
        began = time.monotonic()
        self.through(there + "," + self.endpoint, "put", self.name(), "a")
        self.assertLess(time.monotonic() - began, 2)

    def test_not_now_is_asked_elsewhere(self):
        for code in (19, 29, 32):
            post, there = self.signpost(f"b{code}", [BYE, code, "not now"])
            self.through(there + "," + self.endpoint, "put", self.name(), "a")
            self.assertEqual(post.asked, 1)

    def test_nodes_without_a_leader(self):
        post, there = self.signpost("q", [BYE, 32, "no leader is known"])
        _, err = self.through(there, "stat", status=1)
        self.assertIn("STW_ENOQUORUM", err)
        self.assertLess(post.asked, 60)     # in the 5 s of opening, with pauses

    def test_two_that_send_to_each_other(self):
        first, a = self.signpost("a", [REDIRECT, f"ipc://{self.directory}/z"])
        second, z = self.signpost("z", [REDIRECT, a])
        self.through(a + "," + z, "stat", status=1)
        self.assertLess(first.asked + second.asked, 100)


if __name__ == "__main__":
    harness.main()
