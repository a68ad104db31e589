//! A source that a test feeds.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

use ringpost::event::Event;
use ringpost::store::{Record, Source, Taken};
use ringpost::{Gap, Sequence, Shared};

use crate::LONG;

pub(crate) fn record(sequence: u64) -> Record {
    let event = Event::builder("persist").id(format!("{sequence}")).source("s").build();
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
}

/// A source like a required tap: it holds what is not acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    pub(crate) shared: Arc<(Mutex<Held>, Condvar)>,
    /// What is lent.
    lent: Option<Record>,
}

pub(crate) enum Next {
    Record(Record),
    Gap(Gap),
}

#[derive(Default)]
pub(crate) struct Held {
    pub(crate) waiting: VecDeque<Next>,
    pub(crate) given: u64,
    pub(crate) acknowledged: u64,
    pub(crate) closed: bool,
    pub(crate) waker: Option<Waker>,
}

impl Feed {
    pub(crate) fn offer(&self, next: impl IntoIterator<Item = Next>) {
        let mut held = self.shared.0.lock().expect("no panic under the lock");
        held.waiting.extend(next);
        if let Some(waker) = held.waker.take() {
            waker.wake();
        }
    }
    pub(crate) fn records(&self, sequences: impl IntoIterator<Item = u64>) {
        self.offer(sequences.into_iter().map(|sequence| Next::Record(record(sequence))));
    }
    pub(crate) fn close(&self) {
        self.shared.0.lock().expect("no panic under the lock").closed = true;
        self.offer([]);
    }
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.0.lock().expect("no panic under the lock").acknowledged
    }
    pub(crate) fn wait_until(&self, what: impl Fn(&Held) -> bool) {
        let held = self.shared.0.lock().expect("no panic under the lock");
        let waited = self.shared.1.wait_timeout_while(held, LONG, |held| !what(held));
        assert!(!waited.expect("no panic under the lock").1.timed_out(), "a hang");
    }
}

impl Source for Feed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Taken<'_>> {
        let mut held = self.shared.0.lock().expect("no panic under the lock");
        match held.waiting.pop_front() {
            Some(Next::Record(record)) => {
                held.given += 1;
                self.shared.1.notify_all();
                let lent = self.lent.insert(record);
                Poll::Ready(Taken::Record(lent.sequence, &lent.event))
            }
            Some(Next::Gap(gap)) => {
                self.shared.1.notify_all();
                Poll::Ready(Taken::Gap(gap))
            }
            None if held.closed => Poll::Ready(Taken::Closed),
            None => {
                held.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
    fn acknowledge_to(&mut self, last: Sequence) {
        let mut held = self.shared.0.lock().expect("no panic under the lock");
        assert!((held.acknowledged..=held.given).contains(&last.get()), "{last}");
        held.acknowledged = last.get();
        self.shared.1.notify_all();
    }
    fn acknowledge(&mut self) {
        let mut held = self.shared.0.lock().expect("no panic under the lock");
        held.acknowledged = held.given;
        self.shared.1.notify_all();
    }
}
