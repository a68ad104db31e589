//! What can go wrong at either end of a mailbox: one small type a verb, the message handed back.
//!
//! Built by `Addr` and `Mailbox`; carries no policy and no counters.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// Why a message did not get into a mailbox. The message is handed back.
///
/// Returned by [`Addr::offer`](crate::Addr::offer) and by the sends that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError<T> {
    /// The mailbox was full at some moment of the call.
    Full(T),
    /// The mailbox is closed: by its receiver, or because it was full under
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Closed(T),
}

impl<T> OfferError<T> {
    /// The message.
    #[must_use]
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    /// Whether the mailbox was full, so that a later attempt may succeed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Debug for OfferError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for OfferError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::Closed(_) => "the mailbox is closed",
        })
    }
}

impl<T> Error for OfferError<T> {}

/// Why [`Mailbox::recv`](crate::Mailbox::recv) has no message and never will have one.
///
/// Only returned when everything that was put in before has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The mailbox was closed, or its last address dropped.
    Closed,
    /// A message found the mailbox full under
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Disconnected,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the mailbox is closed",
            Self::Disconnected => "the mailbox was disconnected for being slow",
        })
    }
}

impl Error for RecvError {}

/// Why [`Mailbox::try_recv`](crate::Mailbox::try_recv) has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing is readable now.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::Disconnected`].
    Disconnected,
}

impl From<RecvError> for TryRecvError {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => Self::Closed,
            RecvError::Disconnected => Self::Disconnected,
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the mailbox is empty"),
            Self::Closed => RecvError::Closed.fmt(f),
            Self::Disconnected => RecvError::Disconnected.fmt(f),
        }
    }
}

impl Error for TryRecvError {}
