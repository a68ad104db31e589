//! A bus over a journal in a directory, one session after the other.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{
    ConsumerName, ConsumerReport, DurableBuilder, DurableSubscription, PersistOptions, Persistence,
    Store,
};
use ringpost::{Delivery, EventBus, Sequence, Shared};

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// One process's part: its bus, and the journal behind it.
pub(crate) struct Session {
    pub(crate) bus: EventBus,
    pub(crate) persistence: Persistence,
}

impl Session {
    pub(crate) fn open(directory: &Path) -> Self {
        Self::with(directory, Fsync::Batch, 8192)
    }

    pub(crate) fn with(directory: &Path, fsync: Fsync, ring: usize) -> Self {
        let options = JournalOptions::default().with_fsync(fsync);
        let journal = Journal::open(directory, options).expect("opens");
        let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
        let bus = EventBus::builder().start(Sequence::new(next)).recent(1).ring(ring).build();
        let persistence = bus.persist(journal, PersistOptions::default()).expect("started");
        Self { bus, persistence }
    }

    pub(crate) fn publish(&self, kind: &str, count: u64) {
        for _ in 0..count {
            let event = Event::builder(kind).source("test").build().expect("an event");
            self.bus.publish(event).expect("published");
        }
    }

    /// Waits until all that was published is in the journal.
    pub(crate) fn settle(&self) {
        let next = self.bus.stats().next_sequence.get();
        self.persistence.flush(Sequence::new(next - 1), LONG).expect("flushed");
    }

    /// The consumer `billing` of `invoice.*`.
    pub(crate) fn billing(&self) -> DurableBuilder<'_> {
        self.bus.subscribe("invoice.*").expect("a pattern").durable("billing", &self.persistence)
    }

    /// Waits until the consumer has come to the end. A shutdown would not try a failed event again.
    pub(crate) fn catch_up(&self, billing: &DurableSubscription) {
        while billing.stats().lag > 0 {
            assert_eq!(billing.stats().end, None);
            std::thread::yield_now();
        }
    }

    /// Ends as a program does.
    pub(crate) fn end(self, billing: DurableSubscription) -> ConsumerReport {
        assert!(self.bus.shutdown(LONG).is_clean());
        let report = billing.stop(LONG);
        assert!(report.complete, "{report:?}");
        assert!(report.stats.account.balances(), "{report:?}");
        assert!(self.persistence.stop(LONG).complete);
        report
    }
}

pub(crate) fn name(text: &str) -> ConsumerName {
    text.parse().expect("a name")
}

/// What the journal says the consumer `billing` needs next.
pub(crate) fn stored(directory: &Path) -> u64 {
    let consumers = JournalReader::open(directory).expect("a reader").consumers();
    let found = consumers.expect("a directory").get(&name("billing")).expect("readable");
    found.map_or(0, |state| state.checkpoint.next.get())
}

/// The sequences that a handler saw.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u64>>>);

impl Seen {
    pub(crate) fn note(&self, delivery: &Delivery<'_, Shared<Event>>) -> u64 {
        let sequence = delivery.sequence().expect("a sequence").get();
        self.0.lock().expect("free").push(sequence);
        sequence
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.0.lock().expect("free").clone()
    }

    /// Waits until so many were seen.
    pub(crate) fn wait(&self, count: usize) {
        let until = std::time::Instant::now() + LONG;
        while self.0.lock().expect("free").len() < count {
            assert!(std::time::Instant::now() < until, "only {:?}", self.all());
            std::thread::yield_now();
        }
    }
}
