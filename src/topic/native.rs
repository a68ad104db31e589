//! The native dialect: `*`, `**` and `>` as whole tokens between `.`, `:` or `/`.
//!
//! Called by `Pattern::parse` for a text without a dialect. It never decides what matches: it only
//! reads the text into steps.
#![forbid(unsafe_code)]

use super::name::check_tokens;
use super::tokens::{Separators, Steps};
use super::{Dialect, PatternError};

pub(super) fn parse(body: &str) -> Result<Steps, PatternError> {
    check_tokens(body).map_err(PatternError::Name)?;
    let mut steps = Steps::default();
    if !body.bytes().any(|byte| matches!(byte, b'*' | b'>')) {
        // Most patterns are topics: a list of steps would be made for nothing.
        return Ok(steps);
    }
    for token in Separators::All.split(body) {
        match &body[token.clone()] {
            "*" => steps.one(),
            "**" => steps.many(),
            ">" if token.end == body.len() => {
                steps.one();
                steps.many();
            }
            ">" => {
                return Err(PatternError::NotLast {
                    at: token.start,
                    wildcard: '>',
                    dialect: Dialect::Native,
                });
            }
            text => match text.find('*') {
                Some(inside) => {
                    return Err(PatternError::PartialWildcard {
                        at: token.start + inside,
                        wildcard: '*',
                        dialect: Dialect::Native,
                    });
                }
                None => steps.literal(token),
            },
        }
    }
    Ok(steps)
}
