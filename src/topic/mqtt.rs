//! The `mqtt:` dialect: `+` and `#` as whole levels between slashes, empty levels allowed.
//!
//! Called by `Pattern::parse` and `Pattern::check_topic`. The rules are those of MQTT 3.1.1,
//! section 4.7. Its rule for topics that start with `$` is the same as ours. A
//! `+` or `#` in a topic makes it malformed in MQTT; a bus topic may have one, and then matches
//! like any other text.
#![forbid(unsafe_code)]

use super::tokens::{Separators, Steps};
use super::{Dialect, PatternError, TopicError};

/// The longest string of the protocol (MQTT 3.1.1, 1.5.3).
const MAX_BYTES: usize = 65_535;

/// `start` is where the body begins in the text, for the places named in errors.
pub(super) fn parse(body: &str, start: usize) -> Result<Steps, PatternError> {
    if body.is_empty() {
        return Err(PatternError::Empty);
    }
    if let Some(at) = body.find('\0') {
        let found = '\0';
        return Err(PatternError::Name(TopicError::Control { at: start + at, found }));
    }
    let mut steps = Steps::default();
    for level in Separators::Slash.split(body) {
        match &body[level.clone()] {
            "+" => steps.one(),
            "#" if level.end == body.len() => steps.many(),
            "#" => {
                return Err(PatternError::NotLast {
                    at: start + level.start,
                    wildcard: '#',
                    dialect: Dialect::Mqtt,
                });
            }
            text => match text.find(['+', '#']) {
                Some(inside) => {
                    return Err(PatternError::PartialWildcard {
                        at: start + level.start + inside,
                        wildcard: if text.as_bytes()[inside] == b'+' { '+' } else { '#' },
                        dialect: Dialect::Mqtt,
                    });
                }
                None => steps.literal(level),
            },
        }
    }
    Ok(steps)
}

/// What MQTT lets be published to: no wildcard anywhere, no NUL, at most 65,535 bytes.
pub(super) fn check_topic(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > MAX_BYTES {
        return Err(TopicError::TooLong { bytes: topic.len(), limit: MAX_BYTES });
    }
    for (at, found) in topic.char_indices() {
        match found {
            '\0' => return Err(TopicError::Control { at, found }),
            '+' | '#' => return Err(TopicError::Wildcard { at, found, dialect: Dialect::Mqtt }),
            _ => {}
        }
    }
    Ok(())
}
