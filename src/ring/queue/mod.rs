//! The bounded queue under every mailbox: many threads put in, one takes out, and a full queue
//! may give up its oldest.
//!
//! Used by `mailbox` alone. It knows no policy, no waker and no clock: it says `Full`, and its
//! callers decide. It must never run foreign code (a value's `Clone` or `Drop`, an iterator)
//! between a claim and its commit, or while places are being taken out.
//!
//! The algorithm is Vyukov's bounded queue (a stamp in each slot) with three changes. Claims are
//! made against a *cached* head, as in the SPSC queues of Lee et al. ("MCRingBuffer", 2009), so a
//! put reads no line that the taker writes. The taker never writes stamps; it publishes `head`
//! once a batch. And takers of the oldest (`steal`) share a second cursor with the consumer.
//!
//! ```text
//!            taken              being taken        committed        claimed         free
//!  ... -----------------|----------------------|----------------|-----------|-------------------
//!                      head                   line                         tail          head+capacity
//! ```
//!
//! *Not lock-free in the formal sense*: a thread that is suspended between claim and commit
//! hides what was put in after it from the consumer (others go on putting until it is full).
//!
//! # Orderings
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `commit` | claimer stores the stamp | taker loads the stamp | the message |
//! | `free` | taker stores `head`; a claimer passes it on in `cached_head` | claimer loads either | the places below are empty |
//! | `chunk` | who needs the chunk first, or the consumer ahead, sets its pointer | everybody loads it | the chunk's stamps |
//! | `claim` | each claim's RMW on `tail` | the consumer's look before it sleeps | nothing; their order with the doorbell |
//! | `close` | the closer's RMW on `tail` | who finds the flag | what the closer did before; the final tail |
//! | `closing` | the closer stores the consumer's copy of the flag | a consumer that finds nothing | the flag in `tail` |
//!
//! Everything else is Relaxed and says why. What wakes a sleeping side is the mailbox's business,
//! and so are the fences that go with it.
#![allow(unsafe_code)]

mod slots;
mod steal;
mod taker;

#[cfg(all(test, ringpost_loom))]
mod models;
#[cfg(all(test, not(ringpost_loom)))]
mod tests;

use std::panic::{self, AssertUnwindSafe};

pub(crate) use self::taker::{Busy, Taken, Taker};

use self::slots::{Slots, State};
use super::prefetch;
use crate::caught::let_go;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{CachePadded, claim_fence, unique};

/// Bit of `tail`: no claim succeeds any more.
const CLOSED: u64 = 1 << 63;
/// Bit of `tail`, only with `CLOSED`: closed because a message found the queue full.
const SLOW: u64 = 1 << 62;
/// Positions are below this number. At 10^9 messages a second it is reached after 70 years.
pub(crate) const LIMIT: u64 = 1 << 61;

/// How many places ahead of the one that was just filled the next lines are asked for.
const AHEAD: u64 = 8;

/// Why nothing could be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No room at some moment of the call.
    Full,
    /// The queue was closed.
    Closed,
}

/// Claimed places, to be filled or skipped one after another.
///
/// They are plain numbers, so that a publisher can keep those of many mailboxes in one list; the
/// queue's own number makes sure that they come back to the right one. Whoever drops them unused
/// stops the queue for ever.
#[derive(Debug)]
#[must_use = "a place that is neither filled nor skipped blocks the mailbox"]
pub(crate) struct Places {
    queue: u64,
    next: u64,
    end: u64,
}

impl Places {
    /// How many are left.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.next
    }
}

/// What those who put in write. On a line of its own.
struct Ends {
    /// Next position to claim, and the two flags. Written by RMW only.
    tail: AtomicU64,
    /// A `head` that somebody has seen. Written by claimers that found the queue full.
    cached_head: AtomicU64,
    /// Values that were given up by `steal`.
    stolen: AtomicU64,
    /// Places that were given back by `skip`.
    skipped: AtomicU64,
    /// Values that the owner turned away; counted here because this line is at hand.
    refused: AtomicU64,
}

/// What those who take out write. On a line of its own.
struct Front {
    /// Everything below is free. Written by whoever took out last.
    head: AtomicU64,
    /// Everything below is being taken out, or is; never below `head`, equal to it when nobody
    /// is taking. Only used by a stealable queue.
    line: AtomicU64,
    /// Values that the consumer got. Written by the consumer.
    taken: AtomicU64,
}

