"""What every integration test stands on: a manager of its own, processes, bounded waits.

    Manager      stewardd on a port and a socket of its own, in a directory of its own
    Case         a TestCase with a manager; checks at its end that all of it ended well
    DurableCase  the same with a data directory, where the manager can be killed and started again
    Process      a program with its output in files; killed by its pid, never by name

The binaries are those of $STEWARD_BUILD, or of build/ beside this tree.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("STEWARD_BUILD", os.path.join(HERE, "..", "..", "build")))
SHORT = os.environ.get("STW_SHORT") == "1"      # instrumented binaries: less of the same
PATIENCE = 60.0 if SHORT else 30.0              # seconds: longer than anything takes that works

sys.path.insert(0, HERE)


def binary(name):
    """The path of a binary of ours."""
    return os.path.join(BUILD, name)


def eventually(condition, what, timeout=PATIENCE, pause=0.01):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)


def environment(**more):
    """The environment of our programs: nothing of the caller's that would change them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}
    kept.update({k: str(v) for k, v in more.items()})
    return kept


class Process:
    """A running program; stdout and stderr go to files in `directory`."""

    count = 0

    def __init__(self, directory, argv, stdin=subprocess.DEVNULL, env=None, cwd=None):
        Process.count += 1
        stem = os.path.join(directory, f"{os.path.basename(argv[0])}.{Process.count}")
        self.argv, self.out_path, self.err_path = argv, stem + ".out", stem + ".err"
        self.shell = argv[0] == "sh"    # whoever ends it ends what it started, too
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err, cwd=cwd,
                                          env=env if env is not None else environment(),
                                          start_new_session=self.shell)
        self.pid = self.popen.pid

    def out(self):
        """What it wrote to stdout so far."""
        with open(self.out_path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def err(self):
        """What it wrote to stderr so far."""
        with open(self.err_path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def running(self):
        """Has it not ended yet?"""
        return self.popen.poll() is None

    def signal(self, number):
        """Sends a signal, if it still runs."""
        if self.running():
            self.popen.send_signal(number)

    def wait(self, timeout=PATIENCE):
        """Its exit status; an AssertionError if it does not end."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} did not end within {timeout} s\n"
                                 f"{self.err()[-2000:]}") from None

    def kill(self):
        """SIGKILL, and its status taken."""
        if self.shell:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        elif self.running():
            self.popen.kill()
        return self.popen.wait()


class Manager(Process):
    """A stewardd of one's own; in memory, unless `data` names a directory."""

    ready_mark = re.compile(r'"?event"?[=:]"?ready\b')      # in either form of the log

    def __init__(self, directory, *options, env=None, listen=None, data=None):
        self.ipc = "ipc://" + os.path.join(directory, "s")
        if listen is None:
            listen = ["tcp://127.0.0.1:*", self.ipc]
        kept = ["--data", data] if data else ["--memory"]
        argv = [binary("stewardd"), *kept, *options]
        for endpoint in listen:
            argv += ["--listen", endpoint]
        super().__init__(directory, argv, env=env)

    def ready(self):
        """Waits until it listens; itself."""
        def is_ready():
            if not self.running():
                raise AssertionError(f"stewardd left with {self.popen.returncode}:\n{self.err()}")
            return self.ready_mark.search(self.err())
        eventually(is_ready, "event=ready in the manager's log")
        return self

    @property
    def tcp(self):
        """The TCP endpoint that it really listens on."""
        found = re.search(r"event=listening .*?(tcp://127\.0\.0\.1:\d+)", self.err())
        assert found, f"no TCP endpoint in the log:\n{self.err()}"
        return found.group(1)

    def memory_kb(self, field="VmRSS"):
        """Its resident memory."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{field}:\s+(\d+) kB", file.read()).group(1))

    def stop(self, timeout=PATIENCE):
        """SIGTERM twice (the second cuts the drain short); its exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        eventually(lambda: not self.running() or re.search('event"?[=:]"?drain', self.err()),
                   "the drain", timeout)
        deadline = time.monotonic() + timeout
        while self.running():
            assert time.monotonic() < deadline, "the manager does not leave"
            self.signal(signal.SIGTERM)
            time.sleep(0.02)
        return self.popen.returncode


class Case(unittest.TestCase):
    """A test with a manager, which must survive it and leave with 0 (so say sanitizers, too)."""

    options = ()        # of stewardd
    shared = True       # one manager for all tests of the class

    @classmethod
    def setUpClass(cls):
        cls.class_directory = tempfile.mkdtemp(prefix="stw-")
        cls.class_manager = None
        if cls.shared:
            cls.class_manager = Manager(cls.class_directory, *cls.options).ready()

    @classmethod
    def tearDownClass(cls):
        try:
            if cls.class_manager:
                end_manager(cls.class_manager)
        finally:
            shutil.rmtree(cls.class_directory, ignore_errors=True)

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="stw-", dir=self.class_directory)
        self.clients, self.processes = [], []
        if self.class_manager and not self.class_manager.running():
            self.fail("an earlier test ended the manager")
        self.manager = self.class_manager or self.new_manager()
        self.addCleanup(self.clean)

    def new_manager(self):
        """A manager for this test alone."""
        return Manager(self.directory, *self.options).ready()

    def clean(self):
        """Ends what the test started."""
        for client in self.clients:
            if not client.link.socket.closed:
                client.leave()
        for process in self.processes:
            process.kill()
        if not self.shared:
            end_manager(self.manager)
        else:
            self.assertTrue(self.manager.running(), "the manager died:\n" + self.manager.err())

    @property
    def endpoint(self):
        """Where the manager listens."""
        return self.manager.ipc

    def client(self, endpoint=None, **info):
        """A new session, left at the end of the test."""
        from steward_wire import Client
        client = Client(endpoint or self.endpoint, **info)
        self.clients.append(client)
        return client

    def start(self, argv, **more):
        """A process, killed at the end of the test."""
        process = Process(self.directory, argv, **more)
        self.processes.append(process)
        return process

    def name(self, suffix=""):
        """A name for an object that no other test uses."""
        return self.id().split(".", 1)[1] + suffix

    def refused(self, error, function, *arguments, **more):
        """Calls function, which must be refused with this error; the refusal."""
        from steward_wire import Refused
        with self.assertRaises(Refused) as caught:
            function(*arguments, **more)
        self.assertEqual(caught.exception.name, error, caught.exception)
        return caught.exception


class DurableCase(Case):
    """A test with a manager that keeps everything in self.data, at endpoints that stay the same."""

    shared = False
    listen = None

    def new_manager(self):
        """A manager on the test's directory; again and again."""
        self.data = os.path.join(self.directory, "data")
        manager = Manager(self.directory, *self.options, listen=self.listen, data=self.data).ready()
        self.listen = [manager.tcp, manager.ipc]
        return manager

    def restart(self, down=0.0):
        """kill -9, `down` seconds of nothing, and a new manager on the same directory."""
        self.manager.kill()
        time.sleep(down)
        self.manager = self.new_manager()


def end_manager(manager):
    """Stops it; a status other than 0 fails the test and shows the log."""
    status = manager.stop()
    if status != 0:
        raise AssertionError(f"stewardd ended with {status}:\n{manager.err()[-20000:]}")


def main():
    """Runs the tests of the calling file."""
    unittest.main(verbosity=2)
