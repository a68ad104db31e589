//! A shared log as the source of one of its subscriptions.
//!
//! What waits in a mailbox waits here in the log: a batch that is taken is in hand, and no longer
//! counts among those that may wait.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll};

use super::seat::Seat;
use super::shared_log::{IN_HAND, SharedLog, SharedReader, Slip};
use super::shared_member::SharedMember;
use super::source::{Head, Letter, Refill, Source};
use super::subscriber::Life;
use super::target::Target;
use crate::mailbox::wait::Idle;
use crate::ring::{Flow, Next};
use crate::{DropReason, Gap, Message, Sequence};

/// How many places that are nobody's are passed before others may run.
const MOST_AT_ONCE: usize = 256;

/// Messages from a log that other subscriptions read too.
pub(crate) struct SharedSource<M: Message> {
    reader: SharedReader<M>,
    log: Arc<SharedLog<M>>,
    member: SharedMember<M>,
    /// The first sequence that is this subscription's.
    start: u64,
    /// Messages of the batch that were not handed out.
    left: u64,
    /// Whether it has just found nothing, and was ready without having slept: then there is no lag.
    was_empty: bool,
    /// Whether it was overrun: then there may be places behind it that a publisher holds.
    overrun: bool,
    /// The last sequence that was handed out or lost, or the one before its start.
    last: u64,
    pending: Option<Gap>,
    idle: Idle,
    /// Where the bus's ring was last stocked from here.
    stocked: u64,
    end: End,
}

/// Where it gave up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Running,
    /// What is in hand has not been given up yet.
    Leaving(u64),
    /// It goes on through the rest.
    Left(u64),
}

impl<M: Message> SharedSource<M> {
    /// For a subscription that has a seat, once. Passes over what is older than its start, as far as it
    /// is there, so that publishers have all of its places.
    pub(crate) fn of(target: &Arc<Target<M>>, start: u64) -> Option<Self> {
        let member = SharedMember::of(target)?;
        let (reader, log) = member.take_reading(start)?;
        let mut source = Self {
            idle: Idle::new(target.addr.wait(), member.window),
            reader,
            log,
            member,
            start,
            left: 0,
            was_empty: false,
            overrun: false,
            last: start.saturating_sub(1),
            pending: None,
            stocked: 0,
            end: End::Running,
        };
        // Of one that is over already, `give_up` counts what was its own.
        while source.member.subscriber().life() == Life::Running {
            match source.reader.next() {
                Next::Item(_, Some(letter)) if letter.sequence >= start => break,
                Next::Item(..) => source.pass(),
                Next::Gap { from, to } => source.lose(None, None, to - from + 1),
                Next::Empty | Next::Closed => break,
            }
        }
        source.finish_batch();
        source.reader.tell_ahead(0, true);
        Some(source)
    }

    /// The sequence of the next message, if it is there. What was overwritten before it is lost.
    fn look(&mut self) -> Option<u64> {
        match self.reader.next() {
            Next::Item(_, Some(letter)) => Some(letter.sequence),
            Next::Gap { from, to } => {
                self.lose(None, None, to - from + 1);
                None
            }
            _ => None,
        }
    }

    /// How many more than may are waiting below `end`.
    fn over(&self, end: u64) -> u64 {
        let waiting = end.saturating_sub(self.reader.position());
        waiting.saturating_sub(self.member.window as u64)
    }

    /// The oldest give way.
    #[cold]
    fn lose_oldest(&mut self, over: u64) {
        let newest = self.reader.position() + over;
        let (first, begin) = (self.look(), self.reader.position());
        if begin >= newest {
            return;
        }
        // The last one that is lost is looked at on the way, if it is still there.
        self.reader.skip_to(newest - 1);
        let last = self.look();
        let lost = if self.reader.position() < newest {
            self.reader.skip_to(newest);
            newest - begin
        } else {
            newest - 1 - begin
        };
        if lost > 0 {
            self.lose(first, last, lost);
        }
    }

