//! Models of the queue: every interleaving (and weak-memory outcome that loom knows) of two or
//! three threads over one or two places.
//!
//! Payloads lie in loom's cells, so a value that is read while it is written is an error, and they
//! count their drops, so one that is lost or dropped twice is one too. Models that must fail carry
//! a small restatement of the protocol with one step weakened; each has a twin that is the same
//! restatement unweakened, and passes.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::sync::{Arc, UnsafeCell, thread};

thread_local! {
    // All threads of a model run on one real thread: a plain cell counts for all of them.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Counts itself; never copied.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Payload(u64);

impl Payload {
    fn new(number: u64) -> Self {
        LIVE.with(|live| live.set(live.get() + 1));
        Self(number)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        LIVE.with(|live| live.set(live.get() - 1));
    }
}

/// Explores `f`; after each run, with everything dropped, no payload may be left, nor missing.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000; // the looks of a stealer that waits for another
    builder.check(move || {
        LIVE.with(|live| live.set(0));
        f();
        assert_eq!(LIVE.with(Cell::get), 0, "each payload is dropped once");
    });
}

fn queue(capacity: usize, start: u64, stealable: bool) -> Taker<Payload> {
    Taker::with_chunk(capacity, start, stealable, (), 1)
}

fn take(taker: &mut Taker<Payload>, got: &mut Vec<u64>) -> usize {
    let mut out = VecDeque::new();
    let taken = taker.take(usize::MAX, &mut out).map_or(0, |taken| taken.values);
    got.extend(out.iter().map(|payload| payload.0));
    taken
}

fn take_all(taker: &mut Taker<Payload>, got: &mut Vec<u64>) {
    while take(taker, got) > 0 {}
}

/// Whether the numbers of one sender (tens) come in order.
fn in_order(got: &[u64], sender: u64) -> bool {
    got.iter().filter(|number| **number / 10 == sender).is_sorted()
}

/// Two senders of two messages each, a consumer, two places (L1). Accepted: any merge of the two
/// orders; what found it full was handed back.
#[test]
fn each_senders_messages_come_in_order_and_none_is_lost() {
    model(|| {
        let mut taker = queue(2, 0, false);
        let senders: Vec<_> = [10, 20]
            .map(|first| {
                let shared = Arc::clone(taker.queue());
                thread::spawn(move || {
                    let put = |number| shared.put(Payload::new(number)).is_ok();
                    u64::from(put(first)) + u64::from(put(first + 1))
                })
            })
            .into();
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        let put: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        take_all(&mut taker, &mut got);
        assert!(in_order(&got, 1) && in_order(&got, 2), "{got:?}");
        assert_eq!(got.len() as u64, put);
        assert!(put >= 2);
    });
}

/// One sender, three messages, places that wrap, positions that pass 32 bits or end just below
/// the flags (L2). Accepted: all three in order.
#[test]
fn positions_wrap_inside_without_harm() {
    for (capacity, start) in [(1, u64::from(u32::MAX)), (2, LIMIT - 1), (2, u32::MAX.into())] {
        model(move || {
            let mut taker = queue(capacity, start, false);
            let shared = Arc::clone(taker.queue());
            let sender = thread::spawn(move || {
                for number in 10..13 {
                    let mut payload = Payload::new(number);
                    while let Err((back, _)) = shared.put(payload) {
                        payload = back;
                        thread::yield_now();
                    }
                }
            });
            let mut got = Vec::new();
            while got.len() < 3 {
                if take(&mut taker, &mut got) == 0 {
                    thread::yield_now();
                }
            }
            sender.join().unwrap();
            assert_eq!(got, [10, 11, 12]);
        });
    }
}

