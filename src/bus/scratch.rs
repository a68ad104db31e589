//! What a publisher keeps from one publish to the next, and drops last.
#![forbid(unsafe_code)]

use super::core::Stolen;
use crate::Message;
use crate::actor::source::{Entry, Letter, drop_caught};
use crate::ring::queue::Places;

/// Lists that a publisher keeps, so that publishing allocates nothing.
pub(crate) struct Scratch<M: Message> {
    /// One for each `Block` mailbox of the route; `None` where it was closed.
    pub(super) places: Vec<Option<Places>>,
    /// One for each `Block` mailbox that has a place.
    pub(super) copies: Vec<Option<M>>,
    /// For a batch: what goes to the ring, and what goes to each mailbox.
    pub(super) entries: Vec<Entry<M>>,
    pub(super) columns: Vec<Vec<Letter<M>>>,
    /// What goes last: foreign drops.
    pub(super) stolen: Stolen<M>,
    pub(super) discarded: Vec<M>,
    /// Whether this publish may wait for a `Block` mailbox that joined while it was under way.
    pub(super) patient: bool,
}

impl<M: Message> Scratch<M> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            copies: Vec::new(),
            entries: Vec::new(),
            columns: Vec::new(),
            stolen: Vec::new(),
            discarded: Vec::new(),
            patient: false,
        }
    }

    /// Sets the copies of a message aside that was not published.
    #[cold]
    pub(super) fn discard_copies(&mut self, on_ring: M) {
        self.discarded.extend(self.copies.drain(..).flatten().chain([on_ring]));
    }

    /// The same for the copies of a batch.
    #[cold]
    pub(super) fn discard_columns(&mut self) {
        for column in &mut self.columns {
            self.stolen.append(column);
        }
    }

    /// Drops what was gathered; a panic of one message's Drop touches no other.
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.stolen.is_empty() {
            drop_each(&mut self.stolen);
        }
        if !self.discarded.is_empty() {
            drop_each(&mut self.discarded);
        }
    }
}

fn drop_each<T>(values: &mut Vec<T>) {
    while let Some(value) = values.pop() {
        drop_caught(value);
    }
}
