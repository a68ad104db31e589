#!/usr/bin/env bash
# Runs every example: each asserts what it shows. The one that waits for a signal gets one.
# The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The maker of the sample reads a history on standard input; it has a script of its own.
skip=" make_sample "

cargo build --locked --examples --package ringpost --all-features
target=$(cargo metadata --locked --no-deps --format-version 1 |
  sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# run NAME: its output goes to $out/NAME; its exit code is the result.
run() {
  timeout 60 "$target/debug/examples/$1" >"$out/$1" 2>&1 </dev/null
}

# Starts it, waits until it says that it runs, ends it by SIGTERM.
run_and_end() {
  local pid
  "$target/debug/examples/$1" 60 >"$out/$1" 2>&1 </dev/null &
  pid=$!
  until grep -q '^running$' "$out/$1" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid"
}

passed=0 failed=0
for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  [[ $skip == *" $name "* ]] && continue
  way=run
  [[ $name == graceful_shutdown ]] && way=run_and_end
  if "$way" "$name"; then
    echo "ok: $name"
    passed=$((passed + 1))
  else
    echo "FAILED: $name"
    sed 's/^/  /' "$out/$name"
    failed=$((failed + 1))
  fi
done

echo "$passed passed, $failed failed"
((failed == 0))
