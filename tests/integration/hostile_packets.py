"""200 and more packets that no honest client sends, made from one seed.

Each is (name, frames, fresh): fresh packets go to a connection of their own before HELLO, the
others to a connection with a session, where `n` is the number that the packet must have.
"""

import random
import struct

import msgpack

from steward_wire import (ACK, ACQUIRE, CANCEL, CONSUME, CREDIT, GET, HANDED, HELLO, LOCK_LIST,
                          LOCK_RENEW, NACK, PUT, PUTS, QUEUE_DECLARE, QUEUE_JOIN, QUEUE_LIST,
                          QUEUE_PEEK, QUEUE_REDRIVE, QUEUE_SHOW, QUEUE_SHUTDOWN, RELEASE, RENEW,
                          SEEN, SESSION_LIST, STAT, UNCONSUME, UNLOCK, pack_values)

HUGE = (1 << 64) - 1

# One good record of each op that a client may send; `None` in place of an id is filled in.
GOOD = [[SEEN, 1, 1], [HANDED, 1], [CREDIT, 1, 1, 1], [PUTS, 1, "q", 0, [b"x"]],
        [PUT, 1, "q", 0, {"priority": 1}, [b"x"]], [GET, 1, ["q"], 1, 0, None, False],
        [CONSUME, 1, ["q"], 1, 1, None], [UNCONSUME, 1, 1], [ACK, 1, 1, 1],
        [NACK, 1, 1, 1, 0, "why"], [RELEASE, 1, 1, 1], [RENEW, 1, 1, 1, None], [CANCEL, 1, 1],
        [ACQUIRE, 1, "l", 0, 1, 1, 0, 0, False], [UNLOCK, 1, "l", 1, 1],
        [LOCK_RENEW, 1, "l", 1, 1, 1], [LOCK_LIST, 1, "", "", 10],
        [QUEUE_DECLARE, 1, "q", {"maxsize": 5}], [QUEUE_SHUTDOWN, 1, "q9", False],
        [QUEUE_PEEK, 1, "q", 0, 1], [QUEUE_REDRIVE, 1, "q", "", 0], [QUEUE_SHOW, 1, "q"],
        [QUEUE_LIST, 1, "", "", 10], [QUEUE_JOIN, 1, "q", 0], [SESSION_LIST, 1, 0, 10], [STAT, 1]]

WRONG = [b"\xc1", b"\xff", b"\xca\x00\x00\x00\x00", b"\xd4\x01\x00", b"\xc0", b"\xa1\xff",
         msgpack.packb(-5), msgpack.packb({}), msgpack.packb([[[]]])]


def raw_record(fields):
    """An array of already packed values."""
    return bytes([0x90 | len(fields)]) + b"".join(fields)


def random_bytes(rng):
    """Noise as a whole packet, before HELLO and after it."""
    for i in range(20):
        data = rng.randbytes(rng.choice([0, 1, 2, 7, 30, 1000, 60000]))
        yield f"noise {i}", [data], bool(i % 2)
    yield "noise, two frames", [rng.randbytes(100), rng.randbytes(100)], False


def truncated(header, rng):
    """A good packet, cut somewhere."""
    whole = header + pack_values(GOOD)
    for i in range(24):
        at = rng.randrange(1, len(whole))
        if at >= len(header):
            yield f"cut at {at}", [whole[:at - 1] + b"\x93"], False
        else:
            yield f"cut at {at}", [whole[:at]], False


def wrong_types(header, rng):
    """Each record with one field of another type, one field less, and one more."""
    for record in GOOD:
        fields = [msgpack.packb(value) for value in record]
        at = rng.randrange(1, len(fields))
        bad = list(fields)
        bad[at] = rng.choice(WRONG)
        yield f"op {record[0]}, field {at} is {bad[at].hex()}", [header + raw_record(bad)], False
        yield f"op {record[0]}, a field less", [header + raw_record(fields[:-1])], False
        yield f"op {record[0]}, a field more", [header + raw_record(fields + [b"\x00"])], False


