//! A worker's seat: what its thread shows to the spare, and how code inside a task finds it.
//! Run loops use [`beating`].
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::sync::Arc;

use super::ready::Ready;
use super::search::Search;
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

/// Written by its worker alone. The spare reads the pulse, which is on a cache line of its own.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pulse: CachePadded<Pulse>,
    pub(super) search: Search,
}

impl Seat {
    pub(super) fn new(search: Search) -> Self {
        Self { pulse: CachePadded::default(), search }
    }

    /// Makes this the seat of the current thread, which runs what is in this queue, for good.
    pub(super) fn take(self: &Arc<Self>, ready: &Arc<Ready>) {
        let taken = SEAT.with(|seat| seat.set((Arc::clone(self), Arc::clone(ready))));
        taken.expect("a worker thread takes one seat");
    }

    /// What shows that the worker is getting on.
    #[inline]
    pub(super) fn beat(&self) -> Beat<'_> {
        Beat(&self.pulse.beats)
    }

    /// Shows that the worker is inside a task from now on, or no longer.
    pub(super) fn set_running(&self, running: bool) {
        // ORDER: Relaxed; a stale flag costs the spare a tick.
        self.pulse.running.store(running, Relaxed);
    }

    /// The beats, while inside a task.
    pub(super) fn running(&self) -> Option<u64> {
        // ORDER: Relaxed; the spare acts on a value that stands still over two ticks only, and
        // at worst starts a thread too many.
        self.pulse.running.load(Relaxed).then(|| self.pulse.beats.load(Relaxed))
    }
}

/// Shows that the worker of a thread is getting on; on other threads nobody looks.
#[must_use]
pub(crate) struct Beat<'a>(&'a AtomicU64);

impl Beat<'_> {
    /// To be called once an event from inside a task. Without it the worker counts as stuck after two
    /// ticks and is replaced.
    #[inline]
    pub(crate) fn beat(&self) {
        // ORDER: Relaxed; one writer, and a stale count costs the spare a tick.
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Runs `f` with the beat of the current thread. (Looking it up costs as much as many a handler, so
/// once a batch.)
#[inline]
pub(crate) fn beating<R>(f: impl FnOnce(&Beat<'_>) -> R) -> R {
    let mut f = Some(f);
    // `Err`: the thread is being torn down and runs no tasks any more.
    let done = SEAT.try_with(|seat| {
        let (seat, _) = seat.get()?;
        f.take().map(|f| f(&seat.beat()))
    });
    match (done, f) {
        (Ok(Some(done)), _) => done,
        (_, f) => f.expect("called by a worker only")(&Beat(&AtomicU64::new(0))),
    }
}

/// Whether other tasks are ready for the worker that runs the caller: a good moment to let go. For
/// threads that are no workers, never.
#[inline]
pub(crate) fn is_wanted() -> bool {
    let waiting = |(_, ready): &(_, Arc<Ready>)| !ready.lanes.is_empty();
    SEAT.try_with(|seat| seat.get().is_some_and(waiting)).unwrap_or(false)
}

/// Looks for as long as the worker that runs the caller would look for work before it slept, or until
/// other tasks are ready; whether `came` has said so. On threads that are no workers, not at all.
pub(crate) fn search(came: impl FnMut() -> bool) -> bool {
    let search = |(seat, ready): &(Arc<Seat>, Arc<Ready>)| seat.search.inside(ready, came);
    SEAT.try_with(|seat| seat.get().is_some_and(search)).unwrap_or(false)
}

/// Whether the current thread is a worker, of whatever pool.
#[cfg(test)]
pub(super) fn on_worker() -> bool {
    SEAT.try_with(|seat| seat.get().is_some()).unwrap_or(false)
}
