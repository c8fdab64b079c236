#!/usr/bin/env bash
# Whole imports into each store: lines/s, MB/s, peak memory. The stores take turns, so that a
# machine whose speed drifts treats them alike; medians are printed.
#
#   benches/import.sh [LINES] [ROUNDS]      default: 1000000 lines, 3 rounds
#
# The PostgreSQL is a fresh one in a temporary directory, with its default configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000} rounds=${2:-3}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
work=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown postgres "$work"
fi
trap '"${as[@]}" "$bin/pg_ctl" -D "$work/pg" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
cargo build --release --quiet
"${as[@]}" "$bin/initdb" -D "$work/pg" -U bench --auth=trust >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$work/pg" -w -l "$work/log" \
  -o "-c listen_addresses='' -c unix_socket_directories=$work" start >/dev/null

benches/load "$lines" 4 2026-11-01 >"$work/access.log"
bytes=$(stat -c %s "$work/access.log")

# Runs an import and prints "seconds peak_kib".
import() {
  python3 - "$1" "$work/access.log" <<'PY'
import json, resource, subprocess, sys
run = ["target/release/log-ingestd", "import", "--json", "--retention", "off", sys.argv[2]]
out = subprocess.run(run + ["--database-url", sys.argv[1]], check=True, capture_output=True)
summary = json.loads(out.stdout)
assert summary["rows"] == summary["lines"] > 0, summary
print(summary["seconds"], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
}

for round in $(seq "$rounds"); do
  "${as[@]}" "$bin/createdb" -h "$work" -U bench "b$round"
  import "postgres://bench@/b$round?host=$work" >>"$work/postgres"
  "${as[@]}" "$bin/dropdb" -h "$work" -U bench "b$round"
  import "sqlite:$work/store/$round.sqlite3" >>"$work/sqlite"
  rm -rf "$work/store"
done
printf '%s lines, %s bytes, medians of %s rounds\n' "$lines" "$bytes" "$rounds"
for store in postgres sqlite; do
  sort -n "$work/$store" | awk -v n="$lines" -v b="$bytes" -v s="$store" '{ seconds[NR] = $1; if ($2 > m) m = $2 }
    END { t = seconds[int((NR + 1) / 2)]; printf "%-9s %8.0f lines/s %6.1f MB/s  peak %5.1f MiB\n", s, n / t, b / t / 1e6, m / 1024 }'
done
