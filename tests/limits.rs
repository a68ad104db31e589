//! Limits of publishing and subscribing: where replay begins, the smallest rings and mailboxes, the
//! last sequence, and what is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{
    Bus, Delivery, DropReason, Executor, Notices, Overflow, PublishError, Publisher, Sequence,
    Start, SubscribeError, Subscription, Tap, Tapped, WeakBus,
};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_block_subscription_that_reads_the_ring_has_its_own_timeout() {
    let bus = Bus::<u64>::builder().publish_timeout(Duration::ZERO).build();
    let subscription = bus
        .subscribe("**")
        .unwrap()
        .mailbox(1)
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(|_: Delivery<'_, u64>| {})
        .unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..500_u64 {
        publisher.publish(n).unwrap();
    }
    bus.settle(LONG).unwrap();
    assert_eq!(subscription.stats().handled, 500);
}

#[test]
fn replay_is_not_cut_by_the_size_of_the_mailbox() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..3000_u64 {
            publisher.publish(n).unwrap();
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(16)
            .start(Start::Recent(2500))
            .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
            .unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(*seen.lock().unwrap(), (500..3000).collect::<Vec<u64>>(), "{pattern}");
        assert_eq!(subscription.stats().total_dropped(), 0);
    }
}

#[test]
fn what_is_replayed_is_counted_once_however_it_is_handled() {
    let bus = Bus::<u64>::new();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..10_u64 {
        publisher.publish(n).unwrap();
    }
    let recent = || bus.subscribe("t").unwrap().start(Start::Recent(10));
    let asynchronous = recent()
        .executor(Executor::workers())
        .spawn_async(|d: Delivery<'static, u64>| async move { drop(d) })
        .unwrap();
    let panicking =
        recent().spawn(|d: Delivery<'_, u64>| assert!(d.is_multiple_of(2), "an odd one")).unwrap();
    bus.settle(LONG).unwrap();
    let account = |subscription: &Subscription<u64>| {
        let stats = subscription.stats();
        assert!(stats.balances(), "{stats:?}");
        (stats.matched, stats.handled, stats.failed, stats.in_flight)
    };
    assert_eq!(account(&asynchronous), (10, 10, 0, 0));
    assert_eq!(account(&panicking), (10, 5, 5, 0));
}

#[test]
fn a_replay_from_before_the_ring_tells_its_gap_once() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::builder().ring(1024).recent(0).build();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..5000_u64 {
            publisher.publish(n).unwrap();
        }
        let gaps = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&gaps);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .start(Start::Sequence(Sequence::new(2)))
            .spawn(move |d: Delivery<'_, u64>| told.lock().unwrap().extend_from_slice(d.gaps()))
            .unwrap();
        bus.settle(LONG).unwrap();
        publisher.publish(5000_u64).unwrap();
        bus.settle(LONG).unwrap();
        let stats = subscription.stats();
        assert!(stats.balances(), "{stats:?}");
        let gaps = gaps.lock().unwrap();
        assert_eq!(gaps.len(), 1, "{pattern}: {gaps:?}");
        assert_eq!((gaps[0].from.get(), gaps[0].reason), (2, DropReason::Lapped));
        assert_eq!(gaps[0].count, stats.dropped[&DropReason::Lapped]);
        assert_eq!(stats.handled + gaps[0].count, 5000);
    }
}

