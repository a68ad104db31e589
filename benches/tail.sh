#!/usr/bin/env bash
# `ringpost tail`: the last 100 events of a small and of a large journal, and how long after it
# was written an event is seen by a process that follows.
#
#   benches/tail.sh EVENTS.jsonl         RUNS=20 LARGE_GIB=10 EVENTS_SEEN=3000 and TMPDIR may be set
#
# The large journal is made of hard links to one sealed segment, and of one file with a hole in
# its middle, so that it takes next to no room; everything is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
events=$(realpath "${1:?usage: benches/tail.sh EVENTS.jsonl}")
ci/need.sh python3=python3

cargo build --release --quiet
ringpost=$PWD/target/release/ringpost
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

# A journal of about 1 MiB.
head -n 1000 "$events" | "$ringpost" pub - --journal "$place/small" --fsync never --json >/dev/null
small=$place/small/00000000000000000001.jsonl

# Sealed segments of 64 MiB before the same one.
mkdir "$place/large"
sealed=$place/large/00000000000000000001.jsonl
while [[ ! -e $sealed || $(stat -c %s "$sealed") -lt 67000000 ]]; do cat "$small" >>"$sealed"; done
count=$(((${LARGE_GIB:-10} * 1024 * 1024 * 1024) / $(stat -c %s "$sealed")))
for ((i = 2; i <= count; i++)); do
  ln "$sealed" "$place/large/$(printf '%020d' "$i").jsonl"
done
cp "$small" "$place/large/$(printf '%020d' $((count + 1))).jsonl"

# One file of that size.
truncate -s "${LARGE_GIB:-10}G" "$place/large.jsonl"
cat <(echo) "$small" >>"$place/large.jsonl"

cat >"$place/measure.py" <<'PYTHON'
import json, os, statistics, subprocess, sys, time

ringpost, place, runs, seen = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def last(target):
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        out = subprocess.run([ringpost, "tail", target, "-n", "100", "--no-follow"], capture_output=True, check=True)
        times.append(time.perf_counter() - begin)
        assert out.stdout.count(b"\n") == 100
    return statistics.median(times) * 1e3


def bytes_of(path):
    if os.path.isdir(path):
        return sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path))
    return os.path.getsize(path)


for target in ["small", "large", "large.jsonl"]:
    path = os.path.join(place, target)
    print(f"tail -n 100 of {target:12} {bytes_of(path) / 2**20:10.1f} MiB {last(path):8.2f} ms")

# Events that say when they were written, one each millisecond.
live = os.path.join(place, "live")
os.mkdir(live, 0o700)
segment = os.open(os.path.join(live, "00000000000000000001.jsonl"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
follower = subprocess.Popen([ringpost, "tail", live, "--from", "first"], stdout=subprocess.PIPE)
line = '{"specversion":"1.0","id":"%d","source":"bench","type":"bench.tick"}\n'
os.write(segment, (line % 0).encode())
follower.stdout.readline()
delays = []
for _ in range(seen):
    time.sleep(0.001)
    os.write(segment, (line % time.monotonic_ns()).encode())
    written = json.loads(follower.stdout.readline())["id"]
    delays.append((time.monotonic_ns() - int(written)) / 1e6)
follower.terminate()
follower.wait()
delays.sort()
at = lambda share: delays[min(len(delays) - 1, int(len(delays) * share))]
print(f"seen by another process after: p50 {at(0.5):.3f} ms, p99 {at(0.99):.3f} ms, most {delays[-1]:.3f} ms ({seen} events)")
PYTHON
python3 "$place/measure.py" "$ringpost" "$place" "${RUNS:-20}" "${EVENTS_SEEN:-3000}"
