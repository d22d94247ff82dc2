"""`stewardd` as a program: options, endpoints, signals, exit codes, log."""

import os
import re
import signal
import socket
import subprocess
import time

import harness
from steward_wire import ACK, Bye, Client, Refused


class Stewardd(harness.Case):
    """Each test starts what it needs."""

    def run_it(self, *options, status=0, env=None, stdin=None):
        """Runs stewardd to its end; (stdout, stderr)."""
        done = subprocess.run([harness.binary("stewardd"), *options], text=True, check=False,
                              timeout=harness.PATIENCE, stdin=stdin, cwd=self.directory,
                              env=harness.environment(**(env or {})),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, status, (options, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def usage(self, word, *options, env=None):
        """Refused with status 2 and one line that has the word in it."""
        out, err = self.run_it(*options, status=2, env=env)
        self.assertEqual(out, "")
        self.assertRegex(err, r"\Astewardd: .*\n\Z")
        self.assertIn(word, err)

    def manager_with(self, *options, **more):
        """A manager of this test's own."""
        manager = harness.Manager(self.directory, *options, **more)
        self.processes.append(manager)
        return manager.ready()

    def settings(self, *options, env=None):
        """What --check-config prints: {name: (value, the whole line)}."""
        out, _ = self.run_it("--check-config", *options, env=env)
        found = {}
        for line in out.splitlines():
            match = re.match(r"\s*([a-z-]+)\s*=\s*(\S*)", line)
            if match:
                found.setdefault(match.group(1), (match.group(2).strip('"'), line))
        return found

    def file(self, text):
        """A configuration file."""
        path = os.path.join(self.directory, "steward.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    # ---- options -------------------------------------------------------------------------------

    def test_version_and_help(self):
        out, err = self.run_it("--version")
        self.assertRegex(out, r"\Astewardd \d+\.\d+\.\d+\n\Z")
        self.assertEqual(err, "")
        out, _ = self.run_it("--help")
        for option in ("listen", "data", "memory", "insecure", "body-max", "memory-max",
                       "check-config"):
            self.assertIn("--" + option, out)

    def test_wrong_options(self):
        self.usage("colour", "--colour", "red")
        self.usage("body-max", "--body-max", "0")
        self.usage("body-max", "--body-max", "1T")
        self.usage("body-max", "--body-max", "-1")
        self.usage("log-level", "--log-level", "loud")
        self.usage("listen", "--listen", "carrier-pigeon://coop")
        self.usage("operand", "operand")
        self.usage("with --memory", "--memory", "--data", "d")
        self.usage("nowhere", "--config", os.path.join(self.directory, "nowhere"))
        self.usage("STEWARD_BODY_MAX", env={"STEWARD_BODY_MAX": "much"})

    def test_wrong_files(self):
        for text, word in (("colour = red\n", "colour"), ("body-max = much\n", "body-max"),
                           ("body-max\n    nested = 1\n", "body-max"), ("x" * 2000, "line"),
                           ("config = other\n", "config"), ("\0", "NUL")):
            self.usage(word, "--config", self.file(text))

    def test_precedence(self):
        """Command line over environment over file over default."""
        path = self.file("body-max = 3M\ndrain-seconds = 3\nlog-level = debug\n")
        env = {"STEWARD_CONFIG": path, "STEWARD_BODY_MAX": "2M", "STEWARD_DRAIN_SECONDS": "2"}
        settings = self.settings("--drain-seconds", "1", env=env)
        for name, value, source in (("drain-seconds", "1", "command line"),
                                    ("body-max", str(2 << 20), "environment"),
                                    ("log-level", "debug", "file"),
                                    ("connections-max", "65536", "default")):
            self.assertEqual(settings[name][0], value, name)
            self.assertIn(source, settings[name][1])

    def test_check_config_listens_nowhere(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.run_it("--check-config", "--listen", f"tcp://127.0.0.1:{port}")

    def test_what_it_prints_it_reads(self):
        out, _ = self.run_it("--check-config", "--body-max", "7M", "--drain-seconds", "9")
        settings = self.settings("--config", self.file(out))
        self.assertEqual(settings["body-max"][0], str(7 << 20))
        self.assertEqual(settings["drain-seconds"][0], "9")

    # ---- endpoints -----------------------------------------------------------------------------

    def test_beyond_loopback_only_with_insecure(self):
        for endpoint in ("tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*"):
            out, err = self.run_it("--memory", "--listen", endpoint, status=2)
            self.assertIn("--insecure", err + out)
        manager = self.manager_with("--insecure", listen=["tcp://0.0.0.0:*"])
        port = re.search(r"tcp://0\.0\.0\.0:(\d+)", manager.err()).group(1)
        self.client("tcp://127.0.0.1:" + port).put("q", b"x")

    def test_ipv6_and_ipc_and_several(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        ipc = "ipc://" + os.path.join(self.directory, "a")
        manager = self.manager_with(listen=["tcp://[::1]:*", "tcp://127.0.0.1:*", ipc])
        port = re.search(r"tcp://\[::1\]:(\d+)", manager.err()).group(1)
        clients = [self.client(e) for e in (f"tcp://[::1]:{port}", manager.tcp, ipc)]
        for i, client in enumerate(clients):
            client.put("q", b"%d" % i)
        self.assertEqual([m.body for m in clients[0].get_many("q", count=3)], [b"0", b"1", b"2"])

    def test_a_port_in_use(self):
        manager = self.manager_with()
        _, err = self.run_it("--memory", "--listen", manager.tcp, status=1)
        self.assertIn(manager.tcp, err)
        _, err = self.run_it("--memory", "--listen", manager.ipc, status=1)
        self.client(manager.ipc).put("q", b"x")

    def test_a_stale_socket_file_is_no_obstacle(self):
        first = self.manager_with()
        first.kill()
        second = self.manager_with()
        self.client(second.ipc).put("q", b"x")

    def test_no_other_file_is_overwritten(self):
        path = os.path.join(self.directory, "precious")
        with open(path, "w", encoding="utf-8") as file:
            file.write("data")
        self.run_it("--memory", "--listen", "ipc://" + path, status=1)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "data")

    # ---- life ----------------------------------------------------------------------------------

    def test_it_says_that_it_keeps_everything_in_memory(self):
        argv = [harness.binary("stewardd"), "--memory", "--listen",
                "ipc://" + self.directory + "/m"]
        process = self.start(argv)
        harness.eventually(lambda: "event=ready" in process.err(), "ready")
        self.assertEqual(process.err().count("event=in_memory"), 1)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_sigterm_without_anybody_leaves_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            manager = self.manager_with()
            started = time.monotonic()
            manager.signal(number)
            self.assertEqual(manager.wait(), 0)
            self.assertLess(time.monotonic() - started, 2.0)
            self.assertIn("event=stopped", manager.err())
            self.assertFalse(os.path.exists(manager.ipc[len("ipc://"):]))

    def test_sigterm_lets_clients_finish(self):
        manager = self.manager_with("--drain-seconds", "20")
        client = self.client(manager.ipc, resume=False)
        client.put("q", b"x")
        message = client.get("q")
        manager.signal(signal.SIGTERM)
        harness.eventually(lambda: "event=drain" in manager.err(), "the drain")
        self.refused("EDRAINING", client.put, "q", b"y")
        with self.assertRaises(Bye) as caught:
            Client(manager.ipc)
        self.assertEqual(caught.exception.name, "EDRAINING")
        client.idle(0.5)
        self.assertTrue(manager.running())
        request = client.settle_request(ACK, message.tag, 1)
        try:
            client.wait(request)
        except Bye:
            client.wait(request, 0)     # the answer came with the goodbye
        self.assertEqual(manager.wait(), 0)

    def test_the_drain_ends(self):
        manager = self.manager_with("--drain-seconds", "1")
        client = self.client(manager.ipc, resume=False)
        client.acquire("lock")
        started = time.monotonic()
        manager.signal(signal.SIGTERM)
        with self.assertRaises(Bye):
            client.idle(10)
        self.assertEqual(manager.wait(), 0)
        self.assertGreater(time.monotonic() - started, 0.9)

    def test_a_second_sigterm_cuts_the_drain_short(self):
        manager = self.manager_with("--drain-seconds", "600")
        self.client(manager.ipc, resume=False).acquire("lock")
        manager.signal(signal.SIGTERM)
        harness.eventually(lambda: "event=drain" in manager.err(), "the drain")
        manager.signal(signal.SIGTERM)
        self.assertEqual(manager.wait(), 0)
        self.assertIn("event=drain_cut_short", manager.err())

    def test_other_signals(self):
        manager = self.manager_with()
        for number in (signal.SIGHUP, signal.SIGPIPE):
            manager.signal(number)
            self.client(manager.ipc).put("q", b"x")
        self.assertTrue(manager.running())

    def test_a_restarted_manager_is_another_one(self):
        manager = self.manager_with()
        port = manager.tcp.rsplit(":", 1)[1]
        client = self.client(manager.tcp)
        incarnation = client.welcome["incarnation"]
        manager.kill()
        again = self.manager_with(listen=[f"tcp://127.0.0.1:{port}"])
        with self.assertRaises(Bye) as caught:
            client.resume()
        self.assertEqual(caught.exception.name, "ESESSION")
        self.assertNotEqual(self.client(again.tcp).welcome["incarnation"], incarnation)

    # ---- the log -------------------------------------------------------------------------------

    def test_the_log_is_lines_of_pairs(self):
        manager = self.manager_with("--log-level", "debug")
        client = self.client(manager.ipc, program="x\nlevel=error event=forged", host='"\x1b[31m')
        try:
            client.put("a b=\"c\"", b"x")
        except Refused:
            pass
        client.leave()
        harness.eventually(lambda: "event=session_ended" in manager.err(), "the session's end")
        pair = r'[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]+)'
        for line in manager.err().splitlines():
            self.assertRegex(line, rf"\Atime=\S+Z level=[a-z]+ component=[a-z]+ event=[a-z_]+"
                                   rf"(?: {pair})*\Z")
        self.assertNotIn("event=forged", manager.err())
        self.assertNotIn("\x1b", manager.err())


if __name__ == "__main__":
    harness.main()
