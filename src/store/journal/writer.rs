//! The end of the journal: appends whole lines, makes them durable, begins new segments.
//!
//! Called by [`Journal`](super::Journal) alone, on one thread, under the directory's lock. It
//! works on bytes and sequences and never looks into a line. It must never append behind an
//! unfinished line, never try a failed sync again on the same file, and never raise a watermark
//! before what it stands for is true.
//!
//! Three states a record goes through: handed in, *written* (the whole line was taken by the
//! system) and *durable* (a sync that covers it succeeded, and the segment's name is durable
//! too). Lines that are written but not durable are kept in memory: when a sync fails, the pages
//! may be gone although the next sync says otherwise (the lesson of PostgreSQL's "fsyncgate",
//! 2018), so that file is finished and the kept lines are written again into a new segment, which
//! gets its name once it holds them all: readers take what it begins with for what it has. Then
//! they are cut off the finished file: some of its pages may have reached the disk and others
//! not, and a reader that finds 5 there would take the 4 of the new segment for a repetition.
//!
//! With an interval, a large sync runs beside the appending, and so does each one of batches that
//! come one behind the other. It covers what was written before it
//! began, in the active segment: whoever leaves that one, or syncs it, waits for its end first. So
//! there is one at most, its failure is seen before anything else is believed of the file, and
//! then what was written meanwhile is stranded as well.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::{Active, create, create_copy, give_name, sync_all, sync_name};
use super::encoded::Lines;
use super::planted::{Bug, planted};
use super::segment::SegmentNumber;
use super::storage::{Access, RunningSync, Storage, StoredFile, append_all};
use super::undurable::Undurable;
use super::{Fsync, JournalOptions, io_failed};
use crate::Sequence;
use crate::store::{Level, StoreError, StoreErrorKind, Watermarks};

/// A sync of the active segment that goes on beside the appending.
#[derive(Debug)]
struct Running {
    sync: Box<dyn RunningSync>,
    /// Bytes of the segment that it covers.
    length: u64,
    began: Instant,
    look_again: Instant,
}

/// The part of what may be held at which a sync begins. Early: what is held for a short time lies
/// in memory that is used again and again, and memory that is new costs more than writing does.
const BEGIN: usize = 16;
/// A smaller part is synced at once when it is due: not worth another thread.
const SMALL: usize = 32;

/// How often an idle writer looks whether a running sync has ended, at least and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// A segment that was given up, and how many of its bytes are durable. What lies behind them is
/// cut off once it is durable elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Finished {
    number: SegmentNumber,
    durable: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    options: JournalOptions,
    active: Option<Active>,
    next: u64,
    /// Whether the active segment's name is durable.
    name_synced: bool,
    undurable: Undurable,
    running: Option<Running>,
    /// An empty copy that an earlier try left.
    copy: Option<Active>,
    finished: Vec<Finished>,
    /// Up to here every append that was handed in succeeded as a whole.
    accepted: u64,
    written: u64,
    durable: u64,
}

