#!/usr/bin/env bash
# Runs the models: every interleaving, within a bound, of small protocols of ring, mailbox and
# workers. Arguments narrow the choice: `ci/loom.sh ring::models`.
# LOOM_MAX_PREEMPTIONS (default 2) widens the search: 3 takes minutes to hours.
# The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tally.sh

# Apart from the ordinary builds, which the cfg would otherwise replace each time.
export CARGO_TARGET_DIR=target/loom
export RUSTFLAGS="--cfg ringpost_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"

if cargo nextest --version >/dev/null 2>&1; then
  # One process a model, and a model that hangs is ended and named.
  run=(cargo nextest run --cargo-profile loom --no-fail-fast --hide-progress-bar)
else
  run=(cargo test --profile loom --no-fail-fast)
fi
tally "${run[@]}" --locked -p ringpost --lib -- "${@:-models::}"

total