    /// Notes a loss of `count` messages, whose ends are known if they could still be seen. (One that
    /// was published while it subscribed, and is older than its start, may be among them: what was
    /// overwritten cannot be looked at.)
    fn lose(&mut self, from: Option<u64>, to: Option<u64>, count: u64) {
        self.overrun = true;
        let reason = DropReason::FullOldest;
        let from = from.unwrap_or(self.last + 1).max(self.start);
        let to = to.unwrap_or(from).max(from);
        self.member.subscriber().ledger.losses.record(reason, from, to, count);
        let gap = self.pending.get_or_insert(Gap {
            from: Sequence::new(from),
            to: Sequence::new(to),
            count: 0,
            reason,
        });
        gap.to = gap.to.max(Sequence::new(to));
        gap.count += count;
        self.last = self.last.max(to);
    }

    /// The messages in a row from here on that are there: the next batch. Not what was published after
    /// it was cancelled; whether there is any other.
    #[inline]
    fn take(&mut self) -> bool {
        let most = (self.member.window as u64 / 4).clamp(1, IN_HAND as u64);
        // Who sees such a message sees that it was cancelled.
        let end = self.member.subscriber().end(u64::MAX);
        let most = most.min(end.saturating_sub(self.reader.position()));
        if most == 0 {
            return false;
        }
        let start = self.start;
        let is_own = |slip: &Slip<M>| slip.as_ref().is_some_and(|letter| letter.sequence >= start);
        let count = self.reader.in_a_row(most, is_own);
        self.left = count;
        self.member.subscriber().ledger.runner.taken.add_owned(count);
        let last = count < most;
        self.reader.tell_ahead(count, last);
        true
    }

    /// Goes past one that is not its own.
    fn pass(&mut self) {
        let counts = &self.member.subscriber().ledger.runner;
        counts.taken.add_owned(1);
        counts.discarded.add_owned(1);
        self.reader.advance();
    }

    /// Counts messages as given up, some of which may have been in hand.
    fn give_up_some(&mut self, sequence: u64, count: u64, reason: DropReason) {
        let ledger = &self.member.subscriber().ledger;
        let in_hand = self.left.min(count);
        self.left -= in_hand;
        // In this order: once nothing is queued or in flight, everything is accounted for.
        ledger.losses.record(reason, sequence, sequence, count);
        ledger.runner.taken.add_owned(count - in_hand);
        ledger.runner.given_up.add_owned(count);
    }

    /// Takes no more, lets publishers go, and counts what is left up to here. Whether that was
    /// all; if not, a publisher has a place that it is about to fill.
    fn drain(&mut self, reason: DropReason) -> bool {
        if self.end == End::Running {
            self.member.leaving((!self.overrun).then(|| self.reader.position()));
            self.reader.leave();
            self.log.leave_seat();
            let position = self.reader.position();
            // What came after it was cancelled is not its own.
            let end = self.member.subscriber().end(position + self.reader.lag());
            self.end = End::Leaving(end.max(position + self.left));
        }
        let (End::Leaving(end) | End::Left(end)) = self.end else { return true };
        loop {
            if self.left == 0 && self.end == End::Leaving(end) {
                self.end = End::Left(end);
                let over = if self.log.blocks() { 0 } else { self.over(end) };
                if over > 0 {
                    // They had given way before it ended.
                    let newest = self.reader.position() + over;
                    self.reader.skip_to(newest);
                    self.lose(None, None, over);
                }
            }
            if self.reader.position() >= end {
                break;
            }
            let start = self.start;
            match self.reader.next() {
                Next::Item(_, Some(letter)) if letter.sequence >= start => {
                    let sequence = letter.sequence;
                    self.give_up_some(sequence, 1, reason);
                    self.reader.advance();
                }
                Next::Item(..) => self.pass(),
                Next::Gap { from, to } => {
                    let count = to.min(end - 1) + 1 - from;
                    self.give_up_some(self.last + 1, count, reason);
                }
                Next::Empty => return false,
                Next::Closed => break,
            }
        }
        self.member.subscriber().set_ended_at(end);
        self.member.subscriber().ledger.runner.set_done(end);
        true
    }
}

