//! What retention and compression may do in a history, and a consumer that holds them back.
#![forbid(unsafe_code)]

use super::rng::Rng;
use super::sim::SimFs;
use super::{Journal, JournalOptions};
use crate::Sequence;
use crate::store::Store;
use crate::store::journal::checkpoint::Checkpoints;
use crate::store::journal::keeper::Keeper;
use crate::store::journal::pack;
use crate::store::{Checkpoint, ConsumerName, StoreError};

/// What one life keeps.
#[derive(Clone, Copy, Debug, Default)]
struct Keeps {
    events: Option<u64>,
    bytes: Option<u64>,
    compresses: bool,
}

/// All lives so far.
#[derive(Debug, Default)]
pub(super) struct Kept {
    looks_after: bool,
    keeps: Keeps,
    keeper: Option<Keeper>,
    /// Sequences up to here may be gone.
    removable: u64,
    /// Sequences up to here are said to be gone.
    removed: u64,
    /// The first sequence that the consumer may still need; none without a consumer.
    needed: Option<u64>,
}

impl Kept {
    /// Lives that look after what is sealed, or none that does.
    pub(super) fn new(looks_after: bool) -> Self {
        Self { looks_after, ..Self::default() }
    }

    /// A new life has other settings.
    pub(super) fn settings(&mut self, rng: &mut Rng, options: JournalOptions) -> JournalOptions {
        self.keeper = None;
        if !self.looks_after {
            return options;
        }
        self.keeps = Keeps {
            events: rng.among(&[None, None, Some(0), Some(3), Some(10)]),
            bytes: rng.among(&[None, None, Some(0), Some(1500)]),
            compresses: rng.one_in(2) && pack::check(1).is_ok(),
        };
        options
            .with_keep_events(self.keeps.events)
            .with_keep_bytes(self.keeps.bytes)
            .with_compression(self.keeps.compresses.then_some(1))
    }

    pub(super) fn begin(&mut self, journal: &mut Journal) {
        self.keeper = journal.kept_by.take();
        journal.tell_sealed();
    }

    /// What the keeper's thread does, with records written up to a sequence; what fails.
    pub(super) fn work(&mut self, journal: &Journal, last: u64) -> Option<StoreError> {
        let by_number = self.keeps.events.map_or(0, |most| last.saturating_sub(most));
        let by_bytes = self.keeps.bytes.map_or(0, |_| last);
        let held = self.needed.map_or(u64::MAX, |needed| needed - 1);
        self.removable = self.removable.max(by_number.max(by_bytes).min(held));
        if let Some(keeper) = &mut self.keeper {
            journal.kept_by.by_hand(keeper);
        }
        let stats = journal.upkeep().stats();
        self.removed = self.removed.max(stats.removed_to.map_or(0, Sequence::get));
        stats.failing
    }

    /// A consumer begins, or has handled some more.
    pub(super) fn acknowledge(&mut self, disk: &SimFs, next: u64) {
        let next = self.needed.map_or(1, |needed| needed.max(next));
        let begins = self.needed.is_none();
        let name: ConsumerName = "reader".parse().expect("a name");
        if !begins {
            // Stored or not, it may be so.
            self.needed = Some(next);
        }
        let Ok(mut own) = Checkpoints::of(disk).take(&name) else { return };
        if own.load().is_ok() && own.store(&Checkpoint::new(Sequence::new(next), "**")).is_ok() {
            self.needed = Some(next);
        }
    }

    pub(super) fn may_be_gone(&self, sequence: u64) -> bool {
        sequence <= self.removable
    }

    /// The sequences said to be gone: what follows them is durable.
    pub(super) fn removed(&self) -> u64 {
        self.removed
    }
}
