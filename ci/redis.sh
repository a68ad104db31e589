#!/usr/bin/env bash
# Kills a Redis server under load, again and again: redis.sh [KILLS], 100 unless said otherwise,
# for each way to set its syncs. Every event must be stored once, or be told to be lost.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ci/need.sh cc=gcc redis-server

export RINGPOST_KILLS=${1:-100} RINGPOST_REQUIRE_SERVERS=1
echo "kills: $RINGPOST_KILLS for each setting"
cargo test --locked --release -p ringpost --features redis --test redis -- --test-threads 1 crashes
