//! A subscription's own mailbox as the source of its actor.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::bell::OnWorker;
use super::run::notice;
use super::shared_source::SharedSource;
use super::source::{Head, Letter, Refill, Source, drop_caught};
use super::subscriber::Subscriber;
use super::target::Target;
use crate::mailbox::lazy::Found;
use crate::mailbox::losses::Collector;
use crate::mailbox::{Batch, Mailbox, RecvError};
use crate::ring::Flow;
use crate::{DropReason, Gap, Message};

/// Messages from a mailbox, which is made by whoever first asks for it.
pub(crate) struct MailboxSource<M: Message> {
    target: Arc<Target<M>>,
    /// Messages below this sequence were read from history, or are older than the subscription.
    start: u64,
    /// What it works with once there is a mailbox: an idle subscription has none of it.
    open: Option<Box<Open<M>>>,
}

struct Open<M: Message> {
    mailbox: Mailbox<Letter<M>>,
    batch: VecDeque<Letter<M>>,
    collector: Collector,
    /// Gaps not yet told: each waits for the first message that is newer.
    pending: Vec<Gap>,
    /// Where the ring was last stocked from here.
    stocked: u64,
}

impl<M: Message> Open<M> {
    fn new(mailbox: Mailbox<Letter<M>>) -> Box<Self> {
        Box::new(Self {
            mailbox,
            batch: VecDeque::new(),
            collector: Collector::new(),
            pending: Vec::new(),
            stocked: 0,
        })
    }

    #[inline]
    fn refill(&mut self, subscriber: &Subscriber<M>) -> Refill {
        let taken = self.mailbox.take_batch(usize::MAX, &mut self.batch);
        if let Some(losses) = subscriber.ledger.losses.get() {
            self.collector.collect(losses, &mut self.pending);
        }
        match taken {
            Batch::Taken(count) => {
                subscriber.ledger.runner.taken.add_owned(count as u64);
                Refill::Some
            }
            Batch::Empty => Refill::Empty,
            Batch::Busy => Refill::Busy,
            Batch::Ended(ended) => {
                if ended == RecvError::Disconnected {
                    self.tell_disconnected(subscriber);
                }
                Refill::Ended
            }
        }
    }

    /// Tells the bus that this subscription is over for being slow. Comes once: it is the end.
    #[cold]
    fn tell_disconnected(&self, subscriber: &Subscriber<M>) {
        let text = format!(
            "disconnected: a message found its mailbox of {} full",
            self.mailbox.capacity()
        );
        subscriber.notify(notice(subscriber, text, false, None));
    }

    /// Moves what was lost before this message to `gaps`, one gap a reason.
    #[cold]
    fn tell_gaps(&mut self, before: u64, gaps: &mut Vec<Gap>) {
        self.pending.retain(|gap| {
            let later = gap.from.get() > before;
            if !later {
                match gaps.iter_mut().find(|told| told.reason == gap.reason) {
                    Some(told) => {
                        told.from = told.from.min(gap.from);
                        told.to = told.to.max(gap.to);
                        told.count += gap.count;
                    }
                    None => gaps.push(*gap),
                }
            }
            later
        });
    }

    #[inline]
    fn pop(&mut self) {
        drop_caught(self.batch.pop_front());
    }

    #[inline]
    fn finish_batch(&self, subscriber: &Subscriber<M>) {
        if self.batch.is_empty() {
            subscriber.ledger.runner.set_done(self.mailbox.position());
        }
    }

    /// Counts what was taken out and not handled.
    fn give_up_batch(&mut self, start: u64, subscriber: &Subscriber<M>, reason: DropReason) {
        let counts = &subscriber.ledger.runner;
        while let Some(letter) = self.batch.pop_front() {
            if letter.sequence < start {
                counts.discarded.add_owned(1);
            } else {
                let at = letter.sequence;
                subscriber.ledger.losses.record(reason, at, at, 1);
                counts.given_up.add_owned(1);
            }
            drop_caught(letter);
        }
        counts.set_done(self.mailbox.position());
    }

