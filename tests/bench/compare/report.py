"""What compare.py found, as JSON, as Markdown and as charts."""
import json
import os
import statistics
import sys

import peers

LESS_IS_BETTER = ("p50_us", "bytes_per_message")


def rows_of(document, work):
    """contestant -> the results of its rounds, in the order of the first round."""
    rows = {}
    for run in document["runs"]:
        if run["work"] == work:
            rows.setdefault(run["contestant"], []).append(run["result"])
    return rows


def median(results, field):
    values = [result[field] for result in results if field in result]
    return statistics.median(values) if values else None


def spread(results, field):
    values = [result[field] for result in results if field in result]
    if not values:
        return "-"
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def cpu_us(results, fields):
    """Microseconds of CPU a message or operation: median over the rounds."""
    values = [sum(result.get(field, 0) for field in fields) * 1e6 / count
              for result in results
              if (count := result.get("messages"))]
    return f"{statistics.median(values):.2f}" if values else "-"


CLIENT_CPU = ("producer_cpu_s", "consumer_cpu_s", "client_cpu_s")


def tail(results, work):
    """What else is to be said of a work's results."""
    if work == "W3":
        return f"p99 {median(results, 'p99_us'):,.0f}, p99.9 {median(results, 'p999_us'):,.0f}"
    return f"Jain {median(results, 'jain'):.3f}" if work == "W4-handoffs" else ""


