//! Tasks on real threads. Every wait is for a condition, under a watchdog.
#![forbid(unsafe_code)]

mod ends;

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, Weak, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::crew::Crew;
use super::seat::on_worker;
use super::task::TaskRef;
use super::{Lane, Workers, beating, yield_now};
use crate::block_on::block_on;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use crate::sync::thread;

const WATCHDOG: Duration = Duration::from_secs(60);

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WATCHDOG, "waited too long: {what}");
        thread::yield_now();
    }
}

#[track_caller]
fn until_all_stopped(tasks: &[TaskRef]) {
    until("tasks end", || tasks.iter().all(TaskRef::is_stopped));
}

/// Sets a flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Dropped {
    fn new() -> (Self, impl Fn() -> bool) {
        let flag = Arc::new(AtomicBool::new(false));
        (Self(Arc::clone(&flag)), move || flag.load(Acquire))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

/// Gone once the handle is dropped and all threads have ended.
fn crew_of(workers: &Workers) -> Weak<Crew> {
    Arc::downgrade(&workers.handle.crew)
}

fn is_asleep(workers: &Workers) -> bool {
    let stats = workers.stats();
    stats.threads > 0
        && stats.parked == stats.threads
        && workers.handle.crew.ready.lot.spare_rests()
}

#[test]
fn no_wake_is_lost_and_no_task_is_polled_by_two_at_once() {
    const TASKS: usize = 32;
    const WAKERS: u64 = 4;
    const WAKES: u64 = 2_000;
    let workers = Workers::new(3);
    let polls = Arc::new(AtomicU64::new(0));
    let sent: Vec<_> = (0..TASKS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let tasks: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(i, sent)| {
            let (sent, polls) = (Arc::clone(sent), Arc::clone(&polls));
            let inside = AtomicBool::new(false);
            let lane = if i % 2 == 0 { Lane::Urgent } else { Lane::Normal };
            workers.spawn_ref(
                lane,
                poll_fn(move |_| {
                    assert!(!inside.swap(true, Relaxed), "two polls at once");
                    polls.fetch_add(1, Relaxed);
                    let all = sent.load(Relaxed) == WAKERS * WAKES;
                    inside.store(false, Relaxed);
                    if all { Poll::Ready(()) } else { Poll::Pending }
                }),
            )
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..WAKERS {
            scope.spawn(|| {
                for _ in 0..WAKES {
                    for (sent, task) in sent.iter().zip(&tasks) {
                        sent.fetch_add(1, Relaxed);
                        task.wake();
                    }
                }
            });
        }
    });
    // The last wake of each task comes after all its sends: if it is lost, the task never ends.
    until_all_stopped(&tasks);
    assert_eq!(workers.stats().panicked, 0);
    let wakes = TASKS as u64 * WAKERS * WAKES;
    assert!(polls.load(Relaxed) <= wakes + TASKS as u64, "polled without a reason");
}

#[test]
fn a_task_that_wakes_itself_is_polled_again() {
    let workers = Workers::new(1);
    let polls = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let polls = Arc::clone(&polls);
            workers.spawn_ref(Lane::Normal, async move {
                for _ in 0..1_000 {
                    polls.fetch_add(1, Relaxed);
                    beating(|beat| beat.beat());
                    yield_now().await;
                }
            })
        })
        .collect();
    until_all_stopped(&tasks);
    assert_eq!(polls.load(Relaxed), 3_000);
}

#[test]
fn a_wake_after_the_end_does_nothing() {
    let workers = Workers::new(1);
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let polls = Arc::new(AtomicU64::new(0));
    let task = {
        let (waker, polls) = (Arc::clone(&waker), Arc::clone(&polls));
        workers.spawn_ref(
            Lane::Normal,
            poll_fn(move |cx| {
                *waker.lock().unwrap() = Some(cx.waker().clone());
                polls.fetch_add(1, Relaxed);
                Poll::Ready(())
            }),
        )
    };
    until_all_stopped(std::slice::from_ref(&task));
    task.wake();
    waker.lock().unwrap().take().unwrap().wake();
    task.stop();
    // First in, first out on one worker: whatever those wakes had queued would run before this.
    until_all_stopped(&[workers.spawn_ref(Lane::Normal, async {})]);
    assert_eq!(polls.load(Relaxed), 1);
}

