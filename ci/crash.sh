#!/usr/bin/env bash
# Crash histories of the journal on a simulated disk: crash.sh [HISTORIES [SEED]].
# 100,000 from seed 1 unless said otherwise, as ci/test.sh runs them; 10,000,000 are a night's work.
# A failure names the seed that repeats it. The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tally.sh

export RINGPOST_HISTORIES="${1:-${RINGPOST_HISTORIES:-100000}}"
export RINGPOST_SEED="${2:-${RINGPOST_SEED:-1}}"
tally cargo test --locked --release -p ringpost --all-features --lib -- store::journal::tests::stress --nocapture

total
