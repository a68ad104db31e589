//! The state word's protocol: wakers, workers, stoppers; and `block_on`.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::sync::Arc as StdArc;
use std::task::{Poll, Waker};

use crate::block_on::block_on;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering, Ordering::*, fence};
use crate::sync::{Arc, Mutex, UnsafeCell, thread};
use crate::worker::park::{Rose, Sleeper};
use crate::worker::queue::{Lane, Turn};
use crate::worker::ready::Ready;
use crate::worker::task::{self, After, TaskRef, yield_now};

/// A worker's day, until the pool ends.
fn work(ready: &Ready) {
    let sleeper = Sleeper::new();
    let mut turn = Turn::default();
    let mut search = false;
    loop {
        if let Some(task) = ready.lanes.pop(&mut turn) {
            if std::mem::take(&mut search) {
                ready.found();
            }
            run(task);
            continue;
        }
        match ready.lot.park(&sleeper, search, None, || !ready.lanes.is_empty()) {
            Rose::Searching => search = true,
            Rose::Ended => return,
            Rose::Overslept => panic!("it had all the time in the world"),
        }
    }
}

fn run(mut task: StdArc<dyn task::Runnable>) {
    while let After::Ready(again) = task.run() {
        task = again;
    }
}

/// What a future keeps to itself. Loom looks for two that touch it at once, and for one that
/// does not see what the last one left; it counts its drops.
struct Own {
    cell: UnsafeCell<()>,
    drops: Arc<AtomicUsize>,
}

impl Own {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        (Self { cell: UnsafeCell::new(()), drops: drops.clone() }, drops)
    }

    fn touch(&mut self) {
        self.cell.with_mut(|_| ());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.touch();
        self.drops.fetch_add(1, Relaxed);
    }
}

/// A pool with its handle, a worker thread, and what its one task's future counts.
struct Pool {
    ready: StdArc<Ready>,
    worker: thread::JoinHandle<()>,
    drops: Arc<AtomicUsize>,
}

impl Pool {
    fn new() -> (Self, Own) {
        let ready = Ready::new();
        ready.lot.call();
        let worker = {
            let ready = ready.clone();
            thread::spawn(move || work(&ready))
        };
        let (own, drops) = Own::new();
        (Self { ready, worker, drops }, own)
    }

    /// Drops the handle and waits for the worker, which must find the task's future gone.
    fn end(self) {
        self.ready.leave();
        self.worker.join().unwrap();
        assert_eq!(self.drops.load(Relaxed), 1, "the future is dropped once");
        assert_eq!(self.ready.panics(), 0);
        assert!(self.ready.lanes.is_empty());
    }
}

