//! Why a name or a pattern was refused: what is wrong, where, and what to do.
//!
//! Made by the parsers of this folder only. Positions are byte offsets into the text as given,
//! dialect included. The text itself is not repeated: the caller has it.
#![forbid(unsafe_code)]

use super::Dialect;
use super::name::Topic;
use super::pattern::Pattern;

/// Why a text is not a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// There is no text.
    #[error("the name is empty; give it one or more tokens, such as `orders.paid`")]
    Empty,
    /// Longer than [`Topic::MAX_BYTES`], or than MQTT allows.
    #[error("the name has {bytes} bytes; shorten it to at most {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Two separators in a row, or one at an end.
    #[error("empty token at byte {at}; put a name between the separators or remove one")]
    EmptyToken {
        /// Where a token should have begun.
        at: usize,
    },
    /// A character that does not print, such as a line end.
    #[error("control character U+{:04X} at byte {at}; remove it", *found as u32)]
    Control {
        /// Where it is.
        at: usize,
        /// The character.
        found: char,
    },
    /// White space at one of the ends.
    #[error("white space at byte {at}, an end of the name; trim it")]
    WhiteSpace {
        /// Where it is.
        at: usize,
    },
    /// It starts with `$`, and somebody wants to publish to it.
    #[error("names that start with `$` belong to the bus itself; publish to another")]
    Reserved,
    /// A wildcard of the pattern's dialect, which that dialect does not allow in topics.
    #[error("`{found}` at byte {at} is a wildcard of `{dialect}:`; a topic has none there")]
    Wildcard {
        /// Where it is.
        at: usize,
        /// The wildcard.
        found: char,
        /// Whose wildcard it is.
        dialect: Dialect,
    },
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is no text, or none after the dialect where the dialect needs some.
    #[error("the pattern is empty; `**` matches every topic")]
    Empty,
    /// Longer than [`Pattern::MAX_BYTES`].
    #[error("the pattern has {bytes} bytes; shorten it to at most {}", Pattern::MAX_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More tokens than [`Pattern::MAX_TOKENS`].
    #[error("the pattern asks for {tokens} tokens; shorten it to at most {}", Pattern::MAX_TOKENS)]
    TooManyTokens {
        /// How many it asks for.
        tokens: usize,
    },
    /// Its tokens break the rules for names.
    #[error("{0}")]
    Name(TopicError),
    /// A wildcard that is part of a longer token.
    #[error("`{wildcard}` at byte {at} is part of a longer token; {}", partial_advice(*dialect))]
    PartialWildcard {
        /// Where the wildcard is.
        at: usize,
        /// The wildcard.
        wildcard: char,
        /// Whose rules were broken.
        dialect: Dialect,
    },
    /// `>` or `#` before the end.
    #[error("`{wildcard}` at byte {at} is not the last token; {}", last_advice(*dialect))]
    NotLast {
        /// Where the wildcard is.
        at: usize,
        /// The wildcard.
        wildcard: char,
        /// Whose rules were broken.
        dialect: Dialect,
    },
    /// Not a regular expression.
    #[error("the regular expression is wrong{}: {message}; correct it", place(*at))]
    Regex {
        /// Where, if that is known.
        at: Option<usize>,
        /// What is wrong with it.
        message: String,
    },
    /// A regular expression that would need too much memory.
    #[error(
        "the regular expression needs more than {limit} bytes when compiled; simplify it, counted repetitions and Unicode classes are the usual cause"
    )]
    RegexTooBig {
        /// The most it may need.
        limit: usize,
    },
}

impl TopicError {
    /// The byte at which the text breaks the rules, where one place can be named.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        match *self {
            TopicError::Empty => None,
            TopicError::Reserved => Some(0),
            TopicError::TooLong { limit, .. } => Some(limit),
            TopicError::EmptyToken { at }
            | TopicError::Control { at, .. }
            | TopicError::WhiteSpace { at }
            | TopicError::Wildcard { at, .. } => Some(at),
        }
    }

    pub(super) fn too_long(bytes: usize) -> Self {
        TopicError::TooLong { bytes, limit: Topic::MAX_BYTES }
    }
}

impl PatternError {
    /// The byte at which the text breaks the rules, dialect included, where one place can be named.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        match self {
            PatternError::Empty
            | PatternError::TooManyTokens { .. }
            | PatternError::RegexTooBig { .. } => None,
            PatternError::TooLong { .. } => Some(Pattern::MAX_BYTES),
            PatternError::Name(error) => error.at(),
            PatternError::PartialWildcard { at, .. } | PatternError::NotLast { at, .. } => {
                Some(*at)
            }
            PatternError::Regex { at, .. } => *at,
        }
    }
}

fn partial_advice(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mqtt => "let it stand alone between slashes",
        _ => "let it stand alone between separators, or use `glob:` to match parts of a token",
    }
}

fn last_advice(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mqtt => "move it to the end, or use `+` for one level",
        Dialect::Nats => "move it to the end, or use `*` for one token",
        _ => "move it to the end, or use `**` for any number of tokens here",
    }
}

fn place(at: Option<usize>) -> String {
    at.map(|at| format!(" at byte {at}")).unwrap_or_default()
}
