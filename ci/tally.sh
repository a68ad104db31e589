# Adds up what test runners report. Sourced by the scripts that run tests, never run by itself.
#
#   tally COMMAND...   runs it, shows its output, adds its results to the sums
#   check COMMAND...   the same for a command that only succeeds or fails: counts as one
#   total              prints "N passed, M failed" and fails if anything failed

passed=0
failed=0
sums=$(dirname "${BASH_SOURCE[0]}")/tally.awk

tally() {
  local log p f rc=0
  log=$(mktemp)
  printf '\n$ %s\n' "$*"
  "$@" 2>&1 </dev/null | tee "$log" || rc=$?
  read -r p f < <(awk -f "$sums" "$log")
  rm -f "$log"
  # It did not compile, was killed, or a filter matched nothing: a failure without a name.
  if ((f == 0 && (rc != 0 || p == 0))); then
    printf 'error: no test passed or failed (exit code %d): %s\n' "$rc" "$*"
    f=1
  fi
  passed=$((passed + p)) failed=$((failed + f))
}

check() {
  printf '\n$ %s\n' "$*"
  if "$@" 2>&1 </dev/null; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

total() {
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
}