def table(document, work, what, field):
    """One work's Markdown."""
    rows = rows_of(document, work)
    ours = median(rows.get(peers.STEWARD, []), field)
    settings = {run["contestant"]: run.get("setting") for run in document["runs"]
                if run["work"] == work}
    lines = [f"\n### {work}: {what}\n",
             "| contestant | median (range) | Steward is | server, us CPU | clients, us CPU "
             "| server MiB | more | in flight, batch |", "|---|---|---|---|---|---|---|---|"]
    for name, results in rows.items():
        value, ratio = median(results, field), "-"
        if ours and value:
            times = value / ours if field in LESS_IS_BETTER else ours / value
            ratio = f"{times:.2f} x"
        memory = median(results, "server_bytes")
        cells = [name, spread(results, field), ratio, cpu_us(results, ["server_cpu_s"]),
                 cpu_us(results, CLIENT_CPU), f"{memory / 2**20:,.0f}" if memory else "-",
                 tail(results, work), "{}, {}".format(*settings[name]) if settings[name] else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def disk_table(document):
    rows = rows_of(document, "disk")
    if not rows:
        return []
    lines = ["\n### The disk alone, and our log alone\n", "| floor | MB/s | writes or entries/s |",
             "|---|---|---|"]
    for name, results in rows.items():
        rate = "writes_per_s" if "writes_per_s" in results[0] else "entries_per_s"
        lines.append(f"| {name} | {spread(results, 'mb_per_s')} | {spread(results, rate)} |")
    return lines


# ---- targets -------------------------------------------------------------------------------------


class Judge:
    """Ratios of medians of one run, and whether they are what was wanted."""

    def __init__(self, document):
        self.document, self.lines, self.verdicts = document, [], []
        self.kinds = {one.name: one for one in peers.CONTESTANTS}

    def best(self, work, field, wanted):
        """The best peer's (median, name) among those for which wanted(contestant) is true."""
        found = [(median(results, field), name)
                 for name, results in rows_of(self.document, work).items()
                 if name in self.kinds and self.kinds[name].server is not peers.Steward
                 and wanted(self.kinds[name])]
        return max(found, default=(None, None))

    def ours(self, work, field, name=peers.STEWARD):
        return median(rows_of(self.document, work).get(name, []), field)

    def floor(self, work, field, name):
        return median(rows_of(self.document, work).get(name, []), field)

    def say(self, what, value, wanted, most=False):
        """wanted: at least; or at most."""
        if value is None:
            return
        met = value <= wanted if most else value >= wanted
        self.verdicts.append({"target": what, "value": value, "wanted": wanted, "at_most": most,
                              "met": met})

    def ratio(self, what, ours, theirs, wanted, most=False):
        if ours and theirs:
            self.say(what, ours / theirs, wanted, most)

    def peer_ratio(self, what, work, wanted, kind, ours=None):
        field = "operations_per_s" if work.startswith(("W4", "W5")) else "messages_per_s"
        value, name = self.best(work, field, kind)
        ours = ours or self.ours(work, field)
        if value:
            self.ratio(f"{what} ({name})", ours, value, wanted)

    def throughput(self):
        for work, one, many in (("W1-100", 4, 2.5), ("W2-100", 4, 2)):
            self.peer_ratio(f"{work}: best peer message by message", work, one,
                            lambda peer: peer.acked and not peer.trick)
            self.peer_ratio(f"{work}: best peer message by message, acknowledged or not", work, one,
                            lambda peer: not peer.trick)
            self.peer_ratio(f"{work}: best batch trick", work, many,
                            lambda peer: peer.acked and peer.trick)
            self.peer_ratio(f"{work}: best batch trick, acknowledged or not", work, many,
                            lambda peer: peer.trick)
        for work, wanted in (("W1-1024", 3), ("W2-1024", 2)):
            self.peer_ratio(f"{work}: best peer of either kind", work, wanted,
                            lambda peer: peer.acked)
            self.peer_ratio(f"{work}: best peer of either kind, acknowledged or not", work, wanted,
                            lambda peer: True)

    def disk(self):
        """1 KiB each: what the disk path alone allows is the best of its floors."""
        rate = self.ours("W2-1024", "messages_per_s")
        floors = [(median(results, "mb_per_s"), name)
                  for name, results in rows_of(self.document, "disk").items()]
        if rate and floors:
            floor, name = max(floors)
            self.say(f"W2-1024: of the disk path alone ({name})", rate * 1024 / 1e6 / floor, 0.7)

    def others(self):
        hops = "libzmq, with receipt and ack"
        for field, wanted in (("p50_us", 1.15), ("p99_us", 1.5)):
            self.ratio(f"W3: {field[:3]} of bare libzmq, same hops", self.ours("W3", field),
                       self.floor("W3", field, hops), wanted, True)
        rate = "operations_per_s"
        self.ratio("W4: one in flight of bare libzmq", self.ours("W4-one", rate),
                   self.floor("W4-one", rate, "libzmq, two round trips"), 0.8)
        self.ratio("W4: hand-offs of bare libzmq", self.ours("W4-handoffs", rate),
                   self.floor("W4-handoffs", rate, "libzmq, hand-offs"), 0.8)
        self.say("W4: Jain's index", self.ours("W4-handoffs", "jain"), 0.9)
        self.peer_ratio("W4: 64 in flight", "W4-64", 2, lambda peer: True)
        self.peer_ratio("W5: best peer", "W5", 1.3, lambda peer: peer.acked)
        self.peer_ratio("W5: best peer, acknowledged or not", "W5", 1.3, lambda peer: True)
        memory = self.ours("W5", "server_bytes")
        self.say("W5: broker, MiB", memory / 2**20 if memory else None, 40, True)
        self.say("W6: bytes a message", self.ours("W6", "bytes_per_message"), 144, True)

    def cpu(self):
        rows = rows_of(self.document, "W1-100")
        used = {}
        for name in (peers.STEWARD, "Redis list"):
            for field in ("server_cpu_s", "producer_cpu_s", "consumer_cpu_s"):
                values = [one[field] * 1e6 / one["messages"] for one in rows.get(name, [])]
                used[name, field] = statistics.median(values) if values else None
        ours = used[peers.STEWARD, "server_cpu_s"]
        self.say("CPU: broker, us a message", ours, 0.45, True)
        for side in ("producer", "consumer"):
            self.say(f"CPU: {side}, us a message", used[peers.STEWARD, f"{side}_cpu_s"], 0.2, True)
        self.ratio("CPU: broker's of Redis'", ours, used["Redis list", "server_cpu_s"], 0.5, True)

    def all(self):
        self.throughput()
        self.disk()
        self.others()
        self.cpu()
        return self.verdicts


def targets_table(verdicts):
    if not verdicts:
        return []
    lines = ["\n### Targets\n", "| target | found | wanted | |", "|---|---|---|---|"]
    for one in verdicts:
        lines.append(f"| {one['target']} | {one['value']:.2f} "
                     f"| {'at most' if one['at_most'] else 'at least'} {one['wanted']} "
                     f"| {'met' if one['met'] else '**missed**'} |")
    return lines


# ---- all of it -----------------------------------------------------------------------------------


def charts(document, works, output):
    """One chart for each work; none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        print("no charts: python3-matplotlib is not installed", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    for work, (what, _, _, _, field) in works.items():
        rows = {name: [one[field] for one in results if field in one]
                for name, results in rows_of(document, work).items()}
        rows = {name: values for name, values in rows.items() if values}
        if not rows:
            continue
        names = sorted(rows, key=lambda name: statistics.median(rows[name]))
        middle = [statistics.median(rows[name]) for name in names]
        around = [[m - min(rows[name]) for name, m in zip(names, middle)],
                  [max(rows[name]) - m for name, m in zip(names, middle)]]
        figure, axes = pyplot.subplots(figsize=(8, 1 + 0.35 * len(names)))
        colours = {True: "tab:blue", False: "tab:gray"}
        known = {one.name for one in peers.CONTESTANTS}
        axes.barh(names, middle, xerr=around, capsize=3, ecolor="black",
                  color=["lightgray" if name not in known else
                         colours[name.startswith("Steward")] for name in names])
        axes.set_title(f"{work}: {what}", fontsize=10)
        axes.ticklabel_format(axis="x", style="plain")
        axes.tick_params(labelsize=8)
        figure.tight_layout()
        figure.savefig(f"{output}/{work}.png", dpi=110)
        pyplot.close(figure)


def markdown(document, works):
    host, runs = document["machine"], document["runs"]
    lines = ["# Beside peers\n",
             f"{document['date']}, {host['cores']} x {host['processor']}, Linux {host['linux']}, "
             f"{host['memory_mib']} MiB; load {host['load']:.1f} at the start. "
             f"`{document['command']}`: {document['rounds']} rounds of {document['seconds']:g} s, "
             "contestants in turn, a fresh server for each run, all of it over TCP on loopback.\n",
             ", ".join(f"{name} {version}" for name, version in document["versions"].items()), ""]
    lines += [f"- skipped: {one['contestant']}{' (durable)' if one['durable'] else ''}: "
              f"{one['why']}" for one in document["skipped"]]
    lines += [f"- failed: {one['contestant']}, {one['work']}: {one['why']}"
              for one in document["failed"]]
    lines += targets_table(document["targets"])
    for work, (what, _, _, _, field) in works.items():
        if rows_of(document, work):
            lines += table(document, work, what, field)
    lines += disk_table(document)
    wrong = sum(run["result"].get(what, 0) for run in runs for what in ("lost", "doubled"))
    lines.append(f"\nLost or doubled in all {len(runs)} runs: {wrong}. Redis' plain lists and "
                 "multiprocessing.Manager acknowledge nothing: what a consumer has taken is gone "
                 "with it.")
    return "\n".join(lines) + "\n"


def write(document, works, output):
    """Into the directory `output`; the Markdown on standard output, too."""
    os.makedirs(output, exist_ok=True)
    document["targets"] = Judge(document).all()
    text = markdown(document, works)
    with open(f"{output}/compare.json", "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    with open(f"{output}/compare.md", "w", encoding="utf-8") as file:
        file.write(text)
    charts(document, works, output)
    print(text)
