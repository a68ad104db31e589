//! How tasks are stopped and pools end.
#![forbid(unsafe_code)]

use std::future::{pending, poll_fn};
use std::sync::{Arc, mpsc};
use std::task::Poll;

use super::{Dropped, WATCHDOG, crew_of, is_asleep, until, until_all_stopped};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use crate::worker::{Lane, Workers, yield_now};

#[test]
fn the_last_handle_ends_the_threads_when_the_tasks_are_gone() {
    let workers = Workers::new(2);
    let crew = crew_of(&workers);
    let (finished, is_finished) = Dropped::new();
    let (unreachable, unreachable_dropped) = Dropped::new();
    let (woken, woken_dropped) = Dropped::new();
    let open = Arc::new(AtomicBool::new(false));
    drop(workers.spawn_ref(Lane::Normal, async move {
        for _ in 0..1_000 {
            yield_now().await;
        }
        drop(finished);
    }));
    drop(workers.spawn_ref(Lane::Normal, async move {
        pending::<()>().await;
        drop(unreachable);
    }));
    let waits = {
        let open = Arc::clone(&open);
        workers.spawn_ref(Lane::Normal, async move {
            poll_fn(|_| if open.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }).await;
            drop(woken);
        })
    };
    drop(workers);
    until("a ready task runs to its end", is_finished);
    until("a task that nobody can wake is dropped", unreachable_dropped);
    assert!(!woken_dropped() && crew.strong_count() > 0, "a task that waits is kept");
    open.store(true, Release);
    waits.wake();
    until("a task that waits is run when woken", woken_dropped);
    until("the threads end", || crew.strong_count() == 0);
}

#[test]
fn a_task_may_drop_the_last_handle() {
    let workers = Workers::new(1);
    let crew = crew_of(&workers);
    let handle = workers.clone();
    let task = workers.spawn_ref(Lane::Normal, async move {
        yield_now().await;
        drop(handle);
    });
    drop(workers);
    until_all_stopped(&[task]);
    until("the threads end", || crew.strong_count() == 0);
}

#[test]
fn stop_drops_a_waiting_future_at_once_and_a_running_one_after_its_poll() {
    let workers = Workers::new(1);
    let (waiting, waiting_dropped) = Dropped::new();
    let (begin, begun) = mpsc::channel();
    let waits = workers.spawn_ref(Lane::Normal, async move {
        let _waiting = waiting;
        begin.send(()).unwrap();
        pending::<()>().await;
    });
    begun.recv_timeout(WATCHDOG).unwrap();
    until("it waits", || is_asleep(&workers));
    waits.stop();
    assert!(waits.is_stopped() && waiting_dropped(), "dropped by the stopper");

    let (running, running_dropped) = Dropped::new();
    let (begin, begun) = mpsc::channel();
    let (send, receive) = mpsc::channel();
    let runs = workers.spawn_ref(Lane::Normal, async move {
        let _running = running;
        begin.send(()).unwrap();
        receive.recv().unwrap();
        pending::<()>().await;
    });
    begun.recv_timeout(WATCHDOG).unwrap();
    runs.stop();
    assert!(runs.is_stopped() && !running_dropped(), "its poll is still under way");
    send.send(()).unwrap();
    until("dropped by the worker", running_dropped);
}

#[test]
fn stop_races_with_wakes_and_every_future_is_dropped_once() {
    let workers = Workers::new(2);
    let drops = Arc::new(AtomicUsize::new(0));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    const TASKS: usize = 500;
    for _ in 0..TASKS {
        let counts = Counts(Arc::clone(&drops));
        let task = workers.spawn_ref(Lane::Normal, async move {
            let _counts = counts;
            pending::<()>().await;
        });
        std::thread::scope(|scope| {
            scope.spawn(|| task.wake());
            scope.spawn(|| task.stop());
        });
    }
    until("all futures are dropped", || drops.load(Relaxed) == TASKS);
    let crew = crew_of(&workers);
    drop(workers);
    until("the threads end", || crew.strong_count() == 0);
    assert_eq!(drops.load(Relaxed), TASKS);
}
