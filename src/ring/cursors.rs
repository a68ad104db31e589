//! The limit that required readers set for publishers.
//!
//! Called by `reader`, which registers and moves its own limit, and by `writer`, which looks at
//! all of them when its copy is used up. It never decides who may be overrun.
#![forbid(unsafe_code)]

use super::chunks::Chunks;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A place that no reader has.
const FREE: u64 = u64::MAX;
/// A reader that holds nobody back has its place all the same.
const LIFTED: u64 = FREE - 1;
const A_CHUNK: usize = if cfg!(ringpost_loom) { 1 } else { 8 };

/// One required reader's place.
#[derive(Debug)]
pub(super) struct Place {
    /// The first position that may not be claimed yet: the reader's cursor plus its window, or
    /// `FREE`. Written by the reader once a batch, read by publishers that run out of room.
    limit: AtomicU64,
    /// Written by the reader when it registers; read when a batch is cut to size.
    window: AtomicU64,
}

impl Default for Place {
    fn default() -> Self {
        Self { limit: AtomicU64::new(FREE), window: AtomicU64::new(u64::MAX) }
    }
}

impl Place {
    /// The reader has finished with everything below `limit - window`.
    #[inline]
    pub(super) fn set(&self, limit: u64) {
        // ORDER(limit): Release; pairs with ORDER(limit) in `Cursors::limit`. Carries the end of
        // the reader's work on what may now be overwritten.
        self.limit.store(limit, Ordering::Release);
    }

