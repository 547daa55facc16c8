#!/usr/bin/env bash
# Measures on this machine what jobbie is compared with: raw durable 4 KiB writes, Redis flushing every write, and beanstalkd
# doing so. One JSON object a line on stdout, so that run.sh can put each of our rows beside the peer of the same minutes.
#
#   benches/peers.sh [disk|redis|beanstalkd|all] [count] [row]
#
# count scales the work: 1 is a smoke test of a second, 100 (the default) a measurement. row names one row; without it, all.
# Of the disk it only says what is measured next.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
scale=${2:-100}
only=${3:-}
bin=${JOBBIE_BIN:-${CARGO_TARGET_DIR:-target}/release}
folder=$(mktemp -d "${PEERS_DIR:-$PWD}/.peers.XXXXXX")
port=
peer_pid=
stop_peer() {
  if [ -n "$peer_pid" ]; then kill "$peer_pid" 2>/dev/null && wait "$peer_pid" 2>/dev/null || true; fi
  peer_pid=
}
trap 'stop_peer; rm -rf "$folder"' EXIT

disk() { python3 benches/disk.py "$folder/raw" $((scale * 50)) ${only:+"$only"}; }

await_peer() { # log
  for _ in $(seq 100); do
    (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && return
    sleep 0.1
  done
  cat "$1" >&2
  echo "no answer on port $port" >&2
  return 1
}

redis_start() {
  port=${REDIS_PORT:-7399}
  cat > "$folder/redis.conf" <<CONF
port $port
bind 127.0.0.1
dir $folder
appendonly yes
appendfsync always
save ""
auto-aof-rewrite-percentage 0
daemonize no
CONF
  redis-server "$folder/redis.conf" > "$folder/redis.log" 2>&1 &
  peer_pid=$!
  await_peer "$folder/redis.log"
}

beanstalkd_start() {
  port=${BEANSTALKD_PORT:-7398}
  mkdir "$folder/binlog"
  beanstalkd -l 127.0.0.1 -p "$port" -b "$folder/binlog" -f0 > "$folder/beanstalkd.log" 2>&1 &
  peer_pid=$!
  await_peer "$folder/beanstalkd.log"
}

is_wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

# Hundredths of a second of processor that the peer has used.
peer_ticks() { awk '{print $14 + $15}' "/proc/$peer_pid/stat"; }

# redis-benchmark drives the rows that are one command each.
lpush() { # row connections requests values
  is_wanted "$1" || return 0
  local values before jobs=$4
  values=$(python3 -c "print(' '.join(['x' * 200] * $4))")
  before=$(peer_ticks)
  # shellcheck disable=SC2086 # the values are one argument each on purpose
  redis-benchmark -p "$port" -c "$2" -n "$3" --csv lpush "q$2.$4" $values > "$folder/lpush.csv"
  python3 - "$folder/lpush.csv" <<PY
import csv, json, sys
csv.field_size_limit(1 << 30)  # the first column is the whole command
row = list(csv.DictReader(open(sys.argv[1])))[-1]
us = lambda name: round(float(row[name]) * 1000)
print(json.dumps({'peer': 'redis', 'row': '$1', 'jobs_per_s': round(float(row['rps']) * $jobs),
                  'p50_us': us('p50_latency_ms'), 'p99_us': us('p99_latency_ms'), 'max_us': us('max_latency_ms'),
                  'server_cpu_s_per_100k': round(($(peer_ticks) - $before) / 100 * 100000 / ($3 * $jobs), 3),
                  'count': $3 * $jobs}))
PY
  redis-cli -p "$port" del "q$2.$4" > /dev/null
}

# jobbie-bench-redis and jobbie-bench-beanstalkd drive the others with the very loop that drives jobbie.
bench() { # peer row arguments...
  local peer=$1 row=$2
  shift 2
  is_wanted "$row" || return 0
  "$bin/jobbie-bench-$peer" "$@" --addr "127.0.0.1:$port" --pid "$peer_pid" --json > "$folder/bench.json"
  sed "s|^{|{\"peer\":\"$peer\",\"row\":\"$row\",|" "$folder/bench.json"
}

redis() {
  redis_start
  lpush "enqueue 1x1" 1 $((scale * 200)) 1
  lpush "enqueue 50x1" 50 $((scale * 2000)) 1
  lpush "enqueue 200x1" 200 $((scale * 2000)) 1
  lpush "enqueue 10x100" 10 $((scale * 100)) 100
  lpush "enqueue 10x1000" 10 $((scale * 20)) 1000
  bench redis "lifecycle 50x1" lifecycle --connections 50 --batch 1 --jobs $((scale * 1500))
  bench redis "lifecycle 10x100" lifecycle --connections 10 --batch 100 --jobs $((scale * 5000))
  bench redis "steady 10+10x1" steady --connections 10 --batch 1 --jobs $((scale * 500))
  bench redis "steady 10+10x100" steady --connections 10 --batch 100 --jobs $((scale * 5000))
  bench redis "open loop 1000/s" steady --connections 4 --batch 1 --rate 1000 --jobs $((scale * 100))
  bench redis "parked" parked --connections 1 --batch 1 --jobs $((scale * 10))
  stop_peer
}

beanstalkd_rows() {
  if ! command -v beanstalkd > /dev/null; then
    echo "beanstalkd is not installed: its rows are left out" >&2
    return
  fi
  beanstalkd_start
  bench beanstalkd "enqueue 1x1" enqueue --connections 1 --batch 1 --jobs $((scale * 200))
  bench beanstalkd "open loop 1000/s" steady --connections 4 --batch 1 --rate 1000 --jobs $((scale * 100))
  bench beanstalkd "parked" parked --connections 1 --batch 1 --jobs $((scale * 10))
  stop_peer
}

case $what in
  disk) disk ;;
  redis) redis ;;
  beanstalkd) beanstalkd_rows ;;
  all) disk && redis && beanstalkd_rows ;;
  *) echo "usage: benches/peers.sh [disk|redis|beanstalkd|all] [count] [row]" >&2; exit 2 ;;
esac
