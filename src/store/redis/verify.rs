//! Looking at every entry of a stream: is it whole, and what is in it?
//!
//! Behind the command line's `verify` and `stats`. Reads only.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::entry::{EntryId, StreamDamage, StreamEntry};
use super::read::{Direction, RedisReader};
use crate::Sequence;
use crate::event::Timestamp;
use crate::event::json::Checksum;
use crate::store::StoreError;

/// What a check of every entry found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamVerification {
    /// Entries: `valid + unchecked + damaged`.
    pub records: u64,
    /// Records with a valid checksum.
    pub valid: u64,
    /// Records without a checksum.
    pub unchecked: u64,
    /// Entries that are no records: another writer's, for one.
    pub damaged: u64,
    /// Sequences that are missing between two that are there. What was trimmed from the
    /// stream's beginning is not among them.
    pub gaps: Vec<RangeInclusive<Sequence>>,
    /// The first damages, at most [`StreamVerification::DAMAGES_KEPT`].
    pub damages: Vec<StreamDamage>,
}

impl StreamVerification {
    /// How many damages are told one by one.
    pub const DAMAGES_KEPT: usize = 100;

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged == 0 && self.gaps.is_empty()
    }
}

/// What is in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Records.
    pub events: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// The earliest time: of each event its own, else when it was recorded.
    pub first: Option<Timestamp>,
    /// The latest time.
    pub last: Option<Timestamp>,
    /// The lowest sequence.
    pub first_sequence: Option<Sequence>,
    /// The highest sequence.
    pub last_sequence: Option<Sequence>,
    /// Events by type.
    pub types: BTreeMap<String, u64>,
    /// Events by topic.
    pub topics: BTreeMap<String, u64>,
    /// Events by source.
    pub sources: BTreeMap<String, u64>,
    /// Entries that are no records.
    pub damaged: u64,
    /// Whether it [was to stop](RedisReader::stats_until) before it came to the end.
    pub stopped: bool,
}

impl RedisReader {
    /// Checks every entry.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read; damage is no error.
    pub fn verify(&self) -> Result<StreamVerification, StoreError> {
        let mut found = StreamVerification::default();
        let mut last: Option<Sequence> = None;
        for entry in self.page_through(Direction::Forward, Some(EntryId::default()))? {
            found.records += 1;
            let entry = match entry? {
                Ok(entry) => entry,
                Err(damage) => {
                    found.damaged += 1;
                    if found.damages.len() < StreamVerification::DAMAGES_KEPT {
                        found.damages.push(damage);
                    }
                    continue;
                }
            };
            match entry.checksum {
                Checksum::Valid => found.valid += 1,
                _ => found.unchecked += 1,
            }
            let sequence = entry.sequence.get();
            if let Some(last) = last.filter(|last| last.get() + 1 < sequence) {
                let (from, to) = (last.get() + 1, sequence - 1);
                found.gaps.push(Sequence::new(from)..=Sequence::new(to));
            }
            last = Some(entry.sequence);
        }
        Ok(found)
    }

    /// Counts what is there.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read.
    pub fn stats(&self) -> Result<StreamStats, StoreError> {
        self.stats_until(|| false)
    }

    /// The same, until `stop` says so: what was counted by then. It is asked before every entry.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read.
    pub fn stats_until(&self, mut stop: impl FnMut() -> bool) -> Result<StreamStats, StoreError> {
        let mut stats = StreamStats::default();
        for entry in self.page_through(Direction::Forward, Some(EntryId::default()))? {
            if stop() {
                stats.stopped = true;
                break;
            }
            match entry? {
                Ok(entry) => stats.count(&entry),
                Err(_) => stats.damaged += 1,
            }
        }
        Ok(stats)
    }
}

impl StreamStats {
    fn count(&mut self, entry: &StreamEntry) {
        self.events += 1;
        self.bytes += entry.line.len() as u64;
        self.first_sequence.get_or_insert(entry.sequence);
        self.last_sequence = Some(entry.sequence);
        let event = &entry.event;
        if let Some(time) = event.time().or(event.recorded_at()) {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = self.last.max(Some(time));
        }
        for (counts, name) in [
            (&mut self.types, event.kind()),
            (&mut self.topics, event.topic()),
            (&mut self.sources, event.source()),
        ] {
            // Most names have been seen: no text is made for those.
            match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(name.to_owned(), 1);
                }
            }
        }
    }
}
