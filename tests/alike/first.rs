//! The first of several takes a seat at the log of those that come after it, unless somebody has put
//! something into its mailbox before.
#![forbid(unsafe_code)]

use std::sync::{Arc, Barrier, Mutex};

use ringpost::{Bus, Delivery, DropReason, Executor, Overflow, PublishError, Subscription};

use super::support::{BLOCK, ByHand, LONG, WontStart};

const MESSAGES: u64 = 100;

/// A subscription of 64 places or more, and what it sees.
fn seeing(bus: &Bus<u64>, overflow: Overflow) -> (Subscription<u64>, Arc<Mutex<Vec<u64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let builder = bus.subscribe("t").unwrap().mailbox(4 * MESSAGES as usize).overflow(overflow);
    let handle = move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d);
    (builder.spawn(handle).unwrap(), seen)
}

#[test]
fn the_first_gets_everything_once_whenever_the_second_comes() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        for _ in 0..400 {
            let bus = Bus::<u64>::new();
            let (first, seen) = seeing(&bus, overflow);
            let go = Barrier::new(3);
            let others: Vec<_> = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut publisher = bus.publisher("t").unwrap();
                    go.wait();
                    (0..MESSAGES).for_each(|n| _ = publisher.publish(n).unwrap());
                });
                let second = || {
                    scope.spawn(|| {
                        go.wait();
                        seeing(&bus, overflow)
                    })
                };
                [second(), second()].map(|thread| thread.join().unwrap()).into()
            });
            bus.settle(LONG).unwrap();
            assert_eq!(*seen.lock().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
            assert_eq!((first.stats().matched, first.stats().handled), (MESSAGES, MESSAGES));
            for (other, seen) in others {
                let (stats, seen) = (other.stats(), seen.lock().unwrap());
                assert!(stats.balances() && stats.total_dropped() == 0, "{stats:?}");
                let begin = MESSAGES - seen.len() as u64;
                assert_eq!(*seen, (begin..MESSAGES).collect::<Vec<_>>());
            }
        }
    }
}

/// What the first leaves behind would hold up publishers for longer than this test may take.
#[test]
fn the_first_may_be_cancelled_while_the_second_comes() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        for _ in 0..400 {
            let bus = Bus::<u64>::new();
            let (first, _) = seeing(&bus, overflow);
            let go = Barrier::new(3);
            let second = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut publisher = bus.publisher("t").unwrap();
                    go.wait();
                    (0..10 * MESSAGES).for_each(|n| _ = publisher.publish(n).unwrap());
                });
                scope.spawn(|| {
                    go.wait();
                    first.cancel();
                });
                go.wait();
                seeing(&bus, overflow).0
            });
            bus.settle(LONG).unwrap();
            // Nobody waits for who is cancelled.
            while first.stats().queued + first.stats().in_flight > 0 {
                std::thread::yield_now();
            }
            for one in [&first, &second] {
                assert!(one.stats().balances(), "{:?}", one.stats());
            }
            assert!(bus.stats().subscriptions.iter().all(|one| one.id == second.id()));
        }
    }
}

#[test]
fn the_first_may_come_to_its_seat_late_or_never() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        for comes in [true, false] {
            let bus = Bus::<u64>::new();
            let by_hand = ByHand::default();
            let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(overflow);
            let builder = builder.executor(Executor::custom(by_hand.clone()));
            let first = builder.spawn(|_: Delivery<'_, u64>| {}).unwrap();
            let second = bus.subscribe("t").unwrap().mailbox(64).overflow(overflow);
            let second = second.spawn(|_: Delivery<'_, u64>| {}).unwrap();
            (0..50_u64).for_each(|n| _ = bus.publish_to("t", n).unwrap());
            assert_eq!(first.stats().queued, 50);
            if comes {
                by_hand.poll_all();
            } else {
                by_hand.0.lock().unwrap().clear();
                let stopped =
                    matches!(bus.publish_to("t", 0_u64), Err(PublishError::Stopped { .. }));
                assert_eq!(stopped, overflow == BLOCK, "nothing is lost without anybody's knowing");
                first.cancel();
            }
            (0..200_u64).for_each(|n| {
                bus.publish_to("t", n).unwrap();
                by_hand.poll_all();
            });
            bus.settle(LONG).unwrap();
            let stats = first.stats();
            assert!(stats.balances() && second.stats().balances(), "{stats:?}");
            if comes {
                assert_eq!((stats.matched, stats.handled), (250, 250), "{stats:?}");
            } else {
                assert_eq!((stats.matched, stats.handled), (50, 0), "{stats:?}");
                assert_eq!(stats.dropped[&DropReason::Stopped], 50);
            }
        }
    }
}

#[test]
fn publishers_hear_of_a_first_that_could_not_start_after_it_had_given_way() {
    let bus = Bus::<u64>::new();
    let by_hand = ByHand::default();
    let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(BLOCK);
    let builder = builder.executor(Executor::custom(by_hand.clone()));
    let first = builder.spawn_actor(WontStart).unwrap();
    let second = bus.subscribe("t").unwrap().mailbox(64).overflow(BLOCK);
    let second = second.spawn(|_: Delivery<'_, u64>| {}).unwrap();
    bus.publish_to("t", 1_u64).unwrap();
    by_hand.poll_all();
    match bus.publish_to("t", 2_u64) {
        Err(PublishError::Stopped { subscriber, .. }) => assert_eq!(subscriber, first.id()),
        other => panic!("{other:?}"),
    }
    first.cancel();
    bus.publish_to("t", 3_u64).unwrap();
    bus.settle(LONG).unwrap();
    assert_eq!((first.stats().matched, second.stats().handled), (1, 2));
    assert!(first.stats().balances(), "{:?}", first.stats());
}
