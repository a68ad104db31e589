//! Tests of when a subscription's run loop is queued for the workers.
#![forbid(unsafe_code)]

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Bus, Delivery, Executor, Workers};

/// Workers that do nothing before the sender is dropped.
fn held() -> (Workers, Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let hook = move |_| assert!(wait.lock().unwrap().recv().is_err());
    (Workers::builder().threads(1).on_thread_start(hook).build(), go)
}

#[test]
fn an_idle_closure_is_left_alone_until_its_first_message() {
    let (workers, go) = held();
    let bus = Bus::<u64>::new();
    let (tell, told) = channel();
    let builder = bus.subscribe("t").unwrap().executor(Executor::pool(workers.clone()));
    let _kept = builder.spawn(move |d: Delivery<'_, u64>| tell.send(*d).unwrap()).unwrap();
    assert!(!workers.has_ready());
    bus.publish_to("t", 7_u64).unwrap();
    assert!(workers.has_ready());
    drop(go);
    assert_eq!(told.recv(), Ok(7));
}

#[test]
fn a_closure_that_returns_a_future_is_queued_at_once() {
    let (workers, go) = held();
    let bus = Bus::<u64>::new();
    let builder = bus.subscribe("t").unwrap().executor(Executor::pool(workers.clone()));
    let _kept = builder.spawn_async(async |_: Delivery<'static, u64>| ()).unwrap();
    assert!(workers.has_ready());
    drop(go);
}

#[test]
fn a_closure_that_never_ran_goes_when_it_is_cancelled_and_when_its_bus_ends() {
    for cancels in [true, false] {
        let (workers, go) = held();
        let bus = Bus::<u64>::new();
        let kept = Arc::new(());
        let own = Arc::clone(&kept);
        let builder = bus.subscribe("t").unwrap().executor(Executor::pool(workers.clone()));
        let subscription = builder
            .spawn(move |_: Delivery<'_, u64>| {
                let _ = &own;
            })
            .unwrap();
        assert!(!workers.has_ready());
        if cancels {
            subscription.cancel();
        } else {
            subscription.detach();
            drop(bus);
        }
        assert!(workers.has_ready());
        drop(go);
        let since = Instant::now();
        while Arc::strong_count(&kept) > 1 {
            assert!(since.elapsed() < Duration::from_secs(60), "it is still there");
            thread::yield_now();
        }
    }
}
