"""What changes while the manager serves: SIGHUP, `steward log-level`, and the log's two forms."""

import json
import os
import re
import signal

import harness
from cli_case import CliCase
from steward_wire import Refused


class Reload(CliCase):
    """A manager that reads a configuration file of the test's own."""

    shared = False
    first = "memory-max = 64M\nlog-level = info\ndrain-seconds = 3\n"

    def new_manager(self):
        self.path = os.path.join(self.directory, "steward.conf")
        self.write(self.first)
        return harness.Manager(self.directory, "--config", self.path,
                               env=harness.environment(STEWARD_OUTBOX_MAX="32M")).ready()

    def write(self, text):
        """What the file says from now on."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def hang_up(self, text, event="reloaded"):
        """SIGHUP with this file; the lines of the log that it made."""
        self.write(text)
        before = len(self.manager.err())
        self.manager.signal(signal.SIGHUP)
        harness.eventually(lambda: f"event={event}" in self.manager.err()[before:], event)
        return self.manager.err()[before:]

    def changes(self, lines):
        """{option: (what became of it, from, to)}"""
        return {found[1]: (found[0], found[2], found[3]) for found in re.findall(
            r'event=option_(\w+) option=(\S+) from=(\S+) to=(\S+)', lines)}

    def test_what_can_change_changes_and_the_rest_is_named(self):
        lines = self.hang_up("memory-max = 1M\nlog-level = debug\ndrain-seconds = 4\n"
                             "connections-max = 7\nbody-max = 512K\nlog-format = text\n")
        self.assertEqual(self.changes(lines), {
            "memory-max": ("applied", str(64 << 20), str(1 << 20)),
            "log-level": ("applied", "info", "debug"),
            "drain-seconds": ("applied", "3", "4"),
            "connections-max": ("applied", "65536", "7"),
            "body-max": ("needs_restart", str(1 << 20), str(512 << 10))})
        self.assertIn("applied=4 need_restart=1", lines)
        row = self.json("stat")[0]["process"]
        self.assertEqual((row["log_level"], row["connections_max"]), ("debug", 7))
        self.assertEqual(row["memory_max_bytes"], 1 << 20)
        self.assertEqual(row["body_max_bytes"], 1 << 20)
        self.assertEqual(row["outbox_max_bytes"], 32 << 20)

    def test_ceilings_hold_at_once(self):
        client = self.client()
        client.put("q", b"x" * 590000)
        client.put("q", b"x" * 590000)
        self.hang_up("memory-max = 1M\nconnections-max = 1\n")
        self.refused("EMEMORY", client.put, "q", b"x")
        with self.assertRaises(Exception) as caught:
            self.client()
        self.assertEqual(getattr(caught.exception, "name", None), "ELIMIT", caught.exception)
        self.hang_up("memory-max = 64M\n")
        client.put("q", b"x")
        self.client().put("q", b"x")

    def test_a_bad_file_changes_nothing(self):
        for text in ("log-level = loud\n", "log-level = debug\ncolour = red\n", "listen = x\n"):
            lines = self.hang_up(text, "reload_failed")
            self.assertRegex(lines, r'level=error component=shell event=reload_failed text="')
            self.assertIn("steward.conf", lines)
            self.assertNotIn("option_", lines)
        os.unlink(self.path)
        before = len(self.manager.err())
        self.manager.signal(signal.SIGHUP)
        harness.eventually(lambda: "reload_failed" in self.manager.err()[before:], "the refusal")
        self.assertEqual(self.json("log-level"), [{"level": "info"}])
        self.client().put("q", b"x")

    def test_environment_and_command_line_stay_stronger(self):
        lines = self.hang_up(self.first + "outbox-max = 16M\n")
        self.assertEqual(self.changes(lines), {})

    def test_ceilings_that_the_running_body_size_does_not_fit(self):
        self.manager.kill()
        self.write("body-max = 8M\n")
        self.manager = harness.Manager(self.directory, "--config", self.path).ready()
        lines = self.hang_up("body-max = 1M\nmemory-max = 2M\noutbox-max = 3M\n")
        self.assertEqual({name: what[0] for name, what in self.changes(lines).items()},
                         {"body-max": "needs_restart", "memory-max": "needs_restart",
                          "outbox-max": "needs_restart"})

    def test_drain_seconds_are_those_of_the_last_reading(self):
        holder = self.client(resume=False)
        holder.acquire("lock")
        self.hang_up("drain-seconds = 0\n")
        self.manager.signal(signal.SIGTERM)
        self.assertEqual(self.manager.wait(10), 0)
        self.assertIn("drain_seconds=0", self.manager.err())

    def test_the_level_by_command(self):
        self.assertEqual(self.json("log-level"), [{"level": "info"}])
        self.assertEqual(self.json("log-level", "error"), [{"level": "error"}])
        self.assertIn("event=log_level from=info to=error", self.manager.err())
        self.client().leave()
        self.assertEqual(self.json("log-level", "warn"), [{"level": "warn"}])
        self.assertIn("warn", self.out("log-level"))
        self.fails(1, "STW_EINVAL", "log-level", "loud")
        self.fails(2, "wants", "log-level", "warn", "info")
        # the configuration rules again
        lines = self.hang_up(self.first)
        self.assertEqual(self.changes(lines), {"log-level": ("applied", "warn", "info")})


class Json(CliCase):
    """The log as JSON."""

    options = ("--log-format", "json", "--log-level", "debug")

    def test_every_line_is_an_object(self):
        client = self.client(program='x\n"level":"error"', host='"\x1b[31m\\')
        try:
            client.put("a b=\"c\"", b"x")
        except Refused:
            pass
        client.leave()
        harness.eventually(lambda: "session_ended" in self.manager.err(), "the session's end")
        rows = [json.loads(line) for line in self.manager.err().splitlines()]
        for row in rows:
            self.assertEqual(list(row)[:4], ["time", "level", "component", "event"])
        ready, = [row for row in rows if row["event"] == "ready"]
        self.assertEqual(ready["pid"], self.manager.pid)
        ended = [row for row in rows if row["event"] == "session_ended"]
        self.assertEqual(ended[-1]["session"], client.session)


if __name__ == "__main__":
    harness.main()
