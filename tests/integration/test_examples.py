"""The classic programs of client/examples: each ends with 0 and says what it should."""

import re

import harness
from steward_wire import STAT


class Examples(harness.Case):
    """One manager for all; each program as it stands in the README."""

    def run_example(self, name, *arguments, timeout=100):
        """Runs it to its end; its stdout."""
        env = harness.environment(STEWARD_ENDPOINT=self.endpoint)
        argv = [harness.binary("examples/" + name), *arguments]
        process = self.start(argv, env=env)
        status = process.wait(timeout)
        self.assertEqual(status, 0, f"{name}:\n{process.out()}\n{process.err()}")
        self.assertEqual(process.err(), "", name)
        return process.out()

    def tearDown(self):
        """Nothing is left behind: no session, no lock held, nothing unfinished."""
        client = self.client()
        row = client.call(STAT)[0]
        self.assertEqual((row["sessions"], row["leased"], row["unfinished"]), (1, 0, 0))

    def test_manager_queue(self):
        out = self.run_example("manager_queue")
        self.assertEqual(re.findall(r"reader: got (\w)", out), list("ABCD"))
        self.assertIn("all four letters, in order", out)

    def test_manager_queue_twice(self):
        for _ in range(2):
            self.test_manager_queue()

    def test_ticket_office(self):
        out = self.run_example("ticket_office")
        sold = [int(n) for n in re.findall(r"seller \d+ sold (\d+)", out)]
        self.assertEqual((len(sold), sum(sold)), (10, 100))
        self.assertIn("100 tickets, 0 left, 0 sold twice or never", out)

    def test_pipeline(self):
        out = self.run_example("pipeline")
        found = re.search(r"sum (\d+), expected (\d+); longest queue (\d+) of (\d+)", out)
        self.assertTrue(found, out)
        total, expected, longest, most = map(int, found.groups())
        self.assertEqual((total, expected), (sum(i * i for i in range(1, 301)),) * 2)
        self.assertLessEqual(longest, most)

    def test_gather(self):
        out = self.run_example("gather")
        self.assertRegex(out, r"1000 puts and 1000 gets gathered in [\d.]+ ms")
        self.assertIn("0 numbers came not exactly once", out)

    def test_echo_service(self):
        out = self.run_example("echo_service")
        served = [int(n) for n in re.findall(r"server \d+ answered (\d+)", out)]
        self.assertEqual((len(served), sum(served)), (4, 400))
        self.assertIn("400 answers, all right", out)


if __name__ == "__main__":
    harness.main()
