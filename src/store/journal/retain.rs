//! Which sealed segments nobody has to keep any longer, and their removal.
//!
//! Called by the [keeper](super::keeper) alone, under the directory's lock. It knows of each
//! sealed segment what its last record says, read once, when it is first asked for. Only whole
//! segments go, one after the other from the oldest on, each removal durable before the next: a
//! power cut in between leaves a journal that begins later, never one with a hole. What must stay:
//! the segment being written, whatever a named consumer has not read, and the newest sealed
//! segment with a sequence, because the sequence goes on from what is found on the disk.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::JournalOptions;
use super::io_failed;
use super::lines::{Backward, Unreadable};
use super::planted::{Bug, planted};
use super::read::Target;
use super::segment::SegmentNumber;
use super::storage::{Access, Storage};
use super::verdict::judge_stored;
use crate::event::Timestamp;
use crate::store::StoreError;

/// What is kept; a segment beyond any of these goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    events: Option<u64>,
    age: Option<Duration>,
    bytes: Option<u64>,
    /// Room for the segment being written, which counts among the bytes.
    reserved: u64,
}

impl Limits {
    /// Those of the options; none if everything is kept.
    pub(super) fn of(options: &JournalOptions) -> Option<Self> {
        let limits = Self {
            events: options.keep_events,
            age: options.keep_age,
            bytes: options.keep_bytes,
            reserved: options.segment_bytes,
        };
        (limits.events.is_some() || limits.age.is_some() || limits.bytes.is_some())
            .then_some(limits)
    }
}

/// A sealed segment, and what is known of it so far.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) number: SegmentNumber,
    /// Bytes of its files.
    size: Option<u64>,
    end: Option<End>,
}

/// What the last record of a segment says.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// None in a segment of foreign lines, or without a record.
    sequence: Option<u64>,
    /// When it was recorded, else its own time.
    time: Option<Timestamp>,
}

/// What has become too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Excess {
    /// So many segments, from the oldest on, may go.
    pub(super) segments: usize,
    /// When the next one may, if nothing else happens before.
    pub(super) next: Option<Duration>,
    /// Whether more would go if no consumer needed them.
    pub(super) is_held: bool,
}

/// All sealed segments of a journal, oldest first.
#[derive(Debug)]
pub(super) struct Stock {
    storage: Arc<dyn Storage>,
    target: Target,
    segments: VecDeque<Sealed>,
    /// Segments below this number are among them, if they are there at all.
    known_to: u64,
    /// The removal of a segment is not durable yet.
    unsynced: bool,
    /// A policy that never syncs leaves it to us that something outlasts a removal.
    syncs: bool,
    anchored: Option<SegmentNumber>,
    unreadable: Option<StoreError>,
}

/// One segment that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed {
    pub(super) bytes: u64,
    pub(super) last: Option<u64>,
}

