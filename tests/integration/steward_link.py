"""Packets and connections, written from docs/protocol.md alone: what steward_wire.py stands on.

    Link     one connection: packets out and in, their numbers checked
    Refused, Bye, Broken, Unanswered     the ways in which it does not go well
"""

import time

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

VERSION = 1
FEATURE_TWO_FRAMES = 1
LARGE_BODY = 64 * 1024          # bytes: from here on a body travels as a frame of its own

HELLO, BYE_CLIENT, SEEN, HANDED, CREDIT = 1, 2, 3, 4, 5
PUTS, PUT, GET, CONSUME, UNCONSUME, ACK, NACK, RELEASE, REJECT, RENEW, CANCEL = range(16, 27)
ACQUIRE, UNLOCK, LOCK_RENEW, LOCK_BREAK, LOCK_SHOW, LOCK_LIST = range(32, 38)
(QUEUE_DECLARE, QUEUE_ALTER, QUEUE_DELETE, QUEUE_PURGE, QUEUE_PAUSE, QUEUE_RESUME, QUEUE_SHUTDOWN,
 QUEUE_PEEK, QUEUE_REDRIVE, QUEUE_SHOW, QUEUE_LIST, QUEUE_JOIN) = range(48, 60)
SESSION_LIST, SESSION_SHOW, SESSION_KILL, STAT = range(64, 68)
MANAGE = 80
WELCOME, REDIRECT, BYE, RECEIPT, FAILED, NUMBER, GRANT, GOT, ROWS = range(128, 137)
DELIVER, DELIVER_ONE, LEASE_LOST, LOCK_LOST, CONSUMER_ENDED = range(137, 142)

ERRORS = ("EOK EINVAL ETIMEOUT EEMPTY EFULL ESHUTDOWN ENOENT EEXIST ELEASE ENOTHOLDER EBUSY "
          "ECANCELED ETOOBIG ELIMIT EMEMORY ESESSION EPROTO EVERSION ESECRET EREDIRECT EFORK "
          "ECLOSED EUNREACHABLE EREUSED EDELETED EKIND EDEADLETTER ENOMEM EINTERNAL EDRAINING "
          "EDEADLOCK EAGAIN ENOQUORUM EDISK").split()
CODE = {name: number for number, name in enumerate(ERRORS)}


class Refused(Exception):
    """FAILED: the manager refused a request, or ended it."""

    def __init__(self, code, name, text):
        super().__init__(f"{name}: {text}")
        self.code, self.name, self.text = code, name, text


class Bye(Exception):
    """BYE: the manager is done with this connection."""

    def __init__(self, code, text):
        name = ERRORS[code] if code < len(ERRORS) else str(code)
        super().__init__(f"BYE {name}: {text}")
        self.code, self.name, self.text = code, name, text


class Broken(Exception):
    """The connection cannot go on: a gap, silence, a cut."""


class Unanswered(Exception):
    """This client's own patience ended; the request still waits in the manager."""


class Message:
    """One delivery."""

    def __init__(self, channel, queue, tag, token, lease_ms, body, more=None):
        self.channel, self.queue, self.tag, self.token = channel, queue, tag, token
        self.lease_ms, self.body = lease_ms, body
        self.deliveries, self.priority, self.sequence, self.fields = more or (1, 0, None, {})

    def __repr__(self):
        return f"<{self.queue} tag={self.tag} deliveries={self.deliveries} {self.body[:40]!r}>"


def pack_values(values):
    """The values, one after the other, as MessagePack."""
    return b"".join(msgpack.packb(value, use_bin_type=True) for value in values)


def unpack_values(data):
    """All values of a head."""
    reader = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=len(data) + 1)
    reader.feed(data)
    return list(reader)


def fill_large_body(records, body):
    """Puts the second frame where nil stands for it."""
    for record in records:
        if record[0] == DELIVER_ONE and record[10] is None:
            record[10] = body
            return
        if record[0] == DELIVER and None in record[6]:
            record[6][record[6].index(None)] = body
            return
    raise AssertionError("a second frame, and no nil that it stands for")


class Link:
    """One connection: the life of one DEALER socket."""

    def __init__(self, endpoint, context=None, options=None):
        self.socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.IPV6, 1)
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.sent = 0                   # number of the last packet sent
        self.got = 0                    # number of the last packet received
        self.confirmed = 0              # the manager's `seen`: it has our packets up to here
        self.asked_at = None            # when the first packet since the last one heard was sent
        self.sent_at = time.monotonic()
        self.socket.connect(endpoint)

    def send(self, records=(), body=None, timeout=5.0):
        """One packet; returns its number."""
        frames = [pack_values([[self.sent + 1, self.got], *records])]
        if body is not None:
            frames.append(body)
        self.send_frames(frames, timeout)
        self.sent += 1
        return self.sent

    def send_frames(self, frames, timeout=5.0):
        """Raw frames, whatever they are."""
        if not self.socket.poll(int(timeout * 1000), zmq.POLLOUT):
            raise Broken("the socket does not take a packet")
        try:
            self.socket.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.Again:
            raise Broken("cut just now") from None
        self.sent_at = time.monotonic()
        if self.asked_at is None:
            self.asked_at = self.sent_at

    def receive(self, timeout):
        """The records of the next packet; None when none came in time (seconds)."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.monitor, zmq.POLLIN)
        ready = dict(poller.poll(max(0, int(timeout * 1000))))
        if self.socket in ready:
            return self.take(self.socket.recv_multipart())
        if self.monitor in ready:
            if self.socket.poll(0):     # what came before the end is read first
                return self.take(self.socket.recv_multipart())
            recv_monitor_message(self.monitor)
            raise Broken("disconnected")
        return None

    def take(self, frames):
        """Checks a packet's frames and number; its records."""
        assert len(frames) in (1, 2), f"a packet of {len(frames)} frames"
        (number, seen), *records = unpack_values(frames[0])
        if number != self.got + 1:
            raise Broken(f"packet {number} after {self.got}")
        assert seen <= self.sent, f"the manager saw packet {seen} of {self.sent}"
        self.got, self.confirmed, self.asked_at = number, seen, None
        if len(frames) == 2:
            fill_large_body(records, frames[1])
        return records

    def silent_for(self):
        """Seconds since something was sent that nothing has answered yet."""
        return 0.0 if self.asked_at is None else time.monotonic() - self.asked_at

    def close(self):
        """Closes the socket; what was not sent is lost."""
        if self.socket.closed:
            return
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


def ids_of(pairs):
    """The ids of [first, count, first, count, ...]."""
    return [first + i for first, count in zip(pairs[::2], pairs[1::2]) for i in range(count)]


def ranges(ids):
    """[first, count, ...] of ids, ascending."""
    found = []
    for number in sorted(set(ids)):
        if found and number == found[-2] + found[-1]:
            found[-1] += 1
        else:
            found += [number, 1]
    return found


def large_body(record):
    """The body that must travel in a frame of its own, or None."""
    if record[0] == PUTS and len(record[4]) == 1 and len(record[4][0]) >= LARGE_BODY:
        return record[4][0]
    if record[0] == PUT:
        return next((body for body in record[5] if len(body) >= LARGE_BODY), None)
    return None


def without_body(record):
    """The record with nil in place of its large body."""
    copy = list(record)
    at = 4 if record[0] == PUTS else 5
    bodies = list(record[at])
    bodies[next(i for i, body in enumerate(bodies) if len(body) >= LARGE_BODY)] = None
    copy[at] = bodies
    return copy
