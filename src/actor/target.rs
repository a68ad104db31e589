//! A subscription's mailbox as its publishers and its source share it.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::Arc;

use super::source::Letter;
use super::subscriber::Subscriber;
use crate::Message;
use crate::mailbox::Overflow;
use crate::mailbox::lazy::LazyAddr;

/// A subscription with a mailbox, as publishers see it: one allocation. In this order, because what
/// stands before and behind the runner's counters is to be written seldom, see [`Subscriber`].
#[repr(C)]
pub(crate) struct Target<M: Message> {
    pub(crate) subscriber: Subscriber<M>,
    pub(crate) addr: LazyAddr<Letter<M>>,
}

impl<M: Message> Target<M> {
    /// Whether publishers must not overrun it.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self.addr.overflow(), Overflow::Block { .. })
    }
}

/// A target for those who want to know of the subscription alone.
pub(crate) struct Account<M: Message>(pub(crate) Arc<Target<M>>);

impl<M: Message> Deref for Account<M> {
    type Target = Subscriber<M>;

    fn deref(&self) -> &Subscriber<M> {
        &self.0.subscriber
    }
}
