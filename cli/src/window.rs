//! The last events that somebody wants, however far back they lie.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use ringpost::store::StoreError;
use ringpost::store::journal::query::Selection;
use ringpost::store::journal::{JournalReader, Start, Tail};

/// The last lines, oldest first.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) lines: VecDeque<Vec<u8>>,
    /// Where to follow on, so that nothing is missed and nothing comes twice.
    pub(crate) end: Start,
    /// Damaged lines on the way.
    pub(crate) damaged: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { lines: VecDeque::new(), end: Start::End, damaged: 0 }
    }
}

/// How many times as many events are looked at from the end, before all are looked at from the
/// beginning.
const FACTOR: usize = 16;
const LEAST: usize = 4096;

impl Window {
    /// The last `count` events that are wanted, and the place behind them.
    pub(crate) fn of(
        reader: &JournalReader,
        wanted: &Selection,
        count: usize,
    ) -> Result<Self, StoreError> {
        let everything = wanted.is_empty();
        let looked = if everything { count } else { count.saturating_mul(FACTOR).max(LEAST) };
        let tail = reader.tail(looked)?;
        let mut window = Self { end: tail.end(), damaged: tail.damaged, ..Self::default() };
        let (Tail { entries, next, .. }, mut was_all) = (tail, everything);
        was_all |= entries.len() < looked;
        for entry in entries {
            if wanted.admits(&entry.line) {
                window.push(entry.line, count);
            }
        }
        if was_all || window.lines.len() == count {
            return Ok(window);
        }
        // They are rare: memory stays in proportion to what is wanted, not to what is searched.
        window.lines.clear();
        let mut records = reader.records()?;
        for entry in &mut records {
            let entry = entry?;
            if entry.position >= next {
                break;
            }
            if wanted.admits(&entry.line) {
                window.push(entry.line, count);
            }
        }
        window.damaged = records.damaged();
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
