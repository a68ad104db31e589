//! What a mailbox lost, told by whoever lost it to the one who reads.
//!
//! Publishers record (they refuse, or push the oldest out), the subscriber's runner collects
//! and makes a [`Gap`] of it. Recording never waits: it is four RMWs on a line that nobody
//! touches while nothing is lost.
//!
//! The hull travels beside the counts without a lock. A recorder widens the hull first and
//! counts afterwards; the collector takes the counts first and the hull afterwards. So the hull
//! it takes covers at least what it counted. It may also cover a loss that is counted only in
//! the next round: that round then finds no hull of its own, and widens by the last one.
#![forbid(unsafe_code)]

use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{DropReason, Gap, Sequence};

const REASONS: usize = DropReason::ALL.len();

/// Counts of losses by reason, and the hull of those not yet told.
pub(crate) struct Losses {
    /// Added to last by a recorder: "something is new".
    total: AtomicU64,
    by_reason: [AtomicU64; REASONS],
    /// The hull's ends; `u64::MAX` and 0 when it is empty.
    from: AtomicU64,
    to: AtomicU64,
}

impl Losses {
    pub(crate) fn new() -> Self {
        Self {
            total: AtomicU64::new(0),
            by_reason: std::array::from_fn(|_| AtomicU64::new(0)),
            from: AtomicU64::new(u64::MAX),
            to: AtomicU64::new(0),
        }
    }

    /// Counts `n` lost messages whose sequences lie in `from..=to`.
    pub(crate) fn record(&self, reason: DropReason, from: u64, to: u64, n: u64) {
        // ORDER: Relaxed; the counts below release them.
        self.from.fetch_min(from, Ordering::Relaxed);
        // ORDER: Relaxed; as above.
        self.to.fetch_max(to, Ordering::Relaxed);
        // ORDER(loss): Release; pairs with ORDER(loss) in `Collector::collect`. Carries the hull.
        self.by_reason[reason as usize].fetch_add(n, Ordering::Release);
        // ORDER(loss): Release; as above, and carries the count by reason.
        self.total.fetch_add(n, Ordering::Release);
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
    last: (u64, u64),
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self { seen_total: 0, seen: [0; REASONS], last: (u64::MAX, 0) }
    }

    /// Appends one gap for each reason that has new losses.
    #[inline]
    pub(crate) fn collect(&mut self, losses: &Losses, gaps: &mut Vec<Gap>) {
        // ORDER(loss): Acquire; pairs with ORDER(loss) in `Losses::record`.
        if losses.total.load(Ordering::Acquire) != self.seen_total {
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
        // ORDER: Relaxed; ordered by the acquiring loads above.
        let from = losses.from.swap(u64::MAX, Ordering::Relaxed);
        // ORDER: Relaxed; as above.
        let to = losses.to.swap(0, Ordering::Relaxed);
        let hull = if from <= to && from != u64::MAX {
            (from, to)
        } else {
            // An earlier round took one or both ends before the loss was counted.
            (from.min(self.last.0), to.max(self.last.1))
        };
        self.last = hull;
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
