//! The queue alone, on one thread: order, capacity, wrap, drops, panics. Threads are in
//! `mailbox/tests.rs`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::slots::CHUNK;
use super::*;
use crate::sync::Arc;

/// Starts around which something inside wraps: an index, a chunk, 32 bits, 48 bits, and the last
/// position there is.
const STARTS: [u64; 6] = [0, 1, 31, u32::MAX as u64 - 1, (1 << 48) - 3, LIMIT - 1];
const CAPACITIES: [usize; 9] = [1, 2, 3, 4, 7, 31, 32, 33, 100];

/// Counts its drops, and panics in them if told.
struct Payload {
    number: u64,
    drops: Rc<Cell<u64>>,
    bomb: bool,
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        assert!(!self.bomb, "told to");
    }
}

#[derive(Clone, Default)]
struct Drops(Rc<Cell<u64>>);

impl Drops {
    fn payload(&self, number: u64) -> Payload {
        Payload { number, drops: Rc::clone(&self.0), bomb: false }
    }

    fn bomb(&self, number: u64) -> Payload {
        let mut payload = self.payload(number);
        payload.bomb = true;
        payload
    }

    fn count(&self) -> u64 {
        self.0.get()
    }
}

fn queue<T>(capacity: usize, start: u64, stealable: bool) -> Taker<T> {
    Taker::new(capacity, start, stealable, ())
}

fn take<T>(taker: &mut Taker<T>, max: usize) -> Vec<T> {
    let mut out = VecDeque::new();
    taker.take(max, &mut out).expect("nobody steals meanwhile");
    out.into()
}

fn take_all<T>(taker: &mut Taker<T>) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        let some = take(taker, usize::MAX);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn capacity_is_exact_and_order_is_kept_wherever_it_starts() {
    for start in STARTS {
        for capacity in CAPACITIES {
            for stealable in [false, true] {
                let mut taker = queue(capacity, start, stealable);
                let shared = Arc::clone(taker.queue());
                let mut next = 0..;
                let mut expected = 0..;
                for lap in 0..5 {
                    while shared.put(next.start).is_ok() {
                        next.next();
                    }
                    assert_eq!(shared.len(), capacity, "start {start} lap {lap}");
                    assert_eq!(shared.put(99), Err((99, Refused::Full)));
                    let some = take(&mut taker, lap + 1);
                    assert!(!some.is_empty() && some.len() <= taker.batch());
                    for value in some {
                        assert_eq!(Some(value), expected.next());
                    }
                }
                for value in take_all(&mut taker) {
                    assert_eq!(Some(value), expected.next());
                }
                assert_eq!(next.start, expected.start);
                assert_eq!(shared.tally().claimed, shared.tally().taken);
            }
        }
    }
}

#[test]
fn random_calls_agree_with_a_deque() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for capacity in CAPACITIES {
        for stealable in [false, true] {
            let mut taker = queue(capacity, LIMIT - 7, stealable);
            let shared = Arc::clone(taker.queue());
            let mut model = VecDeque::new();
            for number in 0..4_000 {
                match random(5) {
                    0 | 1 => {
                        let put = shared.put(number);
                        assert_eq!(put.is_ok(), model.len() < capacity);
                        if put.is_ok() {
                            model.push_back(number);
                        }
                    }
                    2 => {
                        let count = random(2 * capacity as u64 + 1);
                        let mut batch: Vec<_> = (0..count).map(|n| number * 1_000 + n).collect();
                        let room = capacity - model.len();
                        let taken = batch.len().min(room);
                        model.extend(&batch[..taken]);
                        let left = batch[taken..].to_vec();
                        match shared.offer_all(&mut batch) {
                            Ok(count) => assert_eq!(count, taken),
                            Err(refused) => assert_eq!((refused, room), (Refused::Full, 0)),
                        }
                        assert_eq!(batch, left);
                    }
                    3 if stealable => {
                        let mut stolen = Vec::new();
                        assert_eq!(shared.steal(&mut stolen), !model.is_empty());
                        assert!(stolen.len() <= (capacity / 16).max(1));
                        assert!(stolen.iter().all(|value| model.pop_front() == Some(*value)));
                    }
                    _ => {
                        let max = random(capacity as u64 + 2) as usize;
                        let mut seen = 0;
                        let drained = taker.drain(max, |value| {
                            assert_eq!(Some(value), model.pop_front());
                            seen += 1;
                        });
                        assert_eq!(drained.map(|taken| taken.values), Ok(seen));
                    }
                }
                assert_eq!(shared.len(), model.len());
                assert_eq!(taker.is_ready(), !model.is_empty());
            }
        }
    }
}

