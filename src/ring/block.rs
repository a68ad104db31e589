//! A run of slots that is written once a lap and goes back to the pool as a whole.
//!
//! Called by `log`, `writer` and `reader`. A block never decides when it is emptied: it only says,
//! to exactly one caller, that nobody is left inside.
#![allow(unsafe_code)]

use super::faults::{Fault, planted};
use super::prefetch;
use super::slot::Slot;
use crate::caught::caught;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many places ahead of the one that was just written the next lines are asked for.
pub(super) const AHEAD: usize = 8;
/// Out of the directory: nobody may enter any more. The rest of the word counts who still is
/// inside.
const RETIRED: u64 = 1 << 62;
/// Owned by one thread, or by the pool or the limbo. Passing visitors may still be counted.
const POOLED: u64 = 1 << 63;

/// `S` slots for the positions `number * S ..`, with the count of those who use them.
///
/// Blocks are type-stable: never freed before the ring, so a thread may look at the atomics of a
/// block that it lost long ago.
#[derive(Debug)]
pub(super) struct Block<T> {
    /// Count, `RETIRED` and `POOLED` in one word, so that "retired, and nobody inside" is one
    /// event that one thread wins. While the block is in the directory, that is counted as one.
    word: CachePadded<AtomicU64>,
    /// Which block of the sequence this is. Written by its owner before it enters the directory.
    number: AtomicU64,
    /// The next one in the pool or limbo, plus one; 0 at the end. Written by who pushes it there.
    next: AtomicU32,
    index: u32,
    slots: Box<[Slot<T>]>,
}

impl<T> Block<T> {
    /// A block for the arena's place `index`, owned by the caller.
    pub(super) fn new(index: u32, slots: usize) -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(POOLED)),
            number: AtomicU64::new(0),
            next: AtomicU32::new(0),
            index,
            slots: (0..slots).map(|_| Slot::new()).collect(),
        }
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn number(&self) -> u64 {
        // ORDER: Relaxed; read by the block's owner, which came to it through `word`.
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn next(&self) -> &AtomicU32 {
        &self.next
    }

    /// The slot of `position`, whichever lap it belongs to.
    #[inline]
    pub(super) fn slot(&self, position: u64) -> &Slot<T> {
        // A power of two of slots: the mask also shows the compiler that the index is in range.
        &self.slots[position as usize & (self.slots.len() - 1)]
    }

    /// The slots from that of `position` to the end of the block.
    #[inline]
    pub(super) fn slots_from(&self, position: u64) -> &[Slot<T>] {
        &self.slots[position as usize & (self.slots.len() - 1)..]
    }

    /// Asks for the slot some places behind `position`, if it is in this block: a publisher will
    /// write it soon.
    #[inline(always)]
    pub(super) fn prefetch_behind(&self, position: u64) {
        if let Some(slot) = self.slots.get((position as usize & (self.slots.len() - 1)) + AHEAD) {
            prefetch::for_writing(slot);
        }
    }

    /// Asks for the first slots, which [`prefetch_behind`](Self::prefetch_behind) does not get to.
    pub(super) fn prefetch_first(&self) {
        self.slots.iter().take(AHEAD).for_each(|slot| prefetch::for_writing(slot));
    }

    /// Its owner makes it block `number`, about to be put in the directory.
    pub(super) fn install(&self, number: u64) {
        // ORDER: Relaxed; published with the word and the directory entry.
        self.number.store(number, Ordering::Relaxed);
        // ORDER(word): AcqRel; pairs with ORDER(word) in every other RMW on the word. Carries the
        // emptied slots. An addition, because visitors may be counted at any time.
        self.word.fetch_sub(POOLED - 1, Ordering::AcqRel);
    }

    /// The directory took another block instead: the owner keeps this one.
    pub(super) fn uninstall(&self) {
        // ORDER(word): AcqRel; pairs with ORDER(word) in every other RMW on the word. Carries
        // nothing: no one got in but passing visitors.
        self.word.fetch_add(POOLED - 1, Ordering::AcqRel);
    }

    /// A reader comes in. It must look at the directory again: only if the block is still there
    /// is the reader inside, else it has to leave at once.
    pub(super) fn enter(&self) {
        // ORDER(word): AcqRel; pairs with ORDER(word) in `retire`. Carries the changed directory
        // entry, if the block was retired first.
        self.word.fetch_add(1, Ordering::AcqRel);
    }

    /// Leaves. True for the one caller that has to hand the block to the limbo.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        // ORDER(word): AcqRel; pairs with ORDER(word) in `recycle`. Carries the end of the
        // reader's borrows.
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        before - 1 == RETIRED && self.recycle()
    }

    /// The directory lets go of the block. True as for [`Block::leave`].
    #[must_use]
    pub(super) fn retire(&self) -> bool {
        // ORDER(word): AcqRel; pairs with ORDER(word) in `enter` and `recycle`. Carries the
        // changed directory entry.
        let before = self.word.fetch_add(RETIRED - 1, Ordering::AcqRel);
        before == 1 && self.recycle()
    }

    /// Several threads may have seen the count at zero, because a visitor can come and go after
    /// the last reader: one of them wins.
    fn recycle(&self) -> bool {
        if planted(Fault::RecycleWithoutCas) {
            // ORDER: Release; in a model that must fail.
            let before = self.word.swap(POOLED, Ordering::Release);
            assert!(before != POOLED, "a block is recycled twice");
            return true;
        }
        // ORDER(word): AcqRel; pairs with ORDER(word) in `leave` and `retire`. Carries the end of
        // every borrow, and the evictor's claim.
        self.word.compare_exchange(RETIRED, POOLED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Drops all values inside, a panic of one not keeping the others.
    ///
    /// # Safety
    ///
    /// * The caller owns the block and no writer's cell names it.
    pub(super) unsafe fn empty(&self) {
        if !std::mem::needs_drop::<T>() {
            // Old stamps do no harm then: a position is committed once.
            return;
        }
        for slot in &self.slots {
            // SAFETY: the caller owns the block, so no writer and no reader is in the slot.
            if let Some(value) = unsafe { slot.take() } {
                drop_quietly(value);
            }
        }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody else is left.
        unsafe { self.empty() };
    }
}

/// Drops a message; a panic ends here, because the publisher on whose thread it happens has
/// nothing to do with it.
pub(super) fn drop_quietly<T>(value: T) {
    caught(|| drop(value));
}
