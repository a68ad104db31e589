#!/usr/bin/env bash
# Clippy over every target: with all features, and as a user gets it by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
cargo clippy --locked --workspace --all-targets -- -D warnings
