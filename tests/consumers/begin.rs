//! Where a new consumer begins, and where one goes that is moved.

use std::time::Duration;

use ringpost::Sequence;
use ringpost::event::{Event, Timestamp};
use ringpost::store::journal::{Fsync, JournalReader};
use ringpost::store::{Begin, StoreErrorKind};

use crate::support::{LONG, Session, name, stored};

/// The first event that a new consumer sees, with ten in the journal and one more to come.
fn first(begin: Option<Begin>) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    // Nothing of it is flushed, so that the beginning may lie in what is not written yet.
    let session = Session::with(directory.path(), Fsync::Interval(LONG), 8192);
    for second in 0..10 {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        let event = Event::builder("invoice.sent").source("test").time(at(&time));
        session.bus.publish(event.build().expect("an event")).expect("published");
    }
    let billing = session.billing();
    let billing = match begin {
        Some(begin) => billing.begin(begin),
        None => billing,
    };
    let mut billing = billing.pull().expect("made");
    session.publish("invoice.sent", 1);
    let event = billing.next_timeout(LONG).expect("readable").expect("an event");
    event.sequence().expect("a sequence").get()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

#[test]
fn a_new_consumer_begins_where_it_says_and_now_if_it_says_nothing() {
    assert_eq!(first(None), 11);
    assert_eq!(first(Some(Begin::Now)), 11);
    assert_eq!(first(Some(Begin::First)), 1);
    assert_eq!(first(Some(Begin::Sequence(Sequence::new(4)))), 4);
    assert_eq!(first(Some(Begin::Sequence(Sequence::new(400)))), 11, "the next one at the latest");
    assert_eq!(first(Some(Begin::Time(at("2026-01-01T00:00:06Z")))), 7);
    assert_eq!(first(Some(Begin::Time(at("2999-01-01T00:00:00Z")))), 11);
}

#[test]
fn where_it_begins_counts_once_and_never_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    session.publish("invoice.sent", 3);
    drop(session.billing().pull().expect("made"));
    session.publish("invoice.sent", 3);
    let mut billing = session.billing().begin(Begin::First).pull().expect("made");
    let event = billing.next_timeout(LONG).expect("readable").expect("an event");
    assert_eq!(event.sequence().map(u64::from), Some(4));
}

#[test]
fn a_consumer_that_was_moved_goes_on_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    session.publish("invoice.sent", 5);
    session.settle();
    drop(session.billing().pull().expect("made"));
    assert_eq!(stored(directory.path()), 6);
    let consumers = JournalReader::open(&directory).expect("a reader").consumers().expect("some");
    let moved = consumers.reset(&name("billing"), Begin::Sequence(Sequence::new(2)));
    assert_eq!(moved.expect("moved").get(), 2);
    let state = consumers.get(&name("billing")).expect("readable").expect("there");
    assert_eq!((state.lag, state.checkpoint.pattern.as_str()), (4, "invoice.*"));
    let beyond = consumers.reset(&name("billing"), Begin::Sequence(Sequence::new(7)));
    assert_eq!(beyond.expect_err("beyond the end").kind(), StoreErrorKind::Refused);
    let mut billing = session.billing().pull().expect("made");
    let event = billing.next_timeout(Duration::ZERO).expect("readable").expect("an event");
    assert_eq!(event.sequence().map(u64::from), Some(2));
}

#[test]
fn a_consumer_ahead_of_a_journal_that_lost_its_end_is_moved_back_to_it() {
    use ringpost::store::journal::{Journal, JournalOptions};
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::with(directory.path(), Fsync::Never, 8192);
    session.publish("invoice.sent", 20);
    session.settle();
    drop(session.billing().pull().expect("made"));
    assert!(session.persistence.stop(LONG).complete);
    assert_eq!(stored(directory.path()), 21);
    // What a power cut may leave of a journal that never syncs.
    let segment = directory.path().join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).expect("readable");
    let kept: String = text.split_inclusive('\n').take(12).collect();
    std::fs::write(&segment, kept).expect("written");

    let journal = Journal::open(&directory, JournalOptions::default()).expect("opens");
    let ahead = &journal.recovery().ahead;
    let moved: Vec<_> = ahead.iter().map(|one| (one.name.as_str(), one.was, one.now)).collect();
    assert_eq!(moved, [("billing", Sequence::new(21), Sequence::new(13))]);
    drop(journal);
    let session = Session::open(directory.path());
    session.publish("invoice.sent", 1);
    let mut billing = session.billing().pull().expect("made");
    let event = billing.next_timeout(LONG).expect("readable").expect("an event");
    assert_eq!(event.sequence().map(u64::from), Some(13), "that number was given out again");
}
