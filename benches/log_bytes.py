#!/usr/bin/env python3
"""Bytes of the log records below a data directory, whole blocks as they are written, by docs/format.md.

    benches/log_bytes.py DATA_DIR ROW JOBS PAYLOAD_BYTES DEVICE_BYTES

The server must be stopped and have recycled no segment. DEVICE_BYTES is all that the process wrote, segments zeroed in
advance included.
"""

import glob
import json
import os
import struct
import sys

BLOCK, HEADER, ENTRY, MAGIC = 4096, 96, 2, b"jbR1"


def records(path, sequence):
    """Kind, bytes and sequence of each record of a segment; it ends where the sequence does."""
    at = BLOCK
    with open(path, "rb") as segment:
        while True:
            segment.seek(at)
            header = segment.read(HEADER)
            if len(header) < HEADER or header[:4] != MAGIC:
                return
            (body,), (number,) = struct.unpack_from("<I", header, 8), struct.unpack_from("<Q", header, 56)
            if sequence is not None and number != sequence + 1:
                return
            taken = -(-(HEADER + body) // BLOCK) * BLOCK
            yield header[5], taken, number
            at, sequence = at + taken, number


directory, row = sys.argv[1:3]
jobs, payload, device = map(int, sys.argv[3:6])
count, entries, total = 0, 0, 0
for log in sorted({os.path.dirname(path) for path in glob.glob(f"{directory}/**/log-*.seg", recursive=True)}):
    sequence = None
    for path in sorted(glob.glob(f"{log}/log-*.seg")):
        for kind, taken, sequence in records(path, sequence):
            count, entries, total = count + 1, entries + (kind == ENTRY), total + taken
assert total > jobs * payload, f"{total} bytes of records cannot hold {jobs} jobs of {payload} bytes"
print(json.dumps({
    "peer": "jobbie", "row": row, "jobs": jobs, "records": count, "entries": entries, "record_bytes": total,
    "record_bytes_per_job": round(total / jobs, 1), "of_payload_and_64": round(total / jobs / (payload + 64), 3),
    "device_bytes_per_job": round(device / jobs, 1),
}))
