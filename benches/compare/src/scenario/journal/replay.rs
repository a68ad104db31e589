//! Publishing a journal's events once more, into a new journal, as fast as it goes.

use std::time::Instant;

use ringpost::store::PersistOptions;
use ringpost::store::journal::{Fsync, JournalReader};
use ringpost::{Event, EventBus, Sequence, Shared};

use super::{Until, journal, repeat};
use crate::ours::bus::LONG;

/// Events that are read at once, and places on the ring, as the command line has them.
const CHUNK: usize = 256;
const RING: usize = 2048;

/// Events a second, from the first one read until the last one is in the new file.
pub fn replay(events: &[Event], count: usize) -> f64 {
    let (from, to) = (tempfile::tempdir(), tempfile::tempdir());
    let (from, to) = (from.expect("a directory"), to.expect("a directory"));
    let never = Until::Written(Fsync::Never);
    {
        let bus = EventBus::builder().publish_timeout(LONG).build();
        let source = journal(from.path(), never);
        let persistence = bus.persist(source, PersistOptions::default()).expect("it starts");
        bus.publish_all(&mut repeat(events, count, Shared::new)).expect("the journal keeps up");
        let last = Sequence::new(count as u64);
        let _receipt = persistence.written(last).wait(LONG).expect("it is written");
        let _report = persistence.stop(LONG);
    }
    let reader = JournalReader::open(from.path()).expect("it was just written");
    let target = journal(to.path(), never);
    let since = Instant::now();
    let bus = EventBus::builder().ring(RING).recent(0).publish_timeout(LONG).build();
    let persistence = bus.persist(target, PersistOptions::default()).expect("it starts");
    let mut records = reader.records_from(Sequence::FIRST).expect("it is readable");
    let mut chunk = Vec::with_capacity(CHUNK);
    while records.read_events(&mut chunk, CHUNK).expect("it is readable") > 0 {
        bus.publish_all(&mut chunk).expect("the journal keeps up");
    }
    let last = Sequence::new(count as u64);
    let _receipt = persistence.written(last).wait(LONG).expect("it is written");
    let rate = count as f64 / since.elapsed().as_secs_f64();
    let report = persistence.stop(LONG);
    assert_eq!(report.stats.journaled, count as u64, "events lost");
    assert_eq!((records.damaged(), records.missing()), (0, 0), "events lost");
    rate
}
