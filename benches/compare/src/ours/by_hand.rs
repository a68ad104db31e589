//! An executor whose actors run when told to, on the thread that tells: nobody is ever asleep on
//! another core, so that what a publish costs is the call alone.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use ringpost::{Executor, ExecutorError, Run, Spawn};

/// The actors. Clones lead to the same ones.
#[derive(Clone, Default)]
pub struct ByHand(Arc<Mutex<Vec<Run>>>);

impl ByHand {
    pub fn executor(&self) -> Executor {
        Executor::custom(self.clone())
    }

    /// Lets every actor go on until it would wait.
    ///
    /// # Panics
    ///
    /// If an actor ended.
    pub fn run(&self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut runs = self.0.lock().expect("nobody panics while holding it");
        for run in runs.iter_mut() {
            assert!(run.as_mut().poll(&mut context).is_pending(), "the actor ended");
        }
    }
}

impl Spawn for ByHand {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.lock().expect("nobody panics while holding it").push(run);
        Ok(())
    }
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByHand")
    }
}
