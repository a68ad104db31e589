//! A store that does as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ringpost::Sequence;
use ringpost::store::{MemoryStore, Record, Scan, Store, StoreError, StoreErrorKind, Watermarks};

/// A store whose calls are decided by the test, over one in memory that the test can look into.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Mutex<Script>>);

pub(crate) struct Script {
    pub(crate) memory: MemoryStore,
    /// The answers to the next calls; then all succeed.
    pub(crate) appends: VecDeque<StoreErrorKind>,
    pub(crate) flushes: VecDeque<StoreErrorKind>,
    pub(crate) always_fails: bool,
    pub(crate) batches: Vec<usize>,
    pub(crate) flushed: usize,
    pub(crate) too_large: Vec<u64>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Script {
            memory: MemoryStore::new(),
            appends: VecDeque::new(),
            flushes: VecDeque::new(),
            always_fails: false,
            batches: Vec::new(),
            flushed: 0,
            too_large: Vec::new(),
        })))
    }
    pub(crate) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().expect("no panic under the lock")
    }
    pub(crate) fn stored(&self) -> Vec<u64> {
        self.script().memory.records().iter().map(|record| record.sequence.get()).collect()
    }
}

impl Store for Scripted {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut script = self.script();
        if script.always_fails {
            return Err(StoreError::new(StoreErrorKind::Io, "append"));
        }
        if let Some(kind) = script.appends.pop_front() {
            return Err(StoreError::new(kind, "append"));
        }
        if batch.iter().any(|record| script.too_large.contains(&record.sequence.get())) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "append"));
        }
        script.batches.push(batch.len());
        script.memory.append(batch)
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        let mut script = self.script();
        match script.flushes.pop_front() {
            Some(kind) => Err(StoreError::new(kind, "flush")),
            None => {
                script.flushed += 1;
                Ok(())
            }
        }
    }
    fn watermarks(&self) -> Watermarks {
        self.script().memory.watermarks()
    }
    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        let records: Vec<_> = self.script().memory.scan(from)?.collect();
        Ok(Box::new(records.into_iter()))
    }
    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        self.script().memory.tail(count)
    }
}
