//! Waiting for quiet, shutting down, and letting go of the last handle.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, Executor, Failure, Overflow, PublishError, Wait,
    WeakBus,
};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + LONG;
    while !done() {
        assert!(std::time::Instant::now() < deadline, "it did not come to be");
        std::thread::yield_now();
    }
}

/// Yields to whoever runs it, this often.
async fn wait_a_little(times: u32) {
    let mut left = times;
    std::future::poll_fn(|task| {
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        task.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn settle_covers_what_an_async_handler_published_before_it_waited() {
    for _ in 0..50 {
        let bus = Bus::<u64>::new();
        let own = bus.downgrade();
        let _first = bus
            .subscribe("first")
            .unwrap()
            .spawn_async(move |_: Delivery<'static, u64>| {
                let bus = own.upgrade();
                async move {
                    bus.unwrap().publish_to("second", 1_u64).unwrap();
                    wait_a_little(3).await;
                }
            })
            .unwrap();
        // Its own thread, so that the first is done long before it.
        let second = bus
            .subscribe("second")
            .unwrap()
            .executor(Executor::thread(Wait::Park))
            .spawn(|_: Delivery<'_, u64>| std::thread::sleep(Duration::from_millis(2)))
            .unwrap();
        bus.publish_to("first", 1_u64).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(second.stats().handled, 1);
    }
}

struct PublishesAndStops(WeakBus<u64>);

impl Actor<u64> for PublishesAndStops {
    async fn handle(&mut self, _: Delivery<'_, u64>, context: &mut Context) -> Result<(), Failure> {
        self.0.upgrade().ok_or("gone")?.publish_to("second", 1_u64)?;
        context.stop();
        Ok(())
    }
}

#[test]
fn settle_covers_what_an_actor_published_that_is_gone_by_now() {
    for _ in 0..50 {
        let bus = Bus::<u64>::new();
        let first = bus
            .subscribe("first")
            .unwrap()
            .spawn_actor(PublishesAndStops(bus.downgrade()))
            .unwrap();
        let second = bus
            .subscribe("second")
            .unwrap()
            .executor(Executor::thread(Wait::Park))
            .spawn(|_: Delivery<'_, u64>| std::thread::sleep(Duration::from_millis(2)))
            .unwrap();
        bus.publish_to("first", 1_u64).unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(second.stats().handled, 1);
        wait_until(|| !first.is_active());
        assert!(first.stats().balances());
    }
}

#[test]
fn settle_that_runs_out_of_time_says_what_is_open() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (open, gate) = mpsc::channel::<()>();
        let held = bus
            .subscribe(pattern)
            .unwrap()
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, u64>| {
                let _ = gate.recv();
            })
            .unwrap();
        let quick = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        for n in 0..3_u64 {
            bus.publish_to("t", n).unwrap();
        }
        // The quick one is done before the time is looked at for the last time.
        wait_until(|| quick.stats().handled == 3);
        let unsettled = bus.settle(SHORT).unwrap_err();
        assert!(!unsettled.inside_handler);
        let open_now: Vec<_> = unsettled.open.iter().map(|(id, ..)| *id).collect();
        assert!(open_now.contains(&held.id()), "{unsettled}");
        let (_, told, count) = unsettled.open.iter().find(|(id, ..)| *id == held.id()).unwrap();
        assert_eq!((told.as_str(), *count), (pattern, 3));
        assert!(unsettled.to_string().contains(&format!("3 for subscription {}", held.id())));
        drop(open);
        bus.settle(LONG).unwrap();
    }
}

#[test]
fn settle_and_shutdown_inside_a_handler_do_not_wait_for_themselves() {
    let bus = Bus::<u64>::new();
    let own = bus.downgrade();
    let (tell, told) = mpsc::channel();
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .spawn(move |_: Delivery<'_, u64>| {
            let bus = own.upgrade().unwrap();
            let settled = bus.settle(LONG);
            tell.send((settled, bus.shutdown(Duration::MAX))).unwrap();
        })
        .unwrap();
    for n in 0..3_u64 {
        bus.publish_to("t", n).unwrap();
    }
    let (settled, report) = told.recv().unwrap();
    assert!(settled.unwrap_err().inside_handler);
    assert_eq!(report.stuck, [subscription.id()]);
    assert!(bus.is_closed());
    // The others are handled all the same.
    wait_until(|| subscription.stats().handled == 3);
}

