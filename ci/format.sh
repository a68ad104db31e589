#!/usr/bin/env bash
# Fails where rustfmt would change a line, the fuzz targets included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
for target in fuzz/fuzz_targets/*.rs; do
  [[ -e $target ]] || continue
  rustfmt --edition 2024 --check "$target"
done
