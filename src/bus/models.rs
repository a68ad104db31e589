//! loom's models of what bus and actors build on the ring and the mailboxes: joining, catching up,
//! the count of sleeping readers, losses, cancelling.
//!
//! Compiled into the crate under the model checker only, where bus and actors themselves are not:
//! their routes, topics and handlers would be dead weight there. What is small enough is the real
//! thing (`ring::Log`, `Mailbox`, `actor/bell.rs`, `mailbox/losses.rs`); the order of the steps
//! around it is restated, with a switch for the step whose absence must be found.
#![forbid(unsafe_code)]

use std::task::{Wake, Waker};

use crate::mailbox::losses::{Collector, Losses};
use crate::mailbox::signal::{self, Doorbell};
use crate::mailbox::space::Space;
use crate::ring::{Log, Next, Writer};
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Arc, Condvar, Mutex, thread};
use crate::{Addr, DropReason, Gap, Mailbox, Overflow};

#[path = "../actor/bell.rs"]
mod bell;
#[path = "models/exact.rs"]
mod exact;
#[path = "models/seat.rs"]
mod seat;
#[path = "models/shared.rs"]
mod shared;
#[path = "models/sleepers.rs"]
mod sleepers;
#[path = "words.rs"]
mod words;

use bell::{Bell, Sleepers};

/// A step of the protocol that is left out, or done in the wrong place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weak {
    Nothing,
    /// The publisher trusts the route that it had before its claim.
    NoLookAfterTheClaim,
    /// The subscriber takes its start before publishers can see it.
    StartBeforeTheTable,
}

// ---- Joining.

/// The ring, the table of one possible subscriber, and that subscriber's mailbox.
struct Joining {
    log: Arc<Log<u64>>,
    /// The table's version: 0 without the subscriber.
    version: AtomicU64,
    addr: Addr<u64>,
    weak: Weak,
}

impl Joining {
    fn new(overflow: Overflow, weak: Weak) -> (Arc<Self>, Mailbox<u64>) {
        let (addr, mailbox) = Mailbox::new(2, overflow);
        let log = Log::new(8, 1);
        (Arc::new(Self { log, version: AtomicU64::new(0), addr, weak }), mailbox)
    }

    /// The steps of a publish, in their order; `route` is the version of the publisher's route.
    fn publish(&self, writer: &mut Writer<u64>, route: &mut u64, first: Option<&Addr<u64>>) {
        if *route != self.version.load(Acquire) {
            *route = self.version.load(Acquire);
        }
        let blocks = self.addr.overflow().waits();
        let mut places = match (blocks && *route == 1).then(|| self.addr.reserve(1)) {
            Some(Ok(places)) => Some(places),
            Some(Err(_)) => panic!("there is room for all"),
            None => None,
        };
        // A `Block` mailbox that was there from the beginning.
        let mut held = first.map(|first| first.reserve(1).unwrap());
        let claim = writer.claim(1).unwrap();
        let sequence = claim.first();
        let rerouted = match self.weak {
            Weak::NoLookAfterTheClaim => false,
            _ => self.version.load(Acquire) != *route,
        };
        claim.commit(|| sequence);
        if let (Some(first), Some(held)) = (first, &mut held) {
            first.fill(held, || sequence);
        }
        if let Some(places) = &mut places {
            self.addr.fill(places, || sequence);
        }
        let joined = rerouted && *route == 0;
        if rerouted {
            *route = self.version.load(Acquire);
        }
        if blocks {
            if joined {
                // It has no place yet: it gets one last, when nothing else is held.
                let mut places = self.addr.reserve(1).unwrap();
                self.addr.fill(&mut places, || sequence);
            }
        } else if *route == 1 {
            self.addr.offer(sequence).unwrap();
        }
        writer.reclaim();
    }

    /// Puts the subscriber in; gives the first sequence that its mailbox is sure to have.
    fn join(&self) -> u64 {
        if self.weak == Weak::StartBeforeTheTable {
            let start = self.log.join();
            self.version.store(1, Release);
            return start;
        }
        self.version.store(1, Release);
        self.log.join()
    }
}

/// What a mailbox has, without what is older than `start`.
fn rest(mailbox: &mut Mailbox<u64>, start: u64) -> Vec<u64> {
    let mut rest = Vec::new();
    while let Ok(sequence) = mailbox.try_recv() {
        if sequence >= start {
            rest.push(sequence);
        }
    }
    rest
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(f);
}

