//! The first of several takes a seat at the log of those that come after it, and comes to it late or
//! never. (When it does and when not: `bus/alike/tests.rs`.)
#![forbid(unsafe_code)]

use ringpost::{Bus, Delivery, DropReason, Executor, Overflow, PublishError};

use super::support::{BLOCK, ByHand, LONG, WontStart};

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
