"""Chaos with three nodes on a bad network: partitions of every shape, lost and late packets."""

import os
import time

from cluster import NODES, Cluster
from lab import SMALL_LOAD, Node, binary, command, eventually
from network import CLIENTS, Network
from runs_cluster import conclude
from runs_single import progress


def networked(lab):
    """A cluster whose nodes and clients are hosts of their own; its links are encrypted."""
    network = Network(lab, [*NODES, CLIENTS])
    key = os.path.join(lab.directory, "cluster.key")
    command(binary("stewardd"), "keygen", key)

    def node_of(number, options):
        return Node(lab, number, [*options, "--cluster-key", key, "--insecure"],
                    prefix=network.at(number),
                    listen=f"tcp://{network.address(number)}:5757")

    addresses = {n: f"{network.address(n)}:5758" for n in NODES}
    cluster = Cluster(lab, addresses, node_of, network.at(CLIENTS)).found()
    load = cluster.load(SMALL_LOAD)
    progress(load)
    return network, cluster, load


def isolate_leader(network, leader, _):
    """The others elect a new one; clients reach all."""
    network.cut([leader], [n for n in NODES if n != leader])


def leader_with_clients(network, leader, _):
    """Clients are left alone with a leader that can promise nothing."""
    network.cut([leader, CLIENTS], [n for n in NODES if n != leader])


def isolate_follower(network, leader, chance):
    """Nobody should notice."""
    victim = chance.choice([n for n in NODES if n != leader])
    network.cut([victim], [n for n in NODES if n != victim])


def leader_is_deaf(network, leader, _):
    """The leader sends and hears nothing."""
    network.set({(n, leader): 1.0 for n in NODES})


def leader_is_mute(network, leader, _):
    """The leader hears and cannot send."""
    network.set({(leader, n): 1.0 for n in NODES})


def one_cable(network, leader, chance):
    """Leader and one follower do not hear each other; the third hears both."""
    victim = chance.choice([n for n in NODES if n != leader])
    network.cut([leader], [victim])


def all_apart(network, *_):
    """No two nodes hear each other."""
    network.cut(*[[n] for n in NODES])


SHAPES = (isolate_leader, leader_with_clients, isolate_follower, leader_is_deaf, leader_is_mute,
          one_cable, all_apart)


def says_no_quorum(cluster):
    """Without a majority nodes refuse with their own error."""
    def refused():
        return "ENOQUORUM" in cluster.steward("--json", "put", "probe", "x", "--timeout", "1s",
                                              timeout=20, check=False)
    eventually(refused, "a minority refuses with ENOQUORUM", 20, 0.1)


def partition(lab, rounds):
    """Partitions of every shape, also one-way; healed after some seconds."""
    network, cluster, load = networked(lab)
    events, shapes = [], {}
    for round_number in range(rounds):
        cluster.whole()
        shape = SHAPES[round_number % len(SHAPES)]
        leader = cluster.leader().number
        load.alive()
        events.append(lab.events())
        shape(network, leader, lab.random)
        if shape is all_apart:
            says_no_quorum(cluster)
        elif shape is not leader_with_clients:
            progress(load, 15)      # a majority that clients reach goes on
        time.sleep(lab.random.random() * 2)
        network.heal()
        progress(load, 20)
        shapes[shape.__name__] = shapes.get(shape.__name__, 0) + 1
    conclude(lab, cluster, load, events)
    lab.result["shapes"] = shapes


def loss(lab, rounds):
    """A twentieth to a fifth of all packets is lost, and all are late; then a leader is killed."""
    network, cluster, load = networked(lab)
    events = []
    for _ in range(rounds):
        share, delay = 0.05 + lab.random.random() * 0.15, lab.random.randrange(0, 15)
        everybody = network.hosts
        network.set({(a, b): share for a in everybody for b in everybody}, delay)
        progress(load, 30)
        leader = cluster.leader(60)
        events.append(lab.events())
        leader.kill()
        leader.start()
        progress(load, 60)
        network.heal()
        leader.ready()
        cluster.whole()
        load.alive()
    conclude(lab, cluster, load, events)
    lab.result["kills"] = rounds


RUNS = {
    "partition": (partition, 14, "partitions of every shape between three nodes"),
    "loss": (loss, 10, "lost and late packets, and a leader killed meanwhile"),
}
