#!/usr/bin/python3
"""multiprocessing.Manager as a contestant: `serve PORT` is the server; else the harness' own works.

Python on both sides: there is no other client. Each put and each get is one call; nothing is
acknowledged, and what a consumer has taken is gone. Bodies, proof and results as in harness.h.
Many connections are not measured: with 200 of them clients hang, with 40 they do not.
"""
import argparse
import json
import multiprocessing
import os
import queue
import resource
import struct
import sys
import threading
import time
from multiprocessing.managers import BaseManager

STAMP = struct.Struct("<IIQQ")
KEY = b"compare"
BACKLOG_MAX = 100_000
CLIENTS = 8


class Server(BaseManager):
    pass


class Client(BaseManager):
    pass


def serve(port):
    made = {}
    lock = threading.Lock()

    def get(kind, name):
        with lock:
            return made.setdefault((kind, name), queue.Queue() if kind == "q" else threading.Lock())

    Server.register("queue", lambda name: get("q", name))
    Server.register("lock", lambda name: get("l", name), exposed=["acquire", "release"])
    Server(("127.0.0.1", port), KEY).get_server().serve_forever()


def connect(address):
    host, port = address.rsplit(":", 1)
    Client.register("queue")
    Client.register("lock")
    client = Client((host, int(port)), KEY)
    client.connect()
    return client


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_usage(pids):
    seconds, size = 0.0, 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        size += int(fields[21]) * os.sysconf("SC_PAGESIZE")
    return seconds, size


class Run:
    """Processes that start together, and what they count."""

    def __init__(self, given):
        self.given, self.name = given, f"compare-{os.getpid()}"
        context = multiprocessing.get_context("fork")
        self.go, self.stop, self.finish, self.begin = (context.Event() for _ in range(4))
        self.turn, self.inside = context.Semaphore(0), context.Lock()
        self.out = context.SimpleQueue()
        self.counts = context.Array("Q", 64, lock=False)
        self.context, self.children = context, []

    def fork(self, body, index, *more):
        self.children.append(self.context.Process(target=self.child, args=(body, index, *more)))
        self.children[-1].start()

    def child(self, body, index, *more):
        client = connect(self.given.address)
        self.counts[32 + index] = 1
        self.go.wait()
        used = cpu()
        result = body(self, client, index, *more)
        self.out.put((index, cpu() - used, result))

    def start(self):
        while sum(self.counts[32:]) < len(self.children):
            time.sleep(0.01)
        self.before = server_usage(self.given.server)
        self.began = time.monotonic()
        self.go.set()

    def collect(self, count):
        return [self.out.get() for _ in range(count)]

    def usage(self):
        after = server_usage(self.given.server)
        return {"server_cpu_s": after[0] - self.before[0], "server_bytes": after[1]}

    def end(self):
        for child in self.children:
            child.join()


def producer(run, client, index):
    given, items = run.given, client.queue(run.name)
    rest, most = b"x" * (given.size - STAMP.size), given.count // given.producers
    sent, producers = 0, given.producers
    while not run.stop.is_set() and (not given.count or sent < most):
        items.put(STAMP.pack(os.getppid(), index, sent, 0) + rest)
        sent += 1
        run.counts[index] = sent
        while (not given.count and not run.stop.is_set()
               and sum(run.counts[:producers]) > sum(run.counts[producers:32]) + BACKLOG_MAX):
            time.sleep(0.001)
    return sent


def consumer(run, client, index):
    items, got = client.queue(run.name), []
    if run.given.count:
        run.begin.wait()
    while not run.finish.is_set():
        try:
            _, source, sequence, _ = STAMP.unpack(items.get(True, 0.1)[:STAMP.size])
        except queue.Empty:
            continue
        got.append((source, sequence))
        run.counts[index] = len(got)
    return got


