"""Hosts in network namespaces of the run's own, joined by a switch that loses what it is told to.
Host n has the address 10.214.0.n; the clients are host 9.
"""

import json
import os
import subprocess
import sys

from disks import need_root
from lab import HERE, Failed, Skip, command, environment

CLIENTS = 9


class Network:
    """Made for one lab, gone with it."""

    def __init__(self, lab, hosts):
        need_root("ip")
        self.lab, self.hosts = lab, list(hosts)
        self.hub = f"stwhub{os.getpid()}"
        self.namespaces = {host: f"stwh{host}n{os.getpid()}" for host in hosts}
        for name in [self.hub, *self.namespaces.values()]:
            try:
                command("ip", "netns", "add", name)
            except Failed as error:
                raise Skip(f"no network namespaces: {error}") from None
            lab.cleaners.append(lambda n=name: command("ip", "netns", "del", n, check=False))
        for host, name in self.namespaces.items():
            self._cable(host, name)
        ports = [f"p{host}" for host in hosts]
        self.switch = subprocess.Popen(
            [*self.inside(self.hub), sys.executable, "-B", os.path.join(HERE, "switch.py"), *ports],
            stdin=subprocess.PIPE, env=environment())
        lab.started.append(self.switch)

    def _cable(self, host, name):
        """One host and its cable to the hub."""
        command("ip", "link", "add", "e0", "netns", name, "type", "veth", "peer", "name",
                f"p{host}", "netns", self.hub)
        command("ip", "-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "e0")
        for link in ("lo", "e0"):
            command("ip", "-n", name, "link", "set", link, "up")
        command("ip", "-n", self.hub, "link", "set", f"p{host}", "up")
        switch = os.path.join(HERE, "switch.py")
        command(*self.inside(name), sys.executable, "-B", switch, "--plain", "e0")
        command(*self.inside(self.hub), sys.executable, "-B", switch, "--plain", f"p{host}")

    @staticmethod
    def inside(name):
        """The words before a command that is to run there; it keeps its process id."""
        return ["ip", "netns", "exec", name]

    def at(self, host):
        """The same for a host."""
        return self.inside(self.namespaces[host])

    @staticmethod
    def address(host):
        """Where a host is."""
        return f"10.214.0.{host}"

    def set(self, loss=None, delay_ms=0):
        """What is lost from now on: {(from, to): share}, and how long everything takes."""
        said = {f"{a}>{b}": share for (a, b), share in (loss or {}).items()}
        self.switch.stdin.write(json.dumps({"loss": said, "delay_ms": delay_ms}).encode() + b"\n")
        self.switch.stdin.flush()

    def cut(self, *groups):
        """Hosts of different groups do not hear each other; who is in none hears everybody."""
        loss = {}
        for group in groups:
            for other in groups:
                if other is not group:
                    loss.update({(a, b): 1.0 for a in group for b in other})
        self.set(loss)

    def heal(self):
        """Everything arrives at once."""
        self.set()
