//! Who looks after sealed segments: removes what need not be kept, compresses what is.
//!
//! A thread of its own, named `ringpost-keeper`, made when there is something to look after. The
//! writer tells it how far segments are sealed, by a number on the [`Board`], and never waits for
//! it; it tells what it did in the [`Upkeep`] that anybody may look at. A failure is noted there
//! and tried again later: it is never the writer's. It ends with its journal, which gives the
//! directory's lock back only after that.
#![forbid(unsafe_code)]

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::JournalOptions;
use super::checkpoint::Checkpoints;
use super::compress::{compress, secure};
use super::retain::{Excess, Limits, Stock};
use super::segment::SegmentNumber;
use super::storage::Storage;
use crate::Sequence;
use crate::actor::run::panic_text;
use crate::event::Timestamp;
use crate::store::{StoreError, StoreErrorKind, Upkeep};

/// How often it is asked again whether a consumer still needs what is held for it.
const HELD: Duration = Duration::from_secs(1);
/// The pause after a failure; it doubles with each in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Clocks are set: an age is looked at again after this in any case.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the writer tells.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    sealed_below: u64,
    written: u64,
    stops: bool,
}

/// Where the writer and its keeper meet: locked for an instant, by the writer once a segment.
#[derive(Debug, Default)]
struct Board {
    told: Mutex<Told>,
    changed: Condvar,
    /// The keeper, until its thread has taken it.
    keeper: Mutex<Option<Keeper>>,
}

