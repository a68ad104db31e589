#!/usr/bin/env bash
# Makes events.jsonl beside this script: CloudEvents about this repository itself, from its git
# history (`git.commit`, `git.file.changed`) and from cargo's messages while it builds the
# workspace (`cargo.artifact.built`, `cargo.script.executed`). Needs git and cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sample=examples/data/events.jsonl
made=$(mktemp)
trap 'rm -f "$made"' EXIT

{
  TZ=UTC git -c core.quotePath=false log --reverse --no-merges --no-renames --numstat \
    --date=format-local:%Y-%m-%dT%H:%M:%SZ --format='commit%x09%H%x09%cd%x09%s'
  cargo build --locked --quiet --workspace --message-format=json
} | cargo run --locked --quiet -p ringpost --example make_sample >"$made"
cat "$made" >"$sample"
wc "$sample"
