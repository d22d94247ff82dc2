"""Three nodes for a chaos run: who leads, who lags, and whether they are equal in the end."""

import json
import subprocess
import time

from lab import PATIENCE, Failed, Load, Node, eventually, free_port, steward

NODES = (1, 2, 3)


class Cluster:
    """Founded at its start. `node_of` makes the nodes: (number, options) -> Node."""

    def __init__(self, lab, addresses=None, node_of=None, client_prefix=()):
        self.lab, self.client_prefix = lab, list(client_prefix)
        addresses = addresses or {n: f"127.0.0.1:{free_port()}" for n in NODES}
        spec = ",".join(f"{n}={addresses[n]}" for n in NODES)
        node_of = node_of or (lambda n, options: Node(lab, n, options))
        self.nodes = {n: node_of(n, ["--node", str(n), "--cluster", spec]) for n in NODES}
        self.endpoints = ",".join(node.endpoint for node in self.nodes.values())

    def found(self):
        """Starts all three, once with --bootstrap; itself, when they have a leader."""
        for node in self.nodes.values():
            node.options.append("--bootstrap")
            node.start()
            node.options.pop()
        for node in self.nodes.values():
            node.ready()
        self.leader()
        return self

    def status(self):
        """`steward cluster status` by the leader, or None when nobody answers for it."""
        argv = ["--json", "cluster", "status"]
        try:
            said = self.steward(*argv, timeout=10, check=False)
            status = json.loads(said) if said.startswith("{") else {}
            return status if status.get("leader") and "nodes" in status else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def steward(self, *argv, timeout=PATIENCE, check=True):
        """The command line client, where the clients are."""
        return steward(self.endpoints, *argv, timeout=timeout, check=check,
                       prefix=self.client_prefix)

    def leader(self, timeout=PATIENCE):
        """The node that leads; waits for one."""
        status = eventually(self.status, "a leader answers", timeout, 0.05)
        return self.nodes[status["leader"]]

    def followers(self):
        """The others."""
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader]

    def whole(self, timeout=PATIENCE):
        """Waits until all three take part and lag little: then one of them can be spared."""
        def caught_up():
            status = self.status()
            return status and len(status["nodes"]) == len(NODES) and all(
                node["alive"] and node["lag"] < 200 for node in status["nodes"])
        eventually(caught_up, "all nodes are there and have caught up", timeout, 0.05)

    def equal(self):
        """The running hashes of all nodes agree wherever they stand at the same index."""
        compared = 0
        for _ in range(20):
            status = self.status()
            at = {}
            for node in (status or {"nodes": ()})["nodes"]:
                if node.get("hash") and node.get("hash_index"):
                    at.setdefault(node["hash_index"], set()).add(node["hash"])
                    compared += 1
            if any(len(hashes) > 1 for hashes in at.values()):
                raise Failed(f"replicas differ: {status}")
            if list(map(len, at.values())) == [1] and compared >= len(NODES):
                return
            time.sleep(0.1)

    def load(self, roles=None):
        """A load on all endpoints."""
        return Load(self.lab, self.endpoints, prefix=self.client_prefix).start(roles)
