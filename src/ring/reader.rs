//! A cursor over the ring that borrows messages in place.
//!
//! Called by `bus` for taps, replay and subscriptions that see everything. A reader delays no
//! publisher unless it is a required one, and then only by the limit that it publishes.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::block::Block;
use super::cursors::Place;
use super::directory::Look;
use super::log::{CLOSED, DISABLED, Entered, Log};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// What a reader finds at its position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a, T> {
    /// The message at the position, lent until the reader is used again. It stays the next one
    /// until [`Reader::advance`].
    Item(u64, &'a T),
    /// Lost, both ends inclusive: the ring came round first. The position is past it already.
    Gap {
        /// The first lost position.
        from: u64,
        /// The last lost position.
        to: u64,
    },
    /// Not claimed or not committed yet.
    Empty,
    /// The ring is closed and everything was read.
    Closed,
}

/// What becomes of a message that was lent, and whether the next one is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Done with; the next one, please.
    On,
    /// Done with; no other one.
    Last,
    /// Not done with.
    Stay,
}

/// A required reader cannot begin where it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun {
    /// The first position that is not about to be evicted.
    pub(crate) oldest: u64,
}

/// What holds publishers back for one required reader, in the hands of somebody else. To be dropped
/// before the reader is: its place may be another's afterwards.
#[derive(Debug)]
pub(crate) struct Stake<T: Send + Sync + 'static> {
    place: NonNull<Place>,
    /// Keeps the place where it is.
    _log: Arc<Log<T>>,
}

// SAFETY: places are atomics, and are freed with the log.
unsafe impl<T: Send + Sync + 'static> Send for Stake<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync + 'static> Sync for Stake<T> {}

impl<T: Send + Sync + 'static> Stake<T> {
    /// Publishers go beyond the reader from now on: it is about to leave, and has told how far it is
    /// by `publish_ahead` alone, which takes nothing back. Until then it reads as a lossy one does, and
    /// what it is lent stays.
    pub(crate) fn lift(&self) {
        // SAFETY: places are freed with the log, which is held here.
        unsafe { self.place.as_ref() }.lift();
    }
}

/// A cursor over the ring, lossy or required.
#[derive(Debug)]
pub(crate) struct Reader<T: Send + Sync + 'static> {
    log: Arc<Log<T>>,
    position: u64,
    /// The block of the position, in which the reader counts. An idle reader holds none.
    block: Option<NonNull<Block<T>>>,
    /// A required reader's place and window.
    required: Option<(NonNull<Place>, u64)>,
}

// SAFETY: the block is counted for the reader wherever it is, its messages are `Sync`, and places
// are atomics.
unsafe impl<T: Send + Sync + 'static> Send for Reader<T> {}
// SAFETY: a shared reader moves nowhere, and gives out numbers and messages, which are `Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for Reader<T> {}