/// The shared part of a queue. `B` is what the owner keeps beside it (its bell, its policy) in
/// the same allocation.
#[repr(C)]
pub(crate) struct Queue<T, B = ()> {
    ends: CachePadded<Ends>,
    front: CachePadded<Front>,
    // From here on read-mostly: written when a chunk is made, when it is closed, and by what the
    // owner keeps. What every put and its bell look at comes first, in one line.
    slots: Slots<T>,
    capacity: u64,
    number: u64,
    /// Set once `tail` says closed: a consumer that finds nothing looks here, because each look at
    /// `tail` takes its line from those who put in.
    closing: AtomicBool,
    /// Whether the consumer shares the oldest places with `steal`.
    stealable: bool,
    beside: B,
    start: u64,
}

impl<T, B> Queue<T, B> {
    fn new(capacity: usize, start: u64, stealable: bool, beside: B, chunk: usize) -> Self {
        assert!(capacity >= 1, "a mailbox has room for at least one message");
        assert!(capacity <= 1 << 31, "a mailbox has room for at most 2^31 messages");
        assert!(start < LIMIT, "positions are below 2^61");
        let slots = capacity.next_power_of_two();
        Self {
            ends: CachePadded::new(Ends {
                tail: AtomicU64::new(start),
                cached_head: AtomicU64::new(start),
                stolen: AtomicU64::new(0),
                skipped: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
            front: CachePadded::new(Front {
                head: AtomicU64::new(start),
                line: AtomicU64::new(start),
                taken: AtomicU64::new(0),
            }),
            slots: Slots::new(slots, chunk.min(slots)),
            capacity: capacity as u64,
            start,
            stealable,
            closing: AtomicBool::new(false),
            number: unique(),
            beside,
        }
    }

    /// What the owner keeps here.
    #[inline]
    pub(crate) fn beside(&self) -> &B {
        &self.beside
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Claims at least `least` and at most `most` positions: the first, and how many.
    ///
    /// `Full` is only said if at some moment of the call there was no room for `least`.
    #[inline]
    fn claim(&self, least: u64, most: u64) -> Result<(u64, u64), Refused> {
        let ends = &*self.ends;
        // ORDER: Relaxed; `tail` hands out numbers and carries no data.
        let mut tail = ends.tail.load(Ordering::Relaxed);
        loop {
            // ORDER(free): Acquire; pairs with ORDER(free) in `room`, which passed on what it
            // acquired from `head`. Carries the emptiness of all slots below.
            let head = ends.cached_head.load(Ordering::Acquire);
            // The tail in hand may be older than the cached head: then nothing is used as far
            // as we know, and the exchange below fails. A flag makes `used` enormous.
            let mut room = self.capacity.saturating_sub(tail.saturating_sub(head));
            if room < most {
                room = self.room(tail, head)?;
                if room < least {
                    // ORDER: Relaxed; only compared with the number in hand.
                    let now = ends.tail.load(Ordering::Relaxed);
                    if now == tail {
                        return Err(Refused::Full);
                    }
                    tail = now;
                    continue;
                }
            }
            let count = room.min(most);
            // ORDER(claim): SeqCst; pairs with ORDER(claim) in `is_coming`, in one order with the
            // doorbell. It carries no data: what the winner needs to know about its slots came with
            // `head`. Relaxed on failure.
            match ends.tail.compare_exchange_weak(
                tail,
                tail + count,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    claim_fence();
                    return Ok((tail, count));
                }
                Err(now) => tail = now,
            }
        }
    }

    /// The room above `tail` by the true head, which is cached for others.
    #[inline]
    fn room(&self, tail: u64, cached: u64) -> Result<u64, Refused> {
        if tail & CLOSED != 0 {
            return Err(Refused::Closed);
        }
        // ORDER(free): Acquire; pairs with ORDER(free) of the takers. Carries the end of their
        // reading below it.
        let head = self.front.head.load(Ordering::Acquire);
        if head != cached {
            // ORDER(free): Release; pairs with ORDER(free) in `claim`. Passes on what this
            // thread has just acquired: a claimer that trusts this copy never reads `head`.
            self.ends.cached_head.store(head, Ordering::Release);
        }
        Ok(self.capacity.saturating_sub(tail.saturating_sub(head)))
    }

    /// Puts in what `make` gives, which is asked only once there is a place for it. It moves a
    /// value that exists, and nothing else: a place that is claimed has to be filled.
    ///
    /// The same as a claim of one and a fill, but the slot is looked up before the exchange: a
    /// locked instruction makes all loads behind it wait.
    #[inline(always)]
    pub(crate) fn offer(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        let ends = &*self.ends;
        // ORDER: Relaxed; `tail` hands out numbers and carries no data.
        let mut tail = ends.tail.load(Ordering::Relaxed);
        loop {
            // ORDER(free): Acquire; pairs with ORDER(free) in `room`, as in `claim`. Carries the
            // emptiness of all slots below.
            let head = ends.cached_head.load(Ordering::Acquire);
            let slot = self.slots.made(tail);
            if let Some(slot) = slot
                && tail.saturating_sub(head) < self.capacity
            {
                // ORDER(claim): SeqCst, on failure Relaxed; as in `claim`.
                match ends.tail.compare_exchange_weak(
                    tail,
                    tail + 1,
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        claim_fence();
                        // SAFETY: claimed by the exchange above, against a head that was acquired; committed
                        // by this very call.
                        unsafe { slot.fill(tail, make) };
                        self.prefetch(tail, head);
                        return Ok(());
                    }
                    Err(now) => tail = now,
                }
            } else {
                return self.offer_slowly(make);
            }
        }
    }

    /// Asks for the slot that comes [`AHEAD`] places after `position`, if it is known to be free:
    /// else its line would be taken from a receiver that reads it.
    #[inline(always)]
    fn prefetch(&self, position: u64, head: u64) {
        if (position + AHEAD).saturating_sub(head) < self.capacity {
            self.slots.prefetch(position + AHEAD);
        }
    }

    /// The same where the chunk is to be made, the cached head is too old, or the queue is closed.
    #[cold]
    fn offer_slowly(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        let (position, _) = self.claim(1, 1)?;
        // SAFETY: claimed one line up, against a head that `claim` acquired; committed by this
        // very call.
        unsafe { self.slots.at(position).fill(position, make) };
        Ok(())
    }

    /// Puts `value` in, or hands it back.
    #[cfg(test)]
    fn put(&self, value: T) -> Result<(), (T, Refused)> {
        let mut held = Some(value);
        self.offer(|| held.take().expect("asked once"))
            .map_err(|refused| (held.take().expect("not asked"), refused))
    }

    /// Puts in as many of `values`, from the front, as there is room for, with one claim.
    ///
    /// # Errors
    ///
    /// Why nothing went in. An empty list is `Ok(0)`.
    pub(crate) fn offer_all(&self, values: &mut Vec<T>) -> Result<usize, Refused> {
        if values.is_empty() {
            return Ok(0);
        }
        let (first, count) = self.claim(1, values.len() as u64)?;
        // SAFETY: claimed one line up, against a head that `claim` acquired, for as many values as there
        // are or fewer; filled by this alone.
        unsafe { self.fill_row(first, count, values) };
        Ok(count as usize)
    }

    /// Fills `count` positions from `first` on with as many values from the front of the list.
    ///
    /// # Safety
    ///
    /// * The caller has claimed the positions, against a head that was acquired, and fills them once.
    /// * There are as many values.
    unsafe fn fill_row(&self, first: u64, count: u64, values: &mut Vec<T>) {
        debug_assert!(count <= values.len() as u64);
        let taken = count as usize;
        let left = values.len() - taken;
        let from = values.as_mut_ptr();
        // SAFETY: nothing is dropped by this: the values are moved by the lines below, which run
        // no foreign code and do not unwind.
        unsafe { values.set_len(0) };
        let (mut position, end) = (first, first + count);
        while position < end {
            let slots = self.slots.at_from(position);
            for (index, slot) in slots.iter().enumerate().take((end - position) as usize) {
                // SAFETY: below the length that the list had.
                let value = unsafe { from.add((position - first) as usize) };
                // SAFETY: each position of the claim is filled once, here; each value is read once,
                // and the list forgot it above.
                unsafe { slot.fill_from(position, value) };
                match slots.get(index + AHEAD as usize) {
                    Some(ahead) => prefetch::for_writing(ahead),
                    None => self.slots.prefetch(position + AHEAD),
                }
                position += 1;
            }
        }
        // SAFETY: `taken` is at most the length that the list had.
        let rest = unsafe { from.add(taken) };
        // SAFETY: `left` values follow there, and at least as many places at the front.
        unsafe { std::ptr::copy(rest, from, left) };
        // SAFETY: they have just been moved to the front.
        unsafe { values.set_len(left) };
    }

    /// Claims `count` places, all or none, to be filled later.
    #[inline]
    pub(crate) fn reserve(&self, count: usize) -> Result<Places, Refused> {
        debug_assert!(count >= 1);
        let (next, count) = self.claim(count as u64, count as u64)?;
        Ok(Places { queue: self.number, next, end: next + count })
    }

    /// Fills the next of `places` with what `make` gives, which only moves a value.
    ///
    /// # Panics
    ///
    /// If none is left, or they are another queue's.
    // Always, as `offer`: a call passes what `make` takes by memory, 40 instructions.
    #[inline(always)]
    pub(crate) fn fill(&self, places: &mut Places, make: impl FnOnce() -> T) {
        assert!(places.queue == self.number, "a place of another mailbox");
        assert!(places.next < places.end, "no place left");
        let position = places.next;
        places.next += 1;
        // SAFETY: `Places` are made by `reserve` alone and are no copies; this one's number says
        // that the claim was made here, and the line above that it is used once.
        unsafe { self.slots.at(position).fill(position, make) };
        // ORDER: Relaxed; only compared, for a hint.
        self.prefetch(position, self.ends.cached_head.load(Ordering::Relaxed));
    }

    /// Fills the next of `places` with values from the front of the list, as many as there are of both.
    ///
    /// # Panics
    ///
    /// If they are another queue's.
    pub(crate) fn fill_all(&self, places: &mut Places, values: &mut Vec<T>) {
        assert!(places.queue == self.number, "a place of another mailbox");
        let (first, count) = (places.next, places.left().min(values.len() as u64));
        places.next += count;
        // SAFETY: `Places` are made by `reserve` alone, against a head that its claim acquired, and are no
        // copies; this one's number says that the claim was made here, and the line above that these
        // are used once. No more than there are values.
        unsafe { self.fill_row(first, count, values) };
    }

    /// Gives back what is left of `places`. Whoever calls this rings afterwards: a skip makes
    /// what lies behind it readable.
    ///
    /// # Panics
    ///
    /// If they are another queue's.
    pub(crate) fn skip(&self, places: &mut Places) {
        assert!(places.queue == self.number, "a place of another mailbox");
        // ORDER: Relaxed; a statistic, exact once the skipper is done.
        self.ends.skipped.fetch_add(places.left(), Ordering::Relaxed);
        while places.next < places.end {
            let position = places.next;
            places.next += 1;
            self.slots.at(position).skip(position);
        }
    }

    /// Ends the queue: no claim succeeds after this. Says whether it was open before.
    pub(crate) fn close(&self) -> bool {
        // ORDER(close): AcqRel; Release pairs with ORDER(close) in `is_closed` and `is_finished`.
        // Carries what the closer did before. An RMW, so the final tail is exact.
        let was_open = self.ends.tail.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0;
        self.tell_closed();
        was_open
    }

    fn tell_closed(&self) {
        // ORDER(closing): Release; pairs with ORDER(closing) in `ends_at`. Carries the flag in
        // `tail`, and what the closer did before.
        self.closing.store(true, Ordering::Release);
    }

    /// Closes the queue because it is full and a message wants in; `false` if meanwhile it is not
    /// full any more, or was closed by another.
    pub(crate) fn close_if_full(&self) -> bool {
        // ORDER: Relaxed; a number to compare.
        let tail = self.ends.tail.load(Ordering::Relaxed);
        // ORDER: Relaxed; only a number to compare with.
        let cached = self.ends.cached_head.load(Ordering::Relaxed);
        if self.room(tail, cached) != Ok(0) {
            return false;
        }
        // ORDER(close, claim): SeqCst; as in `close`, and in one order with the doorbell like a claim.
        // Relaxed on failure: nothing is learned.
        let closed = self
            .ends
            .tail
            .compare_exchange(tail, tail | CLOSED | SLOW, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if closed {
            self.tell_closed();
        }
        closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        // ORDER(close): Acquire; pairs with ORDER(close) in `close`.
        self.ends.tail.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether it was closed by [`close_if_full`](Self::close_if_full).
    pub(crate) fn was_slow(&self) -> bool {
        // ORDER(close): Acquire; pairs with ORDER(close) in `close_if_full`.
        self.ends.tail.load(Ordering::Acquire) & SLOW != 0
    }

    /// Whether a value could be put in now, or the queue is closed: what a waiting sender waits
    /// for.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        // ORDER: Relaxed; a hint that is followed by a claim. A waiter's fence precedes it.
        let tail = self.ends.tail.load(Ordering::Relaxed);
        // ORDER: Relaxed; only a number to compare with.
        let cached = self.ends.cached_head.load(Ordering::Relaxed);
        !matches!(self.room(tail, cached), Ok(room) if room < count as u64)
    }

    /// Whether at least half of the places are free: for whoever has just freed some, and passed a
    /// fence.
    pub(crate) fn is_half_free(&self) -> bool {
        // `tail` only grows: an old one makes it too free, never too full.
        self.len() as u64 <= self.capacity / 2
    }

    /// Places in use: claimed and not yet taken, filled or not.
    pub(crate) fn len(&self) -> usize {
        // ORDER: Relaxed both; two moments, a snapshot for people.
        let head = self.front.head.load(Ordering::Relaxed);
        (self.tail().saturating_sub(head)).min(self.capacity) as usize
    }

    /// The first position that nobody has claimed.
    pub(crate) fn tail(&self) -> u64 {
        // ORDER: Relaxed; a number to compare `head` with later, and for the ledger at rest.
        self.ends.tail.load(Ordering::Relaxed) & !(CLOSED | SLOW)
    }

    /// The first position that nobody has taken, given up or passed: everything below is out.
    pub(crate) fn head(&self) -> u64 {
        // ORDER(free): Acquire; pairs with ORDER(free) of the takers. Carries the end of their
        // reading.
        self.front.head.load(Ordering::Acquire)
    }

    /// Counts values that the owner turned away.
    #[inline]
    pub(crate) fn refuse(&self, count: u64) {
        // ORDER: Relaxed; a statistic.
        self.ends.refused.fetch_add(count, Ordering::Relaxed);
    }

    /// The ledger's words, each read once.
    pub(crate) fn tally(&self) -> Tally {
        // ORDER: Relaxed all; statistics, exact when nobody is at work.
        Tally {
            claimed: self.tail() - self.start,
            skipped: self.ends.skipped.load(Ordering::Relaxed),
            stolen: self.ends.stolen.load(Ordering::Relaxed),
            refused: self.ends.refused.load(Ordering::Relaxed),
            taken: self.front.taken.load(Ordering::Relaxed),
        }
    }
}

/// What a queue has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Places claimed.
    pub(crate) claimed: u64,
    /// Places given back without a value.
    pub(crate) skipped: u64,
    /// Values given up as the oldest.
    pub(crate) stolen: u64,
    /// Values turned away.
    pub(crate) refused: u64,
    /// Values that the consumer got.
    pub(crate) taken: u64,
}

impl<T, B> Drop for Queue<T, B> {
    /// Drops what is still inside, each value once, also if some of those drops panic: the first
    /// panic goes on when all are gone.
    fn drop(&mut self) {
        // ORDER: Relaxed; `&mut self`: everybody else is gone and synchronised.
        let head = self.front.head.load(Ordering::Relaxed);
        let mut panicked = None;
        for position in head..self.tail() {
            let Some(slot) = self.slots.made(position) else { continue };
            if slot.state(position) != State::Filled {
                continue; // skipped, or its claimer never came back
            }
            // SAFETY: filled, and nobody else is left to take it; `head` is not read again.
            let value = unsafe { slot.take() };
            let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(value)));
            match dropped {
                Ok(()) => {}
                Err(first) if panicked.is_none() => panicked = Some(first),
                Err(another) => let_go(another),
            }
        }
        match panicked {
            Some(panicked) if std::thread::panicking() => let_go(panicked),
            Some(panicked) => panic::resume_unwind(panicked),
            None => {}
        }
    }
}

impl<T, B> std::fmt::Debug for Queue<T, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("capacity", &self.capacity)
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