#[test]
fn a_start_beyond_the_newest_message_is_the_next_and_one_before_the_first_is_the_first() {
    for pattern in ["t", "**"] {
        for (asked, expected) in [(Sequence::new(1), 3), (Sequence::new(5000), 1)] {
            let bus = Bus::<u64>::builder().start(Sequence::new(1000)).build();
            bus.publish_to("t", 1_u64).unwrap();
            bus.publish_to("t", 2_u64).unwrap();
            let subscription = bus
                .subscribe(pattern)
                .unwrap()
                .start(Start::Sequence(asked))
                .spawn(|_: Delivery<'_, u64>| {})
                .unwrap();
            bus.publish_to("t", 3_u64).unwrap();
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert_eq!((stats.handled, stats.total_dropped()), (expected, 0), "{pattern}");
        }
    }
}

#[test]
fn the_newest_that_the_ring_has_can_always_be_had_without_loss() {
    let bus = Bus::<u64>::builder().ring(1024).recent(0).build();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..1200_u64 {
        publisher.publish(n).unwrap();
        if n % 37 == 0 || n > 1000 && n % 7 == 0 {
            let subscription = bus
                .subscribe("t")
                .unwrap()
                .overflow(Overflow::block())
                .start(Start::Recent(usize::MAX))
                .spawn(|_: Delivery<'_, u64>| {})
                .unwrap();
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert_eq!(stats.total_dropped(), 0);
            assert!(stats.handled >= (n + 1).min(512), "{n}: {stats:?}");
        }
    }
    let gone = bus
        .subscribe("t")
        .unwrap()
        .overflow(Overflow::block())
        .start(Start::Sequence(Sequence::FIRST))
        .spawn(|_: Delivery<'_, u64>| {});
    assert!(matches!(gone, Err(SubscribeError::Evicted(_))));
}

#[test]
fn a_batch_larger_than_a_block_mailbox_or_a_window_goes_out_in_pieces() {
    let bus = Bus::<u64>::new();
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .mailbox(3)
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(|_: Delivery<'_, u64>| {})
        .unwrap();
    let mut tap = bus.tap_required("**", 5).unwrap();
    let reader = std::thread::spawn(move || {
        (0..1000_u64).all(|n| match tap.next_blocking() {
            Some(Tapped::Delivery(d)) => *d == n,
            _ => false,
        })
    });
    let mut publisher = bus.publisher("t").unwrap();
    let mut list: Vec<u64> = (0..1000).collect();
    assert_eq!(publisher.publish_batch(&mut list).unwrap().count, 1000);
    bus.settle(LONG).unwrap();
    assert_eq!(subscription.stats().handled, 1000);
    assert!(reader.join().unwrap());
}

#[test]
fn a_tap_makes_room_for_as_much_as_it_acknowledges_of_what_it_took() {
    let bus = Bus::<u64>::new();
    let mut tap = bus.tap_required("**", 5).unwrap();
    tap.acknowledge_by_hand();
    let mut publisher = bus.publisher("t").unwrap();
    let mut fill = || (0..).take_while(|_| publisher.try_publish(0_u64).is_ok()).count();
    let window = fill();
    for _ in 0..4 {
        tap.try_next().unwrap();
    }
    assert_eq!(fill(), 0, "taken is not acknowledged");
    tap.acknowledge_to(Sequence::new(2));
    assert_eq!(fill(), 2);
    tap.acknowledge_to(Sequence::new(1));
    assert_eq!(fill(), 0, "nothing is taken back");
    tap.acknowledge();
    assert_eq!(fill(), 1, "the fourth one is still lent");
    assert!(tap.try_next().is_ok());
    // More than it took.
    tap.acknowledge_to(Sequence::new(1000));
    assert_eq!(fill(), 1);
    assert_eq!(window, 5);
}

#[test]
fn a_refused_message_is_handed_back() {
    let bus = Bus::<String>::new();
    for topic in ["$errors", "$x", "", "a..b", "a b\u{0}"] {
        assert!(bus.publisher(topic).is_err(), "{topic:?}");
        match bus.publish_to(topic, "kept") {
            Err(PublishError::Topic { message, .. }) => assert_eq!(message, "kept"),
            other => panic!("{topic:?}: {other:?}"),
        }
    }
    match bus.publish("no topic") {
        Err(error @ PublishError::NoTopic(_)) => assert_eq!(error.into_message(), "no topic"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bus.stats().published, 0);
}

#[test]
fn a_bus_closes_at_the_last_sequence() {
    for batch in [1_usize, 7] {
        let first = (1 << 62) - 100;
        let bus = Bus::<u64>::builder().start(Sequence::new(first)).build();
        let subscription = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        let all = bus.subscribe("**").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        let mut out = 0;
        loop {
            let mut list: Vec<u64> = (0..batch as u64).collect();
            match publisher.publish_batch(&mut list) {
                Ok(published) => {
                    assert_eq!(published.first.map(Sequence::get), Some(first + out));
                    out += published.count;
                }
                Err(error) => {
                    assert!(error.cause.is_closed());
                    assert_eq!(list.len(), batch);
                    break;
                }
            }
        }
        assert_eq!(out, 99 / batch as u64 * batch as u64);
        assert!(bus.is_closed());
        let report = bus.shutdown(LONG);
        assert_eq!((report.published, report.next_sequence.get()), (out, first + out));
        assert_eq!((subscription.stats().handled, all.stats().handled), (out, out));
    }
}

#[test]
fn the_smallest_ring_does_everything() {
    for start in [1, (1 << 48) - 3, (1 << 56) - 3] {
        let bus =
            Bus::<u64>::builder().ring(8).recent(5).mailbox(4).start(Sequence::new(start)).build();
        assert_eq!(bus.stats().ring_slots, 8);
        let total = Arc::new(AtomicU64::new(0));
        let subscriptions: Vec<_> = [
            ("t", Overflow::DropOldest),
            ("t", Overflow::Block { timeout: LONG }),
            ("**", Overflow::Block { timeout: LONG }),
        ]
        .map(|(pattern, policy)| {
            let sum = Arc::clone(&total);
            bus.subscribe(pattern)
                .unwrap()
                .overflow(policy)
                .start(Start::Recent(3))
                .spawn(move |d: Delivery<'_, u64>| {
                    sum.fetch_add(*d, Ordering::Relaxed);
                })
                .unwrap()
        })
        .into();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..500_u64 {
            publisher.publish(n).unwrap();
        }
        let mut list: Vec<u64> = (0..500).collect();
        publisher.publish_batch(&mut list).unwrap();
        bus.settle(LONG).unwrap();
        for subscription in &subscriptions {
            let stats = subscription.stats();
            assert!(stats.balances(), "{stats:?}");
            assert_eq!(stats.matched, 1000, "{start}: {stats:?}");
        }
        assert_eq!(subscriptions[1].stats().handled, 1000);
        assert_eq!(subscriptions[2].stats().handled, 1000);
        let recent: Vec<u64> = bus.recent(6).into_iter().map(Delivery::into_message).collect();
        assert_eq!(recent, [499, 498, 497, 496, 495]);
        // Replay of all there is, by one that joins at once because it is never far behind.
        for policy in [Overflow::DropOldest, Overflow::block()] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let _replay = bus
                .subscribe("t")
                .unwrap()
                .overflow(policy)
                .start(Start::Recent(6))
                .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
                .unwrap();
            bus.settle(LONG).unwrap();
            let seen = seen.lock().unwrap();
            assert!((5..=6).contains(&seen.len()), "{policy:?}: {seen:?}");
            assert_eq!(seen.last(), Some(&499));
        }
    }
}

#[test]
fn a_mailbox_of_one_keeps_its_account_under_every_policy() {
    for policy in [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::Block { timeout: LONG },
        Overflow::Disconnect,
    ] {
        for pattern in ["t", "**"] {
            let bus = Bus::<u64>::new();
            let told = Arc::new(AtomicU64::new(0));
            let lost = Arc::clone(&told);
            let subscription = bus
                .subscribe(pattern)
                .unwrap()
                .mailbox(1)
                .overflow(policy)
                .spawn(move |d: Delivery<'_, u64>| {
                    assert!(d.gaps().len() <= DropReason::ALL.len());
                    lost.fetch_add(d.gaps().iter().map(|gap| gap.count).sum(), Ordering::Relaxed);
                })
                .unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let mut publisher = bus.publisher("t").unwrap();
                    scope.spawn(move || {
                        for n in 0..2000_u64 {
                            publisher.publish(n).unwrap();
                        }
                        let mut list: Vec<u64> = (0..200).collect();
                        publisher.publish_batch(&mut list).unwrap();
                    });
                }
            });
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert!(stats.balances(), "{policy:?} {pattern}: {stats:?}");
            assert!(told.load(Ordering::Relaxed) <= stats.total_dropped());
            match policy {
                Overflow::Block { .. } => assert_eq!(stats.handled, 4400),
                Overflow::Disconnect => assert!(stats.total_dropped() <= 200),
                _ => assert_eq!(stats.matched, 4400, "{policy:?} {pattern}: {stats:?}"),
            }
        }
    }
}

