//! What the target had no place for, counted by attribute.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::console::{Console, grouped};

/// How many events lost which attribute.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    counts: BTreeMap<String, u64>,
    /// Losses of attributes beyond the names that are kept.
    others: u64,
}

impl Losses {
    /// Names that are told apart; foreign events may have any number of them.
    const NAMES: usize = 64;

    /// Counts each attribute that an event lost.
    pub(crate) fn add(&mut self, lost: &[String]) {
        for name in lost {
            if let Some(count) = self.counts.get_mut(name) {
                *count += 1;
            } else if self.counts.len() < Self::NAMES {
                self.counts.insert(name.clone(), 1);
            } else {
                self.others += 1;
            }
        }
    }

    /// Tells them, if there are any.
    pub(crate) fn tell(&self, target: &str, console: &Console) {
        let mut parts: Vec<_> = self
            .counts
            .iter()
            .map(|(name, count)| format!("{name} ({} events)", grouped(*count)))
            .collect();
        if self.others > 0 {
            parts.push(format!("{} more values of other attributes", grouped(self.others)));
        }
        if !parts.is_empty() {
            console.warn(format_args!("{target} has no place for: {}", parts.join(", ")));
        }
    }
}