    /// As `set`, unless somebody has let go for the reader.
    pub(super) fn set_if_held(&self, limit: u64) {
        // ORDER: Relaxed; the reader's own, or lifted, and then the exchange says so.
        let last = self.limit.load(Ordering::Relaxed);
        if last != LIFTED {
            // ORDER(limit): Release; as in `set`.
            let _ = self.limit.compare_exchange(last, limit, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// From now on the reader limits nobody, whatever it sets if held.
    pub(super) fn lift(&self) {
        // ORDER(limit): AcqRel; as in `set`. A swap, so that it has its place among the reader's
        // exchanges: whichever of them comes after it fails.
        self.limit.swap(LIFTED, Ordering::AcqRel);
    }

    pub(super) fn is_lifted(&self) -> bool {
        // ORDER: Relaxed; asked by the reader that was overrun for it, in a check alone.
        self.limit.load(Ordering::Relaxed) == LIFTED
    }

    fn take(&self, limit: u64) -> bool {
        // ORDER(limit): AcqRel; pairs with ORDER(limit) in `set`, of the reader that had the place
        // before, and in `Cursors::limit`. Carries nothing else.
        self.limit.compare_exchange(FREE, limit, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// The places of all required readers.
#[derive(Debug)]
pub(super) struct Cursors {
    /// How often a reader registered or left. A publisher compares it with what it saw last, so that
    /// the limit it remembers is never older than the newest reader.
    registered: CachePadded<AtomicU64>,
    places: Chunks<Place, A_CHUNK>,
    /// The smallest window of any reader.
    smallest: CachePadded<AtomicU64>,
    /// The number of the place that was found in the way last: whoever waits looks there first,
    /// because a look at all of them takes each one's line from its reader.
    slowest: AtomicUsize,
}

impl Cursors {
    pub(super) fn new() -> Self {
        Self {
            registered: CachePadded::new(AtomicU64::new(0)),
            places: Chunks::new(),
            smallest: CachePadded::new(AtomicU64::new(u64::MAX)),
            slowest: AtomicUsize::new(0),
        }
    }

    /// Takes a place, so that publishers do not go beyond `limit`. Binding for every claim that
    /// comes after the caller's next RMW on the tail.
    pub(super) fn register(&self, limit: u64, window: u64) -> &Place {
        let (_, place) = self.places.acquire(|place| place.take(limit));
        // ORDER: Relaxed; only sizes batches.
        place.window.store(window, Ordering::Relaxed);
        // ORDER(registered): AcqRel; pairs with ORDER(registered) in `Cursors::registered`.
        // Carries the place and its limit.
        self.registered.fetch_add(1, Ordering::AcqRel);
        // ORDER(smallest): AcqRel; pairs with itself in `left`. After the window, and after the
        // count: who measures meanwhile, and may store a larger one, measures again.
        self.smallest.fetch_min(window, Ordering::AcqRel);
        place
    }

    /// A reader goes: it limits nobody any more, and its place can be had by another.
    pub(super) fn leave(&self, place: &Place) {
        // ORDER: Relaxed; only sizes batches.
        place.window.store(u64::MAX, Ordering::Relaxed);
        place.set(FREE);
        // ORDER(registered): AcqRel; pairs with itself. Carries the window that is gone.
        let mut seen = self.registered.fetch_add(1, Ordering::AcqRel) + 1;
        loop {
            // ORDER(smallest): AcqRel; pairs with itself in `register`, whose count is seen below if
            // its window was measured too early.
            self.smallest.swap(self.measure(), Ordering::AcqRel);
            match self.registered() {
                now if now == seen => return,
                now => seen = now,
            }
        }
    }

    /// How often a reader registered.
    #[inline]
    pub(super) fn registered(&self) -> u64 {
        // ORDER(registered): Acquire; pairs with ORDER(registered) in `register`. Carries the
        // place and its limit.
        self.registered.load(Ordering::Acquire)
    }

    /// The first position that some reader does not allow yet.
    pub(super) fn limit(&self) -> u64 {
        // ORDER(limit): Acquire; pairs with ORDER(limit) in `Place::set`. Carries the end of the
        // reader's work on what may now be overwritten.
        self.places.iter().map(|place| place.limit.load(Ordering::Acquire)).min().unwrap_or(FREE)
    }

    /// The same, if there is a reader that limits anybody.
    pub(super) fn some_limit(&self) -> Option<u64> {
        Some(self.limit()).filter(|&limit| limit < LIFTED)
    }

    /// The first position that some reader has not told that it has read, or an earlier one;
    /// the largest without a reader that limits anybody.
    pub(super) fn unread(&self) -> u64 {
        let unread = |place: &Place| {
            // ORDER(limit): Acquire; pairs with ORDER(limit) in `Place::set`. Carries the end of the
            // reader's work on what was read.
            let limit = place.limit.load(Ordering::Acquire);
            // ORDER: Relaxed; of a reader that is about to register it is the largest.
            let window = place.window.load(Ordering::Relaxed);
            if limit < LIFTED { limit.saturating_sub(window) } else { FREE }
        };
        self.places.iter().map(unread).min().unwrap_or(FREE)
    }

    /// Whether every reader allows all positions below `target`.
    pub(super) fn reach(&self, target: u64) -> bool {
        // ORDER: Relaxed; where to look first.
        let hint = self.slowest.load(Ordering::Relaxed);
        // ORDER(limit): Acquire; pairs with ORDER(limit) in `Place::set`. Carries the end of the
        // reader's work on what may now be overwritten.
        let limit = |place: &Place| place.limit.load(Ordering::Acquire);
        if self.places.get(hint).is_some_and(|place| limit(place) < target) {
            return false;
        }
        let mut slowest = (FREE, 0);
        for (number, place) in self.places.iter().enumerate() {
            // Of several the last: those who are run by turns come in this order.
            slowest = slowest.min((limit(place), usize::MAX - number));
        }
        let reached = slowest.0 >= target;
        if !reached {
            // ORDER: Relaxed; as above.
            self.slowest.store(usize::MAX - slowest.1, Ordering::Relaxed);
        }
        reached
    }

    /// The smallest window of any reader.
    pub(super) fn window(&self) -> u64 {
        // ORDER: Relaxed; only sizes batches.
        self.smallest.load(Ordering::Relaxed)
    }

    fn measure(&self) -> u64 {
        // ORDER: Relaxed; only sizes batches.
        self.places
            .iter()
            .map(|place| place.window.load(Ordering::Relaxed))
            .min()
            .unwrap_or(u64::MAX)
    }
}
