#!/usr/bin/python3
"""A network in one process: forwards Ethernet frames between the hosts of a chaos run, and loses or
delays them as told. It needs no kernel module, which netem and iptables would.

    switch.py INTERFACE...          forwards; commands are lines of JSON on stdin:
        {"loss": {"1>2": 0.1, ...}, "delay_ms": 5}     what is not named is not lost
    switch.py --plain INTERFACE     no offloads: frames leave the interface as they would on a wire

Runs in the network namespace that has the hub's ends of all cables; they are called p1, p2, ...
"""

import array
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
OUTGOING = 4                # PACKET_OUTGOING: our own frames come by again
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x1F, 0x24, 0x15, 0x2C)       # ETHTOOL_S: tx checksum, TSO, GSO, rx, GRO


def plain(interface):
    """Switches the offloads off: a checksum left to hardware that there is not would be wrong."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request.ljust(40, b"\0"))
            except OSError as error:
                if command in OFFLOADS[:3]:
                    raise SystemExit(f"switch: {interface}: {error}") from None


class Switch:
    """Ports by number, where each address was seen, what is lost and what waits."""

    def __init__(self, interfaces):
        self.ports, self.where = {}, {}
        self.loss, self.delay, self.waiting, self.count = {}, 0.0, [], 0
        for interface in interfaces:
            port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            port.bind((interface, 0))
            port.setblocking(False)
            self.ports[interface[1:]] = port

    def told(self, line):
        """One command."""
        command = json.loads(line)
        self.loss, self.delay = command.get("loss", {}), command.get("delay_ms", 0) / 1000

    def receive(self, source):
        """All frames that one port has, bounded."""
        for _ in range(256):
            try:
                frame, address = self.ports[source].recvfrom(65535)
            except BlockingIOError:
                return
            if address[2] == OUTGOING or len(frame) < 14:
                continue
            self.where[frame[6:12]] = source
            target = self.where.get(frame[:6])
            if target is not None and not frame[0] & 1:
                self.pass_on(source, target, frame)
            else:
                for other in self.ports:
                    self.pass_on(source, other, frame)

    def pass_on(self, source, target, frame):
        """Loses, delays, or sends."""
        lost = self.loss.get(f"{source}>{target}", 0)
        if source == target or lost and random.random() < lost:
            return
        if self.delay:
            self.count += 1
            heapq.heappush(self.waiting,
                           (time.monotonic() + self.delay, self.count, target, frame))
        else:
            self.send(target, frame)

    def send(self, target, frame):
        """A full cable loses."""
        try:
            self.ports[target].send(frame)
        except OSError:
            pass

    def due(self):
        """Sends what waited long enough; milliseconds until the next one."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, target, frame = heapq.heappop(self.waiting)
            self.send(target, frame)
        return max(0.0, (self.waiting[0][0] - now) * 1000) if self.waiting else 1000

    def run(self):
        """Until stdin ends."""
        poll, names = select.poll(), {}
        poll.register(0, select.POLLIN)
        for name, port in self.ports.items():
            poll.register(port, select.POLLIN)
            names[port.fileno()] = name
        rest = b""
        while True:
            for descriptor, _ in poll.poll(self.due()):
                if descriptor == 0:
                    data = os.read(0, 65536)
                    if not data:
                        return
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self.told(line)
                else:
                    self.receive(names[descriptor])


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        plain(sys.argv[2])
    else:
        Switch(sys.argv[1:]).run()
