//! A journal behind a bus, read back, and continued by the next bus:
//! `cargo run --example journal [DIRECTORY]`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{PersistOptions, Store};
use ringpost::{EventBus, Sequence, event};

const LONG: Duration = Duration::from_secs(10);

/// Publishes three events into the journal and gives the sequence of the last one.
fn session(directory: &Path) -> Result<u64, Box<dyn Error>> {
    let options = JournalOptions::default().with_fsync(Fsync::Batch);
    let journal = Journal::open(directory, options)?;

    // The numbers go on where the journal ends.
    let last = journal.last_sequence().map_or(0, u64::from);
    let bus = EventBus::builder().start(Sequence::new(last + 1)).build();
    let persistence = bus.persist(journal, PersistOptions::default())?;

    for step in ["opened", "checked", "closed"] {
        let kind = format!("door.{step}");
        bus.publish(event!(&kind, source = "examples/journal", { "door": 7 })?)?;
    }

    // `flush` says when an event is safe; `shutdown` flushes too.
    let last = Sequence::new(last + 3);
    persistence.flush(last, LONG)?;
    println!("durable up to {:?}", persistence.stats().watermarks.durable.map(u64::from));
    assert_eq!(persistence.stats().watermarks.durable, Some(last));

    assert!(bus.shutdown(LONG).is_clean());
    let report = persistence.stop(LONG);
    assert!(report.complete);
    assert_eq!(report.stats.journaled, 3);
    Ok(last.get())
}

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let given = std::env::args_os().nth(1);
    let directory = given.as_deref().map_or(scratch.path(), Path::new);

    let first = session(directory)?;
    let second = session(directory)?;
    assert_eq!(second, first + 3);

    // A reader needs no lock: any process, any time.
    let reader = JournalReader::open(directory)?;
    for entry in reader.records_from(Sequence::new(first + 1))? {
        println!("{}", String::from_utf8_lossy(&entry?.line));
    }
    let found = reader.verify()?;
    println!("{} records, {} with a valid checksum", found.records, found.valid);
    assert!(found.is_clean());
    Ok(())
}
