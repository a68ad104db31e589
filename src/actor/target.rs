//! A subscription as its publishers and its source share it, with what it gets its messages by: a
//! mailbox of its own, or a seat at a log that it shares with others.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::seat::Seat;
use super::shared_log::{SharedLog, SharedReader};
use super::source::Letter;
use super::subscriber::{Life, Subscriber};
use crate::Message;
use crate::mailbox::Overflow;
use crate::mailbox::lazy::LazyAddr;

/// A subscription, as publishers see it: one allocation. In this order, because what
/// stands before and behind the runner's counters is to be written seldom, see [`Subscriber`].
#[repr(C)]
pub(crate) struct Target<M: Message> {
    pub(crate) subscriber: Subscriber<M>,
    /// Its mailbox. Never made where there is a seat.
    pub(crate) addr: LazyAddr<Letter<M>>,
    seat: OnceLock<Box<Seat<M>>>,
}

impl<M: Message> Target<M> {
    pub(crate) fn new(subscriber: Subscriber<M>, addr: LazyAddr<Letter<M>>) -> Self {
        Self { subscriber, addr, seat: OnceLock::new() }
    }

    /// One that never has a mailbox.
    pub(crate) fn with_seat(
        subscriber: Subscriber<M>,
        addr: LazyAddr<Letter<M>>,
        seat: Seat<M>,
    ) -> Self {
        subscriber.ledger.runner.set_done(seat.begin());
        let target = Self::new(subscriber, addr);
        target.seat.get_or_init(|| Box::new(seat));
        let gave_way = target.addr.give_way(|_| ());
        debug_assert!(gave_way, "it is unmade, and one that may");
        target
    }

    /// Whether publishers must not overrun it.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self.addr.overflow(), Overflow::Block { .. })
    }

    /// Its seat, if it has one.
    pub(crate) fn seat(&self) -> Option<&Seat<M>> {
        self.seat.get().map(Box::as_ref)
    }

    /// Takes a seat at a log, for which this reader was made, instead of the mailbox, if nobody has asked
    /// for that so far. `show` is called before anybody can see that there is no mailbox any more: it
    /// shows the seat to publishers.
    pub(crate) fn take_seat(
        &self,
        log: &Arc<SharedLog<M>>,
        reader: SharedReader<M>,
        show: impl FnOnce(),
    ) {
        // Who stops by failure tells publishers by what it is then.
        if self.subscriber.life() != Life::Running {
            return;
        }
        self.addr.give_way(|waker| {
            let seat = Seat::new(log, reader, waker);
            self.subscriber.ledger.runner.set_done(seat.begin());
            self.seat.get_or_init(|| Box::new(seat));
            show();
        });
    }
}

/// A target for those who want to know of the subscription alone.
pub(crate) struct Account<M: Message>(pub(crate) Arc<Target<M>>);

impl<M: Message> Deref for Account<M> {
    type Target = Subscriber<M>;

    fn deref(&self) -> &Subscriber<M> {
        &self.0.subscriber
    }
}
