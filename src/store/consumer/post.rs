//! Where a consumer and its owner meet: its account, and being told to stop.
//!
//! One mutex, held for a few instructions; nobody's code runs under it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::bus::foothold::Foothold;
use crate::event::Event;
use crate::store::{ConsumerName, StoreError};
use crate::{DropReason, Sequence, Shared, SubscriptionStats};

/// What a durable consumer has done in this run, and how far it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Its name.
    pub name: ConsumerName,
    /// The account of this run. `matched` counts the events that were found so far; those that
    /// are still to come are in `lag`. An event that is handed out and not acknowledged is
    /// `in_flight`, and `queued` once the consumer has ended: it comes again. Events that neither
    /// the ring nor the journal has any more are `dropped(lapped)`, whether the pattern matches
    /// them or not.
    pub account: SubscriptionStats,
    /// Attempts that failed, of events that were then tried again.
    pub retried: u64,
    /// The first sequence that is not dealt with.
    pub next: Sequence,
    /// The first sequence that is not stored as dealt with: after a crash it goes on there.
    pub stored: Sequence,
    /// Events published that it has not come to, whether the pattern matches them or not.
    pub lag: u64,
    /// Why its position could not be stored or the journal not be read, as long as that has not
    /// succeeded since.
    pub degraded: Option<StoreError>,
    /// How it ended; `None` while it runs.
    pub end: Option<ConsumerEnd>,
}

/// How a durable consumer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerEnd {
    /// Its owner stopped it, or it stopped itself.
    Stopped,
    /// The bus is closed, and it went on as long as it could.
    Closed,
    /// An event failed as often as it was allowed to, and the settings say that it stops then; or
    /// the actor could not start. What is not acknowledged comes again when it is started again.
    Failed {
        /// The event; `None` for the actor itself.
        sequence: Option<Sequence>,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt said.
        error: String,
    },
}

/// How a durable consumer was ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerReport {
    /// The last statistics.
    pub stats: ConsumerStats,
    /// Whether it has ended and all that it had dealt with is stored: nothing of it comes again.
    pub complete: bool,
}

/// The counters of an account.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) matched: u64,
    pub(super) handled: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    pub(super) retried: u64,
    /// Whether an event is handed out and not acknowledged.
    pub(super) held: bool,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    next: Sequence,
    stored: Sequence,
    degraded: Option<StoreError>,
    /// Whether somebody was told of that.
    told: bool,
    stop_by: Option<Instant>,
    waker: Option<Waker>,
    end: Option<(ConsumerEnd, bool)>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Post {
    name: ConsumerName,
    state: Mutex<State>,
    changed: Condvar,
}

impl Post {
    pub(super) fn new(name: ConsumerName, progress: &Progress) -> Self {
        let state = State {
            counts: Counts::default(),
            next: progress.position(),
            stored: progress.stored(),
            degraded: None,
            told: false,
            stop_by: None,
            waker: None,
            end: None,
        };
        Self { name, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(super) fn stats(&self, site: &Foothold<Shared<Event>>) -> ConsumerStats {
        let state = self.state();
        let Counts { matched, handled, failed, lost, retried, held } = state.counts;
        let (held, ended) = (u64::from(held), state.end.is_some());
        let lost = Some((DropReason::Lapped, lost)).filter(|(_, lost)| *lost > 0);
        let account = SubscriptionStats {
            id: site.id(),
            pattern: site.pattern().to_string(),
            matched,
            handled,
            failed,
            dropped: lost.into_iter().collect::<BTreeMap<_, _>>(),
            queued: if ended { held } else { 0 },
            in_flight: if ended { 0 } else { held },
            capacity: 0,
        };
        ConsumerStats {
            name: self.name.clone(),
            account,
            retried,
            next: state.next,
            stored: state.stored,
            lag: site.next().get().saturating_sub(state.next.get()),
            degraded: state.degraded.clone(),
            end: state.end.as_ref().map(|(end, _)| end.clone()),
        }
    }

    // What follows is for the consumer.

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.state().counts);
    }

    pub(super) fn moved(&self, next: Sequence) {
        self.state().next = next;
    }

    /// It was tried to store the position.
    pub(super) fn stored(&self, progress: &Progress, error: Option<&StoreError>) {
        self.state().stored = progress.stored();
        self.trouble(error);
    }

    /// What is wrong with the store, if anything.
    pub(super) fn trouble(&self, error: Option<&StoreError>) {
        let mut state = self.state();
        state.told &= error.is_some();
        state.degraded = error.cloned();
    }

    /// Whether nobody was told of the trouble yet.
    pub(super) fn is_first_trouble(&self) -> bool {
        !std::mem::replace(&mut self.state().told, true)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().stop_by.is_some()
    }

    /// The time that is left for ending, once it is to stop.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let stop_by = self.state().stop_by;
        stop_by.map(|by| by.saturating_duration_since(Instant::now()))
    }

    /// Whether it is to stop; if not, the waker is woken when it is.
    pub(super) fn listen(&self, waker: &Waker) -> bool {
        // Cloned before and dropped after the lock is held: its code is not ours.
        let waker = waker.clone();
        let mut state = self.state();
        let stopping = state.stop_by.is_some();
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        stopping
    }

    /// Sleeps; false if it is to stop.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now().checked_add(pause);
        let mut state = self.state();
        while state.stop_by.is_none() {
            let left =
                until.map_or(Duration::MAX, |one| one.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            state = self.wait(state, left);
        }
        false
    }

    /// It has ended, and nobody holds its name any more.
    pub(super) fn ended(&self, end: ConsumerEnd, complete: bool) {
        self.state().end = Some((end, complete));
        self.changed.notify_all();
    }

    // What follows is for its owner.

    /// Tells it to stop, and that it has `patience` for storing where it is.
    pub(super) fn stop(&self, patience: Duration) {
        let mut state = self.state();
        let by = Instant::now() + patience.min(LONGEST);
        state.stop_by = Some(state.stop_by.map_or(by, |earlier| earlier.min(by)));
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until it has ended, for at most `timeout`; whether it has, with everything stored.
    pub(super) fn await_end(&self, timeout: Duration) -> Option<bool> {
        let until = Instant::now() + timeout.min(LONGEST);
        let mut state = self.state();
        loop {
            if let Some((_, complete)) = &state.end {
                return Some(*complete);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        let time = time.min(LONGEST);
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// No clock has room for every duration: nobody waits longer than this, about 30 years.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);
