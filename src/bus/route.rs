//! Whom a topic reaches: an immutable snapshot, resolved once a topic and table.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::inline::Inline;
use super::table::Member;
use crate::Message;
pub(crate) use crate::actor::target::Target;

/// Whom a topic reaches, each group in the order of subscription.
pub(crate) struct Route<M: Message> {
    /// The table's version it was resolved for.
    pub(crate) version: u64,
    /// Mailboxes in which a place is claimed before the ring.
    pub(crate) blocking: Box<[Arc<Target<M>>]>,
    /// All other mailboxes.
    pub(crate) open: Box<[Arc<Target<M>>]>,
    /// Handlers that run on the publisher's thread.
    pub(crate) inline: Box<[Arc<Inline<M>>]>,
    /// How many subscriptions read the ring itself.
    pub(crate) readers: u64,
}

impl<M: Message> Route<M> {
    pub(crate) fn new(version: u64, mut members: Vec<(u64, Member<M>)>) -> Self {
        members.sort_unstable_by_key(|&(id, _)| id);
        let (mut blocking, mut open, mut inline, mut readers) = (vec![], vec![], vec![], 0);
        for (_, member) in members {
            match member {
                Member::Mailbox(target) if target.blocks() => blocking.push(target),
                Member::Mailbox(target) => open.push(target),
                Member::Inline(handler) => inline.push(handler),
                Member::Ring(_) => readers += 1,
            }
        }
        Self {
            version,
            blocking: blocking.into(),
            open: open.into(),
            inline: inline.into(),
            readers,
        }
    }

    /// How many mailboxes it has.
    #[inline]
    pub(crate) fn mailboxes(&self) -> usize {
        self.blocking.len() + self.open.len()
    }

    /// The largest batch that fits every `Block` mailbox; `None` if there is none of those.
    pub(crate) fn smallest_blocking(&self) -> Option<usize> {
        self.blocking.iter().map(|target| target.addr.capacity()).min()
    }

    /// What it has more than an older route of the same topic.
    pub(crate) fn joined_since(&self, old: &Self) -> Self {
        fn fresh<T>(new: &[Arc<T>], old: &[Arc<T>]) -> Box<[Arc<T>]> {
            let known = |one: &Arc<T>| old.iter().any(|other| Arc::ptr_eq(other, one));
            new.iter().filter(|one| !known(one)).cloned().collect()
        }
        Self {
            version: self.version,
            blocking: fresh(&self.blocking, &old.blocking),
            open: fresh(&self.open, &old.open),
            inline: fresh(&self.inline, &old.inline),
            readers: 0,
        }
    }

    /// How many subscriptions it has.
    pub(crate) fn subscribers(&self) -> u64 {
        (self.mailboxes() + self.inline.len()) as u64 + self.readers
    }
}
