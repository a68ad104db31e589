//! Joining a log that several subscriptions share (`actor/shared_log.rs`): whatever gets a sequence
//! from the reader's start on is behind the reader's beginning.
#![forbid(unsafe_code)]

use super::*;
use crate::ring::{Holder, Reader};

const WINDOW: usize = 4;

/// Where a reader begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Where it must.
    Right,
    /// With `Block`: at the log's tail, before which a publisher may hold a place.
    AtTheTail,
    /// With a policy that loses: where the log is once the start is taken.
    AfterTheStart,
}

/// The bus's ring, and the log.
struct Shared {
    ring: Arc<Log<u64>>,
    log: Arc<Log<Option<u64>>>,
    /// Whoever left had read everything below.
    read: AtomicU64,
    blocks: bool,
}

impl Shared {
    fn new(blocks: bool) -> Arc<Self> {
        let (ring, log) = (Log::new(8, 1), Log::new(16, 1));
        Arc::new(Self { ring, log, read: AtomicU64::new(1), blocks })
    }

    /// The steps of a publish, in their order; the first is given up once its place is held.
    fn publish(&self, writer: &mut Writer<u64>, holder: &mut Holder<Option<u64>>, gives_up: bool) {
        if self.blocks {
            holder.hold(1).unwrap();
            if gives_up {
                return holder.held().unwrap().commit(|| None);
            }
        }
        let claim = writer.claim(1).unwrap();
        let sequence = claim.first();
        claim.commit(|| sequence);
        match holder.held() {
            Some(held) => held.commit(|| Some(sequence)),
            None => holder.pen().claim(1).unwrap().commit(|| Some(sequence)),
        }
    }

    fn publisher(shared: &Arc<Self>, messages: usize) -> thread::JoinHandle<()> {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut writer = Log::writer(&shared.ring);
            let mut holder = Holder::new(&shared.log);
            if shared.blocks && messages > 1 {
                shared.publish(&mut writer, &mut holder, true);
            }
            for _ in 0..messages {
                shared.publish(&mut writer, &mut holder, false);
            }
        })
    }

    /// A reader, and the first sequence that is its own.
    fn join(&self, begin: Begin) -> (Reader<Option<u64>>, u64) {
        if !self.blocks {
            let late = (begin == Begin::AfterTheStart).then(|| self.ring.join());
            let reader = Log::reader(&self.log, self.log.join());
            return (reader, late.unwrap_or_else(|| self.ring.join()));
        }
        let reader = if begin == Begin::AtTheTail {
            Log::required(&self.log, WINDOW)
        } else {
            let by_others = self.log.read_by_all(WINDOW);
            let from = by_others.unwrap_or_else(|| self.read.load(Acquire));
            Log::required_from(&self.log, from, WINDOW).expect("nothing was overrun")
        };
        (reader, self.ring.join())
    }
}

/// Takes what is there, without what is older than `start`.
fn take(reader: &mut Reader<Option<u64>>, start: u64) -> Vec<u64> {
    let mut taken = Vec::new();
    while let Next::Item(_, slip) = reader.next() {
        taken.extend(slip.filter(|&sequence| sequence >= start));
        // It has it in hand first.
        reader.publish_ahead(1);
        reader.advance();
    }
    taken
}

fn join(blocks: bool, begin: Begin) {
    model(move || {
        let shared = Shared::new(blocks);
        // Somebody who has read nothing yet.
        let _other = blocks.then(|| Log::required(&shared.log, WINDOW));
        let publisher = Shared::publisher(&shared, 2);
        let (mut reader, start) = shared.join(begin);
        publisher.join().unwrap();
        let got = take(&mut reader, start);
        assert_eq!(got, (start..=2).collect::<Vec<_>>(), "everything from the start on");
    });
}

/// A place may be held before the reader joins, and get its sequence afterwards.
#[test]
fn a_reader_that_joins_a_block_log_has_everything_from_its_start_on() {
    join(true, Begin::Right);
}

/// Must fail: that place is before the reader.
#[test]
#[should_panic(expected = "everything from the start on")]
fn a_reader_of_a_block_log_that_begins_at_the_tail_is_found() {
    join(true, Begin::AtTheTail);
}

#[test]
fn a_reader_that_joins_a_log_has_everything_from_its_start_on() {
    join(false, Begin::Right);
}

/// Must fail: what was published in between is before the reader.
#[test]
#[should_panic(expected = "everything from the start on")]
fn a_reader_of_a_log_that_begins_after_its_start_is_found() {
    join(false, Begin::AfterTheStart);
}

/// The only reader reads what there is and leaves, while another joins and a message is published:
/// whichever the new one begins with, its place or what it noted when it left, nothing is missing.
#[test]
fn a_reader_that_joins_while_the_last_one_leaves_has_everything_from_its_start_on() {
    model(|| {
        let shared = Shared::new(true);
        let mut other = Log::required(&shared.log, WINDOW);
        let publisher = Shared::publisher(&shared, 1);
        let leaving = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                take(&mut other, 1);
                shared.read.fetch_max(other.position(), Release);
                drop(other);
            })
        };
        let (mut reader, start) = shared.join(Begin::Right);
        publisher.join().unwrap();
        leaving.join().unwrap();
        let got = take(&mut reader, start);
        assert_eq!(got, (start..=1).collect::<Vec<_>>(), "everything from the start on");
    });
}

/// A publisher is held back by a reader that is in the middle of a message when somebody lets go
/// for it: it gets on, whenever the reader tells how far it is, and what that was lent stays. It may
/// tell before it handles what it has in hand, as of a shared log, or afterwards, as of the ring.
fn let_go(tell: fn(&mut Reader<u64>)) {
    model(move || {
        let log: Arc<Log<u64>> = Log::new(8, 1);
        let mut writer = Log::writer(&log);
        let mut reader = Log::required(&log, 2);
        let stake = reader.stake().unwrap();
        (1..=2).for_each(|n| writer.claim(1).unwrap().commit(|| n));
        assert!(writer.claim(1).is_err());
        let reading = thread::spawn(move || {
            // It may have been overrun before it looked.
            if let Next::Item(1, &lent) = reader.next() {
                assert_eq!(lent, 1);
                tell(&mut reader);
            }
            // Kept: one that goes makes room as well.
            reader
        });
        stake.lift();
        for n in 3..=6 {
            writer.claim(1).unwrap().commit(|| n);
            writer.reclaim();
        }
        reading.join().unwrap();
    });
}

#[test]
fn a_publisher_gets_on_when_a_reader_is_let_go_of_and_what_was_lent_stays() {
    let_go(|reader| reader.publish_ahead(1));
}

#[test]
fn a_publisher_gets_on_when_a_reader_is_let_go_of_that_tells_what_it_has_handled() {
    let_go(|reader| {
        reader.advance();
        reader.publish_ahead(0);
    });
}

#[test]
#[should_panic(expected = "Full")]
fn a_reader_that_holds_publishers_back_once_it_was_let_go_of_is_found() {
    let_go(|reader| {
        reader.advance();
        reader.publish();
    });
}
