//! Receipts: never early, never for what is not stored, and never a hang.
#![cfg(feature = "jsonl")]

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{
    Confirmation, Level, MemoryStore, PersistOptions, Persistence, Receipt, ReceiptError,
    ReceiptLevel, Record, Scan, Source, Store, StoreError, StoreErrorKind, Taken, Watermarks,
    Written,
};
use ringpost::{DropReason, EventBus, Gap, PublishStoredError, Sequence, Shared};

const LONG: Duration = Duration::from_secs(60);

/// What the store does with the next call.
enum Answer {
    Stores,
    Fails,
    /// Refuses this sequence for ever.
    Refuses(u64),
}

/// A store that does each append as it is told, and none before.
struct Told {
    answers: Receiver<Answer>,
    appended: Sender<usize>,
    refused: Option<u64>,
    marks: Watermarks,
}

fn told() -> (Told, Sender<Answer>, Receiver<usize>) {
    let (answer, answers) = channel();
    let (appended, calls) = channel();
    let marks = Watermarks::default();
    (Told { answers, appended, refused: None, marks }, answer, calls)
}

impl Store for Told {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let refused = |batch: &[Record], number| {
            batch.iter().any(|record| Some(record.sequence.get()) == number)
        };
        if self.refused.is_none() {
            let _ = self.appended.send(batch.len());
            match self.answers.recv() {
                Ok(Answer::Stores) => {}
                Ok(Answer::Refuses(number)) => self.refused = Some(number),
                Ok(Answer::Fails) | Err(_) => {
                    return Err(StoreError::new(StoreErrorKind::Full, "append to a test"));
                }
            }
        }
        if refused(batch, self.refused) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "append to a test"));
        }
        self.marks.written = batch.last().map(|record| record.sequence);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        self.marks.durable = self.marks.written;
        Ok(())
    }
    fn watermarks(&self) -> Watermarks {
        self.marks
    }
    fn promises(&self) -> Level {
        Level::Durable
    }
    fn scan(&self, _: Sequence) -> Result<Scan<'_>, StoreError> {
        Ok(Box::new(std::iter::empty()))
    }
    fn tail(&self, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }
}

fn event(id: u64) -> Event {
    Event::builder("receipt.test").id(id.to_string()).source("tests").build().expect("an event")
}

fn sequence(number: u64) -> Sequence {
    Sequence::new(number)
}

fn is_pending<L: ReceiptLevel>(confirmation: Confirmation<L>) -> bool {
    let mut task = Context::from_waker(Waker::noop());
    pin!(confirmation).poll(&mut task).is_pending()
}

fn given<L: ReceiptLevel>(confirmation: Confirmation<L>) -> u64 {
    confirmation.wait(LONG).expect("a receipt").sequence().get()
}

