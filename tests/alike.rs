//! Subscriptions that are alike (one pattern, size and policy) share a log from the second on. They
//! keep everything that a mailbox of one's own promises: size, policy, losses, account.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, Executor, ExecutorError, Failure, Gap, Message,
    Overflow, PublishError, Run, Spawn, Subscription, Wait,
};

const LONG: Duration = Duration::from_secs(120);
const BLOCK: Overflow = Overflow::Block { timeout: LONG };

/// A subscription whose handler stops at the first message until its gate is opened.
struct Held {
    subscription: Subscription<u64>,
    seen: Arc<Mutex<(Vec<u64>, Vec<Gap>)>>,
    entered: mpsc::Receiver<()>,
    gate: mpsc::Sender<()>,
}

fn held(bus: &Bus<u64>, size: usize, overflow: Overflow) -> Held {
    let (gate, closed) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&seen);
    let mut is_first = true;
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .mailbox(size)
        .overflow(overflow)
        .executor(Executor::thread(Wait::Park))
        .spawn(move |d: Delivery<'_, u64>| {
            if std::mem::take(&mut is_first) {
                enter.send(()).unwrap();
                let _ = closed.recv();
            }
            let mut seen = sink.lock().unwrap();
            seen.0.push(*d);
            seen.1.extend_from_slice(d.gaps());
        })
        .unwrap();
    Held { subscription, seen, entered, gate }
}

/// Subscriptions that take everything at once.
fn takers(bus: &Bus<u64>, count: usize, size: usize, overflow: Overflow) -> Vec<Subscription<u64>> {
    let spawn = |_| {
        let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(overflow);
        builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
    };
    (0..count).map(spawn).collect()
}