    /// Takes the next batch out, for `give_up_batch`; whether there will be another.
    fn take_rest(&mut self, subscriber: &Subscriber<M>) -> bool {
        match self.mailbox.take_batch(usize::MAX, &mut self.batch) {
            Batch::Taken(count) => subscriber.ledger.runner.taken.add_owned(count as u64),
            // A publisher holds a place that it will fill or give back in a moment, or is making
            // room at this very moment.
            Batch::Empty | Batch::Busy => {}
            Batch::Ended(_) => return false,
        }
        true
    }
}

impl<M: Message> MailboxSource<M> {
    pub(crate) fn new(target: Arc<Target<M>>) -> Self {
        Self { target, start: 0, open: None }
    }

    /// Passes over what is below `start`, and tells these gaps before the first message.
    pub(crate) fn set_start(&mut self, start: u64, gaps: Vec<Gap>) {
        self.start = start;
        if !gaps.is_empty() {
            // Somebody has to keep them; what was to be spared is spent.
            self.target.addr.make();
            self.look();
        }
        if let Some(open) = &mut self.open {
            open.pending = gaps;
        }
    }

    /// What it goes over to if its mailbox has given way, once.
    pub(crate) fn take_seat(&self) -> Option<SharedSource<M>> {
        SharedSource::of(&self.target, self.start)
    }

    /// Whether it has its mailbox.
    #[inline]
    pub(crate) fn is_made(&self) -> bool {
        self.open.is_some()
    }

    /// Looks for the mailbox; `Ended` if there never will be one.
    #[cold]
    fn look(&mut self) -> Refill {
        match self.target.addr.found() {
            Found::Mailbox(mailbox) => {
                self.open = Some(Open::new(*mailbox));
                Refill::Busy
            }
            Found::Nothing | Found::GaveWay => Refill::Empty,
            Found::Closed => Refill::Ended,
        }
    }

    /// Closes the mailbox, also if it was not made: then it never is, or is empty when it is.
    fn close(&mut self) {
        if let Found::Mailbox(mailbox) = self.target.addr.close_found() {
            self.open = Some(Open::new(*mailbox));
        }
    }
}

impl<M: Message> Source<M> for MailboxSource<M> {
    #[inline]
    fn refill(&mut self) -> Refill {
        if self.open.is_none() {
            match self.look() {
                Refill::Busy => {}
                nothing => return nothing,
            }
        }
        match &mut self.open {
            Some(open) => open.refill(&self.target.subscriber),
            None => Refill::Empty,
        }
    }

    #[inline]
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        let open = self.open.as_mut()?;
        while open.batch.front()?.sequence < self.start {
            open.pop();
            self.target.subscriber.ledger.runner.discarded.add_owned(1);
        }
        if !open.pending.is_empty() {
            let before = open.batch.front()?.sequence;
            open.tell_gaps(before, gaps);
        }
        let Letter { sequence, topic, message } = open.batch.front()?;
        Some(Head { sequence: *sequence, topic: *topic, message })
    }

    #[inline]
    fn pop(&mut self) {
        if let Some(open) = &mut self.open {
            open.pop();
        }
    }

    #[inline]
    fn each(&mut self, gaps: &mut Vec<Gap>, mut handle: impl FnMut(Head<'_, M>, &[Gap]) -> Flow) {
        let Some(open) = &mut self.open else { return };
        let Open { batch, pending, .. } = &mut **open;
        let mut untold = &gaps[..];
        while let Some(Letter { sequence, topic, message }) = batch.front() {
            let flow = handle(Head { sequence: *sequence, topic: *topic, message }, untold);
            if flow == Flow::Stay {
                break;
            }
            untold = &[];
            drop_caught(batch.pop_front());
            // What else `head` does for a message is left to it.
            let is_plain = |letter: &Letter<M>| letter.sequence >= self.start;
            if flow == Flow::Last || !pending.is_empty() || !batch.front().is_some_and(is_plain) {
                break;
            }
        }
        if untold.is_empty() {
            gaps.clear();
        }
    }

    #[inline]
    fn finish_batch(&mut self) {
        if let Some(open) = &self.open {
            open.finish_batch(&self.target.subscriber);
        }
    }

    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()> {
        // Places that publishers gave back, or that gave way, are passed without a message.
        self.finish_batch();
        match &mut self.open {
            Some(open) => {
                let position = open.mailbox.position();
                self.target.subscriber.stock(&mut open.stocked, position);
                open.mailbox.poll_idle(task, &OnWorker)
            }
            None => self.target.addr.poll_found(task).map(|found| {
                if let Found::Mailbox(mailbox) = found {
                    self.open = Some(Open::new(*mailbox));
                }
            }),
        }
    }

    fn give_up(&mut self, reason: DropReason) -> bool {
        self.close();
        let Some(open) = &mut self.open else { return true };
        let subscriber = &self.target.subscriber;
        open.give_up_batch(self.start, subscriber, reason);
        while open.take_rest(subscriber) {
            if open.batch.is_empty() {
                return false;
            }
            open.give_up_batch(self.start, subscriber, reason);
        }
        true
    }
}

