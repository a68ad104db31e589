//! Actors as tokio tasks.
#![cfg(feature = "tokio")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{Bus, Delivery, Executor, ExecutorError, Overflow, PublishError, SubscribeError};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn without_a_runtime_there_is_no_tokio_executor() {
    let bus = Bus::<u64>::new();
    let refused =
        bus.subscribe("t").unwrap().executor(Executor::tokio()).spawn(|_: Delivery<'_, u64>| {});
    assert!(matches!(refused, Err(SubscribeError::Executor(ExecutorError::NoRuntime))));
    // And nothing is left of it.
    assert!(bus.stats().subscriptions.is_empty());
    assert_eq!(bus.publish_to("t", 1_u64).unwrap().delivered, 0);
    bus.settle(LONG).unwrap();
}

async fn deliver_to_both(bus: Bus<u64>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, other) = (Arc::clone(&seen), Arc::clone(&seen));
    let sync = bus
        .subscribe("t")
        .unwrap()
        .executor(Executor::tokio())
        .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
        .unwrap();
    // The default for async handlers, where a runtime is current; its timers work.
    let waiting = bus
        .subscribe("**")
        .unwrap()
        .spawn_async(move |d: Delivery<'static, u64>| {
            let sink = Arc::clone(&other);
            async move {
                tokio::time::sleep(Duration::from_micros(10)).await;
                sink.lock().unwrap().push(*d);
            }
        })
        .unwrap();
    // A sync handler on the workers may use the runtime that was current, too.
    let entered = bus
        .subscribe("t")
        .unwrap()
        .executor(Executor::workers())
        .spawn(|_: Delivery<'_, u64>| drop(tokio::runtime::Handle::current()))
        .unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..100_u64 {
        publisher.publish_async(n).await.unwrap();
    }
    bus.settle_async(LONG).await.unwrap();
    for stats in [sync.stats(), waiting.stats(), entered.stats()] {
        assert_eq!((stats.handled, stats.failed), (100, 0), "{stats:?}");
        assert!(stats.balances());
    }
    assert_eq!(seen.lock().unwrap().iter().sum::<u64>(), 2 * 4950);
}

#[tokio::test]
async fn sync_and_async_handlers_run_on_a_runtime_of_one_thread() {
    deliver_to_both(Bus::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_and_async_handlers_run_on_a_runtime_of_several_threads() {
    deliver_to_both(Bus::new()).await;
}

#[tokio::test]
async fn a_publish_that_waits_lets_the_consumer_on_its_own_thread_run() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(2)
            .overflow(Overflow::Block { timeout: LONG })
            .spawn_async(|_: Delivery<'static, u64>| async { tokio::task::yield_now().await })
            .unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..200_u64 {
            publisher.publish_async(n).await.unwrap();
        }
        bus.settle_async(LONG).await.unwrap();
        assert_eq!(subscription.stats().handled, 200, "{pattern}");
    }
}

#[test]
fn a_runtime_that_ends_stops_its_actors_and_publishers_hear_of_it() {
    for pattern in ["t", "**"] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let bus = Bus::<u64>::new();
        let executor = Executor::tokio_handle(runtime.handle().clone());
        let lossy = bus
            .subscribe(pattern)
            .unwrap()
            .executor(executor.clone())
            .spawn(|_: Delivery<'_, u64>| {})
            .unwrap();
        let strict = bus
            .subscribe(pattern)
            .unwrap()
            .executor(executor)
            .overflow(Overflow::block())
            .spawn(|_: Delivery<'_, u64>| {})
            .unwrap();
        bus.publish_to("t", 1_u64).unwrap();
        bus.settle(LONG).unwrap();
        drop(runtime);
        assert!(!lossy.is_active() && !strict.is_active());
        match bus.publish_to("t", 2_u64) {
            Err(PublishError::Stopped { subscriber, .. }) => assert_eq!(subscriber, strict.id()),
            other => panic!("{pattern}: {other:?}"),
        }
        strict.cancel();
        assert_eq!(bus.publish_to("t", 3_u64).unwrap().delivered, 0);
        bus.settle(LONG).unwrap();
        assert!(lossy.stats().balances() && strict.stats().balances());
    }
}
