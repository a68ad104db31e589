//! The names of a bus's topics: each resolved once to a number, and never forgotten.
//!
//! Publishers resolve a name when they are made; slots of ring and mailboxes carry the number;
//! deliveries lend the name back. Looking a number up takes no lock.
#![forbid(unsafe_code)]

use std::cell::{Cell, OnceCell};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use super::TopicId;
use super::chunks::Chunks;

/// Places for names that a thread has looked up lately: 8 KiB for each thread that looks names up. A
/// power of two.
const LATELY: usize = 2048;

thread_local! {
    /// Numbers, each at the place that its name's hash gives, of whichever table. Whoever finds one
    /// looks whether it is this name's, so it may be anything.
    static SEEN: OnceCell<Box<[Cell<u32>]>> = const { OnceCell::new() };
}

/// An append-only table of names, in both directions.
#[derive(Debug)]
pub(crate) struct Names {
    ids: DashMap<Arc<str>, TopicId, foldhash::fast::RandomState>,
    names: Chunks<Arc<str>>,
    /// How many names there are; taken to add one.
    count: Mutex<u32>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { ids: DashMap::default(), names: Chunks::new(), count: Mutex::new(0) }
    }

    /// How many names there are; their numbers are below that.
    pub(crate) fn count(&self) -> u32 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a name, if it has one. One that this thread has looked up lately is found without
    /// the map, whose locks are lines that all publishers write to.
    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        let place = self.ids.hasher().hash_one(name) as usize % LATELY;
        let seen = SEEN.try_with(|seen| seen.get().map(|seen| seen[place].get()));
        if let Ok(Some(seen)) = seen
            && self.names.get(seen).is_some_and(|known| **known == *name)
        {
            return Some(TopicId::new(seen));
        }
        self.look_up(name, place)
    }

    #[cold]
    fn look_up(&self, name: &str, place: usize) -> Option<TopicId> {
        let id = *self.ids.get(name)?;
        // `Err`: the thread is being torn down.
        let _ = SEEN.try_with(|seen| {
            let seen = seen.get_or_init(|| (0..LATELY).map(|_| Cell::new(0)).collect());
            seen[place].set(id.get());
        });
        Some(id)
    }

    /// The number of a name, given now if it has none.
    pub(crate) fn intern(&self, name: &str) -> TopicId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = TopicId::new(*count);
        let name: Arc<str> = Arc::from(name);
        self.names.get_or_make(*count, || Arc::clone(&name));
        self.ids.insert(name, id);
        *count += 1;
        id
    }

    /// The name of a number that [`intern`](Names::intern) gave.
    pub(crate) fn name(&self, id: TopicId) -> &Arc<str> {
        self.names.get(id.get()).expect("a topic's number is given by its bus")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_number_its_name() {
        let names = Names::new();
        let ids: Vec<_> = (0..1000).map(|i| names.intern(&format!("topic.{i}"))).collect();
        for (i, &id) in ids.iter().enumerate() {
            assert_eq!(id.get() as usize, i);
            assert_eq!(&**names.name(id), format!("topic.{i}"));
            assert_eq!(names.intern(&format!("topic.{i}")), id);
        }
        assert_eq!(names.find("topic.none"), None);
        assert_eq!(names.intern("topic.1000").get(), 1000);
    }

    #[test]
    fn a_name_is_found_whatever_the_thread_has_looked_up_before() {
        // More names than places to remember them, in two tables that number them differently.
        let all: Vec<_> = (0..3 * LATELY).map(|i| format!("topic.{i}")).collect();
        let (one, other) = (Names::new(), Names::new());
        let forth: Vec<_> = all.iter().map(|name| one.intern(name)).collect();
        let back: Vec<_> = all.iter().rev().map(|name| other.intern(name)).collect();
        for (at, name) in all.iter().enumerate() {
            for _ in 0..2 {
                assert_eq!(one.find(name), Some(forth[at]));
                assert_eq!(other.find(name), Some(back[all.len() - 1 - at]));
            }
        }
        assert_eq!((one.find(""), one.count()), (None, 3 * LATELY as u32));
    }

    #[test]
    fn two_threads_agree_on_every_number() {
        let names = Names::new();
        std::thread::scope(|scope| {
            let run = || (0..500).map(|i| names.intern(&i.to_string())).collect::<Vec<_>>();
            let other = scope.spawn(run);
            assert_eq!(run(), other.join().unwrap());
        });
        assert_eq!(names.intern("another").get(), 500);
    }
}
