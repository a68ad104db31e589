//! Who waits for a receipt, and what each may be told.
//!
//! Lives under the desk's lock and runs no foreign code: wakers come in as clones and go out to
//! be woken once the lock is free. A mark alone gives no receipt: the batch of the record must
//! have been dealt with, because only then it is known which of its records were refused.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

use crate::store::{Level, ReceiptError, Watermarks};
use crate::{Gap, Sequence};

/// How many ranges of sequences that were not stored are remembered with their reasons.
const REMEMBERED: usize = 1024;

/// Identifies one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    level: Level,
    sequence: Sequence,
    number: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Gone once it was woken.
    waker: Option<Waker>,
    failure: Option<ReceiptError>,
}

/// Sequences that are not in the store, although a mark may be above them.
#[derive(Debug)]
struct Missing {
    from: Sequence,
    to: Sequence,
    /// How far this one and all before it reach: they may lie within one another.
    reach: Sequence,
    why: ReceiptError,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Waiting {
    /// What the store can say at most.
    promised: Level,
    /// What was in the store before the first record came.
    before: Option<Sequence>,
    first: Option<Sequence>,
    /// Every record up to here was stored or refused.
    settled: Option<Sequence>,
    /// In the order of their beginnings.
    missing: VecDeque<Missing>,
    /// Up to here something missing may have been forgotten.
    forgotten: Option<Sequence>,
    waiters: BTreeMap<Ticket, Waiter>,
    tickets: u64,
    ended: bool,
}

impl Waiting {
    pub(super) fn new(promised: Level, before: Option<Sequence>) -> Self {
        Self {
            promised,
            before,
            first: None,
            settled: None,
            missing: VecDeque::new(),
            forgotten: None,
            waiters: BTreeMap::new(),
            tickets: 0,
            ended: false,
        }
    }

    /// What the store can say at most.
    pub(super) fn promised(&self) -> Level {
        self.promised
    }

    /// What the store can say at most has changed. Those who wait for more are told.
    pub(super) fn promises(&mut self, level: Level, marks: Watermarks) -> Vec<Waker> {
        self.promised = level;
        let judged = |place: &&Ticket| self.judge(place.sequence, place.level, marks).is_some();
        let places: Vec<_> = self.waiters.keys().filter(judged).copied().collect();
        places.into_iter().filter_map(|place| self.leave(place)).collect()
    }

    /// What is known of a sequence now; nothing yet if it is still to come.
    fn judge(
        &self,
        sequence: Sequence,
        level: Level,
        marks: Watermarks,
    ) -> Option<Result<(), ReceiptError>> {
        let mark = match level {
            Level::Written => marks.written,
            Level::Durable => marks.durable,
        };
        let is_reached = Some(sequence) <= self.settled.min(mark);
        if level > self.promised && !is_reached {
            return Some(Err(ReceiptError::NotPromised(level)));
        }
        if Some(sequence) <= self.before || self.first.is_some_and(|first| sequence < first) {
            return Some(Err(ReceiptError::NotTaken(sequence)));
        }
        // The last range that begins at or before it and does not end before it, if any.
        let after = self.missing.partition_point(|missing| missing.from <= sequence);
        let reaching = |missing: &&Missing| sequence <= missing.reach;
        let mut before = self.missing.range(..after).rev().take_while(reaching);
        if let Some(missing) = before.find(|missing| sequence <= missing.to) {
            return Some(Err(missing.why.clone()));
        }
        if Some(sequence) <= self.forgotten {
            return Some(Err(ReceiptError::NotTaken(sequence)));
        }
        if is_reached {
            return Some(Ok(()));
        }
        self.ended.then_some(Err(ReceiptError::Ended))
    }

    /// An answer, or a place among those who wait. A waker that is no longer needed is handed
    /// back in `waker`.
    pub(super) fn poll(
        &mut self,
        sequence: Sequence,
        level: Level,
        ticket: &mut Option<Ticket>,
        waker: &mut Option<Waker>,
        marks: Watermarks,
    ) -> Poll<Result<(), ReceiptError>> {
        if let Some(answer) = self.judge(sequence, level, marks) {
            return Poll::Ready(answer);
        }
        let place = *ticket.get_or_insert_with(|| {
            self.tickets += 1;
            Ticket { level, sequence, number: self.tickets }
        });
        let waiter = self.waiters.entry(place).or_insert(Waiter { waker: None, failure: None });
        if let Some(why) = waiter.failure.take() {
            return Poll::Ready(Err(why));
        }
        std::mem::swap(&mut waiter.waker, waker);
        Poll::Pending
    }

