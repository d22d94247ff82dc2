"""The other commands of `steward`, their help and wrong use, as docs/steward.md says."""

import json
import os
import signal
import time

import harness
from cli_case import CliCase
from steward_wire import LOCK_LIST, QUEUE_DECLARE


class Locks(CliCase):
    """CMD under a lock or a permit."""

    def setUp(self):
        super().setUp()
        self.lock, self.c = self.name(), self.client()

    def test_lock_ends_as_cmd(self):
        for script, status in (("exit 0", 0), ("exit 7", 7), ("kill -15 $$", 143)):
            self.run_it("lock", self.lock, "--", "sh", "-c", script, status=status)
        self.run_it("lock", self.lock, "--", "/nonexistent/program", status=127)
        self.run_it("lock", self.lock, "--", self.directory, status=126)
        self.run_it("sem", self.lock + "s", "--count", 2, "--", "sh", "-c", "exit 9", status=9)

    def test_cmd_finds_lock_and_token(self):
        show = ("--", "sh", "-c", 'echo "$STEWARD_LOCK $STEWARD_TOKEN"')
        tokens = []
        for _ in range(2):
            name, token = self.out("lock", self.lock, *show).split()
            self.assertEqual(name, self.lock)
            tokens.append(int(token))
        self.assertLess(*tokens)

    def test_lock_is_held_while_cmd_runs(self):
        process = self.background("lock", self.lock, "--", "sleep", 60)
        harness.eventually(self.held, "it is held")
        self.fails(124, "STW_EBUSY", "lock", self.lock, "--timeout", 0, "--", "true")
        self.fails(124, "STW_ETIMEOUT", "lock", self.lock, "--timeout", "0.1", "--", "true")
        process.signal(signal.SIGTERM)      # goes to CMD
        self.assertEqual(process.wait(), 143)
        self.out("lock", self.lock, "--timeout", 0, "--", "true")

    def held(self):
        """How many hold it?"""
        rows = self.c.call(LOCK_LIST, "", self.lock, 10)
        return rows[0]["holders"] if rows else 0

    def test_a_broken_lock_ends_cmd(self):
        process = self.background("lock", self.lock, "--", "sleep", 60)
        harness.eventually(self.held, "it is held")
        self.assertEqual(self.out("lock", "break", self.lock), "")
        self.assertEqual(process.wait(), 125)
        self.assertIn("was lost", process.err())

    def test_cmd_that_ignores_sigterm_is_killed(self):
        process = self.background("lock", self.lock, "--kill-after", "0.3", "--", "sh", "-c",
                                  "trap '' TERM; while :; do sleep 0.1; done")
        harness.eventually(self.held, "it is held")
        time.sleep(0.2)
        self.out("lock", "break", self.lock)
        self.assertEqual(process.wait(), 125)

    def test_a_killed_steward_takes_its_cmd_along(self):
        process = self.background("lock", self.lock, "--", "sleep", 60)
        harness.eventually(self.held, "it is held")
        process.kill()
        self.out("lock", self.lock, "--timeout", 10, "--", "true")

    def test_lock_lease(self):
        process = self.background("lock", self.lock, "--lease", "0.3", "--", "sleep", 60)
        self.assertEqual(process.wait(), 125)

    def test_sem_lets_n_in(self):
        for _ in range(2):
            self.background("sem", self.lock, "--count", 2, "--", "sleep", 60)
        harness.eventually(lambda: self.held() == 2, "two hold it")
        three = ("--timeout", 0, "--", "true")
        self.fails(124, "STW_EBUSY", "sem", self.lock, "--count", 2, *three)
        self.fails(125, "STW_EEXIST", "sem", self.lock, "--count", 3, *three)
        self.fails(125, "STW_EKIND", "lock", self.lock, *three)
        self.fails(2, "--count", "sem", self.lock, "--", "true")

    def test_list_and_show(self):
        process = self.background("lock", self.lock, "--", "sleep", 60)
        harness.eventually(self.held, "it is held")
        self.assertIn(self.lock, self.out("lock", "list"))
        line, = self.json("lock", "list", self.lock)
        self.assertEqual((line["name"], line["holders"]), (self.lock, 1))
        self.assertIn("holder", self.out("lock", "show", self.lock))
        line, = self.json("lock", "show", self.lock)
        self.assertEqual(line["held_by"][0]["pid"], process.pid)
        self.assertEqual(line["held_by"][0]["program"], "steward")
        self.fails(1, "STW_ENOENT", "lock", "show", self.lock + "-none")
        self.fails(1, "STW_ENOENT", "lock", "break", self.lock + "-none")

    def test_a_lock_named_list(self):
        self.assertEqual(self.out("lock", "list", "--", "echo", "hello"), "hello\n")

    def test_no_manager(self):
        nobody = ("--endpoint", "ipc://" + os.path.join(self.directory, "nobody"))
        started = [self.background(*nobody, *arguments) for arguments in (
            ("put", "q", "x"), ("stat",), ("lock", "x", "--", "true"),
            ("sem", "x", "--count", 1, "--", "true"), ("exec", "q", "-n", 1, "--", "true"))]
        for process, status in zip(started, (1, 1, 125, 125, 125)):
            self.assertEqual(process.wait(60), status, process.argv)
            self.assertIn("STW_EUNREACHABLE", process.err())


