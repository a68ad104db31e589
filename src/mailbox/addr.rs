//! The sending end of a mailbox.
//!
//! `offer` and the sends that wait are for bare use: they put a message in and ring. The bus uses
//! the split phases instead (reserve, fill or push, then the bells), because it
//! rings for many mailboxes at once. Nothing here waits while it holds a place, and messages that
//! gave way are dropped by the caller, after the bell.
#![forbid(unsafe_code)]

use std::fmt;

use super::signal::Signal;
use super::space::Space;
use super::{Counts, Desk, OfferError, Overflow};
use crate::ring::queue::{Places, Queue, Refused};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// How often a push tries to make room before it turns its message away. Each try is lost only to
/// another sender that took the room first.
const TRIES: usize = 64;

/// Why a message that is on its way is where it is looked for.
pub(super) const HELD: &str = "a message is moved once, into its place";

/// A cheap handle to put messages into one [`Mailbox`](crate::Mailbox).
///
/// Clone it for every sender. Each sender's messages arrive in the order in which it put them in;
/// between senders there is no order. When the last clone is dropped, the mailbox is closed, and
/// its receiver gets what is inside and then an error.
///
/// Putting in takes no lock and makes no system call unless the receiver sleeps: then the sender
/// wakes it, which costs about ten microseconds. A sender that is suspended in the middle of
/// putting in hides the messages behind its own from the receiver until it goes on.
///
/// # Examples
///
/// ```
/// use ringpost::{Mailbox, Overflow};
///
/// let (addr, mut mailbox) = Mailbox::new(2, Overflow::DropNewest);
/// addr.offer("one")?;
/// addr.offer("two")?;
/// let refused = addr.offer("three").unwrap_err();
/// assert!(refused.is_full());
/// assert_eq!(refused.into_message(), "three");
/// assert_eq!(mailbox.try_recv(), Ok("one"));
/// # Ok::<(), ringpost::OfferError<&str>>(())
/// ```
pub struct Addr<T> {
    queue: Arc<Queue<T, Desk>>,
}

/// What an [`Addr::offer`] that succeeded came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// How many older messages gave way: only with [`Overflow::DropOldest`].
    pub dropped: u64,
}

/// What became of a pushed message. For all but `Refused` and `Closed` the caller rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// It is in.
    Taken,
    /// It is in, and that many older ones are in the caller's list.
    TookOldest(u64),
    /// Turned away and counted: `DropNewest`, or `DropOldest` when no room could be made (the
    /// caller's list may still have got some). Not counted with `Block`: the caller keeps it.
    Refused,
    /// Turned away and counted, and the mailbox is closed by it.
    Disconnected,
    /// Turned away: the mailbox was closed before.
    Closed,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// How many went in, from the front of the list.
    pub(crate) taken: u64,
    /// How many older ones are in the caller's list of the given up.
    pub(crate) stolen: u64,
    /// Why the rest is still in the list.
    pub(crate) rest: Rest,
}

/// Why a batch did not go in as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It did.
    Nothing,
    /// As [`Push::Refused`].
    Refused,
    /// As [`Push::Disconnected`].
    Disconnected,
    /// As [`Push::Closed`].
    Closed,
}

impl<T> Addr<T> {
    /// The first address of a mailbox: the desk's count of senders starts at one.
    pub(super) fn first(queue: Arc<Queue<T, Desk>>) -> Self {
        Self { queue }
    }

    /// Puts `message` in if the mailbox's [`Overflow`] lets it, and wakes the receiver if it
    /// sleeps. Never waits.
    ///
    /// # Errors
    ///
    /// [`OfferError::Full`] with the message if there was no room: with `DropNewest` (and counted
    /// as refused), with `Block` (not counted: nothing is lost), and with `DropOldest` in the
    /// rare case that the receiver was taking messages out at that moment (counted).
    /// [`OfferError::Closed`] with the message if the mailbox is closed, or with `Disconnect`
    /// just became so.
    ///
    /// # Panics
    ///
    /// If the drop of a message that gave way panics. `message` is in then, and the receiver has
    /// been woken.
    #[inline]
    pub fn offer(&self, message: T) -> Result<Offered, OfferError<T>> {
        let mut held = Some(message);
        if self.puts_in(&mut held) {
            return Ok(Offered { dropped: 0 });
        }
        self.insist(held.expect(HELD))
    }

    /// Puts the message that is held in if there is room, and rings; else it stays where it is.
    ///
    /// Whoever calls this makes a result of its own: one with room for a message that is handed on is
    /// written in small pieces and read in large ones, for which a core waits half as long as a
    /// whole send takes.
    #[inline(always)]
    pub(super) fn puts_in(&self, held: &mut Option<T>) -> bool {
        let is_in = self.try_push(|| held.take().expect(HELD)).is_ok();
        if is_in {
            self.ring();
        }
        is_in
    }

