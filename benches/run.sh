#!/usr/bin/env bash
# Every row of docs/performance.md, in rounds that alternate with the peers, into benches/runs/<date>-<machine>/.
#
#   benches/run.sh [rounds] [scale]
#
# rounds defaults to 3; scale 100 is a measurement, 1 a smoke test. The machine should be idle otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-3}
scale=${2:-100}
bin=${JOBBIE_BIN:-${CARGO_TARGET_DIR:-target}/release}
port=${JOBBIE_PORT:-7480}
shards=${JOBBIE_SHARDS:-1}
out=${JOBBIE_RUNS:-benches/runs}/$(date +%F-%H%M)-$(uname -n)
mkdir -p "$out"
data=$(mktemp -d "$PWD/.bench.XXXXXX")
server_pid=
export JOBBIE_BENCH_REDIS="$bin/jobbie-bench-redis"

stop_server() {
  if [ -n "$server_pid" ]; then kill "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null || true; fi
  server_pid=
}
trap 'stop_server; rm -rf "$data"' EXIT

# A new data directory for each row: no row pays for another's log.
start_server() {
  stop_server
  rm -rf "$data/node"
  "$bin/jobbie" server --data-dir "$data/node" --listen "127.0.0.1:$port" --shards "$shards" "$@" 2> "$data/log" &
  server_pid=$!
  for _ in $(seq 300); do
    "$bin/jobbie" status --addr "127.0.0.1:$port" > /dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$data/log" >&2
  return 1
}

row() { # name, arguments of jobbie-bench
  local name=$1
  shift
  start_server
  echo "jobbie-bench $*" >> "$out/commands.txt"
  "$bin/jobbie-bench" "$@" --addr "127.0.0.1:$port" --pid "$server_pid" --json |
    python3 -c "
import json, sys
print(json.dumps({'peer': 'jobbie', 'row': '$name', **json.loads(sys.stdin.readlines()[-1])}))" | tee -a "$out/raw.jsonl"
}

peers() {
  echo "benches/peers.sh $1 $scale" >> "$out/commands.txt"
  benches/peers.sh "$1" "$scale" | tee -a "$out/raw.jsonl"
}

# Parked fetch and open loop need the workers waiting, which steady has.
all_rows() {
  row "enqueue 1x1" enqueue --connections 1 --batch 1 --jobs $((scale * 200))
  row "enqueue 50x1" enqueue --connections 50 --batch 1 --jobs $((scale * 2000))
  row "enqueue 200x1" enqueue --connections 200 --batch 1 --jobs $((scale * 2000))
  row "enqueue 10x100" enqueue --connections 10 --batch 100 --jobs $((scale * 10000))
  row "enqueue 10x1000" enqueue --connections 10 --batch 1000 --jobs $((scale * 20000))
  row "lifecycle 50x1" lifecycle --connections 50 --batch 1 --jobs $((scale * 1500))
  row "lifecycle 10x100" lifecycle --connections 10 --batch 100 --jobs $((scale * 10000))
  row "steady 10+10x1" steady --connections 10 --batch 1 --jobs $((scale * 800))
  row "steady 10+10x100" steady --connections 10 --batch 100 --jobs $((scale * 8000))
  row "open loop 1000/s" steady --connections 4 --batch 1 --rate 1000 --jobs $((scale * 100))
  row "backlog" backlog --connections 10 --batch 1000 --jobs $((scale * 10000))
  restart
  idle
}

# Restart with a million waiting jobs, to the first fetched one.
restart() {
  start_server
  local jobs=$((scale * 10000)) begin end
  "$bin/jobbie-bench" enqueue --connections 10 --batch 1000 --jobs "$jobs" --keep --addr "127.0.0.1:$port" --json > "$data/filled"
  "$bin/jobbie" enqueue restart x --addr "127.0.0.1:$port" > /dev/null
  local bytes
  bytes=$(du -sb "$data/node" | cut -f1)
  kill -9 "$server_pid"
  wait "$server_pid" 2>/dev/null || true
  sleep 0.5
  begin=$(date +%s%N)
  "$bin/jobbie" server --data-dir "$data/node" --listen "127.0.0.1:$port" 2>> "$data/log" &
  server_pid=$!
  until "$bin/jobbie" fetch restart --addr "127.0.0.1:$port" > /dev/null 2>&1; do
    kill -0 "$server_pid" || { cat "$data/log" >&2; return 1; }
    sleep 0.01
  done
  end=$(date +%s%N)
  echo "{\"peer\": \"jobbie\", \"row\": \"restart to first fetch\", \"jobs\": $jobs, \"ms\": $(((end - begin) / 1000000)), \"data_dir_bytes\": $bytes}" |
    tee -a "$out/raw.jsonl"
}

# Processor time of a server that nobody talks to, over five seconds.
idle() {
  start_server
  sleep 1
  local before after
  before=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  sleep 5
  after=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  echo "{\"peer\": \"jobbie\", \"row\": \"idle\", \"cpu_percent\": $(python3 -c "print(($after - $before) / 5)")}" | tee -a "$out/raw.jsonl"
}

git rev-parse HEAD > "$out/commit.txt"
python3 - "$out/machine.json" <<'PY'
import json, os, platform, subprocess, sys
cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
json.dump({"cpu": cpu, "cores": os.cpu_count(), "memory_mib": memory, "kernel": platform.release(), "rustc": rustc},
          open(sys.argv[1], "w"), indent=1)
PY
for _ in $(seq "$rounds"); do
  peers disk
  all_rows
  peers redis
  stop_server
done

python3 - "$out" <<'PY' | tee "$out/summary.md"
import collections, json, statistics, sys
rows = collections.defaultdict(lambda: collections.defaultdict(list))
order = []
for line in open(sys.argv[1] + "/raw.jsonl"):
    found = json.loads(line)
    key = (found["peer"], found["row"])
    if found["row"] not in order:
        order.append(found["row"])
    for name, value in found.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rows[key][name].append(value)
def median(peer, row, name):
    values = rows[(peer, row)].get(name)
    return statistics.median(values) if values else None
def show(value):
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
print("| row | jobbie jobs/s | Redis jobs/s | ratio | p50 µs | p99 µs | Redis p50 | Redis p99 | start p50 | start p99 | server s / 100k |")
print("|---|---|---|---|---|---|---|---|---|---|---|")
for row in order:
    if row.startswith("durable") or row in ("idle", "restart to first fetch"):
        continue
    mine, theirs = median("jobbie", row, "jobs_per_s"), median("redis", row, "jobs_per_s")
    ratio = mine / theirs if mine and theirs else None
    cells = [mine, theirs, ratio] + [median("jobbie", row, n) for n in ("p50_us", "p99_us")]
    cells += [median("redis", row, n) for n in ("p50_us", "p99_us")]
    cells += [median("jobbie", row, n) for n in ("start_p50_us", "start_p99_us", "server_cpu_s_per_100k")]
    print(f"| {row} | " + " | ".join(map(show, cells)) + " |")
print()
for peer, row, names in (("disk", "durable write 4 KiB", ("ops_per_s", "p50_us", "p99_us")),
                         ("jobbie", "backlog", ("rss_bytes_per_job", "drain_jobs_per_s")),
                         ("jobbie", "restart to first fetch", ("jobs", "ms", "data_dir_bytes")),
                         ("jobbie", "idle", ("cpu_percent",))):
    print(f"- {row}: " + ", ".join(f"{n} {show(median(peer, row, n))}" for n in names))
PY
