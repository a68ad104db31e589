//! The publisher's side of a receipt: asked for by sequence, waited for without polling.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::desk::{Desk, FlushError, after};
use super::waiting::Ticket;
use crate::block_on::block_on;
use crate::event::Event;
use crate::store::{Durable, Level, Receipt, ReceiptError, ReceiptLevel, Watermarks, Written};
use crate::{Bus, Sequence, Shared};

/// Where the receipts of one [`Persistence`](super::Persistence) come from. It keeps neither the
/// persistence nor the bus alive, and outlives both.
#[derive(Clone)]
pub struct Receipts {
    desk: Arc<Desk>,
}

impl Receipts {
    pub(super) fn of(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// A receipt that the record of `sequence` is written.
    ///
    /// # Errors
    ///
    /// See [`Confirmation`].
    pub fn written(&self, sequence: Sequence) -> Confirmation<Written> {
        self.of_level(sequence)
    }

    /// A receipt that the record of `sequence` is durable.
    ///
    /// # Errors
    ///
    /// See [`Confirmation`].
    pub fn durable(&self, sequence: Sequence) -> Confirmation<Durable> {
        self.of_level(sequence)
    }

    /// The same for a level that is a type parameter.
    ///
    /// # Errors
    ///
    /// See [`Confirmation`].
    pub fn of_level<L: ReceiptLevel>(&self, sequence: Sequence) -> Confirmation<L> {
        Confirmation { desk: Arc::clone(&self.desk), sequence, ticket: None, level: PhantomData }
    }

    /// The highest level that the store, with its settings, promises.
    #[must_use]
    pub fn promised(&self) -> Level {
        self.desk.promised()
    }

    /// Whether the persistence stores what this bus publishes.
    #[must_use]
    pub fn are_of(&self, bus: &Bus<Shared<Event>>) -> bool {
        self.desk.serves(bus)
    }

    /// As [`Persistence::flush`](super::Persistence::flush).
    pub(crate) fn flush(&self, upto: Sequence, timeout: Duration) -> Result<(), FlushError> {
        self.desk.flush(upto, timeout)
    }

    /// How far the store is. Neither mark ever goes back.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        self.desk.stats().watermarks
    }
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipts")
            .field("promised", &self.promised())
            .field("watermarks", &self.watermarks())
            .finish_non_exhaustive()
    }
}

/// A receipt to come: await it, or [`wait`](Self::wait) for it.
///
/// It never resolves before what it says is true, and never hangs on a store that answers: a
/// store that fails, a persistence that ends, and a level that is never promised resolve it with
/// a [`ReceiptError`]. A call of the system that does not return holds it up; whoever cannot have
/// that waits with a timeout.
///
/// # Cancel safety
///
/// Dropping it changes nothing for the record. The same sequence may be asked for again.
#[must_use = "it does nothing unless awaited or waited for"]
pub struct Confirmation<L: ReceiptLevel> {
    desk: Arc<Desk>,
    sequence: Sequence,
    ticket: Option<Ticket>,
    level: PhantomData<L>,
}

impl<L: ReceiptLevel> Confirmation<L> {
    /// Whose receipt it is to be.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Waits on this thread, at most for `timeout`. Not for async code.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`].
    pub fn wait(self, timeout: Duration) -> Result<Receipt<L>, ReceiptError> {
        block_on(self, Some(after(timeout))).unwrap_or(Err(ReceiptError::Timeout))
    }
}

impl<L: ReceiptLevel> Future for Confirmation<L> {
    type Output = Result<Receipt<L>, ReceiptError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled =
            this.desk.poll_receipt(this.sequence, L::LEVEL, &mut this.ticket, task.waker());
        polled.map(|answer| {
            if let Some(ticket) = this.ticket.take() {
                this.desk.leave(ticket);
            }
            answer.map(|()| Receipt::new(this.sequence))
        })
    }
}

impl<L: ReceiptLevel> Drop for Confirmation<L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.desk.leave(ticket);
        }
    }
}

impl<L: ReceiptLevel> fmt::Debug for Confirmation<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("sequence", &self.sequence)
            .field("level", &L::LEVEL)
            .finish_non_exhaustive()
    }
}
