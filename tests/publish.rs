//! Publishing and subscribing: who gets what, in which order, and what the account says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ringpost::{Bus, Delivery, Executor, Overflow, PublishError, Start, Tapped, Wait};

const LONG: Duration = Duration::from_secs(60);

fn collect(
    bus: &Bus<u64>,
    pattern: &str,
    executor: Executor,
) -> (ringpost::Subscription<u64>, Arc<Mutex<Vec<u64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let subscription = bus
        .subscribe(pattern)
        .unwrap()
        .executor(executor)
        .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
        .unwrap();
    (subscription, seen)
}

#[test]
fn every_executor_delivers_everything_in_order() {
    for executor in
        [Executor::workers(), Executor::thread(Wait::Park), Executor::thread(Wait::SpinThenPark)]
    {
        let bus = Bus::<u64>::new();
        let (exact, seen_exact) = collect(&bus, "a.b", executor.clone());
        let (all, seen_all) = collect(&bus, "**", executor);
        let mut publisher = bus.publisher("a.b").unwrap();
        for n in 0..1000_u64 {
            let published = publisher.publish(n).unwrap();
            assert_eq!(published.sequence.map(u64::from), Some(n + 1));
            assert_eq!((published.delivered, published.dropped), (2, 0));
        }
        bus.settle(LONG).unwrap();
        let expected: Vec<u64> = (0..1000).collect();
        assert_eq!(*seen_exact.lock().unwrap(), expected);
        assert_eq!(*seen_all.lock().unwrap(), expected);
        for stats in [exact.stats(), all.stats()] {
            assert!(stats.balances(), "{stats:?}");
            assert_eq!((stats.matched, stats.handled, stats.queued), (1000, 1000, 0));
        }
    }
}

#[test]
fn a_batch_goes_out_whole_and_empties_the_list() {
    let bus = Bus::<u64>::new();
    let (_one, seen_one) = collect(&bus, "a.*", Executor::workers());
    let (_all, seen_all) = collect(&bus, ">", Executor::workers());
    let mut publisher = bus.publisher("a.b").unwrap();
    let mut batch: Vec<u64> = (0..200).collect();
    let published = publisher.publish_batch(&mut batch).unwrap();
    assert!(batch.is_empty());
    assert_eq!((published.count, published.delivered, published.dropped), (200, 400, 0));
    assert_eq!(published.first.map(u64::from), Some(1));
    assert_eq!(published.last.map(u64::from), Some(200));
    bus.settle(LONG).unwrap();
    let expected: Vec<u64> = (0..200).collect();
    assert_eq!(*seen_one.lock().unwrap(), expected);
    assert_eq!(*seen_all.lock().unwrap(), expected);
}

#[test]
fn try_publish_hands_the_message_back_when_a_block_mailbox_is_full() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (gate, closed) = mpsc::channel::<()>();
        let (entered, started) = mpsc::channel();
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(4)
            .overflow(Overflow::Block { timeout: Duration::from_millis(20) })
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, u64>| {
                let _ = entered.send(());
                let _ = closed.recv();
            })
            .unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        let mut accepted = 0;
        let refused = loop {
            match publisher.try_publish(accepted) {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(refused.is_full());
        assert_eq!(refused.into_message(), accepted);
        started.recv().unwrap();
        // The waiting publish gives up after the subscription's own timeout.
        let refused = loop {
            match publisher.publish(accepted) {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, PublishError::Full(n) if n == accepted));
        drop(gate);
        bus.settle(LONG).unwrap();
        let stats = subscription.stats();
        assert!(stats.balances(), "{stats:?}");
        assert_eq!(stats.handled, accepted);
        assert_eq!(bus.stats().published, accepted);
    }
}

#[test]
fn a_waiting_publish_goes_through_when_there_is_room() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let sum = Arc::new(AtomicU64::new(0));
        let total = Arc::clone(&sum);
        let _subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(1)
            .overflow(Overflow::Block { timeout: LONG })
            .spawn(move |d: Delivery<'_, u64>| {
                total.fetch_add(*d, Ordering::Relaxed);
            })
            .unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 1..=2000_u64 {
            publisher.publish(n).unwrap();
        }
        let mut batch: Vec<u64> = (2001..=3000).collect();
        publisher.publish_batch(&mut batch).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 3000 * 3001 / 2);
    }
}

#[test]
fn a_tap_sees_the_one_order_and_recent_is_newest_first() {
    let bus = Bus::<u64>::builder().recent(100).build();
    let mut tap = bus.tap("**").unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..300_u64 {
        publisher.publish(n).unwrap();
    }
    for n in 0..300_u64 {
        match tap.try_next().unwrap() {
            Tapped::Delivery(d) => assert_eq!((*d, d.sequence().map(u64::from)), (n, Some(n + 1))),
            other => panic!("{other:?}"),
        }
    }
    assert!(tap.try_next().is_err());
    let recent: Vec<u64> = bus.recent(5).into_iter().map(Delivery::into_message).collect();
    assert_eq!(recent, [299, 298, 297, 296, 295]);
    assert_eq!(bus.recent(1000).len(), 100);
}

