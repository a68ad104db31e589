//! The slots of a queue: a stamp beside each value, in chunks that are made on first use or
//! just before.
//!
//! Called by the queue alone. Knows nothing of who may claim or take: that is the caller's
//! promise, written down at each unsafe function. It must never move a chunk or free one
//! before the queue itself goes, because claimers and takers hold references into it.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;

use super::super::prefetch;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Set in the stamp of a place that was given back without a value.
const SKIPPED: u64 = 1 << 63;

/// Slots in a chunk: an idle mailbox pays eight bytes for 32 slots, the first message 32 slots, and
/// so does the 16th, whose receiver makes the next ones.
pub(super) const CHUNK: usize = 32;

/// What a taker finds in the slot of a position.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not committed for this lap (or already overwritten by a later one).
    Pending,
    /// A value is there.
    Filled,
    /// The place was given back.
    Skipped,
}

/// One place: the stamp of position `p` is `p + 1` once it is committed.
///
/// A stamp is written by whoever claimed the position and read by takers. The first stamp of
/// all, 0, is no position's, so a new chunk needs no numbering.
pub(super) struct Slot<T> {
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { stamp: AtomicU64::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Puts the value that `make` gives here and commits `position`. Made in place: a value that
    /// is passed by move lies in memory in between, and reading back what was just written in
    /// smaller pieces stalls a core for longer than all the rest takes.
    ///
    /// # Safety
    ///
    /// * The caller claimed `position`, which maps to this slot, and has not committed it.
    /// * Whoever took the position one lap earlier has finished, and the caller knows it through
    ///   an acquiring load of `head`.
    #[inline]
    pub(super) unsafe fn fill(&self, position: u64, make: impl FnOnce() -> T) {
        self.value.with_mut(|place| {
            // SAFETY: by the contract nobody else touches the value between the claim and the
            // commit below, so the reference is unique for this one call.
            let place = unsafe { &mut *place };
            place.write(make());
        });
        // ORDER(commit): Release; pairs with ORDER(commit) in `state`. Carries the value.
        self.stamp.store(position + 1, Ordering::Release);
    }

    /// Moves the value at `source` here and commits `position`: for batches, where a value that
    /// is passed by move would be copied twice.
    ///
    /// # Safety
    ///
    /// * As for `fill`.
    /// * `source` points to a value that nobody uses or drops afterwards.
    #[inline]
    pub(super) unsafe fn fill_from(&self, position: u64, source: *const T) {
        self.value.with_mut(|place| {
            // SAFETY: the source is readable and the place is the caller's alone, both by the
            // contract; a slot and a list do not overlap.
            unsafe { place.cast::<T>().copy_from_nonoverlapping(source, 1) };
        });
        // ORDER(commit): Release; pairs with ORDER(commit) in `state`. Carries the value.
        self.stamp.store(position + 1, Ordering::Release);
    }

    /// Commits `position` without a value.
    #[inline]
    pub(super) fn skip(&self, position: u64) {
        // ORDER(commit): Release; pairs with ORDER(commit) in `state`. Carries nothing but
        // itself; the same strength as a value's commit so that there is one rule.
        self.stamp.store((position + 1) | SKIPPED, Ordering::Release);
    }

    /// Whether `position` is committed here.
    #[inline]
    pub(super) fn state(&self, position: u64) -> State {
        // ORDER(commit): Acquire; pairs with ORDER(commit) in `fill` and `skip`. Carries the
        // value.
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp == position + 1 {
            State::Filled
        } else if stamp == (position + 1) | SKIPPED {
            State::Skipped
        } else {
            State::Pending
        }
    }

    /// Moves the value out.
    ///
    /// # Safety
    ///
    /// * `state` returned `Filled` for the position the caller takes, to this thread.
    /// * The caller alone may take that position, takes it once, and frees it (by `head`) only
    ///   after this call.
    #[inline]
    pub(super) unsafe fn take(&self) -> T {
        self.value.with(|place| {
            // SAFETY: `Filled` acquired the commit, so the value is initialised and visible; no
            // claimer writes here before `head` passed the position.
            unsafe { place.cast::<T>().read() }
        })
    }
}

/// A power of two of slots behind a directory of lazily made chunks.
pub(super) struct Slots<T> {
    /// Written once each, from null, by whoever needs the chunk first, or by the consumer ahead.
    chunks: Box<[AtomicPtr<Slot<T>>]>,
    mask: u64,
    /// Bits of a slot's index that count within its chunk.
    shift: u32,
    /// An atomic pointer crosses threads whatever it points at; this takes that back.
    owns: PhantomData<*mut Slot<T>>,
}

// SAFETY: moving the slots moves the values in them, which `T: Send` allows; the pointers are
// owned.
unsafe impl<T: Send> Send for Slots<T> {}
// SAFETY: through a shared reference values are only moved in and out, each by the one thread
// that claimed or took its position (the contracts of `fill` and `take`): `T: Send` suffices,
// no `&T` is ever lent.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// # Panics
    ///
    /// If one of the numbers is not a power of two, or a chunk is larger than the whole.
    pub(super) fn new(slots: usize, chunk: usize) -> Self {
        assert!(slots.is_power_of_two() && chunk.is_power_of_two() && chunk <= slots);
        let chunks = (0..slots / chunk).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Self { chunks, mask: slots as u64 - 1, shift: chunk.trailing_zeros(), owns: PhantomData }
    }

