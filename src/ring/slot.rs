//! One place of a ring: a stamp and room for a message.
//!
//! Called by `block`, `writer` and `reader`. A slot decides nothing: who may write, read or empty
//! it is settled by the claim and by the count of its block before anyone comes here.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The stamp of a slot that holds no value.
const EMPTY: u64 = 0;

/// A message and the position it was committed for, side by side so that a reader pays one cache
/// miss for both.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// `position + 1` of the value inside, or `EMPTY`. Written by the position's one claimer and,
    /// when nobody can reach the block, by whoever empties it. Read by every reader.
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self { stamp: AtomicU64::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Whether the message of `position` is here to be read.
    #[inline]
    pub(super) fn is_committed(&self, position: u64) -> bool {
        // ORDER(commit): Acquire; pairs with ORDER(commit) in `Slot::write`. Carries the message.
        self.stamp.load(Ordering::Acquire) == position + 1
    }

    /// Puts the message of `position` in, made in place, and lets readers see it.
    ///
    /// # Safety
    ///
    /// * The caller claimed `position`, has not committed it yet, and this is its slot in the block
    ///   of its number.
    /// * The caller's cell names that block (or the one before it), so that nobody empties it now.
    #[inline]
    pub(super) unsafe fn write(&self, position: u64, make: impl FnOnce() -> T) {
        self.value.with_mut(|place| {
            // SAFETY: the position has one claimer, readers wait for the stamp below, and the
            // block is not emptied while the cell names it.
            unsafe { place.write(MaybeUninit::new(make())) }
        });
        // ORDER(commit): Release; pairs with ORDER(commit) in `Slot::is_committed`. Carries the
        // message.
        self.stamp.store(position + 1, Ordering::Release);
    }

    /// Lends the message.
    ///
    /// # Safety
    ///
    /// * `is_committed` said yes to the caller.
    /// * The caller counts in the block for as long as it keeps the reference.
    #[inline]
    pub(super) unsafe fn get<'a>(&self) -> &'a T {
        self.value.with(|place| {
            // SAFETY: nobody writes again before the block was emptied, and that waits for the
            // caller's count.
            let value = unsafe { &*place };
            // SAFETY: committed, so initialised.
            unsafe { value.assume_init_ref() }
        })
    }

    /// Takes the message out, if there is one, and leaves the slot empty.
    ///
    /// # Safety
    ///
    /// * No writer may still come to this slot and no reader holds it: the caller owns the block.
    pub(super) unsafe fn take(&self) -> Option<T> {
        // ORDER: Relaxed; the owner of a block has synchronised with all its writers through their
        // cells, and with all its readers through the block's word.
        if self.stamp.load(Ordering::Relaxed) == EMPTY {
            return None;
        }
        // Cleared first: whatever happens to the value from here on, nobody drops it again.
        // ORDER: Relaxed; the next to look is the next owner, see above.
        self.stamp.store(EMPTY, Ordering::Relaxed);
        let value = self.value.with_mut(|place| {
            // SAFETY: the stamp said that a value is inside; it is read once, because the stamp
            // was cleared.
            unsafe { place.read() }
        });
        // SAFETY: as above, initialised by the committed write.
        Some(unsafe { value.assume_init() })
    }
}
