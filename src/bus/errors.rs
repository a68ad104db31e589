//! What publishing and subscribing can refuse, and why.
#![forbid(unsafe_code)]

use std::fmt;

use crate::actor::ExecutorError;
use crate::topic::{PatternError, TopicError};

/// Why a message was not published. It is handed back.
#[non_exhaustive]
pub enum PublishError<M> {
    /// A `Block` subscriber's mailbox, or a required reader of the ring, had no room: at all for
    /// `try_publish`, or for the whole timeout for `publish`. Nothing was published.
    Full(M),
    /// The bus was closed.
    Closed(M),
    /// A `Block` subscriber stopped by failure. Publishing works again once its subscription is
    /// cancelled.
    Stopped {
        /// The subscription's number.
        subscriber: u64,
        /// The message.
        message: M,
    },
    /// The topic is not a valid one.
    Topic {
        /// What is wrong with it.
        error: TopicError,
        /// The message.
        message: M,
    },
    /// The message names no topic of its own, and none was given.
    NoTopic(M),
}

impl<M> PublishError<M> {
    /// The message that was not published.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message)
            | Self::Closed(message)
            | Self::Stopped { message, .. }
            | Self::Topic { message, .. }
            | Self::NoTopic(message) => message,
        }
    }

    /// Whether trying again later may succeed without anybody changing anything.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the bus was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<M> fmt::Display for PublishError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("a subscriber that must not lose anything has no room"),
            Self::Closed(_) => f.write_str("the bus is closed"),
            Self::Stopped { subscriber, .. } => {
                write!(f, "subscription {subscriber}, which must not lose anything, has stopped")
            }
            Self::Topic { error, .. } => error.fmt(f),
            Self::NoTopic(_) => f.write_str("the message names no topic and none was given"),
        }
    }
}

impl<M> fmt::Debug for PublishError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
            Self::Stopped { .. } => "Stopped",
            Self::Topic { .. } => "Topic",
            Self::NoTopic(_) => "NoTopic",
        };
        write!(f, "{name}({self})")
    }
}

impl<M> std::error::Error for PublishError<M> {}

/// Why a batch went out only in part. What is left stays in the caller's `Vec`.
#[derive(Debug, thiserror::Error)]
#[error("{} of the batch went out before this: {cause}", published.count)]
#[non_exhaustive]
pub struct BatchError {
    /// What did go out.
    pub published: super::PublishedBatch,
    /// Why the rest did not.
    pub cause: PublishError<()>,
}

/// Why a subscription was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The pattern is not a valid one.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A mailbox of this capacity can't be made.
    #[error("a mailbox holds 1 to {limit} messages, not {asked}")]
    Capacity {
        /// What was asked for.
        asked: usize,
        /// The largest possible capacity.
        limit: usize,
    },
    /// The bus is closed.
    #[error("the bus is closed")]
    Closed,
    /// The actor can't be started.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// What the subscription wants to start from is no longer on the ring.
    #[error("the ring no longer holds sequence {0}")]
    Evicted(crate::Sequence),
}
