# Sums the result lines of cargo test, cargo nextest and of our own scripts: prints "passed failed".
# A log may hold many such lines, one a test binary.

# test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s
/^test result: / {
  for (i = 2; i <= NF; i++) {
    if ($i == "passed;") passed += $(i - 1)
    if ($i == "failed;") failed += $(i - 1)
  }
}

#      Summary [   0.005s] 5 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 1 skipped
/^ *Summary \[.*\] .* run: / {
  line = $0
  sub(/.* run: /, "", line)
  gsub(/\([^)]*\)/, "", line)
  n = split(line, part, ",")
  for (i = 1; i <= n; i++) {
    if (part[i] ~ / passed/) passed += part[i]
    else if (part[i] !~ / skipped/) failed += part[i]
  }
}

END { print passed + 0, failed + 0 }
