"""The brokers that compare.py measures: how each is started, fair to it, and how its clients run.

Every server runs on loopback, with its files in a directory of its own, and is ended by its id. A
fresh one is started for every single run.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = 90
RUN_SECONDS = 300  # none takes that long: filling, draining, and slack
PYTHON = "/usr/bin/python3"


class Skip(Exception):
    """This contestant cannot take part; says why."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port):
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def program(name, *places):
    """The path of a server's program."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *places]))
    if not found:
        raise Skip(f"{name} is not installed")
    return found


class Server:
    """One running broker. `start` gives the commands; the last one is the broker itself."""

    extra_environment = {}

    def __init__(self, build, directory, durable):
        self.build, self.directory, self.durable = build, directory, durable
        os.mkdir(directory)
        self.port, self.processes = free_port(), []
        self.address = f"127.0.0.1:{self.port}"
        try:
            for command in self.commands():
                self.spawn(command)
            self.wait()
        except BaseException:
            self.stop()
            raise

    def spawn(self, command):
        with open(f"{self.directory}/output", "ab") as output:
            self.processes.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.directory, env={**os.environ, **self.extra_environment},
                start_new_session=True))

    def wait(self):
        end = time.monotonic() + START_SECONDS
        while not self.serves():
            if self.processes[-1].poll() is not None or time.monotonic() > end:
                with open(f"{self.directory}/output", encoding="utf-8", errors="replace") as output:
                    text = output.read()[-600:]
                raise RuntimeError(f"{self.processes[-1].args[0]} does not serve: {text}")
            time.sleep(0.05)
        time.sleep(0.3)

    def serves(self):
        return listens(self.port)

    def pids(self):
        return [self.processes[-1].pid]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Steward(Server):
    """`--memory`; durable: the default, every confirmation after the disk's."""

    def commands(self):
        self.address = f"tcp://127.0.0.1:{self.port}"
        keep = ["--data", f"{self.directory}/data"] if self.durable else ["--memory"]
        return [[f"{self.build}/stewardd", "--listen", self.address, *keep]]

    def serves(self):
        done = subprocess.run([f"{self.build}/steward", "--endpoint", self.address, "stat"],
                              capture_output=True, check=False, timeout=START_SECONDS)
        return done.returncode == 0


class Redis(Server):
    """No snapshots; durable: append-only file synced before each answer, never rewritten."""

    def commands(self):
        keep = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage",
                "0"] if self.durable else ["--appendonly", "no"]
        return [[program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
                 "--save", "", "--dir", self.directory, *keep]]


class Beanstalkd(Server):
    """Durable: a binlog synced at every write."""

    def commands(self):
        keep = ["-b", self.directory, "-f0"] if self.durable else []
        return [[program("beanstalkd"), "-l", "127.0.0.1", "-p", str(self.port), *keep]]


class Gearmand(Server):
    """The default queue, in memory; its maintainers advise against durable ones."""

    def commands(self):
        if self.durable:
            raise Skip("gearmand's maintainers call it a bad choice for durable queues")
        return [[program("gearmand"), "-L", "127.0.0.1", "-p", str(self.port),
                 "-l", f"{self.directory}/log"]]


