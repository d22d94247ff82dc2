"""A client to be killed: does one thing, says READY and what it got on stdout, stays.

    victim.py ENDPOINT lock NAME          holds the lock
    victim.py ENDPOINT wait-lock NAME     waits for the lock
    victim.py ENDPOINT get QUEUE          is blocked in a get of an empty queue
    victim.py ENDPOINT put QUEUE BODY     is blocked in a put to a full queue
    victim.py ENDPOINT work QUEUE         has got an item and neither acks nor fails it
    victim.py ENDPOINT prefetch QUEUE N   a consumer with credit, handed N items
"""

import sys

import steward_wire as wire


def do_lock(client, name):
    token, _ = client.acquire(name, timeout_ms=10000)
    return token


def do_wait_lock(client, name):
    client.acquire_request(name, timeout_ms=None)
    client.confirm()
    return ""


def do_get(client, queue):
    client.get_request(queue, timeout_ms=None)
    client.confirm()
    return ""


def do_put(client, queue, body):
    client.puts(queue, [body.encode()], timeout_ms=None)
    client.confirm()
    return ""


def do_work(client, queue):
    message = client.get(queue, timeout_ms=10000)
    client.confirm()
    return f"{message.body.decode()} {message.token} {message.deliveries}"


def do_prefetch(client, queue, count):
    channel = client.consume(queue, messages=100)
    bodies = [client.next(channel, credit=False).body.decode() for _ in range(int(count))]
    client.confirm()
    return " ".join(bodies)


def main():
    endpoint, action, *arguments = sys.argv[1:]
    client = wire.Client(endpoint)
    result = globals()["do_" + action.replace("-", "_")](client, *arguments)
    print("READY", result, flush=True)
    client.idle(300)


if __name__ == "__main__":
    main()
