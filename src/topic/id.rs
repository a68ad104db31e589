//! The short stand-in for a topic's name that travels beside a message.
//!
//! Given out by the bus's table of names, one per name, and copied into slots and mailboxes. It
//! never owns or looks up the name.
#![forbid(unsafe_code)]

use std::fmt;

/// The number of a topic within one bus: four bytes instead of a counted string.
///
/// Means nothing in another bus or another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u32);

impl TopicId {
    /// An id from its number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
