//! Lives of a journal on a disk that fails, beside a model of what was promised.
//!
//! A [`World`] is driven by [`Op`]s, made by chance or by proptest. A life is one process: it
//! opens the journal, appends as the persistence actor does (a batch that failed is handed in
//! again), and ends in order, by death or in a power cut; then the next one opens what is left.
//! After every end the model says what must be there: all that was called written while the
//! system lives on, all that was called durable in any case, each once, in order, as handed in.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::kept::Kept;
use super::op::{End, Kind, Op, Way};
use super::rng::Rng;
use super::sim::{Call, Cut, Fault, SimFs};
use super::{Journal, JournalOptions, JournalReader, Record, number};
use crate::Sequence;
use crate::event::Event;
use crate::ring::Shared;
use crate::store::journal::Fsync;
use crate::store::{Store, StoreError, StoreErrorKind, Watermarks};

/// What the model knows of one sequence.
#[derive(Clone, Debug)]
struct Known {
    /// The identity of the event that was handed in.
    id: u64,
    life: u32,
    written: bool,
    durable: bool,
    /// Gone in order, because it need not be kept.
    removed: bool,
}

/// Any violation of a promise, as a sentence.
pub(super) type Verdict = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

pub(super) struct World {
    rng: Rng,
    disk: SimFs,
    journal: Option<Journal>,
    policy: Fsync,
    life: u32,
    marks: Watermarks,
    /// Sequences from 1 on.
    known: Vec<Option<Known>>,
    pending: Vec<Record>,
    /// Whether the journal has staged them.
    staged: bool,
    next_id: u64,
    /// What this life found was perhaps hit by a sync that failed in an earlier one.
    doubtful: bool,
    power_was_cut: bool,
    power_cut_planned: bool,
    kept: Kept,
}

