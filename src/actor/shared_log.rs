//! A log that several subscriptions share instead of having a mailbox each.
//!
//! Subscriptions to one pattern, with one mailbox size and policy, get the same messages and keep
//! the same number of them. So a publisher writes one copy for all of them, into a small ring, and
//! each reads it with a cursor of its own: its mailbox is the part of the log that it has not
//! taken yet. Size, policy, losses and account are each one's own all the same.
//!
//! A place may turn out to be nobody's: a publisher claims in all `Block` logs of a route before
//! it claims on the bus's ring, and gives back what it has if one of them refuses. Such a place is
//! committed empty, and readers pass over it.
//!
//! # Joining
//!
//! A reader of a log with a policy that loses begins at the log's tail, and then notes its
//! start, the ring's tail: who publishes claims on the ring first, so that whatever has a sequence
//! from the start on has its place in the log later than the reader's beginning.
//!
//! With `Block` it is the other way round: a publisher may hold a place that is older than the
//! reader, and get its sequence afterwards. So the reader begins with what another reader, or the
//! last one that left, has not read yet: everything that is held is behind that. What is older than
//! its start is passed over, most of it before the subscription is handed out.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::bells::Bells;
use super::ring_reader::RingReader;
use super::source::Letter;
use crate::Message;
use crate::mailbox::Overflow;
use crate::mailbox::space::Space;
use crate::ring::Log;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What lies in the log: a letter, or nothing where a place was given back.
pub(crate) type Slip<M> = Option<Letter<M>>;

/// A reader of such a log.
pub(crate) type SharedReader<M> = RingReader<Slip<M>>;

/// Messages that a reader may have in hand beside those that wait.
pub(crate) const IN_HAND: usize = 64;
/// The least number of slots: their blocks have room for the longest batch.
pub(crate) const LEAST_SLOTS: usize = 256;

/// See the [module](self).
pub(crate) struct SharedLog<M: Message> {
    pub(crate) log: Arc<Log<Slip<M>>>,
    pub(crate) bells: Bells,
    /// Rung when a reader moved on, with `Block`.
    pub(crate) space: Arc<Space>,
    /// How many messages may wait for each.
    pub(crate) window: usize,
    pub(crate) overflow: Overflow,
    /// How many read it, or are about to.
    seats: AtomicUsize,
    /// Whoever left had read everything below, at least.
    read: AtomicU64,
    /// The subscription that stopped by failure, and must not lose anything; 0 without one.
    stopped: AtomicU64,
}

impl<M: Message> SharedLog<M> {
    pub(crate) fn new(window: usize, overflow: Overflow) -> Arc<Self> {
        let slots = Log::<Slip<M>>::slots_for(window + IN_HAND).max(LEAST_SLOTS);
        let log = Log::new(slots, 1);
        Arc::new(Self {
            seats: AtomicUsize::new(0),
            read: AtomicU64::new(log.start()),
            log,
            bells: Bells::new(),
            space: Arc::new(Space::new()),
            window,
            overflow,
            stopped: AtomicU64::new(0),
        })
    }

    /// Whether publishers must not overrun its readers.
    pub(crate) fn blocks(&self) -> bool {
        self.overflow.waits()
    }

    /// A reader from where nothing is missing that is published from now on; `None` if there is no
    /// such place any more, because nobody has read the log for a while.
    pub(crate) fn reader(&self) -> Option<SharedReader<M>> {
        let (log, space) = (&self.log, &self.space);
        let reader = if self.blocks() {
            // In this order: who has left in between has noted how far it was.
            let by_others = log.read_by_all(self.window);
            // ORDER(read): Acquire; pairs with ORDER(read) in `note_read`. Carries nothing else.
            let from = by_others.unwrap_or_else(|| self.read.load(Ordering::Acquire));
            match Log::required_from(log, from, self.window) {
                Ok(reader) => reader,
                Err(_) => {
                    // Its place limited publishers for a moment.
                    space.changed();
                    return None;
                }
            }
        } else {
            Log::reader(log, log.join())
        };
        Some(RingReader::new(reader, Arc::clone(log), Arc::clone(space)))
    }

    pub(crate) fn take_seat(&self) {
        // ORDER: Relaxed; see `is_read`.
        self.seats.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave_seat(&self) {
        // ORDER: Relaxed; see `is_read`.
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether anybody reads it. If not, those who come begin another one, which the first of them may
    /// still take a seat at: publishers that have not published since keep this one alive.
    pub(crate) fn is_read(&self) -> bool {
        // ORDER: Relaxed; whichever they join, they have everything from their start on.
        self.seats.load(Ordering::Relaxed) > 0
    }

    /// A reader that is about to leave, and never was overrun, has read everything below.
    pub(crate) fn note_read(&self, position: u64) {
        // ORDER(read): Release; pairs with ORDER(read) in `reader`. Comes before its place is
        // free.
        self.read.fetch_max(position, Ordering::Release);
    }

    /// Lets no message in any more. Idempotent.
    pub(crate) fn close(&self) {
        self.log.close();
        self.space.changed();
    }

    /// The subscription that its publishers are to hear of, if there is one.
    #[inline]
    pub(crate) fn stopped(&self) -> Option<u64> {
        // ORDER: Relaxed; a publish under way when it stops is served.
        let subscriber = self.stopped.load(Ordering::Relaxed);
        (subscriber != 0).then_some(subscriber)
    }

    /// A subscription has stopped by failure.
    pub(crate) fn stop(&self, subscriber: u64) {
        // ORDER: Relaxed; see `stopped`. The first stays.
        let _ = self.stopped.compare_exchange(0, subscriber, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// That subscription was cancelled; whether it was the one that publishers hear of.
    pub(crate) fn resume(&self, subscriber: u64) -> bool {
        // ORDER: Relaxed; see `stopped`.
        self.stopped.compare_exchange(subscriber, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