impl Stock {
    /// The segments that were there when the journal was opened, whose next one gets the number
    /// `next`. `syncs` says whether its writer makes a segment durable before it leaves it.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        found: Vec<SegmentNumber>,
        next: u64,
        syncs: bool,
    ) -> Self {
        let segments = found.into_iter().map(Sealed::new).collect();
        let target = Target::Directory(Arc::clone(&storage));
        // A process before this one may have died between a removal and its sync.
        let (known_to, unsynced) = (next, true);
        let (anchored, unreadable) = (None, None);
        Self { storage, target, segments, known_to, unsynced, syncs, anchored, unreadable }
    }

    /// The sealed ones among the segments below this number. What is not sealed yet comes last.
    pub(super) fn sealed(&mut self, below: u64) -> usize {
        for number in self.known_to..below {
            self.segments.push_back(Sealed::new(SegmentNumber(number)));
        }
        self.known_to = self.known_to.max(below);
        self.segments.partition_point(|segment| segment.number.0 < below)
    }

    pub(super) fn get(&self, at: usize) -> SegmentNumber {
        self.segments[at].number
    }

    /// A segment has other files now.
    pub(super) fn has_changed(&mut self, at: usize, size: u64) {
        self.segments[at].size = Some(size);
    }

    /// What of the first `sealed` segments is beyond the limits, with records written up to
    /// `written`. Nothing from `needed` on goes.
    pub(super) fn excess(
        &mut self,
        limits: Limits,
        sealed: usize,
        written: u64,
        now: Timestamp,
        needed: impl FnOnce() -> Result<Option<u64>, StoreError>,
    ) -> Result<Excess, StoreError> {
        // What could not be read before may be readable now.
        self.unreadable = None;
        let mut excess = Excess::default();
        let Some(anchor) = self.anchor(sealed) else { return Ok(excess) };
        let mut bytes = match limits.bytes {
            Some(_) => self.bytes(sealed)?.saturating_add(limits.reserved),
            None => 0,
        };
        let mut needed = Some(needed);
        let mut hold = None;
        for at in 0..anchor {
            let end = self.end(at);
            if let Some(last) = end.sequence {
                let age = end.time.map_or(Duration::ZERO, |time| since(time, now));
                let too_many = limits
                    .events
                    .and_then(|most| written.checked_sub(most))
                    .is_some_and(|gone| last <= gone);
                let too_old = limits.age.is_some_and(|most| age > most);
                let too_large = limits.bytes.is_some_and(|most| bytes > most);
                if !(too_many || too_old || too_large) {
                    excess.next = limits.age.filter(|_| end.time.is_some()).map(|most| most - age);
                    break;
                }
                if let Some(needed) = needed.take() {
                    hold = needed()?;
                }
                if hold.is_some_and(|first| last >= first) && !planted(Bug::ConsumerIgnored) {
                    excess.is_held = true;
                    break;
                }
                excess.segments = at + 1;
            }
            // One without a sequence goes with the next one that has one.
            if limits.bytes.is_some() {
                bytes = bytes.saturating_sub(self.size(at)?);
            }
        }
        Ok(excess)
    }

    /// Removes the oldest segment; nothing if somebody else did. It is durable once that is
    /// [settled](Self::settle), which the next removal does first.
    pub(super) fn remove_oldest(&mut self, sealed: usize) -> Result<Option<Removed>, StoreError> {
        self.secure(sealed)?;
        if !planted(Bug::RemovedTogether) {
            self.settle()?;
        }
        let Some(oldest) = self.segments.front() else { return Ok(None) };
        let number = oldest.number;
        let last = oldest.end.and_then(|end| end.sequence);
        let bytes = self.size(0)?;
        let mut was_there = false;
        let index = number.index_name();
        // What cannot be removed of it costs nothing but its room.
        let _ = self.storage.remove(&index);
        for name in [number.packed_name(), number.file_name()] {
            match self.storage.remove(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    let place = self.storage.place().join(&name);
                    let attempt = || format!("remove {}", place.display());
                    removed.map_err(|error| StoreError::from_io(attempt(), error))?;
                    self.unsynced = true;
                    was_there = true;
                }
            }
        }
        // A reader may have made it meanwhile: from here on it finds that the segment is gone.
        let _ = self.storage.remove(&index);
        self.segments.pop_front();
        Ok(was_there.then_some(Removed { bytes, last }))
    }

    /// Makes durable what was removed.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            let synced = self.storage.sync_directory();
            synced.map_err(|error| {
                io_failed(self.storage.place(), "sync a removal from", None, error)
            })?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Makes sure that the segment from which the sequence would go on outlasts a power cut.
    fn secure(&mut self, sealed: usize) -> Result<(), StoreError> {
        let Some(anchor) = self.anchor(sealed).and_then(|at| self.segments.get(at)) else {
            return Ok(());
        };
        let anchor = anchor.number;
        if self.syncs || self.anchored == Some(anchor) {
            return Ok(());
        }
        // A compressed one was synced before it got its name.
        let synced = match self.storage.open(&anchor.file_name(), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened.and_then(|mut file| file.sync()),
        };
        synced
            .and_then(|()| self.storage.sync_directory())
            .map_err(|error| io_failed(self.storage.place(), "sync", Some(anchor), error))?;
        self.anchored = Some(anchor);
        Ok(())
    }

    /// The newest of the first `sealed` segments that has a sequence.
    fn anchor(&mut self, sealed: usize) -> Option<usize> {
        if planted(Bug::NothingStays) {
            return Some(sealed);
        }
        (0..sealed).rev().find(|at| self.end(*at).sequence.is_some())
    }

    fn bytes(&mut self, sealed: usize) -> Result<u64, StoreError> {
        let mut bytes = 0_u64;
        for at in 0..sealed {
            bytes = bytes.saturating_add(self.size(at)?);
        }
        Ok(bytes)
    }

    /// The bytes of a segment's files.
    pub(super) fn size(&mut self, at: usize) -> Result<u64, StoreError> {
        let number = self.segments[at].number;
        if let Some(size) = self.segments[at].size {
            return Ok(size);
        }
        let mut size = 0;
        for name in [number.file_name(), number.packed_name()] {
            match self.storage.open(&name, Access::Read).and_then(|file| file.length()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                length => {
                    let told =
                        |error| io_failed(self.storage.place(), "look at", Some(number), error);
                    size += length.map_err(told)?;
                }
            }
        }
        self.segments[at].size = Some(size);
        Ok(size)
    }

    /// What the segment's last record says; nothing if it cannot be read, which is
    /// [told](Self::unreadable): then it goes with the next one, whose sequences are above its own.
    fn end(&mut self, at: usize) -> End {
        if let Some(end) = self.segments[at].end {
            return end;
        }
        match self.read_end(self.segments[at].number) {
            Ok(end) => *self.segments[at].end.insert(end),
            Err(error) => {
                self.unreadable.get_or_insert(error);
                End::default()
            }
        }
    }

    fn read_end(&self, number: SegmentNumber) -> Result<End, StoreError> {
        let mut end = End::default();
        let Some(file) = self.target.open(number)? else { return Ok(end) };
        let failed = |error| self.target.failed("read", Some(number), error);
        let mut lines = Backward::new(&*file, file.length().map_err(failed)?);
        let mut unreadable = None;
        while let Some(line) = lines.next().map_err(failed)? {
            let Ok(bytes) = line.bytes.inspect_err(|why| unreadable = Some(*why)) else { continue };
            let Ok(record) = judge_stored(bytes) else { continue };
            let event = &record.event;
            end.time = end.time.or(event.recorded_at()).or(event.time());
            end.sequence = record.sequence.map(|sequence| sequence.get());
            if end.sequence.is_some() {
                break;
            }
        }
        match unreadable {
            // Its last sequence may be any.
            Some(why @ Unreadable::Damaged) if end.sequence.is_none() => {
                Err(failed(io::Error::new(io::ErrorKind::InvalidData, why.to_string())))
            }
            _ => Ok(end),
        }
    }

    /// Why a segment could not be read, if there was one since this was asked last.
    pub(super) fn unreadable(&mut self) -> Option<StoreError> {
        self.unreadable.take()
    }
}

impl Sealed {
    fn new(number: SegmentNumber) -> Self {
        Self { number, size: None, end: None }
    }
}

/// How long ago that was; a time to come is now.
fn since(time: Timestamp, now: Timestamp) -> Duration {
    let nanos = now.unix_nanos().saturating_sub(time.unix_nanos());
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}
