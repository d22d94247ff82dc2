"""steward backup, stewardd restore: a manager's state elsewhere, later."""

import json
import os
import signal
import subprocess
import time

import harness
from cli_case import CliCase
from steward_wire import Broken, Bye

JUMP = 10 ** 15     # by which tokens and ids jump ahead at a restore


class Durable(harness.Manager):
    """A stewardd that keeps everything in a directory."""

    def __init__(self, directory, data):
        self.data = data
        self.ipc = "ipc://" + data + ".s"
        argv = [harness.binary("stewardd"), "--data", data, "--listen", self.ipc]
        harness.Process.__init__(self, directory, argv)


class BackupCase(CliCase):
    """A manager with a directory of its own."""

    shared = False

    def setUp(self):
        super().setUp()
        self.addCleanup(end, self.manager)
        self.manager = self.durable("data")
        self.c = self.client()

    def clean(self):
        for client in self.clients:
            if not client.link.socket.closed:
                client.vanish()
        for process in self.processes:
            process.kill()

    def path(self, name):
        """A file of this test."""
        return os.path.join(self.directory, name)

    def durable(self, name):
        """A manager on that directory."""
        manager = Durable(self.directory, self.path(name))
        self.processes.append(manager)
        return manager.ready()

    def tool(self, *arguments, status=0, stdin=None):
        """stewardd ARGUMENTS; (stdout, stderr)."""
        done = subprocess.run([harness.binary("stewardd"), *map(str, arguments)], stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=harness.PATIENCE, env=harness.environment())
        self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def restored(self, backup, *options):
        """A manager on what was restored."""
        self.tool("restore", "--data", self.path("restored"), *options, backup)
        self.manager = self.durable("restored")
        return self.client()

    def backup(self):
        """The path of a new backup."""
        report, = self.json_of("backup", self.path("backup"))
        self.assertEqual(report["bytes"], os.path.getsize(self.path("backup")))
        self.assertFalse(os.path.exists(self.path("backup.part")))
        return self.path("backup")

    def json_of(self, *arguments):
        """Lines of JSON, whatever stands on stderr."""
        out, _ = self.run_it("--json", *arguments)
        return [json.loads(line) for line in out.splitlines()]


def end(manager):
    """The manager in memory that every case has."""
    manager.stop()


