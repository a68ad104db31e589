//! What was lost, how much and why: the words that ring, mailbox, bus and store share.
#![forbid(unsafe_code)]

use std::fmt;

use crate::Sequence;

/// Why a subscriber did not get a message that matched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The mailbox was full and the oldest message gave way.
    FullOldest,
    /// The mailbox was full and the new message was refused.
    FullNewest,
    /// The ring came round before the message was read.
    Lapped,
    /// The subscription joined while the publish was under way: its `Block` mailbox was full, or the ring
    /// had come round before the message could be read back for it.
    Joining,
    /// A `Block` mailbox stayed full for the whole timeout.
    Timeout,
    /// The subscription was cancelled with the message still queued.
    Cancelled,
    /// The message's own `Clone` panicked.
    Panicked,
    /// The bus was shut down with the message still queued.
    Shutdown,
    /// A store refused the message, or lost it after it had taken it.
    Store,
    /// The message is larger than a limit.
    TooLarge,
    /// The message's time to live was over.
    Expired,
    /// The subscriber had stopped by failure.
    Stopped,
}

impl DropReason {
    /// Every reason, in the order of their counters.
    pub const ALL: [DropReason; 12] = [
        Self::FullOldest,
        Self::FullNewest,
        Self::Lapped,
        Self::Joining,
        Self::Timeout,
        Self::Cancelled,
        Self::Panicked,
        Self::Shutdown,
        Self::Store,
        Self::TooLarge,
        Self::Expired,
        Self::Stopped,
    ];

    /// The reason's name in statistics, logs and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullOldest => "full_oldest",
            Self::FullNewest => "full_newest",
            Self::Lapped => "lapped",
            Self::Joining => "joining",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::Shutdown => "shutdown",
            Self::Store => "store",
            Self::TooLarge => "too_large",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Messages that a subscriber will never see, told once, before its next message.
///
/// `count` is exact. On the ring the lost messages are exactly `from..=to`; in a mailbox
/// `from..=to` is the hull of what was lost since the last gap, because other subscribers'
/// messages lie in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first lost sequence.
    pub from: Sequence,
    /// The last lost sequence, inclusive.
    pub to: Sequence,
    /// How many messages were lost.
    pub count: u64,
    /// Why.
    pub reason: DropReason,
}
