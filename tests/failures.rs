//! What a failing handler, a failing message or a slow subscriber does to everybody else:
//! nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::event::{Data, Event};
use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, EventBus, Executor, Failure, Message, Notice,
    Overflow, PublishError, Sequence, Shared, Wait, event,
};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn errors_and_panics_are_counted_told_and_harm_nobody() {
    let bus = Bus::<u64>::new();
    let mut notices = bus.notices();
    let failing = bus
        .subscribe("t")
        .unwrap()
        .spawn(|d: Delivery<'_, u64>| match *d % 3 {
            0 => Err("a third fails"),
            1 => panic!("a third panics"),
            _ => Ok(()),
        })
        .unwrap();
    let good = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
    for n in 0..30_u64 {
        assert_eq!(bus.publish_to("t", n).unwrap().delivered, 2);
    }
    bus.settle(LONG).unwrap();
    let stats = failing.stats();
    assert!(stats.balances());
    assert_eq!((stats.handled, stats.failed), (10, 20));
    assert_eq!(good.stats().handled, 30);
    assert_eq!(bus.stats().failures["t"], 20);
    let told: Vec<Notice> = notices.by_ref().collect();
    assert_eq!(told.len(), 20);
    assert_eq!(told.iter().filter(|notice| notice.panicked).count(), 10);
    assert_eq!(
        (told[0].error.as_str(), told[1].error.as_str()),
        ("a third fails", "a third panics")
    );
    assert_eq!(told[0].sequence.map(u64::from), Some(1));
    assert_eq!(told[0].message_topic.as_deref(), Some("t"));
    assert_eq!(told[0].subscriber, failing.id());
}

#[test]
fn a_failure_is_an_event_on_errors_and_a_failing_subscriber_of_errors_cannot_feed_itself() {
    let bus = EventBus::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let errors = bus
        .subscribe("$errors")
        .unwrap()
        .spawn(move |d: Delivery<'_, Shared<Event>>| {
            sink.lock().unwrap().push(d.message().clone());
            Err::<(), _>("and this one fails too")
        })
        .unwrap();
    let everything =
        bus.subscribe("**").unwrap().spawn(|_: Delivery<'_, Shared<Event>>| {}).unwrap();
    let failing = bus
        .subscribe("index.*")
        .unwrap()
        .spawn(|_: Delivery<'_, Shared<Event>>| Err::<(), _>("no space"))
        .unwrap();
    let sent = bus.publish_event("index.updated", "test", &serde_json::json!({})).unwrap();
    bus.settle(LONG).unwrap();
    // The notice is given out by the failing run loop: wait for its own subscriber as well.
    bus.settle(LONG).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let Some(Data::Json(data)) = seen[0].data() else { panic!("no JSON data") };
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(seen[0].kind(), "$errors");
    assert_eq!(data["original_event_id"], sent.id());
    assert_eq!(data["error"], "no space");
    assert_eq!(data["subscriber"], failing.id());
    assert_eq!(data["attempt"], 1);
    assert_eq!(errors.stats().failed, 1);
    // Notices are not messages: whoever asks for everything does not get them.
    assert_eq!(everything.stats().matched, 1);
    assert_eq!(bus.stats().published, 1);
}

#[test]
fn causes_are_noted_on_events_published_inside_a_handler() {
    let bus = EventBus::new();
    let own = bus.downgrade();
    let _first = bus
        .subscribe("first")
        .unwrap()
        .spawn(move |_: Delivery<'_, Shared<Event>>| {
            let _ = own.upgrade().unwrap().publish(event!("second").unwrap());
        })
        .unwrap();
    let sent = bus.publish_event("first", "test", &()).unwrap();
    bus.settle(LONG).unwrap();
    let second = &bus.recent(1)[0];
    assert_eq!(second.kind(), "second");
    assert_eq!(second.causation_id(), Some(sent.id()));
    assert_eq!(second.correlation_id(), Some(sent.id()));
}

