#!/usr/bin/python3
"""The harness' own proof: it finds a lost and a doubled message, and nothing where nothing is.

test_proof.py PROGRAM, where PROGRAM is compare_kernel.
"""
import json
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop()


def run(work, *options):
    done = subprocess.run([PROGRAM, work, "kernel", "--seconds", "0.3", *options],
                          capture_output=True, text=True, check=False, timeout=50)
    return done.returncode, json.loads(done.stdout)


class Proof(unittest.TestCase):
    def test_throughput(self):
        code, result = run("throughput", "--batch", "8")
        self.assertEqual((code, result["lost"], result["doubled"]), (0, 0, 0))
        self.assertGreater(result["messages"], 100)

    def test_latency(self):
        code, result = run("latency")
        self.assertEqual((code, result["lost"], result["doubled"]), (0, 0, 0))
        self.assertGreater(result["p99_us"], 0)

    def test_double(self):
        code, result = run("throughput", "--mode", "double")
        self.assertEqual((code, result["lost"]), (1, 0))
        self.assertGreater(result["doubled"], 0)

    def test_lost(self):
        """Counted after nothing has moved for a while: the harness is told to be impatient."""
        code, result = run("throughput", "--mode", "lose", "--patience", "1")
        self.assertEqual((code, result["doubled"]), (1, 0))
        self.assertGreater(result["lost"], 0)


if __name__ == "__main__":
    unittest.main()
