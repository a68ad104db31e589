# The rules of ci/floors.sh, over the output of code.awk. Prints one line a violation.

BEGIN {
  FS = "\t"
  # A file imports from floors below its own and from its own folder.
  split("sync sequence loss message notice trace stats block_on caught", floor0, " ")
  for (i in floor0) floor[floor0[i]] = 0
  floor["ring"] = floor["topic"] = 1
  floor["mailbox"] = floor["event"] = 2
  floor["actor"] = floor["worker"] = 3
  floor["bus"] = 4
  floor["store"] = 5
  floor["event_bus"] = floor["docs"] = 6
  # A run loop tells its worker that it is alive, and gives it back.
  also["actor worker"] = 1
  # Narrower than the floors: the event's envelope knows the ring's counted pointer alone.
  never["topic sync"] = never["mailbox topic"] = 1
}

function wrong(what) { print file ":" line ": " what }

function imports(name, to) {
  to = name in floor ? name : root[name]
  if (to == "") wrong("`crate::" name "` is on no floor")
  else if (to == home || home == "lib") return
  else if (never[home " " to]) wrong(home " must not import " to)
  else if (floor[to] >= floor[home] && floor[home] > 0 && !also[home " " to])
    wrong(home " (floor " floor[home] ") imports " to " (floor " floor[to] ")")
  else if (floor[home] == 0 && floor[to] > 0) wrong(home " (floor 0) imports " to)
}

# Names behind `crate::`: one, or the first of each path in a braced list.
function walk(code, c, name) {
  while (depth || match(code, /crate::/)) {
    if (!depth) {
      code = substr(code, RSTART + RLENGTH)
      if (substr(code, 1, 1) != "{") {
        match(code, /^[A-Za-z0-9_]*/)
        if (RLENGTH) imports(substr(code, 1, RLENGTH))
        continue
      }
    }
    # In braces; the list may go on over several lines.
    while (code != "") {
      c = substr(code, 1, 1)
      if (c == "{" && !depth++) fresh = 1
      else if (c == "}" && !--depth) break
      else if (c == "," && depth == 1) fresh = 1
      else if (fresh && match(code, /^[A-Za-z0-9_]+/)) {
        imports(substr(code, 1, RLENGTH))
        fresh = 0
        code = substr(code, RLENGTH)
      }
      code = substr(code, 2)
    }
    if (depth) return
  }
}

$1 != file {
  file = $1
  home = file
  if (!sub(/^src\//, "", home)) home = ""
  sub(/(\/|\.rs).*/, "", home)
  safe[file] = file ~ /^src\/(ring\/.*|lib\.rs)$/ || file !~ /^(src|cli\/src)\//
  depth = 0
  gate = 0
}

{ line = $2; code = $4 }

# Names that the root re-exports, by the module they come from; lib.rs is read first.
file == "src/lib.rs" && code ~ /^ *pub(\([a-z]*\))? use / { exporting = 1; from = ""; sub(/.* use /, "", code) }
file == "src/lib.rs" && exporting {
  if (code ~ /;/) exporting = 0
  gsub(/[^A-Za-z0-9_]+/, " ", code)
  n = split(code, words, " ")
  for (i = 1; i <= n; i++) if (from == "") from = words[i]; else root[words[i]] = from
}

home != "" && home != "lib" && !(home in floor) { wrong("`" home "` is on no floor") ; floor[home] = 9 }
home != "" && home != "lib" { walk($4) }

code ~ /forbid\(unsafe_code\)/ { safe[file] = 1 }
# A test may need a counting allocator, which cannot be written without it.
/(^|[^A-Za-z0-9_])unsafe([^A-Za-z0-9_]|$)/ && file !~ /^(src\/ring|tests|benches)\// { wrong("`unsafe` outside src/ring") }

$3 == "code" {
  lines[file]++
  if (home != "" && file != "src/sync.rs" && code ~ /(std|core)::(sync::atomic|cell::UnsafeCell)/)
    wrong("atomics and cells come from crate::sync, so that models see them")
  if (home == "topic" && code ~ /[Aa]tomic/) wrong("topic has no atomics")
  if (home == "ring" && code ~ /(Instant|SystemTime|std::time|task::|Waker|tracing)/)
    wrong("ring names no topic, task, clock or log")
  if (home ~ /^(ring|mailbox|actor|bus)$/ && code ~ /(^|[^A-Za-z0-9_])Event([^A-Za-z0-9_]|$)/)
    wrong(home " knows messages, not `Event`")
  if (code ~ /(^|[^a-z_])(todo|unimplemented|dbg)!/) wrong("unfinished")
  if (code ~ /allow\(.*dead_code/ && home != "lib") wrong("dead code")
  # A feature adds whole modules or exports; inside a function or a type it would make two programs.
  if (home != "" && home !~ /^(trace|lib)$/ && code ~ /#!?\[cfg(_attr)?\(.*feature/) gate = 1
  else if (gate && code !~ /^ *#/) {
    if (code !~ /^ *(pub(\([a-z]*\))? )?(mod|use) /) wrong("a feature's cfg stands on `mod` and `pub use` only")
    gate = 0
  }
}

END {
  for (file in safe) if (!safe[file]) print file ": lacks #![forbid(unsafe_code)]"
  for (file in lines) if (lines[file] > 450) print file ": " lines[file] " lines of code; 450 is the limit"
}
