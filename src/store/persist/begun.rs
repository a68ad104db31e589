//! Batches that a store has begun to store: nobody may be told of them yet.
//!
//! The actor's alone. A batch leaves in the order in which it came, once the store says that
//! everything up to its last record is stored.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::Sequence;
use crate::store::batch::Finished;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Begun {
    batches: VecDeque<Finished>,
    records: usize,
}

impl Begun {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// How many records are under way.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// One more batch is under way.
    pub(super) fn push(&mut self, batch: Finished) {
        self.records += batch.stored;
        self.batches.push_back(batch);
    }

    /// The oldest batch, if everything up to `stored` is stored and that is all of it.
    pub(super) fn pop(&mut self, stored: Option<Sequence>) -> Option<Finished> {
        self.batches.front().filter(|oldest| oldest.last <= stored)?;
        let oldest = self.batches.pop_front()?;
        self.records -= oldest.stored;
        Some(oldest)
    }
}