#[test]
fn one_held_subscriber_delays_nobody_and_gets_exactly_one_exact_gap() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (open, gate) = mpsc::channel::<()>();
        let (enter, entered) = mpsc::channel();
        let gaps = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&gaps);
        let held = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(1024)
            .executor(Executor::thread(Wait::Park))
            .spawn(move |d: Delivery<'_, u64>| {
                told.lock().unwrap().extend_from_slice(d.gaps());
                if *d == 0 {
                    enter.send(()).unwrap();
                    gate.recv().unwrap();
                }
            })
            .unwrap();
        let others: Vec<_> = (0..7)
            .map(|_| {
                bus.subscribe(pattern)
                    .unwrap()
                    .mailbox(1024)
                    .overflow(Overflow::Block { timeout: LONG })
                    .spawn(|_: Delivery<'_, u64>| {})
                    .unwrap()
            })
            .collect();
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(0_u64).unwrap();
        entered.recv().unwrap();
        let total = 50_000_u64;
        for n in 1..total {
            publisher.publish(n).unwrap();
        }
        // The other seven finish while the one is held.
        while others.iter().any(|other| other.stats().handled < total) {
            std::thread::yield_now();
        }
        assert_eq!(held.stats().handled, 0);
        open.send(()).unwrap();
        bus.settle(LONG).unwrap();
        let stats = held.stats();
        assert!(stats.balances(), "{stats:?}");
        let gaps = gaps.lock().unwrap();
        assert_eq!(gaps.len(), 1, "{pattern}: {gaps:?}");
        assert_eq!(gaps[0].count, stats.total_dropped());
        assert_eq!(gaps[0].count, total - stats.handled);
        assert_eq!(gaps[0].reason, DropReason::FullOldest);
        assert_eq!(gaps[0].to.get() - gaps[0].from.get() + 1, gaps[0].count);
    }
}

#[test]
fn a_slow_subscriber_with_disconnect_loses_its_subscription_and_nothing_else() {
    let bus = Bus::<u64>::new();
    let (open, gate) = mpsc::channel::<()>();
    let slow = bus
        .subscribe("t")
        .unwrap()
        .mailbox(4)
        .overflow(Overflow::Disconnect)
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, u64>| {
            let _ = gate.recv();
        })
        .unwrap();
    let good = bus
        .subscribe("t")
        .unwrap()
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(|_: Delivery<'_, u64>| {})
        .unwrap();
    for n in 0..100_u64 {
        bus.publish_to("t", n).unwrap();
    }
    drop(open);
    bus.settle(LONG).unwrap();
    // Everything is handled; that its mailbox has ended is what the actor finds out next.
    while slow.is_active() {
        std::thread::yield_now();
    }
    let stats = slow.stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!(stats.total_dropped(), 1);
    assert_eq!(good.stats().handled, 100);
}

struct WontStart;

impl Actor<u64> for WontStart {
    async fn on_start(&mut self, _context: &mut Context) -> Result<(), Failure> {
        Err("no connection".into())
    }

    async fn handle(
        &mut self,
        _delivery: Delivery<'_, u64>,
        _context: &mut Context,
    ) -> Result<(), Failure> {
        unreachable!("it never started")
    }
}

#[test]
fn a_block_subscriber_that_could_not_start_is_an_error_until_it_is_cancelled() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let stopped = bus
            .subscribe(pattern)
            .unwrap()
            .overflow(Overflow::block())
            .spawn_actor(WontStart)
            .unwrap();
        while stopped.is_active() || bus.notices().next().is_some() {
            std::thread::yield_now();
        }
        let error = loop {
            match bus.publish_to("t", 1_u64) {
                // Published before the actor's failure was known.
                Ok(_) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        match error {
            PublishError::Stopped { subscriber, message } => {
                assert_eq!((subscriber, message), (stopped.id(), 1));
            }
            other => panic!("{pattern}: {other:?}"),
        }
        stopped.cancel();
        assert!(bus.publish_to("t", 2_u64).is_ok());
    }
}

