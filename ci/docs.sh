#!/usr/bin/env bash
# Builds the documentation, first as users see it, then with private items; a broken link fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTDOCFLAGS="-D warnings"

cargo doc --locked --workspace --all-features --no-deps
cargo doc --locked --workspace --all-features --no-deps --document-private-items