#[test]
fn switching_a_bus_off_and_on_loses_no_account() {
    let bus = Bus::<u64>::new();
    let subscription = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
    let (published, silent) = std::thread::scope(|scope| {
        let switch = bus.clone();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let switching = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                switch.set_enabled(false);
                switch.set_enabled(true);
            }
        });
        let mut publisher = bus.publisher("t").unwrap();
        let (mut published, mut silent) = (0, 0);
        for n in 0..20_000_u64 {
            match publisher.publish(n).unwrap().sequence {
                Some(_) => published += 1,
                None => silent += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        switching.join().unwrap();
        (published, silent)
    });
    bus.settle(LONG).unwrap();
    assert_eq!(published + silent, 20_000);
    assert_eq!(bus.stats().published, published);
    assert_eq!(bus.stats().topics["t"], published);
    let stats = subscription.stats();
    assert!(stats.balances());
    assert_eq!(stats.matched, published);
}

#[test]
fn handles_go_where_they_are_needed() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Bus<u64>>();
    sync::<Bus<u64>>();
    send::<WeakBus<u64>>();
    sync::<WeakBus<u64>>();
    send::<Publisher<u64>>();
    send::<Subscription<u64>>();
    sync::<Subscription<u64>>();
    send::<Tap<u64>>();
    send::<Notices>();
    send::<Delivery<'static, u64>>();
}