impl<M: Message> Source<M> for SharedSource<M> {
    fn refill(&mut self) -> Refill {
        // Who has just found nothing has no lag; and a look takes the tail's line from publishers.
        if !std::mem::take(&mut self.was_empty) && !self.reader.is_required() {
            let over = self.over(self.reader.position() + self.reader.lag());
            if over > 0 {
                self.lose_oldest(over);
            }
        }
        for _ in 0..MOST_AT_ONCE {
            let start = self.start;
            match self.reader.next() {
                Next::Item(_, Some(letter)) if letter.sequence >= start => {
                    self.idle.reset();
                    // Where it has been cancelled since the run loop looked, that is for the loop to see.
                    return if self.take() { Refill::Some } else { Refill::Busy };
                }
                Next::Item(..) => self.pass(),
                Next::Empty => return Refill::Empty,
                Next::Closed => return Refill::Ended,
                Next::Gap { from, to } => self.lose(None, None, to - from + 1),
            }
        }
        Refill::Busy
    }

    #[inline]
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        if self.left == 0 {
            return None;
        }
        let Self { reader, pending, last, .. } = self;
        match reader.next() {
            Next::Item(_, Some(letter)) => {
                if let Some(mut gap) = pending.take() {
                    // Where the end could not be seen any more, it is before this one.
                    gap.to = gap.to.min(Sequence::new(letter.sequence.saturating_sub(1)));
                    gap.to = gap.to.max(gap.from);
                    gaps.push(gap);
                }
                *last = letter.sequence;
                Some(Head {
                    sequence: letter.sequence,
                    topic: letter.topic,
                    message: &letter.message,
                })
            }
            _ => None,
        }
    }

    #[inline]
    fn pop(&mut self) {
        self.reader.advance();
        self.left -= 1;
    }

    #[inline]
    fn each(&mut self, gaps: &mut Vec<Gap>, mut handle: impl FnMut(Head<'_, M>, &[Gap]) -> Flow) {
        let Self { reader, left, last, .. } = self;
        let until = reader.position() + *left;
        let mut untold = &gaps[..];
        reader.each(until, |_, slip| {
            let Some(Letter { sequence, topic, message }) = slip else { return Flow::Stay };
            *last = *sequence;
            let flow = handle(Head { sequence: *sequence, topic: *topic, message }, untold);
            if flow != Flow::Stay {
                untold = &[];
                *left -= 1;
            }
            flow
        });
        if untold.is_empty() {
            gaps.clear();
        }
    }

    #[inline]
    fn finish_batch(&mut self) {
        self.member.subscriber().ledger.runner.set_done(self.reader.position());
    }

    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()> {
        // Places that were given back are passed without a message.
        self.finish_batch();
        let last = !self.reader.is_ready();
        self.reader.tell_ahead(0, last);
        self.reader.release();
        let Self { reader, member, idle, stocked, .. } = self;
        let (Seat { bell, .. }, subscriber) = (&**member, member.subscriber());
        reader.stock();
        subscriber.stock(stocked, reader.position());
        let ready = || reader.is_ready() || subscriber.life() != Life::Running;
        let polled = bell.poll(idle, task, reader.position(), ready, || reader.is_coming());
        self.was_empty = polled.is_ready();
        polled
    }

    fn give_up(&mut self, reason: DropReason) -> bool {
        self.drain(reason)
    }
}

impl<M: Message> Drop for SharedSource<M> {
    /// Read to the end of a closed log, nothing is left. Else its executor dropped it halfway, and
    /// nobody waits for what is not committed.
    fn drop(&mut self) {
        while !self.drain(DropReason::Stopped) {
            self.give_up_some(self.last + 1, 1, DropReason::Stopped);
            let next = self.reader.position() + 1;
            self.reader.skip_to(next);
        }
        self.log.bells.remove(&self.member.bell);
        // It may be dropped in its sleep.
        self.member.bell.leave();
        // Of one that stopped by failure publishers are still to hear.
        let life = self.member.subscriber().life();
        let told = life == Life::Failed && !self.log.log.is_closed();
        if told && self.log.blocks() {
            self.member.forget_cancelled();
        } else {
            self.member.forget();
        }
    }
}
