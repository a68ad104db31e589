//! A mailbox: the bounded queue of one receiver, with its bells and its overflow policy.
//!
//! Used bare, or by the bus and by actors, each of which owns one. A mailbox knows nothing of
//! topics, sequences or handlers. It must never run foreign code while a place is held: what gave
//! way is dropped after the bell.
//!
//! ```text
//!  Addr --- offer ----> Queue (ring/queue) ----> Mailbox        recv, drain, take_batch
//!    |                                              |
//!    +---- claim, ring ----> Signal ----> wakes ----+           "there is a message"
//!    +---- wakes <---- Space <---- fence, freed ----+           "there is room" (Block only)
//! ```
//!
//! # Orderings
//!
//! Those of the queue are in `ring/queue/mod.rs`.
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `senders` | an address's drop | the last address's drop | all that the others put in |
//! | `wake` | receiver sets `parked` | the waker's swap of `parked` | the sleeper's waker |
//! | `bell` | SeqCst claim, or fence, between write and look | SeqCst `parked` and look, or fence | who comes second sees the first |
//! | `loss` | who loses: each end of the hull, then the count | who tells: the counts, then the ends | that a loss has begun; its hull |
//!
//! Everything else is Relaxed and says why.
#![forbid(unsafe_code)]

mod addr;
#[cfg(not(ringpost_loom))]
pub(crate) mod blocking;
mod error;
pub(crate) mod lazy;
#[cfg(not(ringpost_loom))]
pub(crate) mod looks;
pub(crate) mod losses;
mod overflow;
pub(crate) mod signal;
pub(crate) mod space;
#[cfg(not(ringpost_loom))]
mod spin;
pub(crate) mod wait;

#[cfg(all(test, ringpost_loom))]
mod models;
#[cfg(all(test, not(ringpost_loom)))]
mod stress;
#[cfg(all(test, not(ringpost_loom)))]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use self::addr::{Addr, Offered};
pub(crate) use self::addr::{Push, Rest};
pub use self::error::{OfferError, RecvError, TryRecvError};
pub use self::overflow::Overflow;
pub use self::wait::Wait;

use self::signal::Signal;
use self::space::Space;
use self::wait::{Alone, Around, Idle};
use crate::caught::caught;
use crate::ring::queue::{Busy, Queue, Taken, Taker, Tally};
use crate::sync::atomic::AtomicUsize;
use crate::sync::{Arc, thread};

/// What a mailbox keeps beside its queue, in one allocation with it. The bell comes first, on the
/// line that a put reads anyway.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Desk {
    signal: Signal,
    space: Space,
    /// How many addresses there are. Written by `Addr`.
    senders: AtomicUsize,
    overflow: Overflow,
}

impl Desk {
    /// Closes and wakes both sides, who find out for themselves.
    fn close<T>(queue: &Queue<T, Desk>) {
        queue.close();
        signal::fence();
        queue.beside().signal.ring();
        queue.beside().space.changed();
    }
}

/// What a mailbox has counted since it was made: exact when nobody is at work on it.
///
/// `accepted = received + dropped_oldest +` what is inside (or was, when the mailbox was dropped).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages that were put in.
    pub accepted: u64,
    /// Messages that the receiver took out.
    pub received: u64,
    /// Messages that gave way to newer ones.
    pub dropped_oldest: u64,
    /// Messages that were turned away for good. A message that a `Block` mailbox handed back is
    /// not among them, nor one that found the mailbox closed.
    pub refused: u64,
}

impl Counts {
    fn of(tally: &Tally) -> Self {
        Self {
            accepted: tally.claimed.saturating_sub(tally.skipped),
            received: tally.taken,
            dropped_oldest: tally.stolen,
            refused: tally.refused,
        }
    }
}

/// What [`Mailbox::take_batch`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// That many messages were moved, at least one. Fewer than asked for, and fewer than
    /// `Taker::batch`: nothing more was readable, so `idle` before the next.
    Taken(usize),
    /// Nothing is readable: `idle`.
    Empty,
    /// A sender is giving up the oldest messages: yield once, then again.
    Busy,
    /// Nothing will ever come any more.
    Ended(RecvError),
}