def huge_lengths(header):
    """Lengths that are declared and not there."""
    for name, marker in [("bin 32", b"\xc6"), ("str 32", b"\xdb"), ("array 32", b"\xdd"),
                         ("map 32", b"\xdf"), ("bin 16", b"\xc5"), ("array 16", b"\xdc")]:
        for size in (0xffffffff, 0x7fffffff, 0x00ffffff):
            length = struct.pack(">I", size) if name.endswith("32") else b"\xff\xff"
            yield f"{name} of {size}", [header + marker + length], False
    bodies = b"\x95\x10\x01\xa1q\x00\xdd" + struct.pack(">I", 0xffffffff)
    yield "a put of 2^32 - 1 bodies", [header + bodies], False
    yield "nested 100000 deep", [header + b"\x91" * 100000], False
    yield "nested maps", [header + b"\x81" * 100000], False
    yield "a head of 2 MiB", [header + b"\x00" * (2 << 20)], False
    yield "half a million records", [header + b"\x91\x00" * 250000], False


def frames_and_numbers(header, number):
    """Frames and headers that cannot be."""
    put = [PUTS, 1, "q", 0, [b"x"]]
    yield "three frames", [header, b"", b""], False
    yield "twelve frames", [header] + [b"x"] * 11, False
    yield "an empty packet", [b""], False
    yield "a second frame that nothing names", [header, b"x"], False
    yield "two nil bodies", [header + pack_values([[PUTS, 1, "q", 0, [None, None]]]), b"x"], False
    yield "a nil body without a frame", [header + pack_values([[PUTS, 1, "q", 0, [None]]])], False
    for bad in ([number + 1, 0], [number - 1, 0], [0, 0], [HUGE, 0], [number, 10 ** 6],
                [number, HUGE], [number], [number, 0, 0], [], ["1", 0], [None, None]):
        yield f"header {bad}", [pack_values([bad, put])], False
    yield "HELLO again", [header + pack_values([[HELLO, 1, 1, 1, {}]])], False
    yield "no header", [pack_values([put])], False


