//! Replay, then live: a cursor over a bus and the journal that it feeds.
#![cfg(all(feature = "jsonl", unix))]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{
    Archive, Cursor, CursorError, PersistOptions, Persistence, Scan, Step, Store, StoreError,
    StoreErrorKind,
};
use ringpost::{EventBus, Sequence};
use tempfile::TempDir;

/// Long enough that reaching it means a hang.
const LONG: Duration = Duration::from_secs(120);

fn event(number: u64) -> Event {
    let kind = if number.is_multiple_of(2) { "cursor.even" } else { "cursor.odd" };
    let event = Event::builder(kind).id(format!("{number}")).source("tests");
    event.build().expect("an event")
}

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// A bus with a small ring that goes on where the journal in `directory` ends.
fn bus(directory: &Path) -> (EventBus, Persistence, JournalReader) {
    let options = JournalOptions::default().with_fsync(Fsync::Never).with_segment_bytes(4096);
    let journal = Journal::open(directory, options).expect("the journal opens");
    let reader = journal.reader();
    let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
    let bus = EventBus::builder().ring(64).recent(0).start(Sequence::new(next)).build();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("persisted");
    (bus, persistence, reader)
}

/// Events whose ids are their sequences.
fn publish(bus: &EventBus, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let published = bus.publish(event(number)).expect("published");
        assert_eq!(published.sequence, Some(Sequence::new(number)));
    }
}

/// The next `count` events; each is checked to be the one of its sequence.
fn take(cursor: &mut Cursor, count: usize) -> Vec<u64> {
    (0..count)
        .map(|_| match cursor.next_timeout(LONG).expect("readable") {
            Some(Step::Record(record)) => {
                assert_eq!(record.event.id(), record.sequence.get().to_string());
                record.sequence.get()
            }
            other => panic!("{other:?} after {}", cursor.position()),
        })
        .collect()
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<u64> {
    range.into_iter().collect()
}

#[test]
fn an_earlier_run_comes_first_and_then_what_is_published() {
    let directory = directory();
    let (first, persistence, _) = bus(directory.path());
    publish(&first, 1..=150);
    assert!(persistence.stop(LONG).complete);
    let (bus, _persistence, reader) = bus(directory.path());
    let mut cursor = Cursor::new(&bus, reader, "**", Sequence::new(1)).expect("a cursor");
    assert!(!cursor.is_live());
    assert_eq!(take(&mut cursor, 100), numbers(1..=100));
    publish(&bus, 151..=160);
    assert_eq!(take(&mut cursor, 60), numbers(101..=160));
    assert!(cursor.is_live());
    assert!(cursor.try_next().expect("readable").is_none());
    publish(&bus, 161..=161);
    assert_eq!(take(&mut cursor, 1), [161]);
    assert_eq!(cursor.position(), Sequence::new(162));
}

#[test]
fn a_cursor_that_was_overrun_goes_on_in_the_journal() {
    let directory = directory();
    let (bus, _persistence, reader) = bus(directory.path());
    let mut cursor = Cursor::new(&bus, reader, "**", Sequence::new(1)).expect("a cursor");
    publish(&bus, 1..=10);
    assert_eq!(take(&mut cursor, 5), numbers(1..=5));
    // Many times the ring.
    publish(&bus, 11..=2000);
    assert_eq!(take(&mut cursor, 995), numbers(6..=1000));
    publish(&bus, 2001..=3000);
    assert_eq!(take(&mut cursor, 2000), numbers(1001..=3000));
    assert!(cursor.is_live());
}

#[test]
fn beside_a_publisher_every_event_comes_once_and_in_order() {
    const COUNT: u64 = 20_000;
    let directory = directory();
    let (bus, _persistence, reader) = bus(directory.path());
    let mut cursor = Cursor::new(&bus, reader, "cursor.*", Sequence::new(1)).expect("a cursor");
    let publisher = thread::spawn(move || publish(&bus, 1..=COUNT));
    assert_eq!(take(&mut cursor, COUNT as usize), numbers(1..=COUNT));
    publisher.join().expect("no panic");
    assert!(matches!(cursor.next_timeout(LONG), Ok(None) | Err(CursorError::Closed)));
}

#[test]
fn a_pattern_and_a_start_hold_in_the_past_and_live() {
    let directory = directory();
    let (bus, persistence, reader) = bus(directory.path());
    publish(&bus, 1..=500);
    persistence.flush(Sequence::new(500), LONG).expect("flushed");
    let mut even =
        Cursor::new(&bus, reader.clone(), "cursor.even", Sequence::new(101)).expect("a cursor");
    let mut later = Cursor::new(&bus, reader, "**", Sequence::new(505)).expect("a cursor");
    publish(&bus, 501..=510);
    assert_eq!(take(&mut even, 205), numbers((102..=510).step_by(2)));
    assert_eq!(take(&mut later, 6), numbers(505..=510));
    drop(bus);
    drop(persistence);
    assert!(matches!(later.next_timeout(LONG), Err(CursorError::Closed)));
}

#[test]
fn what_retention_took_is_told_by_its_exact_range() {
    let directory = directory();
    let (bus, persistence, reader) = bus(directory.path());
    publish(&bus, 1..=600);
    persistence.flush(Sequence::new(600), LONG).expect("flushed");
    let second = directory.path().join(format!("{:020}.jsonl", 2));
    let text = fs::read_to_string(&second).expect("the second segment");
    let held: Vec<u64> = text
        .lines()
        .map(|line| {
            let id = line.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
            id.expect("an id").parse().expect("a number")
        })
        .collect();
    let (first, last) = (held[0], held[held.len() - 1]);
    fs::remove_file(second).expect("removed");

    let mut cursor = Cursor::new(&bus, reader, "**", Sequence::new(1)).expect("a cursor");
    assert_eq!(take(&mut cursor, first as usize - 1), numbers(1..first));
    let Ok(Some(Step::Gap(gap))) = cursor.try_next() else { panic!("a gap is due") };
    assert_eq!((gap.from.get(), gap.to.get(), gap.count), (first, last, last - first + 1));
    assert_eq!(take(&mut cursor, (600 - last) as usize), numbers(last + 1..=600));
}

/// A journal that cannot be read now and then.
struct Moody {
    reader: JournalReader,
    fails: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Sequence>>>,
}

impl Archive for Moody {
    fn records_from(&self, from: Sequence) -> Result<Scan<'static>, StoreError> {
        self.asked.lock().expect("no panic").push(from);
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Io, "read the journal"));
        }
        Archive::records_from(&self.reader, from)
    }
}

