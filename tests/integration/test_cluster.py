"""Three nodes on the loopback: who leads, what a client sees when it dies, what a minority says."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness

NODES = (1, 2, 3)
FAILOVER_S = 20.0 if harness.SHORT else 10.0    # with much to spare: a busy machine
ITEMS = 3000 if harness.SHORT else 20000


def free_ports(count):
    """So many TCP ports of the loopback that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Node:
    """One node of a cluster: its process comes and goes, its directory and ports stay."""

    def __init__(self, cluster, number, ports):
        self.cluster, self.number = cluster, number
        self.address, self.endpoint = f"127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}"
        self.directory = os.path.join(cluster.directory, f"n{number}")
        self.data = os.path.join(self.directory, "data")
        self.process = None
        os.mkdir(self.directory)

    def options(self):
        """What it is always started with."""
        return ["--node", str(self.number), "--cluster", self.cluster.addresses(),
                "--cluster-key", self.cluster.key]

    def start(self, *more):
        """Starts it, and waits until it listens."""
        self.process = harness.Manager(self.directory, *self.options(), *more,
                                       listen=[self.endpoint], data=self.data)
        self.process.ready()

    def running(self):
        """Does its process run?"""
        return self.process is not None and self.process.running()

    def log(self):
        """All that this process has said."""
        return self.process.err()

    def role(self):
        """What it said last of who leads: (event, term, leader)."""
        said = re.findall(r"event=(leading|following|no_leader) node=\d+ term=(\d+)"
                          r"(?: leader=(\d+))?", self.log())
        return (said[-1][0], int(said[-1][1]), int(said[-1][2] or 0)) if said else ("", 0, 0)


class Cluster:
    """Three nodes with a key."""

    def __init__(self, directory):
        self.directory, self.key = directory, os.path.join(directory, "key")
        subprocess.run([harness.binary("stewardd"), "keygen", self.key], check=True,
                       stdout=subprocess.DEVNULL, timeout=harness.PATIENCE)
        ports = free_ports(2 * len(NODES))
        self.nodes = {i: Node(self, i, ports[2 * i - 2:2 * i]) for i in NODES}

    def addresses(self):
        """The value of --cluster."""
        return ",".join(f"{i}={node.address}" for i, node in self.nodes.items())

    def endpoints(self):
        """What a client is told."""
        return ",".join(node.endpoint for node in self.nodes.values())

    def start(self):
        """Founds it."""
        for node in self.nodes.values():
            node.start("--bootstrap")

    def running(self):
        """The nodes whose processes run."""
        return [node for node in self.nodes.values() if node.running()]

    def leader(self, but=None):
        """Waits for a leader that most follow; other than `but`."""
        def found():
            roles = {node.number: node.role() for node in self.running()}
            for number, (event, term, _) in roles.items():
                follow = [r for r in roles.values() if r[1:] == (term, number)]
                if event == "leading" and number != but and len(follow) * 2 > len(NODES):
                    return self.nodes[number]
            return None
        return harness.eventually(found, "a leader", FAILOVER_S)

    def stop(self):
        """Ends every process; the statuses of those that had to be asked."""
        for node in self.running():
            node.process.signal(signal.SIGCONT)
            node.process.signal(signal.SIGTERM)
        for node in self.nodes.values():
            if node.running():
                try:
                    node.process.popen.wait(harness.PATIENCE)
                except subprocess.TimeoutExpired:
                    node.process.kill()


