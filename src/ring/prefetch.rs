//! Asking for memory before it is needed.
//!
//! For who walks over messages that other cores have made: each is a pointer away, and the texts
//! it points to are one more.
#![allow(unsafe_code)]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

const LINE: usize = 64;
/// Lines behind these are asked for by the processor itself, which sees them come in a row.
const MOST: usize = 16;

/// Asks the processor to bring the first kilobyte of `value` near. Does not wait for it.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<i8>();
    for line in 0..size_of_val(value).div_ceil(LINE).min(MOST) {
        // SAFETY: a prefetch reads nothing and may be given any address; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE)) };
    }
}
