//! Many publishers, every policy: sums, order per publisher and ledgers exact.
//!
//! `RINGPOST_STRESS=1` runs the full size: 10 publishers, a million messages each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{
    Bus, Delivery, DropReason, Executor, Message, Overflow, Subscription, Tapped, Wait,
};

const LONG: Duration = Duration::from_secs(600);
const PUBLISHERS: u64 = 10;
const SUBSCRIBERS: usize = 8;

fn messages() -> u64 {
    if std::env::var_os("RINGPOST_STRESS").is_some() { 1_000_000 } else { 10_000 }
}

#[derive(Clone, Copy, Debug)]
struct Tick {
    publisher: u64,
    number: u64,
}

impl Message for Tick {}

/// What one subscriber saw, checked as it comes.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    sum: AtomicU64,
    lost: AtomicU64,
    disordered: AtomicBool,
}

fn watch(seen: &Arc<Seen>) -> impl FnMut(Delivery<'_, Tick>) + Send + use<> {
    let seen = Arc::clone(seen);
    let mut next = [0; PUBLISHERS as usize];
    move |delivery| {
        let place = &mut next[delivery.publisher as usize];
        if delivery.number < *place {
            seen.disordered.store(true, Ordering::Relaxed);
        }
        *place = delivery.number + 1;
        let lost: u64 = delivery.gaps().iter().map(|gap| gap.count).sum();
        seen.lost.fetch_add(lost, Ordering::Relaxed);
        seen.count.fetch_add(1, Ordering::Relaxed);
        seen.sum.fetch_add(delivery.number, Ordering::Relaxed);
    }
}

fn run(policy: Overflow, pattern: &str, executor: &Executor, batch: usize) {
    let bus = Bus::<Tick>::new();
    let subscribers: Vec<(Subscription<Tick>, Arc<Seen>)> = (0..SUBSCRIBERS)
        .map(|_| {
            let seen = Arc::new(Seen::default());
            let subscription = bus
                .subscribe(pattern)
                .unwrap()
                .mailbox(1024)
                .overflow(policy)
                .executor(executor.clone())
                .spawn(watch(&seen))
                .unwrap();
            (subscription, seen)
        })
        .collect();
    let each = messages();
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let mut ticks = bus.publisher("md.tick").unwrap();
            scope.spawn(move || {
                let mut list = Vec::new();
                for number in 0..each {
                    let tick = Tick { publisher, number };
                    if batch == 1 {
                        ticks.publish(tick).unwrap();
                        continue;
                    }
                    list.push(tick);
                    if list.len() == batch || number + 1 == each {
                        ticks.publish_batch(&mut list).unwrap();
                    }
                }
            });
        }
    });
    bus.settle(LONG).unwrap();
    let total = PUBLISHERS * each;
    assert_eq!(bus.stats().published, total);
    assert_eq!(bus.stats().topics["md.tick"], total);
    for (subscription, seen) in &subscribers {
        let stats = subscription.stats();
        let (count, sum) = (seen.count.load(Ordering::Relaxed), seen.sum.load(Ordering::Relaxed));
        assert!(!seen.disordered.load(Ordering::Relaxed), "{policy:?} {pattern}");
        assert!(stats.balances(), "{policy:?} {pattern}: {stats:?}");
        assert_eq!(stats.handled, count);
        assert_eq!((stats.queued, stats.in_flight, stats.failed), (0, 0, 0));
        match policy {
            Overflow::Block { .. } => {
                assert_eq!((count, stats.total_dropped()), (total, 0));
                assert_eq!(sum, PUBLISHERS * each * (each - 1) / 2);
            }
            Overflow::Disconnect if stats.total_dropped() > 0 => {
                // The run loop ends once it has seen that its mailbox was closed.
                while subscription.is_active() {
                    std::thread::yield_now();
                }
            }
            Overflow::Disconnect => assert_eq!(count, total),
            _ => {
                assert_eq!(count + stats.total_dropped(), total, "{stats:?}");
                // What was lost after the last delivery is told with no other.
                assert!(seen.lost.load(Ordering::Relaxed) <= stats.total_dropped());
            }
        }
    }
}

