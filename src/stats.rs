//! Counters that their owners keep, and the snapshots that people read.
//!
//! Whoever causes a change counts it beside its own fields; a snapshot is put together on
//! demand. There is no registry that the lower floors report to.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{DropReason, Sequence};

/// A number that only grows and that nobody acts on.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds from any thread.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // ORDER: Relaxed; a statistic, nobody acts on it.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds from the one thread that writes this counter: a plain store instead of an RMW.
    #[inline]
    pub(crate) fn add_owned(&self, n: u64) {
        // ORDER: Relaxed; one writer at a time, handed over by the task that owns the counter.
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // ORDER: Relaxed; exact at rest, when whoever asks has synchronised with the owner.
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The account of one subscription: every message that matched it is in exactly one column.
///
/// At rest `matched == handled + failed + dropped + queued + in_flight`, exactly; while messages
/// move, a snapshot may catch one between two columns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// The subscription's number, rising with the time it was made.
    pub id: u64,
    /// Its pattern, as written.
    pub pattern: String,
    /// Messages published while it was subscribed, to topics that its pattern matches.
    pub matched: u64,
    /// Messages whose handler returned without error.
    pub handled: u64,
    /// Messages whose handler returned an error or panicked.
    pub failed: u64,
    /// Messages it will never see, by reason. Reasons that never occurred are left out.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Messages waiting in its mailbox, or on the ring if it reads that.
    pub queued: u64,
    /// Messages taken out and not yet finished.
    pub in_flight: u64,
    /// How many messages may wait: the mailbox's capacity, or the lag a ring reader may build up.
    pub capacity: usize,
}

impl SubscriptionStats {
    /// All drops together.
    #[must_use]
    pub fn total_dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether the account balances. At rest it always does; anything else is a bug.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.matched
            == self.handled + self.failed + self.total_dropped() + self.queued + self.in_flight
    }
}

/// What a bus has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusStats {
    /// Whether publishing is switched on.
    pub enabled: bool,
    /// Whether the bus was closed.
    pub closed: bool,
    /// Messages published since the bus was made.
    pub published: u64,
    /// The sequence the next message will get.
    pub next_sequence: Sequence,
    /// Messages published, by topic.
    pub topics: BTreeMap<String, u64>,
    /// Messages whose handler failed, by topic.
    pub failures: BTreeMap<String, u64>,
    /// One account a subscription, in the order they were made.
    pub subscriptions: Vec<SubscriptionStats>,
    /// Slots of the ring: what was asked for, rounded up to a power of two.
    pub ring_slots: usize,
    /// How many messages `recent` can give.
    pub history: usize,
}
