//! Atomics, cells, threads and counted pointers: the standard ones, or loom's under
//! `--cfg ringpost_loom`.
//!
//! This is the only file that knows which of the two is in use. Everything concurrent in the
//! crate takes these types from here, so that a model sees every access the real code makes.
#![forbid(unsafe_code)]

pub(crate) use crossbeam::utils::CachePadded;

#[cfg(not(ringpost_loom))]
pub(crate) use real::*;

#[cfg(ringpost_loom)]
pub(crate) use model::*;

/// A number that nobody else in this process gets: tells one object from another after the
/// address of the first was given to the second.
pub(crate) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    // Not modelled: nobody acts on how two such numbers compare, only on whether they are equal.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // ORDER: Relaxed; only the atomicity of the addition matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(not(ringpost_loom))]
#[expect(clippy::disallowed_types, reason = "this is the cell that all others are made of")]
mod real {
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::{hint, thread, thread_local};

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{
            AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }

    /// Stands behind a claim, a SeqCst RMW that later SeqCst loads come after: nothing is needed.
    #[inline(always)]
    pub(crate) fn claim_fence() {}

    /// Parks this thread, at most until `deadline`; `false` if that has passed already.
    pub(crate) fn park_until(deadline: Option<std::time::Instant>) -> bool {
        let Some(deadline) = deadline else {
            thread::park();
            return true;
        };
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(left);
        true
    }

    /// The next number in a row, to spread threads over places that they would else share.
    pub(crate) fn spread() -> usize {
        static NEXT: atomic::AtomicUsize = atomic::AtomicUsize::new(0);
        // ORDER: Relaxed; only a hint where to look first.
        NEXT.fetch_add(1, atomic::Ordering::Relaxed)
    }

    /// `std::cell::UnsafeCell` with loom's interface: the pointer is lent to a closure, so that
    /// a model can check every access.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(ringpost_loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use loom::{hint, thread, thread_local};

    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{
            AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }

    /// Models take SeqCst accesses for weaker ones: what these are to give stands here.
    pub(crate) fn claim_fence() {
        // ORDER(bell): SeqCst fence; stands for the claim's place in the one order.
        atomic::fence(atomic::Ordering::SeqCst);
    }

    /// Models have no clock: deadlines never come.
    pub(crate) fn park_until(_deadline: Option<std::time::Instant>) -> bool {
        thread::park();
        true
    }

    /// In a model every thread looks at the same place first, so that they do meet.
    pub(crate) fn spread() -> usize {
        0
    }
}
