//! The ring under several publishers and readers that stall where it hurts most.
//!
//! Every message lives on the heap, counts itself and checks itself, so that a torn, stale or
//! twice dropped one is noticed. The shapes are far too small for their load, on purpose.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc as Count, Barrier, Mutex};

use super::log::Shape;
use super::*;
use crate::sync::{Arc, thread};

/// A payload that knows what it should be.
struct Checked {
    who: u64,
    nth: u64,
    twin: Box<u64>,
    alive: Count<AtomicUsize>,
}

impl Checked {
    fn new(who: u64, nth: u64, alive: &Count<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self { who, nth, twin: Box::new(who << 40 ^ nth), alive: alive.clone() }
    }

    fn value(&self) -> u64 {
        assert_eq!(*self.twin, self.who << 40 ^ self.nth, "torn, or already dropped");
        *self.twin
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.value();
        *self.twin = u64::MAX;
        assert_ne!(self.alive.fetch_sub(1, Relaxed), 0);
    }
}

/// xorshift: which batch, which pause. The seed is in every assertion by the case's name.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// Lets others run, seldom, for one to many turns.
    fn stall(&mut self) {
        if self.roll(16) == 0 {
            for _ in 0..self.roll(6) {
                thread::yield_now();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    block: usize,
    blocks: usize,
    publishers: u64,
    lossy: usize,
    required: usize,
    borrowed: bool,
    each: u64,
    seed: u64,
}

/// What was seen at each position, by whoever saw it first: all others must agree.
type Agreed = Mutex<HashMap<u64, u64>>;

fn publisher(log: &Arc<Log<Checked>>, case: Case, who: u64, alive: &Count<AtomicUsize>) {
    let mut dice = Dice(case.seed ^ (who + 1) << 32);
    let mut own = Log::writer(log);
    let (mut nth, mut values) = (0, Vec::new());
    while nth < case.each {
        let most = (log.largest_claim() as u64).min(case.each - nth);
        let k = 1 + dice.roll(most);
        values.extend((nth..nth + k).map(|nth| Checked::new(who, nth, alive)));
        let mut publish = |pen: &mut Pen<'_, Checked>| {
            let done = match pen.claim(k as usize) {
                Ok(claim) => {
                    dice.stall();
                    if k == 1 {
                        claim.commit(|| values.pop().unwrap());
                    } else {
                        claim.commit_all(&mut values);
                    }
                    true
                }
                Err(Refused::Full) => false,
                Err(refused) => panic!("{refused:?} in {case:?}"),
            };
            pen.reclaim();
            done
        };
        let done = if case.borrowed { log.with_writer(publish) } else { publish(&mut own.pen()) };
        if done {
            assert!(values.is_empty());
            nth += k;
        } else {
            values.clear();
            thread::yield_now();
        }
    }
}

/// Reads to the end. Returns how many it saw, and how many places were lost.
fn reader(mut reader: Reader<Checked>, case: Case, dice: u64, agreed: &Agreed) -> (u64, u64) {
    let mut dice = Dice(case.seed ^ dice);
    let start = reader.position();
    let (mut seen, mut lost) = (0, 0);
    let mut last_of = HashMap::new();
    let mut views = Vec::new();
    loop {
        assert_eq!(seen + lost, reader.position() - start, "{case:?}");
        match reader.next() {
            Next::Item(position, message) => {
                assert_eq!(position, start + seen + lost);
                let before = message.value();
                dice.stall();
                assert_eq!(message.value(), before, "held while the ring went on");
                let last = last_of.insert(message.who, message.nth);
                assert!(last < Some(message.nth), "a publisher's order, {case:?}");
                views.push((position, before));
                seen += 1;
                reader.advance();
                if dice.roll(8) == 0 {
                    reader.publish();
                }
            }
            Next::Gap { from, to } => {
                assert!(!reader.is_required(), "{case:?}");
                assert_eq!(from, start + seen + lost);
                lost += to - from + 1;
            }
            Next::Empty => {
                reader.publish();
                if dice.roll(4) == 0 {
                    reader.release();
                    reader.log().stock();
                }
                thread::yield_now();
            }
            Next::Closed => break,
        }
    }
    assert_eq!(reader.position(), reader.log().tail(), "{case:?}");
    let mut agreed = agreed.lock().unwrap();
    for (position, value) in views {
        assert_eq!(*agreed.entry(position).or_insert(value), value, "at {position} in {case:?}");
    }
    (seen, lost)
}

fn run(case: Case) -> (u64, u64) {
    let alive = Count::new(AtomicUsize::new(0));
    let shape = Shape { block: case.block, blocks: case.blocks, most: 500, tag: u32::MAX - 9 };
    let start = case.seed % 97 + 1;
    let log = Log::with_shape(shape, start);
    let total = case.publishers * case.each;
    let agreed = Agreed::default();
    let ready = Barrier::new(case.lossy + case.required + case.publishers as usize);
    let (all_seen, all_lost) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..case.lossy + case.required {
            let (log, ready, agreed) = (log.clone(), &ready, &agreed);
            let (all_seen, all_lost) = (&all_seen, &all_lost);
            scope.spawn(move || {
                let required = n < case.required;
                let from = if required {
                    Log::required(&log, log.capacity())
                } else {
                    Log::reader(&log, start)
                };
                ready.wait();
                let (seen, lost) = reader(from, case, (n as u64 + 7) << 40, agreed);
                assert_eq!(seen + lost, total, "{case:?}");
                if required {
                    assert_eq!(lost, 0, "{case:?}");
                }
                all_seen.fetch_add(seen, Relaxed);
                all_lost.fetch_add(lost, Relaxed);
            });
        }
        let publishers: Vec<_> = (0..case.publishers)
            .map(|who| {
                let (log, ready, alive) = (&log, &ready, &alive);
                scope.spawn(move || {
                    ready.wait();
                    publisher(log, case, who, alive);
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        log.close();
    });
    assert_eq!(log.tail(), start + total, "one place is one message, {case:?}");
    // Held: the directory's, one for each reader, and for each publisher two that its cell names,
    // two spares, one that it installs and one that it empties.
    let most = case.blocks + case.lossy + case.required + 6 * case.publishers as usize;
    let made = log.pool.arena().len() as usize;
    assert!(made <= most, "{made} blocks, {most} expected, {case:?}");
    drop(log);
    assert_eq!(alive.load(Relaxed), 0, "leaked, {case:?}");
    (all_seen.into_inner(), all_lost.into_inner())
}

/// All shapes with these readers; twice the cases under `RINGPOST_STRESS=2`, and so on.
fn sweep(lossy: usize, required: usize) -> (u64, u64) {
    let rounds = std::env::var("RINGPOST_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let (mut seen, mut lost) = (0, 0);
    for round in 0..rounds {
        for (n, block) in [4, 16, 64].into_iter().enumerate() {
            for blocks in [2, 4, 8] {
                for publishers in [1, 3] {
                    let seed = 0x9E37_79B9_7F4A_7C15
                        ^ (round * 100 + n as u64 * 10 + blocks as u64 + publishers) << 16;
                    let borrowed = (blocks as u64 / 2 + publishers / 2 + round).is_multiple_of(2);
                    let each = 3_000 / publishers;
                    let case =
                        Case { block, blocks, publishers, lossy, required, borrowed, each, seed };
                    let (s, l) = run(case);
                    seen += s;
                    lost += l;
                }
            }
        }
    }
    (seen, lost)
}

#[test]
fn lossy_readers_agree_and_account_for_every_place() {
    let (seen, lost) = sweep(3, 0);
    assert!(seen > 0 && lost > 0, "nothing was put to the test: {seen} seen, {lost} lost");
}

#[test]
fn required_readers_see_everything() {
    sweep(0, 2);
}

#[test]
fn required_and_lossy_readers_share_a_ring() {
    sweep(2, 1);
}

#[test]
fn readers_that_come_and_go_are_served_while_they_are_there() {
    let alive = Count::new(AtomicUsize::new(0));
    let shape = Shape { block: 4, blocks: 4, most: 500, tag: u32::MAX - 9 };
    let log = Log::with_shape(shape, 3);
    let case = Case {
        block: 4,
        blocks: 4,
        publishers: 2,
        lossy: 0,
        required: 1,
        borrowed: false,
        each: 5_000,
        seed: 0x5DEE_CE66_D1CE_4E5B,
    };
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..case.publishers)
            .map(|who| {
                let (log, alive) = (&log, &alive);
                scope.spawn(move || publisher(log, case, who, alive))
            })
            .collect();
        scope.spawn(|| {
            // Windows of one as well: a publisher then has to take single places.
            for round in 0_usize.. {
                let mut reader = Log::required(&log, 1 + round % log.capacity());
                let begin = reader.position();
                let mut nth = 0;
                while nth < 20 {
                    match reader.next() {
                        Next::Item(position, message) => {
                            message.value();
                            assert_eq!(position, begin + nth);
                            nth += 1;
                            reader.advance();
                            reader.publish();
                        }
                        Next::Gap { .. } => panic!("a required reader was overrun"),
                        Next::Empty => thread::yield_now(),
                        Next::Closed => return,
                    }
                }
            }
        });
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        log.close();
    });
    assert_eq!(log.tail(), 3 + 10_000);
    drop(log);
    assert_eq!(alive.load(Relaxed), 0);
}