    /// The same for a message that found no room.
    #[cold]
    pub(super) fn insist(&self, message: T) -> Result<Offered, OfferError<T>> {
        let (mut held, mut stolen) = (Some(message), Vec::new());
        let push = self.push(&mut || held.take().expect(HELD), &mut stolen);
        if !matches!(push, Push::Refused | Push::Closed) {
            self.ring();
        }
        drop(stolen); // foreign code, last
        match push {
            Push::Taken => Ok(Offered { dropped: 0 }),
            Push::TookOldest(dropped) => Ok(Offered { dropped }),
            Push::Refused => Err(OfferError::Full(held.expect(HELD))),
            Push::Disconnected | Push::Closed => Err(OfferError::Closed(held.expect(HELD))),
        }
    }

    /// Puts `messages` in, from the front and in order, as far as the mailbox's [`Overflow`] lets
    /// them, and wakes the receiver once. Never waits. Cheaper than one by one: places are claimed
    /// for many messages at once. What did not go in stays in the list.
    ///
    /// # Errors
    ///
    /// If messages are left: as for [`offer`](Self::offer).
    ///
    /// # Panics
    ///
    /// As [`offer`](Self::offer).
    ///
    /// # Examples
    ///
    /// ```
    /// use ringpost::{Mailbox, OfferError, Overflow};
    ///
    /// let (addr, mailbox) = Mailbox::new(3, Overflow::block());
    /// let mut messages = vec![1, 2, 3, 4];
    /// assert_eq!(addr.offer_all(&mut messages), Err(OfferError::Full(())));
    /// assert_eq!(messages, [4]);
    /// assert_eq!(mailbox.len(), 3);
    /// ```
    pub fn offer_all(&self, messages: &mut Vec<T>) -> Result<Offered, OfferError<()>> {
        let mut stolen = Vec::new();
        let pushed = self.push_all(messages, &mut stolen);
        if pushed.taken > 0 || pushed.rest == Rest::Disconnected {
            self.ring();
        }
        drop(stolen); // foreign code, last
        match pushed.rest {
            Rest::Nothing => Ok(Offered { dropped: pushed.stolen }),
            Rest::Refused => Err(OfferError::Full(())),
            Rest::Disconnected | Rest::Closed => Err(OfferError::Closed(())),
        }
    }

    /// Puts `message` in, and waits for room if the mailbox's policy is [`Overflow::Block`]; with
    /// any other policy this is [`offer`](Self::offer). Waits as long as it takes: drop the
    /// future to give up.
    ///
    /// It sets no timer, so the receiver wakes it for each place or batch of places that becomes
    /// free. A wake costs about 10 us: where that counts, send in batches.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer); with `Block` never [`OfferError::Full`].
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has not put the message in, and the message is
    /// dropped with it. It takes nothing from other senders that wait.
    pub async fn send_async(&self, message: T) -> Result<Offered, OfferError<T>> {
        let mut held = Some(message);
        if self.puts_in(&mut held) {
            return Ok(Offered { dropped: 0 });
        }
        let mut message = held.expect(HELD);
        let mut waiting = self.space().waiting();
        loop {
            message = match self.insist(message) {
                Err(OfferError::Full(message)) if self.overflow().waits() => message,
                done => return done,
            };
            waiting.wait(|| self.has_room(1)).await;
        }
    }