impl<M: Message> Drop for MailboxSource<M> {
    /// After its own end nothing is left. Else its executor dropped it halfway.
    fn drop(&mut self) {
        self.close();
        let Some(open) = &mut self.open else { return drop(self.take_seat()) };
        let subscriber = &self.target.subscriber;
        open.give_up_batch(self.start, subscriber, DropReason::Stopped);
        while open.take_rest(subscriber) && !open.batch.is_empty() {
            open.give_up_batch(self.start, subscriber, DropReason::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::Overflow;
    use crate::actor::subscriber::{Home, Host};
    use crate::mailbox::Wait;
    use crate::mailbox::lazy::LazyAddr;
    use crate::topic::Pattern;
    use crate::topic::names::Names;

    struct Nobody;

    impl Host<u64> for Nobody {
        fn notify(&self, _notice: crate::Notice) {}

        fn failing(&self, _id: u64) {}

        fn ended(&self, _id: u64) {}

        fn stock(&self) {}
    }

    fn gap(from: u64, to: u64, reason: DropReason) -> Gap {
        let (first, last) = (crate::Sequence::new(from), crate::Sequence::new(to));
        Gap { from: first, to: last, count: to - from + 1, reason }
    }

    #[test]
    fn gaps_wait_for_a_later_message_and_are_told_as_one_a_reason() {
        let host: Weak<dyn Host<u64>> = Weak::<Nobody>::new();
        let (names, pattern) = (Arc::new(Names::new()), Pattern::parse("t").unwrap());
        let home = Arc::new(Home { bus: 1, names, caused: Arc::default(), host });
        let subscriber = Subscriber::new(1, home, pattern, true);
        let addr = LazyAddr::new(4, Overflow::DropNewest, Wait::Park);
        let mut source = MailboxSource::<u64>::new(Arc::new(Target::new(subscriber, addr)));
        let (newest, lapped) = (DropReason::FullNewest, DropReason::Lapped);
        let lost = [gap(5, 6, newest), gap(3, 3, lapped), gap(8, 9, newest), gap(20, 20, newest)];
        source.set_start(1, lost.to_vec());
        let source = source.open.as_mut().expect("somebody must keep the gaps");
        let mut told = Vec::new();
        source.tell_gaps(4, &mut told);
        assert_eq!(told, [gap(3, 3, lapped)]);
        told.clear();
        source.tell_gaps(10, &mut told);
        let count = 4;
        assert_eq!(told, [Gap { count, ..gap(5, 9, newest) }]);
        told.clear();
        source.tell_gaps(19, &mut told);
        assert!(told.is_empty());
        source.tell_gaps(21, &mut told);
        assert_eq!(told, [gap(20, 20, newest)]);
    }
}
