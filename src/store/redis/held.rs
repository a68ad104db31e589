//! What a stream should hold: runs of sequences that its server acknowledged, and what it lost of them.
//!
//! A server may come back with less than it had more than once, and lower each time. What it has
//! lost is no longer held, so nothing is told twice and nothing is left out. Each run is told by
//! itself: one range over several would cover what is not lost, or what was told before.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::shape::Shape;
use crate::store::Record;
use crate::{DropReason, Gap, Sequence};

/// How many runs are told apart. Beyond that the two lowest become one, which is right about the number
/// of its records and says of its range what lies in it at most.
const MOST: usize = 8;

/// `count` sequences between two, inclusive.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u64,
    to: u64,
    count: u64,
}

impl Run {
    /// Whether it has every sequence in its range.
    fn is_whole(&self) -> bool {
        self.count > self.to - self.from
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Held {
    /// In rising order.
    runs: VecDeque<Run>,
    /// What is lost and still to be told, the highest first.
    lost: VecDeque<Run>,
}

impl Held {
    /// What is in a stream that was opened.
    pub(super) fn of(shape: Shape) -> Self {
        let (from, to) = (shape.first.major, shape.last.major);
        let mut held = Self::default();
        if shape.length > 0 && from <= to {
            let count = shape.length.min((to - from).saturating_add(1));
            held.runs.push_back(Run { from, to, count });
        }
        held
    }

    /// The server has acknowledged these, behind all that came before.
    pub(super) fn take(&mut self, records: &[Record]) {
        for record in records {
            let sequence = record.sequence.get();
            match self.runs.back_mut() {
                Some(run) if run.to + 1 == sequence && run.is_whole() => {
                    run.to = sequence;
                    run.count += 1;
                }
                _ => self.begin(sequence),
            }
        }
    }

    fn begin(&mut self, sequence: u64) {
        self.runs.push_back(Run { from: sequence, to: sequence, count: 1 });
        if self.runs.len() > MOST
            && let Some(lowest) = self.runs.pop_front()
            && let Some(next) = self.runs.front_mut()
        {
            next.from = lowest.from;
            next.count += lowest.count;
        }
    }

    /// The stream's bound leaves so many of them: the others were trimmed, the lowest first.
    pub(super) fn keep(&mut self, length: u64) {
        let held: u64 = self.runs.iter().map(|run| run.count).sum();
        let mut trimmed = held.saturating_sub(length);
        while trimmed > 0
            && let Some(run) = self.runs.front_mut()
        {
            let count = trimmed.min(run.count);
            // Where a run with holes begins by now, nobody knows.
            if run.is_whole() {
                run.from += count;
            }
            run.count -= count;
            trimmed -= count;
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// The server ends at `last` by now: what lies above is lost.
    pub(super) fn cut(&mut self, last: u64) {
        while let Some(run) = self.runs.back_mut()
            && run.to > last
        {
            let from = run.from.max(last + 1);
            // Of a run with holes: rather too many than too few.
            let count = run.count.min(run.to - from + 1);
            self.lost.push_back(Run { from, to: run.to, count });
            run.to = from - 1;
            run.count -= count;
            if run.count == 0 {
                self.runs.pop_back();
            }
        }
    }

    /// The next range to tell; each is told once.
    pub(super) fn next_lost(&mut self) -> Option<Gap> {
        let Run { from, to, count } = self.lost.pop_front()?;
        let (from, to) = (Sequence::new(from), Sequence::new(to));
        Some(Gap { from, to, count, reason: DropReason::Store })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::entry::EntryId;
    use super::*;
    use crate::event::Event;
    use crate::ring::Shared;

    fn take(held: &mut Held, sequences: impl IntoIterator<Item = u64>) {
        let event = Event::builder("t").source("s").build().expect("an event");
        let event = Shared::new(event);
        let record = |n| Record { sequence: Sequence::new(n), event: event.clone() };
        held.take(&sequences.into_iter().map(record).collect::<Vec<_>>());
    }

    fn told(held: &mut Held) -> Vec<(u64, u64, u64)> {
        std::iter::from_fn(|| held.next_lost())
            .map(|gap| (gap.from.get(), gap.to.get(), gap.count))
            .collect()
    }

    fn opened(first: u64, last: u64, length: u64) -> Held {
        let [first, last] = [first, last].map(|major| EntryId { major, minor: 0 });
        Held::of(Shape { first, last, length })
    }

    #[test]
    fn each_run_is_told_by_itself_the_highest_first() {
        let mut held = opened(1, 3, 3);
        take(&mut held, [4, 5, 8, 9]);
        held.cut(4);
        assert_eq!(told(&mut held), [(8, 9, 2), (5, 5, 1)]);
        take(&mut held, [10]);
        held.cut(0);
        assert_eq!(told(&mut held), [(10, 10, 1), (1, 4, 4)]);
        held.cut(0);
        assert_eq!(told(&mut held), []);
    }

    #[test]
    fn what_was_opened_with_holes_is_told_with_the_right_number() {
        let mut held = opened(41, 60, 10);
        take(&mut held, [61, 62]);
        held.keep(8);
        held.cut(0);
        assert_eq!(told(&mut held), [(61, 62, 2), (41, 60, 6)]);
        let mut nothing = opened(0, 60, 0);
        nothing.cut(0);
        assert_eq!(told(&mut nothing), []);
    }

    #[test]
    fn of_many_runs_the_number_of_records_stays_right() {
        let mut held = Held::default();
        take(&mut held, (1..=100).map(|n| 2 * n));
        held.cut(0);
        let told = told(&mut held);
        assert_eq!(told.len(), MOST);
        assert_eq!(told[0], (200, 200, 1));
        assert_eq!(told.iter().map(|(_, _, count)| count).sum::<u64>(), 100);
        assert_eq!(told[MOST - 1].0, 2);
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_was_held_and_is_no_longer(
            bound in 1_u64..50,
            steps in prop::collection::vec((1_u64..4, 1_u64..20, prop::option::of(0_u64..60)), 1..7),
        ) {
            let (mut held, mut model, mut last) = (Held::default(), BTreeSet::new(), 0);
            for (skip, count, cut) in steps {
                let from = last + skip;
                last = from + count - 1;
                take(&mut held, from..=last);
                model.extend(from..=last);
                held.keep(bound);
                while model.len() as u64 > bound {
                    model.pop_first();
                }
                if let Some(cut) = cut {
                    held.cut(cut);
                    let told = told(&mut held);
                    prop_assert!(told.is_sorted_by(|one, next| one.0 > next.1));
                    prop_assert!(told.iter().all(|(from, to, count)| to - from + 1 == *count));
                    let lost: BTreeSet<u64> =
                        told.iter().flat_map(|(from, to, _)| *from..=*to).collect();
                    prop_assert_eq!(lost, model.split_off(&(cut + 1)));
                }
            }
        }
    }
}