#[test]
fn a_panic_ends_its_task_and_not_the_worker() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("on purpose, in a drop");
        }
    }
    let workers = Workers::new(1);
    let (dropped, is_dropped) = Dropped::new();
    let bad = workers.spawn_ref(Lane::Normal, async move {
        let _dropped = dropped;
        yield_now().await;
        panic!("on purpose, in a poll");
    });
    let payload = workers.spawn_ref(Lane::Normal, async { std::panic::panic_any(PanicsInDrop) });
    let bomb = PanicsInDrop;
    let drops = workers.spawn_ref(Lane::Normal, async move {
        let _bomb = &bomb;
        pending::<()>().await;
    });
    drops.stop();
    let good = workers.spawn_ref(Lane::Normal, yield_now());
    until_all_stopped(&[bad, payload, drops, good]);
    until("the future of a panicked task is dropped", is_dropped);
    until("all are counted", || workers.stats().panicked == 3);
    // A worker that died would stay on the roster and never sleep.
    until("all sleep", || is_asleep(&workers));
}

#[test]
fn busy_urgent_tasks_do_not_starve_a_normal_one() {
    let workers = Workers::new(1);
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks: Vec<_> = (0..4)
        .map(|_| {
            let done = Arc::clone(&done);
            workers.spawn_ref(Lane::Urgent, async move {
                while !done.load(Relaxed) {
                    beating(|beat| beat.beat());
                    yield_now().await;
                }
            })
        })
        .collect();
    tasks.push(workers.spawn_ref(Lane::Normal, async move {
        for _ in 0..100 {
            yield_now().await;
        }
        done.store(true, Relaxed);
    }));
    until_all_stopped(&tasks);
}

#[test]
fn a_task_that_blocks_the_only_worker_does_not_stop_the_others() {
    let workers = Workers::new(1);
    let (begin, begun) = mpsc::channel();
    let (send, receive) = mpsc::channel();
    let blocked = workers.spawn_ref(Lane::Normal, async move {
        begin.send(()).unwrap();
        receive.recv().unwrap();
    });
    begun.recv_timeout(WATCHDOG).unwrap();
    let (tell, told) = mpsc::channel();
    let other = {
        let workers = workers.clone();
        workers.clone().spawn_ref(Lane::Normal, async move {
            tell.send(workers.stats()).unwrap();
        })
    };
    let stats = told.recv_timeout(WATCHDOG).expect("nobody took the worker's place");
    assert_eq!((stats.threads, stats.stuck, stats.replaced), (2, 1, 1));
    assert!(!blocked.is_stopped());
    send.send(()).unwrap();
    until_all_stopped(&[blocked, other]);
    until("no longer stuck", || workers.stats().stuck == 0);
}

#[test]
fn several_stuck_workers_are_all_replaced_and_the_surplus_ends() {
    const STUCK: usize = 5;
    let mut builder = Workers::builder().threads(2);
    builder.settings.surplus_patience = Duration::from_millis(1);
    let workers = builder.build();
    let gate = Arc::new(Barrier::new(STUCK + 1));
    // All must be inside at once, on as many threads.
    let mut tasks: Vec<_> = (0..STUCK)
        .map(|_| {
            let gate = Arc::clone(&gate);
            workers.spawn_ref(Lane::Normal, async move {
                gate.wait();
            })
        })
        .collect();
    let (tell, told) = mpsc::channel();
    tasks.push(workers.spawn_ref(Lane::Normal, async move { tell.send(()).unwrap() }));
    told.recv_timeout(WATCHDOG).expect("not enough replacements");
    gate.wait();
    until_all_stopped(&tasks);
    until("the surplus ends", || workers.stats().threads == 2);
    // The two that are left, and their spare, work as before.
    let again = workers.spawn_ref(Lane::Normal, yield_now());
    until_all_stopped(&[again]);
}

