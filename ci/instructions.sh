#!/usr/bin/env bash
# Counts the instructions of fixed pieces of work (benches/gate) under callgrind and compares them
# with benches/gate/counts.txt: other than time, they hardly move from run to run. A scenario fails
# if it takes more than 2 % and 3 instructions more than stored (4 % in tables of 1,000 patterns,
# whose hashes have another seed in each process), or is not stored.
#
#   ci/instructions.sh            checks all
#   ci/instructions.sh publish/   checks those whose name begins so
#   ci/instructions.sh --update   stores what is counted now; say why in the commit
#
# Another compiler makes other instructions: then nothing fails, except in CI (CI=true), where the
# compiler is the stored one or the counts have to be updated. Installs valgrind if it is missing.
# The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ci/need.sh valgrind
counts=benches/gate/counts.txt
compiler=$(rustc --version)
# These make instructions too, though few: named when something fails.
tools="$(valgrind --version), $(getconf GNU_LIBC_VERSION), $(uname -m)"

gate=$(cargo bench --locked --package ringpost --features bincode --bench gate --no-run \
  --message-format json | grep -o '"executable":"[^"]*/gate-[^"]*"' | tail -1 | cut -d '"' -f 4)
if [[ -z $gate ]]; then
  echo "error: cargo did not say where it put the bench \`gate\`" >&2
  exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# count NAME: prints the name and its instructions an operation.
count() {
  local log operations
  log=$2/${1//\//-}
  if ! operations=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
    --toggle-collect='gate::counted*' "$3" "$1"); then
    cat "$log" >&2
    return 1
  fi
  awk -v name="$1" -v operations="$operations" \
    '/Collected : / { printf "%-20s %10.1f\n", name, $NF / operations }' "$log"
}
export -f count

filter=${1:-}
[[ $filter != --update ]] || filter=
# In the order of the list, whichever is done first. Each is alone in its process.
"$gate" | grep "^$filter" |
  xargs -P "$(nproc)" -I NAME bash -c 'count NAME "$0" "$1" >"$0/$(tr / - <<<NAME).count"' "$dir" "$gate"
now=$("$gate" | grep "^$filter" | while read -r name; do cat "$dir/${name//\//-}.count"; done)

if [[ ${1:-} == --update ]]; then
  if [[ -e $counts ]]; then was=$(grep -v '^#' "$counts"); else was=; fi
  {
    echo "# Instructions an operation; written and checked by ci/instructions.sh."
    echo "# $compiler"
    echo "# $tools"
    echo "$now"
  } >"$counts"
  diff <(echo "$was") <(echo "$now") || true
  echo "$counts is written: say in the commit what changed the counts, and why that is right"
  exit 0
fi

judgement=$(awk -v filter="$filter" '
  /^#/ { next }
  NR == FNR { if (index($1, filter) == 1) stored[$1] = $2; next }
  !($1 in stored) { printf "%-20s %10.1f           not stored    FAILED\n", $1, $2; failed++; next }
  {
    was = stored[$1]
    delete stored[$1]
    slack = was * ($1 ~ /\/1000$/ ? 0.04 : 0.02) + 3
    verdict = $2 > was + slack ? "more: FAILED" : $2 < was - slack ? "less: store it" : "ok"
    if (verdict ~ /FAILED/) failed++; else passed++
    printf "%-20s %10.1f, stored %10.1f  %+6.1f %%  %s\n", $1, $2, was, was ? ($2 / was - 1) * 100 : 0, verdict
  }
  END {
    for (name in stored) { printf "%-20s is stored but not counted any more  FAILED\n", name; failed++ }
    printf "%d passed, %d failed\n", passed, failed
  }' "$counts" <(echo "$now"))
echo "$judgement" | sed '$d'

if ! grep -qxF "# $compiler" "$counts"; then
  echo "the counts were stored with $(sed -n 's/^# rustc/rustc/p' "$counts"); this is $compiler"
  if [[ ${CI:-} == true ]]; then
    echo "error: use that compiler, or store new counts by ci/instructions.sh --update" >&2
    echo "0 passed, 1 failed"
    exit 1
  fi
  echo "so nothing above is judged"
  exit 0
fi
if ! grep -qxF "# $tools" "$counts"; then
  echo "stored with other tools: $(sed -n '3s/^# //p' "$counts"); these are $tools"
fi
if [[ $judgement != *", 0 failed" ]]; then
  echo "error: more instructions than stored; if that is right, store them by" \
    "ci/instructions.sh --update and say why in the commit"
fi
echo "${judgement##*$'\n'}"
[[ $judgement == *", 0 failed" ]]
