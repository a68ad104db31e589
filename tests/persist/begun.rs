//! A store that goes on with a batch beside the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::{
    Batching, PersistOptions, Persistence, ReceiptError, Record, Scan, Store, StoreError,
    StoreErrorKind, Trouble, Watermarks,
};
use ringpost::{Sequence, Shared};

use crate::feed::Feed;
use crate::{LONG, quick, until};

/// One batch is under way at a time, and the next call has it stored; or any number are, and are stored
/// one by one. Where the test says so, that waits or fails.
#[derive(Clone, Default)]
struct Pipelined(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    staged: Vec<u64>,
    under_way: VecDeque<Vec<u64>>,
    /// Whether more than one batch may be under way.
    is_deep: bool,
    stored: Vec<u64>,
    /// Whether nothing that is under way gets stored, but for so many batches.
    held_up: bool,
    but_for: usize,
    /// From then on it is held up; 0 for never.
    holds_up_after: usize,
    /// Whether the actor waits for that.
    waits: bool,
    /// So often it fails to get stored.
    fails: usize,
    always_fails: bool,
    too_large: Vec<u64>,
    /// Whether it keeps to itself what it has stored.
    tells_nothing: bool,
}

impl Pipelined {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("no panic under the lock")
    }
    fn hold_up(&self, held_up: bool) {
        self.state().held_up = held_up;
        self.0.1.notify_all();
    }
    /// One batch gets stored that had been held up.
    fn let_through(&self) {
        self.state().but_for += 1;
        self.0.1.notify_all();
    }
    /// The oldest batch that is under way gets stored.
    fn finish(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        if state.under_way.is_empty() {
            return Ok(state);
        }
        state.waits = true;
        let holds = |state: &mut State| state.held_up && state.but_for == 0;
        let waited = self.0.1.wait_timeout_while(state, LONG, holds);
        let (mut state, hung) = waited.expect("no panic under the lock");
        assert!(!hung.timed_out(), "a hang");
        state.waits = false;
        state.but_for = state.but_for.saturating_sub(1);
        if state.always_fails || state.fails > 0 {
            state.fails = state.fails.saturating_sub(1);
            return Err(StoreError::new(StoreErrorKind::Io, "finish"));
        }
        let stored = state.under_way.pop_front();
        state.stored.extend(stored.into_iter().flatten());
        state.held_up |= state.stored.len() == state.holds_up_after;
        Ok(state)
    }
}

impl Store for Pipelined {
    fn append(&mut self, _: &[Record]) -> Result<(), StoreError> {
        unreachable!("all records are staged")
    }
    fn stage(
        &mut self,
        sequence: Sequence,
        _: &Shared<Event>,
    ) -> Result<Option<usize>, StoreError> {
        let mut state = self.state();
        if state.too_large.contains(&sequence.get()) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "stage"));
        }
        state.staged.push(sequence.get());
        Ok(Some(100))
    }
    fn append_staged(&mut self) -> Result<(), StoreError> {
        self.begin_staged()?;
        self.flush()
    }
    fn begin_staged(&mut self) -> Result<(), StoreError> {
        let is_deep = self.state().is_deep;
        let mut state = if is_deep { self.state() } else { self.finish()? };
        let staged = std::mem::take(&mut state.staged);
        if !staged.is_empty() {
            state.under_way.push_back(staged);
        }
        Ok(())
    }
    fn advance_staged(&mut self) -> Result<(), StoreError> {
        self.finish().map(drop)
    }
    fn stored_to(&self) -> Option<Sequence> {
        let state = self.state();
        let last = state.stored.last().filter(|_| !state.tells_nothing);
        last.copied().map(Sequence::new)
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        while !self.state().under_way.is_empty() {
            drop(self.finish()?);
        }
        Ok(())
    }
    /// What is under way is in a file, and not yet what the settings make of it.
    fn watermarks(&self) -> Watermarks {
        let state = self.state();
        let last = state.under_way.back().unwrap_or(&state.stored).last().copied();
        let last = last.map(Sequence::new);
        Watermarks { written: last, durable: None }
    }
    fn scan(&self, _: Sequence) -> Result<Scan<'_>, StoreError> {
        unreachable!("nobody reads it")
    }
    fn tail(&self, _: usize) -> Result<Vec<Record>, StoreError> {
        unreachable!("nobody reads it")
    }
}

/// Batches of two.
fn twos() -> PersistOptions {
    PersistOptions { batching: Batching { events: 2, ..Batching::default() }, ..quick() }
}

fn started(store: &Pipelined, feed: &Feed, options: PersistOptions) -> Persistence {
    Persistence::start(store.clone(), feed.clone(), options).expect("starts")
}

