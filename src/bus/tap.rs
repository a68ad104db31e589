//! Reading the ring itself, in sequence order, from one's own loop.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::alarm;
use super::core::Core;
use crate::actor::Delivery;
use crate::actor::bell::Bell;
use crate::actor::ring_reader::RingReader;
use crate::actor::source::{Entry, Head};
use crate::block_on::block_on;
use crate::mailbox::Wait;
use crate::mailbox::wait::Idle;
use crate::ring::{Next, Reader};
use crate::topic::filter::Filter;
use crate::topic::names::Names;
use crate::{DropReason, Gap, Message, Sequence};

/// What a tap finds.
#[derive(Debug)]
#[non_exhaustive]
pub enum Tapped<'a, M: Message> {
    /// The next message, lent from the ring.
    Delivery(Delivery<'a, M>),
    /// The tap was too slow: these places of the ring came round before it read them. All of
    /// them are counted, also those of topics that its pattern does not match.
    Gap(Gap),
}

/// Why a tap has nothing to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// Nothing new now.
    #[error("nothing new on the ring")]
    Empty,
    /// The bus is closed, and everything was read.
    #[error("the bus is closed")]
    Closed,
}

/// A reader of the ring: every message that its pattern matches, of all publishers, in the one
/// order of the bus.
///
/// It is no subscription: it has no mailbox, no handler and no account, and publishers do not
/// count it. A **lossy** tap is overrun when it falls behind by the ring's capacity, and is then
/// told by one exact [`Gap`]; publishers never wait for it. A **required** tap is never overrun:
/// publishers find the ring full instead.
///
/// While a message is lent, at most one block of the ring is kept for it.
pub struct Tap<M: Message> {
    core: Arc<Core<M>>,
    names: Arc<Names>,
    reader: RingReader<Entry<M>>,
    filter: Filter,
    bell: Arc<Bell>,
    idle: Idle,
    /// The message at the reader's position was handed out.
    lent: bool,
    /// A required tap tells publishers how far it is once a batch, or when its owner says so.
    unacknowledged: usize,
    by_hand: bool,
    /// What lies before this position was acknowledged.
    told: u64,
}

/// What lies at the reader's position, without lending it.
enum Found {
    Message,
    Gap(Gap),
    Empty,
    Closed,
}

/// How many messages a required tap reads before it tells publishers.
const BATCH: usize = 64;

impl<M: Message> Tap<M> {
    pub(crate) fn new(core: Arc<Core<M>>, reader: Reader<Entry<M>>, filter: Filter) -> Self {
        let bell = core.table.bells.bell();
        core.table.bells.add(&bell);
        let (window, told) = (core.log.capacity(), reader.position());
        Self {
            names: Arc::clone(&core.topics.names),
            reader: core.ring_reader(reader),
            core,
            filter,
            bell,
            idle: Idle::new(Wait::default(), window),
            lent: false,
            unacknowledged: 0,
            by_hand: false,
            told,
        }
    }

    /// The sequence it reads next.
    #[must_use]
    pub fn position(&self) -> Sequence {
        Sequence::new(self.reader.position() + u64::from(self.lent))
    }