impl World {
    /// With `looks_after`, lives have limits on what they keep, compress it, and have a consumer.
    pub(super) fn new(
        seed: u64,
        policy: Fsync,
        segment_bytes: u16,
        looks_after: bool,
    ) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let disk = SimFs::by_chance(Rng::new(rng.next()));
        let mut world = Self {
            rng,
            disk,
            journal: None,
            policy,
            life: 0,
            marks: Watermarks::default(),
            known: Vec::new(),
            pending: Vec::new(),
            staged: false,
            next_id: 0,
            doubtful: false,
            power_was_cut: false,
            power_cut_planned: false,
            kept: Kept::new(looks_after),
        };
        if looks_after && world.rng.one_in(3) {
            world.kept.acknowledge(&world.disk, 1);
        }
        world.open(policy, segment_bytes)?;
        Ok(world)
    }

    /// Lets `op` happen and checks what it may check.
    pub(super) fn apply(&mut self, op: Op) -> Verdict {
        match op {
            Op::Append { records, bytes } => self.append(records, bytes)?,
            Op::Flush => self.call(|journal| journal.flush().is_ok()).map(drop)?,
            Op::Tend => self.call(|journal| journal.tend().is_ok()).map(drop)?,
            Op::Settle => self.settle().map(drop)?,
            Op::Keep => self.keep().map(drop)?,
            Op::Acknowledge(part) => {
                let next = number(self.marks.written) * u64::from(part) / 255 + 1;
                self.kept.acknowledge(&self.disk, next);
            }
            Op::WriteBack => self.disk.write_back_some(&mut self.rng),
            Op::Fault { after, calls, kind, way } => self.plan(after, calls, kind, way),
            Op::Heal => self.disk.heal(),
            Op::End { end, policy, segment_bytes } => return self.end(end, policy, segment_bytes),
        }
        if self.disk.is_dead() {
            let end = if self.power_cut_planned { End::PowerCut } else { End::Killed };
            let policy = self.policy;
            return self.end(end, policy, 1000);
        }
        Ok(())
    }

    /// Everything works again: what is pending must go through, all must be there, once.
    pub(super) fn finish(&mut self) -> Verdict {
        self.disk.heal();
        if !self.pending.is_empty() {
            self.append(0, 0)?;
        }
        ensure!(self.pending.is_empty(), "the disk works, but the batch does not go through");
        ensure!(self.settle()?, "the disk works, but what began does not end");
        let flushed = self.call(|journal| journal.flush().is_ok())?;
        ensure!(flushed, "the disk works, but the flush fails");
        if self.policy != Fsync::Never {
            let Watermarks { written, durable } = self.marks;
            ensure!(durable == written, "flushed, but durable up to {durable:?} of {written:?}");
            let last = self.last();
            ensure!(durable == last, "flushed, but durable up to {durable:?} of {last:?}");
        }
        // What a sync lost that failed in a life before, a power cut may have taken from the plain
        // one of two forms: then they differ, which is told.
        let failed_sync = self.disk.ground().failed_sync;
        let differ = |error: &StoreError| failed_sync && error.kind() == StoreErrorKind::Refused;
        let failing = self.keep()?.filter(|error| !differ(error));
        ensure!(failing.is_none(), "the disk works, but looking after segments fails: {failing:?}");
        let policy = self.policy;
        self.end(End::PowerCut, policy, 1000)?;
        self.end(End::Killed, policy, 1000)
    }

    fn append(&mut self, records: u8, bytes: u8) -> Verdict {
        if self.pending.is_empty() {
            for _ in 0..records {
                let sequence = self.known.len() as u64 + 1;
                self.next_id += 1;
                self.pending.push(record(sequence, self.next_id, bytes));
                let id = self.next_id;
                let life = self.life;
                let known = Known { id, life, written: false, durable: false, removed: false };
                self.known.push(Some(known));
            }
        }
        let Some(last) = self.pending.last().map(|record| record.sequence) else { return Ok(()) };
        let batch = std::mem::take(&mut self.pending);
        let staged = self.staged || self.rng.one_in(2);
        let begins = staged && self.rng.one_in(2);
        let stages = staged && !std::mem::replace(&mut self.staged, staged);
        let mut hopeless = None;
        let done = self.call(|journal| {
            for Record { sequence, event } in batch.iter().filter(|_| stages) {
                journal.stage(*sequence, event).expect("it is short");
            }
            let appended = match (staged, begins) {
                (false, _) => journal.append(&batch),
                (true, false) => journal.append_staged(),
                (true, true) => journal.begin_staged(),
            };
            hopeless = appended.as_ref().err().filter(|error| !error.is_transient()).cloned();
            appended.is_ok()
        })?;
        if !done {
            self.pending = batch;
            if let Some(error) = hopeless.filter(|_| !self.disk.is_dead()) {
                return Err(format!("an error that is for ever: {error:?}"));
            }
            return Ok(());
        }
        self.staged = false;
        if begins { Ok(()) } else { self.is_stored(last) }
    }

    /// Waits for what began; whether it did not fail.
    fn settle(&mut self) -> Result<bool, String> {
        // One sync may be running, and another one is then to cover the rest. What fails is asked
        // for again, as the persistence actor does.
        let (mut in_a_row, mut tries) = (0, 0);
        while in_a_row < 2 && tries < 5 {
            let advanced = self.call(|journal| journal.advance_staged().is_ok())?;
            in_a_row = if advanced { in_a_row + 1 } else { 0 };
            tries += 1;
        }
        let done = in_a_row == 2;
        let handed_in = self.known.len() - self.pending.len();
        if done && handed_in > 0 {
            self.is_stored(Sequence::new(handed_in as u64))?;
        }
        Ok(done)
    }

    /// What the policy says of a record that is stored is true of all up to this one.
    fn is_stored(&self, last: Sequence) -> Verdict {
        let Watermarks { written, durable } = self.marks;
        let stored = self.journal.as_ref().and_then(Journal::stored_to);
        ensure!(stored >= Some(last), "all up to {last} ended, but stored up to {stored:?}");
        ensure!(written >= Some(last), "appended {last}, but written up to {written:?}");
        if matches!(self.policy, Fsync::Batch | Fsync::Always) {
            ensure!(durable >= Some(last), "appended {last}, but durable up to {durable:?}");
        }
        Ok(())
    }

    /// What fails in looking after sealed segments.
    fn keep(&mut self) -> Result<Option<StoreError>, String> {
        let (last, kept) = (self.last(), &mut self.kept);
        let journal = self.journal.as_ref().expect("a life has a journal");
        Ok(kept.work(journal, number(last)))
    }

    /// Calls the journal and believes its marks.
    fn call(&mut self, call: impl FnOnce(&mut Journal) -> bool) -> Result<bool, String> {
        let journal = self.journal.as_mut().expect("a life has a journal");
        let done = call(journal);
        let marks = journal.watermarks();
        ensure!(
            marks.written >= self.marks.written && marks.durable >= self.marks.durable,
            "a mark went back: {:?} to {marks:?}",
            self.marks
        );
        ensure!(marks.durable <= marks.written, "durable but not written: {marks:?}");
        let at_once = matches!(self.policy, Fsync::Batch | Fsync::Always);
        let (stored, most) =
            (journal.stored_to(), if at_once { marks.durable } else { marks.written });
        ensure!(stored <= most, "stored up to {stored:?}, but {marks:?}");
        ensure!(
            self.policy != Fsync::Never || marks.durable.is_none(),
            "durable without a sync: {marks:?}"
        );
        self.marks = marks;
        self.believe()?;
        Ok(done)
    }

    /// Notes what the marks say.
    fn believe(&mut self) -> Verdict {
        // What stands in a segment outlives its process, also before it is called written.
        let last = self.last();
        let (written, durable) = (number(last), number(self.marks.durable));
        ensure!(self.marks.written <= last, "{:?}, but the last is {last:?}", self.marks);
        ensure!(written <= self.known.len() as u64, "{written} was never handed in");
        for (known, sequence) in self.known.iter_mut().zip(1..) {
            let Some(known) = known else { continue };
            known.written |= sequence <= written;
            // What an earlier process failed to sync, and died, nobody can see any more.
            let sure = known.life == self.life || !self.doubtful;
            known.durable |= sequence <= durable && sure;
        }
        Ok(())
    }

    /// The last sequence that stands in a segment.
    fn last(&self) -> Option<Sequence> {
        self.journal.as_ref().and_then(Journal::last_sequence)
    }

    fn plan(&mut self, after: u8, calls: u8, kind: Kind, way: Way) {
        let (mut left, mut faults) = (after, calls);
        self.power_cut_planned = matches!(way, Way::Dies { power: true, .. });
        self.disk.plan(move |_, call| {
            let wanted = match kind {
                Kind::Any => true,
                Kind::Append => call == Call::Append,
                Kind::Create => call == Call::Create,
                Kind::Sync => call == Call::Sync,
                Kind::SyncDirectory => call == Call::SyncDirectory,
                Kind::Cut => call == Call::Cut,
                Kind::Remove => call == Call::Remove,
                Kind::Rename => call == Call::Rename,
                Kind::SyncAndAppend => matches!(call, Call::Sync | Call::Append),
                Kind::SyncAndCut => matches!(call, Call::Sync | Call::Cut),
            };
            if !wanted || faults == 0 {
                return Fault::None;
            }
            if left > 0 {
                left -= 1;
                return Fault::None;
            }
            faults -= 1;
            match way {
                // Only what the system says again and again until it is through.
                Way::Error(libc::EINTR) if !matches!(call, Call::Append | Call::Read) => {
                    Fault::None
                }
                Way::Error(code) => Fault::Error(code),
                Way::Short(most) if most % 4 == 0 => Fault::Short(most.into(), libc::EFBIG),
                Way::Short(most) => Fault::Short(most.into(), libc::ENOSPC),
                Way::Dies { torn, .. } => Fault::Dies(usize::from(torn)),
            }
        });
    }

    fn end(&mut self, end: End, policy: Fsync, segment_bytes: u16) -> Verdict {
        if end == End::Closed && !self.disk.is_dead() {
            self.call(|journal| journal.flush().is_ok())?;
        }
        // What a dead process held is gone with it; it can't say anything any more either.
        self.journal = None;
        self.disk.heal();
        if self.disk.is_dead() {
            self.disk.revive();
        }
        if end == End::PowerCut {
            self.disk = self.disk.cut_power(Cut::Chance(&mut self.rng));
            self.power_was_cut = true;
        }
        self.pending.clear();
        self.staged = false;
        self.compare(end == End::PowerCut)?;
        self.doubtful = self.disk.ground().failed_sync;
        self.open(policy, segment_bytes)
    }

    /// Opens the journal; some times its process dies in the middle of that, or a call fails.
    fn open(&mut self, policy: Fsync, segment_bytes: u16) -> Verdict {
        self.life += 1;
        self.policy = policy;
        // So little that syncs run beside the appending, and that it waits for them.
        let undurable_bytes = self.rng.among(&[600, 2000, 6000, 1 << 20]);
        let options = JournalOptions { undurable_bytes, ..JournalOptions::default() };
        let options =
            options.with_fsync(policy).with_segment_bytes(u64::from(segment_bytes).max(1));
        let options = self.kept.settings(&mut self.rng, options);
        if self.rng.one_in(4) {
            let (at, torn) = (self.rng.below(12), self.rng.below(200));
            let fault =
                self.rng.among(&[Fault::Fails, Fault::Dies(torn), Fault::Error(libc::EMFILE)]);
            self.disk.plan(move |call, _| if call == at { fault } else { Fault::None });
            let opened = Journal::on(Arc::new(self.disk.clone()), options.clone());
            drop(opened);
            self.disk.heal();
            self.disk.revive();
            if self.rng.one_in(2) {
                self.disk = self.disk.cut_power(Cut::Chance(&mut self.rng));
                self.power_was_cut = true;
                self.compare(true)?;
            } else {
                self.compare(false)?;
            }
            self.doubtful = self.disk.ground().failed_sync;
        }
        let opened = Journal::on(Arc::new(self.disk.clone()), options);
        let mut journal = opened.map_err(|error| format!("it does not open: {error:?}"))?;
        self.kept.begin(&mut journal);
        let last = number(journal.last_sequence());
        let is_there = |known: &Option<Known>| known.as_ref().is_some_and(|known| !known.removed);
        let found = self.known.iter().rposition(is_there).map_or(0, |at| at as u64 + 1);
        ensure!(last == found, "it goes on behind {last}, but {found} is there");
        let removed = self.kept.removed();
        let failed_sync = self.disk.ground().failed_sync;
        ensure!(
            last >= removed || failed_sync,
            "it goes on behind {last}, but {removed} was there before"
        );
        self.known.truncate(usize::try_from(last).expect("small"));
        self.marks = journal.watermarks();
        self.journal = Some(journal);
        self.believe()?;
        // Recovery may change no record.
        self.compare(false)
    }

    /// Who begins in the middle, or at the end, sees what one who reads all of it sees. (After a power
    /// cut, what a failed sync left may hide some from the one or the other.)
    fn look_from_elsewhere(&mut self, reader: &JournalReader) -> Verdict {
        let is_there = |known: &Option<Known>| known.as_ref().is_some_and(|known| !known.removed);
        let there = self.known.iter().zip(1..).filter(|(known, _)| is_there(known));
        let there: Vec<u64> = there.map(|(_, sequence)| sequence).collect();
        let most = self.known.len() + 2;
        let (from, count) = (self.rng.below(most) as u64, self.rng.below(most));
        let unreadable = |error: StoreError| format!("unreadable: {error:?}");
        let records = reader.records_from(Sequence::new(from)).map_err(unreadable)?;
        let found: Result<Vec<_>, _> =
            records.map(|entry| entry.map(|entry| number(entry.sequence))).collect();
        let (found, begin) = (found.map_err(unreadable)?, there.partition_point(|one| *one < from));
        ensure!(found == there[begin..], "from {from} on {found:?}, but there is {there:?}");
        let tail = reader.tail(count).map_err(unreadable)?;
        let last: Vec<_> = tail.entries.iter().map(|entry| number(entry.sequence)).collect();
        let begin = there.len().saturating_sub(count);
        ensure!(last == there[begin..], "the last {count} are {last:?}, but there is {there:?}");
        Ok(())
    }

    /// Compares what can be read with what was promised; what is lost in order is forgotten.
    fn compare(&mut self, power_cut: bool) -> Verdict {
        let reader = JournalReader::of(Arc::new(self.disk.clone()));
        let records = reader.records().map_err(|error| format!("unreadable: {error:?}"))?;
        let mut found = vec![None; self.known.len()];
        let mut before = 0;
        for entry in records {
            let entry = entry.map_err(|error| format!("unreadable: {error:?}"))?;
            let sequence = entry.sequence.map_or(0, Sequence::get);
            ensure!(sequence > before, "{sequence} follows {before}");
            before = sequence;
            let at = usize::try_from(sequence - 1).expect("small");
            let known = self.known.get(at).and_then(Option::as_ref);
            ensure!(known.is_some(), "{sequence} was never handed in, or had been lost");
            found[at] = entry.event.id().parse::<u64>().ok();
            ensure!(
                found[at] == known.map(|known| known.id),
                "{sequence} is another event than was handed in"
            );
        }
        // What a sync lost that failed in a life before, nobody can see: not even the segment that
        // was kept for the sequence to go on from is sure then.
        let failed_sync = self.disk.ground().failed_sync;
        let none = if failed_sync { u64::MAX } else { 0 };
        let first = found.iter().position(Option::is_some).map_or(none, |at| at as u64 + 1);
        for ((known, found), sequence) in self.known.iter_mut().zip(found).zip(1..) {
            let Some(Known { written, durable, removed, .. }) = known else { continue };
            // A removal that is not durable yet may be undone by a power cut.
            *removed = found.is_none() && sequence < first && self.kept.may_be_gone(sequence);
            if found.is_some() || *removed {
                continue;
            }
            ensure!(!*durable, "{sequence} was durable and is lost");
            ensure!(!*written || power_cut, "{sequence} was written and is lost");
            *known = None;
        }
        if !self.power_was_cut {
            self.look_from_elsewhere(&reader)?;
        }
        let check = reader.verify().map_err(|error| format!("unreadable: {error:?}"))?;
        let unharmed = !self.power_was_cut;
        ensure!(check.damaged == 0 || !unharmed, "a bad line: {:?}", check.damages);
        ensure!(check.duplicates == 0 || failed_sync, "{} stand there twice", check.duplicates);
        Ok(())
    }
}

fn record(sequence: u64, id: u64, bytes: u8) -> Record {
    let data = format!("\"{}\"", "x".repeat(usize::from(bytes)));
    let event = Event::builder("h").id(id.to_string()).source("s").raw_json(data).build();
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
}
