//! The persistence actor: what it does with a source that comes and goes and a store that fails.

mod begun;
mod feed;
mod scripted;
mod staging;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ringpost::store::{
    Batching, FlushError, MemoryStore, PersistOptions, Persistence, Record, Scan, Store,
    StoreError, StoreErrorKind, Trouble, Watermarks,
};
use ringpost::{DropReason, Gap, Sequence};

use self::feed::{Feed, Next, record};
use self::scripted::Scripted;

/// Long enough that reaching it means a hang.
const LONG: Duration = Duration::from_secs(60);

fn quick() -> PersistOptions {
    PersistOptions {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..PersistOptions::default()
    }
}

/// Waits for what the actor will do in its own time.
fn until(what: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !what() {
        assert!(start.elapsed() < LONG, "a hang");
        std::thread::yield_now();
    }
}

#[test]
fn everything_published_is_stored_in_order_and_acknowledged_after_it() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let persistence =
        Persistence::start(store.clone(), feed.clone(), PersistOptions::default()).expect("starts");
    for first in (1..5000).step_by(7) {
        feed.records(first..first + 7);
    }
    persistence.flush(Sequence::new(5005), LONG).expect("flushed");
    assert_eq!(store.stored(), (1..=5005).collect::<Vec<_>>());
    assert_eq!(feed.acknowledged(), 5005);
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.errors, stats.lost, stats.held), (5005, 0, 0, 0));
    assert_eq!(stats.watermarks.written, Some(Sequence::new(5005)));
    assert_eq!(stats.batches, store.script().batches.len() as u64);
    let report = persistence.stop(LONG);
    assert!(report.complete && report.stats.ended);
    assert_eq!(report.unwritten, 0);
}

#[test]
fn a_batch_has_at_most_as_many_records_and_bytes_as_it_may() {
    let (feed, store) = (Feed::default(), Scripted::new());
    feed.records(1..=100);
    feed.close();
    let batching = Batching { events: 8, ..Batching::default() };
    let options = PersistOptions { batching, ..PersistOptions::default() };
    let persistence = Persistence::start(store.clone(), feed, options).expect("starts");
    assert!(persistence.stop(LONG).complete);
    assert_eq!(store.script().batches, [vec![8; 12], vec![4]].concat());

    let (feed, store) = (Feed::default(), Scripted::new());
    feed.records(1..=10);
    feed.close();
    let batching = Batching { bytes: 1, ..Batching::default() };
    let options = PersistOptions { batching, ..PersistOptions::default() };
    let persistence = Persistence::start(store.clone(), feed, options).expect("starts");
    assert!(persistence.stop(LONG).complete);
    assert_eq!(store.script().batches, [1; 10]);
}

#[test]
fn a_single_record_goes_out_without_waiting_for_more() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let batching = Batching { age: LONG * 60, ..Batching::default() };
    let options = PersistOptions { batching, ..PersistOptions::default() };
    let persistence = Persistence::start(store.clone(), feed.clone(), options).expect("starts");
    for sequence in 1..=20 {
        feed.records([sequence]);
        feed.wait_until(|held| held.acknowledged == sequence);
        assert_eq!(store.stored().len() as u64, sequence);
    }
    assert!(persistence.stop(LONG).complete);
}

#[test]
fn a_failing_store_keeps_its_batch_until_it_works_again() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().appends.extend([StoreErrorKind::Full; 5]);
    let troubles = Arc::<Mutex<Vec<Trouble>>>::default();
    let told = Arc::clone(&troubles);
    let observer = move |trouble: &Trouble| told.lock().expect("free").push(trouble.clone());
    let options = PersistOptions { observer: Some(Box::new(observer)), ..quick() };
    feed.records(1..=10);
    let persistence = Persistence::start(store.clone(), feed.clone(), options).expect("starts");
    persistence.flush(Sequence::new(10), LONG).expect("it recovers");
    assert_eq!(store.stored(), (1..=10).collect::<Vec<_>>());
    let stats = persistence.stats();
    assert_eq!((stats.errors, stats.journaled, stats.lost), (5, 10, 0));
    assert!(stats.degraded.is_none());
    let troubles = troubles.lock().expect("free");
    assert_eq!(troubles.len(), 6, "{troubles:?}");
    assert!(matches!(troubles[4], Trouble::Failed { times: 5, .. }));
    assert!(matches!(troubles[5], Trouble::Recovered { times: 5 }));
}

