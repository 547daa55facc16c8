#!/usr/bin/env python3
"""The tables of docs/performance.md out of a result folder of run.sh.

    benches/summary.py FOLDER

A ratio is taken within each round, and the median of the rounds is shown: the disk of a virtual machine drifts, and what is
compared must be of the same minutes.
"""

import collections
import json
import statistics
import sys

PAYLOAD = 200
Bar = collections.namedtuple("Bar", "what row field best figure peer peer_row peer_field peer_figure plus", defaults=(0,))
DISK = "durable write 4 KiB"


def rate(row, figure, redis, peer="redis", what="jobs/s"):
    return Bar(f"{row}, {what}", row, "jobs_per_s", max, figure, peer, row, "jobs_per_s", redis)


def time(row, field, figure, redis, what):
    return Bar(f"{row}, {what}", row, field, min, figure, "redis", row, field, redis)


def write(row, field, times, plus, disk):
    return Bar(f"{row}, p50 µs", row, field, min, None, "disk", f"{disk} beside {row}", "p50_us", 1 / times, plus)


def own(what, row, field, figure):
    return Bar(what, row, field, min, figure, None, None, None, None)


def during(row):
    return Bar(f"{row}, p99 µs of an enqueue during one, beside without", row, "during_p99_us", min, None,
               "jobbie", row, "without_p99_us", 0.5)


def plain(row, besides):
    """As many jobs as at least three quarters of what the same load reaches without what the row adds."""
    return Bar(f"{row}, jobs/s beside plain", row, "jobs_per_s", max, None, "jobbie", besides, "jobs_per_s", 4 / 3)


# What is to be reached: a figure, and the peer's figure that it was set beside, which make the ratio to be reached. Where
# the peer's was a range, its middle.
BARS = (
    rate("enqueue 1x1", 7_500, 5_600),
    rate("enqueue 1x1", 7_500, 6_300, "beanstalkd"),
    write("enqueue 1x1", "p50_us", 1, 50, DISK),
    write("enqueue 1x1", "p50_us", 1, 50, f"{DISK} after 0.3 ms"),
    rate("enqueue 50x1", 63_000, 60_000),
    time("enqueue 50x1", "p99_us", 2_500, 1_600, "p99 µs"),
    time("enqueue 50x1", "server_cpu_s_per_100k", 1.2, 1.3, "server CPU s per 100,000"),
    rate("enqueue 200x1", 80_000, 76_000),
    time("enqueue 200x1", "p99_us", 8_000, 10_000, "p99 µs"),
    rate("enqueue 10x100", 650_000, 505_000),
    plain("enqueue 10x100 unique keys", "enqueue 10x100"),
    rate("enqueue 10x1000", 850_000, 817_000),
    rate("lifecycle 50x1", 34_000, 32_000),
    rate("lifecycle 10x100", 450_000, 167_000),
    plain("lifecycle 10x100 limits", "lifecycle 10x100"),
    plain("lifecycle 10x100 fair", "lifecycle 10x100"),
    plain("lifecycle 10x100 fair zipf 200k", "lifecycle 10x100"),
    own("lifecycle 10x100, server CPU s per 100,000", "lifecycle 10x100", "server_cpu_s_per_100k", 0.4),
    rate("steady 10+10x1", 16_000, 11_150),
    rate("steady 10+10x100", 300_000, 135_000),
    time("open loop 1000/s", "start_p50_us", 200, 240, "enqueue to start p50 µs"),
    time("open loop 1000/s", "start_p99_us", 600, 630, "enqueue to start p99 µs"),
    write("parked", "p50_us", 2, 0, DISK),
    write("parked", "p50_us", 2, 0, f"{DISK} after 5 ms"),
    during("snapshot 1M"),
    during("snapshot 1M every option"),
    own("log bytes 10x100, of payload + 64", "log bytes 10x100", "of_payload_and_64", 1.3),
    own("log bytes 1x100, of payload + 64", "log bytes 1x100", "of_payload_and_64", 1.3),
    own("backlog 1M, RSS bytes a job", "backlog 1M", "rss_bytes_per_job", 40),
    own("backlog 1M 50x1, RSS bytes a job", "backlog 1M 50x1", "rss_bytes_per_job", 40),
    own("backlog 10M, RSS bytes a job", "backlog 10M", "rss_bytes_per_job", 40),
    own("backlog 1M every option, RSS bytes a job", "backlog 1M every option", "rss_bytes_per_job", 96),
    own("backlog 1M every option 50x1, RSS bytes a job", "backlog 1M every option 50x1", "rss_bytes_per_job", 96),
)
COLUMNS = ("jobs_per_s", "p50_us", "p99_us", "start_p50_us", "start_p99_us", "server_cpu_s_per_100k")
OTHERS = (  # no bar, or more of a row
    ("disk", DISK, ("ops_per_s", "p50_us", "p99_us", "max_us")),
    ("disk", f"{DISK} after 0.3 ms", ("p50_us", "p99_us", "max_us")),
    ("disk", f"{DISK} after 5 ms", ("p50_us", "p99_us", "max_us")),
    ("jobbie", "snapshot 1M", ("snapshots", "snapshot_ms", "snapshot_bytes", "requests", "during_requests",
                               "during_p99_us", "during_max_us", "between_p99_us", "without_p99_us", "without_max_us")),
    ("jobbie", "snapshot 1M every option", ("snapshots", "snapshot_ms", "snapshot_bytes", "requests", "during_requests",
                                            "during_p99_us", "during_max_us", "between_p99_us", "without_p99_us",
                                            "without_max_us")),
    ("jobbie", "log bytes 10x100", ("record_bytes_per_job", "device_bytes_per_job", "records")),
    ("jobbie", "log bytes 1x100", ("record_bytes_per_job", "device_bytes_per_job", "records")),
    ("jobbie", "backlog 10M", ("jobs", "jobs_per_s", "drain_jobs_per_s")),
    ("jobbie", "due 1M", ("jobs", "seconds", "p50_us", "p99_us", "max_us")),
    ("jobbie", "due 200k shuffled", ("jobs", "seconds", "p50_us", "p99_us", "max_us")),
    ("jobbie", "steady 10+10x100 one batch", ("jobs", "jobs_per_s", "callback_us", "server_cpu_s_per_100k")),
    ("jobbie", "bulk cancel", ("jobs", "ms", "jobs_per_s", "server_cpu_s_per_100k")),
    ("jobbie", "restart to first fetch", ("jobs", "ms", "data_dir_bytes", "snapshots")),
    ("jobbie", "idle", ("cpu_percent",)),
)


