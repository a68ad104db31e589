#!/usr/bin/env bash
# Fails where rustfmt would change a line, the fuzz targets and the comparison with peers included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
# Packages of their own, whose binaries cargo fmt would have to find first.
find fuzz benches/compare -name target -prune -o -name '*.rs' -print0 | xargs -0 -r rustfmt --edition 2024 --check