class Queues(CliCase):
    """The operator's commands."""

    def setUp(self):
        super().setUp()
        self.queue, self.c = self.name(), self.client()

    def test_create_show_alter_delete(self):
        self.out("queue", "create", self.queue, "--maxsize", 10, "--max-bytes", "2K", "--overflow",
                 "reject", "--lease", "5", "--max-deliveries", 3, "--dead-letter", "grave",
                 "--ttl", "1h", "--delay", "1ms", "--dedup-window", "1m")
        line, = self.json("queue", "show", self.queue)
        wanted = {"name": self.queue, "maxsize": 10, "max_bytes": 2048, "overflow": "reject",
                  "lease_ms": 5000, "max_deliveries": 3, "dead_letter": "grave",
                  "ttl_ms": 3600000, "delay_ms": 1, "dedup_window_ms": 60000, "ready": 0}
        self.assertEqual({key: line[key] for key in wanted}, wanted)
        self.assertIn("maxsize", self.out("queue", "show", self.queue))
        self.fails(1, "maxsize", "queue", "create", self.queue, "--maxsize", 11)
        self.out("queue", "alter", self.queue, "--maxsize", 11)
        self.out("queue", "create", self.queue, "--maxsize", 11)
        self.fails(2, "option", "queue", "alter", self.queue)
        self.fails(2, "overflow", "queue", "create", self.queue, "--overflow", "burst")
        self.assertEqual(self.json("queue", "delete", self.queue),
                         [{"command": "queue delete", "queue": self.queue}])
        self.fails(1, "STW_ENOENT", "queue", "show", self.queue)
        self.fails(1, "STW_ENOENT", "queue", "delete", self.queue)

    def test_list_is_paged(self):
        count = 1100
        names = [f"{self.queue}-{i:04d}" for i in range(count)]
        for request in [self.c.request(QUEUE_DECLARE, name, {}) for name in names]:
            self.c.wait(request)
        lines = self.json("queue", "list", self.queue + "-")
        self.assertEqual([line["name"] for line in lines], names)
        lines = self.out("queue", "list", self.queue + "-00").splitlines()
        self.assertEqual(len(lines), 101)
        self.assertIn("QUEUE", lines[0])

    def test_peek(self):
        for i in range(15):
            self.c.put(self.queue, b"item %d" % i)
        self.assertEqual(len(self.json("queue", "peek", self.queue)), 10)
        lines = self.json("queue", "peek", self.queue, "-n", 2, "--offset", 12)
        self.assertEqual([line["body"] for line in lines], ["item 12", "item 13"])
        self.assertIn("item 14", self.out("queue", "peek", self.queue, "-n", 100))
        self.assertEqual(self.c.show(self.queue)["ready"], 15)

    def test_bodies_do_nothing_to_the_terminal(self):
        queue = self.name()
        self.out("put", queue, "x\x1b[1m \u009b2Jy \u00e9")
        self.assertIn("x.[1m ..2Jy \u00e9", self.out("queue", "peek", queue))

    def test_purge_pause_resume(self):
        self.c.put(self.queue, b"1")
        self.out("queue", "pause", self.queue)
        self.fails(3, "STW_ETIMEOUT", "get", self.queue, "--timeout", "0.1")
        self.out("queue", "resume", self.queue)
        self.assertEqual(self.out("get", self.queue), "1\n")
        for _ in range(3):
            self.c.put(self.queue, b"x")
        self.assertEqual(self.out("queue", "purge", self.queue), "3 items dropped\n")
        self.assertEqual(self.json("queue", "purge", self.queue),
                         [{"queue": self.queue, "dropped": 0}])

    def test_redrive(self):
        for body in (b"1", b"2"):
            self.c.put(self.queue, body)
            self.c.reject(self.c.get(self.queue))
        dead = self.queue + ".dead"
        line = self.json("get", dead)[0]
        self.assertEqual((line["data"], line["dead.queue"]), ("1", self.queue))
        self.c.put(self.queue, b"1")
        self.c.reject(self.c.get(self.queue))
        self.assertEqual(self.out("queue", "redrive", dead, "-n", 1), "1 items moved\n")
        self.assertEqual(self.out("queue", "redrive", dead, "--to", self.queue + "-new"),
                         "1 items moved\n")
        self.assertEqual(self.out("get", self.queue + "-new"), "1\n")
        self.assertEqual(self.out("get", self.queue), "2\n")

    def test_shutdown_and_join(self):
        self.c.put(self.queue, b"1")
        self.fails(3, "STW_ETIMEOUT", "queue", "join", self.queue, "--timeout", "0.1")
        self.out("queue", "shutdown", self.queue)
        self.fails(1, "STW_ESHUTDOWN", "put", self.queue, "x")
        process = self.background("queue", "join", self.queue)
        time.sleep(0.1)
        self.assertTrue(process.running())
        self.assertEqual(self.out("get", self.queue), "1\n")
        self.assertEqual(process.wait(), 0)
        self.fails(3, "STW_ESHUTDOWN", "get", self.queue)
        self.c.put(self.queue + "2", b"1")
        self.out("queue", "shutdown", "--now", self.queue + "2")
        self.out("queue", "join", self.queue + "2")

    def test_sessions(self):
        other = self.client(host="harbour", program="crane", pid=4711)
        line = next(line for line in self.json("session", "list")
                    if line["session"] == other.session)
        self.assertEqual((line["host"], line["program"], line["pid"]), ("harbour", "crane", 4711))
        self.assertIn("crane", self.out("session", "list"))
        self.assertEqual(self.json("session", "show", other.session)[0]["host"], "harbour")
        self.out("session", "end", other.session)
        self.fails(1, "STW_ENOENT", "session", "show", other.session)
        self.fails(2, "session id", "session", "end", "x")
        other.vanish()

    def test_stat(self):
        self.c.put(self.queue, b"x")
        line, = self.json("stat")
        self.assertGreaterEqual(line["ready"], 1)
        self.assertGreaterEqual(line["sessions"], 2)
        self.assertGreater(line["packets_in"], 0)
        self.assertEqual(line["process"]["pid"], self.manager.pid)
        self.assertEqual(line["journal"], {"journal": "memory"})
        text = self.out("stat")
        self.assertIn("packets_in", text)
        self.assertIn("memory_max_bytes", text)