class Run:
    """Figures by peer, row and field, and in these by round."""

    def __init__(self, folder):
        self.found = collections.defaultdict(lambda: collections.defaultdict(list))
        self.rows = []
        for line in open(f"{folder}/raw.jsonl"):
            entry = json.loads(line)
            if entry["row"] not in self.rows:
                self.rows.append(entry["row"])
            for name, value in entry.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self.found[entry["peer"], entry["row"], name][entry["round"]].append(value)
                    if "beside" in entry:
                        row = f"{entry['row']} beside {entry['beside']}"
                        self.found[entry["peer"], row, name][entry["round"]].append(value)

    def rounds(self, peer, row, field):
        """A figure for each round; a peer that is measured several times a round counts with its median."""
        return {round: statistics.median(values) for round, values in self.found.get((peer, row, field), {}).items()}

    def median(self, peer, row, field):
        values = self.rounds(peer, row, field).values()
        return statistics.median(values) if values else None

    def compared(self, bar, compare):
        """The median over the rounds of ours compared with the peer's."""
        ours, theirs = self.rounds("jobbie", bar.row, bar.field), self.rounds(bar.peer, bar.peer_row, bar.peer_field)
        both = [compare(ours[round], theirs[round]) for round in ours if theirs.get(round)]
        return statistics.median(both) if both else None


def show(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}"


def verdict(best, value, bar):
    if value is None or bar is None:
        return "–"
    return "met" if best(value, bar) == value else "**missed**"


def bar_line(run, bar):
    sign = "≥" if bar.best is max else "≤"
    ours = run.median("jobbie", bar.row, bar.field)
    theirs = run.median(bar.peer, bar.peer_row, bar.peer_field) if bar.peer else None
    ourselves = "without snapshots" if bar.peer_row == bar.row else "plain"
    name = {None: "", "jobbie": ourselves, "disk": (bar.peer_row or "").split(" beside ")[0], "redis": "Redis"}.get(bar.peer, bar.peer)
    figure = f"{sign} {show(bar.figure)}" if bar.figure is not None else "–"
    ratio, wanted, shown, by_ratio = None, "–", "–", "–"
    if bar.plus:
        ratio = run.compared(bar, lambda a, b: a - b)
        wanted, by_ratio = f"{sign} peer + {bar.plus}", verdict(bar.best, ratio, bar.plus)
        shown = f"{ratio:+.1f}" if ratio is not None else "–"
    elif bar.peer:
        ratio = run.compared(bar, lambda a, b: a / b)
        needed = (bar.figure or 1) / bar.peer_figure
        wanted, by_ratio, shown = f"{sign} {needed:.2f} ×", verdict(bar.best, ratio, needed), show(ratio)
        shown = f"{ratio:.2f} ×" if ratio is not None else "–"
    cells = [bar.what, show(ours), f"{show(theirs)} {name}".strip() if bar.peer else "–", shown, wanted, by_ratio, figure,
             verdict(bar.best, ours, bar.figure)]
    return f"| {' | '.join(cells)} |"


def further_job(run):
    """What a job costs beyond the first million, whose figure has all in it that a busy server takes once."""
    few, many = ((run.median("jobbie", row, "rss_bytes_per_job"), run.median("jobbie", row, "jobs"))
                 for row in ("backlog 1M", "backlog 10M"))
    if None in (*few, *many):
        return None
    return (many[0] * many[1] - few[0] * few[1]) / (many[1] - few[1])


def side_by_side(run, row, field):
    found = [run.median(peer, row, field) for peer in ("jobbie", "redis", "beanstalkd")]
    while len(found) > 1 and found[-1] is None:
        found.pop()
    return " / ".join(map(show, found))


def main():
    run = Run(sys.argv[1])
    print("| bar | jobbie | peer of the same minutes | ratio | bar as a ratio | | bar as a figure | |")
    print("|---|---|---|---|---|---|---|---|")
    for bar in BARS:
        if bar.row in run.rows:
            print(bar_line(run, bar))
    print()
    print("Medians of the rounds: jobbie / Redis / beanstalkd.\n")
    print("| row | jobs/s | p50 µs | p99 µs | start p50 µs | start p99 µs | server s per 100,000 |")
    print("|" + "---|" * (len(COLUMNS) + 1))
    for row in run.rows:
        if run.median("jobbie", row, "jobs_per_s") is not None:
            print(f"| {row} | " + " | ".join(side_by_side(run, row, field) for field in COLUMNS) + " |")
    print()
    further = further_job(run)
    if further is not None:
        print(f"- backlog 1M to 10M: RSS bytes for each further job {show(further)}")
    for peer, row, fields in OTHERS:
        if row in run.rows:
            print(f"- {row}: " + ", ".join(f"{field} {show(run.median(peer, row, field))}" for field in fields))


main()
