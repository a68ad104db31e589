//! A consumer that its owner pulls: the same event until it is acknowledged, and what is stored
//! when.

use std::time::Duration;

use ringpost::Sequence;
use ringpost::store::journal::Fsync;
use ringpost::store::{Begin, CursorError};

use crate::support::{LONG, Session, stored};

fn next(consumer: &mut ringpost::store::Consumer) -> Option<u64> {
    let event = consumer.next_timeout(Duration::ZERO).expect("readable");
    event.map(|event| event.sequence().expect("a sequence").get())
}

#[test]
fn an_event_comes_again_until_it_is_acknowledged_or_passed_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let notices = session.bus.notices();
    let mut billing = session.billing().pull().expect("made");
    billing.ack();
    assert_eq!(next(&mut billing), None);
    session.publish("invoice.sent", 2);
    session.publish("coffee.made", 1);
    session.publish("invoice.sent", 1);
    session.settle();
    assert_eq!((next(&mut billing), next(&mut billing)), (Some(1), Some(1)));
    billing.ack();
    billing.ack();
    assert_eq!(next(&mut billing), Some(2));
    assert_eq!(billing.stats().account.in_flight, 1);
    billing.pass_over("no such account");
    assert_eq!(next(&mut billing), Some(4));
    assert_eq!(billing.position().get(), 4, "the coffee is behind it");
    let report = billing.close(LONG);
    assert!(report.complete && report.stats.account.balances(), "{report:?}");
    assert_eq!(stored(directory.path()), 4);
    let told: Vec<_> = notices.take(1).collect();
    assert!(told[0].error.contains("passed over by the consumer billing"), "{told:?}");
}

#[test]
fn a_checkpoint_is_stored_once_a_batch() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let mut billing = session.billing().checkpoint(10, LONG).pull().expect("made");
    assert_eq!(stored(directory.path()), 1, "it is known at once");
    session.publish("invoice.sent", 25);
    session.settle();
    for handled in 1..=25 {
        assert_eq!(next(&mut billing), Some(handled));
        billing.ack();
        assert_eq!(stored(directory.path()), handled / 10 * 10 + 1);
    }
    billing.flush().expect("stored");
    assert_eq!(stored(directory.path()), 26);
}

#[test]
fn a_checkpoint_is_never_ahead_of_what_is_durable_in_the_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::with(directory.path(), Fsync::Interval(LONG), 8192);
    let mut billing = session.billing().checkpoint(1, Duration::ZERO).pull().expect("made");
    session.publish("invoice.sent", 10);
    session.settle();
    session.publish("invoice.sent", 10);
    let written = session.persistence.written(Sequence::new(20)).wait(LONG);
    assert_eq!(written.expect("written").sequence().get(), 20);
    for _ in 0..20 {
        assert!(billing.next_timeout(LONG).expect("readable").is_some());
        billing.ack();
    }
    billing.flush().expect("stored");
    assert_eq!((stored(directory.path()), billing.stats().next.get()), (11, 21));
    session.settle();
    billing.flush().expect("stored");
    assert_eq!(stored(directory.path()), 21);
}

#[test]
fn without_syncs_a_checkpoint_follows_what_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::with(directory.path(), Fsync::Never, 8192);
    let mut billing = session.billing().pull().expect("made");
    session.publish("invoice.sent", 10);
    session.settle();
    while next(&mut billing).is_some() {
        billing.ack();
    }
    billing.flush().expect("stored");
    assert_eq!(stored(directory.path()), 11);
}

#[test]
fn events_that_are_gone_are_one_gap_that_is_counted_and_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    session.publish("invoice.sent", 20);
    session.settle();
    drop(session.billing().begin(Begin::First).pull().expect("made"));
    assert!(session.persistence.stop(LONG).complete);
    // Somebody takes the middle out of the journal.
    let segment = directory.path().join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).expect("readable");
    let kept: Vec<_> = text.split_inclusive('\n').collect();
    std::fs::write(&segment, [&kept[..5], &kept[15..]].concat().concat()).expect("written");

    let session = Session::open(directory.path());
    let notices = session.bus.notices();
    let mut billing = session.billing().pull().expect("made");
    let mut gaps = Vec::new();
    while let Some(event) = billing.next_timeout(Duration::ZERO).expect("readable") {
        gaps.extend(event.gaps().iter().map(|gap| (gap.from.get(), gap.to.get(), gap.count)));
        billing.ack();
    }
    assert_eq!(gaps, [(6, 15, 10)]);
    let account = billing.stats().account;
    assert_eq!((account.handled, account.total_dropped()), (10, 10));
    assert!(account.balances(), "{account:?}");
    let told: Vec<_> = notices.take(1).collect();
    assert!(told[0].error.contains("6 to 15"), "{told:?}");
}

#[test]
fn after_the_end_of_its_bus_it_gives_what_there_is_and_then_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let mut billing = session.billing().pull().expect("made");
    session.publish("invoice.sent", 2);
    session.bus.shutdown(LONG);
    for sequence in 1..=2 {
        assert_eq!(next(&mut billing), Some(sequence));
        billing.ack();
    }
    let ended = billing.next_timeout(LONG);
    assert!(matches!(ended, Err(CursorError::Closed)), "{ended:?}");
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn it_can_be_awaited() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let mut billing = session.billing().pull().expect("made");
    session.publish("coffee.made", 3);
    session.publish("invoice.sent", 1);
    let event = billing.next().await.expect("an event");
    assert_eq!(event.sequence().map(u64::from), Some(4));
    billing.ack();
    assert_eq!(billing.position().get(), 5);
}
