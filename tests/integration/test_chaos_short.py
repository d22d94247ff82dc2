#!/usr/bin/python3
"""The short version of `./dev chaos`: a durable node and three of them are killed a few times under
the load of real clients, and the checker reads what they were told. docs/chaos.md has the rest.
"""

import os
import sys
import unittest

import harness

os.environ.setdefault("STEWARD_BUILD", harness.BUILD)
sys.path.insert(0, os.path.join(harness.HERE, "..", "chaos"))

import chaos

# Fixed: a short test that fails must fail again. The long runs draw their own.
SEED = 1


class Short(unittest.TestCase):
    """Each run with few rounds; what fails says where its histories are."""

    def passes(self, name, rounds):
        """One run; its figures go into the test's output."""
        result = chaos.run_one(name, rounds, SEED, timed=False)
        print(result, flush=True)
        self.assertEqual(result["outcome"], "passed", result)
        return result

    def test_kill_manager(self):
        self.assertGreater(self.passes("kill-manager", 5)["puts_confirmed"], 0)

    def test_kill_leader(self):
        self.assertGreater(self.passes("kill-leader", 2)["puts_confirmed"], 0)

    def test_sleep_through(self):
        self.passes("sleep-through", 1)

    def test_control(self):
        """A manager that keeps nothing must be found out."""
        self.passes("control-memory", 1)


if __name__ == "__main__":
    harness.main()
