//! The lot's protocol: pushers, searching and parking workers, the spare.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Arc, thread};
use crate::worker::park::{Lot, Rose, Sleeper};
use crate::worker::queue::{Lane, Lanes, Turn};

/// The queue and the lot, with numbers for tasks.
struct Yard {
    lanes: Lanes<u32>,
    lot: Lot,
}

impl Yard {
    /// The spare ticks, so that nothing but the fences under test is in a pusher's way.
    fn new() -> Arc<Self> {
        let yard = Arc::new(Self { lanes: Lanes::new(), lot: Lot::new() });
        yard.lot.call();
        yard
    }

    /// A worker that takes one number and is then busy for ever. `found` is what it does when
    /// it finds the number while it searches. `None`: it slept until the end.
    fn take_one(&self, mut search: bool, found: impl Fn(&Self)) -> Option<u32> {
        let sleeper = Sleeper::new();
        let mut turn = Turn::default();
        loop {
            if let Some(item) = self.lanes.pop(&mut turn) {
                if search {
                    found(self);
                }
                return Some(item);
            }
            match self.lot.park(&sleeper, search, None, || !self.lanes.is_empty()) {
                Rose::Searching => search = true,
                Rose::Ended => return None,
                Rose::Overslept => unreachable!("it had all the time in the world"),
            }
        }
    }

    fn found(&self) {
        self.lot.found(|| !self.lanes.is_empty());
    }
}

fn push_against_parking(search: bool, call: fn(&Lot)) {
    loom::model(move || {
        let yard = Yard::new();
        assert!(!search || yard.lot.try_search(1));
        let worker = {
            let yard = yard.clone();
            thread::spawn(move || yard.take_one(search, Yard::found))
        };
        yard.lanes.push(Lane::Normal, 7);
        call(&yard.lot);
        yard.lot.end();
        assert_eq!(worker.join().unwrap(), Some(7), "a wake was lost");
        let counts = yard.lot.counts();
        assert_eq!((counts.searching, counts.parked), (0, 0));
    });
}

/// One push, one worker on its way to bed. Accepted: the worker sees the push when it looks
/// again, or the pusher sees it parked and wakes it.
#[test]
fn a_push_is_seen_by_a_parking_worker() {
    push_against_parking(false, Lot::call);
}

/// The same with a worker that leaves the search. Accepted besides: the pusher sees it search
/// and does nothing.
#[test]
fn a_push_is_seen_by_a_searching_worker_that_parks() {
    push_against_parking(true, Lot::call);
}

/// Without the fence after the push both parties may miss each other.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_push_without_its_fence() {
    push_against_parking(false, Lot::call_after_fence);
}

/// The same, leaving the search.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_push_without_its_fence_and_a_searcher() {
    push_against_parking(true, Lot::call_after_fence);
}

/// Ends the lot when two of three parties are done: nobody but the third could still do something.
fn end_as_second(yard: &Yard, done: &AtomicUsize) {
    if done.fetch_add(1, Relaxed) == 1 {
        yard.lot.end();
    }
}

fn last_searcher(found: fn(&Yard)) {
    loom::model(move || {
        let yard = Yard::new();
        yard.lanes.push(Lane::Normal, 1);
        assert!(yard.lot.try_search(1));
        let done = Arc::new(AtomicUsize::new(0));
        let workers = [true, false].map(|search| {
            let (yard, done) = (yard.clone(), done.clone());
            thread::spawn(move || {
                let taken = yard.take_one(search, found);
                end_as_second(&yard, &done);
                taken
            })
        });
        yard.lanes.push(Lane::Normal, 2);
        yard.lot.call();
        end_as_second(&yard, &done);
        let mut taken = workers.map(|worker| worker.join().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, [Some(1), Some(2)], "a wake was lost");
    });
}

fn searcher_inside_a_task(leave: fn(&Yard)) {
    loom::model(move || {
        let yard = Yard::new();
        assert!(yard.lot.try_search(1));
        let worker = {
            let yard = yard.clone();
            thread::spawn(move || yard.take_one(false, Yard::found))
        };
        let searcher = {
            let yard = yard.clone();
            thread::spawn(move || leave(&yard))
        };
        yard.lanes.push(Lane::Normal, 7);
        yard.lot.call();
        searcher.join().unwrap();
        yard.lot.end();
        assert_eq!(worker.join().unwrap(), Some(7), "a wake was lost");
    });
}

/// A worker that searches inside a task finds what the task waits for, and is busy with it for ever,
/// while a number is pushed that relies on the search. Accepted: another worker takes it.
#[test]
fn who_searches_inside_a_task_passes_the_search_on() {
    searcher_inside_a_task(Yard::found);
}

/// Without it the number waits for ever.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_search_inside_a_task_that_tells_nobody() {
    searcher_inside_a_task(|yard| {
        yard.lot.leave_search();
    });
}

/// A searcher, a worker on its way to bed, one number there and one being pushed; each worker is
/// busy for ever with its first. The push may wake nobody because of the searcher. Accepted:
/// both numbers are taken.
#[test]
fn the_last_searcher_passes_the_search_on() {
    last_searcher(Yard::found);
}

/// Without it the second number waits for ever.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_last_searcher_that_tells_nobody() {
    last_searcher(|yard| {
        yard.lot.leave_search();
    });
}

/// Without the fence between leaving the search and the look at the queue likewise.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_last_searcher_without_its_fence() {
    last_searcher(|yard| {
        if yard.lot.leave_search() && !yard.lanes.is_empty() {
            yard.lot.call_after_fence();
        }
    });
}

fn push_against_resting(call: fn(&Lot)) {
    loom::model(move || {
        let yard = Yard::new();
        let spare = {
            let yard = yard.clone();
            thread::spawn(move || yard.lot.rest(|| !yard.lanes.is_empty()))
        };
        yard.lanes.push(Lane::Urgent, 7);
        call(&yard.lot);
        yard.lot.end();
        spare.join().unwrap();
        assert!(!yard.lot.spare_rests(), "a wake was lost");
    });
}

/// All workers are busy, the spare goes to rest while something is pushed. Accepted: it sees the
/// push, or the pusher calls it back.
#[test]
fn a_push_is_seen_by_a_spare_going_to_rest() {
    push_against_resting(Lot::call);
}

/// Without the fence after the push the spare may sleep on it.
#[test]
#[should_panic(expected = "a wake was lost")]
fn must_fail_a_push_without_its_fence_and_a_spare() {
    push_against_resting(Lot::call_after_fence);
}
