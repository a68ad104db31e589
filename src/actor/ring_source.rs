//! The ring as the source of an actor that wants every message.
//!
//! Such a subscription needs no mailbox: publishers pay nothing for it, and its mailbox size is
//! the lag that it may build up.
//!
//! It tells publishers how far it is by exchanges, so that who cancels it can let them go while its
//! handler is running, and stays the last to have said so.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::bell::Bell;
use super::ledger::LossesIfAny;
use super::ring_reader::RingReader;
use super::source::{Entry, Head, Refill, Source};
use super::subscriber::{Life, Subscriber};
use crate::mailbox::wait::{Idle, Wait};
use crate::ring::{Flow, Next, Stake};
use crate::{DropReason, Gap, Message, Sequence};

/// The most messages between two looks at the lag.
const MOST_AT_ONCE: u64 = 64;

/// A subscription that reads the ring itself, as its publishers and its owner see it.
pub(crate) struct RingMember<M: Message> {
    pub(crate) subscriber: Arc<Subscriber<M>>,
    pub(crate) bell: Arc<Bell>,
    /// Where it began.
    pub(crate) start: u64,
    /// The lag that is allowed: the mailbox size asked for.
    pub(crate) window: u64,
    /// Whether publishers must not overrun it.
    pub(crate) required: bool,
    /// How long a publish waits for it then.
    pub(crate) timeout: Duration,
    /// What holds publishers back for it, for as long as it reads.
    stake: Mutex<Option<Stake<Entry<M>>>>,
}

impl<M: Message> RingMember<M> {
    pub(crate) fn new(
        subscriber: Arc<Subscriber<M>>,
        bell: Arc<Bell>,
        reader: &RingReader<Entry<M>>,
        window: u64,
        timeout: Duration,
    ) -> Self {
        let (start, stake) = (reader.position(), reader.stake());
        let (required, stake) = (stake.is_some(), Mutex::new(stake));
        Self { subscriber, bell, start, window, required, timeout, stake }
    }

    fn stake(&self) -> MutexGuard<'_, Option<Stake<Entry<M>>>> {
        self.stake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was cancelled: publishers need not wait for it, though its handler may be running. The
    /// caller wakes those who do.
    pub(crate) fn let_go(&self) {
        if let Some(stake) = &*self.stake() {
            stake.lift();
        }
    }

    /// Its reader is about to leave: from now on nobody can let go for it.
    fn leaving(&self) {
        *self.stake() = None;
    }
}

/// Messages from the ring itself, for a subscription that wants them all.
pub(crate) struct RingSource<M: Message> {
    reader: RingReader<Entry<M>>,
    member: Arc<RingMember<M>>,
    /// The first message that was not yet there when it was subscribed. What it asked for of the
    /// past is not lag.
    live: u64,
    /// The end of the batch: what lies there waits for the next look at the lag. A batch that ended
    /// because nothing more was there has not come to it.
    until: u64,
    pending: Option<Gap>,
    idle: Idle,
    /// Whether its end was accounted for.
    over: bool,
}

impl<M: Message> RingSource<M> {
    pub(crate) fn new(
        reader: RingReader<Entry<M>>,
        member: Arc<RingMember<M>>,
        wait: Wait,
    ) -> Self {
        member.subscriber.ledger.runner.set_done(reader.position());
        let live = reader.position() + reader.lag();
        let idle = Idle::new(wait, usize::try_from(member.window).unwrap_or(usize::MAX));
        Self { reader, member, live, until: 0, pending: None, idle, over: false }
    }

    /// What it is when the ring came round. A required reader is overrun only once it was cancelled.
    fn overrun(required: bool) -> DropReason {
        if required { DropReason::Cancelled } else { DropReason::Lapped }
    }

    /// Counts what is left as dropped, and lets publishers go.
    fn end(&mut self, reason: DropReason) {
        self.over = true;
        let (position, lag) = (self.reader.position(), self.reader.lag());
        let tail = position + lag;
        let subscriber = &self.member.subscriber;
        if lag > 0 {
            subscriber.ledger.losses.record(reason, position, tail - 1, lag);
        }
        subscriber.set_ended_at(tail);
        subscriber.ledger.runner.set_done(tail);
        self.member.leaving();
        self.reader.leave();
    }
}

