//! A topic's name, checked once.
//!
//! Called by whoever takes a topic from outside: publishers, the event builder and the decoders.
//! It never looks at patterns.
#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::TopicError;

/// A valid topic: cheap to clone, equal and ordered by its text.
///
/// The rules are in the [module's documentation](super).
///
/// ```
/// use ringpost::topic::{Topic, TopicError};
///
/// let topic = Topic::new("registry:bots")?;
/// assert_eq!(topic.as_str(), "registry:bots");
/// assert_eq!(Topic::new("a..b"), Err(TopicError::EmptyToken { at: 2 }));
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The longest topic, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// A topic from its text.
    ///
    /// # Errors
    ///
    /// If the text breaks a rule for topics; the error says which, and where.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Whether `text` may be a topic, without keeping it.
    ///
    /// # Errors
    ///
    /// As for [`Topic::new`].
    pub fn check(text: &str) -> Result<(), TopicError> {
        if text.len() > Self::MAX_BYTES {
            return Err(TopicError::too_long(text.len()));
        }
        if kinds(text.as_bytes()).is_some() { Ok(()) } else { check_tokens(text) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to the bus itself: it starts with `$`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }
}

/// Printable ASCII, but no blank.
const GRAPHIC: u8 = 1;
const SEPARATOR: u8 = 2;
/// What may mean something in a pattern: a wildcard, or the end of a dialect's name.
const SPECIAL: u8 = 4;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte: u8 = b'!';
    while byte <= b'~' {
        kinds[byte as usize] = GRAPHIC
            | if is_separator(byte as char) { SEPARATOR } else { 0 }
            | if matches!(byte, b'*' | b'>' | b':') { SPECIAL } else { 0 };
        byte += 1;
    }
    kinds
};

/// The kinds of its bytes, if it is a name of printable ASCII without a blank, as nearly all are.
/// Every event that is read has one or two of them.
#[inline]
fn kinds(text: &[u8]) -> Option<u8> {
    let mut all = 0;
    let mut last = SEPARATOR;
    for byte in text {
        let kind = KINDS[usize::from(*byte)];
        if kind == 0 || kind & last & SEPARATOR != 0 {
            return None;
        }
        all |= kind;
        last = kind;
    }
    (last & SEPARATOR == 0).then_some(all)
}

/// Whether a pattern is surely a topic, and no more than that.
pub(super) fn is_surely_topic(text: &str) -> bool {
    text.len() <= Topic::MAX_BYTES
        && kinds(text.as_bytes()).is_some_and(|kinds| kinds & SPECIAL == 0)
}

/// The rules for names but for the length, which differs for patterns.
pub(super) fn check_tokens(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    let mut token = 0;
    for (at, found) in text.char_indices() {
        if found.is_control() {
            return Err(TopicError::Control { at, found });
        }
        let next = at + found.len_utf8();
        if found.is_whitespace() && (at == 0 || next == text.len()) {
            return Err(TopicError::WhiteSpace { at });
        }
        if is_separator(found) {
            if at == token {
                return Err(TopicError::EmptyToken { at });
            }
            token = next;
        }
    }
    if token == text.len() { Err(TopicError::EmptyToken { at: token }) } else { Ok(()) }
}

pub(super) const fn is_separator(found: char) -> bool {
    matches!(found, '.' | ':' | '/')
}

/// Whether a topic, or what follows a pattern's dialect, is kept for the bus itself.
pub(super) fn is_reserved(text: &str) -> bool {
    text.starts_with('$')
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({:?})", &*self.0)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Topic {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Topic> for Arc<str> {
    fn from(topic: Topic) -> Arc<str> {
        topic.0
    }
}
