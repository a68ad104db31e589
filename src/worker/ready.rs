//! What tasks and workers share: the ready queue, the lot beside it, and the count of those for
//! whom the threads must stay. Used by `task.rs`, `crew.rs` and `spare.rs`; it starts no thread.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::park::Lot;
use super::queue::{Lane, Lanes};
use super::task::Runnable;
use crate::caught::caught;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) lanes: Lanes<Arc<dyn Runnable>>,
    pub(super) lot: Lot,
    /// The pool's handle (all its clones are one) and every task that still has its future.
    stays: AtomicUsize,
    /// Panics caught: in a poll, or in the drop of a future.
    panics: AtomicU64,
    searches: AtomicU64,
}

impl Ready {
    /// With the handle as the only reason to stay.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            lanes: Lanes::new(),
            lot: Lot::new(),
            stays: AtomicUsize::new(1),
            panics: AtomicU64::new(0),
            searches: AtomicU64::new(0),
        })
    }

    /// Queues a task that is READY and sees to it that somebody looks.
    pub(super) fn push(&self, lane: Lane, task: Arc<dyn Runnable>) {
        self.lanes.push(lane, task);
        self.lot.call();
    }

    /// Lets a searcher go with what it found.
    pub(super) fn found(&self) {
        self.lot.found(|| !self.lanes.is_empty());
    }

    /// One more reason to stay. The caller is one itself, or holds the handle.
    pub(super) fn stay(&self) {
        // ORDER: Relaxed; a count that cannot be zero meanwhile, as for a counted pointer.
        self.stays.fetch_add(1, Relaxed);
    }

    /// One reason less; without any, the threads go home.
    pub(super) fn leave(&self) {
        // ORDER: Relaxed; an RMW, so exactly one caller is the last, and the lot's lock orders
        // what follows.
        let before = self.stays.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "each leaves once");
        if before == 1 {
            self.lot.end();
        }
    }

    /// Runs foreign code; `None`, and a count, if it panicked.
    pub(super) fn guarded<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let done = caught(f);
        if done.is_none() {
            // ORDER: Relaxed; a statistic, read by nobody who acts on it.
            self.panics.fetch_add(1, Relaxed);
        }
        done
    }

    pub(super) fn count_search(&self) {
        // ORDER: Relaxed; a statistic.
        self.searches.fetch_add(1, Relaxed);
    }

    pub(super) fn searches(&self) -> u64 {
        // ORDER: Relaxed; a statistic.
        self.searches.load(Relaxed)
    }

    pub(super) fn panics(&self) -> u64 {
        // ORDER: Relaxed; a statistic.
        self.panics.load(Relaxed)
    }
}
