//! What a bus says about itself: notices, on a ring of their own.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::Sequence;

/// Something went wrong inside a bus that no publisher can be told about.
///
/// Notices have their own sequence and their own small ring; they are never journaled unless
/// asked for, never counted as messages, and never keep a publisher waiting. An `EventBus` also
/// gives them to subscriptions whose pattern starts with `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// Where it is published: `$errors`.
    pub topic: &'static str,
    /// The subscription it concerns.
    pub subscriber: u64,
    /// The pattern of that subscription.
    pub pattern: Arc<str>,
    /// The message at fault, if there is one.
    pub sequence: Option<Sequence>,
    /// The topic of that message.
    pub message_topic: Option<Arc<str>>,
    /// The identity of that message, if it has one.
    pub message_id: Option<String>,
    /// What happened: the handler's error or its panic's text, at most 1 KiB of it.
    pub error: String,
    /// Whether it was a panic.
    pub panicked: bool,
    /// Whether the subscription is one of notices: such a notice goes to nobody, so that none
    /// can feed itself.
    pub(crate) of_notices: bool,
}

impl Notice {
    /// The topic of failures in handlers.
    pub const ERRORS: &'static str = "$errors";
    /// How much of an error's text is kept, in bytes.
    pub const TEXT_LIMIT: usize = 1024;

    /// Cuts a text to [`Notice::TEXT_LIMIT`], at a character's end.
    pub(crate) fn cut(mut text: String) -> String {
        if text.len() > Self::TEXT_LIMIT {
            let end = (0..=Self::TEXT_LIMIT).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or(0));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_the_end_of_a_character() {
        let text = format!("{}é and more", "x".repeat(Notice::TEXT_LIMIT - 1));
        let cut = Notice::cut(text);
        assert_eq!(cut.len(), Notice::TEXT_LIMIT - 1);
        assert_eq!(Notice::cut("short".into()), "short");
    }
}
