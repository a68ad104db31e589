#!/usr/bin/env bash
# Keeps the reasons of atomic orderings complete. Every line of code that names an ordering has an
# ORDER comment just above it (or behind it):
#
#   // ORDER(label): Release; pairs with ORDER(label) in `take`. Carries the message.
#   // ORDER: Relaxed; a statistic, read by nobody who acts on it.
#
# A label stands at both ends, two places at least (a read-modify-write that pairs with the next
# one says "itself"), and in the table headed "label" of the mod.rs of a folder that uses it; a
# label in a table is in use. Tests and models are exempt. Arguments name another tree to check.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "${1:-$here/..}"

code=$(mktemp)
trap 'rm -f "$code"' EXIT
files=$(find src -name '*.rs' | sort)
# shellcheck disable=SC2086
awk -f "$here/code.awk" $files >"$code"
# shellcheck disable=SC2086
if awk -f "$here/orderings.awk" "$code" $files; then
  echo "orderings: nothing found"
else
  exit 1
fi
