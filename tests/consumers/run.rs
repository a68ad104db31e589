//! A consumer with a handler: restarts, filters, lag, shutdown, one at a time.

use std::sync::mpsc;
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, JournalReader};
use ringpost::store::{
    Begin, ConsumerEnd, ConsumerError, MemoryStore, PersistOptions, StoreErrorKind,
};
use ringpost::{Delivery, EventBus, Overflow, Shared};

use crate::support::{LONG, Seen, Session, name, stored};

#[test]
fn a_restart_resumes_exactly_behind_the_last_event_of_the_run_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let seen = Seen::default();
    for _ in 0..4 {
        let session = Session::open(directory.path());
        let sink = seen.clone();
        let billing = session.billing().begin(Begin::First).spawn(
            move |invoice: Delivery<'_, Shared<Event>>| {
                sink.note(&invoice);
            },
        );
        session.publish("invoice.sent", 250);
        session.end(billing.expect("spawned"));
    }
    assert_eq!(seen.all(), (1..=1000).collect::<Vec<_>>());
    assert_eq!(stored(directory.path()), 1001);
}

#[test]
fn what_was_published_while_it_was_away_is_read_from_the_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let billing = session.billing().spawn(|_: Delivery<'_, Shared<Event>>| ()).expect("spawned");
    session.publish("invoice.sent", 3);
    session.end(billing);
    let away = Session::open(directory.path());
    away.publish("invoice.sent", 500);
    away.settle();
    drop(away);
    let session = loop_until_free(directory.path());
    session.publish("invoice.sent", 2);
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        sink.note(&invoice);
    });
    session.end(billing.expect("spawned"));
    assert_eq!(seen.all(), (4..=505).collect::<Vec<_>>());
}

/// The journal's thread gives its lock back a moment after its owner went.
fn loop_until_free(directory: &std::path::Path) -> Session {
    use ringpost::store::journal::{Journal, JournalOptions};
    while Journal::open(directory, JournalOptions::default()).is_err() {
        std::thread::yield_now();
    }
    Session::open(directory)
}

#[test]
fn events_that_do_not_match_move_the_checkpoint_and_hold_no_retention() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let billing = session.billing().checkpoint(10, Duration::ZERO);
    let billing = billing.spawn(|_: Delivery<'_, Shared<Event>>| ()).expect("spawned");
    session.publish("coffee.made", 700);
    session.settle();
    let consumers = JournalReader::open(&directory).expect("a reader").consumers().expect("some");
    // Without a single event that matches, and while it runs.
    while consumers.lowest_needed().expect("readable").map(u64::from) != Some(701) {
        assert!(billing.stats().end.is_none());
        std::thread::yield_now();
    }
    let report = session.end(billing);
    assert_eq!((report.stats.account.matched, report.stats.lag), (0, 0));
}

#[test]
fn a_slow_consumer_that_the_ring_overran_reads_the_journal_and_misses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::with(directory.path(), Fsync::Never, 64);
    let seen = Seen::default();
    let (go, wait) = mpsc::channel::<()>();
    let sink = seen.clone();
    let billing = session.billing().spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        let _ = wait.recv();
        sink.note(&invoice);
    });
    session.publish("invoice.sent", 5000);
    let billing = billing.expect("spawned");
    assert!(billing.stats().lag >= 4999, "{billing:?}");
    drop(go);
    let report = session.end(billing);
    assert_eq!(seen.all(), (1..=5000).collect::<Vec<_>>());
    assert_eq!(report.stats.account.total_dropped(), 0);
}

#[test]
fn a_shutdown_stores_where_the_consumer_is_and_a_drop_does_so_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::with(directory.path(), Fsync::Interval(LONG), 8192);
    let billing = session.billing().checkpoint(1 << 40, LONG);
    let billing = billing.spawn(|_: Delivery<'_, Shared<Event>>| ()).expect("spawned");
    session.publish("invoice.sent", 100);
    session.end(billing);
    assert_eq!(stored(directory.path()), 101);

    let session = Session::with(directory.path(), Fsync::Interval(LONG), 8192);
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().checkpoint(1 << 40, LONG);
    let billing = billing.spawn(move |invoice: Delivery<'_, Shared<Event>>| {
        sink.note(&invoice);
    });
    session.publish("invoice.sent", 100);
    seen.wait(100);
    drop(billing);
    while stored(directory.path()) != 201 {
        std::thread::yield_now();
    }
}

#[test]
fn a_consumer_that_cannot_keep_up_is_left_behind_by_a_shutdown_and_goes_on_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let (go, wait) = mpsc::channel::<()>();
    let (tell, begun) = mpsc::channel();
    let billing =
        session.billing().begin(Begin::First).spawn(move |_: Delivery<'_, Shared<Event>>| {
            let _ = tell.send(());
            let _ = wait.recv();
        });
    let billing = billing.expect("spawned");
    session.publish("invoice.sent", 10);
    begun.recv().expect("it runs");
    let report = session.bus.shutdown(Duration::from_millis(10));
    assert!(!report.flushed, "its handler has not returned: {report:?}");
    drop(go);
    let report = billing.stop(LONG);
    assert!(report.complete, "{report:?}");
    assert!(report.stats.account.handled < 10 && report.stats.account.balances(), "{report:?}");
    assert_eq!(stored(directory.path()), report.stats.account.handled + 1);
}