#[test]
fn a_batch_has_no_receipt_and_stays_with_its_source_until_it_is_stored() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    feed.records(1..=3);
    store.hold_up(true);
    let persistence = started(&store, &feed, twos());
    until(|| store.state().waits);
    assert_eq!(persistence.stats().held, 3, "two are under way, one is staged");
    let early = persistence.written(Sequence::new(1)).wait(Duration::ZERO);
    assert!(matches!(early, Err(ReceiptError::Timeout)), "{early:?}");
    assert_eq!((feed.acknowledged(), persistence.stats().journaled), (0, 0));
    store.hold_up(false);
    for sequence in 1..=3 {
        let _receipt = persistence.written(Sequence::new(sequence)).wait(LONG).expect("stored");
    }
    feed.wait_until(|held| held.acknowledged == 3);
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.held, stats.batches), (3, 0, 2));
}

#[test]
fn what_is_stored_while_more_is_under_way_leaves_its_source_and_has_its_receipt() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    // Held up once the first batch has been stored and the second one is under way.
    store.state().holds_up_after = 2;
    feed.records(1..=5);
    let persistence = started(&store, &feed, twos());
    let _receipt = persistence.written(Sequence::new(2)).wait(LONG).expect("stored");
    until(|| store.state().waits);
    assert_eq!(feed.acknowledged(), 2);
    assert_eq!(persistence.stats().held, 3);
    let early = persistence.written(Sequence::new(3)).wait(Duration::ZERO);
    assert!(matches!(early, Err(ReceiptError::Timeout)), "{early:?}");
    store.hold_up(false);
    persistence.flush(Sequence::new(5), LONG).expect("flushed");
    feed.wait_until(|held| held.acknowledged == 5);
    assert_eq!(store.state().stored, [1, 2, 3, 4, 5]);
}

#[test]
fn a_source_that_has_no_more_is_told_of_each_batch_as_soon_as_it_is_stored() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    store.state().is_deep = true;
    store.hold_up(true);
    feed.records(1..=5);
    let persistence = started(&store, &feed, twos());
    for (stored, held) in [(0, 5), (2, 3), (4, 1)] {
        feed.wait_until(|feed| feed.acknowledged == stored);
        until(|| persistence.stats().held == held && store.state().waits);
        store.let_through();
    }
    feed.wait_until(|held| held.acknowledged == 5);
    assert_eq!(persistence.stats().journaled, 5);
}

#[test]
fn a_store_that_never_says_how_far_it_is_is_asked_for_all_of_it() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    store.state().tells_nothing = true;
    feed.records(1..=5);
    let persistence = started(&store, &feed, twos());
    let _receipt = persistence.written(Sequence::new(5)).wait(LONG).expect("stored");
    feed.wait_until(|held| held.acknowledged == 5);
    assert_eq!(store.state().stored, [1, 2, 3, 4, 5]);
}

#[test]
fn what_fails_under_way_is_told_and_tried_again_before_what_comes_after_it() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    store.state().fails = 4;
    let troubles = Arc::<Mutex<Vec<Trouble>>>::default();
    let told = Arc::clone(&troubles);
    let observer = move |trouble: &Trouble| told.lock().expect("free").push(trouble.clone());
    feed.records(1..=9);
    let options = PersistOptions { observer: Some(Box::new(observer)), ..twos() };
    let persistence = started(&store, &feed, options);
    persistence.flush(Sequence::new(9), LONG).expect("it recovers");
    assert_eq!(store.state().stored, (1..=9).collect::<Vec<_>>());
    let stats = persistence.stats();
    assert_eq!((stats.errors, stats.journaled, stats.lost, stats.held), (4, 9, 0, 0));
    let troubles = troubles.lock().expect("free");
    assert!(matches!(troubles[4], Trouble::Recovered { times: 4 }), "{troubles:?}");
    assert_eq!(troubles.len(), 5);
}

#[test]
fn a_stop_counts_what_is_under_way_among_what_was_not_stored() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    store.state().always_fails = true;
    feed.records(1..=5);
    let persistence = started(&store, &feed, twos());
    until(|| persistence.stats().errors > 0);
    let report = persistence.stop(Duration::from_millis(30));
    assert_eq!((report.complete, report.unwritten), (false, 4), "two batches were taken");
    assert_eq!((report.stats.held, report.stats.journaled, feed.acknowledged()), (4, 0, 0));
}

#[test]
fn records_that_are_refused_are_dealt_with_after_those_before_them() {
    let (feed, store) = (Feed::default(), Pipelined::default());
    store.state().too_large = vec![3, 4];
    store.hold_up(true);
    feed.records(1..=4);
    let persistence = started(&store, &feed, twos());
    until(|| store.state().waits);
    assert_eq!(persistence.stats().lost, 0);
    store.hold_up(false);
    feed.wait_until(|held| held.acknowledged == 4);
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.lost, stats.batches), (2, 2, 2));
    assert!(persistence.written(Sequence::new(3)).wait(LONG).is_err());
    let _receipt = persistence.written(Sequence::new(2)).wait(LONG).expect("stored");
}
