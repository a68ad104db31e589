# What is code in Rust files: prints "FILE<tab>LINE<tab>KIND<tab>CODE" for each line that still has
# some once comments and the insides of strings are taken away. KIND is "test" in test modules and
# in files of tests, models and stress, else "code".

# What follows the string or block comment that the line is inside of; "" if it goes on.
function leave(text) {
  if (escapes ? match(text, /^([^"\\]|\\.)*"/) : match(text, closing)) {
    inside = 0
    return substr(text, RSTART + RLENGTH)
  }
  return ""
}

function enter(end, with_escapes) {
  inside = 1
  closing = end
  escapes = with_escapes
}

FNR == 1 {
  inside = 0
  kind = FILENAME ~ /(^|\/)(tests|models|stress)(\.rs|\/)/ ? "test" : "code"
}

{
  rest = $0
  code = ""
  while (rest != "") {
    if (inside) {
      rest = leave(rest)
      continue
    }
    if (!match(rest, /\/\/|\/\*|r#*"|"|'([^'\\]|\\[^u]|\\u[^']*)'/)) {
      code = code rest
      break
    }
    token = substr(rest, RSTART, RLENGTH)
    code = code substr(rest, 1, RSTART - 1)
    rest = substr(rest, RSTART + RLENGTH)
    if (token == "//") break
    if (token == "/*") enter("[*]/", 0)
    else if (token ~ /^'/) code = code "' '"
    else {
      code = code "\""
      hashes = token
      gsub(/[^#]/, "", hashes)
      enter("\"" hashes, token == "\"")
    }
  }
  if (code ~ /^ *(pub )?mod [a-z_]*(tests|models|stress) *\{/) kind = "test"
  if (code !~ /^[ \t]*$/) print FILENAME "\t" FNR "\t" kind "\t" code
}
