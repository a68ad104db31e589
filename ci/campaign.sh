#!/usr/bin/env bash
# The journal on real files, in the optimised build: campaign.sh NAME [ROUNDS [SEED]].
#
#   kill    a publishing process is killed by SIGKILL at any moment; no acknowledged event may be
#           missing, there twice, or bad. Prints what each policy lost.
#   points  the same, killed right before each kind of call of the system that makes, writes, recovers,
#           rotates, removes or compresses, by strace. A twentieth of the rounds at each.
#   power   the same on an ext4 of its own that loses its power; needs root and loop devices, and
#           says so if it cannot have them. Nothing durable may be lost.
#   full    syncs fail on a full disk and then succeed for nothing; needs root and loop devices. A
#           twentieth of the rounds.
#   readonly  a disk becomes read-only under the journal and between its writers; needs root and loop
#           devices. A twentieth of the rounds under it.
#   stall   a disk takes no write for a tenth of a second a round, without an error; needs root and
#           loop devices. Nobody may wait longer than they asked for, and nothing may be lost.
#   writers two processes open one journal in each round; a round is two starts. Always one of them
#           gets it, also after it was killed.
#   rotate  ten rotations a round with retention and compression, while another process follows.
#   consume a durable consumer is killed by SIGKILL while it consumes; it may skip nothing, and what
#           it handles twice is bounded by its checkpoints.
#   inject  system calls fail one after the other, by strace; everything must be durable in the
#           end.
#
# 1,000 rounds unless said otherwise, of `writers` 1,000 starts. Unlike tests, which run on any machine, a
# campaign also holds to figures in time: 2 s for any receipt under `inject` and `readonly`, and for those
# who publish without waiting twice their usual time under `stall`. The seed is chosen by the clock and printed.
# The last line is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/place.sh
. ci/tally.sh

case ${1:-} in
  kill) tests=kill:: ;;
  points)
    tests=points::
    ci/need.sh strace
    ;;
  power)
    tests=power::
    ci/need.sh mkfs.ext4=e2fsprogs mount
    ;;
  full)
    tests=full::
    ci/need.sh mkfs.ext4=e2fsprogs mount
    ;;
  stall)
    tests=stall::
    ci/need.sh mkfs.ext4=e2fsprogs mount fsfreeze=util-linux
    ;;
  readonly)
    tests=readonly::
    ci/need.sh mkfs.ext4=e2fsprogs mount
    ;;
  writers) tests=kill::of_two_processes ;;
  rotate) tests=rotate:: ;;
  consume) tests=consume:: ;;
  inject)
    tests=inject::
    ci/need.sh strace
    ;;
  *)
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
export RINGPOST_ROUNDS="${2:-1000}" RINGPOST_REQUIRE_SERVERS=1 RINGPOST_PATIENCE=2
if [[ -n ${3:-} ]]; then export RINGPOST_SEED=$3; fi
tally cargo test --locked --release -p ringpost --all-features --test crash -- "$tests" --nocapture --test-threads=1

total
