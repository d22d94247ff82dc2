"""`steward put`, `get` and `exec`: items, pipes, signals, exit codes, as docs/steward.md says."""

import base64
import os
import signal
import subprocess
import time

import harness
from cli_case import CliCase
from steward_wire import QUEUE_PURGE, QUEUE_SHUTDOWN


class Items(CliCase):
    """A manager for all; a queue for each test."""

    def setUp(self):
        super().setUp()
        self.queue, self.c = self.name(), self.client()

    def ready(self):
        """How many items are ready."""
        return self.c.show(self.queue)["ready"]

    # ---- put -----------------------------------------------------------------------------------

    def test_put_operands_and_get(self):
        self.assertEqual(self.out("put", self.queue, "one", "two", ""), "")
        self.assertEqual(self.out("get", self.queue), "one\n")
        self.assertEqual(self.out("get", self.queue, "-n", 2), "two\n\n")
        self.assertEqual(self.c.show(self.queue)["unfinished"], 0)

    def test_put_lines(self):
        self.out("put", self.queue, stdin="ä\n\nlast, no newline".encode())
        self.assertEqual(self.out("get", self.queue, "--all"), "ä\n\nlast, no newline\n")

    def test_put_nul_separated(self):
        self.out("put", self.queue, "-0", stdin=b"a\nb\0c\0")
        self.assertEqual(self.run_it("get", self.queue, "--all", "-0")[0], b"a\nb\0c\0")

    def test_put_whole(self):
        data = os.urandom(300000)
        self.out("put", self.queue, "--whole", stdin=data)
        self.assertEqual(self.run_it("get", self.queue, "--whole")[0], data)
        self.out("put", self.queue, "--whole", stdin=b"")
        self.assertEqual(self.c.get(self.queue).body, b"")

    def test_put_nothing(self):
        self.out("put", self.queue, stdin=b"")
        self.fails(3, "STW_EEMPTY", "get", self.queue, "--timeout", 0)

    def test_put_options(self):
        self.out("put", self.queue, "low")
        self.out("put", self.queue, "high", "--priority", 9, "-H", "kind=x", "--header", "b=c=d")
        message = self.c.get(self.queue)
        self.assertEqual((message.body, message.priority), (b"high", 9))
        self.assertEqual((message.fields["h.kind"], message.fields["h.b"]), ("x", "c=d"))
        self.out("put", self.queue, "late", "--delay", "300ms")
        self.assertEqual(self.c.show(self.queue)["delayed"], 1)
        self.out("put", self.queue, "short", "--ttl", "0.1")
        harness.eventually(lambda: self.c.show(self.queue)["expired"] == 1, "it expires")

    def test_put_dedup_id(self):
        for number in (1, 0):
            line, = self.json("put", self.queue, "x", "--dedup-id", "A")
            self.assertEqual(line, {"queue": self.queue, "put": number, "duplicates": 1 - number})
        self.fails(2, "dedup-id", "put", self.queue, "x", "y", "--dedup-id", "A")

    def test_put_into_a_full_queue(self):
        self.c.declare(self.queue, maxsize=2)
        text = self.fails(3, "item 3", "put", self.queue, "1", "2", "3", "--timeout", "0.1")
        self.assertIn("2 were put", text)
        self.fails(3, "STW_EFULL", "put", self.queue, "3", "--timeout", 0)
        self.c.call(QUEUE_SHUTDOWN, self.queue, False)
        self.fails(1, "STW_ESHUTDOWN", "put", self.queue, "3")

    def test_put_too_big(self):
        self.fails(1, "STW_ETOOBIG", "put", self.queue, "--whole", stdin=bytes((1 << 20) + 1))
        self.fails(1, "STW_EINVAL", "put", "$reserved", "x")

    # ---- get -----------------------------------------------------------------------------------

    def test_get_waits(self):
        self.c.declare(self.queue)
        process = self.background("get", self.queue, "--timeout", 20)
        harness.eventually(lambda: self.c.show(self.queue)["getters"], "it waits")
        self.c.put(self.queue, b"x")
        self.assertEqual((process.wait(), process.out()), (0, "x\n"))

    def test_get_ends_with_3(self):
        started = time.monotonic()
        self.fails(3, "STW_ETIMEOUT", "get", self.queue, "--timeout", "0.2")
        self.assertGreater(time.monotonic() - started, 0.2)
        self.fails(3, "STW_EEMPTY", "get", self.queue, "--all")
        self.c.put(self.queue, b"x")
        out, err = self.run_it("get", self.queue, "-n", 2, "--timeout", 0, status=3)
        self.assertEqual(out, b"x\n")
        self.assertIn(b"STW_EEMPTY", err)

    def test_get_of_several_queues(self):
        second = self.queue + "-2"
        self.c.put(second, b"2")
        self.c.put(self.queue, b"1")
        self.assertEqual(self.out("get", self.queue, second, "-n", 2), "1\n2\n")

    def test_get_json(self):
        self.c.put(self.queue, b"text", priority=3)
        self.c.put(self.queue, b"\xff\0")
        first, second = self.json("get", self.queue, "-n", 2)
        token = first.pop("token")
        self.assertEqual(first, {"queue": self.queue, "data": "text", "deliveries": 1,
                                 "priority": 3})
        self.assertGreater(second["token"], token)
        self.assertEqual(base64.b64decode(second["data_base64"]), b"\xff\0")

    def test_ctrl_c_in_a_blocked_get(self):
        self.c.declare(self.queue)
        process = self.background("get", self.queue)
        harness.eventually(lambda: self.c.show(self.queue)["getters"], "it waits")
        process.signal(signal.SIGINT)
        self.assertEqual(process.wait(), -signal.SIGINT)
        self.c.put(self.queue, b"x")
        self.assertEqual(self.c.get(self.queue).deliveries, 1)

    def test_ctrl_c_gives_back_uncounted_what_was_not_written(self):
        """stdout is a pipe that nobody reads: the get is stuck in the middle of its items."""
        count, body = 200, b"x" * 5000
        first, sent = self.c.puts(self.queue, [body] * count)
        self.c.wait_run(first, sent)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        process = self.popen_get(writer, count)
        os.close(writer)
        harness.eventually(lambda: self.c.show(self.queue)["leased"] > 20, "it has items")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(harness.PATIENCE), -signal.SIGINT)
        row = self.c.show(self.queue)
        self.assertEqual((row["leased"], row["ready"] + row["acked"]), (0, count))
        self.assertLess(row["acked"], 60)
        messages = self.c.get_many(self.queue, count=1000)
        self.assertEqual({m.deliveries for m in messages}, {1})

    def popen_get(self, stdout, count):
        """`steward get` with stdout of its own."""
        process = subprocess.Popen(self.argv("get", self.queue, "-n", count), env=self.env(),
                                   stdout=stdout, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    # ---- pipes ---------------------------------------------------------------------------------

    def test_a_hundred_thousand_lines_keep_their_order(self):
        count = 10000 if harness.SHORT else 100000
        self.shell(f'seq {count} | "$S" put "$Q"; '
                   f'"$S" get "$Q" -n {count} | cmp - <(seq {count})')
        row = self.c.show(self.name())
        self.assertEqual((row["put"], row["acked"], row["unfinished"]), (count, count, 0))

    def test_memory_is_constant(self):
        """However long the stream is: far less than all of it."""
        count, line = 100000 if harness.SHORT else 500000, "x" * 199
        path = os.path.join(self.directory, "lines")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for _ in range(count))
        for arguments in (("put", self.queue), ("get", self.queue, "-n", str(count))):
            with open(path, "rb") as file:
                process = self.background(*arguments, stdin=file)
            _, status, usage = os.wait4(process.pid, 0)
            process.popen.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.popen.returncode, 0, process.err())
            if not harness.SHORT:
                self.assertLess(usage.ru_maxrss, 50000, f"kB, {arguments}")
            self.assertEqual(self.c.show(self.queue)["put"], count)

    def test_put_and_get_at_once(self):
        count = 5000 if harness.SHORT else 50000
        self.c.declare(self.queue, maxsize=1000)
        self.shell(f'seq {count} | "$S" put "$Q" & "$S" get "$Q" -n {count} | '
                   f'cmp - <(seq {count}); wait $!')

    def test_a_closed_pipe_loses_nothing(self):
        self.shell('seq 10000 | "$S" put "$Q"')
        out = self.shell('set +o pipefail; "$S" get "$Q" --all 2>/dev/null | head -n 3')
        self.assertEqual(out, "1\n2\n3\n")
        harness.eventually(lambda: self.c.show(self.queue)["leased"] == 0, "the rest came back")
        row = self.c.show(self.queue)
        self.assertEqual(row["ready"] + row["acked"], 10000)
        self.assertEqual(self.c.get(self.queue).deliveries, 1)

    def test_a_full_disk_and_closed_descriptors_are_said(self):
        self.shell('! "$S" stat 2>err >/dev/full; grep -q "No space" err; rm err')
        self.shell('! "$S" put "$Q" <&- 2>/dev/null; "$S" put "$Q" x; ! "$S" get "$Q" 2>&1 >&-; '
                   '[ "$("$S" get "$Q" --timeout 0)" = x ]')

    # ---- exec ----------------------------------------------------------------------------------

    def test_exec_acks_and_nacks(self):
        self.c.declare(self.queue, max_deliveries=2)
        for body in (b"good", b"bad", b"good"):
            self.c.put(self.queue, body)
        line, = self.json("exec", self.queue, "--timeout", "0.3", "--",
                          "grep", "-qx", "good", status=1)
        self.assertEqual(line, {"queue": self.queue, "done": 2, "failed": 2, "unsettled": 0})
        dead = self.c.get(self.queue + ".dead")
        self.assertEqual((dead.body, dead.fields["last_failure"]), (b"bad", "exit status 1"))

    def test_exec_tells_cmd_about_the_item(self):
        self.c.put(self.queue, b"payload")
        first = self.c.get(self.queue)
        self.c.nack(first)
        script = 'cat; echo " $STEWARD_QUEUE $STEWARD_DELIVERIES $STEWARD_TOKEN"'
        out = self.out("exec", self.queue, "-n", 1, "--", "sh", "-c", script).split()
        self.assertEqual(out[:3], ["payload", self.queue, "2"])
        self.assertGreater(int(out[3]), first.token)

    def test_exec_of_one_item_ends_as_cmd(self):
        one = ("exec", self.queue, "-n", 1, "--timeout", "0.2", "--")
        for script, status in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)):
            self.c.put(self.queue, b"x")
            self.run_it(*one, "sh", "-c", script, status=status)
            self.c.call(QUEUE_PURGE, self.queue)
        self.run_it(*one, "true", status=124)
        self.c.put(self.queue, b"x")
        self.run_it(*one, "/nonexistent/program", status=127)
        self.run_it(*one, os.path.dirname(self.directory), status=126)

    def test_exec_of_a_missing_cmd_stops_and_releases(self):
        self.c.puts(self.queue, [b"1", b"2"])
        self.run_it("exec", self.queue, "--jobs", 2, "--", "/nonexistent/program", status=1)
        self.assertEqual({self.c.get(self.queue).deliveries for _ in range(2)}, {1})

    def test_exec_of_many(self):
        for i in range(20):
            self.c.put(self.queue, b"%d" % i)
        out = self.out("exec", self.queue, "--jobs", 4, "-n", 20, "--", "cat")
        self.assertEqual(len(out), len("".join(map(str, range(20)))))
        self.assertEqual(self.c.show(self.queue)["acked"], 20)
        self.fails(3, "STW_ETIMEOUT", "exec", self.queue, "-n", 2, "--timeout", "0.1", "--", "cat")

    def test_exec_runs_jobs_at_once(self):
        for _ in range(4):
            self.c.put(self.queue, b"x")
        started = time.monotonic()
        self.out("exec", self.queue, "-j", 4, "-n", 4, "--", "sleep", 1)
        self.assertLess(time.monotonic() - started, 3.0)

    def test_exec_renews_the_lease(self):
        self.c.declare(self.queue, lease_ms=500)
        self.c.put(self.queue, b"x")
        self.out("exec", self.queue, "-n", 1, "--", "sleep", 2)
        row = self.c.show(self.queue)
        self.assertEqual((row["acked"], row["redelivered"]), (1, 0))

    def test_a_stopped_exec_releases(self):
        self.c.put(self.queue, b"x")
        process = self.background("exec", self.queue, "--", "sleep", 60)
        harness.eventually(lambda: self.c.show(self.queue)["leased"], "it has the item")
        time.sleep(0.2)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)
        message = self.c.get(self.queue, timeout_ms=5000)
        self.assertEqual(message.deliveries, 1)

    def test_a_killed_exec_takes_its_cmd_along(self):
        self.c.put(self.queue, b"x")
        mark = os.path.join(self.directory, "pid")
        process = self.background("exec", self.queue, "--", "sh", "-c",
                                  f"echo $$ >{mark}; exec sleep 60")
        pid = int(harness.eventually(lambda: os.path.exists(mark) and open(mark).read(), "CMD"))
        process.kill()
        harness.eventually(lambda: not os.path.exists(f"/proc/{pid}") or
                           " Z " in open(f"/proc/{pid}/stat").read(), "CMD ends")
        self.assertEqual(self.c.get(self.queue, timeout_ms=5000).deliveries, 2)


if __name__ == "__main__":
    harness.main()
