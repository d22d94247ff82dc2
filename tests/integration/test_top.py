"""`steward top`: in a terminal of tmux, by keys and what the screen shows; and once, as a table."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import unittest

import harness
from cli_case import CliCase
from test_cluster import ClusterCase

TMUX = shutil.which("tmux")


class Terminal:
    """A tmux server of one's own with one window, in which `steward top` runs."""

    def __init__(self, directory, endpoint, *arguments, size=(100, 30), term="screen"):
        self.socket = os.path.join(directory, "tmux")
        width, height = size
        command = " ".join([harness.binary("steward"), "top", *arguments])
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height,
                  "trap : INT QUIT; ulimit -c 0; "
                  f"TERM={term} STEWARD_ENDPOINT={endpoint} {command}; "
                  "echo left with $? $(stty -a | grep -oe '-*icanon'); exec sleep 600")

    def tmux(self, *arguments):
        return subprocess.run([TMUX, "-S", self.socket, *map(str, arguments)], check=True,
                              env=harness.environment(LC_ALL="C.UTF-8"), timeout=harness.PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode()

    def screen(self):
        """What it shows, line by line."""
        return self.tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def keys(self, *keys):
        for key in keys:
            self.tmux("send-keys", key)

    def literally(self, text):
        self.tmux("send-keys", "-l", text)

    def shows(self, pattern, timeout=harness.PATIENCE):
        """Waits until the screen matches; the match."""
        try:
            return harness.eventually(
                lambda: re.search(pattern, "\n".join(self.screen()), re.MULTILINE),
                pattern, timeout, pause=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.screen())) from None

    def rows(self):
        """First words of the table's rows."""
        return [line.split()[0] for line in self.screen()[5:-1] if line.strip()]

    def order(self, *names):
        """Waits until the table has these rows."""
        harness.eventually(lambda: self.rows() == list(names), f"{names}, not {self.rows()}",
                           pause=0.05)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def close(self):
        subprocess.run([TMUX, "-S", self.socket, "kill-server"], check=False,
                       stderr=subprocess.PIPE)


class Once(CliCase):
    """Without a terminal."""

    def test_json_has_numbers_and_rates(self):
        queue = self.name()
        self.out("put", queue, *range(7))
        feeder = self.background("bench", "throughput", "--seconds", "4",
                                 "--queue", queue + "-load")
        harness.eventually(lambda: "-load" in self.out("queue", "list"), "the load")
        rows = {row["name"]: row for row in
                self.json("top", "--filter", "^" + queue, "--interval", "500ms")}
        self.assertEqual(set(rows), {queue, queue + "-load"})
        still = rows[queue]
        self.assertEqual((still["ready"], still["leased"], still["put_per_s"]), (7, 0, 0))
        self.assertGreaterEqual(still["oldest_ms"], 500)
        self.assertTrue(still["oldest_at_least"])
        for key in ("put_per_s", "delivered_per_s", "acked_per_s"):
            self.assertGreater(rows[queue + "-load"][key], 100, key)
        feeder.kill()

    def test_the_age_of_the_head_is_known_once_it_was_seen_to_come(self):
        client = self.client()
        queue = self.name()
        client.put(queue, b"first")
        out = self.background("top", "--once", "--interval", "2", "--filter", queue)
        harness.eventually(lambda: len(self.json("session", "list")) >= 3, "top's session")
        client.put(queue, b"second")
        message = client.get(queue)
        client.ack(message)
        self.assertEqual(out.wait(), 0, out.err())
        row = out.out().splitlines()[1]
        self.assertRegex(row, rf"^{queue} +1 .* +(-|[\d.]+ m?s)$")
        self.assertNotIn(">", row)

    def test_tables(self):
        client = self.client(program="evil\x1b[31m")
        client.acquire("top-lock")
        text = self.out("top", "locks", "--once", "--interval", "100ms", "--filter", "top-lock")
        self.assertRegex(text, rf"top-lock +lock +1 +1 +{client.session} ")
        text = self.out("top", "sessions", "--once", "--interval", "100ms")
        self.assertIn("evil?[31m", text)
        self.assertNotIn("\x1b", text)
        self.assertIn("NODE", self.out("top", "nodes", "--once", "--interval", "100ms"))

    def test_wrong_use(self):
        self.fails(2, "terminal", "top")
        self.fails(2, "queues, locks", "top", "cows", "--once")
        self.fails(2, "interval", "top", "--once", "--interval", "1ms")
        self.fails(1, "STW_EUNREACHABLE", "top", "--once", "--endpoint",
                   "ipc://" + os.path.join(self.directory, "nobody"))

    def test_an_unknown_terminal(self):
        ours, theirs = pty.openpty()
        done = subprocess.run(self.argv("top"), env={**self.env(), "TERM": "carrier-pigeon"},
                              stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, check=False,
                              timeout=harness.PATIENCE)
        os.close(ours)
        os.close(theirs)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"'carrier-pigeon' is not known", done.stderr)


