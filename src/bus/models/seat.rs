//! The first of several that are alike takes a seat at their log instead of its mailbox, which nobody
//! has asked for so far (`Table::seat`, `mailbox/lazy.rs`): it has everything once, by one of the two.
#![forbid(unsafe_code)]

use super::words::{GONE, Tag, Words};
use super::*;
use crate::ring::Reader;

const TOPIC: Tag = Tag(7);

/// How the change is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// As it must be.
    Right,
    /// Publishers may find neither for a moment.
    HiddenFirst,
    /// Whoever looks for the mailbox does not wait for the end of the change.
    NotUnderTheLock,
    /// Without a look whether somebody has asked for the mailbox.
    Unasked,
    /// Who no longer finds the mailbox need not find what was shown before.
    Unordered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Unmade,
    Made,
    GaveWay,
}

/// Whom a publisher knows.
#[derive(Clone, Copy, Default)]
struct Route {
    version: u64,
    mailbox: bool,
    seat: bool,
}

/// The ring, the table with the first subscription, its mailbox, and the log.
struct Seats {
    ring: Arc<Log<u64>>,
    log: Arc<Log<u64>>,
    mailbox: Mutex<Vec<u64>>,
    rest: Mutex<Rest>,
    /// What publishers find: see `Table::route`.
    version: AtomicU64,
    exact: Words,
    /// The same as the words say, but for their orderings.
    unordered: AtomicBool,
    has_trie: AtomicBool,
    trie: AtomicBool,
    change: Change,
}

impl Seats {
    fn new(change: Change) -> Arc<Self> {
        Arc::new(Self {
            ring: Log::new(8, 1),
            log: Log::new(8, 1),
            mailbox: Mutex::new(Vec::new()),
            rest: Mutex::new(Rest::Unmade),
            version: AtomicU64::new(1),
            exact: Words::new(2),
            unordered: AtomicBool::new(false),
            has_trie: AtomicBool::new(false),
            trie: AtomicBool::new(false),
            change,
        })
    }

    /// The first subscribes; gives the first sequence that is its own.
    fn first(&self) -> u64 {
        self.exact.put(TOPIC, 0);
        self.unordered.store(true, Relaxed);
        self.version.fetch_add(1, Release);
        self.ring.join()
    }

    fn has_mailbox(&self) -> bool {
        match self.change {
            Change::Unordered => self.unordered.load(Relaxed),
            _ => self.exact.places(TOPIC).next().is_some(),
        }
    }

    /// As `Table::route`: who finds that the mailbox has given way sees the seat at the next look.
    fn route(&self) -> Route {
        for _ in 0..2 {
            let version = self.version.load(Acquire);
            let mailbox = self.has_mailbox();
            let seat = self.has_trie.load(Relaxed) && self.trie.load(Acquire);
            if !mailbox {
                return Route { version, mailbox, seat };
            }
            let mut rest = self.rest.lock().unwrap();
            if *rest != Rest::GaveWay {
                *rest = Rest::Made;
                return Route { version, mailbox, seat };
            }
        }
        panic!("the second look finds the seat");
    }

    /// The steps of a publish, in their order.
    fn publish(&self, writer: &mut Writer<u64>, route: &mut Route) {
        if route.version != self.version.load(Acquire) {
            *route = self.route();
        }
        let claim = writer.claim(1).unwrap();
        let sequence = claim.first();
        let rerouted = self.version.load(Acquire) != route.version;
        claim.commit(|| sequence);
        let mut served = *route;
        if rerouted {
            let now = self.route();
            // Those who joined, beside those whom the old route reaches.
            served = Route {
                mailbox: route.mailbox || now.mailbox,
                seat: route.seat || now.seat,
                ..now
            };
            *route = now;
        }
        if served.mailbox {
            self.mailbox.lock().unwrap().push(sequence);
        }
        if served.seat {
            self.log.with_writer(|pen| pen.claim(1).unwrap().commit(|| sequence));
        }
    }

    /// Who is second makes the log, and has the first take a seat at it.
    fn second(&self) -> Option<Reader<u64>> {
        let reader = Log::reader(&self.log, self.log.join());
        let mut rest = self.rest.lock().unwrap();
        if self.change != Change::Unasked && *rest != Rest::Unmade {
            return None;
        }
        if self.change == Change::NotUnderTheLock {
            *rest = Rest::GaveWay;
            drop(rest);
            self.show();
            return Some(reader);
        }
        self.show();
        *rest = Rest::GaveWay;
        Some(reader)
    }

    fn show(&self) {
        let hidden_first = self.change == Change::HiddenFirst;
        for shows in [!hidden_first, hidden_first] {
            if shows {
                self.has_trie.store(true, Relaxed);
                self.trie.store(true, Release);
            } else {
                self.unordered.store(false, Relaxed);
                let (at, _) = self.exact.places(TOPIC).next().expect("it is there");
                self.exact.set(at, GONE);
            }
            self.version.fetch_add(1, Release);
        }
    }
}

