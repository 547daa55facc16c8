#!/usr/bin/env python3
"""Rows of docs/performance.md with two builds of the server in turn: whether one is slower than the other.

    benches/pairs.py BEFORE AFTER [ROUNDS] [ROWS]

BEFORE and AFTER are directories with a release build of `jobbie`; the load comes from the `jobbie-bench` in BEFORE, which
a later server must understand. Each round takes every row once with each build, in turn who is first. What is printed is the
ratio AFTER / BEFORE within a round: its median and, in brackets, its least and largest. ROWS is a regular expression.
The machine should be idle otherwise. JOBBIE_DISK says where the data directory goes.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROWS = {
    "enqueue 1x1": "enqueue --connections 1 --batch 1 --jobs 10000",
    "enqueue 50x1": "enqueue --connections 50 --batch 1 --jobs 200000",
    "enqueue 200x1": "enqueue --connections 200 --batch 1 --jobs 300000",
    "enqueue 10x100": "enqueue --connections 10 --batch 100 --jobs 2000000",
    "enqueue 10x1000": "enqueue --connections 10 --batch 1000 --jobs 2000000",
    "lifecycle 50x1": "lifecycle --connections 50 --batch 1 --jobs 50000",
    "lifecycle 10x100": "lifecycle --connections 10 --batch 100 --jobs 1000000",
    "steady 10+10x1": "steady --connections 10 --batch 1 --jobs 25000",
    "steady 10+10x100": "steady --connections 10 --batch 100 --jobs 500000",
    "open loop 1000/s": "steady --connections 4 --batch 1 --rate 1000 --jobs 5000",
    "parked": "parked --connections 1 --batch 1 --jobs 300",
}
FIGURES = ("jobs_per_s", "server_cpu_s_per_100k", "p50_us", "p99_us")
ADDRESS = "127.0.0.1:7490"


def measure(build, bench, row, directory):
    """One row with one build, on a new data directory."""
    data = os.path.join(directory, "node")
    shutil.rmtree(data, ignore_errors=True)
    jobbie = os.path.join(build, "jobbie")
    command = [jobbie, "server", "--data-dir", data, "--listen", ADDRESS, "--shards", "1"]
    with open(os.path.join(directory, "log"), "a", encoding="utf-8") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        for _ in range(300):
            asked = subprocess.run([jobbie, "status", "--addr", ADDRESS], capture_output=True, check=False)
            if asked.returncode == 0:
                break
            time.sleep(0.05)
        load = [bench, *ROWS[row].split(), "--addr", ADDRESS, "--pid", str(server.pid), "--json"]
        found = subprocess.run(load, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            sys.exit(f"{row} with {build}: {found.stderr or found.stdout}")
        return json.loads(found.stdout.splitlines()[-1])
    finally:
        server.terminate()
        server.wait()


def told(rounds, figure):
    """Median of the ratios of a figure with their range, and its median with the later build."""
    ratios = [after[figure] / before[figure] for before, after in rounds if before.get(figure)]
    if not ratios:
        return "–"
    median = statistics.median(after[figure] for _, after in rounds)
    return f"{statistics.median(ratios):.3f} ({min(ratios):.2f}–{max(ratios):.2f}), {median:,.6g}"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    before, after = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    rows = [row for row in ROWS if len(sys.argv) < 5 or re.search(sys.argv[4], row)]
    bench = os.path.join(before, "jobbie-bench")
    found = {row: [] for row in rows}
    with tempfile.TemporaryDirectory(prefix=".pairs.", dir=os.environ.get("JOBBIE_DISK", ".")) as directory:
        for nth in range(rounds):
            for row in rows:
                pair = {}
                for build in (before, after) if nth % 2 == 0 else (after, before):
                    pair[build] = measure(build, bench, row, directory)
                found[row].append((pair[before], pair[after]))
    print("| row | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    for row, pairs in found.items():
        print(f"| {row} | " + " | ".join(told(pairs, figure) for figure in FIGURES) + " |")


main()