def messages(run):
    given = run.given
    for index in range(given.producers):
        run.fork(producer, index)
    for index in range(given.consumers):
        run.fork(consumer, given.producers + index)
    run.start()
    if not given.count:
        time.sleep(given.seconds)
        run.stop.set()
    made = run.collect(given.producers)
    put_s, put = time.monotonic() - run.began, {index: sent for index, _, sent in made}
    filled = server_usage(given.server)[1]
    run.begin.set()
    total, end = sum(put.values()), time.monotonic() + 60 + given.count / 5000
    while sum(run.counts[given.producers:32]) < total and time.monotonic() < end:
        time.sleep(0.002)
    took_s, result = time.monotonic() - run.began, run.usage()
    run.finish.set()
    taken = run.collect(given.consumers)
    got = [one for _, _, some in taken for one in some]
    expected = {(index, number) for index, sent in put.items() for number in range(sent)}
    result.update(messages_per_s=len(got) / took_s, put_per_s=total / put_s, messages=len(got),
                  lost=len(expected - set(got)), doubled=len(got) - len(set(got)),
                  bytes_per_message=(filled - run.before[1]) / total if given.count else 0.0,
                  producer_cpu_s=sum(one[1] for one in made),
                  consumer_cpu_s=sum(one[1] for one in taken))
    return result


def latency_producer(run, client, _):
    items, rest, sent = client.queue(run.name), b"x" * (run.given.size - STAMP.size), 0
    while not run.stop.is_set():
        items.put(STAMP.pack(0, 0, sent, time.monotonic_ns()) + rest)
        sent += 1
        run.turn.acquire()
    return sent


def latency_consumer(run, client, _):
    items, samples, wrong = client.queue(run.name), [], 0
    while not run.finish.is_set():
        try:
            body = items.get(True, 0.1)
        except queue.Empty:
            continue
        now = time.monotonic_ns()
        _, _, sequence, put_ns = STAMP.unpack(body[:STAMP.size])
        wrong += sequence != len(samples)
        samples.append(now - put_ns)
        run.turn.release()
    return samples, wrong


def latency(run):
    run.fork(latency_producer, 0)
    run.fork(latency_consumer, 1)
    run.start()
    time.sleep(run.given.seconds)
    run.stop.set()
    (_, used, sent), = run.collect(1)
    run.finish.set()
    (_, more, (samples, wrong)), = run.collect(1)
    lost, samples = sent - len(samples), sorted(samples[100:]) or [0]
    quantile = {name: samples[int(part * (len(samples) - 1))] / 1000
                for name, part in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))}
    return {**run.usage(), **quantile, "messages": sent, "lost": lost, "doubled": wrong,
            "client_cpu_s": used + more}


def locker(run, client, index, rivals):
    lock = client.lock(run.name if rivals else f"{run.name}-{index}")
    wrong = 0
    while not run.stop.is_set():
        lock.acquire()
        if rivals:
            wrong += not run.inside.acquire(block=False)
            changed, run.counts[31] = run.counts[31] != index + 1, index + 1
            run.inside.release()
        run.counts[index] += not rivals or changed
        lock.release()
    return wrong


def locks(run):
    rivals = run.given.work == "handoffs"
    clients = CLIENTS if rivals else 1
    for index in range(clients):
        run.fork(locker, index, rivals)
    run.start()
    time.sleep(run.given.seconds)
    counts, seconds = list(run.counts[:clients]), time.monotonic() - run.began
    usage = run.usage()
    run.stop.set()
    ended = run.collect(clients)
    squares = sum(one * one for one in counts)
    return {**usage, "operations_per_s": sum(counts) / seconds, "messages": sum(counts), "lost": 0,
            "jain": sum(counts) ** 2 / (clients * squares) if squares else 0,
            "doubled": sum(one[2] for one in ended), "client_cpu_s": sum(one[1] for one in ended)}


WORKS = {"throughput": messages, "fill": messages, "latency": latency, "pairs": locks,
         "handoffs": locks}


def main():
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=2)
    for name, default in (("size", 100), ("producers", 2), ("consumers", 2), ("connections", 200),
                          ("count", 0), ("in-flight", 1), ("batch", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--server", type=int, action="append", default=[])
    given = parser.parse_args()
    given.count = (given.count or 1_000_000) if given.work == "fill" else 0
    run = Run(given)
    result = WORKS[given.work](run)
    run.end()
    print(json.dumps(result))
    return 1 if result["lost"] or result["doubled"] else 0


if __name__ == "__main__":
    sys.exit(main())