class ClusterCase(unittest.TestCase):
    """Each test has a cluster of its own, of nodes that do not run yet."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="stw-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.processes = []
        self.cluster = Cluster(self.directory)
        self.addCleanup(self.end)

    def end(self):
        """No process outlives its test; none of them has crashed."""
        for process in self.processes:
            process.kill()
        self.cluster.stop()
        for node in self.cluster.nodes.values():
            if node.process:
                self.assertIn(node.process.popen.returncode, (0, -signal.SIGKILL), node.log())

    def env(self, endpoints=None):
        """The environment of `steward`."""
        return harness.environment(STEWARD_ENDPOINT=endpoints or self.cluster.endpoints())

    def steward(self, *arguments, endpoints=None, stdin=b"", status=0):
        """Runs `steward`; its stdout."""
        done = subprocess.run([harness.binary("steward"), *arguments], input=stdin, check=False,
                              env=self.env(endpoints), timeout=2 * harness.PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, status, (arguments, done.stdout[-300:], done.stderr))
        return (done.stdout if status == 0 else done.stderr).decode()

    def background(self, *arguments, **more):
        """Starts `steward`."""
        process = harness.Process(self.directory, [harness.binary("steward"), *arguments],
                                  env=self.env(), **more)
        self.processes.append(process)
        return process

    def status(self, endpoints=None):
        """steward --json cluster status."""
        return json.loads(self.steward("--json", "cluster", "status", endpoints=endpoints))

    def all_alive(self):
        """What it says, once it calls all nodes alive."""
        status = self.status()
        return status if all(row["alive"] for row in status["nodes"]) else None

    def producer(self, queue):
        """A `steward put` that gets its lines from a pipe, and a function that gives it some."""
        reader, writer = os.pipe()
        process = self.background("put", queue, stdin=reader)
        os.close(reader)
        self.addCleanup(lambda: writer >= 0 and _close(writer))

        def feed(first, last):
            os.write(writer, b"".join(b"%d\n" % i for i in range(first, last)))
        return process, feed, writer

    def all_there(self, queue, count):
        """Every item once, in order."""
        got = self.steward("get", queue, "--max", str(count), "--timeout", "5").split()
        self.assertEqual(len(got), count)
        self.assertEqual(got, [str(i) for i in range(count)])
        self.steward("get", queue, "--timeout", "0", status=3)


class ThreeNodes(ClusterCase):
    """They found a cluster."""

    def setUp(self):
        super().setUp()
        self.cluster.start()
        self.first = self.cluster.leader()

    # ---- serving -------------------------------------------------------------------------------

    def test_whoever_is_asked_the_leader_answers(self):
        for node in self.cluster.nodes.values():
            self.steward("put", "q", str(node.number), endpoints=node.endpoint)
            self.steward("stat", endpoints=node.endpoint)
        got = self.steward("get", "q", "--max", "3", endpoints=self.cluster.nodes[2].endpoint)
        self.assertEqual(got.split(), ["1", "2", "3"])

    def test_status_tells_of_all(self):
        self.steward("put", "q", "x")
        status = harness.eventually(self.all_alive, "all are alive")
        self.assertEqual(status["leader"], self.first.number)
        self.assertEqual([node["node"] for node in status["nodes"]], list(NODES))
        for row in status["nodes"]:
            node = self.cluster.nodes[row["node"]]
            self.assertEqual((row["role"], row["endpoint"]), ("voter", node.endpoint))
            self.assertEqual(row["address"], "tcp://" + node.address)

    # ---- failing over --------------------------------------------------------------------------

    def test_the_leader_is_killed_under_load(self):
        """A producer with all endpoints goes on; nothing is lost, nothing is there twice."""
        producer, feed, writer = self.producer("load")
        feed(0, ITEMS // 4)
        time.sleep(0.2)
        self.first.process.kill()
        killed = time.monotonic()
        feed(ITEMS // 4, ITEMS // 2)
        second = self.cluster.leader(but=self.first.number)
        print(f"another leads after {time.monotonic() - killed:.2f} s", flush=True)
        self.first.start()
        feed(ITEMS // 2, ITEMS)
        os.close(writer)
        self.assertEqual(producer.wait(), 0, producer.err())
        self.all_there("load", ITEMS)
        harness.eventually(lambda: self.first.role()[2] == second.number, "it follows")

    def test_the_leader_is_stopped_and_goes_on(self):
        """SIGSTOP: another leads meanwhile; the old one learns of it before it does anything."""
        producer, feed, writer = self.producer("load")
        feed(0, 2000)
        time.sleep(0.2)
        self.first.process.signal(signal.SIGSTOP)
        feed(2000, 4000)
        second = self.cluster.leader(but=self.first.number)
        time.sleep(1.0)
        self.first.process.signal(signal.SIGCONT)
        feed(4000, 6000)
        os.close(writer)
        self.assertEqual(producer.wait(), 0, producer.err())
        self.all_there("load", 6000)
        harness.eventually(lambda: self.first.role()[2] == second.number, "it follows")

    def test_a_leader_that_is_asked_to_leave_hands_over(self):
        """SIGTERM: another leads before the process has ended, and no client sees an error."""
        producer, feed, writer = self.producer("load")
        feed(0, 1000)
        lock = self.background("lock", "l", "--", "sleep", "2")
        time.sleep(0.3)
        self.first.process.signal(signal.SIGTERM)
        self.assertEqual(self.first.process.wait(), 0, self.first.log())
        self.assertIn("event=handing_over", self.first.log())
        self.assertRegex(self.first.log(), r"event=following .*leader=")
        self.cluster.leader(but=self.first.number)
        feed(1000, 2000)
        os.close(writer)
        self.assertEqual(producer.wait(), 0, producer.err())
        self.assertEqual(lock.wait(), 0, lock.err())
        self.all_there("load", 2000)

    def test_a_rolling_restart(self):
        """All three, one after the other."""
        producer, feed, writer = self.producer("load")
        for i, node in enumerate(self.cluster.nodes.values()):
            feed(i * 500, (i + 1) * 500)
            node.process.signal(signal.SIGTERM)
            self.assertEqual(node.process.wait(), 0, node.log())
            node.start()
            self.cluster.leader()
        os.close(writer)
        self.assertEqual(producer.wait(), 0, producer.err())
        self.all_there("load", 1500)

    def test_all_are_killed_at_once(self):
        """What was confirmed is there when they come back."""
        self.steward("put", "q", *[str(i) for i in range(100)])
        for node in self.cluster.nodes.values():
            node.process.kill()
        for node in self.cluster.nodes.values():
            node.start()
        self.cluster.leader()
        self.all_there("q", 100)

    # ---- too few -------------------------------------------------------------------------------

    def test_a_minority_refuses(self):
        """It says why, answers nothing, and goes on when a second one is back."""
        self.steward("put", "q", "x")
        others = [node for node in self.cluster.nodes.values() if node is not self.first]
        for node in others:
            node.process.kill()
        harness.eventually(lambda: self.first.role()[0] == "no_leader", "it gives up", FAILOVER_S)
        asked = [self.background(*words) for words in
                 (("put", "q", "y"), ("get", "q"), ("stat",), ("cluster", "status"))]
        for process in asked:
            self.assertEqual(process.wait(), 1)
            self.assertIn("ENOQUORUM", process.err())
            self.assertEqual(process.out(), "")
        others[0].start()
        self.cluster.leader()
        self.assertEqual(self.steward("get", "q"), "x\n")

    # ---- starting ------------------------------------------------------------------------------

    def fails(self, node, word, *options):
        """It does not start, and says why."""
        done = subprocess.run([harness.binary("stewardd"), "--data", node.data, "--listen",
                               "tcp://127.0.0.1:*", *options], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=harness.PATIENCE, check=False)
        self.assertIn(done.returncode, (1, 2))
        self.assertIn(word, done.stderr.decode())

    def test_what_does_not_start(self):
        node = self.cluster.nodes[1]
        node.process.kill()
        self.fails(node, "holds something already", *node.options(), "--bootstrap")
        os.chmod(self.cluster.key, 0o644)
        self.fails(node, "may be read by others", *node.options())
        os.chmod(self.cluster.key, 0o600)
        self.fails(node, "needs --cluster", "--node", "1")
        self.fails(node, "keygen", "--node", "1", "--cluster", "1=10.1.1.1:1,2=10.1.1.2:1")
        taken = self.cluster.nodes[2].address
        self.fails(node, "does another node run there?", "--node", "1", "--cluster", f"1={taken}",
                   "--cluster-key", self.cluster.key)

    def test_another_key_is_no_node(self):
        """It is not heard, and the others say that somebody knocked."""
        node = next(n for n in self.cluster.nodes.values() if n is not self.first)
        node.process.kill()
        other = os.path.join(self.directory, "other")
        subprocess.run([harness.binary("stewardd"), "keygen", other], check=True,
                       stdout=subprocess.DEVNULL, timeout=harness.PATIENCE)
        node.process = harness.Manager(
            node.directory, "--node", str(node.number), "--cluster", self.cluster.addresses(),
            "--cluster-key", other, listen=[node.endpoint], data=node.data).ready()
        harness.eventually(lambda: "event=stranger_refused" in self.first.log(), "it is refused")
        self.assertNotIn("event=node_up", node.log())
        self.steward("put", "q", "x")


class Founding(ClusterCase):
    """Nodes that were started before, and got nowhere."""

    def test_what_was_cut_short_is_begun_again(self):
        """A first start that was killed, and one that only waited, left nothing that counts."""
        first, second, third = self.cluster.nodes.values()
        os.makedirs(os.path.join(first.data, "log"), mode=0o700)
        for name in ("lock", "log/unfinished"):
            with open(os.path.join(first.data, name), "w", encoding="ascii"):
                pass
        second.start()
        harness.eventually(lambda: "event=waits_to_be_added" in second.log(), "it waits")
        second.process.kill()
        third.start("--bootstrap")
        third.process.kill()
        for node in (first, second):
            node.start("--bootstrap")
        third.start()
        self.cluster.leader()
        self.steward("put", "q", "x")
        self.assertEqual(self.steward("get", "q"), "x\n")


class OneToThree(ClusterCase):
    """A node that was alone gets two others, while it serves."""

    def test_it_grows(self):
        first, *others = self.cluster.nodes.values()
        first.process = harness.Manager(first.directory, listen=[first.endpoint],
                                        data=first.data).ready()
        self.steward("put", "q", "1", endpoints=first.endpoint)
        first.process.stop()
        first.start()
        self.steward("put", "q", "2")
        for node in others:
            node.start()
            harness.eventually(lambda: "event=waits_to_be_added" in node.log(), "it waits")
            self.steward("cluster", "add", str(node.number))
            self.steward("put", "q", str(node.number + 1))
        status = harness.eventually(self.all_alive, "all are alive")
        self.assertEqual([row["role"] for row in status["nodes"]], ["voter"] * 3)
        first.process.kill()
        self.cluster.leader(but=1)
        got = self.steward("get", "q", "--max", "4")
        self.assertEqual(got.split(), ["1", "2", "3", "4"])


def _close(descriptor):
    try:
        os.close(descriptor)
    except OSError:
        pass


if __name__ == "__main__":
    harness.main()
