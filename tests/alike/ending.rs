//! Leaving, failing, closing: what becomes of messages, and who waits.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringpost::{Bus, Delivery, DropReason, Executor, Overflow, PublishError, Subscription};

use super::support::{BLOCK, ByHand, Counted, LONG, WontStart, held, takers};

#[test]
fn publishers_do_not_wait_for_a_subscriber_that_was_cancelled_in_the_middle_of_a_message() {
    let bus = Bus::<u64>::new();
    let others = takers(&bus, 2, 64, BLOCK);
    let held = held(&bus, 64, BLOCK);
    let mut publisher = bus.publisher("t").unwrap();
    publisher.publish(0_u64).unwrap();
    held.entered.recv().unwrap();
    let mut published = 1;
    while publisher.try_publish(published).is_ok() {
        published += 1;
        while others.iter().any(|one| one.stats().handled < published) {
            std::thread::yield_now();
        }
    }
    assert_eq!(published, 65);
    let waiting = std::thread::spawn(move || {
        publisher.publish(published).unwrap();
        for n in 0..10_000_u64 {
            publisher.publish(n).unwrap();
        }
    });
    held.subscription.cancel();
    waiting.join().unwrap();
    held.gate.send(()).unwrap();
    bus.settle(LONG).unwrap();
    while held.subscription.stats().queued + held.subscription.stats().in_flight > 0 {
        std::thread::yield_now();
    }
    let stats = held.subscription.stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!((stats.matched, stats.handled, stats.failed), (65, 1, 0), "{stats:?}");
    assert_eq!(stats.dropped[&DropReason::Cancelled], 64, "{stats:?}");
}

#[test]
fn what_had_given_way_before_a_subscriber_was_cancelled_is_not_called_cancelled() {
    let bus = Bus::<u64>::new();
    let _others = takers(&bus, 2, 64, Overflow::DropOldest);
    let held = held(&bus, 64, Overflow::DropOldest);
    let mut publisher = bus.publisher("t").unwrap();
    publisher.publish(0_u64).unwrap();
    held.entered.recv().unwrap();
    for n in 1..=10_000_u64 {
        publisher.publish(n).unwrap();
    }
    let before = held.subscription.stats();
    held.subscription.cancel();
    for n in 0..1_000_u64 {
        publisher.publish(n).unwrap();
    }
    held.gate.send(()).unwrap();
    while held.subscription.stats().queued + held.subscription.stats().in_flight > 0 {
        std::thread::yield_now();
    }
    let stats = held.subscription.stats();
    assert!(before.balances() && stats.balances(), "{before:?} {stats:?}");
    assert_eq!((before.matched, stats.matched), (10_001, 10_001), "{stats:?}");
    assert_eq!(before.dropped[&DropReason::FullOldest], 9936, "{before:?}");
    assert_eq!(stats.dropped[&DropReason::FullOldest], 9936, "{stats:?}");
    assert_eq!(stats.dropped[&DropReason::Cancelled], 64, "{stats:?}");
}

#[test]
fn a_handler_that_is_in_its_own_way_is_told_so_though_others_were_in_the_way_first() {
    let bus = Bus::<u64>::new();
    let hand = ByHand::default();
    let subscriptions: Vec<_> = {
        let mut weak = Some(bus.downgrade());
        (0..3)
            .map(|place| {
                let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(BLOCK);
                let builder = builder.executor(Executor::custom(hand.clone()));
                // The second one publishes to its own topic.
                let weak = if place == 1 { weak.take() } else { None };
                builder
                    .spawn_async(move |d: Delivery<'static, u64>| {
                        let weak = weak.clone();
                        let first = *d == 0;
                        async move {
                            let Some(bus) = weak.filter(|_| first).and_then(|weak| weak.upgrade())
                            else {
                                return Ok(());
                            };
                            let mut publisher = bus.publisher("t").unwrap();
                            match publisher.publish_async(7_u64).await {
                                Err(PublishError::Full(_)) => Err("full"),
                                other => panic!("{other:?}"),
                            }
                        }
                    })
                    .unwrap()
            })
            .collect()
    };
    let mut publisher = bus.publisher("t").unwrap();
    publisher.publish(0_u64).unwrap();
    let mut n = 1_u64;
    while publisher.try_publish(n).is_ok() {
        n += 1;
    }
    // Whoever is in the way drains, and another publisher fills what it made room for.
    for _ in 0..1000 {
        hand.poll_all();
        while publisher.try_publish(n).is_ok() {
            n += 1;
        }
        if subscriptions[1].stats().failed == 1 {
            break;
        }
    }
    assert_eq!(subscriptions[1].stats().failed, 1, "{:?}", subscriptions[1].stats());
    bus.shutdown(Duration::ZERO);
    (0..2000).for_each(|_| hand.poll_all());
}

