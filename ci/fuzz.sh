#!/usr/bin/env bash
# Replays the kept corpus of every fuzz target, then fuzzes each for a short while.
# FUZZ_SECONDS (default 20) is the time a target; arguments choose targets.
# Installs cargo-fuzz and g++ if they are missing. The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tally.sh

ci/need.sh g++
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz"
  cargo install cargo-fuzz --locked --quiet
fi
# cargo-fuzz passes flags that a stable compiler otherwise refuses.
export RUSTC_BOOTSTRAP=1
# A payload of one event is at most 1 MiB; no decoder may need more than this for any input.
limits=(-rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10)

# Prints what was found, so that a failure can be repeated from the log alone.
findings() {
  local found
  for found in fuzz/artifacts/*/*; do
    [[ -e $found ]] && echo "$found, in base64:" && base64 "$found" | head -c 8192
  done
  return 0
}

targets=("$@")
if ((!$#)); then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
  kept=fuzz/corpus/$target
  # New inputs go beside the kept ones, not among them.
  fresh=fuzz/target/corpus/$target
  mkdir -p "$fresh"
  # A search's threads may outlive an input for a moment: what they are about to free is no leak.
  leaks=()
  [[ $target == query_journal ]] && leaks=(-detect_leaks=0)
  words=()
  [[ -e fuzz/words/$target ]] && words=("-dict=fuzz/words/$target")
  check cargo fuzz run "$target" "$kept" -- -runs=0 "${limits[@]}"
  check cargo fuzz run "$target" "$fresh" "$kept" -- \
    -max_total_time="${FUZZ_SECONDS:-20}" -print_final_stats=1 -verbosity=0 -max_len=65536 "${words[@]}" "${leaks[@]}" "${limits[@]}"
done

((failed == 0)) || findings
total
