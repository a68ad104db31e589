//! Where an actor's messages come from: its mailbox ([`mailbox_source`](super::mailbox_source)),
//! the ring ([`ring_source`](super::ring_source)), or the ring's past ([`history`](super::history)).
//!
//! A source hands out messages in batches: [`refill`](Source::refill) makes some available,
//! [`head`](Source::head) lends the first, [`pop`](Source::pop) is done with it, and
//! [`finish_batch`](Source::finish_batch) tells whoever waits for room or for quiet.
#![forbid(unsafe_code)]

use std::future::Future;
use std::task::{Context, Poll};

use crate::caught::caught;
use crate::ring::Flow;
use crate::topic::TopicId;
use crate::{DropReason, Gap, Message, Sequence};

/// A message in a mailbox: what the publisher knows of it travels with it.
pub(crate) struct Letter<M> {
    pub(crate) sequence: u64,
    pub(crate) topic: TopicId,
    pub(crate) message: M,
}

/// A message on the ring; its sequence is its place.
pub(crate) struct Entry<M> {
    pub(crate) topic: TopicId,
    pub(crate) message: M,
}

/// What a refill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    Some,
    Empty,
    /// A publisher is in the way for a moment: look again.
    Busy,
    /// Closed, and everything was handed out.
    Ended,
}

/// The first message of the batch, lent.
pub(crate) struct Head<'a, M> {
    /// 0 for a message that never was on the ring.
    pub(crate) sequence: u64,
    pub(crate) topic: TopicId,
    pub(crate) message: &'a M,
}

impl<M> Copy for Head<'_, M> {}

impl<M> Clone for Head<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Head<'_, M> {
    pub(crate) fn sequence(&self) -> Option<Sequence> {
        (self.sequence != 0).then(|| Sequence::new(self.sequence))
    }
}

pub(crate) trait Source<M: Message>: Send + 'static {
    /// Makes a batch available.
    fn refill(&mut self) -> Refill;
    /// Lends the next message of the batch, and adds to `gaps` what was lost before it. Asked again
    /// before `pop`, it lends the same one and counts nothing.
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>>;
    /// Done with the head.
    fn pop(&mut self);
    /// Lends `handle` the messages of the batch, or of a part of it, one after the other, with what was
    /// lost before each. Asked right after `head` has found one. A message is popped once it is done
    /// with; one for which `handle` panics is still the head.
    ///
    /// (The gaps are told with the first message and forgotten at the end. A list that is cleared and
    /// looked at again for each message stalls a core longer than most handlers take: its length is
    /// written alone and read together with its place.)
    ///
    /// The same as `head` and `pop` in a loop, for sources that can do better.
    #[inline]
    fn each(&mut self, gaps: &mut Vec<Gap>, mut handle: impl FnMut(Head<'_, M>, &[Gap]) -> Flow) {
        while let Some(head) = self.head(gaps) {
            let flow = handle(head, gaps);
            if flow == Flow::Stay {
                return;
            }
            gaps.clear();
            self.pop();
            if flow == Flow::Last {
                return;
            }
        }
    }

    /// Done with the batch.
    fn finish_batch(&mut self);
    /// Ready when a refill may find something else than nothing. Until then `task` is woken when
    /// that changes, and after that it is a refill's turn, and not this one's.
    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()>;
    /// Takes no more, and counts what is left as dropped; whether that was all. If not, somebody is
    /// in the way for a moment: yield, then again.
    fn give_up(&mut self, reason: DropReason) -> bool;

    /// Waits until a refill may find something else than nothing.
    fn wait(&mut self) -> impl Future<Output = ()> + Send {
        let mut waited = false;
        std::future::poll_fn(move |task| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => self.poll_wait(task),
        })
    }
}

/// Drops a message whose Drop may panic: the run loop must not end by it.
#[inline]
pub(crate) fn drop_caught<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        // The panic was the message's own and has nowhere to go.
        caught(|| drop(value));
    }
}
