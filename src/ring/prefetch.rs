//! Asking for a line that will soon be written.
//!
//! Called by whoever has just filled a slot, for one that comes some slots later. A receiver has
//! read that slot a lap ago, so its line lies in another core's cache, and a store to it waits
//! until it has come: 30 ns on one machine, 200 ns on another. A store alone would wait in the store buffer,
//! but the next claim is a locked instruction, and that waits for all stores before it. Asked for
//! early, the lines of several slots are under way at once.
//!
//! Only a hint: it may name any address, and never changes what a program does.
#![allow(unsafe_code)]

pub(super) use imp::for_writing;

#[cfg(all(target_arch = "x86_64", not(miri), not(ringpost_loom)))]
mod imp {
    /// Bytes of a line.
    const LINE: usize = 64;
    /// Lines of one place at most: of a larger one the store buffer takes the rest.
    const MOST: usize = 4;

    /// Asks for the first lines of `place`.
    #[inline(always)]
    pub(in crate::ring) fn for_writing<T>(place: *const T) {
        for line in 0..size_of::<T>().div_ceil(LINE).min(MOST) {
            let at = place.cast::<u8>().wrapping_add(line * LINE);
            // SAFETY: a prefetch reads and writes nothing and cannot fault, whatever the address;
            // a processor without this one takes it as no operation.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) at, options(readonly, nostack, preserves_flags));
            }
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri), not(ringpost_loom))))]
mod imp {
    /// Nothing is asked for here.
    #[inline(always)]
    pub(in crate::ring) fn for_writing<T>(_place: *const T) {}
}