#[test]
fn a_lapped_tap_gets_one_exact_gap() {
    let bus = Bus::<u64>::builder().ring(1024).recent(0).build();
    let mut tap = bus.tap("**").unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..10_000_u64 {
        publisher.publish(n).unwrap();
    }
    let lost = match tap.try_next().unwrap() {
        Tapped::Gap(gap) => {
            assert_eq!(gap.from.get(), 1);
            assert_eq!(gap.count, gap.to.get() - gap.from.get() + 1);
            gap.count
        }
        other => panic!("{other:?}"),
    };
    let mut seen = 0;
    while let Ok(Tapped::Delivery(d)) = tap.try_next() {
        assert_eq!(*d, lost + seen);
        seen += 1;
    }
    assert_eq!(lost + seen, 10_000);
}

#[test]
fn replay_then_live_has_no_gap_and_no_repeat() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let mut publisher = bus.publisher("t").unwrap();
        let mut other = bus.publisher("other").unwrap();
        for n in 0..1000_u64 {
            publisher.publish(n).unwrap();
            if pattern == "t" {
                other.publish(n).unwrap();
            }
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(7000)
            .start(Start::Recent(5000))
            .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
            .unwrap();
        for n in 1000..3000_u64 {
            publisher.publish(n).unwrap();
        }
        bus.settle(LONG).unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..3000).collect::<Vec<u64>>(), "{pattern}");
        assert!(subscription.stats().balances(), "{:?}", subscription.stats());
    }
}

#[test]
fn inline_handlers_run_in_order_and_nested_publishes_run_last() {
    let bus = Bus::<u64>::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (first, again) = (Arc::clone(&log), bus.downgrade());
    let _a = bus
        .subscribe_inline("t", move |d: Delivery<'_, u64>| {
            if *d == 1 {
                again.upgrade().unwrap().publish_to("t", 2_u64).unwrap();
            }
            first.lock().unwrap().push(("a", *d));
        })
        .unwrap();
    let second = Arc::clone(&log);
    let _b = bus
        .subscribe_inline("t", move |d: Delivery<'_, u64>| second.lock().unwrap().push(("b", *d)))
        .unwrap();
    bus.publish_to("t", 1_u64).unwrap();
    assert_eq!(*log.lock().unwrap(), [("a", 1), ("b", 1), ("a", 2), ("b", 2)]);
}

#[test]
fn a_topic_that_several_threads_make_at_once_is_one_and_counts_all_of_them() {
    const TOPICS: u64 = 500;
    let bus = Bus::<u64>::builder().publish_timeout(LONG).build();
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let sink = Arc::clone(&seen);
    let subscription = bus
        .subscribe("new.*")
        .unwrap()
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(move |d: Delivery<'_, u64>| {
            *sink.lock().unwrap().entry((d.topic().to_owned(), *d)).or_insert(0_u64) += 1;
        })
        .unwrap();
    let together = Barrier::new(3);
    thread::scope(|scope| {
        for by in 0..3_u64 {
            let (bus, together) = (&bus, &together);
            scope.spawn(move || {
                for topic in 0..TOPICS {
                    together.wait();
                    let name = format!("new.{topic}");
                    match by {
                        0 => bus.publisher(&name).unwrap().publish(by).unwrap(),
                        _ => bus.publish_to(&name, by).unwrap(),
                    };
                }
            });
        }
    });
    let topics = bus.stats().topics;
    assert_eq!(topics.len() as u64, TOPICS);
    assert!(topics.values().all(|published| *published == 3), "{topics:?}");
    assert!(bus.shutdown(LONG).is_clean());
    assert_eq!(subscription.stats().handled, TOPICS * 3);
    let seen = seen.lock().unwrap();
    assert!(seen.len() as u64 == TOPICS * 3 && seen.values().all(|times| *times == 1), "{seen:?}");
}

#[test]
fn a_disabled_bus_publishes_nothing() {
    let bus = Bus::<u64>::builder().enabled(false).build();
    let (subscription, _seen) = collect(&bus, "t", Executor::workers());
    let published = bus.publish_to("t", 1_u64).unwrap();
    assert_eq!(published.sequence, None);
    assert_eq!(subscription.stats().matched, 0);
    bus.set_enabled(true);
    assert_eq!(bus.publish_to("t", 1_u64).unwrap().sequence.map(u64::from), Some(1));
}

#[test]
fn shutdown_drains_refuses_and_reports() {
    let bus = Bus::<u64>::new();
    let (_subscription, seen) = collect(&bus, "t", Executor::workers());
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..500_u64 {
        publisher.publish(n).unwrap();
    }
    let report = bus.shutdown(LONG);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.published, 500);
    assert_eq!(seen.lock().unwrap().len(), 500);
    assert!(publisher.publish(1_u64).unwrap_err().is_closed());
}

#[test]
fn cancelling_counts_what_was_left_and_a_second_cancel_does_nothing() {
    let bus = Bus::<u64>::new();
    let (gate, closed) = mpsc::channel::<()>();
    let (entered, started) = mpsc::channel();
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, u64>| {
            let _ = entered.send(());
            let _ = closed.recv();
        })
        .unwrap();
    for n in 0..10_u64 {
        bus.publish_to("t", n).unwrap();
    }
    started.recv().unwrap();
    subscription.cancel();
    subscription.cancel();
    assert!(!subscription.is_active());
    drop(gate);
    let deadline = std::time::Instant::now() + LONG;
    // Between two columns a message is in none.
    while subscription.stats().handled + subscription.stats().total_dropped() < 10 {
        assert!(std::time::Instant::now() < deadline, "{:?}", subscription.stats());
        std::thread::yield_now();
    }
    let stats = subscription.stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!((stats.matched, stats.handled, stats.total_dropped()), (10, 1, 9));
}