#[test]
fn a_second_consumer_of_a_name_is_refused_until_the_first_has_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let first = session.billing().spawn(|_: Delivery<'_, Shared<Event>>| ()).expect("spawned");
    let second = session.billing().pull().expect_err("it runs");
    assert!(matches!(second, ConsumerError::Running(_)), "{second:?}");
    assert!(second.to_string().contains("billing runs already"), "{second}");
    let consumers = JournalReader::open(&directory).expect("a reader").consumers().expect("some");
    assert!(consumers.get(&name("billing")).expect("readable").expect("there").running);
    let reset = consumers.reset(&name("billing"), Begin::First).expect_err("it runs");
    assert_eq!(reset.kind(), StoreErrorKind::Locked);
    let removed = consumers.remove(&name("billing")).expect_err("it runs");
    assert_eq!(removed.kind(), StoreErrorKind::Locked);
    assert!(first.stop(LONG).complete);
    drop(session.billing().pull().expect("it is free"));
    consumers.remove(&name("billing")).expect("removed");
    assert_eq!(stored(directory.path()), 0);
}

#[test]
fn an_async_handler_is_awaited_before_its_event_is_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let seen = Seen::default();
    let sink = seen.clone();
    let billing = session.billing().spawn_async(move |invoice: Delivery<'static, _>| {
        let sink = sink.clone();
        let mut polls = 0;
        std::future::poll_fn(move |task| {
            polls += 1;
            if polls == 3 {
                sink.note(&invoice);
                return std::task::Poll::Ready(());
            }
            task.waker().wake_by_ref();
            std::task::Poll::Pending
        })
    });
    session.publish("invoice.sent", 50);
    let report = session.end(billing.expect("spawned"));
    assert_eq!((seen.all(), report.stats.account.handled), ((1..=50).collect::<Vec<_>>(), 50));
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread")]
async fn an_async_handler_finds_the_timers_of_its_runtime() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let billing = session.billing().spawn_async(|_: Delivery<'static, Shared<Event>>| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
    session.publish("invoice.sent", 3);
    let billing = billing.expect("spawned");
    let ended = tokio::task::spawn_blocking(move || session.end(billing)).await;
    assert_eq!(ended.expect("no panic").stats.account.handled, 3);
}

#[test]
fn what_a_handler_publishes_names_its_cause() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let bus = session.bus.downgrade();
    let billing = session.billing().spawn(move |_: Delivery<'_, Shared<Event>>| {
        let paid = Event::builder("payment.made").source("test").build()?;
        bus.upgrade().ok_or("the bus is gone")?.publish(paid)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let billing = billing.expect("spawned");
    let mut payments = session.bus.tap("payment.*").expect("a tap");
    let invoice = Event::builder("invoice.sent").id("i-1").source("test").build().expect("one");
    session.bus.publish(invoice).expect("published");
    let Some(ringpost::Tapped::Delivery(payment)) = payments.next_blocking() else {
        panic!("no payment");
    };
    assert_eq!(payment.causation_id(), Some("i-1"));
    session.end(billing);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = Session::open(directory.path());
    let subscribe = |pattern| session.bus.subscribe(pattern).expect("a pattern");
    let persistence = &session.persistence;
    let bad = subscribe("a").durable("../lock", persistence).pull().expect_err("no name");
    assert!(matches!(bad, ConsumerError::Name(_)), "{bad:?}");
    let bad = subscribe("$errors").durable("x", persistence).pull().expect_err("notices");
    assert!(matches!(bad, ConsumerError::Notices(_)), "{bad:?}");
    let block = Overflow::Block { timeout: LONG };
    for touched in [subscribe("a").mailbox(7), subscribe("a").overflow(block)] {
        let bad = touched.durable("x", persistence).pull().expect_err("a setting");
        assert!(matches!(bad, ConsumerError::Settings), "{bad:?}");
    }
    let other = EventBus::new();
    let bad = other.subscribe("a").expect("a pattern").durable("x", persistence).pull();
    assert!(matches!(bad, Err(ConsumerError::OtherBus)), "{bad:?}");
    let memory = other.persist(MemoryStore::default(), PersistOptions::default()).expect("started");
    let bad = other.subscribe("a").expect("a pattern").durable("x", &memory).pull();
    assert!(matches!(bad, Err(ConsumerError::Unsupported(_))), "{bad:?}");
    assert!(!directory.path().join("consumers").exists(), "nothing was made");
    session.bus.shutdown(LONG);
    let bad = session.billing().pull().expect_err("closed");
    assert!(matches!(bad, ConsumerError::Closed), "{bad:?}");
}

#[test]
fn a_shutdown_waits_for_one_that_is_at_work_on_what_was_stored_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = Session::open(directory.path());
    before.publish("invoice.sent", 100);
    before.settle();
    drop(before);
    // Nothing is published in the life of this bus.
    let session = loop_until_free(directory.path());
    let closed = session.bus.downgrade();
    let billing = session.billing().begin(Begin::First);
    let billing = billing.spawn(move |_: Delivery<'_, Shared<Event>>| {
        while closed.upgrade().is_some_and(|bus| !bus.is_closed()) {
            std::thread::yield_now();
        }
    });
    session.end(billing.expect("spawned"));
    assert_eq!(stored(directory.path()), 101);
}

#[test]
fn it_ends_with_its_bus_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let Session { bus, persistence } = Session::open(directory.path());
    let wanted = bus.subscribe("**").expect("a pattern").durable("all", &persistence);
    let all = wanted.spawn(|_: Delivery<'_, Shared<Event>>| ()).expect("spawned");
    drop(bus);
    assert!(all.wait(LONG));
    assert_eq!(all.stats().end, Some(ConsumerEnd::Closed));
}
