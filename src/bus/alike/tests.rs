//! Who shares a log, and since when.
#![forbid(unsafe_code)]

use std::sync::{Barrier, Mutex};

use super::*;
use crate::bus::route::SharedLeg;
use crate::{Bus, Delivery, Executor, Start, Subscription, Wait};

fn subscribe(bus: &Bus<u64>, size: usize, overflow: Overflow) -> Subscription<u64> {
    let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(overflow);
    builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
}

/// How many mailboxes the topic reaches, and how many read each log.
fn reached(bus: &Bus<u64>) -> (usize, Vec<u64>) {
    let route = bus.core().table.route("t");
    let logs = route.shared.iter().map(SharedLeg::count).collect();
    (route.blocking.len() + route.open.len(), logs)
}

#[test]
fn those_that_are_alike_share_a_log_if_they_come_before_the_first_message() {
    let bus = Bus::<u64>::new();
    let block = Overflow::block();
    let mut kept: Vec<_> = (0..4).map(|_| subscribe(&bus, 64, Overflow::DropOldest)).collect();
    kept.extend((0..3).map(|_| subscribe(&bus, 64, block)));
    kept.extend((0..2).map(|_| subscribe(&bus, 65, block)));
    let longer = Overflow::Block { timeout: Duration::from_secs(2) };
    kept.push(subscribe(&bus, 65, longer));
    assert_eq!(reached(&bus), (1, vec![3, 2, 4]), "those with Block come first");
    let numbers = kept.windows(2).all(|two| two[1].id() == two[0].id() + 1);
    assert!(numbers, "none is left out");
}

#[test]
fn two_that_are_alike_and_come_first_at_once_share_a_log() {
    for _ in 0..200 {
        let (bus, together) = (Bus::<u64>::new(), Barrier::new(2));
        let come = || {
            together.wait();
            subscribe(&bus, 64, Overflow::DropOldest)
        };
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(come);
            (come(), other.join().unwrap())
        });
        assert_eq!(reached(&bus), (0, vec![2]));
        bus.publish_to("t", 1_u64).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!((both.0.stats().handled, both.1.stats().handled), (1, 1));
    }
}

#[test]
fn who_has_had_a_message_keeps_its_mailbox_when_others_come() {
    for topic in ["t", "*"] {
        let bus = Bus::<u64>::new();
        let subscribe = || {
            let builder = bus.subscribe(topic).unwrap().mailbox(64);
            builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
        };
        let first = subscribe();
        bus.publish_to("t", 1_u64).unwrap();
        let others = [subscribe(), subscribe()];
        assert_eq!(reached(&bus), (1, vec![2]));
        bus.publish_to("t", 2_u64).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(first.stats().handled, 2);
        assert!(others.iter().all(|other| other.stats().handled == 1));
    }
}

#[test]
fn who_spins_for_messages_or_begins_with_the_past_keeps_its_mailbox() {
    let bus = Bus::<u64>::new();
    bus.publish_to("t", 1_u64).unwrap();
    let builder = |size: usize| bus.subscribe("t").unwrap().mailbox(size);
    let nothing = |_: Delivery<'_, u64>| {};
    let spins = builder(64).executor(Executor::thread(Wait::Spin)).spawn(nothing).unwrap();
    let past = builder(65).start(Start::Recent(1)).spawn(nothing).unwrap();
    // It has joined.
    bus.settle(LONG).unwrap();
    let others = [64, 65].map(|size| subscribe(&bus, size, Overflow::DropOldest));
    assert_eq!(reached(&bus), (2, vec![1, 1]));
    bus.publish_to("t", 2_u64).unwrap();
    bus.settle(LONG).unwrap();
    assert_eq!((spins.stats().handled, past.stats().handled), (1, 2));
    assert!(others.iter().all(|other| other.stats().handled == 1));
}

