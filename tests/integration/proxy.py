"""A TCP proxy that loses things: it cuts its connections in the middle of a stream.

What it has read and not yet passed on is lost with a cut, as in a network: bytes stay `DELAY_S` in
it before they go on, and the sockets are closed with a reset.
"""

import collections
import random
import selectors
import socket
import struct
import threading
import time

DELAY_S = 0.003
CHUNK = 16384           # bytes of one read
QUEUED_MAX = 1 << 20    # bytes that one direction holds before it stops reading


class Half:
    """One direction of a connection: read here, written to `to`."""

    def __init__(self, source, to):
        self.source, self.to = source, to
        self.chunks = collections.deque()   # (when to pass it on, bytes)
        self.size = 0


class Proxy:
    """Listens on `endpoint`, passes on to host:port, cuts after random numbers of bytes."""

    def __init__(self, port, seed, least=0, most=0, cuts=0):
        self.target = ("127.0.0.1", port)
        self.random = random.Random(seed)
        self.least, self.most, self.left = least, most, cuts
        self.cuts = 0
        self.cut_now = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.halves = {}                    # socket -> Half that reads from it
        self.budget = self.new_budget()
        self.ending = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def new_budget(self):
        """Bytes until the next cut; None: never."""
        return self.random.randint(self.least, self.most) if self.left > 0 else None

    def run(self):
        """The thread."""
        while not self.ending:
            waiting = any(half.chunks for half in self.halves.values())
            for key, _ in self.selector.select(0.001 if waiting else 0.02):
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.halves:
                    self.read(self.halves[key.fileobj])
            for half in list(self.halves.values()):
                self.pass_on(half)
            if self.cut_now.is_set() or (self.budget is not None and self.budget <= 0):
                self.cut()
        self.cut()
        self.listener.close()
        self.selector.close()

    def accept(self):
        """A new connection, and its other side."""
        near, _ = self.listener.accept()
        try:
            far = socket.create_connection(self.target, timeout=2)
        except OSError:
            near.close()
            return
        for source, to in ((near, far), (far, near)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.halves[source] = Half(source, to)
            self.selector.register(source, selectors.EVENT_READ)

    def read(self, half):
        """Takes what is there."""
        if half.size > QUEUED_MAX:
            return
        try:
            data = half.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(half)
            return
        half.chunks.append((time.monotonic() + DELAY_S, data))
        half.size += len(data)

    def pass_on(self, half):
        """Writes what has been held long enough, as far as it is taken."""
        now = time.monotonic()
        while half.chunks and half.chunks[0][0] <= now:
            due, data = half.chunks.popleft()
            try:
                sent = half.to.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close(half)
                return
            half.size -= sent
            if self.budget is not None:
                self.budget -= sent
            if sent < len(data):
                half.chunks.appendleft((due, data[sent:]))
                return

    def close(self, half):
        """Both sides of the connection, with a reset."""
        for sock in (half.source, half.to):
            if self.halves.pop(sock, None):
                self.selector.unregister(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def cut(self):
        """All connections, and what was on its way in them."""
        self.cut_now.clear()
        if self.halves:
            self.cuts += 1
            self.left -= 1
        for half in list(self.halves.values()):
            self.close(half)
        self.budget = self.new_budget()

    def stop(self):
        """Ends the thread."""
        self.ending = True
        self.thread.join(10)
        assert not self.thread.is_alive()