/// A journal whose first scan ends before its end, as one does whose lines move to another file.
struct Moving {
    reader: JournalReader,
    moves: AtomicBool,
}

impl Archive for Moving {
    fn records_from(&self, from: Sequence) -> Result<Scan<'static>, StoreError> {
        let all = Archive::records_from(&self.reader, from)?;
        let first = self.moves.swap(false, Ordering::SeqCst);
        Ok(if first { Box::new(all.take(100)) } else { all })
    }
}

#[test]
fn what_moves_while_it_is_read_is_no_gap() {
    let directory = directory();
    let (bus, persistence, reader) = bus(directory.path());
    publish(&bus, 1..=600);
    persistence.flush(Sequence::new(600), LONG).expect("flushed");
    let archive = Moving { reader, moves: AtomicBool::new(true) };
    let mut cursor = Cursor::new(&bus, archive, "**", Sequence::new(1)).expect("a cursor");
    assert_eq!(take(&mut cursor, 600), numbers(1..=600));
}

#[test]
fn after_a_failure_it_goes_on_at_the_same_place() {
    let directory = directory();
    let (bus, persistence, reader) = bus(directory.path());
    publish(&bus, 1..=300);
    persistence.flush(Sequence::new(300), LONG).expect("flushed");
    let fails = Arc::new(AtomicBool::new(true));
    let asked = Arc::default();
    let archive = Moody { reader, fails: Arc::clone(&fails), asked: Arc::clone(&asked) };
    let mut cursor = Cursor::new(&bus, archive, "**", Sequence::new(1)).expect("a cursor");
    assert!(matches!(cursor.try_next(), Err(CursorError::Store(_))));
    assert_eq!(take(&mut cursor, 300), numbers(1..=300));
    assert_eq!(asked.lock().expect("no panic")[..2], [Sequence::new(1), Sequence::new(1)]);
}
