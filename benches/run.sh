#!/usr/bin/env bash
# Every row of docs/performance.md, each beside its peers, in rounds, into benches/runs/<date>-<machine>/.
#
#   benches/run.sh [rounds] [scale] [rows]
#
# rounds defaults to 3; scale 100 is a measurement, 1 a smoke test; rows is a regular expression that names of rows match.
# The machine should be idle otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-3}
scale=${2:-100}
wanted=${3:-}
bin=${JOBBIE_BIN:-${CARGO_TARGET_DIR:-target}/release}
port=${JOBBIE_PORT:-7480}
shards=${JOBBIE_SHARDS:-1}
out=${JOBBIE_RUNS:-benches/runs}/$(date +%F-%H%M%S)-$(uname -n)
mkdir -p "$out"
data=$(mktemp -d "${JOBBIE_DISK:-$PWD}/.bench.XXXXXX")
server_pid=
round=1
export JOBBIE_BIN=$bin PEERS_DIR=$data

stop_server() {
  if [ -n "$server_pid" ]; then kill "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null || true; fi
  server_pid=
}
trap 'stop_server; rm -rf "$data"' EXIT

# On the data directory that there is.
go_on_server() {
  stop_server
  "$bin/jobbie" server --data-dir "$data/node" --listen "127.0.0.1:$port" --shards "$shards" "$@" 2>> "$data/log" &
  server_pid=$!
  for _ in $(seq 300); do
    "$bin/jobbie" status --addr "127.0.0.1:$port" > /dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$data/log" >&2
  return 1
}

# A new data directory for each row: no row pays for another's log.
start_server() {
  stop_server
  rm -rf "$data/node" "$data/log"
  go_on_server "$@"
}

note() { echo "$*" >> "$out/commands.txt"; }

# Keeps lines of JSON, with the round they are of.
keep() { sed "s/^{/{\"round\": $round, /" | tee -a "$out/raw.jsonl"; }

is_wanted() { [ -z "$wanted" ] || [[ $1 =~ $wanted ]]; }

load() { # arguments of jobbie-bench
  note "jobbie-bench $*"
  "$bin/jobbie-bench" "$@" --addr "127.0.0.1:$port" --pid "$server_pid" --json
}

row() { # name, arguments of jobbie-bench
  local name=$1
  shift
  is_wanted "$name" || return 0
  start_server
  load "$@" > "$data/found"
  sed "s|^{|{\"peer\":\"jobbie\",\"row\":\"$name\",|" "$data/found" | keep
  stop_server
}

# A peer that is not installed is left out, and said to be.
peer() { # which, name
  is_wanted "$2" || return 0
  local needs
  case $1 in redis) needs=redis-server ;; beanstalkd) needs=beanstalkd ;; *) needs=python3 ;; esac
  if ! command -v "$needs" > /dev/null; then
    note "$needs is not installed: no peer for '$2'"
    return 0
  fi
  note "benches/peers.sh $1 $scale '$2'"
  benches/peers.sh "$1" "$scale" "$2" | keep
}

# The same row of Redis follows at once: what is compared is of the same minutes.
paired() { # name, arguments of jobbie-bench
  row "$@"
  peer redis "$1"
}

# Rows whose names go on after that of another are compared with it, and stand next to it.
paired_rows() {
  peer disk "enqueue 1x1"
  paired "enqueue 1x1" enqueue --connections 1 --batch 1 --jobs $((scale * 200))
  peer beanstalkd "enqueue 1x1"
  paired "enqueue 50x1" enqueue --connections 50 --batch 1 --jobs $((scale * 2000))
  paired "enqueue 200x1" enqueue --connections 200 --batch 1 --jobs $((scale * 2000))
  row "enqueue 10x100 unique keys" enqueue --connections 10 --batch 100 --jobs $((scale * 10000)) --unique
  paired "enqueue 10x100" enqueue --connections 10 --batch 100 --jobs $((scale * 10000))
  paired "enqueue 10x1000" enqueue --connections 10 --batch 1000 --jobs $((scale * 20000))
  paired "lifecycle 50x1" lifecycle --connections 50 --batch 1 --jobs $((scale * 1500))
  row "lifecycle 10x100 limits" lifecycle --connections 10 --batch 100 --jobs $((scale * 10000)) --limit-keys 10000 --limits
  row "lifecycle 10x100" lifecycle --connections 10 --batch 100 --jobs $((scale * 10000))
  row "lifecycle 10x100 fair" lifecycle --connections 10 --batch 100 --jobs $((scale * 10000)) --limit-keys 10000 --fair
  row "lifecycle 10x100 fair zipf 200k" lifecycle --connections 10 --batch 100 --jobs $((scale * 2000)) --limit-keys 10000 --zipf --fair
  peer redis "lifecycle 10x100"
  paired "steady 10+10x1" steady --connections 10 --batch 1 --jobs $((scale * 800))
  row "steady 10+10x100 one batch" steady --connections 10 --batch 100 --jobs $((scale * 1000)) --callback
  paired "steady 10+10x100" steady --connections 10 --batch 100 --jobs $((scale * 8000))
  paired "open loop 1000/s" steady --connections 4 --batch 1 --rate 1000 --jobs $((scale * 100))
  peer beanstalkd "open loop 1000/s"
  peer disk "parked"
  paired "parked" parked --connections 1 --batch 1 --jobs $((scale * 10))
  peer beanstalkd "parked"
}