#[test]
fn shutdown_leaves_a_stuck_handler_behind_and_says_so() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (open, gate) = mpsc::channel::<()>();
        let (enter, entered) = mpsc::channel();
        let stuck = bus
            .subscribe(pattern)
            .unwrap()
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, u64>| {
                let _ = enter.send(());
                let _ = gate.recv();
            })
            .unwrap();
        let good = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        for n in 0..5_u64 {
            bus.publish_to("t", n).unwrap();
        }
        entered.recv().unwrap();
        let report = bus.shutdown(SHORT);
        assert_eq!(report.stuck, [stuck.id()]);
        assert!(!report.is_clean());
        assert!(report.to_string().contains("1 subscriptions stuck"), "{report}");
        assert!(bus.publish_to("t", 9_u64).unwrap_err().is_closed());
        assert_eq!(good.stats().handled, 5);
        drop(open);
        wait_until(|| stuck.stats().handled + stuck.stats().total_dropped() == 5);
        let stats = stuck.stats();
        assert!(stats.balances(), "{stats:?}");
        assert_eq!((stats.handled, stats.dropped[&DropReason::Shutdown]), (1, 4));
    }
}

#[test]
fn dropping_the_last_handle_closes_and_a_weak_one_does_not_keep_it_open() {
    let bus = Bus::<u64>::new();
    let weak = bus.downgrade();
    let seen = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&seen);
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .spawn(move |_: Delivery<'_, u64>| {
            sum.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    let mut tap = bus.tap("**").unwrap();
    let mut publisher = weak.upgrade().unwrap().publisher("t").unwrap();
    drop(bus);
    assert!(weak.upgrade().is_some(), "a publisher keeps it open");
    for n in 0..100_u64 {
        publisher.publish(n).unwrap();
    }
    drop(publisher);
    assert!(weak.upgrade().is_none());
    // The actor handles what it has, then it ends.
    wait_until(|| !subscription.is_active());
    assert_eq!(seen.load(Ordering::Relaxed), 100);
    assert!(subscription.stats().balances(), "{:?}", subscription.stats());
    for _ in 0..100 {
        assert!(tap.next_blocking().is_some());
    }
    assert!(tap.next_blocking().is_none());
}

#[test]
fn a_worker_may_drop_the_last_handle_of_its_own_bus_and_pool() {
    let workers = ringpost::Workers::new(1);
    let bus = Bus::<u64>::builder().workers(workers).build();
    let last = Arc::new(Mutex::new(Some(bus.clone())));
    let (tell, told) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .spawn(move |_: Delivery<'_, u64>| {
            let _ = gate.recv();
            drop(last.lock().unwrap().take());
            tell.send(()).unwrap();
        })
        .unwrap();
    bus.publish_to("t", 1_u64).unwrap();
    bus.publish_to("t", 2_u64).unwrap();
    drop(bus);
    open.send(()).unwrap();
    open.send(()).unwrap();
    told.recv().unwrap();
    told.recv().unwrap();
    wait_until(|| !subscription.is_active());
    assert_eq!(subscription.stats().handled, 2);
}

#[test]
fn a_detached_subscription_lives_as_long_as_its_bus() {
    let bus = Bus::<u64>::new();
    let seen = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&seen);
    bus.subscribe("t")
        .unwrap()
        .spawn(move |_: Delivery<'_, u64>| {
            sum.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap()
        .detach();
    bus.publish_to("t", 1_u64).unwrap();
    bus.settle(LONG).unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    drop(bus);
    // Its closure goes with the run loop.
    wait_until(|| Arc::strong_count(&seen) == 1);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn publish_async_waits_for_room_and_gives_up_in_time() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (open, gate) = mpsc::channel::<()>();
        let waits = Arc::new(AtomicBool::new(true));
        let wait = Arc::clone(&waits);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(2)
            .overflow(Overflow::Block { timeout: SHORT })
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, u64>| {
                if wait.load(Ordering::Relaxed) {
                    let _ = gate.recv();
                }
            })
            .unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        let mut out = 0;
        let back = loop {
            match block_on(publisher.publish_async(out)) {
                Ok(_) => out += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(back, PublishError::Full(n) if n == out), "{pattern}: {back:?}");
        waits.store(false, Ordering::Relaxed);
        drop(open);
        block_on(async {
            for n in 0..500_u64 {
                // As long as the other thread needs: each try waits for its own timeout.
                while publisher.publish_async(n).await.is_err() {}
            }
            bus.settle_async(LONG).await.unwrap();
        });
        assert_eq!(subscription.stats().handled, out + 500);
    }
}

#[test]
fn an_async_handler_does_not_wait_for_its_own_mailbox() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let own = bus.downgrade();
        let (tell, told) = mpsc::channel();
        let _subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(1)
            .overflow(Overflow::Block { timeout: Duration::MAX })
            .spawn_async(move |d: Delivery<'static, u64>| {
                let (bus, tell) = (own.upgrade(), tell.clone());
                async move {
                    if *d != 0 {
                        return;
                    }
                    let mut publisher = bus.unwrap().publisher("t").unwrap();
                    for n in 1..10_u64 {
                        if let Err(error) = publisher.publish_async(n).await {
                            tell.send(error.is_full()).unwrap();
                            return;
                        }
                    }
                }
            })
            .unwrap();
        bus.publish_to("t", 0_u64).unwrap();
        assert_eq!(told.recv_timeout(LONG), Ok(true), "{pattern}");
        bus.settle(LONG).unwrap();
    }
}
