//! Handlers that fail: retries, the last attempt, and who is told.

use std::num::NonZeroU32;
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::{AfterLast, Begin, ConsumerEnd};
use ringpost::{Delivery, Sequence, Shared};

use crate::support::{LONG, Seen, Session, stored};

const BRIEF: Duration = Duration::from_millis(1);

#[test]
fn an_event_that_fails_or_panics_comes_again_in_its_place_until_it_succeeds() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let seen = Seen::default();
    let (sink, mut attempts) = (seen.clone(), 0);
    let billing = session.billing().retry(NonZeroU32::new(5), BRIEF, BRIEF);
    let billing = billing.spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        let sequence = sink.note(&invoice);
        attempts += 1;
        match (sequence, attempts) {
            (2, 2) => Err("not now"),
            (2, 3) => panic!("not now either"),
            _ => Ok(()),
        }
    });
    let billing = billing.expect("spawned");
    session.publish("invoice.sent", 3);
    session.catch_up(&billing);
    let report = session.end(billing);
    assert_eq!(seen.all(), [1, 2, 2, 2, 3]);
    assert_eq!((report.stats.account.handled, report.stats.account.failed), (3, 0));
    assert_eq!(report.stats.retried, 2);
}

#[test]
fn after_the_last_attempt_it_stops_in_front_of_the_event_and_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let notices = session.bus.notices();
    let billing = session.billing().begin(Begin::First).retry(NonZeroU32::new(3), BRIEF, BRIEF);
    let billing = billing.spawn(|invoice: Delivery<'_, Shared<Event>>| {
        if invoice.sequence() == Some(Sequence::new(2)) { Err("no such account") } else { Ok(()) }
    });
    let billing = billing.expect("spawned");
    session.publish("invoice.sent", 4);
    assert!(billing.wait(LONG));
    let stats = billing.stats();
    let error = "no such account".to_owned();
    let sequence = Some(Sequence::new(2));
    assert_eq!(stats.end, Some(ConsumerEnd::Failed { sequence, attempts: 3, error }));
    assert_eq!((stats.account.handled, stats.account.queued, stats.lag), (1, 1, 3));
    assert!(stats.account.balances(), "{stats:?}");
    let told: Vec<_> = notices.take(3).map(|notice| (notice.sequence, notice.error)).collect();
    assert!(told.iter().all(|(told, _)| *told == sequence), "{told:?}");
    assert!(told[0].1.contains("attempt 1 of 3") && told[2].1.contains("which stops"), "{told:?}");
    assert_eq!(stored(directory.path()), 2, "it goes on with the event that failed");
    // Its name is free, and a handler that has learnt it goes on.
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        sink.note(&invoice);
    });
    session.end(billing.expect("spawned"));
    assert_eq!(seen.all(), [2, 3, 4]);
}

#[test]
fn an_event_that_is_passed_over_counts_as_failed_and_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let notices = session.bus.notices();
    let billing = session.billing().begin(Begin::First).after_last(AfterLast::PassOver);
    let billing = billing.retry(NonZeroU32::new(2), BRIEF, BRIEF);
    let billing = billing.spawn(|invoice: Delivery<'_, Shared<Event>>| {
        if invoice.sequence() == Some(Sequence::new(2)) { Err("no such account") } else { Ok(()) }
    });
    let billing = billing.expect("spawned");
    session.publish("invoice.sent", 4);
    session.catch_up(&billing);
    let report = session.end(billing);
    assert_eq!((report.stats.account.handled, report.stats.account.failed), (3, 1));
    let told: Vec<_> = notices.take(2).collect();
    assert!(told[1].error.contains("passes it over: no such account"), "{told:?}");
    assert_eq!(told[1].message_topic.as_deref(), Some("invoice.sent"));
    assert_eq!(stored(directory.path()), 5);
}

#[test]
fn a_consumer_that_is_told_to_stop_does_not_wait_for_its_next_attempt() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().begin(Begin::First).retry(None, LONG * 60, LONG * 60);
    let billing = billing.spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        sink.note(&invoice);
        Err::<(), _>("not now")
    });
    session.publish("invoice.sent", 1);
    seen.wait(1);
    let report = billing.expect("spawned").stop(LONG);
    assert!(report.complete && report.stats.account.balances(), "{report:?}");
    assert_eq!((report.stats.end, stored(directory.path())), (Some(ConsumerEnd::Stopped), 1));
}

#[test]
fn what_fails_because_the_bus_was_closed_is_not_held_against_the_event() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let bus = session.bus.clone();
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().begin(Begin::First).after_last(AfterLast::PassOver);
    let billing = billing.retry(NonZeroU32::new(1), BRIEF, BRIEF);
    let billing = billing.spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        if sink.note(&invoice) == 1 {
            // Until the shutdown has closed it.
            while !bus.is_closed() {
                std::thread::yield_now();
            }
        }
        bus.publish(Event::builder("payment.made").source("test").build().expect("one"))
            .map(drop)
            .map_err(|error| error.to_string())
    });
    session.publish("invoice.sent", 2);
    seen.wait(1);
    session.bus.shutdown(LONG);
    let report = billing.expect("spawned").stop(LONG);
    assert_eq!(report.stats.end, Some(ConsumerEnd::Closed));
    assert_eq!((report.stats.account.failed, stored(directory.path())), (0, 1));
    assert!(report.stats.account.balances(), "{report:?}");
}
