//! Measurements, run by hand.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::Instant;

use super::{is_asleep, until, until_all_stopped};
use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::worker::{Lane, Workers, beat, yield_now};

/// What waking costs here; run by hand:
/// `cargo test --release --lib worker -- --ignored --nocapture measure`.
#[test]
#[ignore = "a measurement"]
fn measure_wake_ping_pong_and_yield() {
    fn median(mut times: Vec<u128>) -> u128 {
        times.sort_unstable();
        times[times.len() / 2]
    }
    fn counting(hits: &Arc<AtomicU64>) -> impl Future<Output = ()> + Send + 'static {
        let hits = Arc::clone(hits);
        poll_fn(move |_| {
            hits.fetch_add(1, Release);
            Poll::Pending
        })
    }
    for threads in [1, 2] {
        let workers = Workers::new(threads);
        let hits = Arc::new(AtomicU64::new(0));
        let task = workers.spawn(Lane::Normal, counting(&hits));
        let (mut call, mut arrival) = (Vec::new(), Vec::new());
        for _ in 0..500 {
            until("asleep", || is_asleep(&workers));
            let seen = hits.load(Acquire);
            let began = Instant::now();
            task.wake();
            call.push(began.elapsed().as_nanos());
            while hits.load(Acquire) == seen {
                std::hint::spin_loop();
            }
            arrival.push(began.elapsed().as_nanos());
        }
        println!(
            "{threads} worker(s): wake of an idle pool: call {} ns, until the poll {} ns (medians)",
            median(call),
            median(arrival)
        );
        let (mut call, rounds) = (Vec::new(), 20_000);
        for _ in 0..rounds {
            let seen = hits.load(Acquire);
            let began = Instant::now();
            task.wake();
            while hits.load(Acquire) == seen {
                std::hint::spin_loop();
            }
            call.push(began.elapsed().as_nanos());
        }
        println!(
            "{threads} worker(s): wake of a searching pool until the poll {} ns",
            median(call)
        );
        task.stop();

        const ROUNDS: u64 = 300_000;
        let turn = Arc::new(AtomicU64::new(0));
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        let began = Instant::now();
        let players: Vec<_> = (0..2)
            .map(|me| {
                let (turn, wakers) = (Arc::clone(&turn), Arc::clone(&wakers));
                workers.spawn(
                    Lane::Normal,
                    poll_fn(move |cx| {
                        wakers[me].lock().unwrap().get_or_insert_with(|| cx.waker().clone());
                        if turn.load(Acquire) % 2 == me as u64 {
                            turn.fetch_add(1, Release);
                            if let Some(other) = &*wakers[1 - me].lock().unwrap() {
                                other.wake_by_ref();
                            }
                        }
                        let over = turn.load(Acquire) >= ROUNDS;
                        if over { Poll::Ready(()) } else { Poll::Pending }
                    }),
                )
            })
            .collect();
        until("ping-pong", || turn.load(Acquire) >= ROUNDS);
        let each = began.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("{threads} worker(s): ping-pong between two tasks {each} ns a hop");
        drop(players);
        wakers.iter().for_each(|waker| drop(waker.lock().unwrap().take()));

        for tasks in [1, 2, 16] {
            const YIELDS: u128 = 1_000_000;
            let began = Instant::now();
            let yielders: Vec<_> = (0..tasks)
                .map(|_| {
                    workers.spawn(Lane::Normal, async {
                        for _ in 0..YIELDS {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            until_all_stopped(&yielders);
            let each = began.elapsed().as_nanos() / (YIELDS * tasks);
            println!("{threads} worker(s), {tasks} task(s): {each} ns a yield");
        }
    }
    const BEATS: u128 = 10_000_000;
    let (tell, told) = mpsc::channel();
    drop(Workers::new(1).spawn(Lane::Normal, async move {
        let began = Instant::now();
        (0..BEATS).for_each(|_| beat());
        tell.send(began.elapsed().as_nanos() * 100 / BEATS).unwrap();
    }));
    println!("a beat: {} ns / 100", told.recv().unwrap());
}
