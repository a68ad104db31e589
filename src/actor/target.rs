//! A subscription's mailbox as its publishers and its source share it.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::source::Letter;
use super::subscriber::Subscriber;
use crate::Message;
use crate::mailbox::Overflow;
use crate::mailbox::lazy::LazyAddr;

/// A subscription's mailbox, as publishers see it.
pub(crate) struct Target<M: Message> {
    pub(crate) subscriber: Arc<Subscriber<M>>,
    pub(crate) addr: LazyAddr<Letter<M>>,
}

impl<M: Message> Target<M> {
    /// Whether publishers must not overrun it.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self.addr.overflow(), Overflow::Block { .. })
    }
}
