//! How a worker looks for work before it sleeps, and for how long: about as long as it costs to be
//! woken. Searches in vain get shorter.
//!
//! Used by `crew.rs` when nothing is ready to run, and through `seat.rs` by a task that is about to
//! wait while nothing else is: its worker would search next, and what the task waits for it sees
//! earlier by itself, without being woken.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::ready::Ready;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use crate::sync::hint;

/// A failed search halves the next one, down to the full search divided by this.
const SHORTEST: u64 = 16;
/// Looks, two pauses each, between two looks at the clock.
const LOOKS: u32 = 8;

/// One worker's search. All of it is written by that worker alone.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The longest, in nanoseconds.
    full: u64,
    /// How many workers may search at once.
    searchers: u64,
    /// How long the next one is.
    length: AtomicU64,
    /// Whether the last task that searched, since the worker itself last did, has searched in vain.
    spent: AtomicBool,
}

impl Search {
    pub(super) fn new(full: Duration, searchers: u64) -> Self {
        let full = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
        Self { full, searchers, length: AtomicU64::new(full), spent: AtomicBool::new(false) }
    }

    /// The longest search.
    pub(super) fn full(&self) -> Duration {
        Duration::from_nanos(self.full)
    }

    /// Counts the worker as searching, unless too many are. Who searches ends in `Ready::found` or
    /// parks.
    pub(super) fn begin(&self, ready: &Ready) -> bool {
        let begins = ready.lot.try_search(self.searchers);
        if begins {
            ready.count_search();
        }
        begins
    }

    /// Looks until `found` says so, or the time is over.
    pub(super) fn look(&self, mut found: impl FnMut() -> bool) -> bool {
        // ORDER: Relaxed; the worker's own.
        let length = self.length.load(Relaxed);
        let (began, limit) = (Instant::now(), Duration::from_nanos(length));
        while began.elapsed() < limit {
            for _ in 0..LOOKS {
                hint::spin_loop();
                hint::spin_loop();
                if found() {
                    self.lengthen();
                    return true;
                }
            }
        }
        // ORDER: Relaxed; as above.
        self.length.store((length / 2).max(self.full / SHORTEST), Relaxed);
        false
    }

    /// The next search is a full one.
    pub(super) fn lengthen(&self) {
        // ORDER: Relaxed; the worker's own.
        self.length.store(self.full, Relaxed);
    }

    /// Searches from inside a task, for what it waits for and for other tasks that are ready;
    /// whether `came` has said so.
    pub(super) fn inside(&self, ready: &Ready, mut came: impl FnMut() -> bool) -> bool {
        if !self.begin(ready) {
            return false;
        }
        // Also where nothing was found, or `came` panics: the worker goes on, and a push from here on
        // calls again.
        let _ends = Ends(ready);
        let mut here = false;
        let found = self.look(|| {
            here = came();
            here || !ready.lanes.is_empty()
        });
        // ORDER: Relaxed; the worker's own.
        self.spent.store(!found, Relaxed);
        here
    }

    /// Whether a task has just searched in vain: then its worker need not. Mostly the task that ran last;
    /// one that is wanted elsewhere does not search, and then it is an earlier one.
    pub(super) fn take_spent(&self) -> bool {
        // ORDER: Relaxed; the worker's own.
        let spent = self.spent.load(Relaxed);
        if spent {
            // ORDER: Relaxed; the worker's own.
            self.spent.store(false, Relaxed);
        }
        spent
    }
}

/// Ends a search, however it ends.
struct Ends<'a>(&'a Ready);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.found();
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_search_that_panics_is_over_for_the_pool_too() {
        let (ready, search) = (Ready::new(), Search::new(Duration::from_secs(60), 1));
        let looked = catch_unwind(AssertUnwindSafe(|| search.inside(&ready, || panic!("foreign"))));
        assert!(looked.is_err());
        assert_eq!(ready.lot.counts().searching, 0);
        assert!(search.inside(&ready, || true), "the only place to search is free");
        assert_eq!((ready.lot.counts().searching, ready.searches()), (0, 2));
    }
}
