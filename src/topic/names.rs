//! The names of a bus's topics: each resolved once to a number, and never forgotten.
//!
//! Publishers resolve a name when they are made; slots of ring and mailboxes carry the number;
//! deliveries lend the name back. Looking a number up takes no lock.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dashmap::DashMap;

use super::TopicId;

/// Chunk `c` holds `FIRST << c` names, so that 28 chunks hold any `u32`.
pub(crate) const FIRST: usize = 32;
pub(crate) const CHUNKS: usize = 28;

type Chunk = Box<[OnceLock<Arc<str>>]>;

/// An append-only table of names, in both directions.
#[derive(Debug)]
pub(crate) struct Names {
    ids: DashMap<Arc<str>, TopicId, foldhash::fast::RandomState>,
    chunks: [OnceLock<Chunk>; CHUNKS],
    /// How many names there are; taken to add one.
    count: Mutex<u32>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            ids: DashMap::default(),
            chunks: std::array::from_fn(|_| OnceLock::new()),
            count: Mutex::new(0),
        }
    }

    /// The number of a name, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        self.ids.get(name).map(|id| *id)
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
        let (chunk, place) = locate(*count as usize);
        let slots = self.chunks[chunk]
            .get_or_init(|| (0..FIRST << chunk).map(|_| OnceLock::new()).collect());
        slots[place].get_or_init(|| Arc::clone(&name));
        self.ids.insert(name, id);
        *count += 1;
        id
    }

    /// The name of a number that [`intern`](Names::intern) gave.
    pub(crate) fn name(&self, id: TopicId) -> &Arc<str> {
        let (chunk, place) = locate(id.get() as usize);
        self.chunks[chunk]
            .get()
            .and_then(|slots| slots[place].get())
            .expect("a topic's number is given by its bus")
    }
}

/// The chunk of an index, and the place inside it.
pub(crate) fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST + 1).ilog2() as usize;
    (chunk, index - FIRST * ((1 << chunk) - 1))
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
    fn places_fill_the_chunks_without_a_hole() {
        let mut expected = (0, 0);
        for index in 0..FIRST * 20 {
            assert_eq!(locate(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
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
