//! The `nats:` dialect: `*` and `>` as whole tokens between dots.
//!
//! Called by `Pattern::parse` and `Pattern::check_topic`. The rules are those of NATS subjects
//! (docs.nats.io, "Subject-Based Messaging"): a `*` or `>` inside a longer token is plain text. One
//! rule is the bus's own: topics that start with `$` need a pattern that does, where NATS's `>`
//! sees them.
#![forbid(unsafe_code)]

use super::tokens::{Separators, Steps};
use super::{Dialect, PatternError, TopicError};

/// `start` is where the body begins in the text, for the places named in errors.
pub(super) fn parse(body: &str, start: usize) -> Result<Steps, PatternError> {
    if body.is_empty() {
        return Err(PatternError::Empty);
    }
    let mut steps = Steps::default();
    for token in Separators::Dot.split(body) {
        match &body[token.clone()] {
            "" => {
                return Err(PatternError::Name(TopicError::EmptyToken { at: start + token.start }));
            }
            "*" => steps.one(),
            ">" if token.end == body.len() => {
                steps.one();
                steps.many();
            }
            ">" => {
                return Err(PatternError::NotLast {
                    at: start + token.start,
                    wildcard: '>',
                    dialect: Dialect::Nats,
                });
            }
            _ => steps.literal(token),
        }
    }
    Ok(steps)
}

/// What NATS lets be published to: no empty token, no wildcard token.
pub(super) fn check_topic(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    for token in Separators::Dot.split(topic) {
        let at = token.start;
        match &topic[token] {
            "" => return Err(TopicError::EmptyToken { at }),
            "*" => return Err(TopicError::Wildcard { at, found: '*', dialect: Dialect::Nats }),
            ">" => return Err(TopicError::Wildcard { at, found: '>', dialect: Dialect::Nats }),
            _ => {}
        }
    }
    Ok(())
}
