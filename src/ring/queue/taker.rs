//! The consuming end of a queue: one owner, batches, and `head` published once a batch.
//!
//! Held by `mailbox::Mailbox`. It must never free a place before the value is out of it, and
//! must free all it has passed also when the caller's closure panics.
#![allow(unsafe_code)]

use std::collections::VecDeque;

use super::slots::{CHUNK, State};
use super::steal::Run;
use super::{CLOSED, Queue, SLOW};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// What a call took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Places freed, skipped ones included: whether a waiting sender should hear of it.
    pub(crate) places: u64,
    /// Values handed over.
    pub(crate) values: usize,
}

/// A publisher is giving up the oldest values right now: look again after a yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The one consumer of a [`Queue`].
pub(crate) struct Taker<T, B = ()> {
    queue: Arc<Queue<T, B>>,
    /// Values that were taken out of a stealable queue for a `drain` whose closure panicked or
    /// had enough; they come first next time. Empty otherwise.
    hand: VecDeque<T>,
}

/// What a drain has passed; publishes it also when the closure unwinds.
struct Pass<'a, T, B> {
    queue: &'a Queue<T, B>,
    start: u64,
    position: u64,
    values: usize,
}

impl<T, B> Drop for Pass<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        if self.position != self.start {
            self.queue.count_taken(self.values);
            // ORDER(free): Release; pairs with ORDER(free) in `room`. Carries the end of this
            // reading: the places below may be written again.
            self.queue.front.head.store(self.position, Ordering::Release);
        }
    }
}

impl<T, B> Queue<T, B> {
    /// Only called by the consumer.
    #[inline]
    fn count_taken(&self, values: usize) {
        // ORDER: Relaxed both; a statistic with one writer.
        let taken = self.front.taken.load(Ordering::Relaxed);
        self.front.taken.store(taken + values as u64, Ordering::Relaxed);
    }
}

impl<T, B> Taker<T, B> {
    /// A queue for exactly `capacity` values, whose first position is `start`, and its one
    /// consumer. The queue keeps `beside` for its owner.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or above 2^31, or `start` is not below [`LIMIT`](super::LIMIT).
    pub(crate) fn new(capacity: usize, start: u64, stealable: bool, beside: B) -> Self {
        Self::with_chunk(capacity, start, stealable, beside, CHUNK)
    }

    /// The same with the number of slots that are made at once.
    pub(super) fn with_chunk(
        capacity: usize,
        start: u64,
        stealable: bool,
        beside: B,
        chunk: usize,
    ) -> Self {
        let queue = Arc::new(Queue::new(capacity, start, stealable, beside, chunk));
        Self { queue, hand: VecDeque::new() }
    }

    /// The shared part.
    #[inline]
    pub(crate) fn queue(&self) -> &Arc<Queue<T, B>> {
        &self.queue
    }

    /// How many values may be taken before `head` is published: a quarter of the capacity,
    /// between 1 and 64. Never the whole queue, or its senders starve while it is drained.
    #[inline]
    pub(crate) fn batch(&self) -> usize {
        (self.queue.capacity / 4).clamp(1, 64) as usize
    }

    /// Values that are out of the queue, but not handed over yet.
    pub(crate) fn in_hand(&self) -> usize {
        self.hand.len()
    }

    /// Takes one value, if there is one, and frees its place at once, with those of skipped
    /// places before it.
    ///
    /// # Errors
    ///
    /// [`Busy`], of a stealable queue only.
    #[inline]
    pub(crate) fn take_one(&mut self) -> Result<(Taken, Option<T>), Busy> {
        let mut one = None;
        let taken = self.drain(1, |value| one = Some(value))?;
        Ok((taken, one))
    }

    /// Moves at most one batch, at most `max` values, to the end of `out`.
    ///
    /// # Errors
    ///
    /// [`Busy`], of a stealable queue only.
    pub(crate) fn take(&mut self, max: usize, out: &mut VecDeque<T>) -> Result<Taken, Busy> {
        let most = max.min(self.batch());
        if !self.hand.is_empty() {
            let values = most.min(self.hand.len());
            out.extend(self.hand.drain(..values));
            return Ok(Taken { places: 0, values });
        }
        if self.queue.stealable {
            return self.take_shared(most, out);
        }
        let queue = &*self.queue;
        // ORDER: Relaxed; only this thread, or one that handed the taker over, stores it.
        let head = queue.front.head.load(Ordering::Relaxed);
        let run @ (places, values) = queue.run(head, most as u64);
        if places > 0 {
            out.reserve(values);
            // SAFETY: this is the only taker (`&mut self`, no stealing), and frees them below.
            unsafe { queue.move_out(head, run, out) };
            queue.count_taken(values);
            // ORDER(free): Release; pairs with ORDER(free) in `room`. Carries the end of this
            // reading: the places below may be written again.
            queue.front.head.store(head + places, Ordering::Release);
        }
        Ok(Taken { places, values })
    }

