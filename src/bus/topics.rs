//! The topics of a bus: each with its number, its cached route and its counters.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};

use super::route::Route;
use super::shared::SharedEnds;
use super::table::Table;
use crate::Message;
use crate::stats::Counter;
use crate::sync::CachePadded;
use crate::topic::chunks::Chunks;
use crate::topic::names::Names;
use crate::topic::{Topic, TopicError, TopicId};

/// What one publisher published to one topic; written by that publisher alone.
pub(crate) type Tally = CachePadded<Counter>;

/// One topic.
pub(crate) struct TopicEntry<M: Message> {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    route: ArcSwap<Route<M>>,
    /// Publishes by `Bus::publish`, and by publishers that are gone.
    pub(crate) published: Counter,
    /// Handlers that failed on a message of this topic.
    pub(crate) failures: Counter,
    tallies: Mutex<Vec<Weak<Tally>>>,
}

impl<M: Message> TopicEntry<M> {
    /// The route, resolved anew if the table changed.
    pub(crate) fn route(&self, table: &Table<M>) -> Arc<Route<M>> {
        Guard::into_inner(self.lend_route(table))
    }

    /// Makes `route` the table's, and the ends those of its logs: these first, since what another route
    /// lets go of is foreign code.
    #[cold]
    pub(crate) fn follow(
        &self,
        table: &Table<M>,
        route: &mut Arc<Route<M>>,
        ends: &mut SharedEnds<M>,
    ) {
        let now = self.route(table);
        ends.align(&now);
        *route = now;
    }

    /// The same for a moment, without a count.
    #[inline]
    pub(crate) fn lend_route(&self, table: &Table<M>) -> Guard<Arc<Route<M>>> {
        let route = self.route.load();
        if route.version == table.version() { route } else { self.resolve(table) }
    }

    #[cold]
    fn resolve(&self, table: &Table<M>) -> Guard<Arc<Route<M>>> {
        let fresh = Arc::new(table.route(&self.name));
        self.route.store(Arc::clone(&fresh));
        Guard::from_inner(fresh)
    }

    /// A tally for a publisher.
    pub(crate) fn open_tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.push(Arc::downgrade(&tally));
        tally
    }

    /// Adds a publisher's tally to the topic's own.
    pub(crate) fn close_tally(&self, tally: &Arc<Tally>) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(tally)));
        self.published.add(tally.get());
    }

    fn total(&self) -> u64 {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = tallies.iter().filter_map(Weak::upgrade).map(|tally| tally.get()).sum();
        self.published.get() + open
    }
}

/// All topics that were ever published to. They are never forgotten while the bus lives.
pub(crate) struct Topics<M: Message> {
    pub(crate) names: Arc<Names>,
    /// By number. Names that nobody published to have none.
    entries: Chunks<Arc<TopicEntry<M>>>,
}

impl<M: Message> Topics<M> {
    pub(crate) fn new() -> Self {
        Self { names: Arc::new(Names::new()), entries: Chunks::new() }
    }

    /// The topic of this name, made now if it is a valid name and new.
    pub(crate) fn entry(
        &self,
        topic: &str,
        table: &Table<M>,
    ) -> Result<&Arc<TopicEntry<M>>, TopicError> {
        if let Some(entry) = self.find(topic) {
            return Ok(entry);
        }
        if Topic::new(topic)?.is_reserved() {
            return Err(TopicError::Reserved);
        }
        let id = self.names.intern(topic);
        let name = Arc::clone(self.names.name(id));
        // Resolved before its place is taken: the last look at an old table may drop what a cancelled
        // subscription held, and that is foreign code.
        let fresh = Arc::new(TopicEntry {
            id,
            route: ArcSwap::from_pointee(table.route(&name)),
            name,
            published: Counter::default(),
            failures: Counter::default(),
            tallies: Mutex::default(),
        });
        Ok(self.entries.get_or_make(id.get(), || fresh))
    }

    #[inline]
    fn find(&self, topic: &str) -> Option<&Arc<TopicEntry<M>>> {
        self.entries.get(self.names.find(topic)?.get())
    }

    /// Counts a failed handler.
    pub(crate) fn count_failure(&self, topic: &str) {
        if let Some(entry) = self.find(topic) {
            entry.failures.add(1);
        }
    }

    /// Calls `f` with each topic's name, publishes and failures.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&str, u64, u64)) {
        for entry in (0..self.names.count()).filter_map(|number| self.entries.get(number)) {
            f(&entry.name, entry.total(), entry.failures.get());
        }
    }
}
