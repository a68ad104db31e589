//! Looking at every line of a journal: is it whole, and what is in it?
//!
//! Behind the command line's `verify` and `stats`. Reads only.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};

use super::lock::WriterLock;
use super::read::{Damage, JournalReader, Target};
use super::walk::{Sum, Walk};
use crate::Sequence;
use crate::event::json::Checksum;
use crate::event::{Event, Timestamp};
use crate::store::StoreError;

/// Sequences from one to another, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub from: Sequence,
    /// The last.
    pub to: Sequence,
}

/// What a check of every line found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Lines that are not blank: `valid + unchecked + damaged`.
    pub records: u64,
    /// Records with a valid checksum.
    pub valid: u64,
    /// Records without a checksum: foreign lines.
    pub unchecked: u64,
    /// Lines that are no records.
    pub damaged: u64,
    /// Bytes at the ends of segments that were not written to their end. The line that a living
    /// writer is just writing is not among them.
    pub torn_bytes: u64,
    /// Sequences that are missing between two that are there. What retention removes while this
    /// goes on is no gap.
    pub gaps: Vec<SequenceRange>,
    /// Records whose sequence does not rise above the one before. Readers of a journal hide them.
    pub duplicates: u64,
    /// Those of them that begin a segment, each with the same line as before: records written again
    /// after a failed sync, as they should be. Any other hides what may be another event.
    pub rewritten: u64,
    /// The first damages, at most [`Verification::DAMAGES_KEPT`].
    pub damages: Vec<Damage>,
}

impl Verification {
    /// How many damages are told one by one.
    pub const DAMAGES_KEPT: usize = 100;

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged == 0
            && self.torn_bytes == 0
            && self.gaps.is_empty()
            && self.duplicates == self.rewritten
    }
}

/// What is in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// Records, each counted once.
    pub events: u64,
    /// Bytes of all segments; of compressed ones those that they hold.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
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
    /// Lines that are no records.
    pub damaged: u64,
    /// Whether it [was to stop](JournalReader::stats_until) before it came to the end. The bytes and
    /// segments are those of all of it.
    pub stopped: bool,
}

/// Lines that are counted before the next look whether to stop.
const LOOK: u64 = 1024;

impl JournalReader {
    /// Checks every line.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read; damage is no error.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        let mut last: Option<Sequence> = None;
        // Whether the segment has had a sequence above all before it.
        let mut rising_in = None;
        // How many segments were removed under its hands.
        let mut gone = 0;
        let mut recent = Recent::default();
        let mut walk = Walk::new(self.target.clone(), self.target.segments()?);
        let mut event = Event::unfinished(0);
        while walk.advance()? {
            let (segment, is_last) = walk.segment().unzip();
            let (sequence, checksum) = match walk.piece(&mut event) {
                None => {
                    if !(is_last == Some(true) && self.is_being_written()) {
                        found.torn_bytes += walk.length();
                    }
                    continue;
                }
                Some(Err(reason)) => {
                    found.records += 1;
                    found.damaged += 1;
                    if found.damages.len() < Verification::DAMAGES_KEPT {
                        found.damages.push(walk.damage(reason));
                    }
                    continue;
                }
                Some(Ok(marks)) => marks,
            };
            found.records += 1;
            match checksum {
                Checksum::Valid => found.valid += 1,
                _ => found.unchecked += 1,
            }
            let Some(sequence) = sequence else { continue };
            let after_removal = std::mem::replace(&mut gone, walk.gone) < gone;
            match last {
                Some(last) if sequence <= last => {
                    found.duplicates += 1;
                    let is_same = rising_in != segment && recent.holds(sequence, walk.sum());
                    found.rewritten += u64::from(is_same);
                    continue;
                }
                Some(last) if sequence.get() > last.get() + 1 && !after_removal => {
                    let from = Sequence::new(last.get() + 1);
                    found.gaps.push(SequenceRange { from, to: Sequence::new(sequence.get() - 1) });
                }
                _ => {}
            }
            last = Some(sequence);
            rising_in = segment;
            recent.add(sequence, walk.sum());
        }
        Ok(found)
    }

    /// Counts what is there.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    pub fn stats(&self) -> Result<JournalStats, StoreError> {
        self.stats_until(|| false)
    }

    /// The same, until `stop` says so: what was counted by then. It is asked before every 1,024 lines.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    pub fn stats_until(&self, mut stop: impl FnMut() -> bool) -> Result<JournalStats, StoreError> {
        let mut stats = JournalStats::default();
        let segments = self.target.segments()?;
        for &number in &segments {
            if let Some(file) = self.target.open(number)? {
                let length = file.length();
                stats.bytes +=
                    length.map_err(|error| self.target.failed("look at", Some(number), error))?;
                stats.segments += 1;
            }
        }
        let mut walk = Walk::new(self.target.clone(), segments);
        let mut event = Event::unfinished(0);
        let mut lines = 0_u64;
        while walk.advance()? {
            if lines.is_multiple_of(LOOK) && stop() {
                stats.stopped = true;
                break;
            }
            lines += 1;
            match walk.piece(&mut event) {
                None => {}
                Some(Err(_)) => stats.damaged += 1,
                Some(Ok((sequence, _))) => {
                    stats.count(&event, sequence, self.target.hides_repeats());
                }
            }
        }
        Ok(stats)
    }

    fn is_being_written(&self) -> bool {
        match &self.target {
            Target::Directory(storage) => WriterLock::is_taken(&**storage),
            Target::File(_) => false,
        }
    }
}

/// The last lines, by what tells one from another: at most 32 MiB of them are written again, so twice as
/// much is remembered.
#[derive(Debug, Default)]
struct Recent {
    /// In rising order.
    lines: VecDeque<(Sequence, Sum)>,
    bytes: u64,
}

impl Recent {
    const BYTES: u64 = 64 * 1024 * 1024;

    fn add(&mut self, sequence: Sequence, sum: Sum) {
        self.lines.push_back((sequence, sum));
        self.bytes += sum.length;
        while self.bytes > Self::BYTES
            && let Some((_, gone)) = self.lines.pop_front()
        {
            self.bytes -= gone.length;
        }
    }

    fn holds(&self, sequence: Sequence, sum: Sum) -> bool {
        let at = self.lines.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
        at.is_ok_and(|at| self.lines[at].1 == sum)
    }
}

impl JournalStats {
    fn count(&mut self, event: &Event, sequence: Option<Sequence>, hides_repeats: bool) {
        if let Some(sequence) = sequence {
            if hides_repeats && self.last_sequence >= Some(sequence) {
                return;
            }
            let first = self.first_sequence.map_or(sequence, |first| first.min(sequence));
            self.first_sequence = Some(first);
            self.last_sequence = self.last_sequence.max(Some(sequence));
        }
        self.events += 1;
        if let Some(time) = event.time().or(event.recorded_at()) {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        add_one(&mut self.types, event.kind());
        add_one(&mut self.topics, event.topic());
        add_one(&mut self.sources, event.source());
    }
}

/// Most names have been seen: no text is made for those.
fn add_one(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}
