//! A subscription's own mailbox as the source of its actor.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use super::run::notice;
use super::source::{Head, Letter, Refill, Source, drop_caught};
use super::subscriber::Subscriber;
use crate::mailbox::losses::Collector;
use crate::mailbox::{Batch, Mailbox, RecvError};
use crate::{DropReason, Gap, Message, worker};

/// Messages from a mailbox.
pub(crate) struct MailboxSource<M: Message> {
    mailbox: Mailbox<Letter<M>>,
    batch: VecDeque<Letter<M>>,
    /// Messages below this sequence were read from history, or are older than the subscription.
    start: u64,
    collector: Collector,
    /// Gaps not yet told: each waits for the first message that is newer.
    pending: Vec<Gap>,
    subscriber: Arc<Subscriber<M>>,
}

impl<M: Message> MailboxSource<M> {
    pub(crate) fn new(mailbox: Mailbox<Letter<M>>, subscriber: Arc<Subscriber<M>>) -> Self {
        Self {
            mailbox,
            batch: VecDeque::new(),
            start: 0,
            collector: Collector::new(),
            pending: Vec::new(),
            subscriber,
        }
    }

    /// Passes over what is below `start`, and tells these gaps before the first message.
    pub(crate) fn set_start(&mut self, start: u64, gaps: Vec<Gap>) {
        self.start = start;
        self.pending = gaps;
    }

    /// Tells the bus that this subscription is over for being slow. Comes once: it is the end.
    #[cold]
    fn tell_disconnected(&self) {
        let text = format!(
            "disconnected: a message found its mailbox of {} full",
            self.mailbox.capacity()
        );
        self.subscriber.notify(notice(&self.subscriber, text, false, None));
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

    /// Counts what was taken out and not handled.
    fn give_up_batch(&mut self, reason: DropReason) {
        let counts = &self.subscriber.ledger.runner;
        while let Some(letter) = self.batch.pop_front() {
            if letter.sequence < self.start {
                counts.discarded.add_owned(1);
            } else {
                let at = letter.sequence;
                self.subscriber.ledger.losses.record(reason, at, at, 1);
                counts.given_up.add_owned(1);
            }
            drop_caught(letter);
        }
        counts.set_done(self.mailbox.position());
    }

    /// Takes the next batch out, for `give_up_batch`; whether there will be another.
    fn take_rest(&mut self) -> bool {
        match self.mailbox.take_batch(usize::MAX, &mut self.batch) {
            Batch::Taken(count) => self.subscriber.ledger.runner.taken.add_owned(count as u64),
            // A publisher holds a place that it will fill or give back in a moment, or is making
            // room at this very moment.
            Batch::Empty | Batch::Busy => {}
            Batch::Ended(_) => return false,
        }
        true
    }
}

impl<M: Message> Source<M> for MailboxSource<M> {
    #[inline]
    fn refill(&mut self) -> Refill {
        let taken = self.mailbox.take_batch(usize::MAX, &mut self.batch);
        self.collector.collect(&self.subscriber.ledger.losses, &mut self.pending);
        match taken {
            Batch::Taken(count) => {
                self.subscriber.ledger.runner.taken.add_owned(count as u64);
                Refill::Some
            }
            Batch::Empty => Refill::Empty,
            Batch::Busy => Refill::Busy,
            Batch::Ended(ended) => {
                if ended == RecvError::Disconnected {
                    self.tell_disconnected();
                }
                Refill::Ended
            }
        }
    }

    #[inline]
    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        while self.batch.front()?.sequence < self.start {
            self.pop();
            self.subscriber.ledger.runner.discarded.add_owned(1);
        }
        if !self.pending.is_empty() {
            let before = self.batch.front()?.sequence;
            self.tell_gaps(before, gaps);
        }
        let Letter { sequence, topic, message } = self.batch.front()?;
        Some(Head { sequence: *sequence, topic: *topic, message })
    }

    #[inline]
    fn pop(&mut self) {
        drop_caught(self.batch.pop_front());
    }

    #[inline]
    fn finish_batch(&mut self) {
        if self.batch.is_empty() {
            self.subscriber.ledger.runner.set_done(self.mailbox.position());
        }
    }

    async fn wait(&mut self) {
        // Places that publishers gave back, or that gave way, are passed without a message.
        self.finish_batch();
        std::future::poll_fn(|task| self.mailbox.poll_idle(task)).await;
    }

    async fn give_up(&mut self, reason: DropReason) {
        self.mailbox.close();
        self.give_up_batch(reason);
        while self.take_rest() {
            if self.batch.is_empty() {
                worker::yield_now().await;
            }
            self.give_up_batch(reason);
        }
    }
}

impl<M: Message> Drop for MailboxSource<M> {
    /// After its own end nothing is left. Else its executor dropped it halfway.
    fn drop(&mut self) {
        self.mailbox.close();
        self.give_up_batch(DropReason::Stopped);
        while self.take_rest() && !self.batch.is_empty() {
            self.give_up_batch(DropReason::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::Overflow;
    use crate::actor::subscriber::Host;
    use crate::topic::Pattern;
    use crate::topic::names::Names;

    struct Nobody;

    impl Host<u64> for Nobody {
        fn notify(&self, _notice: crate::Notice) {}

        fn ended(&self, _id: u64) {}
    }

    fn gap(from: u64, to: u64, reason: DropReason) -> Gap {
        let (first, last) = (crate::Sequence::new(from), crate::Sequence::new(to));
        Gap { from: first, to: last, count: to - from + 1, reason }
    }

    #[test]
    fn gaps_wait_for_a_later_message_and_are_told_as_one_a_reason() {
        let host: Weak<dyn Host<u64>> = Weak::<Nobody>::new();
        let (names, pattern) = (Arc::new(Names::new()), Pattern::parse("t").unwrap());
        let subscriber = Subscriber::new(1, 1, &pattern, names, Arc::default(), host, true);
        let (_addr, mailbox) = Mailbox::new(4, Overflow::DropNewest);
        let mut source = MailboxSource::<u64>::new(mailbox, Arc::new(subscriber));
        let (newest, lapped) = (DropReason::FullNewest, DropReason::Lapped);
        let lost = [gap(5, 6, newest), gap(3, 3, lapped), gap(8, 9, newest), gap(20, 20, newest)];
        source.set_start(1, lost.to_vec());
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
