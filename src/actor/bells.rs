//! The doorbells of all readers of one log.
//!
//! A publish asks one count whether anybody sleeps, and only then goes through the list. The list
//! is replaced as a whole, so that it is walked without a lock; those who change it take one among
//! themselves.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::bell::{Bell, Sleepers};
use crate::topic::hamt::Map;

type Listed = Map<u64, Arc<Bell>>;

/// See the [module](self).
pub(crate) struct Bells {
    sleepers: Arc<Sleepers>,
    listed: ArcSwap<Listed>,
    /// A second list: changed first, and then in the first one's place, which is brought to the same
    /// state if nobody is looking at it. So a change copies nothing.
    spare: Mutex<Option<Arc<Listed>>>,
}

impl Bells {
    pub(crate) fn new() -> Self {
        Self {
            sleepers: Arc::default(),
            listed: ArcSwap::from_pointee(Map::EMPTY),
            spare: Mutex::new(None),
        }
    }

    /// A bell for a reader, which is not listed yet.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::new(Bell::new(Arc::clone(&self.sleepers)))
    }

    /// Whether somebody counts as asleep.
    #[cfg(test)]
    pub(crate) fn any_asleep(&self) -> bool {
        self.sleepers.any()
    }

    pub(crate) fn add(&self, bell: &Arc<Bell>) {
        self.set(bell, true);
    }

    pub(crate) fn remove(&self, bell: &Arc<Bell>) {
        self.set(bell, false);
    }

    fn set(&self, bell: &Arc<Bell>, there: bool) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = spare.take().unwrap_or_else(|| Arc::new(Map::clone(&self.listed.load())));
        Arc::make_mut(&mut next).put(&bell.number(), there.then(|| Arc::clone(bell)));
        let mut last = self.listed.swap(next);
        if let Some(bells) = Arc::get_mut(&mut last) {
            bells.adopt(&self.listed.load(), &bell.number(), |_, _| false);
            *spare = Some(last);
        }
    }

    /// Wakes everybody who sleeps. The caller has claimed a place, or passed `signal::fence`.
    #[inline]
    pub(crate) fn ring(&self) {
        if self.sleepers.any() {
            self.ring_all();
        }
    }

    #[cold]
    fn ring_all(&self) {
        self.listed.load().for_each(&mut |_, bell| bell.ring());
    }
}