class Backups(BackupCase):
    """What a backup holds, and what it becomes."""

    def test_what_was_held_is_free_and_nothing_of_then_matches(self):
        self.c.put("q", b"a", b"b", b"c", priority=7)
        lease = self.c.get("q")
        token, _ = self.c.acquire("lock")
        backup = self.backup()
        self.c.put("q", b"later")
        client = self.restored(backup)
        with self.assertRaises((Bye, Broken)):
            self.c.endpoint = self.endpoint
            self.c.link.close()
            self.c.open()               # the session of then
        rows = [client.get("q") for _ in range(3)]
        self.assertEqual(sorted(row.body for row in rows), [b"a", b"b", b"c"])
        self.assertEqual([row.priority for row in rows], [7, 7, 7])
        self.assertTrue(all(row.token > lease.token + JUMP // 2 for row in rows))
        again, _ = client.acquire("lock")
        self.assertGreater(again, token + JUMP // 2)
        self.assertGreater(client.session, self.c.session + JUMP // 2)
        self.assertNotEqual(client.welcome["incarnation"], self.c.welcome["incarnation"])
        self.refused("ENOTHOLDER", client.unlock, "lock", token)
        self.assertEqual(client.show("q")["unfinished"], 3)

    def test_it_goes_through_a_pipe_and_starts_again(self):
        self.c.put("q", *[b"%d" % i for i in range(1000)])
        with open(self.path("piped"), "wb") as file:
            done = subprocess.run(self.argv("backup", "-"), env=self.env(), stdout=file,
                                  stderr=subprocess.PIPE, timeout=harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("piped"), "rb") as file:
            self.tool("restore", "--data", self.path("restored"), "-", stdin=file)
        for _ in range(2):
            self.manager = self.durable("restored")
            self.assertEqual(self.client().show("q")["ready"], 1000)
            self.manager.kill()

    def test_it_is_of_one_moment_while_the_manager_works(self):
        self.c.declare("q")
        busy = self.start(["sh", "-c", "i=0; while :; do i=$((i+1)); seq 2000; done | "
                           f"{harness.binary('steward')} put q"], env=self.env())
        harness.eventually(lambda: self.c.show("q")["ready"] > 20000, "puts go on")
        before = self.c.show("q")["ready"]
        backup = self.backup()
        after = self.c.show("q")["ready"]
        busy.kill()
        client = self.restored(backup)
        count = client.show("q")["ready"]
        self.assertTrue(before <= count <= after, (before, count, after))
        self.assertEqual([int(m.body) for m in client.get_many("q", count=1000)],
                         list(range(1, 1001)))

    def test_another_node_id(self):
        self.c.put("q", b"a")
        self.tool("restore", "--data", self.path("restored"), "--node", 3, self.backup())
        with open(self.path("restored/node"), encoding="ascii") as file:
            self.assertEqual(file.read(), "node 3\n")


class Refusals(BackupCase):
    """What is not taken."""

    def test_a_changed_byte_anywhere(self):
        self.c.put("q", *[b"x" * 3000] * 300)
        backup = self.backup()
        size = os.path.getsize(backup)
        with open(backup, "rb") as file:
            good = file.read()
        for at in (0, 9, 40, 100, 4095, 4096, 5000, size // 2, size - 4097, size - 1):
            with open(self.path("bad"), "wb") as file:
                file.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            _, err = self.tool("restore", "--data", self.path("r"), self.path("bad"), status=1)
            self.assertIn("bad", err)
            self.start_refused("r")
            subprocess.run(["rm", "-r", self.path("r")], check=True)
        for cut in (0, 100, 4096, size - 1):
            with open(self.path("bad"), "wb") as file:
                file.write(good[:cut])
            self.tool("restore", "--data", self.path("r"), self.path("bad"), status=1)
            subprocess.run(["rm", "-r", self.path("r")], check=True)

    def start_refused(self, name):
        """What an unfinished restore left is no empty directory to a manager."""
        _, err = self.tool("--data", self.path(name), "--listen", "ipc://" + self.path("s2"),
                           status=1)
        self.assertIn("no version file", err)

    def test_directories_that_hold_something(self):
        backup = self.backup()
        os.mkdir(self.path("full"))
        with open(self.path("full/x"), "w", encoding="ascii"):
            pass
        self.tool("restore", "--data", self.path("full"), backup, status=1)
        self.assertEqual(os.listdir(self.path("full")), ["x"])
        self.tool("restore", "--data", self.path("data"), backup, status=1)
        self.tool("restore", "--data", self.path("no/such"), backup, status=1)
        os.mkdir(self.path("empty"))
        self.tool("restore", "--data", self.path("empty"), backup)

    def test_wrong_use(self):
        backup = self.backup()
        for words in ((), ("--data", self.path("r")), (backup,), ("--nothing",),
                      ("--data", self.path("r"), backup, backup),
                      ("--data", self.path("r"), "--node", "0", backup)):
            self.tool("restore", *words, status=2)
        self.assertFalse(os.path.exists(self.path("r")))
        self.tool("restore", "--data", self.path("r"), self.path("nothing"), status=1)

    def test_a_file_that_cannot_be_written(self):
        self.fails(1, "cannot", "backup", self.path("no/such"))
        self.fails(1, "cannot", "backup", "/dev/full/x")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(self.argv("backup", "-"), env=self.env(), stdout=full,
                                  stderr=subprocess.PIPE, timeout=harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"No space", done.stderr)

    def test_a_manager_that_dies_meanwhile_leaves_no_backup(self):
        self.c.put("q", *[b"x" * 30000] * 20)
        self.manager.signal(signal.SIGSTOP)
        process = self.start(self.argv("backup", self.path("b")), env=self.env())
        time.sleep(0.3)
        self.manager.kill()
        process.signal(signal.SIGTERM)
        self.assertNotEqual(process.wait(), 0)
        self.assertFalse(os.path.exists(self.path("b")))


if __name__ == "__main__":
    harness.main()
