//! Actors as tokio tasks.
#![forbid(unsafe_code)]

use tokio::runtime::{EnterGuard, Handle};

use super::Executor;
use super::executor::{ExecutorError, Run, Spawn};

/// A tokio runtime that actors may run on, or whose timers and sockets they may use.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// The runtime's context, until the guard goes: what a worker needs, to run a handler that
    /// uses tokio's timers or sockets. `block_in_place` is not available there.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }
}

impl Spawn for Runtime {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.spawn(run);
        Ok(())
    }
}

/// Whatever runtime is current when the actor is started.
#[derive(Debug)]
struct Current;

impl Spawn for Current {
    fn spawn(&self, name: &str, run: Run) -> Result<(), ExecutorError> {
        Runtime::current().ok_or(ExecutorError::NoRuntime)?.spawn(name, run)
    }
}

impl Executor {
    /// A task on the tokio runtime that is current where the subscription is made; if there is
    /// none, subscribing fails with [`ExecutorError::NoRuntime`].
    #[must_use]
    pub fn tokio() -> Self {
        Self::custom(Current)
    }

    /// A task on this tokio runtime.
    #[must_use]
    pub fn tokio_handle(handle: Handle) -> Self {
        Self::custom(Runtime(handle))
    }
}