#[test]
fn who_takes_a_seat_keeps_its_number_and_its_account() {
    for topic in ["t", "*"] {
        for way in [Overflow::DropOldest, Overflow::block()] {
            let bus = Bus::<u64>::new();
            let subscribe = || {
                let builder = bus.subscribe(topic).unwrap().mailbox(64).overflow(way);
                builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
            };
            let first = subscribe();
            let before = first.stats();
            let second = subscribe();
            assert_eq!(reached(&bus), (0, vec![2]));
            assert_eq!(first.stats(), before);
            for n in 0..1000_u64 {
                bus.publish_to("t", n).unwrap();
            }
            bus.settle(LONG).unwrap();
            for one in [&first, &second] {
                let stats = one.stats();
                assert_eq!(stats.matched, 1000);
                assert_eq!(stats.handled + stats.total_dropped(), 1000, "{stats:?}");
            }
            let all = bus.stats().subscriptions;
            assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [first.id(), second.id()]);
            first.cancel();
            assert_eq!(reached(&bus), (0, vec![1]));
            assert_eq!(first.stats().matched, 1000);
        }
    }
}

#[test]
fn small_mailboxes_and_other_policies_are_each_ones_own() {
    let bus = Bus::<u64>::new();
    let ways = [(63, Overflow::DropOldest), (64, Overflow::DropNewest), (64, Overflow::Disconnect)];
    let kept: Vec<_> =
        ways.iter().flat_map(|&(size, way)| (0..3).map(move |_| (size, way))).collect();
    let kept: Vec<_> = kept.into_iter().map(|(size, way)| subscribe(&bus, size, way)).collect();
    assert_eq!(reached(&bus), (kept.len(), vec![]));
}

#[test]
fn who_is_cancelled_leaves_the_log_to_the_others() {
    let bus = Bus::<u64>::new();
    let first = subscribe(&bus, 64, Overflow::DropOldest);
    let others: Vec<_> = (0..2).map(|_| subscribe(&bus, 64, Overflow::DropOldest)).collect();
    first.cancel();
    assert_eq!(reached(&bus), (0, vec![2]));
    let again = subscribe(&bus, 64, Overflow::DropOldest);
    assert_eq!(reached(&bus), (0, vec![3]), "who comes back shares too");
    drop((others, again));
    assert_eq!(reached(&bus), (0, vec![]));
}

#[test]
fn a_log_that_nobody_reads_any_more_keeps_nobody_from_a_seat() {
    let bus = Bus::<u64>::new();
    let pair = || [(); 2].map(|()| subscribe(&bus, 64, Overflow::DropOldest));
    let before = pair();
    // It keeps its route, and so the log, until it publishes again.
    let mut publisher = bus.publisher("t").unwrap();
    publisher.publish(1_u64).unwrap();
    bus.settle(LONG).unwrap();
    let log = Arc::clone(&bus.core().table.route("t").shared[0].log);
    before.iter().for_each(Subscription::cancel);
    while log.is_read() {
        std::thread::yield_now();
    }
    let after = pair();
    assert_eq!(reached(&bus), (0, vec![2]));
    publisher.publish(2_u64).unwrap();
    bus.settle(LONG).unwrap();
    assert!(after.iter().all(|one| one.stats().handled == 1));
}

const LONG: Duration = Duration::from_secs(120);

const BLOCK: Overflow = Overflow::Block { timeout: LONG };

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
        // How often it took a seat, and how often a publisher was there before.
        let (mut seated, mut kept) = (0, 0);
        for round in 0.. {
            if round >= 300 && seated > 0 && kept > 0 {
                break;
            }
            assert!(round < 100_000, "seated {seated}, kept {kept}");
            let bus = Bus::<u64>::new();
            let (first, seen) = seeing(&bus, overflow);
            let go = Barrier::new(3);
            let others: Vec<_> = std::thread::scope(|scope| {
                scope.spawn(|| {
                    go.wait();
                    let mut publisher = bus.publisher("t").unwrap();
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
            *(if reached(&bus).0 == 0 { &mut seated } else { &mut kept }) += 1;
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
                    go.wait();
                    let mut publisher = bus.publisher("t").unwrap();
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