fn join(overflow: Overflow, weak: Weak) {
    model(move || {
        let (joining, mut mailbox) = Joining::new(overflow, weak);
        let publisher = {
            let joining = Arc::clone(&joining);
            thread::spawn(move || {
                let mut route = 0;
                let mut writer = Log::writer(&joining.log);
                let first = overflow.waits().then(|| Mailbox::new(2, overflow));
                for _ in 0..2 {
                    let first = first.as_ref().map(|(addr, _)| addr);
                    joining.publish(&mut writer, &mut route, first);
                }
            })
        };
        let start = joining.join();
        publisher.join().unwrap();
        assert!((1..=3).contains(&start));
        let got = rest(&mut mailbox, start);
        assert_eq!(got, (start..=2).collect::<Vec<_>>(), "everything from the start on");
    });
}

/// A subscriber joins while two messages are published: whatever its start comes out as (1, 2 or
/// 3), its mailbox has each message from there on, once and in order.
#[test]
fn a_mailbox_that_joins_has_everything_from_its_start_on() {
    join(Overflow::DropNewest, Weak::Nothing);
}

/// The same with a `Block` mailbox, beside another in which a place is held: it has no place when
/// it joins after the reservation, and gets one last.
#[test]
fn a_block_mailbox_that_joins_has_everything_from_its_start_on() {
    join(Overflow::block(), Weak::Nothing);
}

/// Without the look after the claim a message beyond the start is missing.
#[test]
#[should_panic(expected = "everything from the start on")]
fn a_route_that_is_not_looked_at_after_the_claim_is_found() {
    join(Overflow::DropNewest, Weak::NoLookAfterTheClaim);
}

/// The same with `Block`.
#[test]
#[should_panic(expected = "everything from the start on")]
fn a_route_that_is_not_looked_at_after_the_claim_is_found_with_block() {
    join(Overflow::block(), Weak::NoLookAfterTheClaim);
}

// ---- Catching up.

fn catch_up(weak: Weak) {
    model(move || {
        let (joining, mut mailbox) = Joining::new(Overflow::DropNewest, weak);
        let mut reader = Log::reader(&joining.log, 1);
        let publisher = {
            let joining = Arc::clone(&joining);
            thread::spawn(move || {
                let (mut writer, mut route) = (Log::writer(&joining.log), 0);
                for _ in 0..2 {
                    joining.publish(&mut writer, &mut route, None);
                }
            })
        };
        // At most a block behind from the beginning: join at once, then read up to there.
        let until = joining.join();
        let mut seen = Vec::new();
        while reader.position() < until {
            match reader.next() {
                Next::Item(position, &value) => {
                    assert_eq!(position, value);
                    seen.push(value);
                    reader.advance();
                }
                // Claimed, and not committed yet.
                Next::Empty => thread::yield_now(),
                Next::Gap { .. } | Next::Closed => panic!("nothing is lost, nothing is closed"),
            }
        }
        drop(reader);
        publisher.join().unwrap();
        seen.extend(rest(&mut mailbox, until));
        assert_eq!(seen, [1, 2], "each message once");
    });
}

/// The past from the ring, the rest from the mailbox: wherever the join falls between two
/// publishes, nothing is missing and nothing comes twice.
#[test]
fn catching_up_and_joining_gives_each_message_once() {
    catch_up(Weak::Nothing);
}

/// A start that is taken before publishers can see the subscriber misses what lies in between.
#[test]
#[should_panic(expected = "each message once")]
fn a_start_that_is_taken_too_early_is_found() {
    catch_up(Weak::StartBeforeTheTable);
}

// ---- The count of sleeping readers.