/// A claims, B claims and commits, A commits, the consumer looks (L3). Accepted: nothing, A, or A
/// then B; never B first.
#[test]
fn a_later_place_is_not_seen_before_an_earlier_one() {
    model(|| {
        let mut taker = queue(2, 0, false);
        let mut places = taker.queue().reserve(1).unwrap();
        let (a, b) = (Arc::clone(taker.queue()), Arc::clone(taker.queue()));
        let a = thread::spawn(move || a.fill(&mut places, Payload::new(10)));
        let b = thread::spawn(move || b.put(Payload::new(20)).unwrap());
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        take(&mut taker, &mut got);
        assert!([&[][..], &[10], &[10, 20]].contains(&got.as_slice()), "{got:?}");
        a.join().unwrap();
        b.join().unwrap();
        take_all(&mut taker, &mut got);
        assert_eq!(got, [10, 20]);
    });
}

/// A full queue, a consumer that takes, a sender that offers (L4). Accepted: `Full` only if the
/// take had not ended before the offer began.
#[test]
fn full_is_only_said_when_it_was_full_during_the_call() {
    model(|| {
        let mut taker = queue(1, 0, false);
        taker.queue().put(Payload::new(10)).unwrap();
        let shared = Arc::clone(taker.queue());
        let taken = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&taken);
        let sender = thread::spawn(move || {
            let had_room = seen.load(Ordering::Acquire) == 1;
            let put = shared.put(Payload::new(11)).is_ok();
            assert!(put || !had_room);
            put
        });
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        taken.store(1, Ordering::Release);
        let put = sender.join().unwrap();
        take_all(&mut taker, &mut got);
        assert_eq!(got.len(), 1 + usize::from(put));
    });
}

/// Two senders race for the place that a consumer frees, one through a stale cached head.
/// Accepted: one gets it, or none.
#[test]
fn a_freed_place_goes_to_one_sender() {
    model(|| {
        let mut taker = queue(1, 0, false);
        taker.queue().put(Payload::new(9)).unwrap();
        let senders: Vec<_> = [10, 20]
            .map(|number| {
                let shared = Arc::clone(taker.queue());
                thread::spawn(move || shared.put(Payload::new(number)).is_ok())
            })
            .into();
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        let put = senders.into_iter().filter(|_| true).map(|s| s.join().unwrap());
        let put = put.filter(|put| *put).count();
        assert!(put <= 1);
        take_all(&mut taker, &mut got);
        assert_eq!(got.len(), 1 + put);
    });
}

/// A batch of two against a single message, two places. Accepted: the batch stays together.
#[test]
fn a_batch_is_one_claim() {
    model(|| {
        let mut taker = queue(3, 0, false);
        let shared = Arc::clone(taker.queue());
        let sender = thread::spawn(move || {
            let mut batch = vec![Payload::new(10), Payload::new(11)];
            assert_eq!(shared.offer_all(&mut batch), Ok(2));
        });
        taker.queue().put(Payload::new(20)).unwrap();
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        sender.join().unwrap();
        take_all(&mut taker, &mut got);
        assert!([[10, 11, 20], [20, 10, 11]].contains(&got[..].try_into().unwrap()), "{got:?}");
    });
}

/// A consumer whose closure panics, and a sender that wants the place. Accepted: the place is
/// freed by the guard, so that a sender that tries again gets in.
#[test]
fn a_panicking_drain_frees_its_places() {
    model(|| {
        let mut taker = queue(1, 0, false);
        taker.queue().put(Payload::new(10)).unwrap();
        let shared = Arc::clone(taker.queue());
        let sender = thread::spawn(move || {
            let mut payload = Payload::new(11);
            while let Err((back, _)) = shared.put(payload) {
                payload = back;
                thread::yield_now();
            }
        });
        let drained = catch_unwind(AssertUnwindSafe(|| {
            taker.drain(1, |payload| {
                drop(payload);
                std::panic::resume_unwind(Box::new("told to"));
            })
        }));
        assert!(drained.is_err());
        sender.join().unwrap();
        let mut got = Vec::new();
        take_all(&mut taker, &mut got);
        assert_eq!(got, [11]);
    });
}