#[test]
fn nothing_is_acknowledged_and_a_flush_says_why_while_the_store_fails() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().always_fails = true;
    feed.records(1..=3);
    let persistence = Persistence::start(store.clone(), feed.clone(), quick()).expect("starts");
    until(|| persistence.stats().errors > 0);
    let error = persistence.flush(Sequence::new(3), Duration::from_millis(50));
    match error.expect_err("the store fails") {
        FlushError::Failed(error) => assert_eq!(error.kind(), StoreErrorKind::Io),
        other => panic!("{other:?}"),
    }
    assert_eq!(feed.acknowledged(), 0);
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.held), (0, 3));
    assert!(stats.degraded.is_some());
    store.script().always_fails = false;
    persistence.flush(Sequence::new(3), LONG).expect("it recovers");
    assert_eq!(feed.acknowledged(), 3);
}

#[test]
fn a_stop_ends_at_its_deadline_however_the_store_fails_and_says_what_is_left() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().always_fails = true;
    feed.records(1..=3);
    let persistence = Persistence::start(store.clone(), feed.clone(), quick()).expect("starts");
    until(|| persistence.stats().errors > 0);
    let report = persistence.stop(Duration::from_millis(30));
    assert!(!report.complete);
    assert_eq!(report.unwritten, 3);
    assert_eq!(report.stats.journaled, 0);
    assert!(report.stats.degraded.is_some());
    assert_eq!(feed.acknowledged(), 0);
}

/// A store that hangs in a call until it is let go.
struct Stuck(Arc<(Mutex<bool>, Condvar)>);

impl Store for Stuck {
    fn append(&mut self, _: &[Record]) -> Result<(), StoreError> {
        let free = self.0.0.lock().expect("no panic under the lock");
        drop(self.0.1.wait_while(free, |free| !*free));
        Ok(())
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    fn watermarks(&self) -> Watermarks {
        Watermarks::default()
    }
    fn scan(&self, _: Sequence) -> Result<Scan<'_>, StoreError> {
        Ok(Box::new(std::iter::empty()))
    }
    fn tail(&self, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }
}

/// `Instant + Duration::MAX` panics: a stop without a limit took its caller down.
#[test]
fn a_stop_may_have_all_the_time_there_is() {
    let feed = Feed::default();
    let persistence = Persistence::start(MemoryStore::new(), feed.clone(), quick()).unwrap();
    feed.records(1..=3);
    feed.close();
    persistence.flush(Sequence::new(3), Duration::MAX).unwrap();
    let report = persistence.stop(Duration::MAX);
    assert_eq!((report.complete, report.stats.journaled), (true, 3));
}

#[test]
fn a_store_that_hangs_is_left_behind_by_a_stop_and_a_flush() {
    let free = Arc::<(Mutex<bool>, Condvar)>::default();
    let feed = Feed::default();
    feed.records(1..=4);
    let persistence =
        Persistence::start(Stuck(Arc::clone(&free)), feed.clone(), quick()).expect("starts");
    feed.wait_until(|held| held.given == 4);
    let error = persistence.flush(Sequence::new(4), Duration::from_millis(20));
    assert!(matches!(error, Err(FlushError::Timeout(_))), "{error:?}");
    let report = persistence.stop(Duration::from_millis(20));
    assert!(!report.complete && !report.stats.ended);
    *free.0.lock().expect("no panic under the lock") = true;
    free.1.notify_all();
}

#[test]
fn a_flush_waits_for_records_that_are_still_to_come() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let persistence =
        Persistence::start(store.clone(), feed.clone(), PersistOptions::default()).expect("starts");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| persistence.flush(Sequence::new(5), LONG));
        feed.records(1..=3);
        feed.wait_until(|held| held.acknowledged == 3);
        feed.records(4..=5);
        waiting.join().expect("no panic").expect("flushed");
    });
    assert!(store.script().flushed >= 1);
    let early = persistence.flush(Sequence::new(6), Duration::from_millis(10));
    assert!(matches!(early, Err(FlushError::Timeout(_))), "{early:?}");
    feed.close();
    let late = persistence.flush(Sequence::new(6), LONG);
    assert!(matches!(late, Err(FlushError::Ended)), "{late:?}");
}