#[test]
fn as_many_wait_for_a_held_subscriber_as_its_size_says_whichever_it_is_of_several() {
    for at in 0..3 {
        let bus = Bus::<u64>::new();
        let mut takers = takers(&bus, at, 100, BLOCK);
        let held = held(&bus, 100, BLOCK);
        takers.extend(self::takers(&bus, 2 - at, 100, BLOCK));
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

/// Sets a flag when it goes.
struct Joined<'a>(&'a AtomicBool);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const PUBLISHERS: usize = 3;

/// What one subscriber saw of each publisher, whose messages are numbered.
#[derive(Default)]
struct Seen {
    /// The lowest sequence of all.
    lowest: Option<u64>,
    /// The first number and the next one.
    numbers: [Option<(u64, u64)>; PUBLISHERS],
    /// Whether something was lost since the last message of each.
    lost: [bool; PUBLISHERS],
}

impl Seen {
    fn see(&mut self, d: &Delivery<'_, u64>) {
        let (publisher, number) = ((**d >> 48) as usize, **d & 0xFFFF_FFFF_FFFF);
        let sequence = d.sequence().unwrap().get();
        self.lowest = Some(self.lowest.map_or(sequence, |lowest| lowest.min(sequence)));
        let (_, next) = self.numbers[publisher].get_or_insert((number, number));
        if !d.gaps().is_empty() {
            self.lost = [true; PUBLISHERS];
        }
        if std::mem::take(&mut self.lost[publisher]) {
            assert!(*next <= number, "publisher {publisher}");
        } else {
            assert_eq!(*next, number, "publisher {publisher}");
        }
        *next = number + 1;
    }

    /// Whether there is nothing that it should have seen before what it saw first, or after what it
    /// saw last, of publishers whose messages got these sequences.
    fn check(&self, published: &[Vec<u64>]) {
        let lowest = self.lowest.expect("something was published after it joined");
        for (numbers, sequences) in self.numbers.iter().zip(published) {
            let first = numbers.map_or(sequences.len(), |(first, _)| first as usize);
            assert!(sequences[..first].iter().all(|&sequence| sequence < lowest));
            let next = numbers.map_or(sequences.len(), |(_, next)| next as usize);
            assert_eq!(next, sequences.len());
        }
    }
}

#[test]
fn who_joins_while_others_publish_misses_nothing_and_gets_nothing_twice() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        for batch in [1, 7] {
            let bus = Bus::<u64>::builder().ring(1 << 16).build();
            let _first = takers(&bus, 2, 1 << 14, overflow);
            let joined = AtomicBool::new(false);
            let (checked, published) = std::thread::scope(|scope| {
                // Also if something below fails.
                let is_over = Joined(&joined);
                let publishers: Vec<_> = (0..PUBLISHERS as u64)
                    .map(|id| {
                        let mut publisher = bus.publisher("t").unwrap();
                        let joined = &joined;
                        scope.spawn(move || {
                            let mut sequences = Vec::new();
                            while !joined.load(Ordering::Relaxed) {
                                let next = id << 48 | sequences.len() as u64;
                                if batch == 1 {
                                    let published = publisher.publish(next).unwrap();
                                    sequences.push(published.sequence.unwrap().get());
                                } else {
                                    let mut list = (next..next + batch).collect();
                                    let published = publisher.publish_batch(&mut list).unwrap();
                                    let first = published.first.unwrap().get();
                                    sequences.extend(first..first + batch);
                                }
                            }
                            sequences
                        })
                    })
                    .collect();
                let mut checked = Vec::new();
                for round in 0..48 {
                    let seen = Arc::new(Mutex::new(Seen::default()));
                    let sink = Arc::clone(&seen);
                    let subscription = bus
                        .subscribe("t")
                        .unwrap()
                        .mailbox(1 << 14)
                        .overflow(overflow)
                        .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().see(&d))
                        .unwrap();
                    // It has seen something; all but every sixteenth go while others read on.
                    while seen.lock().unwrap().lowest.is_none() {
                        std::thread::yield_now();
                    }
                    if round % 16 == 0 {
                        checked.push((subscription, seen));
                    } else {
                        subscription.cancel();
                        assert_eq!(subscription.stats().failed, 0);
                    }
                }
                drop(is_over);
                let published: Vec<_> =
                    publishers.into_iter().map(|thread| thread.join().unwrap()).collect();
                (checked, published)
            });
            bus.settle(LONG).unwrap();
            for (subscription, seen) in checked {
                let stats = subscription.stats();
                assert!(stats.balances() && stats.failed == 0, "{overflow:?} {batch}: {stats:?}");
                assert!(overflow != BLOCK || stats.total_dropped() == 0, "{stats:?}");
                if stats.total_dropped() == 0 {
                    seen.lock().unwrap().check(&published);
                }
            }
        }
    }
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

/// An executor whose run loops somebody else polls, when he likes, or drops.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Vec<Run>>>);

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByHand")
    }
}

impl Spawn for ByHand {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.lock().unwrap().push(run);
        Ok(())
    }
}

impl ByHand {
    fn poll_all(&self) {
        let mut runs = std::mem::take(&mut *self.0.lock().unwrap());
        let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
        runs.retain_mut(|run| Pin::new(run).poll(task).is_pending());
        self.0.lock().unwrap().append(&mut runs);
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
    for one in &subscriptions[1..] {
        assert_eq!(one.stats().dropped[&DropReason::FullOldest], 86, "{:?}", one.stats());
    }
    (0..200).for_each(|_| hand.poll_all());
    for one in &subscriptions[1..] {
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

struct WontStart;

impl Actor<u64> for WontStart {
    async fn on_start(&mut self, _context: &mut Context) -> Result<(), Failure> {
        Err("no".into())
    }

    async fn handle(
        &mut self,
        _delivery: Delivery<'_, u64>,
        _context: &mut Context,
    ) -> Result<(), Failure> {
        Ok(())
    }
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

/// Counts those that are alive.
#[derive(Clone)]
struct Counted(#[expect(dead_code, reason = "its count is what is looked at")] Arc<()>);

impl Message for Counted {}

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
