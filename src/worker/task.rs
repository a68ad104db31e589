//! One task: a future, its state word and its waker. Made by [`spawn`], run by workers, woken
//! from anywhere; it must never be polled by two at once, and never miss a wake.
//!
//! A task and its future are one allocation, so the queue has tasks of every kind as [`Runnable`].
//! A task whose future waits from the beginning is not queued at all: see [`spawn`].
//!
//! The state word has three bits: RUNG, RUNNING and STOPPED. RUNG alone is READY, nothing is
//! IDLE. So a wake is one `fetch_or(RUNG)`: whoever finds IDLE has made it READY and must push
//! it; for all others somebody will poll it again anyway. A stop is one `fetch_or(STOPPED)`:
//! whoever finds IDLE drops the future. Else the worker that runs it, or that will take it from
//! the queue, does: it enters and leaves RUNNING by a compare-exchange only, which then fails.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
// The standard lock even under the model: it is never contended, because the state word lets in
// one at a time, and a lock that the model saw would hide a state word that does not.
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker};

use futures_task::{ArcWake, waker, waker_ref};

use super::queue::Lane;
use super::ready::Ready;
use crate::sync::atomic::{AtomicU32, Ordering::*};

const IDLE: u32 = 0;
/// To be polled (again). Alone it is READY.
const RUNG: u32 = 1;
const READY: u32 = RUNG;
const RUNNING: u32 = 2;
/// Final.
const STOPPED: u32 = 4;

struct Task<F: Job> {
    /// Written by wakers, runners and stoppers.
    state: AtomicU32,
    lane: Lane,
    ready: Arc<Ready>,
    /// Touched by the runner, and taken by whoever ends the task.
    job: Mutex<Option<F>>,
}

/// What a task runs.
pub(super) trait Job: Future<Output = ()> + Send + Unpin + 'static {}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Job for F {}

/// What [`Runnable::run`] leaves behind.
pub(super) enum After {
    /// Nothing to do: it waits for a wake, or is over.
    Gone,
    /// It was rung meanwhile and is READY again, in the caller's hand.
    Ready(Arc<dyn Runnable>),
}

/// A task, whatever its future is.
pub(super) trait Runnable: fmt::Debug + Send + Sync {
    fn lane(&self) -> Lane;

    /// Polls a READY task once. Called with what came from the queue or from the last run.
    fn run(self: Arc<Self>) -> After;

    /// Has it polled again, like its waker.
    #[cfg(test)]
    fn ring(self: Arc<Self>);

    /// Ends it. The future of one that waits is dropped here and now.
    #[cfg(test)]
    fn stop(&self);

    #[cfg(test)]
    fn is_stopped(&self) -> bool;
}

impl<F: Job> Runnable for Task<F> {
    fn lane(&self) -> Lane {
        self.lane
    }

    fn run(self: Arc<Self>) -> After {
        // ORDER(state): Acquire; pairs with ORDER(state) in `wake_by_ref` and below. Carries
        // what wakers wrote and the future as the last runner left it.
        if self.state.compare_exchange(READY, RUNNING, Acquire, Acquire).is_err() {
            // Stopped while it was queued.
            self.retire();
            return After::Gone;
        }
        if self.poll() {
            // ORDER: Relaxed; no stopper touches the future of a RUNNING task, and from here on
            // nobody else does.
            self.state.fetch_or(STOPPED, Relaxed);
            self.retire();
            return After::Gone;
        }
        // ORDER(state): Release; pairs with ORDER(state) at the start of `run` and in `stop`.
        // Carries the future.
        let Err(now) = self.state.compare_exchange(RUNNING, IDLE, Release, Relaxed) else {
            return After::Gone;
        };
        // ORDER(state): Release; pairs with ORDER(state) at the start of `run`. Carries the
        // future to the next runner, and passes on what the waker wrote.
        if now & STOPPED == 0
            && self.state.compare_exchange(RUNNING | RUNG, READY, Release, Relaxed).is_ok()
        {
            return After::Ready(self);
        }
        self.retire();
        After::Gone
    }

    #[cfg(test)]
    fn ring(self: Arc<Self>) {
        self.wake();
    }

