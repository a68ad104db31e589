//! How much waits for each, and what gives way.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{Bus, Delivery, DropReason, Executor, Overflow, PublishError};

use super::support::{BLOCK, ByHand, LONG, held, takers};

#[test]
fn as_many_wait_for_a_held_subscriber_as_its_size_says_whichever_it_is_of_several() {
    for at in 0..3 {
        let bus = Bus::<u64>::new();
        let mut takers = takers(&bus, at, 100, BLOCK);
        let held = held(&bus, 100, BLOCK);
        takers.extend(super::support::takers(&bus, 2 - at, 100, BLOCK));
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(0_u64).unwrap();
        held.entered.recv().unwrap();
        // One is in hand and does not wait.
        for n in 1..=100 {
            let published = loop {
                // The others may be in the way for a moment.
                let are_done = takers.iter().all(|one| one.stats().handled == n);
                match publisher.try_publish(n) {
                    Ok(published) => break published,
                    Err(error) => assert!(!are_done, "{at}: {n}: {error}"),
                }
                std::thread::yield_now();
            };
            assert_eq!((published.delivered, published.dropped), (3, 0));
        }
        while takers.iter().any(|one| one.stats().handled < 101) {
            std::thread::yield_now();
        }
        assert!(matches!(publisher.try_publish(101_u64), Err(PublishError::Full(101))), "{at}");
        let stats = held.subscription.stats();
        assert_eq!((stats.queued, stats.in_flight), (100, 1), "{at}: {stats:?}");
        assert!(stats.balances(), "{at}: {stats:?}");
        held.gate.send(()).unwrap();
        bus.settle(LONG).unwrap();
        publisher.publish(101_u64).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(held.seen.lock().unwrap().0, (0..=101).collect::<Vec<_>>());
        for one in takers.iter().chain([&held.subscription]) {
            let stats = one.stats();
            assert!(stats.balances(), "{at}: {stats:?}");
            assert_eq!((stats.matched, stats.handled), (102, 102), "{at}: {stats:?}");
        }
    }
}

#[test]
fn a_held_subscriber_keeps_the_newest_and_is_told_exactly_what_it_lost() {
    let total = 50_000_u64;
    let bus = Bus::<u64>::new();
    let others = takers(&bus, 2, 100, Overflow::DropOldest);
    let held = held(&bus, 100, Overflow::DropOldest);
    let mut publisher = bus.publisher("t").unwrap();
    let mut elsewhere = bus.publisher("u").unwrap();
    publisher.publish(0_u64).unwrap();
    held.entered.recv().unwrap();
    for n in 1..total {
        publisher.publish(n).unwrap();
        elsewhere.publish(n).unwrap();
    }
    let stats = held.subscription.stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!((stats.in_flight, stats.queued), (1, 100), "{stats:?}");
    assert_eq!(stats.dropped[&DropReason::FullOldest], total - 101);
    held.gate.send(()).unwrap();
    bus.settle(LONG).unwrap();
    let seen = held.seen.lock().unwrap();
    let expected: Vec<u64> = std::iter::once(0).chain(total - 100..total).collect();
    assert_eq!(seen.0, expected);
    assert_eq!(seen.1.len(), 1, "{:?}", seen.1);
    let gap = seen.1[0];
    assert_eq!((gap.count, gap.reason), (total - 101, DropReason::FullOldest));
    // 0 has sequence 1, and from then on every second sequence is of this topic.
    assert!((2..=2 * total - 201).contains(&gap.from.get()), "{gap:?}");
    assert!((gap.from.get()..2 * total - 200).contains(&gap.to.get()), "{gap:?}");
    for one in others.iter().chain([&held.subscription]) {
        let stats = one.stats();
        assert!(stats.balances(), "{stats:?}");
        assert_eq!((stats.matched, stats.queued, stats.in_flight), (total, 0, 0));
    }
}

