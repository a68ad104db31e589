//! The lot: who is searching for work, who is parked, whether the spare rests. Called by
//! whoever pushed a task, by workers out of work and by the spare; it never looks into the
//! queue but through the question its caller hands in.
//!
//! The parties:
//!
//! * A pusher, after its push, [`call`](Lot::call)s: if nobody searches, it wakes a parked
//!   worker, which counts as searching from that moment (so the next pusher wakes nobody); with
//!   no worker parked either, it wakes the spare, if that rests.
//! * A searcher that finds work and was the last one calls on behalf of those who pushed
//!   meanwhile and relied on it ([`found`](Lot::found)).
//! * A worker that found nothing leaves the search and enters the list of the parked in one
//!   step, and looks once more before it sleeps ([`park`](Lot::park)).
//!
//! The counts are one word, so that a pusher reads one truth. The word is only moved from and
//! to "parked" and "resting" under the lock; "searching" also without it. The lock is taken to
//! sleep and to wake, never by a publish that finds nobody to wake.
//!
//! The protocol of searching workers is the one of Go's scheduler and of tokio's.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering::*, fence};
use crate::sync::{Arc, CachePadded, Condvar, Mutex, MutexGuard};

/// One searching worker in the word.
const SEARCHING: u64 = 1;
/// One parked worker in the word.
const PARKED: u64 = 1 << 16;
/// The spare sleeps until it is called.
const RESTING: u64 = 1 << 32;

const fn searching(word: u64) -> u64 {
    word & 0xffff
}

const fn parked(word: u64) -> u64 {
    (word >> 16) & 0xffff
}

/// A worker's bed. Its worker is in [`Beds::parked`] exactly while it should sleep.
#[derive(Debug)]
pub(super) struct Sleeper {
    bell: Condvar,
}

impl Sleeper {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { bell: Condvar::new() })
    }
}

#[derive(Debug)]
struct Beds {
    /// Last in, first out: the worker that slept least is the warmest.
    parked: Vec<Arc<Sleeper>>,
    ended: bool,
}

/// How a worker comes back from [`Lot::park`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rose {
    /// There is or was work. The worker counts as searching.
    Searching,
    /// Its patience is over. It counts as nothing.
    Overslept,
    /// The pool has ended.
    Ended,
}

/// The word, taken apart.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) searching: u64,
    pub(super) parked: u64,
}

#[derive(Debug)]
pub(super) struct Lot {
    /// Written by workers, wakers and the spare; read by every pusher.
    word: CachePadded<AtomicU64>,
    beds: Mutex<Beds>,
    spare: Condvar,
}

