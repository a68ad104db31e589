//! Which subscriptions share a log, and the logs that are shared.
//!
//! Those that are alike: one pattern, one mailbox size, one policy. The first of them has a mailbox,
//! which is made when a publisher first asks for it. If a second one comes before that, the first takes
//! a seat at the log that is made for it, and a publish costs one copy for all of them. If it comes later,
//! or the first spins or began with the past, the first keeps its mailbox, and whoever comes after it
//! shares a log with those that come later still: two copies for all of them. Two that come at the same
//! moment, to a pattern of many topics or to a topic that one of another size has, may both keep theirs.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::route::Target;
use crate::actor::shared_log::{IN_HAND, SharedLog};
use crate::mailbox::Overflow;
use crate::{Message, Pattern};

#[cfg(test)]
mod tests;

/// Mailboxes of at least this many places are shared. What a reader of a log has in hand is in a
/// smaller one a large part of what may wait.
const LEAST: usize = IN_HAND;
/// And of at most this many: a log keeps what was handled until it comes round.
const MOST: usize = 1 << 20;

/// What subscriptions have in common that share a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alike {
    pattern: Pattern,
    mailbox: usize,
    /// How long a publish waits for one of them, with `Block`; otherwise the oldest give way.
    timeout: Option<Duration>,
}

impl Alike {
    /// None for a subscription that needs a mailbox of its own.
    pub(crate) fn of(pattern: &Pattern, mailbox: usize, overflow: Overflow) -> Option<Self> {
        let timeout = match overflow {
            Overflow::DropOldest => None,
            Overflow::Block { timeout } => Some(timeout),
            Overflow::DropNewest | Overflow::Disconnect => return None,
        };
        // Notices have numbers of their own, and do not pass by the ring.
        let shares = (LEAST..=MOST).contains(&mailbox) && !pattern.sees_reserved();
        shares.then(|| Self { pattern: pattern.clone(), mailbox, timeout })
    }

    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Whether a mailbox of the same pattern is that of a subscription like this.
    pub(crate) fn fits<M: Message>(&self, target: &Target<M>) -> bool {
        target.addr.capacity() == self.mailbox && target.addr.overflow() == self.overflow()
    }

    fn overflow(&self) -> Overflow {
        match self.timeout {
            None => Overflow::DropOldest,
            Some(timeout) => Overflow::Block { timeout },
        }
    }
}

/// The logs that somebody reads.
pub(crate) struct SharedLogs<M: Message> {
    logs: HashMap<Alike, Weak<SharedLog<M>>, foldhash::fast::RandomState>,
    /// At how many those that nobody has any more are looked for.
    limit: usize,
}

impl<M: Message> SharedLogs<M> {
    pub(crate) fn new() -> Self {
        Self { logs: HashMap::default(), limit: 16 }
    }

    pub(crate) fn get(&self, alike: &Alike) -> Option<Arc<SharedLog<M>>> {
        // Most buses have none.
        let log = (!self.logs.is_empty()).then(|| self.logs.get(alike)?.upgrade())?;
        log.filter(|log| log.is_read())
    }

    pub(crate) fn make(&mut self, alike: &Alike) -> Arc<SharedLog<M>> {
        if self.logs.len() >= self.limit {
            self.logs.retain(|_, log| log.strong_count() > 0);
            self.limit = 2 * self.logs.len().max(8);
        }
        let log = SharedLog::new(alike.mailbox, alike.overflow());
        self.logs.insert(alike.clone(), Arc::downgrade(&log));
        log
    }
}
