"""stewardd inspect: finds what is damaged, changes nothing, works beside a manager."""

import hashlib
import json
import os
import shutil
import struct
import subprocess

import harness
from test_backup import BackupCase

BLOCK = 4096
LONG = os.environ.get("STW_LONG") == "1"    # every record, not a few of them


def content(directory):
    """Every file's bytes and time of change."""
    found = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            found[path] = (digest, os.stat(path).st_mtime_ns)
    return found


class Inspect(BackupCase):
    """A manager's directory, and its backup."""

    def inspect(self, *arguments, status=0):
        """What it says, as JSON."""
        out, _ = self.tool("inspect", "--json", *arguments, status=status)
        return json.loads(out)

    def filled(self):
        """A directory at rest: two kinds of entries, a snapshot, a clean end."""
        self.c.put("q", *[b"%d" % i * 10 for i in range(300)])
        self.backup()
        self.c.put("q", *[b"%d" % i * 10 for i in range(300)])
        self.c.vanish()
        self.assertEqual(self.manager.stop(), 0)
        return self.manager.data

    def test_what_it_tells(self):
        data = self.filled()
        before = content(data)
        found = self.inspect("--verify", data)
        self.assertTrue(found["good"] and found["verified"] and not found["in_use"])
        self.assertEqual(found["node"], 1)
        log, (snapshot, *_) = found["log"], found["snapshots"]
        self.assertGreaterEqual(log["last"], snapshot["index"])
        self.assertLessEqual(log["first"], snapshot["index"] + 1)
        self.assertGreater(log["commands"], 0)
        self.assertEqual(snapshot["nodes"], [{"node": 1, "role": "voter"}])
        brief = self.inspect(data)
        self.assertTrue(brief["good"] and not brief["verified"])
        backup = self.inspect(self.path("backup"))
        self.assertEqual(backup["index"], snapshot["index"])
        self.assertEqual(backup["hash"], snapshot["hash"])
        out, _ = self.tool("inspect", data, "--verify")
        self.assertIn("whole: every byte was read", out)
        out, _ = self.tool("inspect", self.path("backup"))
        self.assertIn("whole: every byte was read", out)
        self.assertEqual(content(data), before)

    def flipped(self, path, at):
        """Inspects with one bit of that file changed: it must be found, and told where."""
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 4]))
        found = self.inspect("--verify", self.copy, status=1)
        self.assertFalse(found["good"])
        told = json.dumps(found)
        self.assertIn(os.path.basename(path), told, at)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(byte)

    def records(self, path):
        """(offset, bytes of header and items) of each record in a segment."""
        with open(path, "rb") as file:
            data = file.read()
        at = BLOCK
        while data[at:at + 4] == b"STWR":
            size, = struct.unpack_from("<I", data, at + 4)
            yield at, 64 + size
            at += (64 + size + BLOCK - 1) // BLOCK * BLOCK

    def test_flipped_bits_are_found(self):
        data = self.filled()
        self.copy = self.path("copy")
        shutil.copytree(data, self.copy)
        log = os.path.join(self.copy, "log")
        segments = sorted(name for name in os.listdir(log) if name.endswith(".segment"))
        used = [os.path.join(log, name) for name in segments]
        records = [(path, record) for path in used for record in self.records(path)]
        self.assertGreater(len(records), 5)
        for at in (0, 4, 8, 16, 24, 32, 40, 56, 64, 80, 87):
            self.flipped(used[0], at)
        step = 1 if LONG else len(records) // 4
        for path, (at, size) in records[:-1:step]:  # the last is the seal: it confirms the others
            for part in (0, 4, 8, 24, 32, 40, 48, 56, 63, 64, size // 2, size - 1):
                if part < size:
                    self.flipped(path, at + part)
        store = os.path.join(self.copy, "snapshot")
        for name in os.listdir(store):
            path = os.path.join(store, name)
            size = os.path.getsize(path)
            for at in (0, 8, 16, 40, 88, 4095, 4096, size // 2, size - BLOCK, size - 1):
                self.flipped(path, at)
        self.assertTrue(self.inspect("--verify", self.copy)["good"])

    def test_missing_files_are_found(self):
        data = self.filled()
        for name in ("version", "log", "snapshot"):
            copy = self.path("copy-" + name)
            shutil.copytree(data, copy)
            path = os.path.join(copy, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
            if name == "snapshot" and self.inspect("--verify", data)["log"]["first"] == 1:
                continue                            # the log alone still holds everything
            self.assertIn("trouble", self.inspect("--verify", copy, status=1))

    def test_beside_a_manager_at_work(self):
        self.c.declare("q")
        busy = self.start(["sh", "-c", "while :; do seq 5000; done | "
                           f"{harness.binary('steward')} put q"], env=self.env())
        harness.eventually(lambda: self.c.show("q")["ready"] > 10000, "puts go on")
        last = 0
        for _ in range(5):
            found = self.inspect("--verify", self.manager.data)
            self.assertTrue(found["good"] and found["in_use"])
            self.assertGreater(found["log"]["last"], last)
            last = found["log"]["last"]
            self.c.show("q")
        busy.kill()
        self.assertGreater(self.c.show("q")["ready"], 10000)    # it is none the worse for it

    def test_wrong_use(self):
        for words in ((), ("a", "b"), ("--nothing",), ("--verify",)):
            self.tool("inspect", *words, status=2)
        self.tool("inspect", self.path("nothing"), status=1)
        os.mkdir(self.path("empty"))
        self.assertIn("no version file", self.inspect(self.path("empty"), status=1)["trouble"])
        with open(self.path("short"), "wb") as file:
            file.write(b"x" * 100)
        self.assertFalse(self.inspect(self.path("short"), status=1)["good"])
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.binary("stewardd"), "inspect", self.manager.data],
                                  stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    harness.main()
