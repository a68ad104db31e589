//! The pool of workers: what users set and see of it. The bus spawns its actors here; this file
//! starts threads (through `crew.rs`) and must never wait for one.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::Waker;
use std::time::Duration;

use super::crew::Crew;
use super::queue::Lane;
use super::task;
use crate::sync::thread;

/// About what it costs to wake a parked thread.
const SEARCH: Duration = Duration::from_micros(15);

const SURPLUS_PATIENCE: Duration = Duration::from_secs(10);

static GLOBAL: LazyLock<Workers> = LazyLock::new(|| Workers::builder().build());

type Hook = Arc<dyn Fn(usize) + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) threads: usize,
    pub(super) search: Duration,
    pub(super) on_thread_start: Option<Hook>,
    /// How long a worker too many stays without work.
    pub(super) surplus_patience: Duration,
    cores: usize,
}

impl Settings {
    /// How many may search at once: one for every two cores.
    pub(super) fn searchers(&self) -> u64 {
        (self.cores / 2).max(1) as u64
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("threads", &self.threads)
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}

/// A pool of worker threads that run actors.
///
/// A clone is another handle of the same pool. Threads start with the first actor and are named
/// `ringpost-worker-N`; a pool without work sleeps and costs no processor time.
///
/// # A handler that blocks
///
/// A worker that makes no progress for two ticks of 5 ms, while other actors are ready to run and
/// all other workers are busy, is *stuck*: a spare thread takes its place, so that one sleeping
/// handler never stops the others. At most 64 threads are added this way; those too many end
/// after 10 s without work. [`stats`](Workers::stats) reports both.
///
/// # A handler that panics
///
/// A panic is caught and counted. It ends the actor's task, never the worker.
///
/// # End of a pool
///
/// Dropping the last handle waits for nothing and stops nothing. Actors that are ready run;
/// actors that wait are run when they are woken; one that nobody can wake any more is dropped, on
/// the thread that let go of it last. The threads end when no actor is left. No thread ever joins
/// another, so that a handle may be dropped inside a handler. (An actor that keeps a waker of its
/// own alive counts as one that can be woken.)
///
/// ```
/// use ringpost::Workers;
///
/// let workers = Workers::new(2);
/// assert_eq!(workers.stats().threads, 0); // nothing runs before the first actor
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    pub(super) handle: Arc<Handle>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) crew: Arc<Crew>,
    started: OnceLock<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.crew.ready.leave();
    }
}

impl Workers {
    /// A pool of its own with so many workers; 0 is taken for 1.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::builder().threads(threads).build()
    }

    /// The pool of the process: made on first use, never dropped, with one worker less than the
    /// machine has cores, and at least one.
    #[must_use]
    pub fn global() -> Self {
        GLOBAL.clone()
    }

    /// A pool with settings.
    pub fn builder() -> WorkersBuilder {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.saturating_sub(1).max(1);
        WorkersBuilder {
            settings: Settings {
                threads,
                search: SEARCH,
                on_thread_start: None,
                surplus_patience: SURPLUS_PATIENCE,
                cores,
            },
        }
    }

    /// What the pool has done and is doing: each number true at its own moment.
    #[must_use]
    pub fn stats(&self) -> WorkersStats {
        let crew = &self.handle.crew;
        let parked = crew.ready.lot.counts().parked;
        let report = crew.report();
        WorkersStats {
            threads: report.threads,
            parked: parked as usize,
            stuck: report.stuck,
            replaced: report.replaced,
            panicked: crew.ready.panics(),
            searches: report.searches,
            ticks: report.ticks,
        }
    }

    /// Runs `future` on the workers. The first call starts the threads. `sleep` leaves the waker
    /// for whoever is to wake it first, or gives it back: then it is polled at once.
    ///
    /// # Panics
    /// If the operating system does not give the pool even one thread.
    pub(crate) fn spawn(
        &self,
        lane: Lane,
        future: impl Future<Output = ()> + Send + Unpin + 'static,
        sleep: impl FnOnce(Waker) -> Option<Waker>,
    ) {
        task::spawn(&self.crew().ready, lane, future, sleep);
    }

    /// Whether a task waits for a worker.
    #[cfg(test)]
    pub(crate) fn has_ready(&self) -> bool {
        !self.handle.crew.ready.lanes.is_empty()
    }

    /// As [`spawn`](Self::spawn), with a hand on the task.
    #[cfg(test)]
    pub(super) fn spawn_ref(
        &self,
        lane: Lane,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> task::TaskRef {
        task::spawn_ref(&self.crew().ready, lane, future)
    }

    /// The threads, started if they are not yet.
    fn crew(&self) -> &Crew {
        let crew = &self.handle.crew;
        self.handle.started.get_or_init(|| crew.start().expect("no thread for a worker"));
        crew
    }
}

/// Settings of a [`Workers`] pool; from [`Workers::builder`].
///
/// ```
/// use std::time::Duration;
///
/// let workers = ringpost::Workers::builder()
///     .threads(2)
///     .search(Duration::from_micros(20))
///     .on_thread_start(|number| eprintln!("worker {number} starts"))
///     .build();
/// # drop(workers);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WorkersBuilder {
    pub(super) settings: Settings,
}

impl WorkersBuilder {
    /// How many workers; 0 is taken for 1. Default: one less than the machine has cores, and at
    /// least one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.settings.threads = threads.max(1);
        self
    }

    /// How long a worker out of work looks for more before it yields and then sleeps: about what
    /// it costs to wake a thread. It also looks at what the actor it ran last waits for. Default: 15
    /// microseconds. Searches in vain shorten the next ones, down to a sixteenth. Zero: yields, then
    /// sleeps.
    pub fn search(mut self, search: Duration) -> Self {
        self.settings.search = search;
        self
    }

    /// Called on each thread of the pool as it starts, with its number from 0: to pin it to a
    /// core, say. The spare and what replaces stuck workers have the numbers after the workers'.
    /// A panic is counted, and the thread works without the hook.
    pub fn on_thread_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.settings.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// The pool. No thread starts yet.
    #[must_use]
    pub fn build(self) -> Workers {
        let handle = Handle { crew: Crew::new(self.settings), started: OnceLock::new() };
        Workers { handle: Arc::new(handle) }
    }
}

/// What a pool has done and is doing, from [`Workers::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkersStats {
    /// Workers there are, stuck ones and their replacements included.
    pub threads: usize,
    /// Workers asleep for want of work.
    pub parked: usize,
    /// Workers that kept others waiting and have not moved since: each is inside a handler that
    /// blocks or computes for long.
    pub stuck: usize,
    /// How often a stuck worker was replaced.
    pub replaced: u64,
    /// Panics caught: in a task's poll, in its drop, or in the start hook.
    pub panicked: u64,
    /// Searches for work by workers that had none. Stands still while all of them sleep.
    pub searches: u64,
    /// Looks the spare has taken at the workers. Stands still unless work was waiting.
    pub ticks: u64,
}
