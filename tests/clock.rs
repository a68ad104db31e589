//! K10: the clock of the machine is set back by an hour, and forward again. What is promised of
//! order, of segments and of trying again hangs on no clock that can be set.
//!
//! This program has a `clock_gettime` of its own, which everything in it comes by: the system's, and
//! to the time of day so much more as a test says.
#![cfg(all(feature = "jsonl", target_os = "linux"))]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{
    MemoryStore, PersistOptions, Persistence, Record, Scan, Store, StoreError, StoreErrorKind,
    Trouble, Watermarks,
};
use ringpost::{EventBus, Sequence};

/// Seconds that the time of day is ahead, or behind.
static AHEAD: AtomicI64 = AtomicI64::new(0);
/// There is one clock.
static TURN: Mutex<()> = Mutex::new(());

const HOUR: i64 = 3600;
const PATIENCE: Duration = Duration::from_secs(60);

/// # Safety
///
/// As of the system's: `time` is writable, or null.
// SAFETY: it does what the system's does, whose name it takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the caller's pointer is passed on to the call of the system that it was meant for.
    let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if done == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the system has just written there.
        unsafe { (*time).tv_sec += AHEAD.load(Ordering::Relaxed) };
    }
    i32::try_from(done).unwrap_or(-1)
}

/// Sets the clock for as long as one test lasts.
struct Clock(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Clock {
    fn take() -> Self {
        Self(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, ahead: i64) {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let (before, had) = (now(), AHEAD.swap(ahead, Ordering::Relaxed));
        let moved = now().cast_signed() - before.cast_signed() - (ahead - had);
        assert!((0..HOUR / 2).contains(&moved), "the clock is not this program's: {moved}");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        AHEAD.store(0, Ordering::Relaxed);
    }
}

fn event(number: u64) -> Event {
    let data = format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(300));
    let event = Event::builder("clock").source("tests/clock").topic("clock.one");
    event.raw_json(data).build().expect("an event")
}

fn publish(bus: &EventBus, persistence: &Persistence, count: u64) {
    let mut last = None;
    for _ in 0..count {
        let next = bus.stats().next_sequence.get();
        let published = bus.publish(event(next)).expect("there is room").sequence;
        assert_eq!(published, Some(Sequence::new(next)), "one after the other");
        last = published;
    }
    persistence.flush(last.expect("some"), PATIENCE).expect("flushed");
}

fn segments(place: &Path) -> usize {
    let names =
        fs::read_dir(place).expect("a journal").map(|entry| entry.expect("one").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".jsonl")).count()
}

/// Each event once, in the order of its sequence.
fn assert_whole(place: &Path, last: u64) {
    let reader = JournalReader::open(place).expect("a reader");
    let mut expected = 1;
    for entry in reader.records_from(Sequence::FIRST).expect("records") {
        let entry = entry.expect("readable");
        assert_eq!(entry.sequence, Some(Sequence::new(expected)));
        assert_eq!(entry.event.data(), event(expected).data());
        expected += 1;
    }
    assert_eq!(expected, last + 1);
    assert!(reader.verify().expect("verified").is_clean());
}

#[test]
fn a_clock_set_back_disturbs_neither_order_nor_segments() {
    let clock = Clock::take();
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("journal");
    let options = JournalOptions::default().with_segment_bytes(64 * 1024).with_fsync(Fsync::Batch);
    let mut made = Vec::new();
    // Far more than an age that would never come if it were the clock's.
    for (round, ahead) in [0, -HOUR, HOUR, -2 * HOUR, 0].into_iter().enumerate() {
        let first = 1 + 1000 * round as u64;
        let journal = Journal::open(&place, options.clone()).expect("it opens");
        assert_eq!(journal.last_sequence().map_or(1, |last| last.get() + 1), first);
        let bus = EventBus::builder().start(Sequence::new(first)).build();
        let persistence = bus.persist(journal, PersistOptions::default()).expect("a thread");
        publish(&bus, &persistence, 500);
        clock.set(ahead);
        publish(&bus, &persistence, 500);
        assert!(persistence.stop(PATIENCE).complete);
        made.push(segments(&place));
        assert_whole(&place, first + 999);
    }
    // 1,000 events of some 550 bytes fill more than six; were each record one, there would be
    // hundreds.
    let grown = made.windows(2).map(|two| two[1] - two[0]);
    assert!(grown.clone().all(|more| (5..20).contains(&more)), "{made:?}");
}

#[test]
fn a_segment_ends_by_its_age_whatever_the_clock_says() {
    let clock = Clock::take();
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("journal");
    let options = JournalOptions::default().with_segment_age(Some(Duration::from_millis(50)));
    let journal = Journal::open(&place, options).expect("it opens");
    let bus = EventBus::new();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("a thread");
    let mut last = 0;
    for ahead in [-HOUR, HOUR] {
        publish(&bus, &persistence, 1);
        last += 1;
        clock.set(ahead);
        let before = segments(&place);
        // If the age were the clock's, this would last an hour.
        while segments(&place) < before + 2 {
            publish(&bus, &persistence, 1);
            last += 1;
        }
    }
    assert!(persistence.stop(PATIENCE).complete);
    assert_whole(&place, last);
}

/// Fails so many times.
#[derive(Debug)]
struct Failing(u32, MemoryStore);

impl Store for Failing {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        if self.0 == 0 {
            return self.1.append(batch);
        }
        self.0 -= 1;
        Err(StoreError::new(StoreErrorKind::Io, "append"))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.1.flush()
    }

    fn watermarks(&self) -> Watermarks {
        self.1.watermarks()
    }

    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        self.1.scan(from)
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        self.1.tail(count)
    }
}

fn told() -> (PersistOptions, Receiver<Trouble>) {
    let (tell, told) = channel();
    let observer = move |trouble: &Trouble| tell.send(trouble.clone()).expect("somebody listens");
    let options =
        PersistOptions { observer: Some(Box::new(observer)), ..PersistOptions::default() };
    (options, told)
}

#[test]
fn a_store_is_tried_again_although_the_clock_is_set_back() {
    let clock = Clock::take();
    let (options, told) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(Failing(6, MemoryStore::new()), options).expect("a thread");
    let sequence = bus.publish(event(1)).expect("there is room").sequence.expect("one");
    let mut ahead = [-HOUR, -2 * HOUR, HOUR, -3 * HOUR, 0].into_iter();
    let times = loop {
        match told.recv().expect("it is told") {
            Trouble::Failed { .. } => clock.set(ahead.next().unwrap_or(-HOUR)),
            Trouble::Recovered { times } => break times,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(times, 6);
    assert!(persistence.receipts().written(sequence).wait(PATIENCE).is_ok());
    assert!(persistence.stop(PATIENCE).complete);
    drop(told);
}
