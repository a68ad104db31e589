//! The reference store: everything in memory.
//!
//! Used where events need not survive the process, and as the yardstick of the contract suite.
#![forbid(unsafe_code)]

use super::{Record, Scan, Store, StoreError, StoreErrorKind, Watermarks};
use crate::Sequence;

/// Keeps every record in memory, without a limit, until it is dropped.
///
/// Its records are written and never durable: nothing of it survives the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Vec<Record>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All records, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Store for MemoryStore {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut before = self.records.last().map(|record| record.sequence);
        for record in batch {
            if before.is_some_and(|before| record.sequence <= before) {
                let attempt = format!("append sequence {} to memory", record.sequence);
                return Err(StoreError::new(StoreErrorKind::OutOfOrder, attempt));
            }
            before = Some(record.sequence);
        }
        self.records.extend_from_slice(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn watermarks(&self) -> Watermarks {
        let written = self.records.last().map(|record| record.sequence);
        Watermarks { written, durable: None }
    }

    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        let first = self.records.partition_point(|record| record.sequence < from);
        Ok(Box::new(self.records[first..].iter().cloned().map(Ok)))
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        let first = self.records.len().saturating_sub(count);
        Ok(self.records[first..].to_vec())
    }
}
