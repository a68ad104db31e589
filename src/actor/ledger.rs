//! What became of every message of one subscription.
//!
//! Publishers write only what they lose or refuse ([`Losses`]); the runner writes the rest, on a
//! line of its own. The account is put together on demand from these and from the positions of
//! the mailbox or the ring.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use crate::DropReason;
use crate::mailbox::losses::Losses;
use crate::stats::Counter;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The counters of one subscription.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Ledger {
    /// Written by the runner alone, once a message; and by who gives it a seat at a log before it has
    /// anything to run. First, see [`Subscriber`].
    ///
    /// [`Subscriber`]: super::subscriber::Subscriber
    pub(crate) runner: RunnerCounts,
    /// Written by whoever loses a message.
    pub(crate) losses: LossesIfAny,
    /// How many of the losses never were in the mailbox. Written as those are.
    pub(crate) outside: Counter,
}

/// The runner's own columns: one cache line of them.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct RunnerCounts {
    pub(crate) handled: Counter,
    pub(crate) failed: Counter,
    /// Taken from the mailbox, and older than the subscription.
    pub(crate) discarded: Counter,
    /// Taken from the mailbox and given up because the subscription ended.
    pub(crate) given_up: Counter,
    /// Taken out of the mailbox.
    pub(crate) taken: Counter,
    /// Read from history before the mailbox was joined.
    pub(crate) replayed: Counter,
    /// Overwritten in history before it was read.
    pub(crate) lapped: Counter,
    done: AtomicU64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            runner: RunnerCounts::default(),
            losses: LossesIfAny::default(),
            outside: Counter::default(),
        }
    }

    /// Counts a message that the mailbox never had.
    #[cold]
    pub(crate) fn lose_outside(&self, reason: DropReason, sequence: u64) {
        self.outside.add(1);
        self.losses.record(reason, sequence, sequence, 1);
    }
}

/// [`Losses`] that are made with the first loss: most subscriptions never have one.
#[derive(Debug, Default)]
pub(crate) struct LossesIfAny(OnceLock<Box<Losses>>);

impl LossesIfAny {
    /// As [`Losses::record`]. The first to lose may have to wait for another first one's
    /// allocation; nobody after them does.
    pub(crate) fn record(&self, reason: DropReason, from: u64, to: u64, n: u64) {
        self.0.get_or_init(|| Box::new(Losses::new())).record(reason, from, to, n);
    }

    /// As [`Losses::count`].
    pub(crate) fn count(&self, reason: DropReason) -> u64 {
        self.0.get().map_or(0, |losses| losses.count(reason))
    }

    /// The losses, if there are any. Who came by a message that was put in after a loss finds it.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Losses> {
        self.0.get().map(|losses| &**losses)
    }
}

impl RunnerCounts {
    /// The position (of the mailbox or the ring) below which everything was handled.
    pub(crate) fn set_done(&self, position: u64) {
        // ORDER(done): Release; pairs with ORDER(done) in `done`. Carries every effect of the
        // handlers, and what they added to the bus's count of caused messages.
        self.done.store(position, Ordering::Release);
    }

    pub(crate) fn done(&self) -> u64 {
        // ORDER(done): Acquire; pairs with ORDER(done) in `set_done`.
        self.done.load(Ordering::Acquire)
    }

    /// Messages that the handler is done with.
    pub(crate) fn finished(&self) -> u64 {
        self.handled.get() + self.failed.get()
    }

    /// Messages taken out of the mailbox and not yet accounted for.
    pub(crate) fn in_flight(&self) -> u64 {
        let finished = self.finished() + self.discarded.get() + self.given_up.get();
        (self.taken.get() + self.replayed.get()).saturating_sub(finished)
    }
}
