//! The first of several that are alike takes a seat at their log instead of its mailbox, which nobody
//! has asked for so far (`Table::seat`, `mailbox/lazy.rs`): it has everything once, by one of the two.
#![forbid(unsafe_code)]

use super::*;
use crate::ring::Reader;

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
    exact: AtomicBool,
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
            exact: AtomicBool::new(true),
            trie: AtomicBool::new(false),
            change,
        })
    }

    /// As `Table::route`: who finds that the mailbox has given way sees the seat at the next look.
    fn route(&self) -> Route {
        for _ in 0..2 {
            let version = self.version.load(Acquire);
            let mailbox = self.exact.load(Acquire);
            let seat = self.trie.load(Acquire);
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
        let (hide, show) = (|| self.exact.store(false, Release), || self.trie.store(true, Release));
        if self.change == Change::HiddenFirst {
            hide()
        } else {
            show()
        }
        self.version.fetch_add(1, Release);
        if self.change == Change::HiddenFirst {
            show()
        } else {
            hide()
        }
        self.version.fetch_add(1, Release);
    }
}

/// A publisher that knows nobody yet, or knows those of the table before the first, publishes while the
/// second one comes.
fn seat(change: Change) {
    model(move || {
        let seats = Seats::new(change);
        let publisher = {
            let seats = Arc::clone(&seats);
            thread::spawn(move || {
                let mut writer = Log::writer(&seats.ring);
                let mut route = Route::default();
                seats.publish(&mut writer, &mut route);
                seats.publish(&mut writer, &mut route);
            })
        };
        let reader = seats.second();
        publisher.join().unwrap();
        let mailbox = seats.mailbox.lock().unwrap().clone();
        let got = match reader {
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
        assert_eq!(got, [1, 2], "everything once");
    });
}

#[test]
fn the_first_of_those_that_are_alike_has_everything_once_when_the_second_comes() {
    seat(Change::Right);
}

/// Must fail: a publisher finds neither the mailbox nor the seat, and does not look again.
#[test]
#[should_panic(expected = "everything once")]
fn a_mailbox_that_is_hidden_before_the_seat_is_shown_is_found() {
    seat(Change::HiddenFirst);
}

/// Must fail: a publisher finds a mailbox that has given way, and no seat yet.
#[test]
#[should_panic(expected = "the second look finds the seat")]
fn a_mailbox_that_gives_way_before_the_seat_is_shown_is_found() {
    seat(Change::NotUnderTheLock);
}

/// Must fail: a publisher goes on to put messages into the mailbox.
#[test]
#[should_panic(expected = "what has given way gets nothing")]
fn a_mailbox_that_gives_way_though_somebody_has_it_is_found() {
    seat(Change::Unasked);
}