impl<T: Send + Sync + 'static> Reader<T> {
    pub(super) fn lossy(log: Arc<Log<T>>, from: u64) -> Self {
        Self { log, position: from, block: None, required: None }
    }

    pub(super) fn required(log: Arc<Log<T>>, window: usize) -> Self {
        let window = log.window(window);
        // First a limit that is surely low enough; then the RMW: a claim that comes after it has
        // seen that limit; so the position is where we begin.
        let place = NonNull::from(log.cursors.register(log.tail() + window, window));
        let position = log.join();
        let mut reader = Self { log, position, block: None, required: Some((place, window)) };
        reader.publish();
        reader
    }

    pub(super) fn required_from(
        log: Arc<Log<T>>,
        from: u64,
        window: usize,
    ) -> Result<Self, Overrun> {
        let window = log.window(window);
        let place = NonNull::from(log.cursors.register(from.saturating_add(window), window));
        let tail = log.join();
        let reader = Self { log, position: from, block: None, required: Some((place, window)) };
        if reader.log.still_held(from, tail) {
            Ok(reader)
        } else {
            // Dropped here, which gives the place back.
            Err(Overrun { oldest: reader.log.oldest_safe() })
        }
    }

    /// The ring that it reads.
    #[cfg(test)]
    pub(crate) fn log(&self) -> &Arc<Log<T>> {
        &self.log
    }

    /// The next position to be read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// How many positions were claimed that this reader has not passed.
    pub(crate) fn lag(&self) -> u64 {
        self.log.tail().saturating_sub(self.position)
    }

    /// Whether publishers must not overrun this reader.
    pub(crate) fn is_required(&self) -> bool {
        self.required.is_some()
    }

    /// What holds publishers back for a required reader.
    pub(crate) fn stake(&self) -> Option<Stake<T>> {
        self.required.map(|(place, _)| Stake { place, _log: Arc::clone(&self.log) })
    }

    /// What is at the position. An item stays until `advance`; a gap is told once.
    #[inline]
    pub(crate) fn next(&mut self) -> Next<'_, T> {
        // SAFETY: `Next` borrows the reader, so it cannot leave the block while the item is lent.
        match unsafe { self.committed() } {
            Some(item) => Next::Item(self.position, item),
            None => self.look_around(),
        }
    }

    /// Past the item that `next` returned.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.position += 1;
        if self.position & ((1 << self.log.shift) - 1) == 0 {
            self.release();
        }
    }

    /// Lends `handle` the messages below `until` that are committed and in the block where the reader
    /// is, one after the other, for as long as it says to go on. One that is done with is behind the
    /// reader when the next is lent; one for which it panics is not.
    ///
    /// The same as `next` and `advance` in a loop, at a fraction of the instructions.
    #[inline]
    pub(crate) fn each(&mut self, until: u64, mut handle: impl FnMut(u64, &T) -> Flow) {
        let Some(block) = self.block else { return };
        // SAFETY: blocks are freed with the log, which is held here.
        let slots = unsafe { block.as_ref() }.slots_from(self.position);
        let most = until.saturating_sub(self.position).min(slots.len() as u64);
        let begin = self.position;
        for (slot, position) in slots[..most as usize].iter().zip(begin..) {
            if !slot.is_committed(position) {
                return;
            }
            // SAFETY: committed, and the reader counts in the block, which it leaves below at the
            // earliest: `handle` cannot reach it.
            let flow = handle(position, unsafe { slot.get() });
            if flow == Flow::Stay {
                return;
            }
            self.position = position + 1;
            if flow == Flow::Last {
                break;
            }
        }
        if self.position - begin == slots.len() as u64 {
            self.release();
        }
    }

    /// How many messages in a row from here on, `most` at most, are committed, in the block where the
    /// reader is, and wanted.
    #[inline]
    pub(crate) fn in_a_row(&self, most: u64, wanted: impl Fn(&T) -> bool) -> u64 {
        let Some(block) = self.block else { return 0 };
        // SAFETY: blocks are freed with the log, which is held here.
        let slots = unsafe { block.as_ref() }.slots_from(self.position);
        let mut end = self.position;
        for slot in &slots[..most.min(slots.len() as u64) as usize] {
            // SAFETY: committed, and the reader counts in the block, which it does not leave here.
            if !(slot.is_committed(end) && wanted(unsafe { slot.get() })) {
                break;
            }
            end += 1;
        }
        end - self.position
    }

    /// Tells publishers how far this reader has come: for a required one, once a batch; the caller
    /// rings for those that wait. A lossy reader has nothing to tell.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if let Some((place, window)) = self.required {
            // SAFETY: places are freed with the log, which is held here.
            unsafe { place.as_ref() }.set(self.position + window);
        }
    }

    /// The same, as if only what lies before `position` were read: for a reader that still needs what
    /// it was lent since, in other hands. Not below what was told before.
    #[inline]
    pub(crate) fn publish_to(&mut self, position: u64) {
        debug_assert!(position <= self.position, "what was not read is not told");
        if let Some((place, window)) = self.required {
            // SAFETY: places are freed with the log, which is held here.
            unsafe { place.as_ref() }.set(position + window);
        }
    }

    /// The same, as if `ahead` messages more were read: for a reader that has them in hand, and
    /// counts them among those that wait no more. They stay on the ring all the same: never is it
    /// overrun for that. It does nothing once somebody has let go for the reader.
    #[inline]
    pub(crate) fn publish_ahead(&mut self, ahead: u64) {
        if let Some((place, window)) = self.required {
            let most = self.position + self.log.capacity() as u64;
            // SAFETY: places are freed with the log, which is held here.
            unsafe { place.as_ref() }.set_if_held((self.position + ahead + window).min(most));
        }
    }

    /// Jumps forward to `position` and says what was left out, both ends inclusive. None when that
    /// is not forward.
    pub(crate) fn skip_to(&mut self, position: u64) -> Option<(u64, u64)> {
        let from = self.position;
        if position <= from {
            return None;
        }
        if position >> self.log.shift != from >> self.log.shift {
            self.release();
        }
        self.position = position;
        Some((from, position - 1))
    }

    /// Holds no block from here on: for a reader that goes idle. The next `next` enters again, and
    /// finds a gap if the ring has come round.
    pub(crate) fn release(&mut self) {
        if let Some(block) = self.block.take() {
            // SAFETY: blocks are freed with the log, which is held here.
            self.log.leave(unsafe { block.as_ref() });
        }
    }

    /// Whether `next` would return anything but `Empty`: what an idle reader looks at before it
    /// parks. It enters no block.
    pub(crate) fn is_ready(&self) -> bool {
        if self.position < self.log.start() {
            return true;
        }
        let here = match self.log.directory.look(self.position >> self.log.shift) {
            Look::Gone => true,
            Look::Ahead(_) => false,
            Look::Here(entry) => entry.index().is_some_and(|index| {
                // Not counted, so the block may be another's by now: but then so is the stamp, or
                // the directory has moved on and the next look says so.
                let block = self.log.pool.arena().get(index);
                block.slot(self.position).is_committed(self.position)
            }),
        };
        here || self.at_the_end()
    }

    /// Whether the position was claimed, or the ring closed: the look before the reader sleeps.
    pub(crate) fn is_coming(&self) -> bool {
        // ORDER(claim): SeqCst; pairs with ORDER(claim) in `Pen::claim`. In one order with the
        // reader's doorbell: a claim that is not seen here sees the reader asleep.
        let tail = self.log.tail.load(Ordering::SeqCst);
        tail & !DISABLED > self.position
    }

    /// The message `by` places on, if it is committed and in the block where the reader is.
    #[inline]
    pub(crate) fn ahead(&self, by: u64) -> Option<&T> {
        let position = self.position + by;
        if position >> self.log.shift != self.position >> self.log.shift {
            return None;
        }
        // SAFETY: blocks are freed with the log, which is held here.
        let block = unsafe { self.block?.as_ref() };
        let slot = block.slot(position);
        // SAFETY: committed, and the reader counts in the block, which it cannot leave while the
        // message is lent.
        slot.is_committed(position).then(|| unsafe { slot.get() })
    }

    /// The message at the position, if the reader is in its block and it is committed.
    ///
    /// # Safety
    ///
    /// * The caller keeps the reader in the block for as long as the message is lent.
    #[inline]
    unsafe fn committed<'a>(&self) -> Option<&'a T> {
        // SAFETY: blocks are freed with the log, which is held here.
        let block = unsafe { self.block?.as_ref() };
        let slot = block.slot(self.position);
        // SAFETY: committed, and the reader counts in the block, by the caller for long enough.
        slot.is_committed(self.position).then(|| unsafe { slot.get() })
    }

    /// Whether it holds publishers back now.
    fn limits(&self) -> bool {
        // SAFETY: places are freed with the log, which is held here.
        self.required.is_some_and(|(place, _)| !unsafe { place.as_ref() }.is_lifted())
    }

    fn at_the_end(&self) -> bool {
        if !self.log.is_closing() {
            return false;
        }
        // ORDER(close): Acquire; pairs with ORDER(close) in `Log::close`. Carries what the closer
        // did before.
        let tail = self.log.tail.load(Ordering::Acquire);
        tail & CLOSED != 0 && self.position >= tail & !(CLOSED | DISABLED)
    }

    /// At a block's begin, at an uncommitted place, or overrun.
    #[cold]
    fn look_around(&mut self) -> Next<'_, T> {
        let number = self.position >> self.log.shift;
        let gone = if self.position < self.log.start() {
            true
        } else if self.block.is_some() {
            // Waiting in a block that was evicted would be for ever, if its publisher never got
            // there.
            !matches!(self.log.directory.look(number), Look::Here(_))
        } else {
            match self.log.enter(number) {
                Entered::Gone => true,
                Entered::Ahead => false,
                Entered::Block(block) => {
                    self.block = Some(NonNull::from(block));
                    false
                }
            }
        };
        if gone {
            return self.overrun();
        }
        // SAFETY: `Next` borrows the reader, so it cannot leave the block while the item is lent.
        if let Some(item) = unsafe { self.committed() } {
            return Next::Item(self.position, item);
        }
        if self.at_the_end() { Next::Closed } else { Next::Empty }
    }

    fn overrun(&mut self) -> Next<'_, T> {
        debug_assert!(!self.limits(), "a required reader is never overrun");
        let target = self.log.oldest_unread();
        let (from, to) = self.skip_to(target).expect("what overran the reader was claimed");
        self.release();
        Next::Gap { from, to }
    }
}

impl<T: Send + Sync + 'static> Drop for Reader<T> {
    fn drop(&mut self) {
        self.release();
        if let Some((place, _)) = self.required {
            // SAFETY: places are freed with the log, which is held here.
            let place = unsafe { place.as_ref() };
            self.log.cursors.leave(place);
        }
    }
}
