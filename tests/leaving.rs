//! A subscriber that goes while publishers count on it: they hear of it before anything is let go,
//! and wait for nobody who has been cancelled.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, Executor, ExecutorError, Failure, Message, Overflow,
    PublishError, Run, Spawn, Subscription, Wait, WeakBus,
};

const LONG: Duration = Duration::from_secs(120);
const BLOCK: Overflow = Overflow::Block { timeout: LONG };

/// What a publish to `t` in the middle of something came to: the subscriber it was refused for.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Option<u64>>>>);

impl Told {
    fn ask<M: Message>(&self, bus: &WeakBus<M>, message: M) {
        let told = match bus.upgrade().unwrap().try_publish_to("t", message) {
            Err(PublishError::Stopped { subscriber, .. }) => Some(subscriber),
            Err(other) => panic!("neither published nor stopped: {other:?}"),
            Ok(_) => None,
        };
        self.0.lock().unwrap().push(told);
    }
}

/// Cannot start, and publishes when it is dropped.
struct Refuses {
    bus: WeakBus<u64>,
    told: Told,
}

impl Actor<u64> for Refuses {
    async fn on_start(&mut self, _: &mut Context) -> Result<(), Failure> {
        Err("no".into())
    }

    async fn handle(&mut self, _: Delivery<'_, u64>, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Drop for Refuses {
    fn drop(&mut self) {
        self.told.ask(&self.bus, 1);
    }
}

/// Subscriptions that share a log with whoever comes next.
fn alike(bus: &Bus<u64>, pattern: &str) -> Vec<Subscription<u64>> {
    let one = || {
        let builder = bus.subscribe(pattern).unwrap().overflow(BLOCK);
        builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
    };
    (0..2).map(|_| one()).collect()
}

#[test]
fn publishers_hear_of_a_block_subscriber_that_cannot_start_before_it_is_dropped() {
    for (pattern, others) in [("**", false), ("t", false), ("t", true)] {
        let bus = Bus::<u64>::new();
        let others = if others { alike(&bus, pattern) } else { Vec::new() };
        let told = Told::default();
        let actor = Refuses { bus: bus.downgrade(), told: told.clone() };
        let failed = bus.subscribe(pattern).unwrap().overflow(BLOCK).spawn_actor(actor).unwrap();
        while told.0.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(*told.0.lock().unwrap(), [Some(failed.id())], "{pattern}");
        assert!(failed.stats().balances(), "{:?}", failed.stats());
        assert_eq!(bus.stats().published, 0, "{pattern}: {others:?}");
    }
}

type Act = (WeakBus<Parting>, Told);

/// Publishes when it is dropped; its copies do not.
#[derive(Default)]
struct Parting {
    act: Option<Act>,
}

impl Clone for Parting {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        if let Some((bus, told)) = self.act.take() {
            told.ask(&bus, Self::default());
        }
    }
}

impl Message for Parting {}

/// Keeps what it is given, for a test to drop.
#[derive(Debug)]
struct Keeps(mpsc::SyncSender<Run>);

impl Spawn for Keeps {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.send(run).unwrap();
        Ok(())
    }
}

struct Takes;

impl Actor<Parting> for Takes {
    async fn handle(&mut self, _: Delivery<'_, Parting>, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn publishers_hear_of_a_run_loop_that_was_dropped_before_its_messages_are() {
    for closure in [true, false] {
        let bus = Bus::<Parting>::new();
        let (keep, kept) = mpsc::sync_channel(1);
        let builder = bus.subscribe("t").unwrap().overflow(BLOCK);
        let builder = builder.executor(Executor::custom(Keeps(keep)));
        let subscription = if closure {
            builder.spawn(|_: Delivery<'_, Parting>| {}).unwrap()
        } else {
            builder.spawn_actor(Takes).unwrap()
        };
        let told = Told::default();
        // A copy goes to the ring, and the message itself to the mailbox.
        let act = Some((bus.downgrade(), told.clone()));
        bus.publish_to("t", Parting { act }).unwrap();
        drop(kept.recv().unwrap());
        assert_eq!(*told.0.lock().unwrap(), [Some(subscription.id())], "closure: {closure}");
        let stats = subscription.stats();
        assert_eq!((stats.matched, stats.total_dropped()), (1, 1), "{stats:?}");
        assert!(stats.balances(), "{stats:?}");
    }
}

#[test]
fn publishers_do_not_wait_for_a_ring_reader_that_was_cancelled_in_the_middle_of_a_message() {
    let bus = Bus::<u64>::builder().publish_timeout(Duration::MAX).build();
    let (open, gate) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let held = bus
        .subscribe("**")
        .unwrap()
        .mailbox(64)
        .overflow(Overflow::Block { timeout: Duration::MAX })
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, u64>| {
            enter.send(()).unwrap();
            let _ = gate.recv();
        })
        .unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    publisher.publish(0_u64).unwrap();
    entered.recv().unwrap();
    let mut published = 1_u64;
    while publisher.try_publish(published).is_ok() {
        published += 1;
    }
    assert_eq!(published, 64);
    let waiting = std::thread::spawn(move || {
        // More than the ring holds: it is overrun in the middle of its message.
        for n in 0..10_000_u64 {
            publisher.publish(n).unwrap();
        }
    });
    held.cancel();
    waiting.join().unwrap();
    open.send(()).unwrap();
    bus.settle(LONG).unwrap();
    while held.stats().queued + held.stats().in_flight > 0 {
        std::thread::yield_now();
    }
    let stats = held.stats();
    assert!(stats.balances(), "{stats:?}");
    assert_eq!(stats.handled, 1, "{stats:?}");
    assert_eq!(stats.dropped.keys().collect::<Vec<_>>(), [&DropReason::Cancelled], "{stats:?}");
}
