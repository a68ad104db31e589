#!/usr/bin/env bash
# The one test command: unit, integration and documentation tests of the whole workspace with
# every feature, then the heavy ones (those with `stress` in their path) optimised.
# Installs what is missing. The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tally.sh

if ! command -v cargo >/dev/null; then
  echo "error: cargo was not found; install Rust 1.89 or newer (https://rustup.rs)" >&2
  exit 1
fi
ci/need.sh cc=gcc openssl redis-server

if [[ ${CI:-} == true ]]; then
  # There, everything that tests may need is present: a skipped test would be a hidden hole.
  export RINGPOST_REQUIRE_SHARED=1 RINGPOST_REQUIRE_SERVERS=1
  ci/need.sh strace mkfs.ext4=e2fsprogs mount
fi

if cargo nextest --version >/dev/null 2>&1; then
  run=(cargo nextest run --locked --no-fail-fast --status-level slow --hide-progress-bar)
else
  run=(cargo test --locked --no-fail-fast --quiet)
fi

tally "${run[@]}" --workspace --all-features --lib --bins --tests --examples -- --skip stress
# Neither runner above knows documentation tests.
tally cargo test --locked --workspace --all-features --no-fail-fast --doc

heavy=(--lib)
for target in stress journal; do
  [[ -e tests/$target.rs || -e tests/$target/main.rs ]] && heavy+=(--test "$target")
done
tally "${run[@]}" --release -p ringpost --all-features "${heavy[@]}" -- stress

total
