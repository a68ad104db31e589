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

#[cfg(not(ringpost_loom))]
mod real {
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::{hint, thread, thread_local};

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{
            AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
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
            AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }

    /// In a model every thread looks at the same place first, so that they do meet.
    pub(crate) fn spread() -> usize {
        0
    }
}