class Bench(CliCase):
    """The benchmarks run, and lose nothing."""

    def bench(self, *arguments):
        """The line of JSON."""
        lines = self.run_it("--json", "bench", *arguments, timeout=100)[0].splitlines()
        return json.loads(lines[-1])

    def test_throughput(self):
        line = self.bench("throughput", "--seconds", 1, "--producers", 2, "--consumers", 2)
        self.assertEqual((line["lost"], line["duplicates"]), (0, 0))
        for key in ("messages_per_s", "put_per_s", "p50_us", "p99_us"):
            self.assertGreater(line[key], 0, key)
        for key in ("producer_cpu_s", "consumer_cpu_s"):
            self.assertGreaterEqual(line[key], 0, key)

    def test_throughput_in_batches(self):
        line = self.bench("throughput", "--seconds", 1, "--batch", 50, "--size", 1000)
        self.assertEqual((line["lost"], line["duplicates"]), (0, 0))

    def test_latency(self):
        self.assertGreater(self.bench("latency", "--seconds", 1)["p50_us"], 0)

    def test_lock(self):
        line = self.bench("lock", "--seconds", 2, "--clients", 4)
        self.assertEqual(line["violations"], 0)
        self.assertGreater(line["pairs_per_s"], 0)

    def test_connections(self):
        line = self.bench("connections", "--seconds", 1, "--connections", 50)
        self.assertGreater(line["operations_per_s"], 0)


