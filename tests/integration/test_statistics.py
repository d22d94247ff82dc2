"""docs/statistics.md names every number that a running manager tells, and no other."""

import json
import os
import re

import harness
from cli_case import CliCase

PAGE = os.path.join(harness.HERE, "..", "..", "docs", "statistics.md")
UNITS = {"bytes", "count", "milliseconds", "microseconds", "number", "text", "index",
         "0 or 1", "version"}
KINDS = {"counter", "now", "setting", "id"}


def page():
    """{part: {name: (unit, kind, meaning)}}"""
    parts, part = {}, None
    with open(PAGE, encoding="utf-8") as file:
        for line in file:
            head = re.match(r"## (\w+)$", line)
            row = re.match(r"\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", line)
            if head:
                part = parts.setdefault(head.group(1), {})
            elif row:
                assert row.group(1) not in part, f"twice on the page: {row.group(1)}"
                part[row.group(1)] = tuple(row.groups()[1:])
    return parts


class Statistics(CliCase):
    """Each kind of row, from a manager that keeps everything."""

    shared = False

    def new_manager(self):
        return harness.Manager(self.directory, data=os.path.join(self.directory, "data")).ready()

    def compare(self, part, row, sometimes=()):
        """The row's names are the page's; numbers and texts where the page says so."""
        strings = ("hash", "incarnation")       # 64 bits: more than numbers of JSON may have
        named = page()[part]
        self.assertEqual(set(named) - set(row) - set(sometimes), set(), f"{part}: only on the page")
        self.assertEqual(set(row) - set(named), set(), f"{part}: not on the page")
        for name, value in row.items():
            text = named[name][0] == "text"
            self.assertIsInstance(value, (str, int) if name in strings else str if text else int,
                                  name)

    def test_the_page_uses_its_own_words(self):
        for part, names in page().items():
            for name, (unit, kind, meaning) in names.items():
                with self.subTest(part=part, name=name):
                    self.assertIn(unit, UNITS)
                    self.assertIn(kind, KINDS)
                    self.assertTrue(meaning.strip())
                    self.assertEqual(name.endswith("_ms"), unit == "milliseconds")
                    self.assertEqual(name.endswith("_us"), unit == "microseconds")
                    self.assertEqual("bytes" in name, unit == "bytes")

    def test_stat(self):
        line, = self.json("stat")
        process, journal = line.pop("process"), line.pop("journal")
        totals = page()["Totals"]
        self.compare("Totals", {k: v for k, v in line.items() if k in totals})
        self.compare("Gateway", {k: v for k, v in line.items() if k not in totals})
        self.compare("Process", process)
        self.compare("Journal", journal, ("promotion_failed", "snapshot_trouble"))

    def test_cluster(self):
        line, = self.json("cluster", "status")
        node, = line.pop("nodes")
        self.compare("Journal", line, ("promotion_failed", "snapshot_trouble"))
        self.compare("Node", node)

    def test_queue_and_session(self):
        client = self.client(host="here", program="test")
        client.put("q", b"x")
        self.compare("Queue", self.json("queue", "show", "q")[0])
        self.compare("Queue", self.json("queue", "list")[0])
        self.compare("Session", self.json("session", "show", client.session)[0])
        self.compare("Session", self.json("session", "list")[0])

    def test_lock(self):
        client = self.client(host="here", program="test")
        client.acquire("l", lease_ms=60000)
        waiter = self.background("lock", "l", "--", "true")
        def waited():
            return json.loads(self.out("--json", "lock", "show", "l"))["waited_for_by"]
        self.compare("Waiter", harness.eventually(waited, "somebody waits")[0])
        line = json.loads(self.out("--json", "lock", "show", "l"))
        self.compare("Holder", line.pop("held_by")[0])
        line.pop("waited_for_by")
        self.compare("Lock", line)
        self.assertEqual((line["holder"], line["waiters"]), (client.session, 1))
        self.assertGreater(line["held_ms"], 0)
        self.compare("Lock", self.json("lock", "list")[0])
        self.assertTrue(waiter.running())

    def test_sequences(self):
        row = lambda: self.json("queue", "show", "q")[0]
        self.out("put", "q", "a", "b", "c")
        self.assertEqual((row()["head_sequence"], row()["next_sequence"]), (1, 4))
        self.out("get", "q")
        self.assertEqual(row()["head_sequence"], 2)
        self.out("get", "q", "-n", 2)
        self.assertEqual((row()["head_sequence"], row()["next_sequence"]), (0, 4))


if __name__ == "__main__":
    harness.main()
