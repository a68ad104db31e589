//! Lives of a durable consumer over a journal on a disk that fails, is left in the middle of a
//! call, or loses its power.
//!
//! A life is a process with a bus, its journal and one consumer, which handles some events, fails
//! with others, and acknowledges the former. Whatever ends it, an event that is in the journal at
//! the very end and matches was handled by then, by its identity: so a sequence that was given
//! out twice does not hide a skipped event. The journal has a thread of its own, so that a seed
//! repeats the plan of a history, not each interleaving.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::rng::Rng;
use super::sim::{Call, Cut, Fault, SimFs};
use crate::event::Event;
use crate::store::consumer::planted::{self, Bug as ConsumerBug};
use crate::store::journal::lock::LOCK;
use crate::store::journal::planted::{Bug, plant};
use crate::store::journal::storage::Storage;
use crate::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use crate::store::{Begin, Consumer, PersistOptions, Persistence, Store};
use crate::{Bus, Sequence, Shared};

const LONG: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(1);

/// One process.
struct Life {
    bus: Bus<Shared<Event>>,
    persistence: Persistence,
    /// Whether the journal found the consumer ahead of it.
    ahead: bool,
}

impl Life {
    /// None if the disk would not have it.
    fn begin(disk: &SimFs, fsync: Fsync) -> Option<Self> {
        let options = JournalOptions::default().with_fsync(fsync).with_segment_bytes(1200);
        let journal = Journal::on(Arc::new(disk.clone()), options).ok()?;
        let ahead = !journal.recovery().ahead.is_empty();
        let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
        let bus = Bus::builder().start(Sequence::new(next)).build();
        let options =
            PersistOptions { first_pause: BRIEF, longest_pause: BRIEF, ..Default::default() };
        let persistence = bus.persist(journal, options).expect("a thread");
        Some(Self { bus, persistence, ahead })
    }

    fn publish(&self, id: u64) {
        let kind = if id.is_multiple_of(3) { "wanted.odd" } else { "other" };
        let event = Event::builder(kind).id(id.to_string()).source("s").build().expect("an event");
        // A disk that is full for a while fills the ring in the end, but not with so few.
        self.bus.publish(event).expect("there is room");
    }

    fn consumer(&self) -> Option<Consumer> {
        let wanted = self.bus.subscribe("wanted.*").expect("a pattern");
        let wanted = wanted.durable("billing", &self.persistence).begin(Begin::First);
        wanted.checkpoint(2, Duration::ZERO).pull().ok()
    }

    /// Everything stops where it is: the disk does nothing for this process any more.
    fn kill(self, consumer: Option<Consumer>, disk: &SimFs) {
        disk.plan(|_, _| Fault::Dies(0));
        drop(consumer);
        let _ = self.persistence.stop(BRIEF);
        // The thread may still be on its way out; it gives the lock back at the end.
        while disk.is_locked(LOCK).expect("asked") {
            std::thread::yield_now();
        }
        disk.heal();
        disk.revive();
    }
}

fn identity(event: &Event) -> u64 {
    event.id().parse().expect("a number")
}

/// One history; what is wrong, if something is.
fn history(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut disk = SimFs::by_chance(Rng::new(rng.next()));
    let fsync = rng.among(&[Fsync::Batch, Fsync::Interval(LONG), Fsync::Never]);
    let (mut handled, mut next) = (BTreeSet::new(), 1);
    for life in 0..rng.below(5) + 1 {
        let (one_in, mut chance) = (rng.below(20) + 4, Rng::new(rng.next()));
        if rng.one_in(3) {
            disk.plan(move |_, call| match call {
                Call::Write | Call::Sync | Call::Append if chance.one_in(one_in) => Fault::Fails,
                _ => Fault::None,
            });
        }
        let Some(one) = Life::begin(&disk, fsync) else {
            disk.heal();
            disk.revive();
            continue;
        };
        if one.ahead && fsync != Fsync::Never && !disk.ground().failed_sync {
            return Err(format!("in life {life} the consumer is ahead of what was durable"));
        }
        let mut consumer = one.consumer();
        for _ in 0..rng.below(12) + 1 {
            one.publish(next);
            next += 1;
            if rng.one_in(4) {
                let upto = Sequence::new(one.bus.stats().next_sequence.get() - 1);
                let _ = one.persistence.flush(upto, BRIEF);
            }
            let Some(consumer) = &mut consumer else { continue };
            if let Ok(Some(event)) = consumer.next_timeout(Duration::ZERO) {
                let id = identity(&event);
                // Otherwise it failed, and is not acknowledged.
                if !rng.one_in(3) {
                    handled.insert(id);
                    consumer.ack();
                }
            }
            if rng.one_in(4) {
                let _ = consumer.flush();
            }
        }
        match rng.below(3) {
            0 => {
                disk.heal();
                if let Some(consumer) = consumer {
                    let report = consumer.close(LONG);
                    if !report.complete || !report.stats.account.balances() {
                        return Err(format!("in life {life} the end is not whole: {report:?}"));
                    }
                }
                let _ = one.persistence.stop(LONG);
            }
            1 => one.kill(consumer, &disk),
            _ => {
                let after = disk.cut_power(Cut::Chance(&mut rng));
                one.kill(consumer, &disk);
                disk = after;
            }
        }
    }
    disk.heal();
    let last = Life::begin(&disk, fsync).ok_or("the last life does not begin")?;
    let mut consumer = last.consumer().ok_or("the last consumer does not begin")?;
    while let Ok(Some(event)) = consumer.next_timeout(Duration::ZERO) {
        handled.insert(identity(&event));
        consumer.ack();
    }
    let position = consumer.position();
    if position != last.bus.stats().next_sequence {
        return Err(format!("it stays at {position}, though nothing is left"));
    }
    let entries = JournalReader::of(Arc::new(disk.clone())).records().expect("records");
    let skipped: Vec<_> = entries
        .map(|entry| identity(&entry.expect("readable").event))
        .filter(|id| id.is_multiple_of(3) && !handled.contains(id))
        .collect();
    if skipped.is_empty() { Ok(()) } else { Err(format!("skipped: {skipped:?}")) }
}

/// Whether one of so many histories breaks a promise.
fn is_found(seeds: u64) -> bool {
    (1..=seeds).any(|seed| history(seed).is_err())
}

pub(super) fn hold(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        if let Err(broken) = history(seed) {
            panic!("{broken}\nrepeat it: RINGPOST_SEED={seed} RINGPOST_HISTORIES=1 ci/crash.sh");
        }
    }
}

#[test]
fn no_death_and_no_power_cut_makes_a_consumer_skip_an_event() {
    hold(1..=400);
}

macro_rules! finds {
    ($($name:ident: $bug:ident,)+) => {
        $(#[test]
        fn $name() {
            planted::plant(Some(ConsumerBug::$bug));
            assert!(is_found(2000));
        })+
    };
}

finds! {
    an_event_acknowledged_before_it_is_handled_is_found: AcknowledgedBeforeSuccess,
    a_checkpoint_ahead_of_the_journal_is_found: AheadOfJournal,
    a_filter_that_holds_the_checkpoint_is_found: FilterHolds,
}

#[test]
fn a_checkpoint_left_ahead_of_a_journal_that_lost_its_end_is_found() {
    plant(Some(Bug::AheadStays));
    assert!(is_found(4000));
}
