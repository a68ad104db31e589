//! A worker's seat: what its thread shows to the spare, and how code inside a task finds it.
//! Run loops call [`beat`].
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::sync::Arc;

use super::ready::Ready;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

thread_local! {
    static SEAT: OnceCell<(Arc<Seat>, Arc<Ready>)> = const { OnceCell::new() };
}

#[derive(Debug, Default)]
struct Pulse {
    beats: AtomicU64,
    running: AtomicBool,
}

/// Written by its worker alone, read by the spare: on a cache line of its own.
#[derive(Debug, Default)]
pub(super) struct Seat(CachePadded<Pulse>);

impl Seat {
    /// Makes this the seat of the current thread, which runs what is in this queue, for good.
    pub(super) fn take(self: &Arc<Self>, ready: &Arc<Ready>) {
        let taken = SEAT.with(|seat| seat.set((Arc::clone(self), Arc::clone(ready))));
        taken.expect("a worker thread takes one seat");
    }

    /// Shows that the worker is getting on.
    #[inline]
    pub(super) fn beat(&self) {
        // ORDER: Relaxed; one writer, and a stale count costs the spare a tick.
        self.0.beats.store(self.0.beats.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Shows that the worker is inside a task from now on, or no longer.
    pub(super) fn set_running(&self, running: bool) {
        // ORDER: Relaxed; a stale flag costs the spare a tick.
        self.0.running.store(running, Relaxed);
    }

    /// The beats, while inside a task.
    pub(super) fn running(&self) -> Option<u64> {
        // ORDER: Relaxed; the spare acts on a value that stands still over two ticks only, and
        // at worst starts a thread too many.
        self.0.running.load(Relaxed).then(|| self.0.beats.load(Relaxed))
    }
}

/// Shows, from inside a task, that its worker is getting on: once an event. Without it the
/// worker counts as stuck after two ticks and is replaced. Elsewhere it does nothing.
#[inline]
pub(crate) fn beat() {
    // `Err`: the thread is being torn down and runs no tasks any more.
    let _ = SEAT.try_with(|seat| seat.get().inspect(|(seat, _)| seat.beat()).is_some());
}

/// Whether other tasks are ready for the worker that runs the caller: a good moment to let go. For
/// threads that are no workers, never.
#[inline]
pub(crate) fn is_wanted() -> bool {
    let waiting = |(_, ready): &(_, Arc<Ready>)| !ready.lanes.is_empty();
    SEAT.try_with(|seat| seat.get().is_some_and(waiting)).unwrap_or(false)
}

/// Whether the current thread is a worker, of whatever pool.
#[cfg(test)]
pub(super) fn on_worker() -> bool {
    SEAT.try_with(|seat| seat.get().is_some()).unwrap_or(false)
}