impl Lot {
    /// A lot with nobody in it; the spare counts as resting.
    pub(super) fn new() -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(RESTING)),
            beds: Mutex::new(Beds { parked: Vec::new(), ended: false }),
            spare: Condvar::new(),
        }
    }

    /// Sees to it that somebody looks at the queue. Called after each push.
    pub(super) fn call(&self) {
        // ORDER(ready-push): SeqCst fence between the push and the look at the word; pairs with
        // ORDER(ready-push) in `park`, `found` and `rest`. Carries the push one way, or the
        // caller's entry in the word the other way.
        fence(SeqCst);
        self.call_after_fence();
    }

    /// [`call`](Lot::call) without its fence. The models break the protocol with it.
    pub(super) fn call_after_fence(&self) {
        // ORDER: Relaxed; the fence before it orders it.
        if Self::needs_call(self.word.load(Relaxed)) {
            self.wake_one();
        }
    }

    fn needs_call(word: u64) -> bool {
        searching(word) == 0 && (parked(word) > 0 || word & RESTING != 0)
    }

    #[cold]
    fn wake_one(&self) {
        let mut beds = self.lock();
        // ORDER: Relaxed; still after the caller's fence, and under the lock "parked" and
        // "resting" are exact. Another pusher may have woken someone meanwhile: then that one
        // looks after us too.
        let word = self.word.load(Relaxed);
        if !Self::needs_call(word) {
            return;
        }
        if let Some(sleeper) = beds.parked.pop() {
            // ORDER: Relaxed; the fences around the word order it.
            self.word.fetch_sub(PARKED - SEARCHING, Relaxed);
            drop(beds);
            sleeper.bell.notify_one();
        } else {
            // ORDER: Relaxed; the fences around the word order it.
            self.word.fetch_and(!RESTING, Relaxed);
            drop(beds);
            self.spare.notify_one();
        }
    }

    /// Counts the caller as searching unless `limit` workers are already. A searcher must end
    /// in [`found`](Lot::found) or [`park`](Lot::park).
    pub(super) fn try_search(&self, limit: u64) -> bool {
        // ORDER: Relaxed; entering the search promises to look at the queue later, and the
        // fence that matters stands where the search is left.
        self.word
            .fetch_update(Relaxed, Relaxed, |word| {
                (searching(word) < limit).then_some(word + SEARCHING)
            })
            .is_ok()
    }

    /// Leaves the search with work in hand. The last searcher passes the search on if the queue
    /// holds more: those who pushed while it searched woke nobody.
    pub(super) fn found(&self, more: impl FnOnce() -> bool) {
        if self.leave_search() {
            // ORDER(ready-push): SeqCst fence between leaving the search and the look at the
            // queue; pairs with ORDER(ready-push) in `call`. Carries the leaving one way, or
            // the push the other way.
            fence(SeqCst);
            if more() {
                self.call_after_fence();
            }
        }
    }

    /// Leaves the search; true for the last one. Apart from [`found`](Lot::found) only the
    /// models call it.
    pub(super) fn leave_search(&self) -> bool {
        // ORDER: Relaxed; the fence in `found` orders it.
        searching(self.word.fetch_sub(SEARCHING, Relaxed)) == 1
    }

    /// Sleeps until called, until `patience` is over or until the pool ends, unless `waiting`
    /// says that there is work after all. `search`: whether the caller counts as searching.
    pub(super) fn park(
        &self,
        sleeper: &Arc<Sleeper>,
        search: bool,
        patience: Option<Duration>,
        waiting: impl FnOnce() -> bool,
    ) -> Rose {
        let mut beds = self.lock();
        beds.parked.push(Arc::clone(sleeper));
        // ORDER: Relaxed; the fence below orders it. One step, so that no pusher rings for the
        // spare because it sees this worker neither searching nor parked.
        self.word.fetch_add(if search { PARKED - SEARCHING } else { PARKED }, Relaxed);
        // ORDER(ready-push): SeqCst fence between "parked" and the look at the queue; pairs
        // with ORDER(ready-push) in `call`. Carries "parked" one way, or the push the other way.
        fence(SeqCst);
        if waiting() {
            // Still locked, so that no waker has taken this entry.
            beds.parked.pop();
            // ORDER: Relaxed; whoever sees it relies on this worker's search.
            self.word.fetch_sub(PARKED - SEARCHING, Relaxed);
            return Rose::Searching;
        }
        loop {
            if beds.ended {
                return Rose::Ended;
            }
            let expired;
            (beds, expired) = wait(&sleeper.bell, beds, patience);
            let Some(at) = beds.parked.iter().position(|other| Arc::ptr_eq(other, sleeper)) else {
                return Rose::Searching;
            };
            if expired && !beds.ended {
                beds.parked.remove(at);
                // ORDER: Relaxed; wakers act on "parked" under the lock only.
                self.word.fetch_sub(PARKED, Relaxed);
                return Rose::Overslept;
            }
        }
    }

    /// The spare's sleep until it is called, unless work is waiting. False when the pool ended.
    pub(super) fn rest(&self, waiting: impl FnOnce() -> bool) -> bool {
        let mut beds = self.lock();
        // ORDER: Relaxed; the fence below orders it.
        self.word.fetch_or(RESTING, Relaxed);
        // ORDER(ready-push): SeqCst fence between "resting" and the look at the queue; pairs
        // with ORDER(ready-push) in `call`. Carries "resting" one way, or the push the other way.
        fence(SeqCst);
        if waiting() {
            // ORDER: Relaxed; changed under the lock only.
            self.word.fetch_and(!RESTING, Relaxed);
        }
        // ORDER: Relaxed; changed under the lock only.
        while !beds.ended && self.word.load(Relaxed) & RESTING != 0 {
            (beds, _) = wait(&self.spare, beds, None);
        }
        !beds.ended
    }

    /// The spare's sleep of one tick. False when the pool ended.
    pub(super) fn doze(&self, tick: Duration) -> bool {
        let beds = self.lock();
        !beds.ended && !wait(&self.spare, beds, Some(tick)).0.ended
    }

    /// Sends everybody home.
    pub(super) fn end(&self) {
        let mut beds = self.lock();
        beds.ended = true;
        for sleeper in &beds.parked {
            sleeper.bell.notify_one();
        }
        self.spare.notify_one();
    }

    /// Who is here at this moment.
    pub(super) fn counts(&self) -> Counts {
        // ORDER: Relaxed; a report, and a hint for the spare.
        let word = self.word.load(Relaxed);
        Counts { searching: searching(word), parked: parked(word) }
    }

    /// Whether the spare sleeps until there is a backlog.
    #[cfg(test)]
    pub(super) fn spare_rests(&self) -> bool {
        // ORDER: Relaxed; the test has synchronised with what it waits for.
        self.word.load(Relaxed) & RESTING != 0
    }

    fn lock(&self) -> MutexGuard<'_, Beds> {
        self.beds.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits for a bell; true when `patience` is over.
fn wait<'a>(
    bell: &Condvar,
    beds: MutexGuard<'a, Beds>,
    patience: Option<Duration>,
) -> (MutexGuard<'a, Beds>, bool) {
    match patience {
        None => (bell.wait(beds).unwrap_or_else(|poisoned| poisoned.into_inner()), false),
        Some(patience) => {
            let (beds, result) =
                bell.wait_timeout(beds, patience).unwrap_or_else(|poisoned| poisoned.into_inner());
            (beds, result.timed_out())
        }
    }
}