impl Board {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something else is told than `before`, or `until`.
    fn wait(&self, before: u64, until: Option<Instant>) -> Told {
        let mut told = self.told();
        while !told.stops && told.sealed_below == before {
            let left = match until {
                None => {
                    told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Some(until) => until.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(told, left);
            told = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        *told
    }
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct KeptBy {
    board: Arc<Board>,
    upkeep: Upkeep,
    /// Segments below this number are known to be sealed.
    told: u64,
    thread: Option<JoinHandle<()>>,
}

impl KeptBy {
    /// Whoever looks after the journal in `storage`, which had these segments when it was opened
    /// and whose next one gets the number `next`; nobody if the options keep everything as it is.
    pub(super) fn new(
        storage: &Arc<dyn Storage>,
        options: &JournalOptions,
        found: Vec<SegmentNumber>,
        next: u64,
    ) -> Self {
        // Where nothing older is there, nothing is sealed yet.
        let oldest = found.first().map_or(next, |first| first.0);
        let keeper = Keeper::new(storage, options, found, next);
        let upkeep = keeper.as_ref().map_or_else(Upkeep::default, |keeper| keeper.upkeep.clone());
        let told = if keeper.is_some() { oldest } else { u64::MAX };
        let board = Arc::new(Board { keeper: Mutex::new(keeper), ..Board::default() });
        Self { board, upkeep, told, thread: None }
    }

    /// What it did so far.
    pub(super) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Says that segments below a number are sealed, with records written up to a sequence.
    pub(super) fn tell(&mut self, sealed_below: u64, written: u64) {
        if sealed_below <= self.told {
            return;
        }
        self.told = sealed_below;
        self.upkeep.told(sealed_below);
        {
            let mut told = self.board.told();
            told.sealed_below = sealed_below;
            told.written = written;
        }
        self.board.changed.notify_one();
        if self.thread.is_none() && self.board.keeper().is_some() {
            let board = Arc::clone(&self.board);
            let started = thread::Builder::new().name("ringpost-keeper".into()).spawn(move || {
                let keeper = board.keeper().take();
                if let Some(keeper) = keeper {
                    let upkeep = keeper.upkeep.clone();
                    let ran = catch_unwind(AssertUnwindSafe(|| keeper.run(&board)));
                    if let Err(panic) = ran {
                        upkeep.failed(panicked(panic));
                    }
                }
            });
            match started {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => self.upkeep.failed(no_thread(error)),
            }
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> StoreError {
    let text = panic_text(panic);
    let attempt = format!("look after sealed segments, which ended in a panic: {text}");
    StoreError::new(StoreErrorKind::Io, attempt)
}

fn no_thread(error: io::Error) -> StoreError {
    StoreError::from_io("start the thread that looks after sealed segments", error)
}

impl Drop for KeptBy {
    /// Waits for the thread: what it has begun it ends, or leaves as it found it.
    fn drop(&mut self) {
        self.board.told().stops = true;
        self.board.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it was noted; it costs its work, and nobody else anything.
            let _ = thread.join();
        }
    }
}

/// When there is something to do again, unless something is told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    In(Duration),
    WhenTold,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Keeper {
    storage: Arc<dyn Storage>,
    limits: Option<Limits>,
    level: Option<i32>,
    stock: Stock,
    /// Segments below this number are compressed, or left as they are.
    compressed_below: u64,
    /// The writer makes a segment durable before it leaves it.
    syncs: bool,
    upkeep: Upkeep,
}

impl Keeper {
    fn new(
        storage: &Arc<dyn Storage>,
        options: &JournalOptions,
        found: Vec<SegmentNumber>,
        next: u64,
    ) -> Option<Self> {
        let limits = Limits::of(options);
        let level = options.compression;
        if limits.is_none() && level.is_none() {
            return None;
        }
        let syncs = options.fsync != super::Fsync::Never;
        Some(Self {
            storage: Arc::clone(storage),
            limits,
            level,
            stock: Stock::new(Arc::clone(storage), found, next, syncs),
            compressed_below: 0,
            syncs,
            upkeep: Upkeep::begun(),
        })
    }

    fn run(mut self, board: &Board) {
        let (mut before, mut until) = (0, None);
        let mut pause = FIRST_PAUSE;
        loop {
            let told = board.wait(before, until);
            // What is asked of it last is still done; it takes a moment.
            let next = match (told.stops, told.sealed_below == before) {
                (true, true) => return,
                (true, false) => self.retain(told).map(|_| Next::WhenTold),
                _ => self.work(told, &|| !board.told().stops),
            };
            before = told.sealed_below;
            let next = next.unwrap_or_else(|error| {
                self.upkeep.failed(error);
                let next = Next::In(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                next
            });
            until = match next {
                Next::Now => Some(Instant::now()),
                Next::In(time) => Instant::now().checked_add(time.min(LONGEST_WAIT)),
                Next::WhenTold => None,
            };
            if !matches!(next, Next::In(_)) {
                pause = FIRST_PAUSE;
            }
        }
    }

    /// Removes what is too much, then compresses one segment.
    fn work(&mut self, told: Told, goes_on: &dyn Fn() -> bool) -> Result<Next, StoreError> {
        let retained = self.retain(told);
        let mut is_more = self.compress(told, goes_on);
        // What cannot be removed is compressed all the same, without a pause after each.
        while retained.is_err() && matches!(is_more, Ok(true)) && goes_on() {
            is_more = self.compress(told, goes_on);
        }
        let (excess, is_more) = match (retained, is_more) {
            (Err(error), Err(also)) => {
                self.upkeep.failed(also);
                return Err(error);
            }
            (excess, is_more) => (excess?, is_more?),
        };
        self.upkeep.worked();
        Ok(match excess.next {
            _ if is_more => Next::Now,
            _ if excess.is_held => Next::In(HELD),
            Some(next) => Next::In(next.saturating_add(Duration::from_millis(1))),
            None => Next::WhenTold,
        })
    }

    fn retain(&mut self, told: Told) -> Result<Excess, StoreError> {
        let sealed = self.stock.sealed(told.sealed_below);
        let Some(limits) = self.limits else { return Ok(Excess::default()) };
        let (storage, upkeep) = (&*self.storage, &self.upkeep);
        // Whoever cannot be asked may need everything.
        let needed = || needed_from(storage).inspect_err(|_| upkeep.held(true));
        let now = Timestamp::now();
        let excess = self.stock.excess(limits, sealed, told.written, now, needed)?;
        for removed in 0..excess.segments {
            if let Some(removed) = self.stock.remove_oldest(sealed - removed)? {
                self.upkeep.removed(removed.bytes, removed.last.map(Sequence::new));
            }
        }
        self.stock.settle()?;
        self.upkeep.held(excess.is_held);
        self.stock.unreadable().map_or(Ok(excess), Err)
    }

    /// Compresses the oldest sealed segment that is not; whether there may be more.
    fn compress(&mut self, told: Told, goes_on: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        let Some(level) = self.level else {
            self.upkeep.waiting(0, told.sealed_below);
            return Ok(false);
        };
        let sealed = self.stock.sealed(told.sealed_below);
        let Some(at) = (0..sealed).find(|at| self.stock.get(*at).0 >= self.compressed_below) else {
            self.upkeep.waiting(0, told.sealed_below);
            return Ok(false);
        };
        self.upkeep.waiting((sealed - at) as u64, told.sealed_below);
        let number = self.stock.get(at);
        let is_empty = self.stock.size(at)? == 0;
        if !self.syncs && !is_empty {
            // A failed sync is not tried again on the same file, and so it is not compressed.
            secure(&*self.storage, number).inspect_err(|_| self.compressed_below = number.0 + 1)?;
        }
        let compressed = match is_empty {
            true => Ok(None),
            false => compress(&*self.storage, number, level, goes_on),
        };
        if compressed.as_ref().is_err_and(|error| !error.is_transient()) {
            // Somebody has to see to it; the others can be compressed.
            self.compressed_below = number.0 + 1;
        }
        if let Some((from, to)) = compressed? {
            self.stock.has_changed(at, to);
            self.upkeep.compressed(from, to);
        }
        if goes_on() {
            self.compressed_below = number.0 + 1;
            self.upkeep.waiting((sealed - at - 1) as u64, told.sealed_below);
        }
        Ok(at + 1 < sealed)
    }
}

/// The lowest sequence that a named consumer still needs; nothing from there on is removed.
fn needed_from(storage: &dyn Storage) -> Result<Option<u64>, StoreError> {
    Ok(Checkpoints::of(storage).lowest_needed()?.map(Sequence::get))
}

#[cfg(test)]
impl KeptBy {
    /// The keeper, whose work is then done [by hand](Self::by_hand) and by no thread.
    pub(super) fn take(&self) -> Option<Keeper> {
        self.board.keeper().take()
    }

    /// The work of the thread, done here and now as far as it goes.
    pub(super) fn by_hand(&self, keeper: &mut Keeper) {
        let told = *self.board.told();
        loop {
            match keeper.work(told, &|| true) {
                Ok(Next::Now) => {}
                Ok(_) => return,
                Err(error) => return keeper.upkeep.failed(error),
            }
        }
    }
}
