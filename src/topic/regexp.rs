//! The `re:` dialect: regular expressions in linear time.
//!
//! Called by `Pattern::parse`. It never lets an expression grow past its limit, and turns the
//! engine's many-line complaints into one sentence.
#![forbid(unsafe_code)]

use regex::{Regex, RegexBuilder};

use super::PatternError;

/// The most memory a compiled expression, or its search cache, may take.
const LIMIT: usize = 1 << 20;
/// How deep groups may be nested.
const NESTING: u32 = 64;

/// `start` is where the body begins in the text, for the places named in errors.
pub(super) fn parse(body: &str, start: usize) -> Result<Regex, PatternError> {
    RegexBuilder::new(body)
        .size_limit(LIMIT)
        .dfa_size_limit(LIMIT)
        .nest_limit(NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => PatternError::RegexTooBig { limit },
            regex::Error::Syntax(report) => PatternError::Regex {
                at: place(&report, body).map(|at| start + at),
                message: sentence(&report),
            },
            other => PatternError::Regex { at: None, message: sentence(&other.to_string()) },
        })
}

/// Whether it can see topics that start with `$`: a bare `$` is an anchor, so the escaped one
/// counts.
pub(super) fn is_reserved(body: &str) -> bool {
    body.strip_prefix('^').unwrap_or(body).starts_with("\\$")
}

/// Whether it surely finds something in every topic.
pub(super) fn fits_all(body: &str) -> bool {
    matches!(body, "" | "^" | "$" | ".*" | "^.*" | ".*$" | "^.*$")
}

/// The last line of the report names the mistake.
fn sentence(report: &str) -> String {
    let last = report.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("not accepted");
    last.trim().trim_start_matches("error: ").to_owned()
}

/// The report of a one-line expression shows it indented, with carets in the line below.
fn place(report: &str, body: &str) -> Option<usize> {
    let mut lines = report.lines();
    let shown = lines.find(|line| line.trim_start() == body.trim_start())?;
    let indent = shown.chars().count() - body.chars().count();
    let column = lines.next()?.chars().position(|c| c == '^')?.checked_sub(indent)?;
    let ends = std::iter::once(body.len());
    body.char_indices().map(|(at, _)| at).chain(ends).nth(column)
}
