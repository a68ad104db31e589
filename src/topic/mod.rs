//! Names of topics, patterns over them, and the table that finds which patterns match a name.
//!
//! Called by the bus (routes), the event envelope (names), stores and the command line (filters).
//! It never touches a message, a ring or a mailbox, and holds no atomics of its own.
//!
//! # Topics
//!
//! A topic is a list of **tokens** separated by `.`, `:` or `/`: `registry:bots`, `md.eq.AAPL`.
//! It has 1 to 255 bytes of UTF-8, no empty token, no control character and no white space at its
//! ends. Separators are kept as written: `a.b` is not `a:b`. A topic that starts with `$` belongs
//! to the bus itself. Any other text is allowed, so a token may be `*`; no exact or native pattern
//! then names it alone, `glob:[*]` does.
//!
//! # Patterns
//!
//! | dialect | example | matches | separators |
//! |---|---|---|---|
//! | exact | `registry:bots` | that topic | as written |
//! | native | `registry:*:config`, `*.failed`, `a.**.z`, `a.>` | `*` one token; `**` zero or more, anywhere; `>` one or more, at the end | `.` `:` `/` |
//! | `glob:` | `glob:registry:*` | as Python's `fnmatchcase`: `*` any text, `?` one character, `[seq]`, `[!seq]` | none |
//! | `prefix:` | `prefix:terminal.` | topics that start with the text | none |
//! | `mqtt:` | `mqtt:a/+/b/#` | as MQTT 3.1.1: `+` one level, `#` zero or more at the end; levels may be empty | `/` |
//! | `nats:` | `nats:a.*.>` | as NATS: `*` one token, `>` one or more at the end; `*` and `>` inside a longer token are plain text | `.` |
//! | `re:` | `re:^llm\.` | topics in which the regular expression finds something | none |
//!
//! The dialect is the text before the first `:` if that is one of the five names, in lower case; a
//! pattern is native if it has a wildcard and exact if it has none. To name the topic `re:x`
//! itself, write `glob:re:x`.
//!
//! **Separators in native patterns.** A separator between two plain tokens stands for itself. A
//! separator next to a wildcard stands for any of the three, because a wildcard matches across
//! separators of any kind:
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `a.b` | `a.b` | `a:b` |
//! | `a.*` (the same as `a:*`) | `a.b`, `a:b` | `a`, `a.b.c` |
//! | `a.b.*` | `a.b.c`, `a.b/c` | `a:b.c` |
//! | `a.**.z` | `a.z`, `a:z`, `a.b:c/z` | `a.b` |
//! | `a.**` | `a`, `a.b`, `a:b/c` | `ab` |
//! | `a.>` | `a.b`, `a:b/c` | `a` |
//!
//! Wildcards of the token dialects (native, `mqtt:`, `nats:`) are whole tokens. A `*` inside a
//! longer token of a native pattern is refused, because it would silently match nothing where
//! `glob:` was meant; a `>` there is plain text.
//!
//! **Topics that start with `$`** are matched only by a pattern that starts with `$`, whatever its
//! dialect, so that nobody who asks for everything is fed with the bus's own notices. What counts
//! is the first character after the dialect's name: `glob:*`, `glob:[$]*`, `prefix:` and `nats:>`
//! never see them, `glob:$*`, `prefix:$` and `nats:$SYS.>` do. In a regular expression a `$` is an
//! anchor, so there the escaped dollar counts, with or without `^` before it: `re:^\$errors` does,
//! `re:errors` and `re:[$]` do not.
//!
//! **Limits.** A pattern has at most [`Pattern::MAX_BYTES`] bytes, its dialect included; an exact
//! one is a topic and so has at most 255; one with wildcards has at most [`Pattern::MAX_TOKENS`]
//! tokens. A compiled regular expression takes at most 1 MiB. A match takes at most (length of the
//! pattern) × (length of the topic) steps, whatever is written in them; for `re:`, (size of the
//! compiled expression) × (length of the topic).
#![forbid(unsafe_code)]

pub(crate) mod chunks;
mod error;
mod explain;
pub(crate) mod filter;
mod glob;
pub(crate) mod hamt;
mod id;
mod mqtt;
mod name;
pub(crate) mod names;
mod native;
mod nats;
mod pattern;
mod prefixes;
mod regexp;
mod tokens;
mod trie;

pub use error::{PatternError, TopicError};
pub use explain::Explanation;
pub use id::TopicId;
pub use name::Topic;
pub use pattern::{Dialect, Pattern};
pub use trie::Trie;