def out_of_range(header):
    """Well-formed records with values that cannot be."""
    records = [[PUTS, 0, "q", 0, [b"x"]], [PUTS, HUGE, "q", 0, [b"x"]],
               [PUTS, 10 ** 9, "q", 0, [b"x"]], [PUTS, 1, "q", 0, []],
               [PUTS, 1, "q", 0, [b"x"] * 1025], [PUTS, 1, "q", HUGE, [b"x"]],
               [PUTS, 1, "", 0, [b"x"]], [PUTS, 1, "x" * 256, 0, [b"x"]],
               [PUTS, 1, "a\0b", 0, [b"x"]], [PUTS, 1, "$system", 0, [b"x"]],
               [GET, 1, [], 1, 0, None, False], [GET, 1, ["q"], 0, 0, None, False],
               [GET, 1, ["q"], HUGE, 0, None, False], [GET, 1, ["q"], 1, HUGE, None, False],
               [GET, 1, ["q"] * 65, 1, 0, None, False], [GET, 1, ["q", "q"], 1, 0, None, False],
               [GET, 1, ["q"], 1, 0, HUGE, False], [CONSUME, 1, ["q"], HUGE, HUGE, HUGE],
               [ACK, 1, 0, 1], [ACK, 1, 1, 0], [ACK, 1, HUGE, HUGE], [ACK, 1, 1, 1025],
               [ACK, HUGE, 1, 1], [ACK, 1, 10 ** 9, 1], [NACK, 1, 1, 1, HUGE, "x"],
               [NACK, 1, 1, 1, 0, "x" * 70000], [CANCEL, 1, HUGE], [CANCEL, 1, 1],
               [SEEN, 1, HUGE], [SEEN, HUGE, HUGE], [SEEN, 0, 1], [SEEN, 1, 0], [SEEN],
               [SEEN, 1], [SEEN, 5, 10 ** 9], [HANDED, HUGE], [HANDED, 0], [CREDIT, HUGE, 1, 1],
               [CREDIT, 1, HUGE, HUGE], [UNCONSUME, 1, 77],
               [ACQUIRE, 1, "l", 7, 1, 1, 0, 0, False], [ACQUIRE, 1, "l", 0, 0, 1, 0, 0, False],
               [ACQUIRE, 1, "l", 1, 0, 1, 0, 0, False], [ACQUIRE, 1, "l", 1, HUGE, 1, 0, 0, True],
               [ACQUIRE, 1, "l", 0, 1, 1, 0, HUGE, False], [UNLOCK, 1, "none", 1, HUGE],
               [QUEUE_DECLARE, 1, "q", {"maxsize": HUGE}], [QUEUE_DECLARE, 1, "q", {"x": 1}],
               [QUEUE_DECLARE, 1, "q", {1: 1}], [QUEUE_DECLARE, 1, "q", {"overflow": 3}],
               [QUEUE_PEEK, 1, "q", HUGE, 1000], [QUEUE_PEEK, 1, "q", 0, HUGE],
               [QUEUE_LIST, 1, "x" * 70000, "", 10], [QUEUE_LIST, 1, "", "", HUGE],
               [QUEUE_REDRIVE, 1, "q", "q", HUGE], [SESSION_LIST, 1, HUGE, HUGE],
               [QUEUE_SHUTDOWN, 1, "none", True], [PUT, 1, "q", 0, {"headers": {"a": 1}}, [b"x"]],
               [PUT, 1, "q", 0, {"dedup_id": b""}, [b"x"]],
               [PUT, 1, "q", 0, {"priority": 256}, [b"x"]]]
    records += [[op, 1] for op in (0, 6, 15, 27, 40, 60, 68, 100, 127, 128, 130, 200, HUGE)]
    for record in records:
        yield str(record)[:80], [header + pack_values([record])], False


def before_hello(rng):
    """First packets that are no HELLO, or one that cannot be."""
    info = {"session": 1, "secret": bytes(16)}
    for hello in ([HELLO], [HELLO, 1], [HELLO, 1, 1, 1], [HELLO, 2, 1, 1, {}],
                  [HELLO, 0, 0, 1, {}], [HELLO, HUGE, HUGE, HUGE, {}], [HELLO, 1, 1, 1, {}, 1],
                  [HELLO, 1, 1, 1, []], [HELLO, 1, 1, 1, {1: 2}], [HELLO, 1, 1, 1, {"pid": "x"}],
                  [HELLO, 1, 1, 1, {"host": "x" * 256}], [HELLO, 1, 1, 1, {"ttl_ms": None}],
                  [HELLO, 1, 1, 1, info], [HELLO, 1, 1, 1, {**info, "secret": b"short"}],
                  [HELLO, 1, 1, 1, {"session": 1}], [2], [3, 1, 1], [PUTS, 1, "q", 0, [b"x"]]):
        yield f"first packet {str(hello)[:60]}", [pack_values([[1, 0], hello])], True
    yield "a keepalive of a stranger", [pack_values([[1, 0]])], True
    yield "packet 7 of a stranger", [pack_values([[7, 3], [STAT, 1]])], True
    yield "a stranger's second frame", [pack_values([[1, 0]]), rng.randbytes(1000)], True


def hostile_packets(seed, number):
    """All of them; `number`: what the next packet of the connection must have."""
    rng = random.Random(seed)
    header = pack_values([[number, 0]])
    yield from random_bytes(rng)
    yield from truncated(header, rng)
    yield from wrong_types(header, rng)
    yield from huge_lengths(header)
    yield from frames_and_numbers(header, number)
    yield from out_of_range(header)
    yield from before_hello(rng)
