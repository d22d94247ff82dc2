"""What stewardd.service hears from the manager: a socket of the test's own in systemd's place."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("STEWARD_BUILD", f"{ROOT}/build")
PATIENCE = 60


class Service(unittest.TestCase):

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        path = f"{self.directory.name}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("STEWARD_", "WATCHDOG_"))}
        self.environment["NOTIFY_SOCKET"] = path
        self.manager = None

    def tearDown(self):
        if self.manager and self.manager.poll() is None:
            self.manager.kill()
            self.manager.wait()
        self.socket.close()
        self.directory.cleanup()

    def start(self, *options):
        self.log = open(f"{self.directory.name}/log", "w+", encoding="utf-8")
        self.addCleanup(self.log.close)
        self.manager = subprocess.Popen(
            [f"{BUILD}/stewardd", "--listen", "tcp://127.0.0.1:*", *options],
            env=self.environment, stderr=self.log, cwd=self.directory.name)

    def heard(self):
        return self.socket.recv(4096).decode().split("\n")

    def wait_for(self, line):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if line in self.heard():
                return
        self.fail(f"no {line}")

    def serves_then_leaves(self, *options):
        self.start(*options)
        self.wait_for("READY=1")
        with open(self.log.name, encoding="utf-8") as log:
            self.assertIn("event=ready", log.read())
        self.manager.send_signal(signal.SIGTERM)
        self.wait_for("STOPPING=1")
        self.assertEqual(self.manager.wait(PATIENCE), 0)

    def test_ready_and_stopping_in_memory(self):
        self.serves_then_leaves("--memory")

    def test_ready_again_after_what_was_kept_is_read(self):
        self.serves_then_leaves("--data", f"{self.directory.name}/data")
        self.serves_then_leaves("--data", f"{self.directory.name}/data")

    def test_signs_for_the_watchdog_as_long_as_it_turns(self):
        self.environment["WATCHDOG_USEC"] = "1000000"
        self.start("--memory")
        self.wait_for("READY=1")
        for _ in range(3):
            self.wait_for("WATCHDOG=1")
        self.manager.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        self.socket.settimeout(0)
        with self.assertRaises(OSError):
            while True:
                self.socket.recv(4096)
        self.socket.settimeout(1.5)
        with self.assertRaises(OSError):
            self.socket.recv(4096)
        self.manager.send_signal(signal.SIGCONT)
        self.socket.settimeout(PATIENCE)
        self.wait_for("WATCHDOG=1")

    def test_not_ready_when_it_cannot_serve(self):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        self.start("--memory", "--listen", f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        self.assertEqual(self.manager.wait(PATIENCE), 1)
        self.socket.settimeout(0)
        with self.assertRaises(OSError):
            while True:
                self.assertNotIn("READY=1", self.heard())


if __name__ == "__main__":
    sys.exit(unittest.main())
