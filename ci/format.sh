#!/usr/bin/env bash
# Fails where rustfmt would change a line, the fuzz targets included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
# A package of its own, whose binaries cargo fmt would have to find first.
find fuzz -name target -prune -o -name '*.rs' -print0 | xargs -0 -r rustfmt --edition 2024 --check