/// A sender against a close (CLOSED × claim). Accepted: whatever was accepted before the close is
/// received, and nothing else; the end is seen.
#[test]
fn what_was_claimed_before_the_close_is_received() {
    model(|| {
        let mut taker = queue(2, LIMIT - 1, false);
        let shared = Arc::clone(taker.queue());
        let sender = thread::spawn(move || {
            let mut put = 0;
            if let Ok(mut places) = shared.reserve(1) {
                shared.fill(&mut places, || Payload::new(10));
                put += 1;
            }
            match shared.put(Payload::new(11)) {
                Ok(()) => put + 1,
                Err((_, refused)) => {
                    assert_eq!(refused, Refused::Closed);
                    put
                }
            }
        });
        let mut got = Vec::new();
        taker.queue().close();
        while !taker.is_finished() {
            if take(&mut taker, &mut got) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(got.len(), sender.join().unwrap());
        assert!(in_order(&got, 1));
    });
}

/// The consumer goes while a sender puts in (L7): whoever lets go last drops what is inside.
/// Accepted: anything, as long as each payload is dropped once.
#[test]
fn messages_inside_are_dropped_once_by_whoever_lets_go_last() {
    for stealable in [false, true] {
        model(move || {
            let mut taker = queue(2, 0, stealable);
            let shared = Arc::clone(taker.queue());
            let sender = thread::spawn(move || {
                let _ = shared.put(Payload::new(10));
                let _ = shared.put(Payload::new(11));
            });
            taker.queue().close();
            let mut got = Vec::new();
            take(&mut taker, &mut got);
            drop(taker);
            sender.join().unwrap();
        });
    }
}

/// Two senders need the same new chunk. Accepted: both messages.
#[test]
fn a_chunk_is_made_once() {
    model(|| {
        let mut taker: Taker<Payload> = Taker::with_chunk(2, 0, false, (), 2);
        let shared = Arc::clone(taker.queue());
        let sender = thread::spawn(move || shared.put(Payload::new(10)).unwrap());
        taker.queue().put(Payload::new(20)).unwrap();
        sender.join().unwrap();
        let mut got = Vec::new();
        take_all(&mut taker, &mut got);
        got.sort_unstable();
        assert_eq!(got, [10, 20]);
    });
}

/// Offers as `Addr` does with `DropOldest`, within two tries; says whether it went in, and how
/// many were given up.
fn push(shared: &Queue<Payload>, number: u64) -> (bool, usize) {
    let mut stolen = Vec::new();
    let mut payload = Payload::new(number);
    for _ in 0..2 {
        match shared.put(payload) {
            Ok(()) => return (true, stolen.len()),
            Err((back, _)) => payload = back,
        }
        if !shared.steal(&mut stolen) {
            break;
        }
    }
    (false, stolen.len())
}

/// Two senders find it full and both want to give up the oldest (L9, stealer × stealer).
/// Accepted: everything is received, given up or turned away, once; what is left is in order.
#[test]
fn two_stealers_give_up_each_message_once() {
    for capacity in [1, 2] {
        model(move || {
            let mut taker = queue(capacity, LIMIT - 1, true);
            for number in 0..capacity as u64 {
                taker.queue().put(Payload::new(number)).unwrap();
            }
            let shared = Arc::clone(taker.queue());
            let sender = thread::spawn(move || push(&shared, 10));
            let here = push(taker.queue(), 20);
            let there = sender.join().unwrap();
            let mut got = Vec::new();
            take_all(&mut taker, &mut got);
            let put = usize::from(here.0) + usize::from(there.0);
            assert_eq!(capacity + put, got.len() + here.1 + there.1);
            assert!(put >= 1, "one of them gets in");
        });
    }
}

/// A sender gives up the oldest while the consumer takes (L9, stealer × consumer). Accepted: as
/// above, and the consumer never sees an older message after a newer one, nor a mix.
#[test]
fn a_stealer_and_the_consumer_share_the_oldest() {
    for capacity in [1, 2] {
        model(move || {
            let mut taker = queue(capacity, 0, true);
            for number in 0..capacity as u64 {
                taker.queue().put(Payload::new(number)).unwrap();
            }
            let shared = Arc::clone(taker.queue());
            let sender = thread::spawn(move || {
                let (a, b) = (push(&shared, 8), push(&shared, 9));
                (usize::from(a.0) + usize::from(b.0), a.1 + b.1)
            });
            let mut got = Vec::new();
            take(&mut taker, &mut got);
            let (put, stolen) = sender.join().unwrap();
            take_all(&mut taker, &mut got);
            assert_eq!(capacity + put, got.len() + stolen);
            assert!(got.is_sorted(), "{got:?}");
        });
    }
}

/// Two stealers and the consumer, one place each wants.
#[test]
fn two_stealers_and_the_consumer_lose_nothing_uncounted() {
    model(|| {
        let mut taker = queue(1, 0, true);
        taker.queue().put(Payload::new(0)).unwrap();
        let senders: Vec<_> = [10, 20]
            .map(|number| {
                let shared = Arc::clone(taker.queue());
                thread::spawn(move || push(&shared, number))
            })
            .into();
        let mut got = Vec::new();
        take(&mut taker, &mut got);
        let (mut put, mut stolen) = (1, 0);
        for sender in senders {
            let (taken, given_up) = sender.join().unwrap();
            put += usize::from(taken);
            stolen += given_up;
        }
        take_all(&mut taker, &mut got);
        assert_eq!(put, got.len() + stolen);
    });
}

// ---- The cached head, restated.

/// One place and what the claim reads of it. `pass_on` is how a claimer that read `head` passes
/// it on in `cached`.
struct OnePlace {
    tail: AtomicU64,
    cached: AtomicU64,
    head: AtomicU64,
    value: UnsafeCell<u64>,
    pass_on: Ordering,
}

impl OnePlace {
    /// Claims and writes, if there is room by the copy, or by `head`.
    fn put(&self, number: u64, trust_copy: Ordering) {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail > self.cached.load(trust_copy) {
            let head = self.head.load(Ordering::Acquire);
            self.cached.store(head, self.pass_on);
            if tail > head {
                return;
            }
        }
        let next = tail + 1;
        let won = self.tail.compare_exchange(tail, next, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_ok() {
            self.value.with_mut(|value| {
                // SAFETY: only the model checker runs this, and it reports the race if there is
                // one; that is what the model is for.
                unsafe { *value = number }
            });
        }
    }
}

/// The consumer takes the value of position 0 and frees it; two senders want position 1, one of
/// which may trust the other's copy of `head`.
fn a_claimer_trusts_anothers_copy(pass_on: Ordering, trust_copy: Ordering) {
    loom::model(move || {
        let place = Arc::new(OnePlace {
            tail: AtomicU64::new(1),
            cached: AtomicU64::new(0),
            head: AtomicU64::new(0),
            value: UnsafeCell::new(7),
            pass_on,
        });
        let senders: Vec<_> = [1, 2]
            .map(|number| {
                let place = Arc::clone(&place);
                thread::spawn(move || place.put(number, trust_copy))
            })
            .into();
        // SAFETY: as in `put`.
        assert_eq!(place.value.with(|value| unsafe { *value }), 7);
        place.head.store(1, Ordering::Release);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_cached_head_that_is_released_and_acquired_is_sound() {
    a_claimer_trusts_anothers_copy(Ordering::Release, Ordering::Acquire);
}

/// Must fail: the copy says that the place is free, but not that its reader is done.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_cached_head_is_a_race() {
    a_claimer_trusts_anothers_copy(Ordering::Relaxed, Ordering::Relaxed);
}