/// The receiving end of a bounded queue of messages, with exactly one owner.
///
/// [`Mailbox::new`] gives it and the first [`Addr`]. Memory for messages is made in chunks of 32 places:
/// the first on first use, so that an idle mailbox is small whatever its capacity; a further one by
/// the receiver, if it finds nothing and half of the last one is used, or by who needs it first.
///
/// Dropping it closes it: senders get [`OfferError::Closed`], those that wait are woken, and the
/// messages inside are dropped.
///
/// # Examples
///
/// ```
/// use ringpost::{Mailbox, Overflow, RecvError, TryRecvError};
///
/// let (addr, mut mailbox) = Mailbox::new(4, Overflow::DropOldest);
/// for n in 1..=6 {
///     addr.offer(n).unwrap();
/// }
/// // There is room for four: the two oldest gave way.
/// let mut got = Vec::new();
/// mailbox.drain(usize::MAX, |n| got.push(n));
/// assert_eq!(got, [3, 4, 5, 6]);
/// assert_eq!(mailbox.counts().dropped_oldest, 2);
///
/// assert_eq!(mailbox.try_recv(), Err(TryRecvError::Empty));
/// drop(addr);
/// assert_eq!(mailbox.recv_blocking(), Err(RecvError::Closed));
/// ```
///
/// With an executor, any executor:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use ringpost::{Mailbox, Overflow};
///
/// let (addr, mut mailbox) = Mailbox::new(8, Overflow::block());
/// let sum = tokio::spawn(async move {
///     let mut sum = 0;
///     while let Ok(n) = mailbox.recv().await {
///         sum += n;
///     }
///     sum
/// });
/// for n in 1..=100 {
///     addr.send_async(n).await.unwrap();
/// }
/// drop(addr);
/// assert_eq!(sum.await.unwrap(), 5050);
/// # }
/// ```
///
/// Messages cross threads, so they must be `Send`; `Sync` is not asked for:
///
/// ```
/// let (addr, mailbox) = ringpost::Mailbox::new(1, Default::default());
/// addr.offer(std::cell::Cell::new(1)).unwrap();
/// std::thread::spawn(move || drop(mailbox)).join().unwrap();
/// ```
///
/// ```compile_fail,E0277
/// let (addr, mailbox) = ringpost::Mailbox::new(1, Default::default());
/// addr.offer(std::rc::Rc::new(1)).unwrap();
/// std::thread::spawn(move || drop(mailbox)).join().unwrap();
/// ```
///
/// A lock may be sent, a held lock may not:
///
/// ```
/// static LOCK: std::sync::Mutex<u8> = std::sync::Mutex::new(0);
/// let (addr, _mailbox) = ringpost::Mailbox::new(1, Default::default());
/// addr.offer(&LOCK).unwrap();
/// ```
///
/// ```compile_fail,E0277
/// static LOCK: std::sync::Mutex<u8> = std::sync::Mutex::new(0);
/// let (addr, _mailbox) = ringpost::Mailbox::new(1, Default::default());
/// addr.offer(LOCK.lock().unwrap()).unwrap();
/// ```
#[must_use = "dropping a mailbox closes it"]
pub struct Mailbox<T> {
    taker: Taker<T, Desk>,
    idle: Idle,
}

impl<T: Send> Mailbox<T> {
    /// A mailbox with room for exactly `capacity` messages, and its first address.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or above 2^31.
    pub fn new(capacity: usize, overflow: Overflow) -> (Addr<T>, Self) {
        Self::starting_at(capacity, overflow, 0)
    }

    /// The same with the first position given.
    pub(crate) fn starting_at(capacity: usize, overflow: Overflow, start: u64) -> (Addr<T>, Self) {
        let desk = Desk {
            signal: Signal::new(),
            space: Space::new(),
            senders: AtomicUsize::new(1),
            overflow,
        };
        let stealable = overflow == Overflow::DropOldest;
        let taker = Taker::new(capacity, start, stealable, desk);
        let addr = Addr::first(Arc::clone(taker.queue()));
        (addr, Self { taker, idle: Idle::new(Wait::default(), capacity) })
    }
}

impl<T> Mailbox<T> {
    /// The same mailbox, waiting as `wait` says ([`Wait::Park`] if not told).
    pub fn with_wait(mut self, wait: Wait) -> Self {
        self.idle = Idle::new(wait, self.capacity());
        self
    }

