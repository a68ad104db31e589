//! Publishing a journal's events once more, into a new journal, as fast as it goes.

use std::time::Instant;

use ringpost::store::PersistOptions;
use ringpost::store::journal::{Fsync, Journal, JournalReader};
use ringpost::{Event, EventBus, Sequence, Shared};

use super::{Until, journal, repeat};
use crate::ours::bus::LONG;

/// Events a second, from the first one read until the last one is in the new file.
pub fn replay(events: &[Event], count: usize) -> f64 {
    let (from, to) = (tempfile::tempdir(), tempfile::tempdir());
    let (from, to) = (from.expect("a directory"), to.expect("a directory"));
    let never = Until::Written(Fsync::Never);
    store(journal(from.path(), never), count, repeat(events, count, Shared::new).into_iter());
    let reader = JournalReader::open(from.path()).expect("it was just written");
    let target = journal(to.path(), never);
    let since = Instant::now();
    let records = reader.records_from(Sequence::FIRST).expect("it is readable").without_lines();
    store(target, count, records.map(|entry| Shared::new(entry.expect("it is whole").event)));
    count as f64 / since.elapsed().as_secs_f64()
}

fn store(journal: Journal, count: usize, events: impl Iterator<Item = Shared<Event>>) {
    let bus = EventBus::builder().publish_timeout(LONG).build();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("it starts");
    for event in events {
        bus.publish(event).expect("the journal keeps up");
    }
    let last = Sequence::new(count as u64);
    let _receipt = persistence.written(last).wait(LONG).expect("it is written");
}
