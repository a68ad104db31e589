//! Asking for memory before it is needed. Only a hint: it may name any address, and never changes
//! what a program does.
//!
//! For reading: for who walks over messages that other cores have made; each is a pointer away, and
//! the texts it points to are one more.
//!
//! For writing: for whoever has just filled a slot, and will fill one some places later. A receiver
//! has read that one a lap ago, so its line lies in another core's cache, and a store to it waits
//! until it has come: 30 ns on one machine, 200 ns on another. The store alone would wait in the store
//! buffer, but the next claim is a locked instruction, and that waits for all stores before it. Asked
//! for early, the lines of several slots are under way at once.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

const LINE: usize = 64;
/// Lines behind these are asked for by the processor itself, which sees them come in a row.
const MOST_READ: usize = 16;
/// Of a slot larger than this the store buffer takes the rest.
const MOST_WRITTEN: usize = 4;

/// Asks the processor to bring the first kilobyte of `value` near. Does not wait for it.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<i8>();
    for line in 0..size_of_val(value).div_ceil(LINE).min(MOST_READ) {
        // SAFETY: a prefetch reads nothing and may be given any address; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE)) };
    }
}

/// Asks for the first lines of `place`, to write them.
#[inline(always)]
pub(super) fn for_writing<T>(place: *const T) {
    for line in 0..size_of::<T>().div_ceil(LINE).min(MOST_WRITTEN) {
        let at = place.cast::<u8>().wrapping_add(line * LINE);
        // SAFETY: a prefetch reads and writes nothing and cannot fault, whatever the address; a
        // processor without this one takes it as no operation.
        unsafe { asm!("prefetchw [{}]", in(reg) at, options(readonly, nostack, preserves_flags)) };
    }
}
