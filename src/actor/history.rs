//! The ring's past as a source, before the mailbox takes over: catch up first, join last.
//!
//! The runner reads the ring until it is at most a block behind, then joins the route table.
//! Joining gives the sequence from which on the mailbox has every message: the ring is read up
//! to there, and the mailbox's older messages are passed over. So nothing is missing and nothing
//! comes twice, and the mailbox holds next to nothing while the past is being read.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};

use super::mailbox_source::MailboxSource;
use super::ring_reader::RingReader;
use super::source::{Entry, Head, Refill, Source};
use super::subscriber::Subscriber;
use super::target::Account;
use crate::ring::Next;
use crate::topic::filter::Filter;
use crate::{DropReason, Gap, Message, Sequence};

/// Puts the subscription into the route table; gives the first sequence that its mailbox has.
pub(crate) type Join = Box<dyn FnOnce() -> u64 + Send>;

/// How far behind a reader may be when it joins, in messages.
const CLOSE: u64 = 256;
/// Messages a batch.
const BATCH: usize = 64;

/// What is left of the past.
struct Past<M: Message> {
    reader: RingReader<Entry<M>>,
    filter: Filter,
    join: Option<Join>,
    /// Where the mailbox begins, once joined.
    until: u64,
    left: usize,
    pending: Vec<Gap>,
}

/// The past, then the mailbox.
pub(crate) struct CatchUpSource<M: Message> {
    past: Option<Past<M>>,
    mailbox: MailboxSource<M>,
    subscriber: Account<M>,
}

impl<M: Message> CatchUpSource<M> {
    pub(crate) fn new(
        reader: RingReader<Entry<M>>,
        filter: Filter,
        join: Join,
        mailbox: MailboxSource<M>,
        subscriber: Account<M>,
    ) -> Self {
        let past = Past {
            reader,
            filter,
            join: Some(join),
            until: u64::MAX,
            left: 0,
            pending: Vec::new(),
        };
        Self { past: Some(past), mailbox, subscriber }
    }
}

impl<M: Message> Past<M> {
    fn refill(&mut self, subscriber: &Subscriber<M>) -> Refill {
        if self.reader.lag() <= CLOSE
            && let Some(join) = self.join.take()
        {
            self.until = join();
        }
        self.left = BATCH;
        self.seek(subscriber)
    }

    /// Goes forward to the next message that the pattern admits.
    fn seek(&mut self, subscriber: &Subscriber<M>) -> Refill {
        loop {
            if self.reader.position() >= self.until {
                return Refill::Ended;
            }
            match self.reader.next() {
                Next::Item(_, entry) if self.filter.admits(entry.topic, subscriber.names()) => {
                    return Refill::Some;
                }
                Next::Item(..) => self.reader.advance(),
                Next::Gap { from, to } => {
                    // What lies beyond the joining point is the mailbox's to give.
                    let to = to.min(self.until - 1);
                    if from <= to {
                        let count = to - from + 1;
                        let reason = DropReason::Lapped;
                        // Not among the losses, which the mailbox tells of: this one is told here.
                        subscriber.ledger.runner.lapped.add_owned(count);
                        let (from, to) = (Sequence::new(from), Sequence::new(to));
                        self.pending.push(Gap { from, to, count, reason });
                    }
                }
                Next::Empty => return Refill::Empty,
                Next::Closed => return Refill::Ended,
            }
        }
    }
}

impl<M: Message> Source<M> for CatchUpSource<M> {
    fn refill(&mut self) -> Refill {
        let Some(past) = &mut self.past else { return self.mailbox.refill() };
        match past.refill(&self.subscriber) {
            Refill::Ended => {
                let mut past = self.past.take().expect("the past was just read");
                // A closed bus ends the past before its reader came close enough to join.
                let start = match past.join.take() {
                    Some(join) => join(),
                    None => past.until,
                };
                drop(past.reader);
                self.mailbox.set_start(start, past.pending);
                self.subscriber.set_caught_up();
                self.mailbox.refill()
            }
            other => other,
        }
    }

    fn head<'a>(&'a mut self, gaps: &mut Vec<Gap>) -> Option<Head<'a, M>> {
        let Some(past) = &mut self.past else { return self.mailbox.head(gaps) };
        if past.left == 0 || past.seek(&self.subscriber) != Refill::Some {
            return None;
        }
        match past.reader.next() {
            Next::Item(sequence, Entry { topic, message }) => {
                gaps.append(&mut past.pending);
                Some(Head { sequence, topic: *topic, message })
            }
            // `seek` has just seen a message here.
            _ => None,
        }
    }

    fn pop(&mut self) {
        match &mut self.past {
            Some(past) => {
                past.reader.advance();
                past.left -= 1;
                self.subscriber.ledger.runner.replayed.add_owned(1);
            }
            None => self.mailbox.pop(),
        }
    }

    fn finish_batch(&mut self) {
        match &mut self.past {
            Some(past) => past.reader.tell(),
            None => self.mailbox.finish_batch(),
        }
    }

    fn poll_wait(&mut self, task: &mut Context<'_>) -> Poll<()> {
        match &mut self.past {
            // A publisher holds a place that it will commit in a moment.
            Some(_) => {
                task.waker().wake_by_ref();
                Poll::Pending
            }
            None => self.mailbox.poll_wait(task),
        }
    }

    fn give_up(&mut self, reason: DropReason) -> bool {
        if let Some(past) = self.past.take() {
            // What was read already lies in the mailbox too, if it has joined.
            self.mailbox.set_start(past.reader.position().min(past.until), Vec::new());
        }
        self.subscriber.set_caught_up();
        self.mailbox.give_up(reason)
    }
}
