"""The regions of a data directory, read from its bytes as docs/log.md describes them: for flipping
a byte in each, and knowing what has to happen then.
"""

import os
import struct

BLOCK = 4096
SECTOR = 512
SEGMENT_HEADER = 88
RECORD_HEADER = 64
ITEM_HEADER = 24
IN_USE = 2
ITEMS = {1: "entry", 2: "truncation", 3: "restart", 4: "vote"}
ENTRIES = {1: "commands", 2: "barrier", 3: "nodes"}

MUST, MAY, MUST_NOT = "must refuse", "may refuse", "must not refuse"


class Region:
    """A kind of place: stretches of files, and what a start has to say to a flip there."""

    def __init__(self, name, refuse):
        self.name, self.refuse, self.places = name, refuse, []

    def choose(self, chance):
        """(file, offset) of some byte in it."""
        file, begin, end = chance.choice(self.places)
        return file, chance.randrange(begin, end)


class Regions:
    """All regions of one directory, by name."""

    def __init__(self, directory):
        self.directory, self.found = directory, {}
        self.add("version file", MUST, "version", 0, self.size("version"))
        log = sorted(os.listdir(os.path.join(directory, "log")))
        segments = [f"log/{name}" for name in log if name.endswith(".segment")]
        used = [path for path in segments if self.in_use(path)]
        for path in segments:
            if path in used:
                self.segment(path, path == used[-1])
            else:
                self.add("prepared: header", MAY, path, 0, SEGMENT_HEADER)
                self.add("prepared: contents", MAY, path, BLOCK, self.size(path))
        for path in (f"log/{name}" for name in log if name.endswith(".pool")):
            self.add("pool: header", MAY, path, 0, SEGMENT_HEADER)
            self.add("pool: contents", MAY, path, BLOCK, self.size(path))
        self.snapshots()

    def add(self, name, refuse, file, begin, end):
        """One more stretch [begin, end)."""
        if end > begin:
            self.found.setdefault(name, Region(name, refuse)).places.append((file, begin, end))

    def size(self, file):
        """Bytes of a file."""
        return os.path.getsize(os.path.join(self.directory, file))

    def in_use(self, path):
        """Has a segment records, or does it only wait for them?"""
        with open(os.path.join(self.directory, path), "rb") as file:
            return file.read(8)[6] & IN_USE != 0

    def segment(self, path, last):
        """Walks the records of a segment. In the last one the last record, and what follows it,
        cannot be told from a torn write in every case."""
        with open(os.path.join(self.directory, path), "rb") as file:
            data = file.read()
        self.add("segment: header", MUST, path, 0, SEGMENT_HEADER)
        at, records = BLOCK, []
        # A recycled segment has records of its last use behind its own: the incarnation tells.
        while data[at:at + 4] == b"STWR" and data[at + 16:at + 24] == data[32:40]:
            items, = struct.unpack_from("<I", data, at + 4)
            size = -(-(RECORD_HEADER + items) // BLOCK) * BLOCK
            records.append((at, items, size))
            at += size
        for number, record in enumerate(records):
            newest = last and number + 1 == len(records)
            self.record(path, data, record, MAY if newest else MUST)
        if last:
            self.add("free: first sector", MAY, path, at, at + SECTOR)
            self.add("free: behind it", MUST_NOT, path, at + BLOCK, len(data))

    def record(self, path, data, record, refuse):
        """The header, items and padding of one record."""
        at, items, size = record
        kind, = struct.unpack_from("<H", data, at + 52)
        name = "last record" if refuse == MAY else "seal" if kind == 2 else "record"
        self.add(f"{name}: header", refuse, path, at, at + RECORD_HEADER)
        end = at + RECORD_HEADER + items
        self.add("padding", MUST_NOT, path, end, at + size)
        at += RECORD_HEADER
        while at < end:
            kind, tag, _, payload = struct.unpack_from("<BBHI", data, at)
            what = ITEMS.get(kind, "?") if kind != 1 else f"entry of {ENTRIES.get(tag, '?')}"
            if refuse == MAY:
                what = "last " + what
            self.add(f"{what}: header", refuse, path, at, at + ITEM_HEADER)
            self.add(f"{what}: payload", refuse, path, at + ITEM_HEADER,
                     at + ITEM_HEADER + payload)
            at += ITEM_HEADER + payload

    def snapshots(self):
        """Header, contents and end of snapshots. An older one and the log may stand in for it."""
        directory = os.path.join(self.directory, "snapshot")
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            path, size = f"snapshot/{name}", self.size(f"snapshot/{name}")
            self.add("snapshot: header", MAY, path, 0, min(size, SECTOR))
            self.add("snapshot: contents", MAY, path, BLOCK, size - SECTOR)
            self.add("snapshot: end", MAY, path, max(0, size - SECTOR), size)


def of_directory(directory):
    """The regions, in the order of their names."""
    return [region for _, region in sorted(Regions(directory).found.items())]
