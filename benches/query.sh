#!/usr/bin/env bash
# `ringpost query` beside ripgrep, jq and DuckDB over the same file: about 1 GiB made from real
# events, in a directory that is removed at the end.
#
#   benches/query.sh EVENTS.jsonl        RUNS=5 SIZE_MIB=1024 and TMPDIR may be set
#
# Every figure is the best of RUNS, with the file in the page cache. jq runs once: it is slow.
# DuckDB is taken from PyPI into the same directory; without it its row is left out, loudly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
events=$(realpath "${1:?usage: benches/query.sh EVENTS.jsonl}")
runs=${RUNS:-5}
ci/need.sh rg=ripgrep jq=jq python3=python3

cargo build --release --quiet
ringpost=$PWD/target/release/ringpost
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
file=$place/events.jsonl
size=$(stat -c %s "$events")
copies=$(((${SIZE_MIB:-1024} * 1024 * 1024 + size - 1) / size))
for ((i = 0; i < copies; i++)); do cat "$events"; done >"$file"

duckdb=
if python3 -m venv "$place/venv" && "$place/venv/bin/pip" install --quiet duckdb; then
  duckdb=$place/venv/bin/python
else
  echo "DuckDB could not be installed: its row is missing" >&2
fi

# One type in about a thousand events, and the share of events with a price.
type=org.zeek.weird
limit=1000000

# best NAME COMMAND...: the shortest time in seconds, and what it printed.
declare -A seconds
best() {
  local name=$1 shortest= out=
  shift
  for ((i = 0; i < ${once:-$runs}; i++)); do
    local from to
    from=$(date +%s%N)
    out=$("$@")
    to=$(date +%s%N)
    local took=$((to - from))
    [[ -z $shortest || $took -lt $shortest ]] && shortest=$took
  done
  seconds[$name]=$(awk -v n="$shortest" 'BEGIN { printf "%.3f", n / 1e9 }')
  printf '%-34s %9s s   %s\n' "$name" "${seconds[$name]}" "$out"
}
ratio() {
  awk -v a="${seconds[$1]}" -v b="${seconds[$2]}" -v n="$2 / $1" 'BEGIN { printf "%-52s %7.2f\n", n, b / a }'
}

printf '%s: %d bytes, %d cores, best of %d\n\n' "$(basename "$events") x $copies" \
  "$(stat -c %s "$file")" "$(nproc)" "$runs"
cat "$file" >/dev/null

best "ringpost type" "$ringpost" query "$file" --type "$type" --count
best "rg type" rg -c -F "$type" "$file"
once=1 best "jq type" sh -c "jq -c 'select(.type == \"$type\")' '$file' | wc -l"
best "ringpost where" "$ringpost" query "$file" --where "data.price >= $limit" --count
once=1 best "jq where" sh -c "jq -c 'select((.data | type) == \"object\" and (.data.price | type) == \"number\" and .data.price >= $limit) | 1' '$file' | wc -l"
if [[ -n $duckdb ]]; then
  cat >"$place/where.py" <<'PYTHON'
import sys

import duckdb

path, limit = sys.argv[1:]
count = duckdb.sql(
    f"SELECT count(*) FROM read_json('{path}', format = 'newline_delimited', "
    "columns = {data: 'STRUCT(price DOUBLE)'}, ignore_errors = true) "
    f"WHERE data.price >= {limit}"
)
print(count.fetchall()[0][0])
PYTHON
  best "duckdb where" "$duckdb" "$place/where.py" "$file" "$limit"
fi
# Every line has to be taken apart: nothing can be dropped by its text.
best "ringpost where, no prefilter" "$ringpost" query "$file" --where "source != x" --count
best "ringpost all" "$ringpost" query "$file" --count

printf '\nhow many times as long the other takes:\n'
ratio "ringpost type" "rg type"
ratio "ringpost type" "jq type"
ratio "ringpost where" "jq where"
[[ -z $duckdb ]] || ratio "ringpost where" "duckdb where"
[[ -z $duckdb ]] || ratio "ringpost where, no prefilter" "duckdb where"

printf '\nanonymous memory at most, printing every event:\n'
"$ringpost" query "$file" --where "source != x" >"$place/out" &
pid=$!
most=0
while [[ -e /proc/$pid/status ]]; do
  now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
  ((${now:-0} > most)) && most=$now
  sleep 0.01
done
wait "$pid"
printf '%d MiB\n' $((most / 1024))