#[test]
fn a_written_receipt_comes_after_the_append_and_a_durable_one_after_the_sync() {
    let (store, answer, calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    bus.publish(event(1)).expect("published");
    assert_eq!(calls.recv(), Ok(1));
    // The store is in the middle of the append.
    assert!(is_pending(persistence.written(sequence(1))));
    answer.send(Answer::Stores).expect("it waits for that");
    assert_eq!(given(persistence.written(sequence(1))), 1);
    assert!(is_pending(persistence.durable(sequence(1))), "no sync has covered it");
    persistence.flush(sequence(1), LONG).expect("flushed");
    let receipt = persistence.durable(sequence(1)).wait(LONG).expect("durable");
    assert_eq!(receipt.level(), Level::Durable);
    let written: Receipt<Written> = receipt.into();
    assert_eq!(written.level(), Level::Written);
    assert!(is_pending(persistence.written(sequence(2))), "nobody has published it");
}

#[test]
fn those_who_wait_at_the_same_time_share_one_append() {
    let (store, answer, calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    bus.publish(event(1)).expect("published");
    assert_eq!(calls.recv(), Ok(1));
    for id in 2..=100 {
        bus.publish(event(id)).expect("published");
    }
    let waiting: Vec<_> = (1..=100)
        .map(|number| {
            let confirmation = persistence.written(sequence(number));
            thread::spawn(move || given(confirmation))
        })
        .collect();
    answer.send(Answer::Stores).expect("it waits for that");
    assert_eq!(calls.recv(), Ok(99), "one append for all the others");
    answer.send(Answer::Stores).expect("it waits for that");
    let got: Vec<_> = waiting.into_iter().map(|one| one.join().expect("no panic")).collect();
    assert_eq!(got, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_failing_store_is_told_to_those_who_wait_and_asking_again_waits_on() {
    let (store, answer, calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    bus.publish(event(1)).expect("published");
    assert_eq!(calls.recv(), Ok(1));
    let mut waiting = pin!(persistence.written(sequence(1)));
    let mut task = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut task).is_pending());
    answer.send(Answer::Fails).expect("it waits for that");
    assert_eq!(calls.recv(), Ok(1), "it is tried again");
    match waiting.as_mut().poll(&mut task) {
        Poll::Ready(Err(ReceiptError::Failed(error))) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
        }
        other => panic!("{other:?}"),
    }
    assert!(persistence.stats().degraded.is_some());
    answer.send(Answer::Stores).expect("it waits for that");
    assert_eq!(given(persistence.written(sequence(1))), 1);
    assert!(persistence.stats().degraded.is_none());
}

#[test]
fn a_refused_record_has_no_receipt_although_the_mark_is_above_it() {
    let (store, answer, calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    bus.publish(event(1)).expect("published");
    assert_eq!(calls.recv(), Ok(1));
    for id in 2..=4 {
        bus.publish(event(id)).expect("published");
    }
    answer.send(Answer::Stores).expect("it waits for that");
    assert_eq!(calls.recv(), Ok(3));
    answer.send(Answer::Refuses(3)).expect("it waits for that");
    assert_eq!(given(persistence.written(sequence(4))), 4);
    assert_eq!(given(persistence.written(sequence(2))), 2);
    let error = persistence.written(sequence(3)).wait(LONG).expect_err("it is not stored");
    assert!(matches!(error, ReceiptError::Refused(_)), "{error:?}");
}

#[test]
fn whoever_waits_when_the_persistence_ends_is_told() {
    let (store, answer, _calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    let receipts = persistence.receipts();
    let waiting = receipts.durable(sequence(7));
    let waiting = thread::spawn(move || waiting.wait(LONG));
    drop(answer);
    assert!(persistence.stop(LONG).complete);
    let error = waiting.join().expect("no panic").expect_err("it never came");
    assert!(matches!(error, ReceiptError::Ended), "{error:?}");
    let error = receipts.written(sequence(7)).wait(LONG).expect_err("nor will it");
    assert!(matches!(error, ReceiptError::Ended), "{error:?}");
}

#[test]
fn a_dropped_confirmation_is_forgotten_and_its_record_is_not() {
    let (store, answer, calls) = told();
    let bus = EventBus::new();
    let persistence = bus.persist(store, PersistOptions::default()).expect("started");
    bus.publish(event(1)).expect("published");
    assert_eq!(calls.recv(), Ok(1));
    assert!(is_pending(persistence.written(sequence(1))));
    answer.send(Answer::Stores).expect("it waits for that");
    assert_eq!(given(persistence.written(sequence(1))), 1);
}

#[test]
fn a_store_that_never_promises_a_level_says_so_before_anything_is_published() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = JournalOptions::default().with_fsync(Fsync::Never);
    let journal = Journal::open(&directory, options).expect("opens");
    let bus = EventBus::new();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("started");
    let receipts = persistence.receipts();
    assert_eq!(receipts.promised(), Level::Written);
    let error = bus.publish_durable_blocking(event(1), &receipts, LONG).expect_err("never");
    assert!(matches!(error, PublishStoredError::NotPromised(_)), "{error:?}");
    assert_eq!(bus.stats().next_sequence, sequence(1), "nothing was published");
    let error = receipts.durable(sequence(1)).wait(LONG).expect_err("never");
    assert!(matches!(error, ReceiptError::NotPromised(Level::Durable)), "{error:?}");
    let receipt = bus.publish_written_blocking(event(1), &receipts, LONG).expect("written");
    assert_eq!(receipt.sequence(), sequence(1));
}

#[test]
fn the_receipts_of_another_bus_are_refused() {
    let (one, other) = (EventBus::new(), EventBus::new());
    let persistence = one.persist(MemoryStore::new(), PersistOptions::default()).expect("started");
    let receipts = persistence.receipts();
    assert!(receipts.are_of(&one) && !receipts.are_of(&other));
    let error = other.publish_written_blocking(event(1), &receipts, LONG).expect_err("refused");
    assert!(matches!(error, PublishStoredError::OtherBus), "{error:?}");
}

#[test]
fn a_durable_receipt_means_that_the_record_is_in_the_journal() {
    for fsync in [Fsync::Batch, Fsync::Always, Fsync::Interval(Duration::from_millis(5))] {
        let directory = tempfile::tempdir().expect("a directory");
        let options = JournalOptions::default().with_fsync(fsync);
        let journal = Journal::open(&directory, options).expect("opens");
        let bus = EventBus::new();
        let persistence = bus.persist(journal, PersistOptions::default()).expect("started");
        let receipts = persistence.receipts();
        let publishers: Vec<_> = (0..4)
            .map(|_| {
                let (bus, receipts) = (bus.clone(), receipts.clone());
                let path = directory.path().to_owned();
                thread::spawn(move || {
                    for id in 0..10 {
                        let sent = bus.publish_durable_blocking(event(id), &receipts, LONG);
                        let receipt = sent.expect("durable");
                        let reader = JournalReader::open(&path).expect("a reader");
                        let mut from = reader.records_from(receipt.sequence()).expect("records");
                        let found = from.next().expect("it is there").expect("readable");
                        assert_eq!(found.sequence, Some(receipt.sequence()));
                    }
                })
            })
            .collect();
        publishers.into_iter().for_each(|one| one.join().expect("no panic"));
        let marks = receipts.watermarks();
        assert_eq!((marks.written, marks.durable), (Some(sequence(40)), Some(sequence(40))));
    }
}

#[tokio::test]
async fn tasks_wait_for_receipts_without_holding_their_thread() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = JournalOptions::default().with_fsync(Fsync::Batch);
    let journal = Journal::open(&directory, options).expect("opens");
    let bus = EventBus::new();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("started");
    let tasks: Vec<_> = (0..50)
        .map(|id| {
            let (bus, receipts) = (bus.clone(), persistence.receipts());
            tokio::spawn(async move { bus.publish_durable(event(id), &receipts).await })
        })
        .collect();
    let mut got = Vec::new();
    for task in tasks {
        got.push(task.await.expect("no panic").expect("durable").sequence().get());
    }
    got.sort_unstable();
    assert_eq!(got, (1..=50).collect::<Vec<_>>());
}

/// A source with holes and losses.
struct Holed {
    next: Vec<Result<Record, Gap>>,
    lent: Option<Record>,
}

impl Source for Holed {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Taken<'_>> {
        Poll::Ready(match self.next.pop() {
            Some(Ok(record)) => {
                let lent = self.lent.insert(record);
                Taken::Record(lent.sequence, &lent.event)
            }
            Some(Err(gap)) => Taken::Gap(gap),
            None => Taken::Closed,
        })
    }
    fn acknowledge(&mut self) {}
}

#[test]
fn what_a_source_left_out_or_lost_has_no_receipt() {
    let record = |number| {
        let event = Shared::new(event(number));
        Ok(Record { sequence: sequence(number), event })
    };
    let gap = Gap { from: sequence(8), to: sequence(9), count: 2, reason: DropReason::Lapped };
    let source = Holed { next: vec![record(10), Err(gap), record(7), record(5)], lent: None };
    let persistence = Persistence::start(MemoryStore::new(), source, PersistOptions::default());
    let persistence = persistence.expect("started");
    for stored in [5, 7, 10] {
        assert_eq!(given(persistence.written(sequence(stored))), stored);
    }
    for left_out in [1, 4, 6] {
        let error = persistence.written(sequence(left_out)).wait(LONG).expect_err("not taken");
        assert!(matches!(error, ReceiptError::NotTaken(_)), "{left_out}: {error:?}");
    }
    for lost in [8, 9] {
        let error = persistence.written(sequence(lost)).wait(LONG).expect_err("lost");
        assert!(matches!(error, ReceiptError::Lost(told) if told == gap), "{lost}: {error:?}");
    }
    let error = persistence.written(sequence(11)).wait(LONG).expect_err("it has ended");
    assert!(matches!(error, ReceiptError::Ended), "{error:?}");
}
