#!/usr/bin/env python3
"""Runs a load of `jobbie-bench enqueue` and tells the requests that met a snapshot being written from the others.

    benches/snapshot.py DATA_DIR ROW BESIDE -- COMMAND...

Prints a JSON object. BESIDE is a file with that of a run without snapshots, whose figures go in front, or `-` for none. A
snapshot is being written from the birth of its file to its last change, which is its renaming after it was read back.
"""

import glob
import json
import math
import subprocess
import sys
import tempfile
import time

# The birth of a file is told to a tick of the kernel, and what comes before it (sharing the state) and after it
# (forgetting old snapshots and segments) belongs to a snapshot too.
MARGIN_NS = 10_000_000
# Two snapshots are kept, and none is written faster than this.
LOOK_S = 0.2


def snapshots(directory, seen):
    """Adds finished snapshots: name to (begin, end, bytes)."""
    names = [name for name in glob.glob(f"{directory}/**/snap-*.snap", recursive=True) if name not in seen]
    if names:
        # One may be gone by now: two are kept.
        stat = subprocess.run(["stat", "-c", "%.9W %.9Z %s %n", *names], capture_output=True, text=True)
        for line in stat.stdout.splitlines():
            birth, change, size, name = line.split(" ", 3)
            assert float(birth) > 0, "the file system does not tell when a file was made"
            seen[name] = (int(birth.replace(".", "")) - MARGIN_NS, int(change.replace(".", "")) + MARGIN_NS, int(size))
    return seen


def quantile(values, q):
    return round(sorted(values)[min(len(values) - 1, math.ceil(len(values) * q) - 1)] / 1000, 1) if values else None


def main():
    directory, row, beside, dashes, *command = sys.argv[1:]
    assert dashes == "--"
    old = set(snapshots(directory, {}))
    seen = {}
    with tempfile.NamedTemporaryFile("r") as samples:
        load = subprocess.Popen([*command, "--samples", samples.name], stdout=subprocess.DEVNULL)
        while load.poll() is None:
            snapshots(directory, seen)
            time.sleep(LOOK_S)
        assert load.returncode == 0, f"the load ended with {load.returncode}"
        requests = [tuple(map(int, line.split())) for line in samples]
    snapshots(directory, seen)
    windows = [window for name, window in seen.items() if name not in old]
    met, others = [], []
    for due, took in requests:
        during = any(due < end and due + took > begin for begin, end, _ in windows)
        (met if during else others).append(took)
    found = {"peer": "jobbie", "row": row}
    if beside != "-":
        with open(beside) as file:
            without = json.load(file)
        assert without["snapshots"] == 0, "the run to compare with has snapshots too"
        found.update({f"without_{name}": without[name] for name in ("p50_us", "p99_us", "max_us")})
    every = [took for _, took in requests]
    found.update({
        "requests": len(every), "p50_us": quantile(every, 0.5), "p99_us": quantile(every, 0.99),
        "max_us": quantile(every, 1), "snapshots": len(windows), "during_requests": len(met),
        "during_p50_us": quantile(met, 0.5), "during_p99_us": quantile(met, 0.99), "during_max_us": quantile(met, 1),
        "between_p99_us": quantile(others, 0.99),
    })
    if windows:
        spans = sorted(end - begin - 2 * MARGIN_NS for begin, end, _ in windows)
        found["snapshot_ms"] = round(spans[len(spans) // 2] / 1e6, 1)
        found["snapshot_bytes"] = max(size for _, _, size in windows)
    print(json.dumps(found))


main()
