//! Where the persistence actor and everybody else meet: its doorbell, requests and statistics.
//!
//! One mutex, held for a few instructions, taken by the actor once a batch and by others when
//! they ask or ring. A publisher meets it only when it rings for an actor that sleeps.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};
use std::{error, fmt};

use super::waiting::{Ticket, Waiting};
use crate::event::Event;
use crate::store::{Level, ReceiptError, StoreError, Upkeep, UpkeepStats, Watermarks};
use crate::{Bus, Gap, Sequence, Shared, WeakBus};

/// What a persistence has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PersistStats {
    /// Records that the store took, since the start.
    pub journaled: u64,
    /// How far the store is, records of earlier runs included.
    pub watermarks: Watermarks,
    /// Batches that the store took.
    pub batches: u64,
    /// Failed calls of the store.
    pub errors: u64,
    /// Records that the source lost before the store saw them, that are too large for the store,
    /// or that it lost after it had taken them.
    pub lost: u64,
    /// Records in hand that the store has not taken yet.
    pub held: u64,
    /// The store's last error, as long as it has not worked since.
    pub degraded: Option<StoreError>,
    /// Whether the thread has ended.
    pub ended: bool,
    /// What the store did on its own with what it has: removed, compressed. True at the moment of
    /// asking.
    pub upkeep: UpkeepStats,
}

/// How a persistence ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "it says what was not stored"]
pub struct PersistReport {
    /// The last statistics.
    pub stats: PersistStats,
    /// Records taken from the source of which the store did not say that they are stored.
    pub unwritten: u64,
    /// Whether everything was stored and flushed and the thread ended before the deadline.
    pub complete: bool,
}

/// Why a flush did not happen in time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlushError {
    /// The sequence did not reach the store, or the store did not answer, in time.
    Timeout(Watermarks),
    /// The store was failing until the time was over.
    Failed(StoreError),
    /// The actor ended first.
    Ended,
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(marks) => match marks.written {
                Some(written) => write!(f, "not flushed in time, written up to {written}"),
                None => f.write_str("not flushed in time, nothing written"),
            },
            Self::Failed(_) => f.write_str("not flushed, the store is failing"),
            Self::Ended => f.write_str("not flushed, the persistence has ended"),
        }
    }
}

impl error::Error for FlushError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// After some work the actor looks the other way for this long before it lets itself be woken:
/// waking a thread costs the publisher that does it as much as hundreds of events.
const NAP: Duration = Duration::from_micros(100);

/// No clock has room for every duration: nobody waits longer than this, about 30 years.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// The moment at which a time that begins now is over, however long it is.
pub(super) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST)
}

#[derive(Debug)]
struct State {
    /// The source rang since the actor last looked at it.
    rung: bool,
    /// The actor sleeps and the source's ring is to wake it.
    listening: bool,
    /// Somebody asked for something since the actor last looked.
    asked: bool,
    /// Up to where those want a flush who wait for one.
    flushes: Vec<Sequence>,
    flushed_to: Option<Sequence>,
    /// Everything was stored and flushed at the end.
    complete: bool,
    /// The owner has waited for the end and heard how it went.
    heard: bool,
    stop_by: Option<Instant>,
    stats: PersistStats,
    waiting: Waiting,
}

/// See the [module](self).
pub(super) struct Desk {
    /// The source of an actor that panicked, until its owner goes: while it is here, publishers
    /// find the ring full instead of losing events in silence.
    remains: Mutex<Option<Box<dyn Send>>>,
    state: Mutex<State>,
    /// For the actor.
    actor: Condvar,
    /// For those who wait for the actor.
    others: Condvar,
    /// The bus that is the source, if one is.
    bus: OnceLock<WeakBus<Shared<Event>>>,
    /// The store's own work.
    upkeep: Upkeep,
}

impl Desk {
    /// For a store that is so far, ends there, promises so much, and does so on its own.
    pub(super) fn new(
        watermarks: Watermarks,
        last: Option<Sequence>,
        promised: Level,
        upkeep: Upkeep,
    ) -> Self {
        let state = State {
            rung: false,
            listening: false,
            asked: false,
            flushes: Vec::new(),
            flushed_to: None,
            complete: false,
            heard: false,
            stop_by: None,
            stats: PersistStats { watermarks, ..PersistStats::default() },
            waiting: Waiting::new(promised, last),
        };
        Self {
            remains: Mutex::new(None),
            state: Mutex::new(state),
            actor: Condvar::new(),
            others: Condvar::new(),
            bus: OnceLock::new(),
            upkeep,
        }
    }

