#!/usr/bin/env bash
# Measures on this machine what jobbie is compared with: raw durable 4 KiB writes, and Redis flushing every write.
# One JSON object a line on stdout, so that run.sh can put each of our rows beside the peer of the same minutes.
#
#   benches/peers.sh [disk|redis|all] [count]
#
# count scales the work: 1 is a smoke test of a second, 100 (the default) a measurement.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
scale=${2:-100}
folder=$(mktemp -d "${PEERS_DIR:-$PWD}/.peers.XXXXXX")
redis_pid=
cleanup() {
  if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null && wait "$redis_pid" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT

disk() {
  python3 - "$folder/raw" $((scale * 50)) <<'PY'
import json, mmap, os, sys, time

path, count = sys.argv[1], int(sys.argv[2])
blocks, size = 4096, 4096
page = mmap.mmap(-1, 1 << 20)  # page-aligned, as O_DIRECT wants it
# Zeroed in advance: a file that is only allocated has to write its extents too.
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
for at in range(0, blocks * size, 1 << 20):
    os.pwrite(fd, page, at)
os.fsync(fd)
os.close(fd)
fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
block = memoryview(page)[:size]
block[:] = os.urandom(size)
took = []
begin = time.perf_counter_ns()
for i in range(count):
    t = time.perf_counter_ns()
    assert os.pwrite(fd, block, (i % blocks) * size) == size
    took.append(time.perf_counter_ns() - t)
seconds = (time.perf_counter_ns() - begin) / 1e9
took.sort()
at = lambda q: round(took[min(len(took) - 1, int(len(took) * q))] / 1000, 1)
print(json.dumps({"peer": "disk", "row": "durable write 4 KiB", "ops_per_s": round(count / seconds),
                  "p50_us": at(0.5), "p99_us": at(0.99), "max_us": round(took[-1] / 1000, 1), "count": count}))
PY
}

redis_start() {
  local config=$folder/redis.conf
  cat > "$config" <<CONF
port 0
unixsocket $folder/redis.sock
bind 127.0.0.1
port ${REDIS_PORT:-7399}
dir $folder
appendonly yes
appendfsync always
save ""
auto-aof-rewrite-percentage 0
daemonize no
CONF
  redis-server "$config" > "$folder/redis.log" 2>&1 &
  redis_pid=$!
  for _ in $(seq 100); do
    redis-cli -p "${REDIS_PORT:-7399}" ping > /dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$folder/redis.log" >&2
  echo "redis-server did not start" >&2
  return 1
}

# redis-benchmark drives the rows that are one command each.
lpush() { # row connections requests values
  local values jobs
  values=$(python3 -c "print(' '.join(['x' * 200] * $4))")
  jobs=$4
  # shellcheck disable=SC2086 # the values are one argument each on purpose
  redis-benchmark -p "${REDIS_PORT:-7399}" -c "$2" -n "$3" --csv lpush "q$2.$4" $values | python3 -c "
import csv, json, sys
csv.field_size_limit(1 << 30)  # the first column is the whole command
row = list(csv.DictReader(sys.stdin))[-1]
print(json.dumps({'peer': 'redis', 'row': '$1', 'jobs_per_s': round(float(row['rps']) * $jobs),
                  'p50_us': round(float(row['p50_latency_ms']) * 1000), 'p99_us': round(float(row['p99_latency_ms']) * 1000),
                  'max_us': round(float(row['max_latency_ms']) * 1000), 'count': $3 * $jobs}))"
  redis-cli -p "${REDIS_PORT:-7399}" del "q$2.$4" > /dev/null
}

# jobbie-bench-redis drives the rows of several steps with the very loop that drives jobbie.
bench() { # row arguments...
  local row=$1
  shift
  "${JOBBIE_BENCH_REDIS:-target/release/jobbie-bench-redis}" "$@" --addr "127.0.0.1:${REDIS_PORT:-7399}" --json |
    python3 -c "
import json, sys
found = json.loads(sys.stdin.readlines()[-1])
print(json.dumps({'peer': 'redis', 'row': '$row', **found}))"
}

redis() {
  redis_start
  lpush "enqueue 1x1" 1 $((scale * 200)) 1
  lpush "enqueue 50x1" 50 $((scale * 2000)) 1
  lpush "enqueue 200x1" 200 $((scale * 2000)) 1
  lpush "enqueue 10x100" 10 $((scale * 100)) 100
  lpush "enqueue 10x1000" 10 $((scale * 20)) 1000
  bench "lifecycle 50x1" lifecycle --connections 50 --batch 1 --jobs $((scale * 1500))
  bench "lifecycle 10x100" lifecycle --connections 10 --batch 100 --jobs $((scale * 5000))
  bench "steady 10+10x1" steady --connections 10 --batch 1 --jobs $((scale * 500))
  bench "steady 10+10x100" steady --connections 10 --batch 100 --jobs $((scale * 5000))
  bench "open loop 1000/s" steady --connections 4 --batch 1 --rate 1000 --jobs $((scale * 100))
}

case $what in
  disk) disk ;;
  redis) redis ;;
  all) disk && redis ;;
  *) echo "usage: benches/peers.sh [disk|redis|all] [count]" >&2; exit 2 ;;
esac