/// Where a modelled thread sleeps.
struct Bed {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Bed {
    fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { woken: Mutex::new(false), bell: Condvar::new() })
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl Wake for Bed {
    fn wake(self: std::sync::Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

/// Waits on a doorbell until `ready`. A lost wake is a deadlock, which loom reports.
fn wait(doorbell: &impl Doorbell, ready: impl Fn() -> bool) {
    let bed = Bed::new();
    let waker = Waker::from(std::sync::Arc::clone(&bed));
    while !ready() {
        if doorbell.park(&waker, &ready) {
            bed.sleep();
        }
    }
}

/// Two readers fall asleep while a message is committed: both wake, and the count is 0 when they
/// are gone.
#[test]
fn a_publish_wakes_every_reader_that_is_counted() {
    model(|| {
        let sleepers = std::sync::Arc::new(Sleepers::default());
        let bells = [(); 2].map(|()| Arc::new(Bell::new(std::sync::Arc::clone(&sleepers))));
        let committed = Arc::new(AtomicBool::new(false));
        let readers = bells.clone().map(|bell| {
            let committed = Arc::clone(&committed);
            thread::spawn(move || wait(&*bell, || committed.load(Acquire)))
        });
        committed.store(true, Release);
        signal::fence();
        if sleepers.any() {
            bells.iter().for_each(|bell| bell.ring());
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        drop(bells);
        assert!(!sleepers.any(), "who is awake is not counted");
    });
}

// ---- Room behind required readers.

/// A publisher waits patiently behind two required readers, each of which reads all there is and
/// tells once, as `RingReader` does. `first` is whether a reader asks if it is worth a wake before
/// the bell's fence instead of after it.
fn two_readers_make_room(first: bool) {
    model(move || {
        let log: Arc<Log<u64>> = Log::new(8, 1);
        let space = Arc::new(Space::new());
        let readers = [(); 2].map(|()| Log::required(&log, 1));
        let mut writer = Log::writer(&log);
        writer.claim(1).unwrap().commit(|| 0);
        let readers = readers.map(|mut reader| {
            let (log, space) = (Arc::clone(&log), Arc::clone(&space));
            thread::spawn(move || {
                assert!(matches!(reader.next(), Next::Item(1, _)));
                reader.advance();
                reader.publish();
                let worth = || log.is_half_free() || (log.has_room(1) && !reader.is_ready());
                if first {
                    let early = worth();
                    space.freed(|| early);
                } else {
                    space.freed(worth);
                }
                reader
            })
        });
        let bed = Bed::new();
        let mut waiting = space.waiting_patiently();
        waiting.register(&Waker::from(std::sync::Arc::clone(&bed)));
        let sleeps = !log.has_room(1);
        // Kept: a reader that goes makes room as well.
        let readers = readers.map(|reader| reader.join().unwrap());
        assert!(*bed.woken.lock().unwrap() || !sleeps, "a lost wake-up");
        drop(waiting);
        drop(readers);
    });
}

/// Whichever of the two is the second sees the other's place and wakes the publisher.
#[test]
fn the_last_of_two_readers_to_make_room_wakes_the_publisher() {
    two_readers_make_room(false);
}

/// Must fail: each sees the other still in the way.
#[test]
#[should_panic(expected = "a lost wake-up")]
fn readers_that_ask_before_the_fence_lose_a_wake_up() {
    two_readers_make_room(true);
}

// ---- Losses.

/// What records losses, and what tells them.
trait Telling: Send + Sync + 'static {
    fn record(&self, reason: DropReason, from: u64, to: u64, n: u64);
}

impl Telling for Losses {
    fn record(&self, reason: DropReason, from: u64, to: u64, n: u64) {
        Losses::record(self, reason, from, to, n);
    }
}

/// One thread loses 5 to 9, another 100 and 200; both are told while they do it and once after.
fn lose<T: Telling>(losses: T, mut collect: impl FnMut(&T, &mut Vec<Gap>)) {
    let losses = Arc::new(losses);
    let (wide, narrow) = (Arc::clone(&losses), Arc::clone(&losses));
    let wide = thread::spawn(move || wide.record(DropReason::FullOldest, 5, 9, 3));
    let narrow = thread::spawn(move || {
        narrow.record(DropReason::FullNewest, 100, 100, 1);
        narrow.record(DropReason::FullNewest, 200, 200, 1);
    });
    let mut gaps = Vec::new();
    collect(&losses, &mut gaps);
    wide.join().unwrap();
    narrow.join().unwrap();
    collect(&losses, &mut gaps);
    let count =
        |reason| gaps.iter().filter(|gap| gap.reason == reason).map(|gap| gap.count).sum::<u64>();
    assert_eq!((count(DropReason::FullOldest), count(DropReason::FullNewest)), (3, 2));
    let covers = |gap: &Gap, from, to| gap.from.get() <= from && gap.to.get() >= to;
    let mut told = gaps.iter().filter(|gap| gap.reason == DropReason::FullNewest);
    let wide = gaps.iter().find(|gap| gap.reason == DropReason::FullOldest).unwrap();
    assert!(covers(wide, 5, 9), "uncovered: {gaps:?}");
    let first = told.next().unwrap();
    assert!(covers(first, 100, 100), "{gaps:?}");
    assert!(covers(told.next().unwrap_or(first), 200, 200), "{gaps:?}");
}

/// Counts are exact, and each gap's hull covers what it counts, wherever the telling falls.
#[test]
fn losses_are_counted_exactly_and_covered_by_their_hull() {
    model(|| {
        let mut collector = Collector::new();
        lose(Losses::new(), move |losses, gaps| collector.collect(losses, gaps));
    });
}

/// Losses whose hull is not kept for those that are counted later.
struct Forgetful {
    counts: [AtomicU64; 2],
    from: AtomicU64,
    to: AtomicU64,
}

impl Telling for Forgetful {
    fn record(&self, reason: DropReason, from: u64, to: u64, n: u64) {
        self.from.fetch_min(from, Release);
        self.to.fetch_max(to, Release);
        self.counts[reason as usize].fetch_add(n, Release);
    }
}

/// A round that takes the end of a loss which another round counts leaves that one uncovered.
#[test]
#[should_panic(expected = "uncovered")]
fn a_hull_that_is_not_kept_is_found() {
    model(|| {
        let new = || AtomicU64::new(0);
        let losses =
            Forgetful { counts: [new(), new()], from: AtomicU64::new(u64::MAX), to: new() };
        let mut seen = [0; 2];
        lose(losses, move |losses, gaps| {
            let counts = [0, 1].map(|i: usize| losses.counts[i].load(Acquire));
            let (from, to) = (losses.from.swap(u64::MAX, Acquire), losses.to.swap(0, Acquire));
            for reason in [DropReason::FullOldest, DropReason::FullNewest] {
                let count = counts[reason as usize] - seen[reason as usize];
                if count > 0 {
                    let from = crate::Sequence::new(from.min(crate::Sequence::LIMIT - 1));
                    gaps.push(Gap { from, to: crate::Sequence::new(to), count, reason });
                }
            }
            seen = counts;
        });
    });
}

// ---- Cancelling.

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const ENDED: u8 = 3;

/// A subscription with two messages in its mailbox.
struct Life {
    life: AtomicU8,
    /// The cancelling call has returned.
    returned: AtomicBool,
    handled: AtomicU64,
    given_up: AtomicU64,
}

fn cancel(looks_before_each: bool, end: std::sync::atomic::Ordering) {
    model(move || {
        let life = Arc::new(Life {
            life: AtomicU8::new(RUNNING),
            returned: AtomicBool::new(false),
            handled: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        });
        let runner = {
            let life = Arc::clone(&life);
            thread::spawn(move || {
                let mut begun_after = 0;
                for n in 0..2 {
                    if (n == 0 || looks_before_each) && life.life.load(Acquire) != RUNNING {
                        life.given_up.store(2 - n, Relaxed);
                        break;
                    }
                    // The handler.
                    begun_after += u64::from(life.returned.load(Acquire));
                    life.handled.store(n + 1, Relaxed);
                }
                life.life.fetch_max(ENDED, end);
                begun_after
            })
        };
        life.life.fetch_max(CANCELLED, AcqRel);
        life.returned.store(true, Release);
        if life.life.load(Acquire) == ENDED {
            let left = life.given_up.load(Relaxed);
            assert_eq!(life.handled.load(Relaxed) + left, 2, "the account is final");
        }
        assert!(runner.join().unwrap() <= 1, "only the call that was on its way");
    });
}

/// After a cancel has returned at most the call begins that was looked for before; whoever sees
/// the end sees the final account: handled, or given up.
#[test]
fn cancelling_lets_one_call_finish_and_ends_with_the_final_account() {
    cancel(true, AcqRel);
}

/// A look for each batch instead of each message.
#[test]
#[should_panic(expected = "only the call that was on its way")]
fn a_runner_that_looks_once_a_batch_is_found() {
    cancel(false, AcqRel);
}

/// An end that releases nothing.
#[test]
#[should_panic(expected = "the account is final")]
fn an_end_that_does_not_carry_the_account_is_found() {
    cancel(true, Relaxed);
}