own_rows() {
  row "backlog 1M" backlog --connections 10 --batch 1000 --jobs $((scale * 10000))
  row "backlog 1M 50x1" backlog --connections 50 --batch 1 --jobs $((scale * 10000))
  row "backlog 1M every option" backlog --connections 10 --batch 100 --jobs $((scale * 10000)) --every-option
  row "backlog 1M every option 50x1" backlog --connections 50 --batch 1 --jobs $((scale * 10000)) --every-option
  row "backlog 10M" backlog --connections 10 --batch 1000 --jobs $((scale * 100000))
  row "due 1M" due --connections 10 --batch 1000 --jobs $((scale * 10000))
  row "due 200k shuffled" due --connections 10 --batch 1000 --jobs $((scale * 2000)) --shuffle
  log_bytes "log bytes 10x100" 10
  log_bytes "log bytes 1x100" 1
  snapshot "snapshot 1M" --connections 50 --batch 1
  snapshot "snapshot 1M every option" --connections 10 --batch 100 --every-option
  bulk_cancel
  restart
  idle
}

# Bytes of log records for each enqueued job at batch 100.
log_bytes() { # name, connections
  is_wanted "$1" || return 0
  start_server
  local jobs=$((scale * 5000)) device
  load enqueue --connections "$2" --batch 100 --jobs "$jobs" --keep > "$data/found"
  device=$(awk '/^write_bytes/ {print $2}' "/proc/$server_pid/io")
  stop_server
  python3 benches/log_bytes.py "$data/node" "$1" "$jobs" 200 "$device" | keep
}

# Latency of enqueues at 2,000/s while the state of a million waiting jobs is written, and before that. The log of the load
# is what makes snapshots due, as often as the server allows.
snapshot() { # name, arguments that fill
  local name=$1 paced
  shift
  is_wanted "$name" || return 0
  paced=(enqueue --connections 10 --batch 1 --rate 2000 --jobs $((scale * 400 + 4000)) --keep)
  start_server --snapshot-log-bytes $((1 << 40))
  load enqueue "$@" --jobs $((scale * 10000)) --keep > "$data/filled"
  sleep 2
  note "jobbie-bench ${paced[*]}, without snapshots and with one for each MiB of log"
  paced=("$bin/jobbie-bench" "${paced[@]}" --addr "127.0.0.1:$port" --json)
  python3 benches/snapshot.py "$data/node" "$name" - -- "${paced[@]}" > "$data/without"
  go_on_server --snapshot-log-bytes $((1 << 20))
  sleep 2
  python3 benches/snapshot.py "$data/node" "$name" "$data/without" -- "${paced[@]}" | keep
  stop_server
}

# A million waiting jobs of one queue cancelled by one command, until it says that they are.
bulk_cancel() {
  is_wanted "bulk cancel" || return 0
  start_server
  local jobs=$((scale * 10000)) begin end before after
  load enqueue --connections 10 --batch 1000 --jobs "$jobs" --queues 1 --keep > "$data/filled"
  before=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  begin=$(date +%s%N)
  note "jobbie bulk cancel --state pending"
  "$bin/jobbie" bulk cancel --state pending --addr "127.0.0.1:$port" --output jsonl > "$data/found"
  end=$(date +%s%N)
  after=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  python3 - "$data/found" "$jobs" $(((end - begin) / 1000000)) $((after - before)) <<'PY' | keep
import json, sys
found, jobs, ms, ticks = sys.argv[1], *map(int, sys.argv[2:])
applied = sum(json.loads(line)["affected"] for line in open(found))
assert applied == jobs, f"{applied} of {jobs} jobs were cancelled"
print(json.dumps({"peer": "jobbie", "row": "bulk cancel", "jobs": jobs, "ms": ms, "jobs_per_s": jobs * 1000 // max(ms, 1),
                  "server_cpu_s_per_100k": round(ticks / 100 / jobs * 1e5, 3)}))
PY
  stop_server
}

# Restart with a million waiting jobs, to the first fetched one.
restart() {
  is_wanted "restart to first fetch" || return 0
  start_server
  local jobs=$((scale * 10000)) begin end bytes snapshots
  load enqueue --connections 10 --batch 1000 --jobs "$jobs" --keep > "$data/filled"
  "$bin/jobbie" enqueue restart x --addr "127.0.0.1:$port" > /dev/null
  bytes=$(du -sb "$data/node" | cut -f1)
  snapshots=$(find "$data/node" -name '*.snap' | wc -l)
  kill -9 "$server_pid"
  wait "$server_pid" 2>/dev/null || true
  sleep 0.5
  begin=$(date +%s%N)
  "$bin/jobbie" server --data-dir "$data/node" --listen "127.0.0.1:$port" --shards "$shards" 2>> "$data/log" &
  server_pid=$!
  until "$bin/jobbie" fetch restart --addr "127.0.0.1:$port" > "$data/fetched" 2> /dev/null && [ -s "$data/fetched" ]; do
    kill -0 "$server_pid" || { cat "$data/log" >&2; return 1; }
    sleep 0.01
  done
  end=$(date +%s%N)
  echo "{\"peer\": \"jobbie\", \"row\": \"restart to first fetch\", \"jobs\": $jobs, \"ms\": $(((end - begin) / 1000000))," \
    "\"data_dir_bytes\": $bytes, \"snapshots\": $snapshots}" | keep
  stop_server
}

# Processor time of a server that nobody talks to, over ten seconds, in ticks of a hundredth.
idle() {
  is_wanted "idle" || return 0
  start_server
  sleep 2
  local before after
  before=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  sleep 10
  after=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  echo "{\"peer\": \"jobbie\", \"row\": \"idle\", \"cpu_percent\": $(((after - before) / 10)).$(((after - before) % 10))}" | keep
  stop_server
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
for round in $(seq "$rounds"); do
  paired_rows
  own_rows
done
python3 benches/summary.py "$out" | tee "$out/summary.md"
