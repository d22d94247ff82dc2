"""A small client for the manager, written from docs/protocol.md alone.

    Client   one session: request ids, answers, deliveries, keepalives, resume after a break

Everything happens in the caller's thread: a Client speaks only while one of its methods runs, so a
program that does nothing for longer than ttl_ms loses its session (call idle() instead of sleep()).
"""

import collections
import time

from steward_link import *

PACKET_BYTES = 200 * 1024       # close a packet here (the protocol asks for 256 KiB at most)
RUN_MAX = 1024                  # bodies, tags or messages in one record


class Client:
    """One session."""

    def __init__(self, endpoint, context=None, resume=True, **info):
        self.endpoint, self.context, self.resume_allowed = endpoint, context, resume
        self.info = {"ttl_ms": 10000, "grace_ms": 2000, "program": "steward_wire", **info}
        self.link = None
        self.session = self.secret = None
        self.welcome = None
        self.next_id = 1
        self.resumes = 0
        self.pending = collections.OrderedDict()    # id -> the record of this request alone
        self.answers = {}                           # id -> result, or an exception
        self.again = set()                          # ids sent again: answered twice, perhaps
        self.partial = {}                           # id of a GET -> messages before its GOT
        self.streams = {}                           # channel -> deque of messages
        self.unhanded = collections.OrderedDict()   # tags streamed, not yet handed out
        self.last_tag = 0                           # highest streamed tag that arrived
        self.handed_told = 0
        self.seen = []                              # ids answered, not yet confirmed by SEEN
        self.untold = collections.deque()           # (packet, records without id it carried)
        self.news = []                              # LEASE_LOST, LOCK_LOST, CONSUMER_ENDED
        self.open()

    # ---- opening and resuming ------------------------------------------------------------------

    def open(self, timeout=10.0):
        """Opens the session, or resumes it; raises Bye when the manager will not."""
        self.link = Link(self.endpoint, self.context)
        info = dict(self.info)
        if self.session is not None:
            info.update(session=self.session, secret=self.secret, last_tag=self.last_tag)
        self.link.send([[HELLO, VERSION, VERSION, FEATURE_TWO_FRAMES, info]], timeout=timeout)
        records = self.link.receive(timeout)
        if not records:
            raise Broken("no WELCOME")
        first, *others = records
        if first[0] == REDIRECT:
            self.endpoint = first[1]
            self.link.close()
            return self.open(timeout)
        if first[0] == BYE:
            raise Bye(*first[1:])
        assert first[0] == WELCOME and first[1] == VERSION, first
        self.welcome = first[3]
        assert self.welcome["resumed"] == (self.session is not None)
        self.session, self.secret = self.welcome["session"], self.welcome["secret"]
        for record in others:
            self.handle(record)
        return None

    def resume(self, timeout=20.0):
        """A new socket, the same session; sends again whatever has no answer."""
        deadline = time.monotonic() + timeout
        while True:
            self.link.close()
            self.partial.clear()
            try:
                self.open(timeout=1.5)
                self.send_again()
                break
            except Broken:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.resumes += 1

    def send_again(self):
        """After WELCOME: requests without an answer, and what has no id and may be lost."""
        for _, records in list(self.untold):
            for record in records:
                if record[0] == SEEN:
                    self.seen += ids_of(record[1:])
                elif record[0] == CREDIT:
                    self.untold.append((self.link.sent + 1, [record]))
                    self.link.send([record])
            self.untold.popleft()
        self.handed_told = 0
        self.again.update(self.pending)
        self.transmit(list(self.pending.values()))

    # ---- requests ------------------------------------------------------------------------------

    def request(self, op, *fields):
        """Sends one request [op, id, *fields]; returns its id."""
        return self.submit([op, None, *fields])

    def submit(self, *records):
        """Sends requests whose id is still None; returns the first id."""
        first = self.next_id
        for record in records:
            record[1] = self.next_id
            self.next_id += 1
            self.pending[record[1]] = record
        self.flush(records)
        return first

    def submit_run(self, record, singles):
        """Sends one record of many requests; singles: each of them as a record of its own."""
        record[1] = first = self.next_id
        for single in singles:
            single[1] = self.next_id
            self.pending[self.next_id] = single
            self.next_id += 1
        self.flush([record])
        return first

    def flush(self, records):
        """Sends; a broken connection is resumed, which sends all that is pending."""
        try:
            self.transmit(records)
        except Broken:
            if not self.resume_allowed:
                raise
            self.resume()

    def transmit(self, records):
        """Records in as many packets as they need."""
        room, batch = PACKET_BYTES, []
        for record in records:
            large = large_body(record)
            size = 16 + (len(large) if large else len(pack_values([record])))
            if batch and (large is not None or size > room):
                self.send_packet(batch)
                room, batch = PACKET_BYTES, []
            if large is not None:
                self.send_packet([without_body(record)], large)
                continue
            batch.append(record)
            room -= size
        if batch:
            self.send_packet(batch)

    def send_packet(self, records, body=None):
        """One packet, with SEEN and HANDED in front."""
        extra = []
        if self.seen:
            extra.append([SEEN, *ranges(self.seen)])
            self.seen = []
        handed = next(iter(self.unhanded)) - 1 if self.unhanded else self.last_tag
        if handed > self.handed_told:
            extra.append([HANDED, handed])
            self.handed_told = handed
        kept = [r for r in [*extra, *records] if r[0] in (SEEN, CREDIT)]
        if kept:
            self.untold.append((self.link.sent + 1, kept))
        self.link.send([*extra, *records], body)

    # ---- receiving -----------------------------------------------------------------------------

    def pump(self, timeout):
        """Handles what comes within timeout seconds (returns after the first packet)."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                got = self.step(deadline)
            except (Broken, Bye):
                if not self.resume_allowed:
                    raise
                self.resume()
                return True
            if got or time.monotonic() >= deadline:
                return got

    def step(self, deadline):
        """One wait: a packet, a keepalive that is due, or the deadline."""
        ttl = self.welcome["ttl_ms"] / 1000
        now = time.monotonic()
        due = self.link.sent_at + ttl / 3
        records = self.link.receive(min(deadline, max(due, now)) - now)
        if records is not None:
            while self.untold and self.untold[0][0] <= self.link.confirmed:
                self.untold.popleft()
            for record in records:
                self.handle(record)
            return True
        if self.link.silent_for() > ttl / 2:
            raise Broken("silence")
        if time.monotonic() >= due:
            self.send_packet([])
        return False

    def handle(self, record):
        """One record of the manager."""
        op, fields = record[0], record[1:]
        if op == RECEIPT:
            for request in ids_of(fields):
                self.answered(request, None)
        elif op == FAILED:
            for request in range(fields[0], fields[0] + fields[1]):
                self.answered(request, Refused(*fields[2:]))
        elif op == NUMBER or op == ROWS:
            self.answered(fields[0], fields[1])
        elif op == GRANT:
            self.answered(fields[0], (fields[1], fields[2]))
        elif op == GOT:
            messages = self.partial.pop(fields[0], [])
            assert len(messages) == fields[1], f"GOT {fields[1]}, {len(messages)} delivered"
            self.answered(fields[0], messages)
        elif op == DELIVER:
            self.handle_run(*fields)
        elif op == DELIVER_ONE:
            channel, queue, tag, token, lease, deliveries, priority, sequence, more, body = fields
            self.arrived(Message(channel, queue, tag, token, lease, body,
                                 (deliveries, priority, sequence, more)))
        elif op in (LEASE_LOST, LOCK_LOST, CONSUMER_ENDED):
            self.news.append(record)
        elif op == BYE:
            raise Bye(*fields)
        else:
            raise AssertionError(f"unknown record {record}")

    def handle_run(self, channel, queue, first_tag, first_token, lease, bodies):
        """A run: tag and token rise by one."""
        for i, body in enumerate(bodies):
            self.arrived(Message(channel, queue, first_tag + i, first_token + i, lease, body))

    def arrived(self, message):
        """A delivery: for a consumer, or for a GET that still waits for its GOT."""
        if message.channel in self.streams:
            assert message.tag > self.last_tag, f"tag {message.tag} after {self.last_tag}"
            self.last_tag = message.tag
            self.unhanded[message.tag] = True
            self.streams[message.channel].append(message)
        else:
            self.partial.setdefault(message.channel, []).append(message)

    def answered(self, request, result):
        """Notes the answer of a request; each must be answered once, or was sent again."""
        if request in self.again and request not in self.pending:
            return      # the first answer left just before the request came again
        assert request in self.pending, f"an answer for {request}, which has one or was never sent"
        record = self.pending.pop(request)
        if record[0] == CONSUME and isinstance(result, Refused):
            del self.streams[request]
        self.answers[request] = result
        self.seen.append(request)

    def wait(self, request, timeout=10.0):
        """The answer of a request; raises Refused, or Unanswered when none came in time."""
        deadline = time.monotonic() + timeout
        while request not in self.answers:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unanswered(f"request {request}: no answer within {timeout} s")
            self.pump(left)
        result = self.answers.pop(request)
        if isinstance(result, Exception):
            raise result
        return result

    def wait_run(self, first, count, timeout=10.0):
        """The answers of consecutive requests: results, or the Refused of each."""
        results = []
        for request in range(first, first + count):
            try:
                results.append(self.wait(request, timeout))
            except Refused as refused:
                results.append(refused)
        return results

    def idle(self, seconds):
        """Sleeps, but keeps the session alive."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.pump(deadline - time.monotonic())

    def confirm(self):
        """Sends SEEN and HANDED now, in a packet of their own, and waits until it is received."""
        self.send_packet([])
        number = self.link.sent
        while self.link.confirmed < number:
            if not self.pump(5.0):
                raise Unanswered("a keepalive without an answer")

    # ---- queues --------------------------------------------------------------------------------

    def puts(self, queue, bodies, timeout_ms=None):
        """Sends independent puts; returns (first id, count). Collect with wait_run."""
        bodies, start, first = list(bodies), 0, self.next_id
        while start < len(bodies):
            end, size = start, 0
            while end < len(bodies) and end - start < RUN_MAX and size < PACKET_BYTES:
                if len(bodies[end]) >= LARGE_BODY and end > start:
                    break
                size += len(bodies[end]) + 5
                end += 1
                if len(bodies[end - 1]) >= LARGE_BODY:
                    break
            run = bodies[start:end]
            self.submit_run([PUTS, None, queue, timeout_ms, run],
                            [[PUTS, None, queue, timeout_ms, [body]] for body in run])
            start = end
        return first, len(bodies)

    def put(self, queue, *bodies, timeout_ms=None, wait=10.0, **options):
        """Puts one or more bodies, all or none; 0, or 1 when dedup_id was known."""
        return self.wait(self.request(PUT, queue, timeout_ms, options, list(bodies)), wait)

    def get_request(self, *queues, count=1, timeout_ms=0, lease_ms=None, auto_ack=False):
        """Sends a GET; returns its id."""
        return self.request(GET, list(queues), count, timeout_ms, lease_ms, auto_ack)

    def get_many(self, *queues, count=1, timeout_ms=0, wait=10.0, **more):
        """Messages, at least one."""
        return self.wait(self.get_request(*queues, count=count, timeout_ms=timeout_ms, **more),
                         wait)

    def get(self, *queues, **more):
        """One message."""
        return self.get_many(*queues, **more)[0]

    def consume(self, *queues, messages=100, size=1 << 20, lease_ms=None):
        """Opens a stream with that credit; returns its channel."""
        self.streams[self.next_id] = collections.deque()
        channel = self.request(CONSUME, list(queues), messages, size, lease_ms)
        self.wait(channel)
        return channel

    def next(self, channel, timeout=5.0, credit=True):
        """The next streamed message, which counts as handed out from now on; None: none came."""
        deadline = time.monotonic() + timeout
        stream = self.streams[channel]
        while not stream:
            if time.monotonic() >= deadline:
                return None
            self.pump(deadline - time.monotonic())
        message = stream.popleft()
        del self.unhanded[message.tag]
        if credit:
            self.add_credit(channel, 1, len(message.body))
        return message

    def add_credit(self, channel, messages, size):
        """Lets so many more messages come, of so many bytes in all."""
        self.flush([[CREDIT, channel, messages, size]])

    def settle_request(self, op, first_tag, count, *more):
        """Sends ACK, NACK, RELEASE, REJECT or RENEW of consecutive tags; the first id."""
        singles = [[op, None, first_tag + i, 1, *more] for i in range(count)]
        return self.submit_run([op, None, first_tag, count, *more], singles)

    def settle(self, op, message, *more):
        """The same of one message, waited for."""
        return self.wait(self.settle_request(op, message.tag, 1, *more))

    def ack(self, message):
        """Done."""
        return self.settle(ACK, message)

    def nack(self, message, delay_ms=0, reason="failed"):
        """Failed: comes back, counts."""
        return self.settle(NACK, message, delay_ms, reason)

    def release(self, message):
        """Given back, does not count."""
        return self.settle(RELEASE, message)

    def reject(self, message, reason="rejected"):
        """To the dead-letter queue."""
        return self.settle(REJECT, message, reason)

    def renew(self, message, lease_ms=None):
        """Milliseconds that the lease now has."""
        return self.settle(RENEW, message, lease_ms)

    def declare(self, name, **options):
        """Declares a queue."""
        return self.wait(self.request(QUEUE_DECLARE, name, options))

    def show(self, name):
        """A queue's fields."""
        return self.wait(self.request(QUEUE_SHOW, name))[0]

    def call(self, op, *fields, wait=10.0):
        """Any other request, waited for."""
        return self.wait(self.request(op, *fields), wait)

    def manage(self, action, argument="", wait=10.0):
        """The action's rows: those behind the manager's totals and its gateway's counters."""
        return self.call(MANAGE, action, argument, wait=wait)[2:]

    # ---- locks ---------------------------------------------------------------------------------

    def acquire_request(self, name, owner=1, timeout_ms=0, lease_ms=0, reentrant=False,
                        permits=None):
        """Sends an ACQUIRE: a lock, or a semaphore when permits are given."""
        kind = 0 if permits is None else 1
        return self.request(ACQUIRE, name, kind, permits or 1, owner, timeout_ms, lease_ms,
                            reentrant)

    def acquire(self, name, wait=10.0, **more):
        """(token, depth)."""
        return self.wait(self.acquire_request(name, **more), wait)

    def unlock(self, name, token, owner=1):
        """The depth that is left."""
        return self.wait(self.request(UNLOCK, name, owner, token))

    # ---- leaving -------------------------------------------------------------------------------

    def leave(self):
        """Ends the session (BYE) and the connection."""
        try:
            self.link.send([[BYE_CLIENT]], timeout=0.3)
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:      # other packets may come before the answer
                records = self.link.receive(deadline - time.monotonic())
                if any(record[0] == BYE for record in records or ()):
                    break
        except Broken:
            pass
        self.link.close()

    def vanish(self):
        """Closes the socket without a word."""
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.link.socket.closed:
            self.leave()