#[test]
fn places_are_reserved_all_or_none() {
    let mut taker = queue(4, 0, false);
    let shared = Arc::clone(taker.queue());
    shared.put(0).unwrap();
    assert_eq!(shared.reserve(4).unwrap_err(), Refused::Full);
    let mut places = shared.reserve(3).unwrap();
    assert_eq!(places.left(), 3);
    assert_eq!(shared.put(9), Err((9, Refused::Full)));
    assert_eq!(take(&mut taker, 9), [0]);
    assert!(!taker.is_ready());
    shared.fill(&mut places, || 1);
    shared.fill(&mut places, || 2);
    shared.fill(&mut places, || 3);
    assert_eq!(places.left(), 0);
    assert_eq!(take_all(&mut taker), [1, 2, 3]);
}

#[test]
fn a_later_place_waits_for_an_earlier_one_and_a_skip_lets_it_through() {
    for start in STARTS {
        let mut taker = queue(3, start, false);
        let shared = Arc::clone(taker.queue());
        let mut first = shared.reserve(2).unwrap();
        shared.put("later").unwrap();
        assert!(!taker.is_ready());
        assert_eq!(take(&mut taker, 9), [""; 0]);
        shared.skip(&mut first);
        assert!(taker.is_ready());
        let (taken, one) = taker.take_one().unwrap();
        assert_eq!((taken, one), (Taken { places: 3, values: 1 }, Some("later")));
        let tally = shared.tally();
        assert_eq!((tally.claimed, tally.skipped, tally.taken), (3, 2, 1));
        assert_eq!((shared.head(), shared.tail()), (start + 3, start + 3));
    }
}

#[test]
fn a_queue_of_nothing_but_skips_is_emptied_and_refilled() {
    for stealable in [false, true] {
        let mut taker = queue(2, 0, stealable);
        let shared = Arc::clone(taker.queue());
        for number in 0..5 {
            let mut places = shared.reserve(2).unwrap();
            shared.skip(&mut places);
            let (taken, one) = taker.take_one().unwrap();
            assert_eq!((taken.places, one), (2, None));
            shared.put(number).unwrap();
            assert_eq!(take_all(&mut taker), [number]);
        }
    }
}

#[test]
#[should_panic(expected = "a place of another mailbox")]
fn a_place_of_another_queue_is_not_filled() {
    let (one, two) = (queue::<u8>(1, 0, false), queue(1, 0, false));
    let mut places = one.queue().reserve(1).unwrap();
    two.queue().fill(&mut places, || 1);
}

#[test]
#[should_panic(expected = "no place left")]
fn a_place_is_not_filled_twice() {
    let one = queue(2, 0, false);
    let mut places = one.queue().reserve(1).unwrap();
    one.queue().fill(&mut places, || 1);
    one.queue().fill(&mut places, || 2);
}

