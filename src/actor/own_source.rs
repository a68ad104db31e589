//! A mailbox of one's own as the source of an actor, until it gives way to a seat at a shared log.
//!
//! That happens while the mailbox is not made, so nothing is in both: see `bus/alike.rs`. Who is dropped
//! before it came to its seat gives up what lies there as a [`MailboxSource`].
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll};

use super::mailbox_source::MailboxSource;
use super::shared_source::SharedSource;
use super::source::{Head, Refill, Source};
use super::target::Target;
use crate::ring::Flow;
use crate::{DropReason, Gap, Message};

/// See the [module](self).
pub(crate) struct OwnSource<M: Message> {
    mailbox: MailboxSource<M>,
    shared: Option<Box<SharedSource<M>>>,
}

impl<M: Message> OwnSource<M> {
    /// For a subscription that has begun with this sequence.
    pub(crate) fn new(target: Arc<Target<M>>, start: u64) -> Self {
        let mut mailbox = MailboxSource::new(target);
        mailbox.set_start(start, Vec::new());
        Self { mailbox, shared: None }
    }

    /// Goes over to the seat, if the mailbox has given way.
    #[cold]
    fn look(&mut self) {
        self.shared = self.mailbox.take_seat().map(Box::new);
    }
}

impl<M: Message> Source<M> for OwnSource<M> {
    #[inline]
    fn refill(&mut self) -> Refill {
        if self.shared.is_none() && !self.mailbox.is_made() {
            self.look();
        }
        match &mut self.shared {
            Some(shared) => shared.refill(),
            None => self.mailbox.refill(),
        }
    }

    #[inline]
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        match &mut self.shared {
            Some(shared) => shared.head(gaps),
            None => self.mailbox.head(gaps),
        }
    }

    #[inline]
    fn pop(&mut self) {
        match &mut self.shared {
            Some(shared) => shared.pop(),
            None => self.mailbox.pop(),
        }
    }

    #[inline]
    fn each(&mut self, gaps: &mut Vec<Gap>, handle: impl FnMut(Head<'_, M>, &[Gap]) -> Flow) {
        match &mut self.shared {
            Some(shared) => shared.each(gaps, handle),
            None => self.mailbox.each(gaps, handle),
        }
    }

    #[inline]
    fn finish_batch(&mut self) {
        match &mut self.shared {
            Some(shared) => shared.finish_batch(),
            None => self.mailbox.finish_batch(),
        }
    }

    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()> {
        match &mut self.shared {
            Some(shared) => shared.poll_wait(task),
            // Ready when the mailbox has given way: a refill finds that.
            None => self.mailbox.poll_wait(task),
        }
    }

    fn give_up(&mut self, reason: DropReason) -> bool {
        if self.shared.is_none() {
            // What is closed does not give way any more.
            let done = self.mailbox.give_up(reason);
            if self.mailbox.is_made() {
                return done;
            }
            self.look();
        }
        self.shared.as_mut().is_none_or(|shared| shared.give_up(reason))
    }
}