impl Writer {
    /// A writer that goes on behind `last`, in a new segment unless [`go_on`](Self::go_on).
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        options: JournalOptions,
        next: u64,
        last: Option<Sequence>,
    ) -> Self {
        let last = last.map_or(0, Sequence::get);
        Self {
            storage,
            options,
            active: None,
            next,
            name_synced: false,
            undurable: Undurable::default(),
            running: None,
            copy: None,
            finished: Vec::new(),
            accepted: last,
            written: last,
            durable: 0,
        }
    }

    /// Goes on in an existing segment that ends in a whole line.
    pub(super) fn go_on(&mut self, number: SegmentNumber, file: Box<dyn StoredFile>, length: u64) {
        self.active = Some(Active { number, file, length, durable: length, since: Instant::now() });
    }

    /// Everything that was found is durable, its names included.
    pub(super) fn all_is_durable(&mut self) {
        self.durable = self.written;
        self.name_synced = true;
    }

    /// How far things are. Where every batch is synced, it counts as written with its sync: after
    /// one that fails, its pages may be gone. What an earlier process wrote counts as written, and
    /// as durable unless this writer never syncs.
    pub(super) fn watermarks(&self) -> Watermarks {
        let durable = mark(self.durable);
        let with_sync = self.syncs_each() && !planted(Bug::BegunIsStored);
        Watermarks { written: if with_sync { durable } else { mark(self.written) }, durable }
    }

    /// The last sequence that stands in a segment, whatever becomes of it: no other record gets it.
    pub(super) fn last(&self) -> Option<Sequence> {
        mark(self.written)
    }

    /// Whether nothing is stored before its sync.
    fn syncs_each(&self) -> bool {
        matches!(self.options.fsync, Fsync::Batch | Fsync::Always)
    }

    /// Segments below this number are sealed: the writer will never touch them again.
    pub(super) fn sealed_below(&self) -> u64 {
        let active = self.active.as_ref().map_or(self.next, |active| active.number.0);
        if planted(Bug::ActiveIsSealed) {
            return self.next;
        }
        self.finished.iter().fold(active, |least, finished| least.min(finished.number.0))
    }

    /// What the policy can say of a record at most.
    pub(super) fn promises(&self) -> Level {
        if self.options.fsync == Fsync::Never { Level::Written } else { Level::Durable }
    }

    /// How many records wait for each other, at most: where each has a sync of its own, none.
    pub(super) fn batch_limit(&self) -> usize {
        if self.options.fsync == Fsync::Always { 1 } else { usize::MAX }
    }

    /// When [`tend`](Self::tend) has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let every = match self.options.fsync {
            Fsync::Interval(every) => Some(every),
            Fsync::Batch => Some(Duration::ZERO),
            Fsync::Never | Fsync::Always => None,
        };
        let since = self.undurable.since();
        let sync = match &self.running {
            Some(running) => Some(running.look_again),
            None => since.zip(every).and_then(|(since, every)| since.checked_add(every)),
        };
        let age = self.end_of_age();
        sync.into_iter().chain(age).min()
    }

    /// When the active segment is too old to go on with.
    fn end_of_age(&self) -> Option<Instant> {
        let active = self.active.as_ref().filter(|active| active.length > 0)?;
        active.since.checked_add(self.options.segment_age?)
    }

    /// Appends all lines, or says how it failed; then the same lines may be handed in again, and
    /// those that were written are not written twice.
    pub(super) fn append(&mut self, lines: Lines<'_>) -> Result<(), StoreError> {
        self.append_as(lines, false)
    }

    /// As [`append`](Self::append), but what is to be durable at once becomes so beside what is
    /// appended next: see [`watermarks`](Self::watermarks).
    pub(super) fn begin(&mut self, lines: Lines<'_>) -> Result<(), StoreError> {
        self.append_as(lines, true)
    }

    /// Sees to it that all that began is as if it had been appended.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        let has_to = self.options.fsync == Fsync::Batch && !planted(Bug::BegunIsNotEnded);
        if has_to { self.sync() } else { Ok(()) }
    }

    /// Waits until more of what began is so, and lets the rest become durable.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        if self.running.is_none() || self.options.fsync != Fsync::Batch {
            return self.end();
        }
        self.settle(true)?;
        self.sync_as_due(true)
    }

    fn append_as(&mut self, lines: Lines<'_>, beside: bool) -> Result<(), StoreError> {
        let appended = self.append_all_of(lines, beside);
        if appended.is_err() && self.syncs_each() && self.finished.is_empty() {
            // What was written before has not failed with it. If it does, the next call says so.
            let _ = self.sync();
        }
        appended
    }

    fn append_all_of(&mut self, lines: Lines<'_>, beside: bool) -> Result<(), StoreError> {
        let Some(&(_, last)) = lines.ends.last() else { return Ok(()) };
        let mut before = self.accepted;
        for &(_, sequence) in lines.ends {
            if sequence <= before {
                let attempt = format!("append sequence {sequence} after {before}");
                return Err(StoreError::new(StoreErrorKind::OutOfOrder, attempt));
            }
            before = sequence;
        }
        self.settle(false)?;
        self.land()?;
        self.leave_aged()?;
        let mut line = lines.ends.partition_point(|&(_, sequence)| sequence <= self.written);
        if planted(Bug::RetryWritesTwice) {
            line = 0;
        }
        if planted(Bug::WrittenBeforeWrite) {
            self.written = last;
        }
        while line < lines.ends.len() {
            let most = if self.options.fsync == Fsync::Always { line + 1 } else { usize::MAX };
            line = self.append_some(lines, line, most)?;
            if self.options.fsync == Fsync::Always {
                self.sync()?;
            }
        }
        self.sync_as_due(beside)?;
        self.accepted = last;
        Ok(())
    }

    /// Makes durable what is due.
    pub(super) fn tend(&mut self) -> Result<(), StoreError> {
        self.settle(false)?;
        if let Some(running) = &mut self.running {
            let now = Instant::now();
            running.look_again = now + ((now - running.began) / 4).clamp(LOOKS[0], LOOKS[1]);
        }
        self.land()?;
        self.leave_aged()?;
        self.sync_as_due(true)
    }

    /// Makes everything written durable, unless the policy is never to.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.options.fsync == Fsync::Never { Ok(()) } else { self.sync() }
    }

    /// Makes durable what has to be by now, the last batch `beside` the next one if so.
    fn sync_as_due(&mut self, beside: bool) -> Result<(), StoreError> {
        match self.options.fsync {
            Fsync::Never => Ok(()),
            Fsync::Batch if beside => self.keep_up(Duration::ZERO, 0),
            Fsync::Batch | Fsync::Always => self.sync(),
            Fsync::Interval(every) => self.keep_up(every, self.options.undurable_bytes / SMALL),
        }
    }

    /// Sees to it that nothing waits for a sync longer than an interval, and that no more is held
    /// than may be. Less than `small` is synced at once.
    fn keep_up(&mut self, every: Duration, small: usize) -> Result<(), StoreError> {
        let most = self.options.undurable_bytes;
        loop {
            let uncovered = self.undurable.uncovered();
            let is_due = || self.undurable.since().is_some_and(|since| since.elapsed() >= every);
            if self.running.is_none() && (uncovered >= most / BEGIN || is_due()) {
                if uncovered < small {
                    return self.sync();
                }
                self.begin_sync()?;
            }
            if self.undurable.bytes() < most {
                return Ok(());
            }
            self.settle(true)?;
        }
    }

    /// Writes whole lines from `line` on, at most up to `most`, with one system call unless it
    /// is a short one. Returns the first line not written.
    fn append_some(
        &mut self,
        lines: Lines<'_>,
        line: usize,
        most: usize,
    ) -> Result<usize, StoreError> {
        let start = lines.start(line);
        let first = lines.ends[line].0 - start;
        self.make_room(first as u64)?;
        let active = match self.active.as_mut() {
            Some(active) => active,
            None => {
                let made = create(&*self.storage, &mut self.next)?;
                self.name_synced = false;
                self.active.insert(made)
            }
        };
        let room = self.options.segment_bytes.saturating_sub(active.length);
        let mut until = line + 1;
        while until < lines.ends.len().min(most) && (lines.ends[until].0 - start) as u64 <= room {
            until += 1;
        }

        let bytes = &lines.bytes[start..lines.ends[until - 1].0];
        let (taken, failure) = append_all(&mut *active.file, bytes);
        let stop = start + taken;
        let whole = lines.ends.partition_point(|&(end, _)| end <= stop);
        let kept = lines.start(whole) - start;
        active.length += kept as u64;
        let length = active.length;
        if kept > 0 {
            self.written = lines.ends[whole - 1].1;
            self.keep(&bytes[..kept]);
        }
        let Some(error) = failure else { return Ok(whole) };

        // Only whole lines may stay. Where even the cut fails, nothing may follow in this file.
        let sealed = taken > kept
            && !planted(Bug::PieceStays)
            && self.active.as_mut().is_some_and(|active| active.file.cut(length).is_err());
        let too_large = error.kind() == io::ErrorKind::FileTooLarge && length > 0;
        if sealed {
            self.give_up_segment();
        } else if too_large {
            // A limit on the size of one file: the next one has room.
            self.begin_new_segment()?;
            return Ok(whole);
        }
        Err(self.failed("append to", error))
    }

    /// Begins a new segment where `bytes` more would make the active one too large.
    fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        match &self.active {
            Some(active)
                if active.length > 0
                    && active.length.saturating_add(bytes) > self.options.segment_bytes =>
            {
                self.begin_new_segment()
            }
            _ => Ok(()),
        }
    }

    /// Leaves the active segment if it is too old. The next one is made when there is something
    /// to write.
    fn leave_aged(&mut self) -> Result<(), StoreError> {
        match self.end_of_age() {
            Some(end) if end <= Instant::now() && !planted(Bug::AgeIgnored) => {
                self.begin_new_segment()
            }
            _ => Ok(()),
        }
    }

    /// Leaves the active segment for good, with nothing in it that a later sync would miss.
    fn begin_new_segment(&mut self) -> Result<(), StoreError> {
        let leaving = self.active.as_ref().map(|active| active.number);
        if self.options.fsync != Fsync::Never && !planted(Bug::LeftWithoutSync) {
            self.sync()?;
        }
        // A failed sync has begun a new segment already.
        if self.active.as_ref().map(|active| active.number) == leaving {
            self.active = None;
        }
        Ok(())
    }

    /// Remembers lines that were written until they are durable.
    fn keep(&mut self, bytes: &[u8]) {
        if self.options.fsync != Fsync::Never {
            self.undurable.keep(bytes, self.written);
        }
    }

    /// Finishes a file that cannot be trusted any more. What it held and was not durable has to
    /// be written again.
    fn give_up_segment(&mut self) {
        // What it has made durable need not be written again.
        self.end_running(true);
        let Some(Active { number, durable, .. }) = self.active.take() else { return };
        self.undurable.stranded = !self.undurable.is_empty();
        if self.undurable.stranded {
            self.finished.push(Finished { number, durable });
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if planted(Bug::RunningSyncIgnored) {
            self.running = None;
        }
        self.settle(true)?;
        // What is stranded is not in the segment that is synced here, and what stands in two places
        // is not durable yet.
        if !planted(Bug::SyncWithoutLanding) {
            self.land()?;
        }
        if self.undurable.is_empty() {
            return Ok(());
        }
        let Some(active) = self.active.as_mut() else { return self.land() };
        if sync_all(&*self.storage, active, &mut self.name_synced).is_err() {
            return self.sync_failed();
        }
        self.became_durable();
        Ok(())
    }

    /// The first failure is not the caller's business if what was not durable can be saved.
    fn sync_failed(&mut self) -> Result<(), StoreError> {
        self.give_up_segment();
        self.land()
    }

    /// Lets what was written become durable while more is appended.
    fn begin_sync(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut() else { return self.land() };
        if sync_name(&*self.storage, &mut self.name_synced).is_err() {
            return self.sync_failed();
        }
        let Some(sync) = active.file.begin_sync() else { return self.sync() };
        let (length, now) = (active.length, Instant::now());
        self.undurable.cover();
        self.running = Some(Running { sync, length, began: now, look_again: now + LOOKS[0] });
        if planted(Bug::BelievedWhileRunning) {
            self.durable = self.written;
        }
        Ok(())
    }

    /// Believes a running sync that has ended, for which it waits if told to. One that failed
    /// strands all that is not durable.
    fn settle(&mut self, wait: bool) -> Result<(), StoreError> {
        if self.end_running(wait) { Ok(()) } else { self.sync_failed() }
    }

    /// Whether the running sync, if it has ended, has made durable what it covers. Nothing is
    /// running afterwards if it was waited for.
    fn end_running(&mut self, wait: bool) -> bool {
        let Some(ended) = self.running.as_mut().and_then(|running| running.sync.ended(wait)) else {
            return true;
        };
        let length = self.running.take().map_or(0, |running| running.length);
        if ended.is_err() && !planted(Bug::FailedRunningSyncIsGood) {
            return false;
        }
        if let Some(active) = &mut self.active {
            active.durable = length;
        }
        let last = self.undurable.let_covered_go();
        let last = if planted(Bug::RunningSyncCoversLater) { self.written } else { last };
        self.durable = self.durable.max(last);
        true
    }

    /// Writes stranded lines again into a new segment and makes them durable there.
    fn land(&mut self) -> Result<(), StoreError> {
        if self.undurable.stranded {
            self.write_again()?;
        }
        self.cut_finished()
    }

    fn write_again(&mut self) -> Result<(), StoreError> {
        let mut copy = match self.copy.take() {
            Some(copy) => copy,
            None => create_copy(&*self.storage, &mut self.next)?,
        };
        let number = copy.number;
        let refusal =
            self.undurable.pieces().find_map(|piece| append_all(&mut *copy.file, piece).1);
        if let Some(error) = refusal {
            // An empty file is as good as new; another would only be litter.
            if copy.file.cut(0).is_ok() {
                self.copy = Some(copy);
            } else {
                let _ = self.storage.remove(&number.copy_name());
            }
            return Err(io_failed(self.storage.place(), "write again in", Some(number), error));
        }
        copy.length = self.undurable.bytes() as u64;
        if let Err(error) = give_name(&*self.storage, &mut copy, &mut self.name_synced) {
            // At once as well as later: a full disk has no room for one copy a try. Whether it has
            // its name already is not known.
            let _ = copy.file.cut(0);
            let _ = self.storage.remove(&number.copy_name());
            self.finished.push(Finished { number, durable: 0 });
            return Err(io_failed(self.storage.place(), "sync", Some(number), error));
        }
        self.active = Some(copy);
        self.undurable.stranded = false;
        Ok(())
    }

    /// Cuts off finished segments what is durable elsewhere by now, and calls it so. Until then
    /// it stands in two places, and after a power cut the wrong one might be taken for good.
    fn cut_finished(&mut self) -> Result<(), StoreError> {
        if self.undurable.stranded || self.finished.is_empty() {
            return Ok(());
        }
        if planted(Bug::StrandedStays) {
            self.finished.clear();
        }
        while let Some(&Finished { number, durable }) = self.finished.last() {
            let cut =
                self.storage.open(&number.file_name(), Access::Append).and_then(|mut file| {
                    file.cut(durable)?;
                    file.sync()
                });
            match cut {
                // Somebody has deleted it: then nothing stands there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                cut => cut.map_err(|error| {
                    io_failed(
                        self.storage.place(),
                        "cut the rewritten end off",
                        Some(number),
                        error,
                    )
                })?,
            }
            self.finished.pop();
        }
        self.became_durable();
        Ok(())
    }

    fn became_durable(&mut self) {
        if let Some(active) = &mut self.active {
            active.durable = active.length;
        }
        self.durable = self.durable.max(self.undurable.let_all_go());
    }

    fn failed(&self, verb: &str, error: io::Error) -> StoreError {
        let number = self.active.as_ref().map(|active| active.number);
        io_failed(self.storage.place(), verb, number, error)
    }
}

fn mark(number: u64) -> Option<Sequence> {
    (number > 0).then(|| Sequence::new(number))
}