    /// How many messages fit in.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// How many places are in use now: messages that were put in, or are being put in, and not
    /// yet received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no place is in use now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing can be put in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// What a full mailbox does.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        self.queue.beside().overflow
    }

    /// What was put in, received and lost so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.queue.tally())
    }

    /// Whether both lead to one mailbox.
    #[must_use]
    pub fn same_mailbox(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.queue, &other.queue)
    }

    // ---- The split phases, for the bus. None of them rings.

    /// Claims `count` places, all or none, of a `Block` mailbox. `count` above the capacity never
    /// succeeds.
    #[inline]
    pub(crate) fn reserve(&self, count: usize) -> Result<Places, Refused> {
        debug_assert!(self.overflow().waits(), "other policies give way instead of reserving");
        self.queue.reserve(count)
    }

    /// Fills the next of `places` with what `make` gives, which only moves a message.
    #[inline(always)]
    pub(crate) fn fill(&self, places: &mut Places, make: impl FnOnce() -> T) {
        self.queue.fill(places, make);
    }

    /// Fills the next of `places` with messages from the front of the list, as many as there are of
    /// both.
    pub(crate) fn fill_all(&self, places: &mut Places, messages: &mut Vec<T>) {
        self.queue.fill_all(places, messages);
    }

    /// Gives back what is left of `places`. Ring for it: what lies behind becomes readable.
    pub(crate) fn skip(&self, places: &mut Places) {
        self.queue.skip(places);
    }

    /// Puts in what `make` gives if there is room and the mailbox is open: what [`push`] tries
    /// first, by itself so that its caller can keep everything else out of the way. `make` only
    /// moves a message.
    ///
    /// [`push`]: Self::push
    #[inline(always)]
    pub(crate) fn try_push(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        self.queue.offer(make)
    }

    /// Puts in what `make` gives, as the policy says. `make` only moves a message, and is asked
    /// once there is a place for it, at most once. Messages that gave way are moved to `stolen`,
    /// for the caller to drop when it holds no place and has rung.
    pub(crate) fn push(&self, make: &mut impl FnMut() -> T, stolen: &mut Vec<T>) -> Push {
        match self.queue.offer(&mut *make) {
            Ok(()) => Push::Taken,
            Err(Refused::Closed) => Push::Closed,
            Err(Refused::Full) => match self.overflow() {
                Overflow::DropNewest => {
                    self.queue.refuse(1);
                    Push::Refused
                }
                Overflow::Block { .. } => Push::Refused,
                Overflow::DropOldest => self.push_over_oldest(make, stolen),
                Overflow::Disconnect => self.push_or_disconnect(make),
            },
        }
    }

    #[inline(never)]
    fn push_over_oldest(&self, make: &mut impl FnMut() -> T, stolen: &mut Vec<T>) -> Push {
        let before = stolen.len();
        for _ in 0..TRIES {
            if !self.queue.steal(stolen) {
                break;
            }
            match self.queue.offer(&mut *make) {
                Ok(()) => return Push::TookOldest((stolen.len() - before) as u64),
                Err(Refused::Closed) => return Push::Closed,
                Err(Refused::Full) => {}
            }
        }
        self.queue.refuse(1);
        Push::Refused
    }

    #[cold]
    fn push_or_disconnect(&self, make: &mut impl FnMut() -> T) -> Push {
        while !self.queue.close_if_full() {
            // Somebody made room or closed it meanwhile.
            match self.queue.offer(&mut *make) {
                Ok(()) => return Push::Taken,
                Err(Refused::Closed) => return Push::Closed,
                Err(Refused::Full) => {}
            }
        }
        self.queue.refuse(1);
        Push::Disconnected
    }

    /// Puts in as many of `messages` as the policy lets in, from the front, with one claim for
    /// many; what did not go in stays in the list and is counted as in [`push`](Self::push).
    pub(crate) fn push_all(&self, messages: &mut Vec<T>, stolen: &mut Vec<T>) -> Pushed {
        let before = stolen.len();
        let mut taken = 0;
        let mut tries = 0;
        let rest = loop {
            match self.queue.offer_all(messages) {
                Ok(count) => {
                    taken += count as u64;
                    tries = 0;
                    if messages.is_empty() {
                        break Rest::Nothing;
                    }
                }
                Err(Refused::Closed) => break Rest::Closed,
                Err(Refused::Full) => match self.overflow() {
                    Overflow::Block { .. } => break Rest::Refused,
                    Overflow::DropOldest if tries < TRIES && self.queue.steal(stolen) => tries += 1,
                    Overflow::DropOldest | Overflow::DropNewest => {
                        self.queue.refuse(messages.len() as u64);
                        break Rest::Refused;
                    }
                    Overflow::Disconnect if self.queue.close_if_full() => {
                        self.queue.refuse(messages.len() as u64);
                        break Rest::Disconnected;
                    }
                    Overflow::Disconnect => {}
                },
            }
        };
        Pushed { taken, stolen: (stolen.len() - before) as u64, rest }
    }

    /// Whether `count` places are free now, or the mailbox is closed: what a sender waits for.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.queue.has_room(count)
    }

    /// Whether at least half of the places are free, or the mailbox is closed.
    pub(crate) fn is_half_free(&self) -> bool {
        self.queue.is_half_free() || self.is_closed()
    }

    /// The first position that nobody has claimed: what is put in from now on lies there or
    /// behind.
    pub(crate) fn tail(&self) -> u64 {
        self.queue.tail()
    }

    /// The doorbell.
    #[inline]
    pub(crate) fn signal(&self) -> &Signal {
        &self.queue.beside().signal
    }

    /// The space bell.
    pub(crate) fn space(&self) -> &Space {
        &self.queue.beside().space
    }

    /// Closes the mailbox from this side: its receiver drains it and then gets an error.
    pub(crate) fn close(&self) {
        Desk::close(&self.queue);
    }

    /// The bell, for one mailbox, after a claim.
    #[inline]
    fn ring(&self) {
        self.signal().ring();
    }
}

impl<T> Clone for Addr<T> {
    fn clone(&self) -> Self {
        // ORDER: Relaxed; whoever clones holds one, so the count cannot reach 0 meanwhile.
        self.queue.beside().senders.fetch_add(1, Ordering::Relaxed);
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<T> Drop for Addr<T> {
    fn drop(&mut self) {
        // ORDER(senders): AcqRel; pairs with itself. Carries all that the other senders did
        // before they went, to the one that closes.
        if self.queue.beside().senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }
}

impl<T> fmt::Debug for Addr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addr").field("queue", &self.queue).finish()
    }
}
