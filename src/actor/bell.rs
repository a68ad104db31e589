//! The doorbell of a reader of the ring.
//!
//! A publish has no list of the ring's readers on its path, only one count of those that sleep:
//! while it is 0, the readers cost it one load. The count is raised before a reader parks and
//! lowered by whoever ends the sleep, so the doorbell's own argument holds for the count too: the
//! reader's fence lies between the count and its last look at the ring, the publisher's between
//! its commit and its look at the count.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::mailbox::signal::{Doorbell, Park, Signal};
use crate::mailbox::wait::Idle;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, unique};

/// How many readers of one ring sleep.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(CachePadded<AtomicUsize>);

impl Sleepers {
    /// Whether anybody sleeps. Worth something only after `signal::fence`.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // ORDER: Relaxed; the fence before it makes the answer good enough.
        self.0.load(Ordering::Relaxed) != 0
    }

    fn add(&self) {
        // ORDER: Relaxed; the fence in `Signal::park` follows.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self) {
        // ORDER: Relaxed; at worst a publisher looks for a sleeper that is awake.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One reader's doorbell.
#[derive(Debug)]
pub(crate) struct Bell {
    /// Tells it apart from all others.
    number: u64,
    signal: Signal,
    sleepers: Arc<Sleepers>,
}

impl Bell {
    pub(crate) fn new(sleepers: Arc<Sleepers>) -> Self {
        Self { number: unique(), signal: Signal::new(), sleepers }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Wakes the reader if it sleeps. The caller has passed `signal::fence`.
    pub(crate) fn ring(&self) {
        if self.signal.ring() {
            self.sleepers.remove();
        }
    }

    /// Ready when `ready` says so; until then yields, and at last sleeps. A poll that is not
    /// repeated leaves its waker behind, to be woken for nothing.
    pub(crate) fn poll(
        &self,
        idle: &mut Idle,
        task: &mut Context<'_>,
        ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        idle.poll(self, task, ready)
    }

    fn unpark(&self) {
        if self.signal.unpark() {
            self.sleepers.remove();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.unpark();
    }
}

impl Doorbell for Bell {
    fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool {
        // A wake for nothing finds the reader still parked: it is counted once.
        self.unpark();
        self.sleepers.add();
        match self.signal.park(waker, ready) {
            Park::Asleep => true,
            Park::Rung => false,
            Park::Revoked => {
                self.sleepers.remove();
                false
            }
        }
    }
}
