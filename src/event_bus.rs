//! The dynamic face: a bus of events, its journal, and the one that the whole process shares.
#![forbid(unsafe_code)]

mod stored;

pub use stored::PublishStoredError;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::event::{Event, EventError};
use crate::store::{PersistOptions, Persistence, Source, Store, Taken};
use crate::{Bus, PublishError, Sequence, Shared, Tap};

/// A bus of events: what the journal, the command line and bridges speak.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ringpost::{Delivery, EventBus, Shared, event, event::Event};
///
/// let bus = EventBus::new();
/// let failures = bus.subscribe("*.failed")?.spawn(|d: Delivery<'_, Shared<Event>>| {
///     println!("{} failed: {:?}", d.source(), d.data());
/// })?;
/// bus.publish(event!("index.failed", source = "indexer", { "error": "no space" })?)?;
/// bus.settle(Duration::from_secs(10))?;
/// assert_eq!(failures.stats().handled, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type EventBus = Bus<Shared<Event>>;

/// Why [`Bus::publish_event`] published nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishEventError {
    /// It is no valid event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The bus refused it.
    #[error(transparent)]
    Publish(#[from] PublishError<Shared<Event>>),
}

/// What lies in a bus's history right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// How many events there are.
    pub size: usize,
    /// How many there can be.
    pub max_size: usize,
    /// How many of each type.
    pub types: BTreeMap<String, u64>,
    /// How many of each source.
    pub sources: BTreeMap<String, u64>,
}

static GLOBAL: Mutex<Option<EventBus>> = Mutex::new(None);

fn slot() -> MutexGuard<'static, Option<EventBus>> {
    GLOBAL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bus<Shared<Event>> {
    /// The bus that the whole process shares, made with default settings at first use. Buses made
    /// by [`Bus::new`] are apart from it and from each other.
    #[must_use]
    pub fn global() -> Self {
        slot().get_or_insert_with(Self::new).clone()
    }

    /// Makes this bus the process's own, in place of the one before.
    pub fn make_global(&self) {
        *slot() = Some(self.clone());
    }

    /// Forgets the process's bus: the next [`global`](Bus::global) makes a fresh one. For tests.
    /// The old bus closes when its last handle is dropped.
    pub fn reset_global() {
        let old = slot().take();
        // Outside of the lock: closing runs foreign drops.
        drop(old);
    }

    /// Builds an event, publishes it and gives it back: `data` becomes its JSON data.
    ///
    /// # Errors
    ///
    /// [`PublishEventError`]: it is no valid event, or the bus refused it.
    pub fn publish_event<T: serde::Serialize + ?Sized>(
        &self,
        kind: &str,
        source: &str,
        data: &T,
    ) -> Result<Shared<Event>, PublishEventError> {
        let event = Shared::new(Event::builder(kind).source(source).json(data).build()?);
        self.publish(event.clone())?;
        Ok(event)
    }

    /// Counts over what [`recent`](Bus::recent) can give now; counts over the bus's life are in
    /// [`stats`](Bus::stats).
    #[must_use]
    pub fn history(&self) -> History {
        let max_size = self.stats().history;
        let mut history = History { max_size, ..History::default() };
        for event in self.recent(max_size) {
            history.size += 1;
            *history.types.entry(event.kind().to_owned()).or_default() += 1;
            *history.sources.entry(event.source().to_owned()).or_default() += 1;
        }
        history
    }

    /// Stores everything published from now on, in sequence order, on a thread of its own.
    ///
    /// Nothing is lost on the way: what was not yet stored stays on the ring, and when that is
    /// full, publishers wait, or get `Full`. For a store that goes on with an earlier bus's
    /// numbers, build the bus with `start` at the store's last sequence and one.
    ///
    /// [`shutdown`](Bus::shutdown) flushes it; [`Persistence::stop`] ends it and reports.
    ///
    /// # Errors
    ///
    /// If the thread can't be started, the bus is closed, or the store's last sequence is not
    /// below the bus's next one.
    pub fn persist(
        &self,
        store: impl Store + 'static,
        options: PersistOptions,
    ) -> io::Result<Persistence> {
        let next = self.stats().next_sequence;
        if let Some(last) = store.last_sequence().filter(|&last| last >= next) {
            let error = format!(
                "the store ends at sequence {last}, but the bus goes on at {next}: \
                 build the bus with `start` behind the store's last sequence"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let mut tap = self.tap_required("**", usize::MAX).map_err(io::Error::other)?;
        tap.acknowledge_by_hand();
        let persistence = Persistence::start(store, Journaled(tap), options)?;
        persistence.belongs_to(self.downgrade());
        self.on_shutdown(Box::new(persistence.flusher()));
        Ok(persistence)
    }
}

/// The ring as the source of a store.
///
/// Events were made on other cores, and each is two pointers away. Without asking for them early,
/// the actor would wait for memory again and again.
struct Journaled(Tap<Shared<Event>>);

/// How many events ahead the event itself is asked for, and when it is there, its texts.
const FAR: u64 = 8;
const NEAR: u64 = 4;

impl Source for Journaled {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Taken<'_>> {
        if let Some(event) = self.0.ahead(FAR) {
            event.prefetch();
        }
        if let Some(event) = self.0.ahead(NEAR) {
            event.prefetch_texts();
        }
        self.0.poll_message(task).map(|found| match found {
            Some(Ok((sequence, event))) => Taken::Record(sequence, event),
            Some(Err(gap)) => Taken::Gap(gap),
            None => Taken::Closed,
        })
    }

    fn acknowledge(&mut self) {
        self.0.acknowledge();
    }

    fn acknowledge_to(&mut self, last: Sequence) {
        self.0.acknowledge_to(last);
    }
}