#[test]
fn a_flush_of_what_never_came_does_not_hold_up_others() {
    let feed = Feed::default();
    let persistence = Persistence::start(Scripted::new(), feed.clone(), quick()).expect("starts");
    let in_vain = persistence.flush(Sequence::new(1000), Duration::from_millis(10));
    assert!(matches!(in_vain, Err(FlushError::Timeout(_))), "{in_vain:?}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| persistence.flush(Sequence::new(6), LONG));
        feed.records(1..=3);
        persistence.flush(Sequence::new(3), LONG).expect("flushed beside one that waits");
        feed.records(4..=6);
        waiting.join().expect("no panic").expect("flushed");
    });
}

#[test]
fn a_flush_that_fails_is_tried_again() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().flushes.extend([StoreErrorKind::Io; 3]);
    feed.records(1..=2);
    let persistence = Persistence::start(store.clone(), feed, quick()).expect("starts");
    persistence.flush(Sequence::new(2), LONG).expect("flushed in the end");
    assert_eq!(persistence.stats().errors, 3);
}

#[test]
fn a_closed_source_is_stored_to_its_end_and_flushed() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let persistence =
        Persistence::start(store.clone(), feed.clone(), PersistOptions::default()).expect("starts");
    feed.records(1..=3000);
    feed.close();
    let report = persistence.stop(LONG);
    assert!(report.complete);
    assert_eq!(report.stats.journaled, 3000);
    assert_eq!(store.script().flushed, 1);
}

#[test]
fn dropping_it_ends_the_thread_after_what_was_ready() {
    let (feed, store) = (Feed::default(), Scripted::new());
    feed.records(1..=500);
    drop(Persistence::start(store.clone(), feed.clone(), quick()).expect("starts"));
    feed.wait_until(|held| held.acknowledged == 500);
    assert_eq!(store.stored().len(), 500);
}

#[test]
fn what_came_before_a_stop_is_stored_even_if_the_store_was_at_work_then() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let persistence = Persistence::start(store.clone(), feed.clone(), quick()).expect("starts");
    // The store cannot end its append before this is let go.
    let at_work = store.script();
    feed.records([1]);
    until(|| {
        let held = feed.shared.0.lock().expect("no panic under the lock");
        held.given == 1 && held.waker.is_some()
    });
    feed.records([2]);
    drop(persistence);
    drop(at_work);
    feed.wait_until(|held| held.acknowledged == 2);
    assert_eq!(store.stored(), [1, 2]);
}

#[test]
fn a_loss_that_the_store_tells_is_counted_and_it_goes_on() {
    let (feed, store) = (Feed::default(), Forgetful(Scripted::new()));
    let lost = Arc::<Mutex<Vec<Gap>>>::default();
    let told = Arc::clone(&lost);
    let observer = move |trouble: &Trouble| {
        if let Trouble::StoreLost(gap) = trouble {
            told.lock().expect("no panic under the lock").push(*gap);
        }
    };
    let options = PersistOptions { observer: Some(Box::new(observer)), ..quick() };
    let stored = store.0.clone();
    stored.script().appends.push_back(StoreErrorKind::Lost);
    feed.records(1..=3);
    let persistence = Persistence::start(store, feed.clone(), options).expect("starts");
    feed.wait_until(|held| held.acknowledged == 3);
    let report = persistence.stop(LONG);
    assert!(report.complete, "{report:?}");
    assert_eq!((report.stats.lost, report.stats.journaled), (7, 3));
    assert_eq!(stored.stored(), [1, 2, 3]);
    assert_eq!(lost.lock().expect("no panic under the lock").len(), 1);
}

/// Says with a loss which records it lost.
struct Forgetful(Scripted);

impl Store for Forgetful {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.0.append(batch).map_err(|error| {
            let (from, to) = (Sequence::new(11), Sequence::new(17));
            error.with_lost(Gap { from, to, count: 7, reason: DropReason::Store })
        })
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        self.0.flush()
    }
    fn watermarks(&self) -> Watermarks {
        self.0.watermarks()
    }
    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        self.0.scan(from)
    }
    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        self.0.tail(count)
    }
}

