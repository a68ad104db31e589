#!/usr/bin/env bash
# Windows of time in a journal of about 1 GiB made from real events: what `query`, `tail` and
# `replay` take where no index may be kept (a scan), while one is made, and once it is there.
#
#   benches/window.sh EVENTS.jsonl       SIZE_MIB=1024 RUNS=5 and TMPDIR may be set; OLD=RINGPOST
#                                        has another build do the same scans
#
# The events' own times are taken off, so that the window is one of when they were recorded. The
# journal lies in the page cache. The directory is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
events=$(realpath "${1:?usage: benches/window.sh EVENTS.jsonl}")
runs=${RUNS:-5}
ci/need.sh jq=jq

cargo build --release --quiet
ringpost=$PWD/target/release/ringpost
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
jq -c "del(.time)" "$events" >"$place/events"
size=$(stat -c %s "$place/events")
copies=$(((${SIZE_MIB:-1024} * 1024 * 1024 + size - 1) / size))
for ((i = 0; i < copies; i++)); do cat "$place/events"; done |
  "$ringpost" pub --journal "$place/j" --fsync never --json >"$place/summary" 2>"$place/told" || true
last=$("$ringpost" tail "$place/j" -n 1 --no-follow | jq -r .sequence | sed 's/^0*//')
recorded() { "$ringpost" tail "$place/j" --from "seq:$1" --no-follow 2>/dev/null | head -1 | jq -r .recordedtime || true; }

# A window in the middle with one event in a thousand, and one with one in ten.
since=$(recorded $((last / 2)))
until=$(recorded $((last / 2 + last / 1000)))
wide=$(recorded $((last / 2 + last / 10)))
late=$(recorded $((last - last / 1000)))
rm -f "$place"/j/*.index
cat "$place"/j/*.jsonl >/dev/null
printf '%s events in %s segments, %s bytes; %s cores; the best of %s\n' "$last" \
  "$(ls "$place"/j/*.jsonl | wc -l)" "$(cat "$place"/j/*.jsonl | wc -c)" "$(nproc)" "$runs"

# best NAME COMMAND...: the shortest time in milliseconds, and how much it printed.
best() {
  local name=$1 shortest= out=
  shift
  for ((i = 0; i < ${once:-$runs}; i++)); do
    local from=$(date +%s%N)
    # That nothing is found is an answer too.
    out=$({ "$@" 2>/dev/null || true; } | tail -1 | cut -c1-40)
    local took=$(($(date +%s%N) - from))
    [[ -z $shortest || $took -lt $shortest ]] && shortest=$took
  done
  awk -v name="$name" -v n="$shortest" -v out="$out" 'BEGIN { printf "%-44s %9.1f ms   %s\n", name, n / 1e6, out }'
}
count() { best "$1: query, a thousandth" "$2" query "$place/j" --since "$since" --until "$until" --count; }
tenth() { best "$1: query, a tenth" "$2" query "$place/j" --since "$since" --until "$wide" --count; }
tailed() { best "$1: tail --from, the last thousandth" sh -c "'$2' tail '$place/j' --from 'time:$late' --no-follow | wc -l"; }
replayed() { best "$1: replay, a thousandth" "$2" replay "$place/j" --since "$since" --until "$until" --speed max --json; }
typed() { best "$1: query, a type within it" "$2" query "$place/j" --type org.zeek.weird --since "$since" --until "$until" --count; }
all() { count "$@"; tenth "$@"; typed "$@"; tailed "$@"; replayed "$@"; }

# A directory in its place keeps an index from being made.
for segment in "$place"/j/*.jsonl; do mkdir "${segment%.jsonl}.index"; done
[[ -z ${OLD:-} ]] || all "old build" "$OLD"
all "no index" "$ringpost"
rmdir "$place"/j/*.index
once=1 count "index is made" "$ringpost"
all "index" "$ringpost"
from=$((last / 2))
best "index: seq:N and one event" sh -c "'$ringpost' tail '$place/j' --from 'seq:$from' --no-follow | head -1"
printf 'indexes: %s bytes\n' "$(cat "$place"/j/*.index | wc -c)"