#[test]
fn a_closed_queue_is_drained_to_its_final_tail() {
    for start in STARTS {
        for stealable in [false, true] {
            let mut taker = queue(4, start, stealable);
            let shared = Arc::clone(taker.queue());
            shared.put(1).unwrap();
            let mut late = shared.reserve(1).unwrap();
            assert!(shared.close());
            assert!(!shared.close());
            assert_eq!(shared.put(2), Err((2, Refused::Closed)));
            assert_eq!(shared.offer_all(&mut vec![2]), Err(Refused::Closed));
            assert_eq!(shared.reserve(1).unwrap_err(), Refused::Closed);
            assert_eq!(take_all(&mut taker), [1]);
            assert!(!taker.is_finished() && !taker.is_ready(), "one place is still to come");
            shared.fill(&mut late, || 2);
            assert_eq!(take_all(&mut taker), [2]);
            assert!(taker.is_finished() && taker.is_ready());
            assert_eq!(shared.len(), 0);
        }
    }
}

#[test]
fn closing_when_full_leaves_a_queue_with_room_alone() {
    let mut taker = queue(1, 0, false);
    let shared = Arc::clone(taker.queue());
    assert!(!shared.close_if_full());
    shared.put(1).unwrap();
    assert!(shared.close_if_full());
    assert!(!shared.close_if_full(), "closed already");
    assert!(shared.was_slow());
    assert_eq!(take_all(&mut taker), [1]);
    assert!(taker.is_finished());
}

#[test]
fn stealing_gives_up_the_oldest_and_drops_nothing_itself() {
    let drops = Drops::default();
    let mut taker = queue(32, 0, true);
    let shared = Arc::clone(taker.queue());
    for number in 0..32 {
        assert!(shared.put(drops.payload(number)).is_ok());
    }
    let mut stolen = Vec::new();
    assert!(shared.steal(&mut stolen));
    assert_eq!(stolen.iter().map(|p| p.number).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(drops.count(), 0);
    assert_eq!(take(&mut taker, 1)[0].number, 2);
    assert_eq!(shared.tally().stolen, 2);
}

#[test]
fn an_uncommitted_oldest_place_is_not_stolen() {
    let taker = queue(2, 0, true);
    let shared = Arc::clone(taker.queue());
    let mut places = shared.reserve(1).unwrap();
    shared.put(1).unwrap();
    let mut stolen = Vec::new();
    assert!(!shared.steal(&mut stolen));
    shared.fill(&mut places, || 0);
    assert!(shared.steal(&mut stolen));
    assert_eq!(stolen, [0]);
}

#[test]
fn a_panic_in_a_drain_frees_what_was_passed_and_keeps_the_rest() {
    for stealable in [false, true] {
        let drops = Drops::default();
        let mut taker = queue(16, LIMIT - 3, stealable);
        let shared = Arc::clone(taker.queue());
        for number in 0..16 {
            assert!(shared.put(drops.payload(number)).is_ok());
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            taker.drain(4, |payload| assert!(payload.number != 1, "told to"))
        }));
        assert!(result.is_err());
        assert_eq!(drops.count(), 2);
        assert!(shared.put(drops.payload(16)).is_ok(), "two places at least are free");
        let mut rest = Vec::new();
        while taker.drain(9, |payload| rest.push(payload.number)).unwrap().values > 0 {}
        assert_eq!(rest, (2..17).collect::<Vec<_>>());
        assert_eq!(drops.count(), 17);
    }
}

#[test]
fn what_is_inside_is_dropped_once_with_the_queue() {
    for capacity in CAPACITIES {
        for start in STARTS {
            let drops = Drops::default();
            let mut taker = queue(capacity, start, capacity % 2 == 0);
            let shared = Arc::clone(taker.queue());
            // Those that are handed back are dropped here, and counted like the others.
            let mut made = 0;
            for _ in 0..2 {
                let mut full = false;
                while !full {
                    full = shared.put(drops.payload(made)).is_err();
                    made += 1;
                }
                drop(take(&mut taker, 2));
            }
            if let Ok(places) = shared.reserve(1) {
                // Whoever claimed it never comes back.
                assert_eq!(places.left(), 1);
            }
            drop((taker, shared));
            assert_eq!(drops.count(), made, "capacity {capacity}, start {start}");
        }
    }
}

