//! What a journal must hold after a crash, and the table of what it did not.

use std::fmt;
use std::path::Path;

use ringpost::event::Event;
use ringpost::store::Store;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::{Sequence, Shared};

use super::load::Told;

/// Reads the journal as it is; the last sequence. Panics unless each record is there once, in
/// order, with the event that was published.
pub(crate) fn read(directory: &Path, events: &[Shared<Event>]) -> u64 {
    let Ok(reader) = JournalReader::open(directory) else { return 0 };
    let mut last = 0;
    for entry in reader.records().expect("records") {
        let entry = entry.expect("readable");
        let sequence = entry.sequence.expect("a sequence").get();
        assert_eq!(sequence, last + 1, "a record is missing, or there twice");
        let published = &events[usize::try_from(last).expect("small") % events.len()];
        assert_eq!(entry.event.id(), published.id(), "sequence {sequence} is another event");
        assert_eq!(entry.event.data(), published.data(), "sequence {sequence} has other data");
        last = sequence;
    }
    last
}

/// Opens the journal for writing, as the next process does; everything must be in order then.
pub(crate) fn recover(directory: &Path, events: &[Shared<Event>]) -> u64 {
    let before = read(directory, events);
    let journal = Journal::open(directory, JournalOptions::default()).expect("it opens");
    assert_eq!(journal.last_sequence().map_or(0, Sequence::get), before, "recovery lost a record");
    drop(journal);
    assert_eq!(read(directory, events), before, "recovery lost a record");
    let check = JournalReader::open(directory).expect("a reader").verify().expect("verified");
    assert!(check.is_clean() && check.duplicates == 0, "bad lines, or some there twice: {check:?}");
    before
}

/// What one policy lost over a campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    fsync: Fsync,
    rounds: u64,
    written: u64,
    durable: u64,
    lost_written: u64,
    lost_durable: u64,
}

impl Losses {
    pub(crate) fn of(fsync: Fsync) -> Self {
        Self { fsync, rounds: 0, written: 0, durable: 0, lost_written: 0, lost_durable: 0 }
    }

    /// Adds a round that began behind `before` and left the journal ending in `last`.
    pub(crate) fn add(&mut self, before: u64, told: Told, last: u64) {
        self.rounds += 1;
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
            "{:<16} {:>4} rounds, of {:>9} written lost {:>7}, of {:>9} durable lost {}",
            self.fsync.to_string(),
            self.rounds,
            self.written,
            self.lost_written,
            self.durable,
            self.lost_durable
        )
    }
}