    /// No code of anybody else runs under the lock, so its state is whole even if poisoned.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn belongs_to(&self, bus: WeakBus<Shared<Event>>) {
        // A persistence has one source, so nobody says it twice.
        let _ = self.bus.set(bus);
    }

    pub(super) fn bus(&self) -> Option<&WeakBus<Shared<Event>>> {
        self.bus.get()
    }

    pub(super) fn serves(&self, bus: &Bus<Shared<Event>>) -> bool {
        self.bus.get().is_some_and(|own| own.is_of(bus))
    }

    pub(super) fn stats(&self) -> PersistStats {
        let stats = self.state().stats.clone();
        PersistStats { upkeep: self.upkeep.stats(), ..stats }
    }

    /// What the store did on its own.
    pub(super) fn upkeep(&self) -> UpkeepStats {
        self.upkeep.stats()
    }

    pub(super) fn flush(&self, upto: Sequence, timeout: Duration) -> Result<(), FlushError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        state.flushes.push(upto);
        state.asked = true;
        self.actor.notify_one();
        let flushed = loop {
            if state.flushed_to >= Some(upto) {
                break Ok(());
            }
            if state.stats.ended {
                break Err(FlushError::Ended);
            }
            match self.wait(&self.others, state, deadline) {
                Ok(woken) => state = woken,
                Err(late) => {
                    state = late;
                    break Err(match state.stats.degraded.clone() {
                        Some(error) => FlushError::Failed(error),
                        None => FlushError::Timeout(state.stats.watermarks),
                    });
                }
            }
        };
        // Else one that was asked for in vain would hide those that are below it.
        if let Some(at) = state.flushes.iter().position(|one| *one == upto) {
            state.flushes.swap_remove(at);
        }
        flushed
    }

    pub(super) fn ask_to_stop(&self, patience: Duration) {
        let mut state = self.state();
        let by = after(patience);
        state.stop_by = Some(state.stop_by.map_or(by, |earlier| earlier.min(by)));
        state.asked = true;
        self.actor.notify_one();
    }

    /// Keeps the source of an actor that panicked, unless the owner has gone already.
    pub(super) fn keep(&self, remains: Box<dyn Send>) {
        let mut kept = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stop_by().is_none() {
            *kept = Some(remains);
        }
    }

    /// Lets go of what was kept.
    pub(super) fn let_go(&self) {
        let remains = self.remains.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(remains);
    }

    /// Whether the owner ended it in order and heard that everything was stored.
    pub(super) fn was_stopped(&self) -> bool {
        let state = self.state();
        state.heard && state.complete
    }

    pub(super) fn stop(&self, timeout: Duration) -> PersistReport {
        let deadline = after(timeout);
        self.ask_to_stop(timeout);
        let mut state = self.state();
        while !state.stats.ended {
            match self.wait(&self.others, state, Some(deadline)) {
                Ok(woken) => state = woken,
                Err(late) => {
                    state = late;
                    break;
                }
            }
        }
        state.heard = state.stats.ended;
        PersistReport {
            unwritten: state.stats.held,
            complete: state.complete && state.stats.ended,
            stats: PersistStats { upkeep: self.upkeep.stats(), ..state.stats.clone() },
        }
    }

    /// An answer for whoever wants a receipt, or a place among those who wait.
    pub(super) fn poll_receipt(
        &self,
        sequence: Sequence,
        level: Level,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<(), ReceiptError>> {
        // Cloned before and dropped after the lock is held: its code is not ours.
        let mut waker = Some(waker.clone());
        let mut state = self.state();
        let marks = state.stats.watermarks;
        let polled = state.waiting.poll(sequence, level, ticket, &mut waker, marks);
        drop(state);
        polled
    }

    /// One who waited goes.
    pub(super) fn leave(&self, ticket: Ticket) {
        let waker = self.state().waiting.leave(ticket);
        drop(waker);
    }

    /// The most that the store promises.
    pub(super) fn promised(&self) -> Level {
        self.state().waiting.promised()
    }

    /// Waits for a change; `Err` once the deadline is over.
    fn wait<'s>(
        &self,
        bell: &Condvar,
        state: MutexGuard<'s, State>,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'s, State>, MutexGuard<'s, State>> {
        let Some(deadline) = deadline else {
            return Ok(bell.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(state);
        }
        Ok(bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    // What follows is for the actor.

    /// The deadline of a stop, once one was asked for.
    pub(super) fn stop_by(&self) -> Option<Instant> {
        self.state().stop_by
    }

    /// Whether somebody waits for a flush of what is `stored` that had none.
    pub(super) fn wants_flush(&self, stored: Option<Sequence>) -> bool {
        let state = self.state();
        let mut wanted = state.flushes.iter().map(|upto| Some(*upto));
        wanted.any(|upto| upto <= stored && upto > state.flushed_to)
    }

    /// Sleeps until the source rings, somebody asks or `due` comes.
    pub(super) fn rest(&self, due: Option<Instant>, worked: bool) {
        let mut state = self.state();
        if worked {
            let nap = Some(Instant::now() + NAP);
            while !state.asked {
                match self.wait(&self.actor, state, nap) {
                    Ok(woken) => state = woken,
                    Err(rested) => {
                        state = rested;
                        break;
                    }
                }
            }
        }
        state.listening = true;
        while !state.rung && !state.asked {
            match self.wait(&self.actor, state, due) {
                Ok(woken) => state = woken,
                Err(late) => {
                    state = late;
                    break;
                }
            }
        }
        state.listening = false;
        // Cleared before the source is polled again: a ring after this is not lost.
        state.rung = false;
        state.asked = false;
    }

    /// Sleeps after a failure; false when a stop's deadline is over, or when there is a stop and
    /// trying again is not `worth` it.
    pub(super) fn pause(&self, pause: Duration, worth: bool) -> bool {
        let until = after(pause);
        let mut state = self.state();
        loop {
            let mut wake = until;
            if let Some(by) = state.stop_by {
                if !worth || by <= Instant::now() {
                    return false;
                }
                wake = until.min(by);
            }
            match self.wait(&self.actor, state, Some(wake)) {
                Ok(woken) => state = woken,
                Err(rested) => {
                    state = rested;
                    if Instant::now() >= until {
                        return true;
                    }
                }
            }
        }
    }

    /// The source's first record came.
    pub(super) fn begins(&self, first: Sequence) {
        self.state().waiting.begins(first);
    }

    /// The source left out the sequences between two records.
    pub(super) fn left_out(&self, from: Sequence, to: Sequence) {
        self.state().waiting.misses(from, to, ReceiptError::NotTaken(from));
    }

    pub(super) fn lost(&self, gap: Gap) {
        let mut state = self.state();
        state.stats.lost += gap.count;
        state.waiting.lost(gap);
        tell(state);
    }

    pub(super) fn holding(&self, records: usize) {
        self.state().stats.held = records as u64;
    }

    /// The batch up to `last` is dealt with.
    pub(super) fn appended(
        &self,
        last: Option<Sequence>,
        stored: usize,
        refused: &[(Sequence, StoreError)],
        held: usize,
        watermarks: Watermarks,
    ) {
        let mut state = self.state();
        state.stats.journaled += stored as u64;
        state.stats.lost += refused.len() as u64;
        state.stats.batches += 1;
        state.stats.held = held as u64;
        state.stats.watermarks = watermarks;
        for (sequence, error) in refused {
            state.waiting.misses(*sequence, *sequence, ReceiptError::Refused(error.clone()));
        }
        state.waiting.settles(last);
        tell(state);
    }

    pub(super) fn marked(&self, watermarks: Watermarks) {
        let mut state = self.state();
        state.stats.watermarks = watermarks;
        tell(state);
    }

    pub(super) fn flushed(&self, upto: Option<Sequence>, watermarks: Watermarks) {
        let mut state = self.state();
        state.flushed_to = state.flushed_to.max(upto);
        state.stats.watermarks = watermarks;
        self.others.notify_all();
        tell(state);
    }

    pub(super) fn failed(&self, error: &StoreError, watermarks: Watermarks) {
        let mut state = self.state();
        state.stats.errors += 1;
        state.stats.watermarks = watermarks;
        state.stats.degraded = Some(error.clone());
        let mut woken = state.waiting.due(watermarks);
        woken.extend(state.waiting.fail(&ReceiptError::Failed(error.clone())));
        drop(state);
        wake(woken);
    }

    /// The store promises so much from now on.
    pub(super) fn promises(&self, level: Level) {
        let mut state = self.state();
        let marks = state.stats.watermarks;
        let woken = state.waiting.promises(level, marks);
        drop(state);
        wake(woken);
    }

    pub(super) fn recovered(&self) {
        self.state().stats.degraded = None;
    }

    pub(super) fn complete(&self) {
        self.state().complete = true;
    }
}

impl Wake for Desk {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        state.rung = true;
        let listening = state.listening;
        drop(state);
        if listening {
            self.actor.notify_one();
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Says that the thread is over when it is dropped, also by a panic.
pub(super) struct Ended(Arc<Desk>);

impl Ended {
    pub(super) fn of(desk: Arc<Desk>) -> Self {
        Self(desk)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stats.ended = true;
        self.0.others.notify_all();
        let woken = state.waiting.end();
        drop(state);
        wake(woken);
    }
}

/// Wakes those who can be told something, once the lock is free.
fn tell(mut state: MutexGuard<'_, State>) {
    let marks = state.stats.watermarks;
    let woken = state.waiting.due(marks);
    drop(state);
    wake(woken);
}

/// A waker that panics keeps nobody else asleep, and the store going.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        let _panic = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