    #[cfg(test)]
    fn stop(&self) {
        // ORDER(state): AcqRel; pairs with ORDER(state) in `run`. Carries the future of a task
        // that waits from its last runner to us.
        if self.state.fetch_or(STOPPED, AcqRel) == IDLE {
            self.retire();
        }
    }

    #[cfg(test)]
    fn is_stopped(&self) -> bool {
        // ORDER: Relaxed; a hint. Who needs what the task did gets it from the task.
        self.state.load(Relaxed) & STOPPED != 0
    }
}

impl<F: Job> Task<F> {
    /// True when the future is done, or has panicked.
    fn poll(self: &Arc<Self>) -> bool {
        // Lent: most polls keep no waker, and a count would be two locked instructions.
        let waker = waker_ref(self);
        let mut job = self.job();
        let Some(future) = job.as_mut() else { return true };
        let mut context = Context::from_waker(&waker);
        let polled = self.ready.guarded(|| Pin::new(future).poll(&mut context));
        polled != Some(Poll::Pending)
    }

    /// Drops the future and lets the threads go for all that this task cares. Called once a
    /// task, by whoever the state word made the owner.
    fn retire(&self) {
        let job = self.job().take();
        self.ready.guarded(|| drop(job));
        self.ready.leave();
    }

    fn job(&self) -> MutexGuard<'_, Option<F>> {
        match self.job.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                unreachable!("the state word lets one at a time have the future")
            }
        }
    }
}

impl<F: Job> ArcWake for Task<F> {
    fn wake_by_ref(task: &Arc<Self>) {
        // ORDER(state): Release; pairs with ORDER(state) in `run`. Carries what the waker wrote
        // before: also when the task was READY or RUNG already, hence always an RMW.
        if task.state.fetch_or(RUNG, Release) == IDLE {
            task.ready.push(task.lane, Arc::clone(task) as Arc<dyn Runnable>);
        }
    }
}

impl<F: Job> Drop for Task<F> {
    /// The last waker is gone: nobody can make this task READY, so its future goes too.
    fn drop(&mut self) {
        let job = self.job.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if job.is_some() {
            self.ready.guarded(|| drop(job));
            self.ready.leave();
        }
    }
}

impl<F: Job> fmt::Debug for Task<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("state", &self.state).field("lane", &self.lane).finish()
    }
}

/// Makes a task. The caller holds the pool's handle.
///
/// `sleep` may leave the task's waker where somebody will find it: then the first poll is what the
/// first wake brings, so that a future that has nothing to do but wait costs the workers nothing. If it
/// gives the waker back, the task is queued; if it drops it, the task is dropped too.
pub(super) fn spawn(
    ready: &Arc<Ready>,
    lane: Lane,
    future: impl Job,
    sleep: impl FnOnce(Waker) -> Option<Waker>,
) {
    if let Some(waker) = sleep(waker(make(ready, lane, future))) {
        waker.wake();
    }
}

/// An IDLE task.
fn make<F: Job>(ready: &Arc<Ready>, lane: Lane, future: F) -> Arc<Task<F>> {
    ready.stay();
    Arc::new(Task {
        state: AtomicU32::new(IDLE),
        lane,
        ready: Arc::clone(ready),
        job: Mutex::new(Some(future)),
    })
}

/// As [`spawn`] of a future that does not sleep yet, with a hand on the task.
#[cfg(test)]
pub(super) fn spawn_ref(
    ready: &Arc<Ready>,
    lane: Lane,
    future: impl Future<Output = ()> + Send + 'static,
) -> TaskRef {
    let task = make(ready, lane, Box::pin(future));
    ArcWake::wake_by_ref(&task);
    TaskRef(task)
}

/// A spawned task, seen from outside by a test. It can wake the task, and so keeps its future
/// alive like any waker; dropping it stops nothing.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct TaskRef(Arc<dyn Runnable>);

#[cfg(test)]
impl TaskRef {
    /// Has the task polled again, like its waker.
    pub(crate) fn wake(&self) {
        Arc::clone(&self.0).ring();
    }

    /// Ends the task: no further poll begins. The future of a task that waits is dropped here
    /// and now; else the worker that polls it, or takes it from the queue, drops it.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }

    /// Whether the task has returned, panicked or been stopped. A poll that was under way when
    /// it was stopped may still be.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// Lets the other ready tasks of this worker go first.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