    /// How many messages lie between it and the newest.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.reader.lag() - u64::from(self.lent)
    }

    /// Whether publishers must not overrun it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.reader.is_required()
    }

    /// From now on publishers are told how far a required tap is by
    /// [`acknowledge`](Tap::acknowledge) alone: what was read and not acknowledged stays on the
    /// ring. For whoever must not lose what it has taken, such as a store.
    pub fn acknowledge_by_hand(&mut self) {
        self.by_hand = true;
    }

    /// Tells publishers that everything handed out so far may be overwritten, except for the
    /// message that is lent now. Does nothing for a lossy tap.
    pub fn acknowledge(&mut self) {
        self.reader.tell();
        self.told = self.reader.position();
        self.unacknowledged = 0;
    }

    /// The same for everything up to `last` alone, of what was handed out: for whoever has taken
    /// more than is safe by now. What was acknowledged before stays so.
    pub fn acknowledge_to(&mut self, last: Sequence) {
        let position = last.get().saturating_add(1).min(self.reader.position());
        if position > self.told {
            self.reader.tell_to(position);
            self.told = position;
        }
    }

    /// The next message or gap, if there is one.
    ///
    /// # Errors
    ///
    /// [`TapError::Empty`], [`TapError::Closed`].
    pub fn try_next(&mut self) -> Result<Tapped<'_, M>, TapError> {
        match self.find() {
            Found::Message => Ok(self.lend()),
            Found::Gap(gap) => Ok(Tapped::Gap(gap)),
            Found::Empty => Err(TapError::Empty),
            Found::Closed => Err(TapError::Closed),
        }
    }

    /// Waits for the next message or gap; `None` when the bus is closed and everything was read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Tapped<'_, M>> {
        match poll_fn(|task| self.poll_found(task)).await {
            Found::Gap(gap) => Some(Tapped::Gap(gap)),
            Found::Closed => None,
            Found::Message | Found::Empty => Some(self.lend()),
        }
    }

    /// As [`next`](Tap::next), for a future of one's own.
    pub fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Tapped<'_, M>>> {
        match self.poll_found(task) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Found::Gap(gap)) => Poll::Ready(Some(Tapped::Gap(gap))),
            Poll::Ready(Found::Closed) => Poll::Ready(None),
            Poll::Ready(Found::Message | Found::Empty) => Poll::Ready(Some(self.lend())),
        }
    }

    /// As [`next`](Tap::next), on this thread.
    pub fn next_blocking(&mut self) -> Option<Tapped<'_, M>> {
        block_on(self.next(), None).flatten()
    }

    /// As [`next`](Tap::next), on this thread, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TapError::Empty`] if nothing came in time, [`TapError::Closed`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Tapped<'_, M>, TapError> {
        match block_on(self.next(), Some(alarm::after(timeout))) {
            Some(Some(tapped)) => Ok(tapped),
            Some(None) => Err(TapError::Closed),
            None => Err(TapError::Empty),
        }
    }

    /// The message `by` places on from the one to come, if it is at hand, whatever its topic.
    #[inline]
    pub(crate) fn ahead(&self, by: u64) -> Option<&M> {
        self.reader.ahead(by).map(|entry| &entry.message)
    }

    /// As [`poll_next`](Self::poll_next), for who needs no more than a message and its sequence.
    pub(crate) fn poll_message(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<(Sequence, &M), Gap>>> {
        self.poll_found(task).map(|found| match found {
            Found::Gap(gap) => Some(Err(gap)),
            Found::Closed => None,
            Found::Message | Found::Empty => {
                let (sequence, entry) = entry(&mut self.reader, &mut self.lent);
                Some(Ok((sequence, &entry.message)))
            }
        })
    }

    /// Ready with anything but [`Found::Empty`].
    fn poll_found(&mut self, task: &mut Context<'_>) -> Poll<Found> {
        loop {
            match self.find() {
                Found::Empty => {}
                found => return Poll::Ready(found),
            }
            if !self.by_hand {
                self.acknowledge();
            }
            self.reader.release();
            let Self { reader, bell, idle, .. } = self;
            let position = reader.position();
            reader.stock();
            if bell
                .poll(idle, task, position, || reader.is_ready(), || reader.is_coming())
                .is_pending()
            {
                return Poll::Pending;
            }
        }
    }

    fn find(&mut self) -> Found {
        if std::mem::take(&mut self.lent) {
            self.advance();
        }
        loop {
            match self.reader.next() {
                Next::Item(_, entry) => {
                    if self.filter.admits(entry.topic, &self.names) {
                        self.idle.reset();
                        return Found::Message;
                    }
                    self.advance();
                }
                Next::Gap { from, to } => {
                    let count = to - from + 1;
                    let (from, to) = (Sequence::new(from), Sequence::new(to));
                    return Found::Gap(Gap { from, to, count, reason: DropReason::Lapped });
                }
                Next::Empty => return Found::Empty,
                Next::Closed => return Found::Closed,
            }
        }
    }

    fn advance(&mut self) {
        self.reader.advance();
        self.unacknowledged += 1;
        if self.unacknowledged >= BATCH && !self.by_hand {
            self.acknowledge();
        }
    }

    /// Lends what [`find`](Tap::find) found.
    fn lend(&mut self) -> Tapped<'_, M> {
        let Self { reader, names, lent, .. } = self;
        let (sequence, Entry { topic, message }) = entry(reader, lent);
        let head = Head { sequence: sequence.get(), topic: *topic, message };
        Tapped::Delivery(Delivery::lend(head, names, &[]))
    }
}

/// The message that was found, which is lent from now on.
#[inline]
fn entry<'a, M: Message>(
    reader: &'a mut RingReader<Entry<M>>,
    lent: &mut bool,
) -> (Sequence, &'a Entry<M>) {
    *lent = true;
    match reader.next() {
        Next::Item(sequence, entry) => (Sequence::new(sequence), entry),
        _ => unreachable!("the block of a message that was found is held"),
    }
}

impl<M: Message> Drop for Tap<M> {
    fn drop(&mut self) {
        self.core.table.bells.remove(&self.bell);
    }
}

impl<M: Message> fmt::Debug for Tap<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("position", &self.position())
            .field("lag", &self.lag())
            .field("required", &self.is_required())
            .finish_non_exhaustive()
    }
}