    /// The next message, if one is readable now.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or why nothing will ever come any more.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        loop {
            match self.take_one() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(self.ended().map_or(TryRecvError::Empty, Into::into)),
                Err(Busy) => thread::yield_now(),
            }
        }
    }

    /// Resolves to the next message; waits for it as the mailbox's [`Wait`] says.
    ///
    /// # Errors
    ///
    /// When the mailbox is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message and no wake-up.
    pub fn recv(&mut self) -> impl Future<Output = Result<T, RecvError>> {
        Recv { mailbox: self }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        loop {
            match self.take_one() {
                Ok(Some(message)) => {
                    self.idle.reset();
                    return Poll::Ready(Ok(message));
                }
                Ok(None) => {}
                Err(Busy) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            if let Some(ended) = self.ended() {
                return Poll::Ready(Err(ended));
            }
            if self.poll_idle(cx, &Alone).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Hands at most `max` of the messages that are readable now to `f`, and says how many. Some
    /// that come in meanwhile may be among them, but never more than fit in at once.
    ///
    /// Places are freed in batches of at most 64 and at most a quarter of the capacity, each when
    /// `f` has seen its last message (with [`Overflow::DropOldest`] before it sees the first).
    ///
    /// # Panics
    ///
    /// If `f` does. The message it was given is gone, those before it too; the others stay.
    pub fn drain(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        // No more can have been readable when it began. Without an end of its own it would go on for
        // as long as messages keep coming.
        let max = max.min(self.capacity() + self.taker.in_hand());
        let mut drained = 0;
        while drained < max {
            let taker = &mut self.taker;
            let left = max - drained;
            let taken = panic::catch_unwind(AssertUnwindSafe(|| taker.drain(left, &mut f)));
            let taken = match taken {
                Ok(taken) => taken,
                Err(panicked) => {
                    // The places that `f` got to are free: somebody may wait for them.
                    self.freed(1);
                    panic::resume_unwind(panicked);
                }
            };
            match taken {
                Ok(Taken { places: 0, values: 0 }) => break,
                Ok(taken) => {
                    self.freed(taken.places);
                    drained += taken.values;
                    // Nothing more is readable. Looking again at once would find one message, and
                    // then one: the receiver would run after its senders.
                    if taken.places < self.taker.batch() as u64 && self.taker.in_hand() == 0 {
                        break;
                    }
                }
                Err(Busy) => thread::yield_now(),
            }
        }
        drained
    }

    /// Closes the mailbox: nothing can be put in any more, and those who wait to do so are woken.
    /// What is inside can still be received.
    pub fn close(&self) {
        Desk::close(self.taker.queue());
    }

    /// Whether nothing can be put in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.taker.queue().is_closed()
    }

    /// How many messages fit in.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.taker.queue().capacity()
    }

    /// How many places are in use now: messages that were put in, or are being put in, and not
    /// yet received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taker.queue().len() + self.taker.in_hand()
    }

    /// Whether no place is in use now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was put in, received and lost so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.taker.queue().tally())
    }

    // ---- For the run loops of actors.

    /// The position below which everything is out of the mailbox.
    pub(crate) fn position(&self) -> u64 {
        self.taker.queue().head()
    }

    /// Moves at most a batch, at most `max` messages, to the end of `out`, frees their places and
    /// wakes senders that wait for them.
    #[inline]
    pub(crate) fn take_batch(&mut self, max: usize, out: &mut VecDeque<T>) -> Batch {
        match self.taker.take(max, out) {
            Err(Busy) => Batch::Busy,
            Ok(taken) => {
                self.freed(taken.places);
                if taken.values > 0 {
                    self.idle.reset();
                    return Batch::Taken(taken.values);
                }
                self.ended().map_or(Batch::Empty, Batch::Ended)
            }
        }
    }

    /// Ready when there is something to take, or the end; until then makes the slots that come next,
    /// yields and at last sleeps.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>, around: &impl Around) -> Poll<()> {
        let taker = &self.taker;
        let bell = &taker.queue().beside().signal;
        let position = taker.queue().head();
        taker.make_ahead();
        self.idle.poll(bell, cx, position, around, || taker.is_ready(), || taker.is_coming())
    }

    /// Drops everything inside, each message `caught`, and says how many there were.
    /// The places are free afterwards.
    pub(crate) fn discard(&mut self) -> u64 {
        let mut messages = VecDeque::new();
        let mut discarded = 0;
        loop {
            match self.take_batch(usize::MAX, &mut messages) {
                Batch::Taken(count) => discarded += count as u64,
                Batch::Busy => thread::yield_now(),
                Batch::Empty | Batch::Ended(_) => return discarded,
            }
            while let Some(message) = messages.pop_front() {
                // A panic in there is the message's own affair; the others shall go as well.
                caught(|| drop(message));
            }
        }
    }

    fn take_one(&mut self) -> Result<Option<T>, Busy> {
        let (taken, one) = self.taker.take_one()?;
        self.freed(taken.places);
        Ok(one)
    }

    /// Wakes senders that wait for these places, if it is worth it: see `space`.
    #[inline]
    fn freed(&self, places: u64) {
        let queue = self.taker.queue();
        let desk = queue.beside();
        if places > 0 && desk.overflow.waits() {
            desk.space.freed(|| {
                space::is_small(queue.capacity() as u64)
                    || queue.is_half_free()
                    || !self.taker.is_ready()
            });
        }
    }

    fn ended(&self) -> Option<RecvError> {
        self.taker.is_finished().then(|| {
            if self.taker.queue().was_slow() { RecvError::Disconnected } else { RecvError::Closed }
        })
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        // Before the close, which would wake this receiver's own task.
        self.taker.queue().beside().signal.forget();
        self.close();
        self.discard();
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("queue", self.taker.queue()).finish_non_exhaustive()
    }
}

/// The future of [`Mailbox::recv`].
struct Recv<'a, T> {
    mailbox: &'a mut Mailbox<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.mailbox.poll_recv(cx)
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.mailbox.taker.queue().beside().signal.unpark();
    }
}
