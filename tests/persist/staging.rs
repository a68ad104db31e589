//! A store that makes a form of its own of each record while it is lent.

use std::sync::{Arc, Mutex};

use ringpost::event::Event;
use ringpost::store::{
    Batching, PersistOptions, Persistence, Record, Scan, Store, StoreError, StoreErrorKind,
    Trouble, Watermarks,
};
use ringpost::{Sequence, Shared};

use crate::feed::Feed;
use crate::scripted::Scripted;
use crate::{LONG, quick, until};

/// Stages what the scripted store then takes. It keeps no share of an event.
struct Staging {
    store: Scripted,
    staged: Vec<Record>,
}

impl Staging {
    fn of(store: &Scripted) -> Self {
        Self { store: store.clone(), staged: Vec::new() }
    }
}

impl Store for Staging {
    fn append(&mut self, _: &[Record]) -> Result<(), StoreError> {
        unreachable!("all records are staged")
    }
    fn stage(
        &mut self,
        sequence: Sequence,
        event: &Shared<Event>,
    ) -> Result<Option<usize>, StoreError> {
        if self.store.script().too_large.contains(&sequence.get()) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "stage"));
        }
        self.staged.push(Record { sequence, event: Shared::new(Event::clone(event)) });
        Ok(Some(100))
    }
    fn append_staged(&mut self) -> Result<(), StoreError> {
        self.store.append(&self.staged)?;
        self.staged.clear();
        Ok(())
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        self.store.flush()
    }
    fn watermarks(&self) -> Watermarks {
        self.store.watermarks()
    }
    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        self.store.scan(from)
    }
    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        self.store.tail(count)
    }
}

#[test]
fn what_is_staged_is_stored_once_and_in_order_however_often_the_store_fails() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().appends.extend([StoreErrorKind::Full; 5]);
    feed.records(1..=100);
    let batching = Batching { events: 8, ..Batching::default() };
    let options = PersistOptions { batching, ..quick() };
    let persistence = Persistence::start(Staging::of(&store), feed.clone(), options);
    let persistence = persistence.expect("starts");
    persistence.flush(Sequence::new(100), LONG).expect("it recovers");
    assert_eq!(store.stored(), (1..=100).collect::<Vec<_>>());
    assert_eq!(store.script().batches, [vec![8; 12], vec![4]].concat());
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.errors, stats.held), (100, 5, 0));
    assert_eq!(feed.acknowledged(), 100);
}

#[test]
fn a_batch_is_as_long_as_the_forms_of_its_records() {
    let (feed, store) = (Feed::default(), Scripted::new());
    feed.records(1..=9);
    feed.close();
    let batching = Batching { bytes: 300, ..Batching::default() };
    let options = PersistOptions { batching, ..PersistOptions::default() };
    let persistence = Persistence::start(Staging::of(&store), feed, options).expect("starts");
    assert!(persistence.stop(LONG).complete);
    assert_eq!(store.script().batches, [3; 3]);
}

#[test]
fn what_cannot_be_staged_is_refused_even_alone_and_the_rest_is_stored() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().too_large = vec![1, 5, 6];
    let troubles = Arc::<Mutex<Vec<Trouble>>>::default();
    let told = Arc::clone(&troubles);
    let observer = move |trouble: &Trouble| told.lock().expect("free").push(trouble.clone());
    let options = PersistOptions { observer: Some(Box::new(observer)), ..quick() };
    feed.records([1]);
    let persistence = Persistence::start(Staging::of(&store), feed.clone(), options);
    let persistence = persistence.expect("starts");
    feed.wait_until(|held| held.acknowledged == 1);
    assert_eq!(persistence.stats().lost, 1);
    feed.records(2..=9);
    persistence.flush(Sequence::new(9), LONG).expect("flushed");
    assert_eq!(store.stored(), [2, 3, 4, 7, 8, 9]);
    let stats = persistence.stats();
    assert_eq!((stats.journaled, stats.lost, stats.errors), (6, 3, 0));
    for refused in [1, 5, 6] {
        let error = persistence.written(Sequence::new(refused)).wait(LONG);
        assert!(error.is_err(), "{refused} has no receipt");
    }
    let receipt = persistence.written(Sequence::new(7)).wait(LONG).expect("stored");
    assert_eq!(receipt.sequence(), Sequence::new(7));
    assert_eq!(troubles.lock().expect("free").len(), 3);
}

#[test]
fn a_stop_says_how_much_is_staged_and_was_not_stored() {
    let (feed, store) = (Feed::default(), Scripted::new());
    store.script().always_fails = true;
    feed.records(1..=3);
    let persistence = Persistence::start(Staging::of(&store), feed.clone(), quick());
    let persistence = persistence.expect("starts");
    until(|| persistence.stats().errors > 0);
    let report = persistence.stop(std::time::Duration::from_millis(30));
    assert_eq!((report.complete, report.unwritten, report.stats.held), (false, 3, 3));
    assert_eq!(feed.acknowledged(), 0);
}
