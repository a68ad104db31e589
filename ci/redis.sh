#!/usr/bin/env bash
# A Redis server in trouble under load: redis.sh [NAME [TIMES]].
#
#   kill    it is killed 100 times, or as often as said, for each way to set its syncs. Every event must
#           be stored once, or be told to be lost.
#   power   it loses its power, with a file system of its own, 100 times or as often as said, for each
#           way to set its syncs; needs root and loop devices. The same, and nothing durable is lost.
#   silent  it stands still for 10 s, its way swallows everything for 60 s, and it is away for 60 s.
#           Memory is bounded, refusals are exact, and it is tried again with pauses.
#
# `kill` unless said otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/place.sh
. ci/tally.sh
ci/need.sh cc=gcc redis-server

case ${1:-kill} in
  kill | [0-9]*)
    tests=crashes
    if [[ ${1:-} == [0-9]* ]]; then set -- kill "$1"; fi
    export RINGPOST_KILLS=${2:-100}
    ;;
  power)
    tests=power
    ci/need.sh mkfs.ext4=e2fsprogs mount
    export RINGPOST_CUTS=${2:-100}
    ;;
  silent)
    tests=outage
    export RINGPOST_SILENT=10 RINGPOST_AWAY=60
    ;;
  *)
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
export RINGPOST_REQUIRE_SERVERS=1
tally cargo test --locked --release -p ringpost --features redis --test redis -- "$tests::" --nocapture --test-threads=1

total