    #[inline]
    fn split(&self, position: u64) -> (usize, usize) {
        let index = (position & self.mask) as usize;
        (index >> self.shift, index & ((1 << self.shift) - 1))
    }

    /// The slot of `position`, if its chunk was ever made: for takers.
    #[inline]
    pub(super) fn made(&self, position: u64) -> Option<&Slot<T>> {
        // SAFETY: it is in a chunk, which is never freed before `self`, and slots are only shared.
        self.place(position).map(|slot| unsafe { &*slot })
    }

    /// Where the slot of `position` is, in a chunk that was made.
    #[inline]
    fn place(&self, position: u64) -> Option<*const Slot<T>> {
        let (chunk, within) = self.split(position);
        // ORDER(chunk): Acquire; pairs with ORDER(chunk) in `make`. Carries the chunk's stamps.
        let first = self.chunks[chunk].load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: a chunk is an allocation of `1 << shift` slots, and `within` is below that.
        Some(unsafe { first.add(within) })
    }

    /// The slots from that of `position` to the end of its chunk, at least one, if it was ever made.
    #[inline]
    pub(super) fn made_from(&self, position: u64) -> Option<&[Slot<T>]> {
        let slot = self.place(position)?;
        let (_, within) = self.split(position);
        // SAFETY: a chunk is an allocation of `1 << shift` slots, of which so many follow; it is never
        // freed before `self`, and slots are only shared.
        Some(unsafe { slice::from_raw_parts(slot, (1 << self.shift) - within) })
    }

    /// Asks for the slot of `position`, which its claimer will fill soon.
    #[inline(always)]
    pub(super) fn prefetch(&self, position: u64) {
        if let Some(slot) = self.made(position) {
            prefetch::for_writing(slot);
        }
    }

    /// The slot of `position`, whose chunk is made if need be: for claimers.
    #[inline]
    pub(super) fn at(&self, position: u64) -> &Slot<T> {
        match self.made(position) {
            Some(slot) => slot,
            None => self.make(position),
        }
    }

    /// The slots from that of `position` to the end of its chunk, which is made if need be.
    #[inline]
    pub(super) fn at_from(&self, position: u64) -> &[Slot<T>] {
        self.at(position);
        self.made_from(position).expect("a chunk stays once it is made")
    }

    /// Makes the chunk behind that of `position`, if `position` lies in the second half of its own.
    pub(super) fn make_ahead(&self, position: u64) {
        let (_, within) = self.split(position);
        if self.chunks.len() > 1 && within >= (1 << self.shift) / 2 {
            self.at(position + (1 << self.shift));
        }
    }

    #[cold]
    #[inline(never)]
    fn make(&self, position: u64) -> &Slot<T> {
        let (chunk, _) = self.split(position);
        let fresh: Box<[Slot<T>]> = (0..1usize << self.shift).map(|_| Slot::new()).collect();
        let fresh = Box::into_raw(fresh);
        let won = self.chunks[chunk].compare_exchange(
            ptr::null_mut(),
            fresh.cast::<Slot<T>>(),
            // ORDER(chunk): Release; pairs with ORDER(chunk) in `made`. Carries the new stamps.
            Ordering::Release,
            // ORDER: Relaxed; the loser looks again with `made` below.
            Ordering::Relaxed,
        );
        if won.is_err() {
            // SAFETY: `fresh` came from `Box::into_raw` above and was shown to nobody.
            drop(unsafe { Box::from_raw(fresh) });
        }
        self.made(position).expect("a chunk stays once it is made")
    }

    /// Bytes of memory held now, for statistics and tests.
    #[cfg(all(test, not(ringpost_loom)))]
    pub(super) fn bytes(&self) -> usize {
        // ORDER: Relaxed; only counted.
        let made = self.chunks.iter().filter(|c| !c.load(Ordering::Relaxed).is_null()).count();
        size_of_val(&*self.chunks) + (made << self.shift) * size_of::<Slot<T>>()
    }
}

impl<T> Drop for Slots<T> {
    /// Frees the chunks; the queue has dropped the values before.
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            // ORDER: Relaxed; `&mut self` means that everybody else is gone and synchronised.
            let first = chunk.load(Ordering::Relaxed);
            if !first.is_null() {
                let whole = ptr::slice_from_raw_parts_mut(first, 1 << self.shift);
                // SAFETY: made by `Box::into_raw` of a boxed slice of this very length, and
                // freed only here.
                drop(unsafe { Box::from_raw(whole) });
            }
        }
    }
}
