# The rules of ci/orderings.sh: first the output of code.awk, then the files themselves. Prints one
# line a violation and fails if there was one.

function wrong(where, what) {
  print where ": " what
  bad = 1
}

# A floor's own folder: `src/ring` of `src/ring/queue/steal.rs`.
function folder(path) {
  match(path, /^src\/[a-z_]+/)
  return substr(path, 1, RLENGTH)
}

FNR == NR {
  split($0, part, "\t")
  if (part[3] == "test") {
    if (!(part[1] in tests)) tests[part[1]] = part[2]
    next
  }
  if (part[4] ~ /^ *(pub(\([a-z]*\))? )?use /) using = 1
  if (!using && part[4] ~ /(^|[^A-Za-z0-9_])(Relaxed|Acquire|Release|AcqRel|SeqCst)([^A-Za-z0-9_]|$)/)
    site[part[1], part[2]] = 1
  if (part[4] ~ /;/) using = 0
  next
}

FNR == 1 { reason = -99; talking = 0 }

# The rows of a table of labels, in the module's documentation.
!/^\/\/! *\|/ { tabular = 0 }
/^\/\/! *\| *label *\|/ { tabular = 1 }
tabular && FILENAME ~ /(mod|^src\/[a-z_]+)\.rs$/ && /^\/\/! *\| *`/ {
  row = $0
  sub(/^[^`]*`/, "", row)
  sub(/`.*/, "", row)
  table[folder(FILENAME), row] = FILENAME ":" FNR
}

FILENAME in tests && FNR >= tests[FILENAME] { next }

/\/\/ ORDER(\([^)]*\))?:/ {
  talking = 1
  text = $0
  sub(/.*\/\/ ORDER/, "", text)
  if (text ~ /^\(/) {
    sub(/^\(/, "", text)
    sub(/\).*/, "", text)
    n = split(text, label, / *, */)
    for (i = 1; i <= n; i++) {
      ends[label[i]]++
      if (/itself/) ends[label[i]]++
      where[label[i]] = FILENAME ":" FNR
      used[folder(FILENAME), label[i]] = 1
    }
  } else n = 0
}

# The comment's further lines.
talking && !/^ *\/\// && !/\/\/ ORDER/ { talking = 0 }
talking {
  reason = FNR
  if (/itself/ && !/\/\/ ORDER/) for (i = 1; i <= n; i++) ends[label[i]]++
}

site[FILENAME, FNR] && FNR - reason > 6 { wrong(FILENAME ":" FNR, "an ordering without an ORDER comment above it") }

END {
  for (name in ends) {
    if (ends[name] < 2) wrong(where[name], "ORDER(" name ") stands at one end only")
    listed = 0
    for (key in used) {
      split(key, at, SUBSEP)
      if (at[2] == name && (at[1], name) in table) listed = 1
    }
    if (!listed) wrong(where[name], "ORDER(" name ") is in no table of its folder's mod.rs")
  }
  for (key in table) {
    split(key, at, SUBSEP)
    if (!(at[2] in ends)) wrong(table[key], "ORDER(" at[2] ") is in the table and nowhere else")
  }
  exit bad
}