#[test]
fn messages_do_not_outlive_the_subscriptions_that_shared_them() {
    let bus = Bus::<Counted>::builder().ring(8).build();
    let token = Arc::new(());
    let mut subscriptions: Vec<_> = (0..3)
        .map(|_| {
            let builder = bus.subscribe("t").unwrap().mailbox(64);
            builder.spawn(|_: Delivery<'_, Counted>| {}).unwrap()
        })
        .collect();
    let mut publisher = bus.publisher("t").unwrap();
    for _ in 0..50 {
        publisher.publish(Counted(Arc::clone(&token))).unwrap();
    }
    bus.settle(LONG).unwrap();
    subscriptions.iter().for_each(Subscription::cancel);
    while subscriptions.iter().any(Subscription::is_active) {
        std::thread::yield_now();
    }
    // The topic has nobody now; the bus's own copies are overwritten. The handles are kept.
    let other = Arc::new(());
    while Arc::strong_count(&token) > 1 {
        publisher.publish(Counted(Arc::clone(&other))).unwrap();
        std::thread::yield_now();
    }
    let stats: Vec<_> = subscriptions.drain(..).map(|one| one.stats()).collect();
    assert!(stats.iter().all(|one| one.handled == 50 && one.balances()), "{stats:?}");
}

#[test]
fn one_that_could_not_start_is_an_error_until_it_is_cancelled_and_the_others_go_on() {
    let bus = Bus::<u64>::new();
    let others = takers(&bus, 2, 64, BLOCK);
    let stopped: Vec<_> = (0..2)
        .map(|_| {
            let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(BLOCK);
            builder.spawn_actor(WontStart).unwrap()
        })
        .collect();
    while stopped.iter().any(Subscription::is_active) {
        std::thread::yield_now();
    }
    let mut cancelled = Vec::new();
    let mut published = 0;
    let mut publisher = bus.publisher("t").unwrap();
    while cancelled.len() < 2 {
        match publisher.publish(1_u64) {
            // Published before the failure was known.
            Ok(_) => published += 1,
            Err(PublishError::Stopped { subscriber, message: 1 }) => {
                let at = stopped.iter().position(|one| one.id() == subscriber).unwrap();
                assert!(!cancelled.contains(&at));
                stopped[at].cancel();
                cancelled.push(at);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    publisher.publish(2_u64).unwrap();
    bus.settle(LONG).unwrap();
    for one in others.iter().chain(&stopped) {
        assert!(one.stats().balances(), "{:?}", one.stats());
    }
    assert!(others.iter().all(|one| one.stats().handled == published + 1));
}

#[test]
fn a_shutdown_drains_what_is_shared_and_gives_up_on_who_is_stuck() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        let bus = Bus::<u64>::new();
        let others = takers(&bus, 3, 256, overflow);
        let held = held(&bus, 256, overflow);
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(0_u64).unwrap();
        held.entered.recv().unwrap();
        for n in 1..=200_u64 {
            publisher.publish(n).unwrap();
        }
        let report = bus.shutdown(Duration::from_millis(50));
        assert_eq!(report.stuck, [held.subscription.id()], "{overflow:?}");
        assert!(publisher.publish(1_u64).is_err());
        held.gate.send(()).unwrap();
        while held.subscription.stats().queued + held.subscription.stats().in_flight > 0 {
            std::thread::yield_now();
        }
        let stats = held.subscription.stats();
        assert!(stats.balances(), "{stats:?}");
        assert_eq!((stats.matched, stats.handled), (201, 1), "{overflow:?}: {stats:?}");
        assert_eq!(stats.dropped[&DropReason::Shutdown], 200);
        for one in &others {
            let stats = one.stats();
            assert!(stats.balances(), "{stats:?}");
            assert_eq!((stats.matched, stats.handled), (201, 201), "{overflow:?}: {stats:?}");
        }
    }
}

#[test]
fn who_keeps_a_subscription_keeps_no_message_of_a_bus_that_is_gone() {
    for patterns in [vec!["t"], vec!["t", "t", "t"], vec!["**"], vec!["*", "t", "**"]] {
        for overflow in [BLOCK, Overflow::DropOldest] {
            let bus = Bus::<Counted>::new();
            let subscribe = |pattern: &&str| {
                let builder = bus.subscribe(pattern).unwrap().mailbox(64).overflow(overflow);
                builder.spawn(|_: Delivery<'_, Counted>| {}).unwrap()
            };
            let kept: Vec<_> = patterns.iter().map(subscribe).collect();
            let token = Arc::new(());
            for _ in 0..500 {
                bus.publish_to("t", Counted(Arc::clone(&token))).unwrap();
            }
            bus.settle(LONG).unwrap();
            assert!(bus.shutdown(LONG).is_clean());
            drop(bus);
            // The last run loop lets go of what it read in its own time.
            while Arc::strong_count(&token) > 1 {
                std::thread::yield_now();
            }
            assert!(kept.iter().all(|one| one.stats().balances()));
        }
    }
}

#[test]
fn every_copy_is_dropped_with_the_bus_and_none_before_it_was_handled() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        let bus = Bus::<Counted>::new();
        let handled = Arc::new(AtomicU64::new(0));
        let subscriptions: Vec<_> = (0..4)
            .map(|_| {
                let handled = Arc::clone(&handled);
                let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(overflow);
                let handler = move |_: Delivery<'_, Counted>| {
                    handled.fetch_add(1, Ordering::Relaxed);
                };
                builder.spawn(handler).unwrap()
            })
            .collect();
        let token = Arc::new(());
        let mut publisher = bus.publisher("t").unwrap();
        for round in 0..500 {
            publisher.publish(Counted(Arc::clone(&token))).unwrap();
            let mut list = vec![Counted(Arc::clone(&token)); 1 + round % 64];
            publisher.publish_batch(&mut list).unwrap();
        }
        bus.settle(LONG).unwrap();
        let stats: Vec<_> = subscriptions.iter().map(Subscription::stats).collect();
        assert!(stats.iter().all(ringpost::SubscriptionStats::balances), "{stats:?}");
        let sum: u64 = stats.iter().map(|one| one.handled).sum();
        assert_eq!(sum, handled.load(Ordering::Relaxed));
        drop((publisher, subscriptions));
        assert!(bus.shutdown(LONG).is_clean());
        drop(bus);
        // The last run loop lets go of its log in its own time.
        while Arc::strong_count(&token) > 1 {
            std::thread::yield_now();
        }
    }
}