/// A publisher publishes while the second one comes: one that has not looked at the table before, or
/// one whose route is of before the first, who also comes meanwhile.
fn seat(change: Change, first_comes_too: bool) {
    model(move || {
        let seats = Seats::new(change);
        let before = Route { version: 1, ..Route::default() };
        let mut start = if first_comes_too { 0 } else { seats.first() };
        let publisher = {
            let seats = Arc::clone(&seats);
            thread::spawn(move || {
                let mut writer = Log::writer(&seats.ring);
                let mut route = before;
                seats.publish(&mut writer, &mut route);
                seats.publish(&mut writer, &mut route);
            })
        };
        if first_comes_too {
            start = seats.first();
        }
        let reader = seats.second();
        publisher.join().unwrap();
        let mailbox = seats.mailbox.lock().unwrap().clone();
        let mut got = match reader {
            Some(mut reader) => {
                assert!(mailbox.is_empty(), "what has given way gets nothing");
                let mut got = Vec::new();
                while let Next::Item(_, &sequence) = reader.next() {
                    got.push(sequence);
                    reader.advance();
                }
                got
            }
            None => mailbox,
        };
        got.retain(|sequence| *sequence >= start);
        assert_eq!(got, (start..=2).collect::<Vec<_>>(), "everything once");
    });
}

#[test]
fn the_first_of_those_that_are_alike_has_everything_once_when_the_second_comes() {
    seat(Change::Right, false);
}

#[test]
fn the_first_of_those_that_are_alike_has_everything_once_when_both_come() {
    seat(Change::Right, true);
}

/// Must fail: a publisher finds neither the mailbox nor the seat, and does not look again.
#[test]
#[should_panic(expected = "everything once")]
fn a_mailbox_that_is_hidden_before_the_seat_is_shown_is_found() {
    seat(Change::HiddenFirst, false);
}

/// Must fail: the same, where the memory shows it so.
#[test]
#[should_panic(expected = "everything once")]
fn a_mailbox_that_is_hidden_without_an_order_is_found() {
    seat(Change::Unordered, false);
}

/// Must fail: a publisher finds a mailbox that has given way, and no seat yet.
#[test]
#[should_panic(expected = "the second look finds the seat")]
fn a_mailbox_that_gives_way_before_the_seat_is_shown_is_found() {
    seat(Change::NotUnderTheLock, false);
}

/// Must fail: a publisher goes on to put messages into the mailbox.
#[test]
#[should_panic(expected = "what has given way gets nothing")]
fn a_mailbox_that_gives_way_though_somebody_has_it_is_found() {
    seat(Change::Unasked, false);
}

/// The sleep of the first one is moved into its bell at the log, before publishers know of that: the
/// first message ends it, or the first one has woken for something else and sees the message.
fn moved_sleep(before: bool, polled: bool) {
    model(move || {
        let log: Arc<Log<u64>> = Log::new(8, 1);
        let sleepers = std::sync::Arc::new(Sleepers::default());
        let bell = Arc::new(Bell::new(std::sync::Arc::clone(&sleepers)));
        let bed = Bed::new();
        let shown = Arc::new(AtomicBool::new(false));
        let reader = Log::reader(&log, 1);
        let publisher = {
            let (log, bell, shown) = (Arc::clone(&log), Arc::clone(&bell), Arc::clone(&shown));
            let sleepers = std::sync::Arc::clone(&sleepers);
            thread::spawn(move || {
                if !shown.load(Acquire) {
                    return;
                }
                log.with_writer(|pen| pen.claim(1).unwrap().commit(|| 1));
                if sleepers.any() {
                    bell.ring();
                }
            })
        };
        let waker = || Waker::from(std::sync::Arc::clone(&bed));
        if before {
            bell.begin_asleep(waker());
        }
        shown.store(true, Release);
        if !before {
            bell.begin_asleep(waker());
        }
        // Any task may be polled once more.
        let look = || reader.is_ready() || reader.is_coming();
        let sleeps = !polled || bell.park(&waker(), look);
        publisher.join().unwrap();
        let woken = *bed.woken.lock().unwrap();
        assert!(woken || !sleeps || !reader.is_ready(), "a lost wake");
        assert_eq!(sleepers.any(), sleeps && !woken, "who sleeps is counted once");
    });
}

#[test]
fn a_sleep_that_was_moved_into_a_bell_is_ended_by_the_first_message_and_counted_once() {
    moved_sleep(true, false);
    moved_sleep(true, true);
}

/// Must fail: the first message finds nobody asleep.
#[test]
#[should_panic(expected = "a lost wake")]
fn a_sleep_that_is_moved_after_the_seat_was_shown_is_found() {
    moved_sleep(false, false);
}