    /// Hands at most one batch, at most `max` values, to `f`, and then publishes `head`, also if
    /// `f` panics: then what `f` has not seen stays for the next call.
    ///
    /// # Errors
    ///
    /// [`Busy`], of a stealable queue only.
    #[inline]
    pub(crate) fn drain(&mut self, max: usize, mut f: impl FnMut(T)) -> Result<Taken, Busy> {
        let most = max.min(self.batch());
        if !self.queue.stealable {
            return Ok(self.pass(most, f));
        }
        // Foreign code must not run while places are being taken: through the hand.
        let mut taken = Taken::default();
        if self.hand.is_empty() {
            let mut hand = std::mem::take(&mut self.hand);
            let took = self.take_shared(most, &mut hand);
            self.hand = hand;
            taken.places = took?.places;
        }
        while taken.values < most
            && let Some(value) = self.hand.pop_front()
        {
            taken.values += 1;
            f(value);
        }
        Ok(taken)
    }

    /// The consumer of a queue that nobody steals from: it alone moves `head`.
    #[inline]
    fn pass(&mut self, most: usize, mut f: impl FnMut(T)) -> Taken {
        let queue = &*self.queue;
        // ORDER: Relaxed; only this thread, or one that handed the taker over, stores it.
        let start = queue.front.head.load(Ordering::Relaxed);
        let mut pass = Pass { queue, start, position: start, values: 0 };
        while let Some(slots) = queue.slots.made_from(pass.position) {
            for slot in slots {
                match slot.state(pass.position) {
                    State::Filled if pass.values < most => {
                        // SAFETY: filled, and this is the only taker (`&mut self`, no stealing); the
                        // guard frees the place after this.
                        let value = unsafe { slot.take() };
                        pass.position += 1;
                        pass.values += 1;
                        f(value);
                    }
                    State::Skipped if pass.values < most => pass.position += 1,
                    _ => return Taken { places: pass.position - start, values: pass.values },
                }
            }
        }
        Taken { places: pass.position - start, values: pass.values }
    }

    /// The consumer of a queue whose oldest values may be given up by others.
    fn take_shared(&mut self, most: usize, out: &mut VecDeque<T>) -> Result<Taken, Busy> {
        let mut all = Taken::default();
        // Again only if the run held nothing but skipped places.
        while all.values == 0 {
            match self.queue.take_run(most as u64, out) {
                Run::Took { places, values } => {
                    self.queue.count_taken(values);
                    all.places += places;
                    all.values += values;
                }
                Run::Busy if all.places == 0 => return Err(Busy),
                Run::Busy | Run::Nothing => break,
            }
        }
        Ok(all)
    }

    /// Whether there is a reason to take: a committed place, or the end.
    ///
    /// After the consumer's fence this is the look that decides about parking. A stealer may move
    /// `head` meanwhile; then a message came in after the fence, and whoever sent it rings.
    pub(crate) fn is_ready(&self) -> bool {
        // ORDER(free): Acquire; pairs with ORDER(free) of stealers. Carries nothing that is used
        // here but the number.
        let head = self.queue.front.head.load(Ordering::Acquire);
        let readable = || {
            let slot = self.queue.slots.made(head)?;
            (slot.state(head) != State::Pending).then_some(())
        };
        !self.hand.is_empty() || readable().is_some() || self.ends_at(head)
    }

    /// Whether somebody has claimed a place that was not taken, or has closed the queue: the look
    /// before the consumer sleeps.
    pub(crate) fn is_coming(&self) -> bool {
        // ORDER(claim): SeqCst; pairs with ORDER(claim) in `Queue::claim`. In one order with the
        // consumer's doorbell: a claim that is not seen here sees the consumer asleep.
        let tail = self.queue.ends.tail.load(Ordering::SeqCst);
        // ORDER: Relaxed; only this thread stores it, or a stealer: then it is told again.
        tail != self.queue.front.head.load(Ordering::Relaxed)
    }

    /// Makes the slots that will be needed next, if they are not there yet: for a consumer that finds
    /// nothing to take. Else whoever puts in has to, and waits for fresh memory with a message in hand.
    pub(crate) fn make_ahead(&self) {
        // ORDER: Relaxed; a number to find the next slots by.
        self.queue.slots.make_ahead(self.queue.front.head.load(Ordering::Relaxed));
    }

    /// Whether the queue is closed and every claimed place was taken.
    pub(crate) fn is_finished(&self) -> bool {
        // ORDER(free): Acquire; pairs with ORDER(free) of stealers, as above.
        let head = self.queue.front.head.load(Ordering::Acquire);
        self.hand.is_empty() && self.ends_at(head)
    }

    fn ends_at(&self, head: u64) -> bool {
        // ORDER(closing): Acquire; pairs with ORDER(closing) in `tell_closed`. Carries the flag in
        // `tail`.
        if !self.queue.closing.load(Ordering::Acquire) {
            return false;
        }
        // ORDER(close): Acquire; pairs with ORDER(close) in `close`. Carries what the closer did.
        let tail = self.queue.ends.tail.load(Ordering::Acquire);
        tail & CLOSED != 0 && tail & !(CLOSED | SLOW) == head
    }
}

impl<T, B> std::fmt::Debug for Taker<T, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taker").field("queue", &self.queue).finish_non_exhaustive()
    }
}