@unittest.skipUnless(TMUX, "there is no tmux")
class Screen(CliCase):
    """With one, by its keys."""

    shared = False

    def setUp(self):
        super().setUp()
        self.c = self.client(program="keeper")
        for name, count in (("apples", 3), ("pears", 20), ("plums", 100)):
            for number in range(count):
                self.c.put(name, b"%s %d" % (name.encode(), number))

    def top(self, *arguments, **more):
        terminal = Terminal(self.directory, self.endpoint, *arguments, **more)
        self.addCleanup(terminal.close)
        return terminal

    def test_views_sorting_filter(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")           # by what is ready
        top.shows(r"put 0/s .* ready 123 ")
        top.keys("r")
        top.order("apples", "pears", "plums")
        top.keys("<")                                   # by name, upwards
        top.keys("r")
        top.order("plums", "pears", "apples")
        top.keys("/")
        top.literally("p")
        top.literally("pl")
        top.shows(r"^filter: ppl_")
        top.keys("BSpace", "BSpace", "BSpace")
        top.literally("pl")
        top.keys("Enter")
        top.order("plums", "apples")
        top.keys("/", "C-u")
        top.literally("^p")
        top.keys("Enter")
        top.order("plums", "pears")
        top.keys("Escape")
        top.order("plums", "pears", "apples")
        top.keys("3")
        top.shows(r"^ *\d+ .* keeper ")
        top.keys("Tab")
        top.shows(r"^\(no nodes\)")
        top.keys("BTab", "BTab")
        top.shows(r"^\(no locks\)")
        top.keys("?")
        top.shows("sort by the next")
        top.keys("x")
        top.keys("q")
        top.shows("left with 0")

    def test_rates_and_ages_under_load(self):
        load = self.background("bench", "throughput", "--seconds", "20", "--queue", "load")
        top = self.top()
        rate = r"[1-9][\d.]*[kM]?"
        top.shows(rf"^load .* {rate} +{rate} +{rate} ")
        top.shows(rf"put {rate}/s  get {rate}/s  ack {rate}/s .* cpu [1-9]\d*%")
        top.shows(r"^plums +100 .* >[\d.]+ s$")
        load.kill()

    def test_a_lock_with_a_waiter(self):
        self.c.acquire("door")
        waiter = self.background("lock", "door", "--", "true")
        top = self.top("locks", "--interval", "200ms")
        top.shows(rf"^door +lock +1 +1 +{self.c.session} +[\d.]+ m?s +1 +[\d.]+ m?s")
        top.keys("Enter")
        top.shows(r"^lock door$")
        top.shows(rf"role=holder session={self.c.session} .*program=keeper")
        top.shows(r"role=waiter .*program=steward")
        self.assertTrue(waiter.running())
        waiter.kill()

    def test_looking_closer_and_back(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("Down", "Down", "Enter")
        top.shows(r"^queue apples$")
        top.shows(r"^  ready +3$")
        top.keys("NPage", "NPage")
        top.shows(r"sequence=1 .* body=apples 0")
        self.out("queue", "delete", "apples")
        top.shows("there is no such object")
        top.keys("Escape")
        top.order("plums", "pears")

    def test_the_cursor_stays_with_its_queue(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("Down")
        for number in range(200):
            self.c.put("apples", b"%d" % number)
        top.order("apples", "plums", "pears")
        top.keys("Enter")
        top.shows(r"^queue pears$")

    def test_sizes(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        for size in ((40, 10), (20, 5), (8, 2), (1, 1), (200, 60), (80, 24)):
            top.resize(*size)
            if size[0] >= 40:
                top.shows("^q leave")
                harness.eventually(lambda: len(top.screen()) == size[1], f"{size}", pause=0.05)
        top.order("plums", "pears", "apples")
        top.shows(r"every 200 ms$")

    def test_pause(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("p")
        top.shows("PAUSED")
        for number in range(200):
            self.c.put("apples", b"%d" % number)
        self.assertEqual(top.rows(), ["plums", "pears", "apples"])
        top.keys("p")
        top.order("apples", "plums", "pears")
        top.keys("+")
        top.shows("every 500 ms$")

    def test_names_do_nothing_to_the_terminal(self):
        self.client(program="\x1b]0;x\x07\x9b2J\u202eevil", host="h\r\n\t")
        self.c.put("\u0447\u0435\u0440\u0433\u0430", b"x")
        top = self.top("--interval", "200ms")
        top.shows("^\u0447\u0435\u0440\u0433\u0430 +1 ")
        top.keys("3")
        top.shows(r"^ *\d+ h\?\?\? .* \?\]0;x\?\?\?2J\.evil ")

    def test_a_signal_ends_it(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("C-c")
        top.shows("left with 130 icanon")

    def test_ctrl_backslash_leaves_the_terminal_as_it_was(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("C-\\")
        top.shows("left with 131 icanon")

    def test_no_object_stands_under_the_name_of_another(self):
        top = self.top("--interval", "200ms")
        top.order("plums", "pears", "apples")
        top.keys("Enter")
        top.shows(r"^queue plums$")
        top.shows(r"^  ready +100$")
        self.manager.signal(signal.SIGSTOP)
        self.addCleanup(self.manager.signal, signal.SIGCONT)
        top.keys("Escape")
        top.shows(r"^plums +100 ")
        top.keys("Down", "Enter")
        harness.eventually(lambda: "plums" not in "\n".join(top.screen()), "the table is left")
        self.assertNotRegex("\n".join(top.screen()), r"ready +100\n")
        self.manager.signal(signal.SIGCONT)
        top.shows(r"^queue pears$")
        top.shows(r"^  ready +20$")


@unittest.skipUnless(TMUX, "there is no tmux")
class Restart(harness.DurableCase):
    """The manager goes and comes back."""

    def test_it_goes_on(self):
        self.client(resume=False).put("kept", b"x")
        top = Terminal(self.directory, self.endpoint, "--interval", "200ms")
        self.addCleanup(top.close)
        top.shows(r"^kept +1 ")
        self.manager.kill()
        top.shows(r"NO ANSWER for [3-9]")
        self.assertEqual(top.rows(), ["kept"])          # what is known stays there
        self.manager = self.new_manager()
        self.client(resume=False).put("more", b"x")
        top.shows(r"^more +1 ")
        self.assertNotIn("NO ANSWER", "\n".join(top.screen()))
        top.keys("q")
        top.shows("left with 0")

    def test_another_manager_in_its_place(self):
        self.client(resume=False).put("kept", b"x")
        top = Terminal(self.directory, self.endpoint, "--interval", "200ms")
        self.addCleanup(top.close)
        top.shows(r"^kept +1 ")
        self.manager.kill()
        self.manager = harness.Manager(self.directory, listen=self.listen).ready()
        top.shows("in memory")
        top.shows(r"^\(no queues\)")

    def test_it_can_be_left_while_there_is_no_manager(self):
        top = Terminal(self.directory, self.endpoint, "--interval", "200ms")
        self.addCleanup(top.close)
        top.shows(r"^\(no queues\)")
        self.manager.kill()
        top.shows("NO ANSWER")
        top.keys("q")
        top.shows("left with 0", timeout=10)
        self.manager = self.new_manager()


@unittest.skipUnless(TMUX, "there is no tmux")
class Failover(ClusterCase):
    """Another node leads."""

    def test_it_follows(self):
        self.cluster.start()
        self.cluster.leader()
        self.steward("put", "kept", "x")
        top = Terminal(self.directory, self.cluster.endpoints(), "--interval", "200ms")
        self.addCleanup(top.close)
        top.shows(r"^kept +1 ")
        first = int(top.shows(r"node (\d) leads, term \d+").group(1))
        self.steward("cluster", "transfer", str(first % 3 + 1))
        top.shows(rf"node {first % 3 + 1} leads, term \d+")
        top.keys("4")
        top.shows(rf"^ +{first % 3 + 1} +voter +1 +1 ")
        top.shows(rf"^ +{first} +voter +0 +1 ")
        top.keys("1")
        top.shows(r"^kept +1 ")


if __name__ == "__main__":
    sys.exit(harness.main())