/// Its Clone panics once it was cloned often enough.
struct Fragile {
    clones: Arc<AtomicU64>,
    panic_at: u64,
    drops: Arc<AtomicU64>,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let count = self.clones.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(count != self.panic_at, "this clone fails");
        self.drops.fetch_add(1, Ordering::Relaxed);
        Self {
            clones: Arc::clone(&self.clones),
            panic_at: self.panic_at,
            drops: Arc::clone(&self.drops),
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.drops.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Message for Fragile {}

#[test]
fn a_message_whose_clone_panics_is_counted_and_leaks_nothing() {
    for batch in [false, true] {
        for panic_at in 1..=18 {
            let alive = Arc::new(AtomicU64::new(0));
            let bus = Bus::<Fragile>::new();
            let subscriptions: Vec<_> =
                // Those that are alike read a log.
                [Overflow::DropOldest, Overflow::block(), Overflow::DropNewest]
                    .into_iter()
                    .chain([Overflow::DropOldest, Overflow::block()])
                    .map(|policy| {
                        bus.subscribe("t")
                            .unwrap()
                            .overflow(policy)
                            .spawn(|_: Delivery<'_, Fragile>| {})
                            .unwrap()
                    })
                    .collect();
            let clones = Arc::new(AtomicU64::new(0));
            let make = || {
                alive.fetch_add(1, Ordering::Relaxed);
                Fragile { clones: Arc::clone(&clones), panic_at, drops: Arc::clone(&alive) }
            };
            let mut publisher = bus.publisher("t").unwrap();
            if batch {
                let mut list: Vec<_> = (0..3).map(|_| make()).collect();
                assert_eq!(publisher.publish_batch(&mut list).unwrap().count, 3);
            } else {
                for _ in 0..3 {
                    publisher.publish(make()).unwrap();
                }
            }
            bus.settle(LONG).unwrap();
            for subscription in &subscriptions {
                let stats = subscription.stats();
                assert!(stats.balances(), "{batch} {panic_at}: {stats:?}");
                assert_eq!(stats.matched, 3, "{batch} {panic_at}: {stats:?}");
            }
            drop(publisher);
            assert!(bus.shutdown(LONG).is_clean());
            drop(subscriptions);
            drop(bus);
            // The last run loop lets go of the ring in its own time.
            while alive.load(Ordering::Relaxed) != 0 {
                std::thread::yield_now();
            }
        }
    }
}

/// What a panic may bring with it.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("and so does what it came with");
    }
}

/// Its third clone panics, with more than a text.
struct Worse(Arc<AtomicU64>);

impl Clone for Worse {
    fn clone(&self) -> Self {
        if self.0.fetch_add(1, Ordering::Relaxed) == 2 {
            std::panic::panic_any(PanicsInDrop);
        }
        Self(Arc::clone(&self.0))
    }
}

impl Message for Worse {}

#[test]
fn a_panic_whose_payload_panics_when_it_is_dropped_gets_no_further_than_another() {
    for batch in [false, true] {
        let bus = Bus::<Worse>::new();
        let subscriptions = [(); 3].map(|()| {
            let builder = bus.subscribe("t").unwrap().overflow(Overflow::DropNewest);
            builder.spawn(|_: Delivery<'_, Worse>| {}).unwrap()
        });
        let mut publisher = bus.publisher("t").unwrap();
        let message = Worse(Arc::default());
        let dropped = if batch {
            publisher.publish_batch(&mut vec![message]).unwrap().dropped
        } else {
            publisher.publish(message).unwrap().dropped
        };
        // One clone for the ring, one for the first mailbox; of a list everybody gets it or nobody.
        assert_eq!(dropped, if batch { 3 } else { 1 });
        bus.settle(LONG).unwrap();
        let handled = subscriptions.each_ref().map(|one| one.stats().handled);
        assert_eq!(handled, if batch { [0; 3] } else { [1, 0, 1] });
        assert!(subscriptions.iter().all(|one| one.stats().balances()));
    }
}

/// Cannot be shared out.
#[derive(Clone)]
struct Alone;

impl Message for Alone {
    fn share(&self, _n: usize) -> impl Iterator<Item = Self> {
        if true {
            panic!("not to be shared");
        }
        std::iter::empty()
    }
}

#[test]
fn a_message_whose_share_panics_is_published_and_every_mailbox_loses_it() {
    for policy in [Overflow::DropNewest, Overflow::block()] {
        for batch in [false, true] {
            let bus = Bus::<Alone>::new();
            // Two that are alike read a log.
            let subscriptions = [(); 2].map(|()| {
                let builder = bus.subscribe("t").unwrap().overflow(policy);
                builder.spawn(|_: Delivery<'_, Alone>| {}).unwrap()
            });
            let mut publisher = bus.publisher("t").unwrap();
            let (first, dropped) = if batch {
                let published = publisher.publish_batch(&mut vec![Alone]).unwrap();
                (published.first, published.dropped)
            } else {
                let published = publisher.publish(Alone).unwrap();
                (published.sequence, published.dropped)
            };
            assert_eq!((first, dropped), (Some(Sequence::FIRST), 2), "{policy:?}");
            bus.settle(LONG).unwrap();
            for stats in subscriptions.map(|one| one.stats()) {
                assert_eq!((stats.matched, stats.dropped[&DropReason::Panicked]), (1, 1));
                assert!(stats.balances(), "{stats:?}");
            }
        }
    }
}
