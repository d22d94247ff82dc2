"""MANAGE on the wire, and the commands that stand on it: docs/protocol.md, docs/steward.md."""

import os
import pty
import subprocess

import harness
from cli_case import CliCase
from steward_wire import MANAGE, STAT


class Memory(CliCase):
    """A manager that keeps nothing: no cluster, nothing to back up."""

    def setUp(self):
        super().setUp()
        self.c = self.client()

    def test_the_rows_of_stat_come_first(self):
        rows = self.c.call(MANAGE, "journal", "")
        stat = self.c.call(STAT)
        self.assertEqual([set(row) for row in rows[:2]], [set(row) for row in stat])
        self.assertEqual(rows[2:], [{"journal": "memory"}])
        self.assertEqual(self.c.manage(""), [])

    def test_actions_that_cannot_be(self):
        for action, argument in (("nothing", ""), ("cluster.add", "4"), ("cluster.transfer", ""),
                                 ("backup.begin", ""), ("backup.read", "1 0"), ("journal ", "")):
            row, = self.c.manage(action, argument)
            self.assertEqual(row["code"], 1, (action, row))
            self.assertTrue(row["text"])
        self.refused("EINVAL", self.c.manage, "x" * 256)
        self.refused("EINVAL", self.c.manage, "journal", "x" * 256)

    def test_many_at_once(self):
        ids = [self.c.request(MANAGE, "journal", "") for _ in range(200)]
        for request in ids:
            self.assertEqual(self.c.wait(request)[2:], [{"journal": "memory"}])

    def test_cluster_commands_say_that_there_is_none(self):
        self.assertIn("no cluster", self.out("cluster", "status"))
        status, = self.json("cluster", "status")
        self.assertEqual(status, {"journal": "memory", "nodes": []})
        for words in (("add", 4), ("remove", 4), ("transfer", 4), ("transfer",)):
            self.fails(1, "STW_EINVAL", "cluster", *words)
        self.fails(1, "STW_EINVAL", "backup", os.path.join(self.directory, "b"))
        self.assertFalse(os.path.exists(os.path.join(self.directory, "b")))

    def test_wrong_use(self):
        for words in (("add",), ("add", "0"), ("add", "-1"), ("add", "4x"), ("remove", "x"),
                      ("add", "99999999999999999999"), ("transfer", "1", "2"), ("status", "1")):
            self.fails(2, "steward: ", "cluster", words[0], "--", *words[1:])
        self.fails(2, "steward: ", "backup")
        self.fails(2, "steward: ", "backup", "a", "b")

    def test_a_backup_is_not_written_to_a_terminal(self):
        ours, theirs = pty.openpty()
        try:
            done = subprocess.run(self.argv("backup", "-"), env=self.env(), stdout=theirs,
                                  stderr=subprocess.PIPE, timeout=harness.PATIENCE, check=False)
        finally:
            os.close(theirs)
            os.close(ours)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"terminal", done.stderr)


class Alone(CliCase):
    """A manager with a data directory: a cluster of one."""

    shared = False

    def setUp(self):
        super().setUp()
        self.durable = Durable(self.directory)
        self.processes.append(self.durable)
        self.durable.ready()
        self.memory, self.manager = self.manager, self.durable
        self.addCleanup(self.durable.kill)

    def clean(self):
        self.manager = self.memory
        super().clean()

    def test_status(self):
        self.out("put", "q", "a", "b")
        status, = self.json("cluster", "status")
        self.assertEqual((status["journal"], status["node"], status["leader"]), ("raft", 1, 1))
        self.assertGreaterEqual(status["applied"], 3)
        self.assertRegex(status["hash"], "^[0-9a-f]{16}$")
        node, = status["nodes"]
        self.assertEqual((node["node"], node["role"], node["leader"], node["alive"], node["lag"]),
                         (1, "voter", 1, 1, 0))
        self.assertEqual(node["match"], status["last"])
        self.out("put", "q", "c")
        later, = self.json("cluster", "status")
        self.assertGreater(later["hash_index"], status["hash_index"])
        self.assertNotEqual(later["hash"], status["hash"])
        text = self.out("cluster", "status")
        self.assertIn("node 1 leads in term", text)
        self.assertIn("voter", text)

    def test_changes_of_nothing(self):
        self.assertEqual(self.out("cluster", "add", 1), "")
        self.assertEqual(self.json("cluster", "remove", 9), [{"command": "cluster remove",
                                                              "cluster": "9"}])
        self.assertEqual(self.out("cluster", "transfer", 1), "")
        self.fails(1, "STW_ENOENT", "cluster", "transfer")
        self.fails(1, "STW_ENOENT", "cluster", "transfer", 2)


class Durable(harness.Manager):
    """A stewardd that keeps everything in a directory of its own."""

    def __init__(self, directory):
        self.data = os.path.join(directory, "data")
        self.ipc = "ipc://" + os.path.join(directory, "d")
        argv = [harness.binary("stewardd"), "--data", self.data, "--listen", self.ipc]
        harness.Process.__init__(self, directory, argv)


if __name__ == "__main__":
    harness.main()
