//! What a journal must hold after a crash, and the table of what it did not.

use std::fmt;
use std::path::Path;

use ringpost::event::Event;
use ringpost::store::Store;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader, Verification};
use ringpost::{Sequence, Shared};

use super::load::Told;

/// Reads the journal as it is, from the record `from` on; the last sequence, or the one before
/// `from` if it ends sooner. Panics unless each record is there once, in order, with the event that
/// was published.
pub(crate) fn read(directory: &Path, events: &[Shared<Event>], from: u64) -> u64 {
    JournalReader::open(directory).map_or(from - 1, |reader| read_all(&reader, events, from).0)
}

/// The same, with how many lines are no records.
fn read_all(reader: &JournalReader, events: &[Shared<Event>], from: u64) -> (u64, u64) {
    let mut last = from - 1;
    let mut records = reader.records_from(Sequence::new(from)).expect("records");
    for entry in &mut records {
        let entry = entry.expect("readable");
        let sequence = entry.sequence.expect("a sequence").get();
        assert_eq!(sequence, last + 1, "a record is missing, or there twice");
        let published = &events[usize::try_from(last).expect("small") % events.len()];
        assert_eq!(entry.event.id(), published.id(), "sequence {sequence} is another event");
        assert_eq!(entry.event.data(), published.data(), "sequence {sequence} has other data");
        last = sequence;
    }
    (last, records.damaged())
}

/// Opens the journal for writing, as the next process does. It must end in `last` as before, and
/// from the record `from` on everything must be in order then.
pub(crate) fn recover_from(directory: &Path, events: &[Shared<Event>], from: u64, last: u64) {
    let journal = Journal::open(directory, JournalOptions::default()).expect("it opens");
    assert_eq!(journal.last_sequence().map_or(0, Sequence::get), last, "recovery lost a record");
    drop(journal);
    let reader = JournalReader::open(directory).expect("a reader");
    assert_eq!(read_all(&reader, events, from), (last, 0), "a record was lost, or a line is bad");
}

/// The same for the whole journal; the last sequence.
pub(crate) fn recover(directory: &Path, events: &[Shared<Event>]) -> u64 {
    let mut course = Course::new(directory, events);
    let last = course.read();
    course.recover(last, true);
    last
}

/// A journal over the lives of its writers. Each time what is new is read, and now and then all:
/// all of it each time would take longer and longer.
pub(crate) struct Course<'c> {
    directory: &'c Path,
    events: &'c [Shared<Event>],
    /// The last sequence there was when it was recovered the last time.
    pub(crate) last: u64,
}

impl<'c> Course<'c> {
    /// So many records before its end are always read after a recovery.
    const NEAR: u64 = 1000;

    pub(crate) fn new(directory: &'c Path, events: &'c [Shared<Event>]) -> Self {
        Self { directory, events, last: 0 }
    }

    /// Reads what is new as it is; the last sequence.
    pub(crate) fn read(&self) -> u64 {
        let last = read(self.directory, self.events, self.last.max(1));
        assert!(last >= self.last, "{} records were there, {last} are left", self.last);
        last
    }

    /// Opens the journal as the next process does; it must end in `last`. Looks at `all` of it, or
    /// at its end.
    pub(crate) fn recover(&mut self, last: u64, all: bool) {
        let from = if all { 1 } else { last.saturating_sub(Self::NEAR).max(1) };
        recover_from(self.directory, self.events, from, last);
        if all {
            assert_eq!(verify(self.directory).duplicates, 0, "records are there twice");
        }
        self.last = last;
    }
}

/// Looks at every line of a journal that was recovered. Nothing may be wrong.
pub(crate) fn verify(directory: &Path) -> Verification {
    let reader = JournalReader::open(directory).expect("a reader");
    let check = reader.verify().expect("verified");
    assert!(check.is_clean(), "bad lines, or some missing or there twice: {check:?}");
    check
}

/// What one policy lost over a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    fsync: Fsync,
    rounds: u64,
    published: u64,
    /// What was published and is not there, acknowledged or not.
    gone: u64,
    written: u64,
    durable: u64,
    lost_written: u64,
    lost_durable: u64,
}

impl Losses {
    pub(crate) fn of(fsync: Fsync) -> Self {
        Self { fsync, ..Self::default() }
    }

    /// Adds a round that began behind `before` and left the journal ending in `last`.
    pub(crate) fn add(&mut self, before: u64, told: Told, last: u64) {
        self.rounds += 1;
        self.published += told.published.saturating_sub(before);
        self.gone += told.published.saturating_sub(last);
        self.written += told.written.saturating_sub(before);
        self.durable += told.durable.saturating_sub(before);
        self.lost_written += told.written.saturating_sub(last);
        self.lost_durable += told.durable.saturating_sub(last);
    }

    pub(crate) fn assert_no_durable_lost(&self) {
        assert_eq!(self.lost_durable, 0, "durable events are lost: {self}");
    }

    pub(crate) fn assert_none_lost(&self) {
        self.assert_no_durable_lost();
        assert_eq!(self.lost_written, 0, "written events are lost: {self}");
    }

    /// Whether anything was acknowledged: without that, nothing was tested.
    pub(crate) fn assert_some_told(&self) {
        assert!(self.written > 0, "nothing was ever acknowledged: {self}");
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<13} {:>4} rounds, of {:>9} published gone {:>8}, of {:>9} written lost {:>8}, of \
             {:>9} durable lost {}",
            self.fsync.to_string(),
            self.rounds,
            self.published,
            self.gone,
            self.written,
            self.lost_written,
            self.durable,
            self.lost_durable
        )
    }
}
