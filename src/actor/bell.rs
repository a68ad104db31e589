//! The doorbell of a reader of the ring.
//!
//! A publish has no list of the ring's readers on its path, only one count of those that sleep:
//! while it is 0, the readers cost it one load. The count is raised before a reader parks and
//! lowered by whoever ends the sleep, so the doorbell's own argument holds for the count too: the
//! reader's last look at the ring's tail comes after the count, the publisher's look at the count
//! after its claim.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::mailbox::signal::{Doorbell, Park, Signal};
use crate::mailbox::wait::{Around, Idle};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, unique};
use crate::worker;

/// The thread that runs an actor: most often a worker.
pub(crate) struct OnWorker;

impl Around for OnWorker {
    #[inline]
    fn is_wanted(&self) -> bool {
        worker::is_wanted()
    }

    #[inline]
    fn search(&self, ready: impl FnMut() -> bool) -> bool {
        worker::search(ready)
    }
}

/// How many readers of one ring sleep.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(CachePadded<AtomicUsize>);

impl Sleepers {
    /// Whether anybody sleeps. Worth something only after a claim, or after `signal::fence`.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // ORDER(bell): SeqCst; pairs with ORDER(bell) in `add`. After a claim it sees every reader
        // whose last look at the tail did not see the claim.
        self.0.load(Ordering::SeqCst) != 0
    }

    fn add(&self) {
        // ORDER(bell): SeqCst; pairs with ORDER(bell) in `any`. Before the reader's last look.
        self.0.fetch_add(1, Ordering::SeqCst);
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

    /// For a reader that slept elsewhere before it had this bell: see [`Signal::begin_asleep`].
    pub(crate) fn begin_asleep(&self, waker: Waker) {
        self.sleepers.add();
        self.signal.begin_asleep(waker);
    }

    /// Wakes the reader if it sleeps. The caller has claimed, or passed `signal::fence`.
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
        position: u64,
        ready: impl FnMut() -> bool,
        coming: impl Fn() -> bool,
    ) -> Poll<()> {
        idle.poll(self, task, position, &OnWorker, ready, coming)
    }

    fn unpark(&self) {
        if self.signal.unpark() {
            self.sleepers.remove();
        }
    }

    /// For a reader that goes.
    pub(crate) fn leave(&self) {
        if self.signal.forget() {
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