/// A wake against the end of a poll, and the end of the pool. The flag is written Relaxed: the
/// wake carries it. Accepted: the flag is seen in the poll under way, or in another one.
#[test]
fn a_wake_at_the_end_of_a_poll_is_not_lost() {
    loom::model(|| {
        let (pool, mut own) = Pool::new();
        let flag = Arc::new(AtomicU32::new(0));
        let task = {
            let flag = flag.clone();
            task::spawn_ref(
                &pool.ready,
                Lane::Normal,
                poll_fn(move |_| {
                    own.touch();
                    if flag.load(Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
                }),
            )
        };
        flag.store(1, Relaxed);
        task.wake();
        pool.end();
        assert!(task.is_stopped());
    });
}

/// A task that sleeps from the beginning, against whoever brings what it waits for. Accepted: it
/// left its waker in time and is woken, or finds something there and is queued; it is polled once.
#[test]
fn a_task_that_begins_asleep_is_polled_when_there_is_something() {
    loom::model(|| {
        let (pool, mut own) = Pool::new();
        // Whether there is something, and the waker of who waits for it.
        let rest = Arc::new(Mutex::new((false, None::<Waker>)));
        let maker = {
            let rest = rest.clone();
            thread::spawn(move || {
                let waker = {
                    let mut rest = rest.lock().unwrap();
                    rest.0 = true;
                    rest.1.take()
                };
                waker.into_iter().for_each(Waker::wake);
            })
        };
        let found = rest.clone();
        let waits = poll_fn(move |_| {
            own.touch();
            assert!(found.lock().unwrap().0, "it was polled for nothing");
            Poll::Ready(())
        });
        task::spawn(&pool.ready, Lane::Normal, Box::pin(waits), |waker| {
            let mut rest = rest.lock().unwrap();
            if rest.0 {
                return Some(waker);
            }
            rest.1 = Some(waker);
            None
        });
        maker.join().unwrap();
        pool.end();
    });
}

/// A stop against a task that is queued, runs, wakes itself and waits. Accepted: none, one or
/// two polls; the future is dropped once, by the stopper or by the worker; the worker goes home.
#[test]
fn a_stop_at_any_moment_drops_the_future_once() {
    loom::model(|| {
        let (pool, mut own) = Pool::new();
        let task = task::spawn_ref(&pool.ready, Lane::Normal, async move {
            own.touch();
            yield_now().await;
            own.touch();
            std::future::pending::<()>().await;
        });
        task.stop();
        assert!(task.is_stopped());
        pool.end();
    });
}

/// A stop against a wake of a task that waits. Accepted: as above.
#[test]
fn a_stop_against_a_wake_drops_the_future_once() {
    loom::model(|| {
        let ready = Ready::new();
        ready.lot.call();
        let (mut own, drops) = Own::new();
        let task = task::spawn_ref(&ready, Lane::Normal, async move {
            own.touch();
            std::future::pending::<()>().await;
        });
        drain(&ready);
        let stopper = {
            let task = task.clone();
            thread::spawn(move || task.stop())
        };
        task.wake();
        drain(&ready);
        stopper.join().unwrap();
        drain(&ready);
        assert_eq!(drops.load(Relaxed), 1);
        assert!(ready.lanes.is_empty(), "no queued task may outlive the threads");
    });
}

/// The same with a worker, and the end of the pool. Accepted: as above; and nothing is queued
/// when the worker has gone, or nobody would ever take it from there.
#[test]
fn a_stop_against_a_wake_leaves_nothing_queued() {
    loom::model(|| {
        let (pool, mut own) = Pool::new();
        let task = task::spawn_ref(&pool.ready, Lane::Normal, async move {
            own.touch();
            std::future::pending::<()>().await;
        });
        let waker = {
            let task = task.clone();
            thread::spawn(move || task.wake())
        };
        task.stop();
        let ready = pool.ready.clone();
        pool.end();
        waker.join().unwrap();
        assert!(ready.lanes.is_empty());
    });
}

/// A task that was rung goes to another worker by a way that loom does not see. Accepted: the
/// state word alone hands it over.
#[test]
fn a_rung_task_passes_from_worker_to_worker() {
    loom::model(|| {
        let ready = Ready::new();
        ready.lot.call();
        let (mut own, drops) = Own::new();
        let mut polled = false;
        drop(task::spawn_ref(
            &ready,
            Lane::Normal,
            poll_fn(move |cx| {
                // Touched after the wake, so that it is not the wake that hands it over.
                cx.waker().wake_by_ref();
                own.touch();
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            }),
        ));
        let first = ready.lanes.pop(&mut Turn::default()).unwrap();
        let hand = StdArc::new(std::sync::Mutex::new(None));
        let passed = Arc::new(AtomicU32::new(0));
        let worker = {
            let (hand, passed) = (hand.clone(), passed.clone());
            thread::spawn(move || {
                let After::Ready(again) = first.run() else { panic!("it was rung") };
                *hand.try_lock().unwrap() = Some(again);
                passed.store(1, Relaxed);
            })
        };
        while passed.load(Relaxed) == 0 {
            thread::yield_now();
        }
        let again = hand.try_lock().unwrap().take().unwrap();
        assert!(matches!(again.run(), After::Gone));
        worker.join().unwrap();
        assert_eq!((drops.load(Relaxed), ready.panics()), (1, 0));
    });
}

/// A panic in a poll against a wake. Accepted: the task is over, its future dropped, the panic
/// counted and the worker goes home.
#[test]
fn a_panic_in_a_poll_against_a_wake_ends_the_task() {
    loom::model(|| {
        let (pool, mut own) = Pool::new();
        let task = task::spawn_ref(
            &pool.ready,
            Lane::Normal,
            poll_fn(move |_| {
                own.touch();
                // Without the hook's message, which would fill the terminal.
                std::panic::resume_unwind(Box::new("on purpose"))
            }),
        );
        task.wake();
        pool.ready.leave();
        pool.worker.join().unwrap();
        assert!(task.is_stopped());
        assert_eq!((pool.drops.load(Relaxed), pool.ready.panics()), (1, 1));
    });
}

/// A worker without a bed: runs what it finds.
fn drain(ready: &Ready) {
    let mut turn = Turn::default();
    while let Some(task) = ready.lanes.pop(&mut turn) {
        run(task);
    }
}

/// Two wakers and two workers on one task: each of two threads writes, wakes and then runs what
/// it finds. The future's own cell has loom look for two polls at once, or one that does not see
/// what the last one left. Accepted: one to three polls, of which the last has seen both writes.
#[test]
fn two_wakers_and_two_workers_run_one_task_one_at_a_time() {
    loom::model(|| {
        let ready = Ready::new();
        ready.lot.call();
        let written = Arc::new(AtomicU32::new(0));
        let polls = Arc::new(AtomicU32::new(0));
        let task: TaskRef = {
            let (written, polls) = (written.clone(), polls.clone());
            let (mut own, _) = Own::new();
            task::spawn_ref(
                &ready,
                Lane::Normal,
                poll_fn(move |_| {
                    own.touch();
                    polls.fetch_add(1, Relaxed);
                    if written.load(Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
                }),
            )
        };
        let threads = [(); 2].map(|()| {
            let (ready, task, written) = (ready.clone(), task.clone(), written.clone());
            thread::spawn(move || {
                written.fetch_add(1, Relaxed);
                task.wake();
                drain(&ready);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // A pop may have missed a push; a worker would have looked again before its sleep.
        drain(&ready);
        assert!(task.is_stopped(), "a wake was lost");
        assert_eq!(ready.panics(), 0);
        let polls = polls.load(Relaxed);
        assert!((1..=3).contains(&polls), "{polls} polls");
    });
}

/// The state word's protocol told again, with the orderings that hand the future on as
/// parameters: `leave` ends a run, `take` begins one.
fn fields_pass(leave: Ordering, take: Ordering) {
    const IDLE: u32 = 0;
    const READY: u32 = 1;
    const RUNNING: u32 = 2;
    loom::model(move || {
        let state = Arc::new(AtomicU32::new(RUNNING));
        let own = Arc::new(UnsafeCell::new(()));
        let runner = {
            let (state, own) = (state.clone(), own.clone());
            thread::spawn(move || {
                own.with_mut(|_| ());
                if state.compare_exchange(RUNNING, IDLE, leave, Relaxed).is_err() {
                    state.compare_exchange(RUNNING | READY, READY, leave, Relaxed).unwrap();
                }
            })
        };
        // Another worker, whose waker has put the task into its hand.
        state.fetch_or(READY, Release);
        if state.compare_exchange(READY, RUNNING, take, Relaxed).is_ok() {
            own.with_mut(|_| ());
        }
        runner.join().unwrap();
    });
}

/// What a task keeps to itself goes from worker to worker by the state word alone. Accepted: the
/// second worker gets the task after the first has left it, or not at all.
#[test]
fn own_fields_pass_from_worker_to_worker() {
    fields_pass(Release, Acquire);
}

/// A run that ends Relaxed hands nothing on.
#[test]
#[should_panic(expected = "Causality violation")]
fn must_fail_a_run_that_ends_relaxed() {
    fields_pass(Relaxed, Acquire);
}

/// A run that begins Relaxed gets nothing.
#[test]
#[should_panic(expected = "Causality violation")]
fn must_fail_a_run_that_begins_relaxed() {
    fields_pass(Release, Relaxed);
}

/// A wake that finds the task READY already writes nothing new: it must be an RMW all the same,
/// or what the waker wrote may be missed by the poll that comes. Told with the two steps.
fn wake_of_a_ready_task(by_rmw: bool) {
    const READY: u32 = 1;
    const RUNNING: u32 = 2;
    loom::model(move || {
        let state = Arc::new(AtomicU32::new(READY));
        let written = Arc::new(AtomicU32::new(0));
        let waker = {
            let (state, written) = (state.clone(), written.clone());
            thread::spawn(move || {
                written.store(1, Relaxed);
                if by_rmw {
                    state.fetch_or(READY, Release) == READY
                } else {
                    fence(Release);
                    state.load(Relaxed) == READY
                }
            })
        };
        state.compare_exchange(READY, RUNNING, Acquire, Relaxed).unwrap();
        let seen = written.load(Relaxed) == 1;
        let relied_on_this_poll = waker.join().unwrap();
        assert!(seen || !relied_on_this_poll, "the poll missed what was written before the wake");
    });
}

/// Accepted: the poll sees the write, or the waker finds the task RUNNING and has it polled
/// again.
#[test]
fn a_wake_of_a_ready_task_carries_what_was_written() {
    wake_of_a_ready_task(true);
}

/// A waker that only looks.
#[test]
#[should_panic(expected = "the poll missed")]
fn must_fail_a_wake_of_a_ready_task_that_only_looks() {
    wake_of_a_ready_task(false);
}

/// Two wakes against a thread about to park. Accepted: it sees a wake before it parks, or is
/// unparked; the last poll sees what both wakers wrote.
#[test]
fn block_on_sees_what_its_wakers_wrote() {
    loom::model(|| {
        // A thread of its own: a late unpark must not meet it in a join, which loom mistakes.
        let blocked = thread::spawn(|| {
            let written = Arc::new(AtomicU32::new(0));
            let mut wakers = None;
            block_on(
                poll_fn(|cx| {
                    wakers.get_or_insert_with(|| {
                        [(); 2].map(|()| {
                            let (written, own) = (written.clone(), cx.waker().clone());
                            thread::spawn(move || {
                                written.fetch_add(1, Relaxed);
                                own.wake();
                            })
                        })
                    });
                    if written.load(Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
                }),
                None,
            );
            wakers.unwrap()
        });
        let wakers = blocked.join().unwrap();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}