class Rabbitmq(Server):
    """No plugins; a classic queue in memory, a quorum queue (one node) when durable."""

    place = "/usr/lib/rabbitmq/bin"

    def commands(self):
        epmd, here = free_port(), self.directory
        with open(f"{here}/plugins", "w", encoding="ascii") as plugins:
            plugins.write("[].\n")
        self.extra_environment = {
            "HOME": here, "ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"compare{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_MNESIA_BASE": f"{here}/db",
            "RABBITMQ_LOG_BASE": f"{here}/log", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq", "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_SERVER_START_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"}
        return [[program("epmd"), "-port", str(epmd), "-address", "127.0.0.1"],
                [program("rabbitmq-server", self.place) if not os.path.exists(
                    f"{self.place}/rabbitmq-server") else f"{self.place}/rabbitmq-server"]]

    def wait(self):
        super().wait()
        with open(f"{self.directory}/pid", encoding="ascii") as pid:
            self.beam = int(pid.read())

    def pids(self):
        return [self.beam]

    def stop(self):
        beam = getattr(self, "beam", None)
        if beam:
            os.kill(beam, signal.SIGTERM)
            self.processes[-1].wait(timeout=60)
        super().stop()


class Nats(Server):
    """JetStream; durable only where the server can sync before each confirmation (2.10)."""

    def commands(self):
        server = program("nats-server")
        text = subprocess.run([server, "--version"], capture_output=True, text=True,
                              check=True).stdout
        version = tuple(int(part) for part in text.split("v")[-1].split(".")[:2])
        sync = ""
        if self.durable:
            if version < (2, 10):
                raise Skip(f"{text.strip()} cannot sync before it confirms")
            sync = "sync_interval: always"
        with open(f"{self.directory}/config", "w", encoding="ascii") as config:
            config.write(f'listen: "127.0.0.1:{self.port}"\n'
                         f'jetstream {{ store_dir: "{self.directory}/js"\n {sync}\n}}\n')
        return [[server, "-c", f"{self.directory}/config"]]


class Manager(Server):
    """A BaseManager with queue.Queue and threading.Lock, as multiprocessing.Manager has them."""

    def commands(self):
        if self.durable:
            raise Skip("multiprocessing.Manager keeps everything in memory")
        return [[PYTHON, "-B", f"{HERE}/manager.py", "serve", str(self.port)]]


MESSAGES = ("throughput", "fill", "latency", "connections")
LOCKS = ("pairs", "pairs64", "handoffs")
WINDOWS = [(1024, 64), (4096, 256), (8192, 512)]


class Contestant:
    """A broker and a way of using it.

    acked: what a consumer takes is lost with it unless it acknowledges. trick: many messages go in
    one command. settings: (puts in flight, commands of one write or messages of one command); the
    best one is found before the rounds.
    """

    def __init__(self, name, server, client, mode="", **more):
        self.name, self.server, self.client, self.mode = name, server, client, mode
        self.works = more.get("works", MESSAGES)
        self.acked, self.trick = more.get("acked", True), more.get("trick", False)
        self.settings = more.get("settings", WINDOWS)
        self.fill = more.get("fill", 1_000_000)

    def command(self, build):
        if self.client == "manager":
            return [PYTHON, "-B", f"{HERE}/manager.py"]
        path = f"{build}/tests/compare_{self.client}"
        if not os.path.exists(path):
            raise Skip(f"the client library of {self.client} is not installed")
        return [path]

    def run(self, build, server, work, options):
        command = [*self.command(build), work, server.address]
        command += ["--mode", self.mode] if self.mode else []
        command += [part for pid in server.pids() for part in ("--server", str(pid))]
        running = subprocess.Popen([*command, *options], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, errors = running.communicate(timeout=RUN_SECONDS)
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)  # the group that was made for it
            running.wait()
            raise
        lines = out.strip().splitlines()
        if not lines or not lines[-1].endswith("}"):
            raise RuntimeError(f"{' '.join([*command, *options])}: {errors.strip()}")
        if errors.strip():
            print(f"{self.name}: {errors.strip()}", file=sys.stderr)
        return lines[-1]


STEWARD, STEWARD_BATCH = "Steward", "Steward, batches"
CONTESTANTS = [
    Contestant(STEWARD, Steward, "steward", works=MESSAGES + LOCKS),
    Contestant(STEWARD_BATCH, Steward, "steward", "batch", works=("throughput",), trick=True),
    Contestant("Redis list", Redis, "redis", "list", works=MESSAGES + LOCKS, acked=False),
    Contestant("Redis list, LMOVE", Redis, "redis", "safe",
               works=("throughput", "latency", "connections")),
    Contestant("Redis list, many a command", Redis, "redis", "batch", works=("throughput",),
               acked=False, trick=True),
    Contestant("Redis list, many, moved by a script", Redis, "redis", "batchsafe",
               works=("throughput",), trick=True),
    Contestant("Redis stream", Redis, "redis", "stream"),
    Contestant("beanstalkd", Beanstalkd, "beanstalkd",
               settings=[(64, 16), (256, 64), (1024, 256)]),
    Contestant("RabbitMQ", Rabbitmq, "rabbitmq", settings=[(1024, 64), (4096, 256)]),
    Contestant("gearmand", Gearmand, "gearman", settings=[(256, 64), (1024, 256)]),
    Contestant("NATS JetStream", Nats, "nats", settings=[(1024, 64), (4096, 256), (8192, 1024)]),
    Contestant("multiprocessing.Manager", Manager, "manager", settings=[(1, 1)], acked=False,
               works=("throughput", "fill", "latency", "pairs", "handoffs"), fill=100_000),
]
PACKAGES = ("redis-server", "libhiredis-dev", "beanstalkd", "rabbitmq-server", "librabbitmq-dev",
            "gearman-job-server", "nats-server", "libnats-dev", "python3", "libzmq3-dev")