#[test]
fn a_panicking_drop_keeps_no_other_value_from_being_dropped() {
    let drops = Drops::default();
    let taker = queue(8, 0, false);
    for number in 0..8 {
        let payload = if number % 3 == 0 { drops.bomb(number) } else { drops.payload(number) };
        assert!(taker.queue().put(payload).is_ok());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(taker))).is_err(), "the panic is passed on");
    assert_eq!(drops.count(), 8);
}

/// What a panic may bring with it.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("and so does what it came with");
    }
}

struct Worse(Drops);

impl Drop for Worse {
    fn drop(&mut self) {
        self.0.0.set(self.0.count() + 1);
        std::panic::panic_any(PanicsInDrop);
    }
}

#[test]
fn what_panicking_drops_bring_with_them_keeps_no_other_value_from_being_dropped() {
    for unwinding in [false, true] {
        let drops = Drops::default();
        let taker = queue(4, 0, false);
        for _ in 0..4 {
            assert!(taker.queue().put(Worse(drops.clone())).is_ok());
        }
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            let _taker = taker;
            assert!(!unwinding, "a panic under way");
        }));
        let payload = dropped.expect_err("a panic is passed on");
        assert_eq!(payload.is::<PanicsInDrop>(), !unwinding);
        // Not dropped: it would panic here.
        std::mem::forget(payload);
        assert_eq!(drops.count(), 4);
    }
}

#[test]
fn values_without_size_are_counted_too() {
    let mut taker = queue(3, 0, false);
    assert_eq!(taker.queue().offer_all(&mut vec![(); 5]), Ok(3));
    assert_eq!(take_all(&mut taker).len(), 3);
}

#[test]
fn memory_is_made_on_first_use() {
    let mut taker = queue::<[u64; 8]>(1_024, 0, false);
    let shared = Arc::clone(taker.queue());
    let chunk = CHUNK * 72;
    assert_eq!(shared.slots.bytes(), 256);
    shared.put([0; 8]).unwrap();
    assert_eq!(shared.slots.bytes(), 256 + chunk);
    for _ in 0..1_024 {
        drop(take(&mut taker, 1));
        shared.put([0; 8]).unwrap();
    }
    assert_eq!(shared.slots.bytes(), 256 + 32 * chunk);
}

#[test]
fn who_finds_nothing_makes_the_next_slots_once_half_of_the_last_ones_are_used() {
    let mut taker = queue::<u64>(1_024, 0, false);
    let shared = Arc::clone(taker.queue());
    let mut chunks_after = |messages: usize| {
        for n in 0..messages as u64 {
            shared.put(n).unwrap();
            drop(take(&mut taker, 1));
        }
        taker.make_ahead();
        (shared.slots.bytes() - 256) / (CHUNK * 16)
    };
    assert_eq!(chunks_after(0), 0);
    assert_eq!(chunks_after(CHUNK / 2 - 1), 1);
    assert_eq!(chunks_after(1), 2);
    assert_eq!(chunks_after(CHUNK), 3);
    assert_eq!(chunks_after(2 * 1_024), 32, "no more than there are");
    let start = 1_024 - CHUNK as u64 / 2;
    let last = queue::<u64>(1_024, start, false);
    last.queue().put(1).unwrap();
    last.make_ahead();
    assert_eq!(last.queue().slots.bytes(), 256 + 2 * CHUNK * 16, "the first ones come next");
    let one = queue::<u64>(1, 0, false);
    one.make_ahead();
    assert_eq!(one.queue().slots.bytes(), 8, "there is no next one");
}

#[test]
#[should_panic(expected = "room for at least one message")]
fn a_queue_for_nothing_is_refused() {
    drop(queue::<u8>(0, 0, false));
}