#[test]
fn a_record_that_is_too_large_is_counted_and_keeps_nobody_waiting() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().too_large = vec![3, 7];
    let refused = Arc::<Mutex<Vec<u64>>>::default();
    let told = Arc::clone(&refused);
    let observer = move |trouble: &Trouble| {
        if let Trouble::Refused { sequence, .. } = trouble {
            told.lock().expect("free").push(sequence.get());
        }
    };
    let options = PersistOptions { observer: Some(Box::new(observer)), ..quick() };
    feed.records(1..=10);
    feed.close();
    let report =
        Persistence::start(store.clone(), feed.clone(), options).expect("starts").stop(LONG);
    assert!(report.complete);
    assert_eq!(store.stored(), [1, 2, 4, 5, 6, 8, 9, 10]);
    assert_eq!((report.stats.journaled, report.stats.lost), (8, 2));
    assert_eq!(*refused.lock().expect("free"), [3, 7]);
    assert_eq!(feed.acknowledged(), 10);
}

#[test]
fn a_gap_of_a_lossy_source_is_counted_exactly() {
    let (feed, store) = (Feed::default(), Scripted::new());
    let from = Sequence::new(2);
    let to = Sequence::new(40);
    feed.records([1]);
    feed.offer([Next::Gap(Gap { from, to, count: 39, reason: DropReason::Lapped })]);
    feed.records([41]);
    feed.close();
    let report = Persistence::start(store.clone(), feed, quick()).expect("starts").stop(LONG);
    assert_eq!(store.stored(), [1, 41]);
    assert_eq!((report.stats.journaled, report.stats.lost), (2, 39));
}

#[test]
fn a_store_that_is_ahead_of_its_bus_is_an_error_and_not_a_silent_loss() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().memory.append(&[record(100)]).expect("appended");
    feed.records([1]);
    let persistence = Persistence::start(store.clone(), feed.clone(), quick()).expect("starts");
    until(|| persistence.stats().errors > 0);
    let error = persistence.flush(Sequence::new(101), Duration::from_millis(20));
    match error.expect_err("the sequences do not rise") {
        FlushError::Failed(error) => assert_eq!(error.kind(), StoreErrorKind::OutOfOrder),
        other => panic!("{other:?}"),
    }
    let report = persistence.stop(LONG);
    assert_eq!((report.unwritten, report.complete), (1, false), "no use to try on at a stop");
    assert_eq!(feed.acknowledged(), 0);
}

#[cfg(all(feature = "jsonl", unix))]
mod with_a_journal {
    use super::*;
    use ringpost::store::journal::{Fsync, Journal, JournalOptions};

    #[test]
    fn an_interval_is_kept_without_anybody_asking() {
        let directory = tempfile::tempdir().expect("a directory");
        let options =
            JournalOptions::default().with_fsync(Fsync::Interval(Duration::from_millis(20)));
        let journal = Journal::open(directory.path(), options).expect("opens");
        let feed = Feed::default();
        let persistence = Persistence::start(journal, feed.clone(), quick()).expect("starts");
        feed.records(1..=10);
        feed.wait_until(|held| held.acknowledged == 10);
        // Nothing is published and nobody flushes: only the passing of time makes it durable.
        until(|| persistence.stats().watermarks.durable == Some(Sequence::new(10)));
        assert!(persistence.stop(LONG).complete);
    }

    #[test]
    fn the_journal_is_free_and_durable_once_a_stop_has_returned() {
        let directory = tempfile::tempdir().expect("a directory");
        for round in 0..3 {
            let journal = Journal::open(directory.path(), JournalOptions::default()).expect("free");
            assert_eq!(journal.last_sequence().map_or(0, Sequence::get), round * 100);
            let feed = Feed::default();
            feed.records(round * 100 + 1..=round * 100 + 100);
            let persistence = Persistence::start(journal, feed.clone(), quick()).expect("starts");
            let report = persistence.stop(LONG);
            assert!(report.complete);
            let last = Some(Sequence::new(round * 100 + 100));
            assert_eq!(report.stats.watermarks, Watermarks { written: last, durable: last });
        }
    }
}