#[test]
fn exactly_the_newest_are_kept_whatever_the_size_and_wherever_the_log_stands() {
    for size in [64, 65, 100, 256, 300, 320, 514, 600, 704, 1024, 1500] {
        for ahead in [0, 1, 37, 63, 150, 255] {
            let bus = Bus::<u64>::builder().ring(8192).build();
            let _others = takers(&bus, 1, size, Overflow::DropOldest);
            let held = held(&bus, size, Overflow::DropOldest);
            let mut publisher = bus.publisher("t").unwrap();
            publisher.publish(0_u64).unwrap();
            held.entered.recv().unwrap();
            let total = 3 * size as u64 + ahead;
            for n in 1..=total {
                publisher.publish(n).unwrap();
            }
            held.gate.send(()).unwrap();
            bus.settle(LONG).unwrap();
            let newest = total + 1 - size as u64..=total;
            let expected: Vec<u64> = std::iter::once(0).chain(newest).collect();
            assert_eq!(held.seen.lock().unwrap().0, expected, "{size} {ahead}");
        }
    }
}

#[test]
fn who_wakes_up_late_has_the_newest_and_the_account_does_not_go_back() {
    let bus = Bus::<u64>::new();
    let hand = ByHand::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let subscriptions: Vec<_> = (0..3)
        .map(|_| {
            let sink = Arc::clone(&seen);
            let builder = bus.subscribe("t").unwrap().mailbox(64);
            let builder = builder.executor(Executor::custom(hand.clone()));
            builder.spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d)).unwrap()
        })
        .collect();
    // All of them asleep.
    (0..200).for_each(|_| hand.poll_all());
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..150_u64 {
        publisher.publish(n).unwrap();
    }
    for one in &subscriptions {
        assert_eq!(one.stats().dropped[&DropReason::FullOldest], 86, "{:?}", one.stats());
    }
    (0..200).for_each(|_| hand.poll_all());
    for one in &subscriptions {
        let stats = one.stats();
        assert_eq!((stats.handled, stats.dropped[&DropReason::FullOldest]), (64, 86), "{stats:?}");
        assert!(stats.balances(), "{stats:?}");
    }
    // One loop is dropped with messages in it, and its losses are counted.
    for n in 0..10_u64 {
        publisher.publish(n).unwrap();
    }
    drop(hand.0.lock().unwrap().pop());
    let stats = subscriptions[2].stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!(stats.dropped[&DropReason::Stopped], 10, "{stats:?}");
    bus.shutdown(Duration::ZERO);
    (0..200).for_each(|_| hand.poll_all());
}

#[test]
fn a_place_that_is_given_back_takes_nothing_from_anybody() {
    let bus = Bus::<u64>::builder().publish_timeout(Duration::ZERO).build();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let subscriptions: Vec<_> = (0..3)
        .map(|_| {
            let sink = Arc::clone(&seen);
            let handler = move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d);
            bus.subscribe("t").unwrap().mailbox(64).overflow(BLOCK).spawn(handler).unwrap()
        })
        .collect();
    // The ring refuses after places were claimed for the three.
    let mut tap = bus.tap_required("**", 1).unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..1000_u64 {
        publisher.publish(n).unwrap();
        for _ in 0..3 {
            assert!(publisher.try_publish(n).unwrap_err().is_full());
            assert!(publisher.publish_batch(&mut vec![n; 2]).is_err());
        }
        assert!(tap.try_next().is_ok());
        // Only then is the first one done with.
        assert!(tap.try_next().is_err());
        tap.acknowledge();
        bus.settle(LONG).unwrap();
    }
    let mut seen = seen.lock().unwrap();
    seen.sort_unstable();
    assert_eq!(*seen, (0..1000).flat_map(|n| [n; 3]).collect::<Vec<_>>());
    for one in &subscriptions {
        let stats = one.stats();
        assert!(stats.balances(), "{stats:?}");
        assert_eq!((stats.matched, stats.handled, stats.queued), (1000, 1000, 0), "{stats:?}");
    }
}
