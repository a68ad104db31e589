#!/usr/bin/env bash
# Checks each package of the workspace without features, then with each of them alone, so that no
# feature leans on another by accident. Clippy, because it can deny warnings in our code alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The names in the [features] table of a manifest.
features() {
  awk '/^\[/ { on = $0 == "[features]" } on && /^[a-z0-9_-]+ *=/ { print $1 }' "$1"
}

for manifest in Cargo.toml cli/Cargo.toml; do
  for feature in "" $(features "$manifest"); do
    echo "$manifest: ${feature:-no features}"
    cargo clippy --locked --quiet --manifest-path "$manifest" --package "$(
      awk -F '"' '/^name = / { print $2; exit }' "$manifest"
    )" --no-default-features --features "$feature" -- -D warnings
  done
done