    /// One who waited goes; the waker is dropped by the caller, once the lock is free.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        self.waiters.remove(&ticket).and_then(|waiter| waiter.waker)
    }

    /// The first record came; what lies before it never will.
    pub(super) fn begins(&mut self, first: Sequence) {
        self.first.get_or_insert(first);
    }

    /// These sequences are not stored, or not any more.
    pub(super) fn misses(&mut self, from: Sequence, to: Sequence, why: ReceiptError) {
        // Mostly the newest; a store that lost what it had taken tells of older ones.
        let at = self.missing.partition_point(|missing| missing.from <= from);
        self.missing.insert(at, Missing { from, to, reach: to, why });
        let mut reach = at.checked_sub(1).and_then(|at| self.missing.get(at)).map(|one| one.reach);
        for missing in self.missing.range_mut(at..) {
            reach = reach.max(Some(missing.to));
            missing.reach = reach.unwrap_or(missing.to);
        }
        if self.missing.len() > REMEMBERED {
            let oldest = self.missing.pop_front().map(|missing| missing.to);
            self.forgotten = self.forgotten.max(oldest);
        }
    }

    /// As [`misses`](Self::misses), for what a source lost.
    pub(super) fn lost(&mut self, gap: Gap) {
        self.misses(gap.from, gap.to, ReceiptError::Lost(gap));
    }

    /// Everything up to here is dealt with.
    pub(super) fn settles(&mut self, upto: Option<Sequence>) {
        self.settled = self.settled.max(upto);
    }

    /// Who can be told something by now. They are removed: their next poll has its answer.
    pub(super) fn due(&mut self, marks: Watermarks) -> Vec<Waker> {
        let missing = self.missing.back().map(|missing| missing.reach);
        let mut woken = Vec::new();
        for (level, mark) in [(Level::Written, marks.written), (Level::Durable, marks.durable)] {
            let Some(upto) = self.settled.min(mark).max(missing) else { continue };
            let from = Ticket { level, sequence: Sequence::new(0), number: 0 };
            let to = Ticket { level, sequence: upto, number: u64::MAX };
            let places: Vec<_> = self.waiters.range(from..=to).map(|(place, _)| *place).collect();
            for place in places {
                if self.judge(place.sequence, level, marks).is_some() {
                    woken.extend(self.leave(place));
                }
            }
        }
        woken
    }

    /// Everybody is told that the store fails.
    pub(super) fn fail(&mut self, why: &ReceiptError) -> Vec<Waker> {
        let wake = |waiter: &mut Waiter| {
            waiter.failure = Some(why.clone());
            waiter.waker.take()
        };
        self.waiters.values_mut().filter_map(wake).collect()
    }

    /// Nothing more will happen: whoever has no receipt by now gets none.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        std::mem::take(&mut self.waiters).into_values().filter_map(|gone| gone.waker).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreError, StoreErrorKind};

    #[test]
    fn a_range_around_one_that_was_told_before_is_missing_on_both_sides_of_it() {
        let written = Some(Sequence::new(20));
        let marks = Watermarks { written, durable: None };
        let mut waiting = Waiting::new(Level::Written, None);
        waiting.begins(Sequence::new(1));
        waiting.settles(written);
        let error = |text| ReceiptError::Failed(StoreError::new(StoreErrorKind::Io, text));
        waiting.misses(Sequence::new(7), Sequence::new(7), error("one"));
        waiting.misses(Sequence::new(15), Sequence::new(15), error("another"));
        waiting.misses(Sequence::new(3), Sequence::new(10), error("around it"));
        let judged = |n| waiting.judge(Sequence::new(n), Level::Written, marks);
        let missing: Vec<_> =
            (1..=20).filter(|n| judged(*n).is_some_and(|answer| answer.is_err())).collect();
        assert_eq!(missing, [3, 4, 5, 6, 7, 8, 9, 10, 15]);
        assert!((1..=20).all(|n| judged(n).is_some()));
    }
}
