//! What happens to a message that finds a mailbox full.
//!
//! Chosen when a mailbox is made, asked by `Addr` on its slow path only.
#![forbid(unsafe_code)]

use std::time::Duration;

/// What a full mailbox does with one more message.
///
/// Whatever is lost is counted, see [`Counts`](crate::Counts).
///
/// | policy | the sender | what is lost |
/// |---|---|---|
/// | `DropOldest` | never waits | the oldest unread messages, a sixteenth of the capacity at once |
/// | `DropNewest` | never waits, gets the message back | the new message |
/// | `Block` | waits, if it calls a `send` that waits | nothing |
/// | `Disconnect` | never waits, gets the message back | everything after the close |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest messages give way: the receiver sees the newest. The default.
    ///
    /// Room is made for a sixteenth of the capacity at a time (at least for one message), so that
    /// a receiver that has stopped costs its senders little. If the receiver is taking messages
    /// out at that very moment, the new message is turned away instead, and counted as refused:
    /// a sender never waits for it.
    #[default]
    DropOldest,
    /// The new message is turned away: the receiver sees the oldest.
    DropNewest,
    /// Nothing gives way. [`Addr::offer`](crate::Addr::offer) hands the message back; the sends
    /// that wait do so until there is room.
    ///
    /// A mailbox with 1,024 places or more wakes those who wait with a time-out, publishers among
    /// them, when half of it is free or nothing is left to take. Before that they look for room by
    /// themselves, at first after 1 ms and at last every 16 ms, and when their time is over.
    Block {
        /// How long a publish waits for this mailbox, before it gives up.
        timeout: Duration,
    },
    /// The mailbox is closed. Its receiver gets what is inside and then
    /// [`RecvError::Disconnected`](crate::RecvError::Disconnected).
    Disconnect,
}

impl Overflow {
    /// [`Overflow::Block`] with a timeout of one second.
    #[must_use]
    pub const fn block() -> Self {
        Self::Block { timeout: Duration::from_secs(1) }
    }

    /// Whether senders may wait for room.
    pub(crate) const fn waits(self) -> bool {
        matches!(self, Self::Block { .. })
    }
}
