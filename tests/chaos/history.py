"""Histories as they lie in files: lines of JSON become puts, deliveries, settlements and grants.

    History(paths)      reads; .puts .deliveries .settlements .grants .holds .notes .errors

Times are seconds of one clock. What was asked and has no outcome in the file (its worker was
killed) is unknown, and ended at no time that anybody knows: `ended` is infinite.
"""

import collections
import json

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
NEVER = float("inf")
SETTLE = ("ack", "nack", "release", "reject")


class Call:
    """One thing that a worker asked for."""

    __slots__ = ("op", "worker", "session", "queue", "key", "value", "token", "batch", "invoked",
                 "ended", "outcome", "error")

    def __init__(self, line):
        self.op, self.worker, self.session = line["op"], line["worker"], line.get("session", 0)
        self.queue, self.key = line.get("queue"), line.get("key")
        self.value, self.token = line.get("value", 0), line.get("token", 0)
        self.batch = line.get("batch", 0)
        self.invoked, self.ended = line["time"] / 1e9, NEVER
        self.outcome, self.error = UNKNOWN, None

    def end(self, line):
        """Takes the outcome."""
        self.ended, self.outcome = line["time"] / 1e9, line["event"]
        self.error = line.get("error")
        if self.op in ("acquire", "permit"):
            self.token = line.get("token", 0)

    def __str__(self):
        return (f"{self.op} of {self.key or self.queue} by {self.worker}"
                f"{f' token {self.token}' if self.token else ''}"
                f" ({self.outcome}, {self.invoked:.6f} to {self.ended:.6f})")


class Delivery:
    """A message that a worker was given: at `time` at the latest, not before `invoked`."""

    __slots__ = ("worker", "session", "queue", "key", "value", "token", "count", "time", "invoked")

    def __init__(self, line, invoked):
        self.worker, self.session = line["worker"], line.get("session", 0)
        self.queue, self.key, self.value = line["queue"], line.get("key", ""), line.get("value", 0)
        self.token, self.count = line["token"], line["deliveries"]
        self.time, self.invoked = line["time"] / 1e9, invoked

    def __str__(self):
        return (f"{self.key} from {self.queue} to {self.worker}, token {self.token}, delivery "
                f"{self.count} ({self.time:.6f})")


class Grant:
    """A token that was given out: with a delivery, a lock or a permit. `until`: it was certainly
    held that long, because what was asked then with this token was not refused."""

    __slots__ = ("name", "kind", "worker", "token", "invoked", "seen", "until")

    def __init__(self, name, kind, source, seen):
        self.name, self.kind, self.worker = name, kind, source.worker
        self.token, self.invoked, self.seen, self.until = source.token, source.invoked, seen, None

    def __str__(self):
        held = f" until {self.until:.6f}" if self.until is not None else ""
        return f"{self.kind} {self.name}: {self.worker}, token {self.token} ({self.seen:.6f}{held})"


class History:
    """Everything that the workers of one run wrote."""

    def __init__(self, paths=(), lines=None):
        self.puts, self.deliveries, self.settlements = {}, [], []
        self.grants, self.notes, self.broken = [], [], []
        self.outcomes, self.errors = collections.Counter(), collections.Counter()
        self._open, self._acquires, self._holds = {}, [], []
        for path in paths:
            with open(path, encoding="ascii", errors="replace") as file:
                self._read(file, path)
        if lines is not None:
            self._read(lines, "lines")
        self._finish()

    def _read(self, lines, path):
        last = None
        for text in lines:
            if last is not None:
                self.broken.append(f"{path}: {last[:80]!r} is not JSON")
                last = None
            try:
                self._line(json.loads(text) if isinstance(text, str) else text)
            except (ValueError, KeyError):
                last = text     # the very last line of a killed worker may be half of one

    def _line(self, line):
        event = line["event"]
        key = (line["worker"], line.get("id", 0))
        if event == "invoke":
            call = Call(line)
            self._open[key] = call
            self._invoked(call)
        elif event == "deliver":
            asked = self._open.get(key) if key[1] else None
            self.deliveries.append(Delivery(line, asked.invoked if asked else None))
        elif event == "note":
            self.notes.append(line)
        else:
            self.outcomes[(line["op"], event)] += 1
            if event != OK:
                self.errors[(line["op"], line.get("error", ""))] += 1
            call = self._open.pop(key, None)
            if call:
                call.end(line)

    def _invoked(self, call):
        if call.op == "put":
            if call.key in self.puts:
                self.broken.append(f"{call.key} was put twice by its worker")
            self.puts[call.key] = call
        elif call.key and (call.op in SETTLE or call.op == "renew"):
            self.settlements.append(call)
        elif call.op in ("acquire", "permit"):
            self._acquires.append(call)
        elif call.op in ("unlock", "renew"):
            self._holds.append(call)

    def _finish(self):
        for call in self._open.values():
            self.outcomes[(call.op, "open")] += 1
        held, leases = {}, {}
        for call in self._acquires:
            if call.outcome == OK:
                grant = Grant(call.queue, call.op, call, call.ended)
                held[call.token] = grant
                self.grants.append(grant)
        for delivery in self.deliveries:
            grant = Grant(delivery.key, "lease", delivery, delivery.time)
            leases[delivery.token] = grant
            self.grants.append(grant)
        for call in self._holds:
            _held_until(held.get(call.token), call)
        for call in self.settlements:
            _held_until(leases.get(call.token), call)

    def confirmed_puts(self):
        """When puts were confirmed, in order."""
        return sorted(p.ended for p in self.puts.values() if p.outcome == OK)


def _held_until(grant, call):
    if grant and call.outcome == OK:
        grant.until = max(grant.until or 0, call.invoked)