#[test]
fn a_pool_without_work_sleeps() {
    let workers = Workers::new(2);
    let busy: Vec<_> = (0..8)
        .map(|_| {
            workers.spawn_ref(Lane::Normal, async {
                for _ in 0..100 {
                    yield_now().await;
                }
            })
        })
        .collect();
    until_all_stopped(&busy);
    until("all sleep", || is_asleep(&workers));
    let before = workers.stats();
    // Time passes: as long as it takes another pool's spare to tick and to replace a worker.
    a_task_that_blocks_the_only_worker_does_not_stop_the_others();
    assert_eq!(workers.stats(), before, "no search, no tick");
    // And it wakes up.
    until_all_stopped(&[workers.spawn_ref(Lane::Normal, yield_now())]);
}

#[test]
fn nothing_runs_before_the_first_spawn() {
    let workers = Workers::new(0);
    assert_eq!(workers.stats(), super::WorkersStats::default());
    until_all_stopped(&[workers.spawn_ref(Lane::Normal, async {})]);
    assert_eq!(workers.stats().threads, 1);
}

#[test]
fn threads_have_names_and_numbers_and_know_that_they_are_workers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let seen = Arc::clone(&seen);
        move |number| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            seen.lock().unwrap().push((number, name));
            panic!("on purpose, in the hook");
        }
    };
    let workers = Workers::builder().threads(2).on_thread_start(hook).build();
    let (tell, told) = mpsc::channel();
    drop(workers.spawn_ref(Lane::Normal, async move { tell.send(on_worker()).unwrap() }));
    assert!(told.recv_timeout(WATCHDOG).unwrap());
    assert!(!on_worker());
    // Two workers and the spare.
    until("all hooks ran", || seen.lock().unwrap().len() == 3);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    let expected: Vec<_> = (0..3).map(|n| (n, format!("ringpost-worker-{n}"))).collect();
    assert_eq!(seen, expected);
    until("hook panics are counted", || workers.stats().panicked == 3);
}

#[test]
fn the_global_pool_is_one() {
    let (first, second) = (Workers::global(), Workers::global());
    assert!(Arc::ptr_eq(&first.handle, &second.handle));
    until_all_stopped(&[first.spawn_ref(Lane::Urgent, yield_now())]);
    assert!(second.stats().threads >= 1);
}

#[test]
fn block_on_sees_what_its_wakers_wrote() {
    const ROUNDS: u64 = 2_000;
    let workers = Workers::new(2);
    let round = Arc::new(AtomicU64::new(0));
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let pong = {
        let (round, waker) = (Arc::clone(&round), Arc::clone(&waker));
        workers.spawn_ref(Lane::Normal, async move {
            while round.load(Relaxed) < ROUNDS {
                beating(|beat| beat.beat());
                if round.load(Relaxed) % 2 == 1 {
                    round.fetch_add(1, Relaxed);
                    if let Some(waker) = waker.lock().unwrap().take() {
                        waker.wake();
                    }
                }
                yield_now().await;
            }
        })
    };
    let answer = block_on(
        async {
            loop {
                poll_fn(|cx| {
                    *waker.lock().unwrap() = Some(cx.waker().clone());
                    if round.load(Relaxed).is_multiple_of(2) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                if round.load(Relaxed) >= ROUNDS {
                    return "done";
                }
                round.fetch_add(1, Relaxed);
            }
        },
        None,
    );
    assert_eq!(answer, Some("done"));
    until_all_stopped(&[pong]);
}

#[test]
fn block_on_is_not_fooled_by_a_token_of_others() {
    // The future parks on its own and leaves a token behind; it must be polled for wakes only.
    thread::current().unpark();
    let mut polls = 0;
    let (send, receive) = mpsc::channel::<Waker>();
    let helper = thread::spawn(move || receive.recv().unwrap().wake());
    block_on(
        poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                send.send(cx.waker().clone()).unwrap();
                return Poll::Pending;
            }
            Poll::Ready(())
        }),
        None,
    );
    assert_eq!(polls, 2);
    helper.join().unwrap();
    let panicked =
        catch_unwind(AssertUnwindSafe(|| block_on(async { panic!("on purpose") }, None)));
    assert!(panicked.is_err(), "a panic goes to the caller");
}
