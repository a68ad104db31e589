//! An executor that runs actors when it is told to, on the caller's thread: so that what is counted
//! is the publisher's work alone, or the actor's alone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use ringpost::{Executor, ExecutorError, Run, Spawn};

/// The actors of a scenario. A clone is the same executor.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<Mutex<Vec<Run>>>);

/// Whether an actor wants to go on.
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Hand {
    pub(crate) fn executor(&self) -> Executor {
        Executor::custom(self.clone())
    }

    /// Lets every actor do all that it can do now, and forgets those that end.
    pub(crate) fn turn(&self) {
        let again = Arc::new(Again(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&again));
        let mut task = Context::from_waker(&waker);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|run| {
            again.0.store(true, Ordering::Relaxed);
            while again.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(()) = run.as_mut().poll(&mut task) {
                    return false;
                }
            }
            true
        });
    }
}

impl Spawn for Hand {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        Ok(())
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}
