//! How many records go to a store at once.
//!
//! Filled by the persistence actor. A store that has a form of its own for records makes it while
//! they are lent ([`Store::stage`]); others get them shared, as a slice. One system call, one
//! transaction or one round trip carries a batch.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::{Record, Store, StoreError, StoreErrorKind};
use crate::event::Event;
use crate::{Sequence, Shared};

/// When a batch goes out: at the first limit it reaches, and in any case as soon as nothing more
/// is waiting. The limits cost no latency when little happens; they bound it, and the memory,
/// when much does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Records in a batch: 1,024 unless said otherwise; at least 1.
    pub events: usize,
    /// Bytes in a batch, about: 256 KiB unless said otherwise. One record may be larger.
    pub bytes: usize,
    /// How long the first record of a batch waits at most: 5 ms unless said otherwise.
    pub age: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Self { events: 1024, bytes: 256 * 1024, age: Duration::from_millis(5) }
    }
}

/// Records on their way into a store.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// For a store that does not stage.
    records: Vec<Record>,
    /// Records that the store has staged.
    staged: usize,
    bytes: usize,
    since: Option<Instant>,
    last: Option<Sequence>,
    stored: usize,
    refused: Vec<(Sequence, StoreError)>,
}

/// How often a batch that is being filled looks at the clock.
const CLOCK_EVERY: usize = 32;

impl Batch {
    /// Adds a record that is lent, and not kept if the store has a form of its own for it.
    #[inline]
    pub(super) fn take(
        &mut self,
        sequence: Sequence,
        event: &Shared<Event>,
        store: &mut impl Store,
    ) {
        self.since.get_or_insert_with(Instant::now);
        self.last = Some(sequence);
        match store.stage(sequence, event) {
            Ok(Some(bytes)) => {
                self.bytes += bytes;
                self.staged += 1;
            }
            Ok(None) => {
                let record = Record { sequence, event: event.clone() };
                self.bytes += record.weight();
                self.records.push(record);
            }
            Err(error) => self.refused.push((sequence, error)),
        }
    }

    /// Whether it was given nothing since it was ended.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Whether a limit is reached.
    pub(super) fn is_ready(&self, limits: &Batching) -> bool {
        let count = self.waiting() + self.refused.len();
        count >= limits.events.max(1)
            || self.bytes >= limits.bytes
            || (count.is_multiple_of(CLOCK_EVERY)
                && self.since.is_some_and(|since| since.elapsed() >= limits.age))
    }

    /// Appends the records that the store has not taken yet. One that is too large for it is
    /// set apart, because it would keep all others waiting for ever.
    pub(super) fn append_to(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        if self.staged > 0 {
            store.append_staged()?;
            self.stored += std::mem::take(&mut self.staged);
        }
        if self.records.is_empty() {
            return Ok(());
        }
        match store.append(&self.records) {
            Ok(()) => {
                self.stored += self.records.len();
                self.records.clear();
                Ok(())
            }
            Err(error) if error.kind() == StoreErrorKind::TooLarge => self.append_singly(store),
            Err(error) => Err(error),
        }
    }

    /// As [`append_to`](Self::append_to), but the store may go on with it beside the next batch.
    /// Only for a store that stages.
    pub(super) fn begin(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        if self.staged > 0 {
            store.begin_staged()?;
            self.stored += std::mem::take(&mut self.staged);
        }
        Ok(())
    }

    /// Whether all its records are staged.
    pub(super) fn is_staged(&self) -> bool {
        self.records.is_empty()
    }

    fn append_singly(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        let mut done = 0;
        let mut result = Ok(());
        for record in &self.records {
            match store.append(std::slice::from_ref(record)) {
                Ok(()) => self.stored += 1,
                Err(error) if error.kind() == StoreErrorKind::TooLarge => {
                    self.refused.push((record.sequence, error));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            done += 1;
        }
        self.records.drain(..done);
        result
    }

    /// Records that no store has taken.
    pub(super) fn waiting(&self) -> usize {
        self.records.len() + self.staged
    }

    /// Ends the batch, whose records are all dealt with, and keeps the room for the next one.
    pub(super) fn finish(&mut self) -> Finished {
        debug_assert_eq!(self.waiting(), 0);
        self.bytes = 0;
        self.since = None;
        Finished {
            last: self.last.take(),
            stored: std::mem::take(&mut self.stored),
            refused: std::mem::take(&mut self.refused),
        }
    }
}

/// What became of a batch, or will have become of it once the store has stored it.
pub(super) struct Finished {
    pub(super) last: Option<Sequence>,
    pub(super) stored: usize,
    pub(super) refused: Vec<(Sequence, StoreError)>,
}
