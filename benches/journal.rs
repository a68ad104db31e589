//! Keeping events: appending to a journal, and the whole way from a publish to its file.

mod pace;
mod reading;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::event::{Event, json};
use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::store::{PersistOptions, Record, Store};
use ringpost::{EventBus, Sequence, Shared};
use tempfile::TempDir;

use crate::pace::pace;
use crate::reading::reading;

const LONG: Duration = Duration::from_secs(60);

fn journal(fsync: Fsync) -> (TempDir, Journal) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = JournalOptions::default().with_fsync(fsync);
    let journal = Journal::open(directory.path(), options).expect("the directory is new");
    (directory, journal)
}

/// As a bus gives it out: with the time it was recorded.
fn recorded() -> Shared<Event> {
    let bus = EventBus::new();
    bus.publish(Shared::new(reading())).expect("nothing blocks");
    bus.recent(1).pop().expect("it was just published").into_message()
}

/// Does `work` for `count` events in runs that leave the disk a hundred megabytes at most: each has
/// a journal of its own.
fn in_runs(count: u64, mut work: impl FnMut(u64) -> Duration) -> Duration {
    const LONGEST: u64 = 1 << 18;
    let runs = (0..count).step_by(LONGEST as usize).map(|done| LONGEST.min(count - done));
    runs.map(&mut work).sum()
}

/// Only the appends are timed.
fn append_all(event: &Shared<Event>, fsync: Fsync, size: u64, count: u64) -> Duration {
    let (_directory, mut journal) = journal(fsync);
    let (mut spent, mut stored) = (Duration::ZERO, 0);
    while stored < count {
        let end = count.min(stored + size);
        let batch: Vec<_> = (stored + 1..=end)
            .map(|number| Record { sequence: Sequence::new(number), event: event.clone() })
            .collect();
        let since = Instant::now();
        journal.append(&batch).expect("there is room on the disk");
        spent += since.elapsed();
        stored = end;
    }
    assert_eq!(journal.last_sequence(), Some(Sequence::new(count)), "each event is stored");
    spent
}

fn append(c: &mut Criterion) {
    let event = recorded();
    let mut line = Vec::new();
    json::encode_record(&event, Sequence::FIRST, &mut line);
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Bytes(line.len() as u64));
    for size in [1, 64, 1024] {
        group.bench_function(format!("append/batch-{size}"), |b| {
            b.iter_custom(|count| {
                in_runs(count, |count| append_all(&event, Fsync::Never, size, count))
            });
        });
    }
    group.bench_function("append-fsync/batch-1024", |b| {
        b.iter_custom(|count| {
            in_runs(count, |count| append_all(&event, Fsync::Batch, 1024, count))
        });
    });
    group.finish();
}

/// From the first publish until the journal has the last event. Events are made before the clock
/// runs, a ring of them at a time.
fn persist_all(count: u64) -> Duration {
    const RING: u64 = 8192;
    let (_directory, journal) = journal(Fsync::Never);
    let bus = EventBus::builder().ring(RING as usize).publish_timeout(LONG).build();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("the thread starts");
    let mut publisher = bus.publisher("sensor.reading").expect("the topic is valid");
    let (mut spent, mut published) = (Duration::ZERO, 0);
    while published < count {
        let size = RING.min(count - published);
        let events: Vec<_> = (0..size).map(|_| Shared::new(reading())).collect();
        published += size;
        let since = Instant::now();
        for event in events {
            publisher.publish(event).expect("there is room in time");
        }
        persistence.flush(Sequence::new(published), LONG).expect("the disk takes it");
        spent += since.elapsed();
    }
    let report = persistence.stop(LONG);
    assert_eq!((report.stats.journaled, report.complete), (count, true), "each event is stored");
    spent
}

fn persist(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    group.bench_function("whole-way", |b| b.iter_custom(|count| in_runs(count, persist_all)));
    group.finish();
}

criterion_group! { name = benches; config = pace(); targets = append, persist }
criterion_main!(benches);
