//! Why a durable consumer was not made.
#![forbid(unsafe_code)]

use std::io;

use crate::store::{ConsumerName, ConsumerNameError, FlushError, StoreError};

/// Why a durable consumer was not made. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The name is not a valid one.
    #[error(transparent)]
    Name(#[from] ConsumerNameError),
    /// Somebody runs the consumer already, in this process or in another one.
    #[error("the consumer {0} runs already: stop it first, or take another name")]
    Running(ConsumerName),
    /// A setting of the subscription was made that means nothing for a durable consumer, which
    /// has no mailbox and a thread of its own.
    #[error(
        "a durable consumer takes the subscription's pattern alone: set no mailbox, overflow, \
         executor or start before `durable`"
    )]
    Settings,
    /// The pattern asks for notices, which no journal has.
    #[error("the pattern {0} asks for notices, which are not journaled")]
    Notices(String),
    /// The persistence stores what another bus publishes, or nobody's.
    #[error("the persistence does not store what this bus publishes")]
    OtherBus,
    /// The store keeps no checkpoints: durable consumers need a journal.
    #[error("durable consumers need a journal")]
    Unsupported(#[source] StoreError),
    /// The checkpoint or the journal could not be read, or the first checkpoint not stored.
    #[error(transparent)]
    Store(StoreError),
    /// Where to begin depends on events that the journal could not take in time.
    #[error("where to begin is not known, because the journal could not be flushed")]
    Flush(#[from] FlushError),
    /// The bus is closed.
    #[error("the bus is closed")]
    Closed,
    /// The system gives no thread.
    #[error("the consumer's thread could not be started: {0}")]
    Thread(#[from] io::Error),
}