class Usage(CliCase):
    """Help, versions and wrong use."""

    COMMANDS = ("put get exec lock sem stat top log-level help,"
                "queue list,queue show,queue create,queue alter,"
                "queue delete,queue purge,queue pause,queue resume,queue peek,queue redrive,"
                "queue shutdown,queue join,lock list,lock show,lock break,session list,"
                "session show,session end,bench throughput,bench latency,bench lock,"
                "bench connections")

    def commands(self):
        """Each command's words."""
        single, *double = self.COMMANDS.split(",")
        return [[word] for word in single.split()] + [pair.split() for pair in double]

    def test_help(self):
        overview = self.out("--help")
        for words in self.commands():
            self.assertIn(words[-1], overview)
            text = self.out(*words, "--help")
            self.assertIn(" ".join(words), text)
            self.assertEqual(self.out("help", *words), text)
        self.assertRegex(self.out("--version"), r"^steward \d+\.\d+\.\d+\n$")

    def test_help_as_json_names_every_command(self):
        text = self.out("help", "--json")
        for line in text.splitlines():
            json.loads(line)
        for words in self.commands():
            self.assertIn('"' + words[-1] + '"', text)

    def test_wrong_use(self):
        for arguments in ((), ("frobnicate",), ("queue",), ("queue", "frobnicate"), ("put",),
                          ("get",), ("get", "q", "--colour"), ("get", "q", "-n", "0"),
                          ("get", "q", "-n", "x"), ("get", "q", "--timeout", "-1"),
                          ("get", "q", "--all", "-n", "1"), ("put", "q", "--all"),
                          ("lock", "x"), ("lock", "x", "--"), ("exec", "q"), ("stat", "x"),
                          ("help", "queue", "frobnicate"), ("get", "q", "--timeout", "0x1"),
                          ("queue", "show"), ("queue", "show", "a", "b"), ("session", "show"),
                          ("put", "q", "x", "--priority", "256"), ("put", "q", "-H", "novalue")):
            _, err = self.run_it(*arguments, status=2)
            self.assertTrue(err, arguments)

    def test_options_stand_anywhere(self):
        self.out("--endpoint", self.endpoint, "put", self.name(), "x", "--", "-5")
        self.assertEqual(self.json("get", self.name())[0]["data"], "x")
        out, _ = self.run_it("get", self.name(), "--json", "-e", self.endpoint)
        self.assertEqual(json.loads(out)["data"], "-5")

    def test_errors_as_json(self):
        _, err = self.run_it("--json", "queue", "show", "none", status=1)
        error = json.loads(err)
        self.assertEqual((error["error"], error["command"]), ("STW_ENOENT", "queue show"))
        self.assertIn("none", error["message"])

    def test_a_list_of_endpoints_is_tried_in_turn(self):
        nobody = "ipc://" + os.path.join(self.directory, "nobody")
        self.out("-e", f"{nobody},{self.endpoint}", "put", self.name(), "x")
        self.assertEqual(self.out("-e", f"{self.manager.tcp},{nobody}", "get", self.name()), "x\n")


if __name__ == "__main__":
    harness.main()
