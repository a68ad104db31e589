//! The last events that somebody wants, however far back they lie.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use ringpost::store::StoreError;
use ringpost::store::journal::query::{Match, Order, Query, Selection};
use ringpost::store::journal::{Damage, JournalReader, Start};

use crate::interrupt::Interrupt;

/// The last lines, oldest first.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) lines: VecDeque<Vec<u8>>,
    /// Where to follow on, so that nothing is missed and nothing comes twice.
    pub(crate) end: Start,
    /// Damaged lines on the way.
    pub(crate) damaged: u64,
    /// One of them.
    pub(crate) first_damage: Option<Damage>,
}

impl Default for Window {
    fn default() -> Self {
        Self { lines: VecDeque::new(), end: Start::End, damaged: 0, first_damage: None }
    }
}

/// So many events are read backwards one by one; more, or rare ones, are searched for on all cores.
const MOST: usize = 4096;

impl Window {
    /// The last `count` events that are wanted, and the place behind them; those that were found
    /// if an interrupt ends the search.
    pub(crate) fn of(
        reader: &JournalReader,
        wanted: &Selection,
        count: usize,
        interrupt: &Interrupt,
    ) -> Result<Self, StoreError> {
        if count == 0 || wanted.is_empty() && count <= MOST {
            let tail = reader.tail(count)?;
            let end = tail.end();
            let lines = tail.entries.into_iter().map(|entry| entry.line).collect();
            let (damaged, first_damage) = (tail.damaged, tail.first_damage);
            return Ok(Self { lines, end, damaged, first_damage });
        }
        let mut window = Self { end: reader.tail(1)?.end(), ..Self::default() };
        // Memory stays in proportion to what is wanted, not to what is searched.
        let asked = interrupt.clone();
        let query = Query::new(wanted.clone()).with_order(Order::Descending);
        let mut matches = reader.query(query.with_stop(move || asked.is_set()))?;
        while window.lines.len() < count
            && let Some(found) = matches.next()?
        {
            if is_before(&found, window.end) {
                window.lines.push_front(found.line.to_vec());
            }
        }
        window.damaged = matches.damaged();
        window.first_damage = matches.first_damage().cloned();
        Ok(window)
    }

    /// Takes one more line, in place of the oldest if there are `count`.
    pub(crate) fn push(&mut self, line: Vec<u8>, count: usize) {
        if count == 0 {
            return;
        }
        if self.lines.len() == count {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Whether whoever follows from `end` on is not shown this: what comes while the search goes on is
/// found by both.
fn is_before(found: &Match<'_>, end: Start) -> bool {
    let Start::At { position, last } = end else { return true };
    // A record may have been written again behind the place, after a failed sync: a follower of a
    // journal's directory hides it. In a plain file, whose number is 0, a sequence may be anything.
    let is_hidden = position.segment > 0 && found.sequence.is_some() && found.sequence <= last;
    found.position < position || is_hidden
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_search_ends_soon_once_it_is_interrupted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
        std::io::Write::write_all(&mut file, format!("{line}\n").repeat(50_000).as_bytes())
            .unwrap();
        let reader = JournalReader::open(file.path()).unwrap();
        let looked = Arc::new(AtomicUsize::new(0));
        let interrupt = Interrupt::default();
        let (seen, asks) = (Arc::clone(&looked), interrupt.clone());
        let none = Selection::default().predicate(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) == 100 {
                asks.set();
            }
            false
        });
        let window = Window::of(&reader, &none, 1, &interrupt).unwrap();
        assert!(window.lines.is_empty());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let looked = looked.load(Ordering::Relaxed);
        assert!((100..=101 + 1024 * threads).contains(&looked), "{looked}");
    }

    #[test]
    fn a_long_window_without_a_filter_is_the_same_as_a_short_one() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = |id| format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t"}}"#);
        let text: String = (0..2 * MOST).map(|id| line(id) + "\n").collect();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let reader = JournalReader::open(file.path()).unwrap();
        for count in [0, 1, MOST, MOST + 1, 2 * MOST, 3 * MOST] {
            let found = Window::of(&reader, &Selection::default(), count, &Interrupt::default());
            let Window { lines, end, .. } = found.unwrap();
            assert_eq!(lines.len(), count.min(2 * MOST));
            let ids = 2 * MOST - lines.len()..;
            assert!(lines.iter().zip(ids).all(|(found, id)| *found == line(id).as_bytes()));
            assert_eq!(end, reader.tail(count).unwrap().end());
        }
    }
}
