# A place of their own for scripts whose tests mount, freeze and start things. Sourced by such a script
# in ci/, from the repository and before anything else; never run by itself. The script is run again in
# a group of processes of its own, with TMPDIR in the place. However it ends, also when it is
# interrupted, what is frozen there is thawed, the group is ended, what is mounted there is unmounted,
# and the place is removed.

if [[ -z ${RINGPOST_PLACE:-} ]]; then
  place=$(mktemp -d -t ringpost-XXXXXXXX)
  group=

  clean() {
    local rc=$? mount
    trap '' INT TERM HUP
    if [[ -n $group ]]; then
      # Frozen ones first: who waits for their disk cannot be killed.
      mounts | while read -r mount; do fsfreeze -u "$mount" 2>/dev/null || true; done
      kill -KILL -- "-$group" 2>/dev/null || true
      wait "$group" 2>/dev/null || true
      # The last of the group may hold a file for a moment yet.
      for _ in {1..50}; do
        kill -0 -- "-$group" 2>/dev/null || break
        sleep 0.1
      done
    fi
    mounts | while read -r mount; do
      umount "$mount" 2>/dev/null || umount -l "$mount" || echo "error: still mounted: $mount" >&2
    done
    rm -rf --one-file-system "$place"
    exit "$rc"
  }

  # The last one first: one may lie on another.
  mounts() { awk -v place="$place/" 'index($5, place) == 1 { print $5 }' /proc/self/mountinfo | tac; }

  trap clean EXIT
  trap 'exit 130' INT
  trap 'exit 129' HUP
  trap 'exit 143' TERM
  RINGPOST_PLACE=$place TMPDIR=$place setsid bash "ci/${0##*/}" "$@" </dev/null &
  group=$!
  # A signal ends `wait`, not what is waited for.
  wait "$group"
  exit
fi
