#!/usr/bin/env bash
# Keeps the shape of the code: who may import whom, where `unsafe` and atomics may stand, how long
# a file may be, what it may be called. The rules are told in CONTRIBUTING.md and listed in
# ci/floors.awk. Arguments name another tree to check.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "${1:-$here/..}"

found=$(
  # lib.rs first: it says where the names at the root come from.
  find src cli/src tests examples benches fuzz/checks fuzz/fuzz_targets -name '*.rs' 2>/dev/null | sort |
    sed '1i src/lib.rs' | awk '!seen[$0]++' | xargs awk -f "$here/code.awk" |
    awk -f "$here/floors.awk"

  find src cli tests examples benches fuzz/checks fuzz/fuzz_targets ci -not -path '*/target/*' -type f 2>/dev/null |
    # `data` is what CloudEvents calls an event's payload.
    grep -E '/(([a-z_-]+[_-])?(utils?|helpers?|managers?|handlers?|misc|common)([_-][a-z_-]+)?|data|process(es)?)\.[a-z]+$' |
    grep -vx 'src/event/data\.rs' |
    sed 's/$/: a name that says nothing; name the noun/' || true

  # A test that does not run is worse than none.
  grep -rnE '#\[ignore|```.*ignore' src cli/src tests examples --include='*.rs' 2>/dev/null |
    sed 's/$/: ignored/' || true
  # So is one that any panic satisfies: it cannot tell the failure it waits for from another.
  grep -rnF '#[should_panic]' src cli/src tests --include='*.rs' 2>/dev/null |
    sed 's/$/: say what is expected/' || true
)

if [[ -n $found ]]; then
  printf '%s\n' "$found"
  exit 1
fi
echo "floors: nothing found"
