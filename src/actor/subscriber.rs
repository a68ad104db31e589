//! One subscription as its runner, its publishers and its owner share it.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use super::ledger::Ledger;
use crate::stats::Counter;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::topic::Pattern;
use crate::topic::names::Names;
use crate::{Message, Notice};

/// What a run loop needs of the bus above it.
pub(crate) trait Host<M: Message>: Send + Sync {
    /// A handler failed, or the actor itself.
    fn notify(&self, notice: Notice);
    /// The subscription has stopped by failure, and still holds everything that keeps publishers
    /// from losing messages to it: they are to hear of it before it lets go.
    fn failing(&self, id: u64);
    /// The run loop is over: the subscription leaves the route table.
    fn ended(&self, id: u64);
    /// A receiver has nothing to do: the memory that publishers will need next may be made.
    fn stock(&self);
}

/// How many messages apart a receiver has the ring stocked: a quarter of a block of a usual ring.
const STOCK_EVERY: u64 = 64;

/// The life of a subscription. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Life {
    /// Messages are handled.
    Running,
    /// Cancelled: the runner gives up what is left as soon as it looks.
    Cancelled,
    /// The bus gave up waiting for it.
    Abandoned,
    /// The runner is gone.
    Ended,
    /// The runner is gone or going, because the actor could not start or its executor dropped it.
    Failed,
}

/// What all subscriptions of one bus have in common: one allocation for all of them.
pub(crate) struct Home<M: Message> {
    /// The bus's number, for [`scope`](super::scope).
    pub(crate) bus: u64,
    pub(crate) names: Arc<Names>,
    /// Messages that the handlers of the bus published to it: one count for all of them, so that
    /// it stays whole when subscriptions go.
    pub(crate) caused: Arc<CachePadded<Counter>>,
    /// The bus; a subscription does not keep it alive.
    pub(crate) host: Weak<dyn Host<M>>,
}

/// The shared part of a subscription.
///
/// In this order, because the runner writes its counters once a message: what lies before and
/// behind them in this allocation is written seldom, and is more than a cache line on either side
/// together with the counts of the `Arc`. So they share no line with anybody else's words, and
/// neither an alignment nor padding is needed, which cost an idle subscription 400 bytes.
#[repr(C)]
pub(crate) struct Subscriber<M: Message> {
    pub(crate) id: u64,
    pub(crate) home: Arc<Home<M>>,
    pub(crate) pattern: Pattern,
    pub(crate) ledger: Ledger,
    /// For a reader of the ring or of a shared log: the tail when it ended, or was cancelled; `u64::MAX`
    /// while it runs.
    ended_at: AtomicU64,
    life: AtomicU8,
    /// Whether it has read all of the past that it asked for.
    caught_up: AtomicBool,
}

/// A count of who needs a subscriber, whatever else lies in the same allocation.
pub(crate) trait Held<M: Message>:
    Deref<Target = Subscriber<M>> + Send + Unpin + 'static
{
}

impl<M: Message, H: Deref<Target = Subscriber<M>> + Send + Unpin + 'static> Held<M> for H {}

impl<M: Message> Subscriber<M> {
    pub(crate) fn new(id: u64, home: Arc<Home<M>>, pattern: Pattern, caught_up: bool) -> Self {
        Self {
            id,
            home,
            pattern,
            ledger: Ledger::new(),
            ended_at: AtomicU64::new(u64::MAX),
            life: AtomicU8::new(Life::Running as u8),
            caught_up: AtomicBool::new(caught_up),
        }
    }

    /// The names of the bus's topics.
    #[inline]
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.home.names
    }

    /// Tells the bus of a failure, if there still is one.
    pub(crate) fn notify(&self, notice: Notice) {
        if let Some(host) = self.home.host.upgrade() {
            host.notify(notice);
        }
    }

    /// Counts what handlers have published, for `settle`. Comes before their work counts as done.
    #[inline]
    pub(crate) fn note_caused(&self, published: u64) {
        if published != 0 {
            self.home.caused.add(published);
        }
    }

    /// For a receiver that finds nothing at `position`: has the bus make memory ahead, unless it did
    /// `since` a few messages ago, because holding the bus for a moment takes a line from everybody.
    /// The ring itself is not held on to: its messages live no longer for a subscription.
    pub(crate) fn stock(&self, since: &mut u64, position: u64) {
        if position >= since.saturating_add(STOCK_EVERY) {
            *since = position;
            if let Some(host) = self.home.host.upgrade() {
                host.stock();
            }
        }
    }

    /// The run loop is over.
    pub(crate) fn ended(&self) {
        if let Some(host) = self.home.host.upgrade() {
            host.ended(self.id);
        }
    }

    #[inline]
    pub(crate) fn life(&self) -> Life {
        // ORDER(life): Acquire; pairs with ORDER(life) in `advance`. Carries the final counters.
        match self.life.load(Ordering::Acquire) {
            0 => Life::Running,
            1 => Life::Cancelled,
            2 => Life::Abandoned,
            3 => Life::Ended,
            _ => Life::Failed,
        }
    }

    /// Goes on to a later stage of life; whether this call did it.
    pub(crate) fn advance(&self, to: Life) -> bool {
        // ORDER(life): AcqRel; pairs with ORDER(life) in `life`.
        self.life.fetch_max(to as u8, Ordering::AcqRel) < to as u8
    }

    /// It has stopped by failure. Comes before anything of it is let go: what its publishers put
    /// where nobody looks any more would be lost without being counted.
    pub(crate) fn fail(&self) {
        if self.advance(Life::Failed)
            && let Some(host) = self.home.host.upgrade()
        {
            host.failing(self.id);
        }
    }

    /// The past was read: from now on the mailbox tells how far the runner is.
    pub(crate) fn set_caught_up(&self) {
        // ORDER(caught-up): Release; pairs with ORDER(caught-up) in `is_caught_up`. Carries the
        // counters of the past.
        self.caught_up.store(true, Ordering::Release);
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        // ORDER(caught-up): Acquire; pairs with ORDER(caught-up) in `set_caught_up`.
        self.caught_up.load(Ordering::Acquire)
    }

    /// Notes where a ring reader ended.
    pub(crate) fn set_ended_at(&self, tail: u64) {
        // ORDER: Relaxed; `advance(Ended)` releases it.
        self.ended_at.store(tail, Ordering::Relaxed);
    }

    /// Notes where it ends, unless that is noted.
    pub(crate) fn end_at(&self, tail: u64) {
        let (at, relaxed) = (&self.ended_at, Ordering::Relaxed);
        // ORDER: Relaxed; a statistic, exact once `life` said Ended.
        let _ = at.compare_exchange(u64::MAX, tail, relaxed, relaxed);
    }

    /// Where a ring reader ended, or `tail` while it runs.
    pub(crate) fn end(&self, tail: u64) -> u64 {
        // ORDER: Relaxed; a statistic, exact once `life` said Ended.
        self.ended_at.load(Ordering::Relaxed).min(tail)
    }
}

impl<M: Message> fmt::Debug for Subscriber<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .field("pattern", &self.pattern)
            .field("life", &self.life())
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}
