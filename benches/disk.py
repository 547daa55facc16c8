#!/usr/bin/env python3
"""Durable 4 KiB writes as the log makes them: O_DIRECT and O_DSYNC, one after the other, over blocks zeroed in advance.

    benches/disk.py FILE COUNT [BESIDE]

A JSON object a line: back to back, which keeps the device awake, and after pauses, as a server has that is not busy.
BESIDE is the row that is measured next.
"""

import json
import mmap
import os
import sys
import time

BLOCKS, SIZE = 4096, 4096
ROWS = (  # name, pause in seconds, share of the count
    ("durable write 4 KiB", 0, 1),
    ("durable write 4 KiB after 0.3 ms", 0.0003, 5),
    ("durable write 4 KiB after 5 ms", 0.005, 25),
)


def prepare(path):
    page = mmap.mmap(-1, 1 << 20)  # page-aligned, as O_DIRECT wants it
    # Zeroed in advance: a file that is only allocated has to write its extents too.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    for at in range(0, BLOCKS * SIZE, 1 << 20):
        os.pwrite(fd, page, at)
    os.fsync(fd)
    os.close(fd)
    block = memoryview(page)[:SIZE]
    block[:] = os.urandom(SIZE)
    return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC), block


def measure(fd, block, name, pause, count):
    took = []
    begin = time.perf_counter_ns()
    for i in range(count):
        if pause:
            time.sleep(pause)
        t = time.perf_counter_ns()
        assert os.pwrite(fd, block, (i % BLOCKS) * SIZE) == SIZE
        took.append(time.perf_counter_ns() - t)
    seconds = (time.perf_counter_ns() - begin) / 1e9
    took.sort()

    def at(quantile):
        return round(took[min(len(took) - 1, int(len(took) * quantile))] / 1000, 1)

    found = {"peer": "disk", "row": name, "p50_us": at(0.5), "p99_us": at(0.99),
             "max_us": round(took[-1] / 1000, 1), "count": count}
    if len(sys.argv) > 3:
        found["beside"] = sys.argv[3]
    if not pause:
        found["ops_per_s"] = round(count / seconds)
    print(json.dumps(found), flush=True)


descriptor, content = prepare(sys.argv[1])
for row, seconds, share in ROWS:
    measure(descriptor, content, row, seconds, max(20, int(sys.argv[2]) // share))
