//! What a mailbox lost, told by whoever lost it to the one who reads.
//!
//! Publishers record (they refuse, or push the oldest out), the subscriber's runner collects
//! and makes a [`Gap`] of it. Recording never waits: it is four RMWs on a line that nobody
//! touches while nothing is lost.
//!
//! The hull travels beside the counts without a lock. A recorder says that it begins, widens the
//! hull, and counts last; the collector takes the counts first and the hull afterwards. So the
//! hull it takes covers at least what it counted. It may also have parts of a loss that is not
//! counted yet: then more were begun than counted, and the hull is kept for the rounds to come,
//! until all that was begun is counted.
#![forbid(unsafe_code)]

use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{DropReason, Gap, Sequence};

const REASONS: usize = DropReason::ALL.len();

/// Counts of losses by reason, and the hull of those not yet told.
pub(crate) struct Losses {
    /// Added to first by a recorder: "something is new".
    begun: AtomicU64,
    by_reason: [AtomicU64; REASONS],
    /// The hull's ends; `u64::MAX` and 0 when it is empty.
    from: AtomicU64,
    to: AtomicU64,
}

impl Losses {
    pub(crate) fn new() -> Self {
        Self {
            begun: AtomicU64::new(0),
            by_reason: std::array::from_fn(|_| AtomicU64::new(0)),
            from: AtomicU64::new(u64::MAX),
            to: AtomicU64::new(0),
        }
    }

    /// Counts `n` lost messages whose sequences lie in `from..=to`.
    pub(crate) fn record(&self, reason: DropReason, from: u64, to: u64, n: u64) {
        // ORDER: Relaxed; whoever takes a part of the hull acquires it with that.
        self.begun.fetch_add(n, Ordering::Relaxed);
        // ORDER(loss): Release; pairs with ORDER(loss) in `Collector::collect_new`. Carries the
        // count of what was begun.
        self.from.fetch_min(from, Ordering::Release);
        // ORDER(loss): Release; as above.
        self.to.fetch_max(to, Ordering::Release);
        // ORDER(loss): Release; pairs with ORDER(loss) in `Collector::collect_new`. Carries the
        // hull.
        self.by_reason[reason as usize].fetch_add(n, Ordering::Release);
    }

    /// Losses for one reason so far.
    pub(crate) fn count(&self, reason: DropReason) -> u64 {
        // ORDER: Relaxed; a statistic.
        self.by_reason[reason as usize].load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = DropReason::ALL.iter().map(|&r| (r, self.count(r))).filter(|&(_, n)| n > 0);
        f.debug_map().entries(counts).finish()
    }
}

/// The reader's side of [`Losses`]: what it has told already.
#[derive(Debug)]
pub(crate) struct Collector {
    seen_total: u64,
    seen: [u64; REASONS],
    /// The hull of an earlier round, while some of what it covers may not be counted yet.
    kept: (u64, u64),
}

const NOTHING: (u64, u64) = (u64::MAX, 0);

impl Collector {
    pub(crate) fn new() -> Self {
        Self { seen_total: 0, seen: [0; REASONS], kept: NOTHING }
    }

    /// Appends one gap for each reason that has new losses.
    #[inline]
    pub(crate) fn collect(&mut self, losses: &Losses, gaps: &mut Vec<Gap>) {
        // ORDER: Relaxed; only whether to look. Who came by a later message has this number too.
        if losses.begun.load(Ordering::Relaxed) != self.seen_total {
            self.collect_new(losses, gaps);
        }
    }

    #[cold]
    fn collect_new(&mut self, losses: &Losses, gaps: &mut Vec<Gap>) {
        let mut fresh = [0; REASONS];
        for (i, counter) in losses.by_reason.iter().enumerate() {
            // ORDER(loss): Acquire; pairs with ORDER(loss) in `Losses::record`. The hull of what
            // is counted here is visible below, unless an earlier round took it.
            let count = counter.load(Ordering::Acquire);
            fresh[i] = count - self.seen[i];
            self.seen[i] = count;
        }
        self.seen_total = self.seen.iter().sum();
        // ORDER(loss): Acquire; pairs with ORDER(loss) in `Losses::record`. Whose end is taken
        // here, is among those that have begun below.
        let from = losses.from.swap(u64::MAX, Ordering::Acquire);
        // ORDER(loss): Acquire; as above.
        let to = losses.to.swap(0, Ordering::Acquire);
        // ORDER: Relaxed; ordered by the acquiring swaps above.
        let begun = losses.begun.load(Ordering::Relaxed);
        let hull = (from.min(self.kept.0), to.max(self.kept.1));
        self.kept = if begun == self.seen_total { NOTHING } else { hull };
        for (i, &count) in fresh.iter().enumerate() {
            if count > 0 {
                gaps.push(Gap {
                    from: Sequence::new(hull.0),
                    to: Sequence::new(hull.1),
                    count,
                    reason: DropReason::ALL[i],
                });
            }
        }
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_with_their_hull() {
        let losses = Losses::new();
        let mut collector = Collector::new();
        let mut gaps = Vec::new();
        collector.collect(&losses, &mut gaps);
        assert!(gaps.is_empty());

        losses.record(DropReason::FullOldest, 5, 9, 3);
        losses.record(DropReason::FullOldest, 2, 3, 2);
        collector.collect(&losses, &mut gaps);
        let gap = Gap {
            from: Sequence::new(2),
            to: Sequence::new(9),
            count: 5,
            reason: DropReason::FullOldest,
        };
        assert_eq!(gaps, [gap]);

        gaps.clear();
        collector.collect(&losses, &mut gaps);
        assert!(gaps.is_empty());
    }

    #[test]
    fn each_reason_has_a_gap_of_its_own() {
        let losses = Losses::new();
        losses.record(DropReason::FullNewest, 7, 7, 1);
        losses.record(DropReason::FullOldest, 1, 1, 1);
        let mut gaps = Vec::new();
        Collector::new().collect(&losses, &mut gaps);
        let reasons: Vec<_> = gaps.iter().map(|gap| (gap.reason, gap.count)).collect();
        assert_eq!(reasons, [(DropReason::FullOldest, 1), (DropReason::FullNewest, 1)]);
        assert_eq!(losses.count(DropReason::FullNewest), 1);
    }
}
