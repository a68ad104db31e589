//! A store of one's own behind a bus: `cargo run --example own_store`.
//!
//! A store keeps records in the order of their sequences. It runs on the persistence thread,
//! never on a publisher's; when it fails it gets the same batch again.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::store::{
    PersistOptions, Record, Scan, Store, StoreError, StoreErrorKind, Trouble, Watermarks,
};
use ringpost::{EventBus, Sequence, event};

/// Keeps only numbers and types, in memory, and has a bad start.
#[derive(Default)]
struct Diary {
    lines: Arc<Mutex<Vec<(Sequence, String)>>>,
    records: Vec<Record>,
    calls: u32,
}

impl Store for Diary {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.calls += 1;
        if self.calls == 1 {
            return Err(StoreError::new(StoreErrorKind::Io, "append to the diary"));
        }
        let line = |record: &Record| (record.sequence, record.event.kind().to_owned());
        self.lines.lock().unwrap().extend(batch.iter().map(line));
        self.records.extend_from_slice(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Written, but never durable: nothing of it survives the process.
    fn watermarks(&self) -> Watermarks {
        let written = self.records.last().map(|record| record.sequence);
        Watermarks { written, durable: None }
    }

    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        let wanted = self.records.iter().filter(move |record| record.sequence >= from);
        Ok(Box::new(wanted.cloned().map(Ok)))
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        Ok(self.records[self.records.len().saturating_sub(count)..].to_vec())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let diary = Diary::default();
    let lines = Arc::clone(&diary.lines);
    let observer = |trouble: &Trouble| println!("trouble: {trouble:?}");
    let options = PersistOptions { observer: Some(Box::new(observer)), ..Default::default() };

    let bus = EventBus::new();
    let persistence = bus.persist(diary, options)?;
    for kind in ["door.opened", "door.closed"] {
        bus.publish(event!(kind, source = "examples/own_store")?)?;
    }
    assert!(bus.shutdown(Duration::from_secs(10)).is_clean());
    let report = persistence.stop(Duration::from_secs(10));

    let lines = lines.lock().unwrap();
    for (sequence, kind) in &*lines {
        println!("{sequence} {kind}");
    }
    // The first call failed, and nothing is missing.
    assert_eq!((report.stats.errors, report.stats.journaled), (1, 2));
    assert_eq!(lines.len(), 2);
    Ok(())
}