/// Notes a loss; losses that touch become one gap.
fn lose(
    pending: &mut Option<Gap>,
    losses: &LossesIfAny,
    (from, to): (u64, u64),
    reason: DropReason,
) {
    let count = to - from + 1;
    let gap = pending.get_or_insert(Gap {
        from: Sequence::new(from),
        to: Sequence::new(to),
        count: 0,
        reason,
    });
    gap.to = Sequence::new(to);
    gap.count += count;
    losses.record(gap.reason, from, to, count);
}

impl<M: Message> Source<M> for RingSource<M> {
    fn refill(&mut self) -> Refill {
        // Who has just found nothing has no lag; and a look takes the tail's line from publishers.
        let may_lag = self.reader.position() >= self.until && !self.reader.is_required();
        if may_lag && self.reader.position() >= self.live {
            let lag = self.reader.lag();
            let window = self.member.window;
            let newest = self.reader.position() + lag.saturating_sub(window);
            if lag > window
                && let Some((from, to)) = self.reader.skip_to(newest)
            {
                let losses = &self.member.subscriber.ledger.losses;
                lose(&mut self.pending, losses, (from, to), DropReason::FullOldest);
            }
        }
        let required = self.reader.is_required();
        loop {
            match self.reader.next() {
                Next::Item(position, _) => {
                    self.until = position + (self.member.window / 4).clamp(1, MOST_AT_ONCE);
                    self.idle.reset();
                    return Refill::Some;
                }
                Next::Empty => {
                    self.until = self.reader.position() + 1;
                    return Refill::Empty;
                }
                Next::Closed => return Refill::Ended,
                Next::Gap { from, to } => {
                    let losses = &self.member.subscriber.ledger.losses;
                    lose(&mut self.pending, losses, (from, to), Self::overrun(required));
                }
            }
        }
    }

    #[inline]
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        let Self { reader, until, pending, member, .. } = self;
        if reader.position() >= *until {
            return None;
        }
        let required = reader.is_required();
        match reader.next() {
            Next::Item(sequence, Entry { topic, message }) => {
                gaps.extend(pending.take());
                Some(Head { sequence, topic: *topic, message })
            }
            Next::Gap { from, to } => {
                // Told with the first message of the next batch.
                let losses = &member.subscriber.ledger.losses;
                lose(pending, losses, (from, to), Self::overrun(required));
                None
            }
            Next::Empty | Next::Closed => None,
        }
    }

    #[inline]
    fn pop(&mut self) {
        self.reader.advance();
    }

    #[inline]
    fn each(&mut self, gaps: &mut Vec<Gap>, mut handle: impl FnMut(Head<'_, M>, &[Gap]) -> Flow) {
        let mut untold = &gaps[..];
        self.reader.each(self.until, |sequence, Entry { topic, message }| {
            let flow = handle(Head { sequence, topic: *topic, message }, untold);
            if flow != Flow::Stay {
                untold = &[];
            }
            flow
        });
        if untold.is_empty() {
            gaps.clear();
        }
    }

    #[inline]
    fn finish_batch(&mut self) {
        // Publishers first: who asks why there is no room goes by what is done.
        self.reader.tell_if_held();
        self.member.subscriber.ledger.runner.set_done(self.reader.position());
    }

    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()> {
        self.finish_batch();
        self.reader.release();
        let Self { reader, member, idle, .. } = self;
        let RingMember { bell, subscriber, .. } = &**member;
        reader.stock();
        let ready = || reader.is_ready() || subscriber.life() != Life::Running;
        let polled = bell.poll(idle, task, reader.position(), ready, || reader.is_coming());
        if polled.is_pending() {
            self.until = 0;
        }
        polled
    }

    fn give_up(&mut self, reason: DropReason) -> bool {
        self.end(reason);
        true
    }
}

impl<M: Message> Drop for RingSource<M> {
    /// Read to the end of a closed ring, nothing is left. Else its executor dropped it halfway.
    fn drop(&mut self) {
        if !self.over {
            self.end(DropReason::Stopped);
        }
        // It may be dropped in its sleep.
        self.member.bell.leave();
    }
}
