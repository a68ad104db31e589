//! One mailbox and its one subscriber, played through in the order of time.
//!
//! A queue with one server, room for `size` messages, first in, first out; arrivals and service
//! times are given one by one, so that nothing is assumed of either. The rules are those of a
//! subscription's own mailbox:
//!
//! - The subscriber takes out a batch at once, which frees its places, and handles it message by
//!   message. A batch is a quarter of the mailbox, between 1 and 64, and never more than is there.
//!   What is being handled takes no room.
//! - A message that finds no room is lost with `drop-newest`. With `drop-oldest` it goes in, and
//!   the oldest sixteenth of the mailbox, at least one message, is lost instead.
//! - What arrives at one instant arrives together, before anything is taken out at that instant:
//!   a record whose clock is coarse counts as the burst that it may have been.
//!
//! A pass costs a few steps a message, whatever the size.
#![forbid(unsafe_code)]

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use clap::ValueEnum;

use super::service::Times;

/// What a full mailbox loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Losing {
    /// The oldest messages, a sixteenth of the mailbox at a time
    DropOldest,
    /// The message that comes
    DropNewest,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its handler was called so many nanoseconds after it arrived.
    Handled {
        delay: u64,
    },
    Lost,
}

/// All of a queue but its size. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue<'a> {
    /// When messages arrive, in order.
    pub(crate) arrivals: &'a [u64],
    /// How long each is handled.
    pub(crate) times: &'a Times,
    pub(crate) losing: Losing,
    /// How many messages are taken out at once; none for a subscription's own rule.
    pub(crate) batch: Option<usize>,
    /// From the arrival that finds the subscriber idle to its first look into the mailbox.
    pub(crate) wake_up: u64,
}

/// The largest batch of a subscription.
const LARGEST_BATCH: usize = 64;

impl Queue<'_> {
    /// How many messages are taken out at once of a mailbox of that size.
    pub(crate) fn batch(&self, size: usize) -> usize {
        self.batch.unwrap_or_else(|| (size / 4).clamp(1, LARGEST_BATCH))
    }

    /// A size from which on all sizes are alike: batches grow no further, and nothing is lost.
    pub(crate) fn saturation(&self) -> usize {
        let (batch, least) = match self.batch {
            Some(batch) => (batch, 1),
            None => (LARGEST_BATCH, LARGEST_BATCH * 4),
        };
        let mut run = Run::new(self, usize::MAX, batch);
        let mut peak = 0;
        // Nothing is looked at, so nothing ends it early.
        let _ = run.all(&mut |_| ControlFlow::Continue(()), &mut peak);
        peak.max(least)
    }

    /// Plays a mailbox of that size through, telling every message's fate, until `see` has seen
    /// enough.
    pub(crate) fn play(
        &self,
        size: usize,
        mut see: impl FnMut(Fate) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        Run::new(self, size, self.batch(size)).all(&mut see, &mut 0)
    }
}

/// A queue at some moment.
struct Run<'a> {
    queue: &'a Queue<'a>,
    size: usize,
    batch: usize,
    /// Which messages are in the mailbox, oldest first.
    waiting: VecDeque<usize>,
    /// When the subscriber takes out next, or could; in the past if it is idle.
    ready: u64,
}

impl<'a> Run<'a> {
    fn new(queue: &'a Queue<'a>, size: usize, batch: usize) -> Self {
        // Until the first arrival it is idle.
        let ready = queue.arrivals.first().map_or(0, |first| first.saturating_add(queue.wake_up));
        Self { queue, size, batch, waiting: VecDeque::new(), ready }
    }

    fn all(
        &mut self,
        see: &mut impl FnMut(Fate) -> ControlFlow<()>,
        peak: &mut usize,
    ) -> ControlFlow<()> {
        for (message, &now) in self.queue.arrivals.iter().enumerate() {
            while self.ready < now && !self.waiting.is_empty() {
                self.take(see)?;
            }
            if self.waiting.is_empty() && self.ready < now {
                self.ready = now.saturating_add(self.queue.wake_up);
            }
            if self.waiting.len() >= self.size {
                let lost = match self.queue.losing {
                    Losing::DropNewest => {
                        see(Fate::Lost)?;
                        continue;
                    }
                    Losing::DropOldest => (self.size / 16).max(1),
                };
                for _ in self.waiting.drain(..lost) {
                    see(Fate::Lost)?;
                }
            }
            self.waiting.push_back(message);
            *peak = (*peak).max(self.waiting.len());
        }
        while !self.waiting.is_empty() {
            self.take(see)?;
        }
        ControlFlow::Continue(())
    }

    /// Takes a batch out and handles it.
    fn take(&mut self, see: &mut impl FnMut(Fate) -> ControlFlow<()>) -> ControlFlow<()> {
        let count = self.batch.min(self.waiting.len());
        for message in self.waiting.drain(..count) {
            let arrived = self.queue.arrivals.get(message).copied().unwrap_or_default();
            see(Fate::Handled { delay: self.ready.saturating_sub(arrived) })?;
            self.ready = self.ready.saturating_add(self.queue.times.of(message));
        }
        ControlFlow::Continue(())
    }
}
