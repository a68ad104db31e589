//! The smallest size that meets every goal, and the curve of sizes.
//!
//! Loss need not fall with every place that is added: a message that finds room may be one whose
//! handling makes ten others lost, and batches grow with the mailbox. So sizes up to 256 are tried
//! one by one. Above, eight sizes a doubling are tried, and between the first that meets the goals
//! and the one before it the boundary is halved down. Above a certain size nothing is lost any
//! more and all sizes are alike: if that one does not meet the goals, none does.
#![forbid(unsafe_code)]

use std::ops::ControlFlow;

use super::goal::Goal;
use super::queue::{Fate, Queue};
use crate::latency::Latencies;

/// Up to here every size is tried.
const ONE_BY_ONE: usize = 256;
/// How many sizes are tried each time the size doubles, above that.
const STEPS: usize = 8;
/// The largest mailbox there is.
const LARGEST: usize = 1 << 31;

/// What a size comes to.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) size: usize,
    pub(crate) lost: u64,
    /// Of those that were handled.
    pub(crate) delay: Latencies,
    /// Whether it meets every goal.
    pub(crate) meets: bool,
}

/// Sizes of one queue, held against goals.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    queue: Queue<'a>,
    goals: &'a [Goal],
    saturation: usize,
}

impl<'a> Search<'a> {
    pub(crate) fn new(queue: Queue<'a>, goals: &'a [Goal]) -> Self {
        Self { queue, goals, saturation: queue.saturation() }
    }

    /// Plays a size through to its end.
    pub(crate) fn point(&self, size: usize) -> Point {
        let mut lost = 0;
        let mut delays = Latencies::new();
        let mut missed = vec![0_u64; self.goals.len()];
        // It never ends early, so that all is counted.
        let _ = self.queue.play(size, |fate| {
            match fate {
                Fate::Handled { delay } => delays.add(delay),
                Fate::Lost => lost += 1,
            }
            for (missed, goal) in missed.iter_mut().zip(self.goals) {
                *missed += u64::from(goal.is_missed_by(fate));
            }
            ControlFlow::Continue(())
        });
        let messages = self.queue.arrivals.len();
        let meets =
            missed.iter().zip(self.goals).all(|(missed, goal)| *missed <= goal.allowed(messages));
        Point { size, lost, delay: delays, meets }
    }

    /// Whether a size meets every goal; looks no further than to the first that it misses.
    fn meets(&self, size: usize) -> bool {
        let messages = self.queue.arrivals.len();
        let mut left: Vec<u64> = self.goals.iter().map(|goal| goal.allowed(messages)).collect();
        let ended = self.queue.play(size, |fate| {
            for (left, goal) in left.iter_mut().zip(self.goals) {
                if goal.is_missed_by(fate) {
                    match left.checked_sub(1) {
                        Some(rest) => *left = rest,
                        None => return ControlFlow::Break(()),
                    }
                }
            }
            ControlFlow::Continue(())
        });
        ended.is_continue()
    }

    /// The smallest size that meets every goal, if one does.
    pub(crate) fn smallest(&self, mut tried: impl FnMut(usize)) -> Option<usize> {
        let mut try_one = |size: usize| {
            tried(size);
            self.meets(size)
        };
        let top = self.saturation.min(LARGEST);
        let found = (1..=top.min(ONE_BY_ONE)).find(|&size| try_one(size));
        if found.is_some() || top <= ONE_BY_ONE {
            return found;
        }
        let mut below = ONE_BY_ONE;
        loop {
            if below >= top {
                return None;
            }
            let octave = 1 << below.ilog2();
            let size = (below + octave / STEPS).min(top);
            if try_one(size) {
                let (mut misses, mut meets) = (below, size);
                while meets - misses > 1 {
                    let middle = misses + (meets - misses) / 2;
                    if try_one(middle) { meets = middle } else { misses = middle }
                }
                return Some(meets);
            }
            below = size;
        }
    }

    /// The powers of two up to the first above which nothing changes, with `beside` among them.
    pub(crate) fn curve(&self, beside: &[usize]) -> Vec<Point> {
        let top = self.saturation.min(LARGEST).next_power_of_two();
        let powers = (0..=top.ilog2()).map(|exponent| 1 << exponent);
        let mut sizes: Vec<usize> = powers.chain(beside.iter().copied()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.into_iter().map(|size| self.point(size)).collect()
    }
}
