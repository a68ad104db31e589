//! How far a consumer is, and when that is stored.
//!
//! The position moves with every event; the checkpoint follows in batches, because it costs a
//! sync. It is held back to what the journal is sure to have after a crash. Otherwise a journal
//! that lost its unsynced tail would give those sequences out again, to other events, and the
//! consumer would take these for done.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::ConsumerOptions;
use super::planted::{Bug, planted};
use crate::Sequence;
use crate::event::Timestamp;
use crate::store::{Checkpoint, HeldCheckpoint, Level, Receipts, StoreError};

/// How soon what could not be stored is tried again, at the earliest.
const SOON: Duration = Duration::from_millis(1);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Progress {
    held: Box<dyn HeldCheckpoint>,
    journal: Receipts,
    events: u64,
    time: Duration,
    /// What is stored.
    stored: Checkpoint,
    /// What is to be.
    now: Checkpoint,
    /// Acknowledged since it was last tried to store that.
    acknowledged: u64,
    /// When to try at the latest; none while all is stored.
    due: Option<Instant>,
}

impl Progress {
    /// Goes on from what is stored.
    pub(super) fn new(
        held: Box<dyn HeldCheckpoint>,
        journal: Receipts,
        options: &ConsumerOptions,
        stored: Checkpoint,
        pattern: &str,
    ) -> Self {
        let now = Checkpoint { pattern: pattern.to_owned(), ..stored.clone() };
        let (events, time) = (options.checkpoint_events, options.checkpoint_time);
        Self { held, journal, events, time, stored, now, acknowledged: 0, due: None }
    }

    /// Everything before this is dealt with.
    pub(super) fn position(&self) -> Sequence {
        self.now.next
    }

    /// Everything before this is stored as dealt with.
    pub(super) fn stored(&self) -> Sequence {
        self.stored.next
    }

    /// The counts of the consumer's whole life.
    pub(super) fn totals(&mut self) -> &mut Checkpoint {
        &mut self.now
    }

    /// Nothing before `next` is wanted any more.
    pub(super) fn advance(&mut self, next: Sequence) {
        self.now.next = next;
        if self.due.is_none() {
            self.due = Instant::now().checked_add(self.time);
        }
    }

    /// The same for an event that was handled, or given up.
    pub(super) fn acknowledge(&mut self, next: Sequence) {
        self.advance(next);
        self.acknowledged += 1;
    }

    /// When something is to be stored, if nothing is acknowledged before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self) -> bool {
        self.acknowledged >= self.events.max(1) || self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Whether nothing is left to be stored.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.next == self.now.next
    }

    /// Has the journal make all of it as sure as it can.
    pub(super) fn flush_journal(&self, timeout: Duration) {
        if self.surely_kept() < self.now.next {
            let last = Sequence::new(self.now.next.get() - 1);
            // Where that fails less is stored, and more is seen again.
            let _ = self.journal.flush(last, timeout);
        }
    }

    /// Stores as much of it as the journal is sure to keep.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let next = self.surely_kept();
        self.acknowledged = 0;
        let mut stored = Ok(());
        if next != self.stored.next {
            let checkpoint = Checkpoint { next, stored: Timestamp::now(), ..self.now.clone() };
            stored = self.held.store(&checkpoint);
            if stored.is_ok() {
                self.stored = checkpoint;
            }
        }
        self.due = match self.is_stored() {
            true => None,
            // Whoever is to store at once still leaves the journal time to get there.
            false => Instant::now().checked_add(self.time.max(SOON)),
        };
        stored
    }

    /// How far the position may be stored: never back, and never behind what a crash would leave
    /// of the journal.
    fn surely_kept(&self) -> Sequence {
        let marks = self.journal.watermarks();
        let kept = match self.journal.promised() {
            Level::Durable => marks.durable,
            Level::Written => marks.written,
        };
        let limit = kept.map_or(Sequence::FIRST, super::after);
        let limit = if planted(Bug::AheadOfJournal) { self.now.next } else { limit };
        self.now.next.min(limit).max(self.stored.next)
    }
}