const POLICIES: [Overflow; 4] = [
    Overflow::DropOldest,
    Overflow::DropNewest,
    Overflow::Block { timeout: LONG },
    Overflow::Disconnect,
];

#[test]
fn stress_ledgers_balance_for_every_policy_on_workers() {
    for policy in POLICIES {
        run(policy, "md.tick", &Executor::workers(), 1);
    }
}

#[test]
fn stress_ledgers_balance_for_every_policy_on_threads() {
    for policy in POLICIES {
        run(policy, "md.*", &Executor::thread(Wait::Park), 1);
    }
}

#[test]
fn stress_ledgers_balance_for_every_policy_when_reading_the_ring() {
    for policy in POLICIES {
        run(policy, "**", &Executor::workers(), 1);
    }
}

#[test]
fn stress_ledgers_balance_for_batches() {
    for policy in POLICIES {
        run(policy, "md.tick", &Executor::workers(), 50);
        run(policy, "**", &Executor::workers(), 50);
    }
}

#[test]
fn stress_taps_agree_on_the_order_of_all_publishers() {
    let bus = Bus::<Tick>::builder().ring(1 << 12).build();
    let each = messages();
    let taps: Vec<_> = (0..3).map(|_| bus.tap_required("**", 2048).unwrap()).collect();
    let orders = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for mut tap in taps {
            let orders = &orders;
            scope.spawn(move || {
                let mut order = Vec::new();
                while let Some(tapped) = tap.next_blocking() {
                    match tapped {
                        Tapped::Delivery(d) => {
                            assert_eq!(d.sequence().unwrap().get(), order.len() as u64 + 1);
                            order.push((d.publisher, d.number));
                        }
                        other => panic!("a required tap is never overrun: {other:?}"),
                    }
                }
                orders.lock().unwrap().push(order);
            });
        }
        std::thread::scope(|publishing| {
            for publisher in 0..PUBLISHERS {
                let mut ticks = bus.publisher("md.tick").unwrap();
                publishing.spawn(move || {
                    for number in 0..each {
                        let mut tick = Tick { publisher, number };
                        // Required readers may be descheduled for longer than a publish waits.
                        while let Err(error) = ticks.publish(tick) {
                            assert!(error.is_full());
                            tick = error.into_message();
                        }
                    }
                });
            }
        });
        bus.shutdown(LONG);
    });
    let orders = orders.into_inner().unwrap();
    assert_eq!(orders[0].len() as u64, PUBLISHERS * each);
    assert!(orders.iter().all(|order| *order == orders[0]));
}

#[test]
fn stress_subscribing_and_cancelling_under_load_loses_nothing_for_the_others() {
    let bus = Bus::<Tick>::new();
    let seen = Arc::new(Seen::default());
    let stable = bus
        .subscribe("md.tick")
        .unwrap()
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(watch(&seen))
        .unwrap();
    let each = messages();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let policy = POLICIES[rounds % POLICIES.len()];
                let pattern = ["md.tick", "md.*", "**"][rounds % 3];
                let passing = Arc::new(Seen::default());
                let subscription = bus
                    .subscribe(pattern)
                    .unwrap()
                    .mailbox(64)
                    .overflow(policy)
                    .spawn(watch(&passing))
                    .unwrap();
                std::thread::yield_now();
                subscription.cancel();
                // The run loop ends in its own time; then the account is final.
                while subscription.stats().queued + subscription.stats().in_flight > 0 {
                    std::thread::yield_now();
                }
                assert!(!passing.disordered.load(Ordering::Relaxed));
                rounds += 1;
            }
            rounds
        });
        std::thread::scope(|publishing| {
            for publisher in 0..4 {
                let mut ticks = bus.publisher("md.tick").unwrap();
                publishing.spawn(move || {
                    for number in 0..each {
                        ticks.publish(Tick { publisher, number }).unwrap();
                    }
                });
            }
        });
        done.store(true, Ordering::Relaxed);
        assert!(churn.join().unwrap() > 0);
    });
    bus.settle(LONG).unwrap();
    assert_eq!(seen.count.load(Ordering::Relaxed), 4 * each);
    let stats = stable.stats();
    assert!(stats.balances() && stats.total_dropped() == 0, "{stats:?}");
    assert!(!stats.dropped.contains_key(&DropReason::Joining));
}
