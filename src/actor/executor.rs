//! On what an actor's run loop runs.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use super::runtime::Runtime;
use crate::block_on::block_on;
use crate::mailbox::wait::Wait;
use crate::worker::{Lane, Workers};

/// A run loop, ready to be started.
pub type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A run loop, wherever it is to run.
pub(crate) trait Loop: Future<Output = ()> + Send + Unpin + 'static {
    fn boxed(self) -> Run;
}

impl<F: Future<Output = ()> + Send + 'static> Loop for Pin<Box<F>> {
    fn boxed(self) -> Run {
        self
    }
}

/// A runtime of the embedder's own, on which actors may run.
///
/// The library brings three (workers, threads and, with the feature `tokio`, tokio); this is the
/// way to any other.
pub trait Spawn: fmt::Debug + Send + Sync {
    /// Starts a run loop and returns at once. `name` names the actor in lists of tasks.
    ///
    /// # Errors
    ///
    /// If it can't be started; the subscription is then not made.
    fn spawn(&self, name: &str, run: Run) -> Result<(), ExecutorError>;
}

/// Where a subscription's handler runs.
///
/// | executor | good for | idle | costs |
/// |---|---|---|---|
/// | [`workers`](Executor::workers) (default for sync handlers) | many subscribers | a worker searches for about as long as a wake costs, then parks | a handler that blocks holds a worker until a spare one replaces it |
/// | tokio (default for async handlers, where a runtime is current) | handlers that await tokio's I/O or timers | the task sleeps | a task switch a delivery burst |
/// | [`thread`](Executor::thread) | the lowest latency, or handlers that block | as its [`Wait`] says | a thread |
#[derive(Clone, Debug, Default)]
pub struct Executor(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Default,
    Workers(Option<Workers>),
    Thread(Wait),
    Own(Arc<dyn Spawn>),
}

/// Why an actor could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// A tokio task was asked for, but no runtime is current on this thread.
    #[error("no tokio runtime is current here: subscribe inside one, or choose another executor")]
    NoRuntime,
    /// The thread could not be started.
    #[error("the actor's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Who executes, once the choice is made: what a run loop needs to know about its surroundings.
#[derive(Debug)]
pub(crate) enum Chosen<'w> {
    /// The bus's pool is only borrowed: its count is everybody's.
    Workers(Cow<'w, Workers>, Option<Runtime>),
    Thread(Wait),
    Own(Arc<dyn Spawn>),
}

impl Executor {
    /// The bus's workers: a small pool of threads for many actors.
    #[must_use]
    pub fn workers() -> Self {
        Self(Kind::Workers(None))
    }

    /// A pool of the caller's own.
    #[must_use]
    pub fn pool(workers: Workers) -> Self {
        Self(Kind::Workers(Some(workers)))
    }

    /// A thread of the actor's own, which waits for messages as `wait` says.
    #[must_use]
    pub fn thread(wait: Wait) -> Self {
        Self(Kind::Thread(wait))
    }

    /// A runtime of the embedder's own.
    #[must_use]
    pub fn custom(spawn: impl Spawn + 'static) -> Self {
        Self(Kind::Own(Arc::new(spawn)))
    }

    /// Whether nobody has chosen.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self.0, Kind::Default)
    }

    pub(crate) fn choose(self, workers: &Workers, is_async: bool) -> Chosen<'_> {
        match self.0 {
            Kind::Default => match Runtime::current() {
                Some(runtime) if is_async => Chosen::Own(Arc::new(runtime)),
                runtime => Chosen::Workers(Cow::Borrowed(workers), runtime),
            },
            Kind::Workers(own) => {
                let workers = own.map_or(Cow::Borrowed(workers), Cow::Owned);
                Chosen::Workers(workers, Runtime::current())
            }
            Kind::Thread(wait) => Chosen::Thread(wait),
            Kind::Own(spawn) => Chosen::Own(spawn),
        }
    }
}

impl Chosen<'_> {
    /// How the run loop waits for messages: only a thread of its own may spin.
    pub(crate) fn wait(&self) -> Wait {
        match self {
            Self::Thread(wait) => *wait,
            Self::Workers(..) | Self::Own(_) => Wait::default(),
        }
    }

    /// The runtime whose context the run loop is to enter in each poll.
    pub(crate) fn take_runtime(&mut self) -> Option<Runtime> {
        match self {
            Self::Workers(_, runtime) => runtime.take(),
            Self::Thread(_) | Self::Own(_) => None,
        }
    }

    /// Starts a run loop. Only who shows its name asks for it. `sleep` leaves the waker for
    /// whoever is to wake the loop first, and workers leave it alone until then; or it gives the waker
    /// back.
    pub(crate) fn spawn(
        self,
        name: impl FnOnce() -> String,
        lane: Lane,
        run: impl Loop,
        sleep: impl FnOnce(Waker) -> Option<Waker>,
    ) -> Result<(), ExecutorError> {
        match self {
            Self::Workers(workers, _) => workers.spawn(lane, run, sleep),
            Self::Own(spawn) => spawn.spawn(&name(), run.boxed())?,
            Self::Thread(_) => {
                std::thread::Builder::new()
                    // A name given to the bus may hold what a thread's may not.
                    .name(format!("ringpost:{}", name()).replace('\0', ""))
                    .spawn(move || block_on(run, None))?;
            }
        }
        Ok(())
    }
}
