//! A subscription that has a seat at a shared log.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::Arc;

use super::seat::Seat;
use super::subscriber::Subscriber;
use super::target::Target;
use crate::{DropReason, Message};

/// See the [module](self).
pub(crate) struct SharedMember<M: Message>(Arc<Target<M>>);

impl<M: Message> Clone for SharedMember<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> Deref for SharedMember<M> {
    type Target = Seat<M>;

    #[inline]
    fn deref(&self) -> &Seat<M> {
        self.0.seat().expect("whoever has a seat keeps it")
    }
}

impl<M: Message> SharedMember<M> {
    /// A subscription, if it has a seat.
    pub(crate) fn of(target: &Arc<Target<M>>) -> Option<Self> {
        target.seat().map(|_| Self(Arc::clone(target)))
    }

    #[inline]
    pub(crate) fn subscriber(&self) -> &Subscriber<M> {
        &self.0.subscriber
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Everything below it has taken, or lost.
    pub(crate) fn taken(&self) -> u64 {
        let ledger = &self.subscriber().ledger;
        // Only the runner loses the oldest here.
        self.begin() + ledger.runner.taken.get() + ledger.losses.count(DropReason::FullOldest)
    }

    /// How many places up to `end` were its own, as far as its account does not say otherwise.
    pub(crate) fn matched(&self, end: u64) -> u64 {
        let ledger = &self.subscriber().ledger;
        (end + ledger.outside.get()).saturating_sub(self.begin() + ledger.runner.discarded.get())
    }
}
