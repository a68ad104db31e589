//! A counted pointer that makes copies for many targets with one addition.
//!
//! Called by users for messages too large to copy, and by `event` for every event. It never hands
//! out `&mut` while a second pointer exists.
//!
//! The counting is that of `std::sync::Arc` without weak pointers: an increment needs no ordering,
//! because who has a pointer may have another; the last decrement must see all uses before it.
#![allow(unsafe_code)]

use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::sync::atomic::{AtomicUsize, Ordering, fence};

/// More pointers than this are a leak in a loop; the rest of the range is the distance to the
/// overflow that all threads together must not be able to cover before one of them aborts.
const MOST: usize = isize::MAX as usize;

/// A pointer to a shared, immutable `T`, counted like [`std::sync::Arc`], that can be copied for
/// `n` targets with one atomic addition: [`Shared::shares`].
///
/// The value is dropped with its last pointer. There are no weak pointers. A count beyond
/// `isize::MAX` aborts the program.
///
/// # Examples
///
/// ```
/// use ringpost::Shared;
///
/// let event = Shared::new(String::from("started"));
/// let copies: Vec<_> = event.shares(3).collect();
/// assert_eq!(Shared::count(&event), 4);
/// assert_eq!(*copies[0], *event);
/// ```
///
/// It is `Send` and `Sync` only where the value is both, because every holder may use it at the
/// same time as the others, and any of them may be the one that drops it:
///
/// ```
/// fn send<T: Send + Sync>(_: T) {}
/// send(ringpost::Shared::new(std::sync::atomic::AtomicU8::new(0)));
/// ```
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(ringpost::Shared::new(std::cell::Cell::new(0)));
/// ```
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>(_: T) {}
/// let mutex = std::sync::Mutex::new(0);
/// sync(ringpost::Shared::new(mutex.lock().unwrap()));
/// ```
pub struct Shared<T> {
    inner: NonNull<Inner<T>>,
    /// It may be the one that drops the value.
    owns: PhantomData<Inner<T>>,
}

// The count is looked at whenever the value's beginning is.
#[repr(C)]
struct Inner<T> {
    /// How many `Shared` there are, and places in `Shares`. Written by all holders.
    count: AtomicUsize,
    value: T,
}

// SAFETY: a `Shared` on another thread lends `&T` there (`Sync`) and may drop `T` there (`Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: `&Shared` can be cloned, so it gives as much as `Shared`.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves `value` to the heap, with a count of one.
    pub fn new(value: T) -> Self {
        let inner = Box::new(Inner { count: AtomicUsize::new(1), value });
        Self::from_counted(NonNull::from(Box::leak(inner)))
    }

    /// A pointer for which the count has one already.
    fn from_counted(inner: NonNull<Inner<T>>) -> Self {
        Self { inner, owns: PhantomData }
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: alive while counted, and this pointer is.
        unsafe { self.inner.as_ref() }
    }

    /// `n` further pointers, counted at once by a single addition. What the iterator still has
    /// when it is dropped is given back, by a single subtraction.
    #[must_use = "the copies are given back at once"]
    pub fn shares(&self, n: usize) -> Shares<T> {
        if n > 0 {
            // ORDER: Relaxed; who has a pointer may have another. Nothing is carried by it.
            let before = self.inner().count.fetch_add(n, Ordering::Relaxed);
            if n > MOST || before > MOST - n {
                std::process::abort();
            }
        }
        Shares { inner: self.inner, left: n, owns: PhantomData }
    }

    /// How many pointers to the value there are, those in [`Shares`] included. By the time it is
    /// looked at it may have changed, unless it is 1 and `this` is borrowed mutably.
    #[must_use]
    pub fn count(this: &Self) -> usize {
        // ORDER: Relaxed; a number to look at.
        this.inner().count.load(Ordering::Relaxed)
    }

    /// Whether both point to the same value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.inner == other.inner
    }

    /// The value, to be changed, if no other pointer to it exists.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        // ORDER(share): Acquire; pairs with ORDER(share) in `release`. Carries the end of all uses
        // through the other pointers.
        if this.inner().count.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: the only pointer is borrowed mutably, and without a pointer there is no way to
        // get another.
        Some(unsafe { &mut this.inner.as_mut().value })
    }

    /// The value, to be changed; a clone of its own is made first if others point to it.
    pub fn make_mut(this: &mut Self) -> &mut T
    where
        T: Clone,
    {
        if Self::get_mut(this).is_none() {
            *this = Self::new(T::clone(this));
        }
        // SAFETY: unique: either it was, or it is new. (No other thread can make a second pointer
        // without having one.)
        unsafe { &mut this.inner.as_mut().value }
    }

    /// Gives up `n` counts, and drops the value with the last.
    ///
    /// # Safety
    ///
    /// * The caller has `n` of the counts, at least one, and uses none of them afterwards.
    unsafe fn release(inner: NonNull<Inner<T>>, n: usize) {
        // SAFETY: alive while counted, and the caller has a count until the next line.
        let count = unsafe { &inner.as_ref().count };
        // Who finds no other holder needs no read-modify-write, which would wait for a line that
        // has gone cold: there is nobody who could make one.
        // ORDER(share): Acquire; pairs with ORDER(share) below, of all other holders. Carries the
        // end of their uses.
        let alone = count.load(Ordering::Acquire) == n;
        // ORDER(share): Release; pairs with ORDER(share) above, below and in `get_mut`. Carries the
        // end of this holder's uses.
        if alone || count.fetch_sub(n, Ordering::Release) == n {
            // ORDER(share): Acquire; pairs with ORDER(share) above, of all other holders. Carries
            // the end of their uses.
            fence(Ordering::Acquire);
            // SAFETY: out of a box in `new`, and the last count is gone.
            drop(unsafe { Box::from_raw(inner.as_ptr()) });
        }
    }
}

impl<T> Clone for Shared<T> {
    /// One more pointer to the same value.
    #[inline]
    fn clone(&self) -> Self {
        // ORDER: Relaxed; who has a pointer may have another. Nothing is carried by it.
        if self.inner().count.fetch_add(1, Ordering::Relaxed) > MOST {
            std::process::abort();
        }
        Self::from_counted(self.inner)
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this pointer's own count, given up once.
        unsafe { Self::release(self.inner, 1) }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> AsRef<T> for Shared<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: fmt::Display> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        T::hash(self, state);
    }
}

/// Pointers that were counted together: see [`Shared::shares`].
pub struct Shares<T> {
    inner: NonNull<Inner<T>>,
    /// Counts that are this iterator's own. With none left, the value may be gone.
    left: usize,
    owns: PhantomData<Inner<T>>,
}

// SAFETY: as for `Shared`, of which this is a heap.
unsafe impl<T: Send + Sync> Send for Shares<T> {}
// SAFETY: a shared borrow gives out a number only; the bounds are those of `Shared` all the same.
unsafe impl<T: Send + Sync> Sync for Shares<T> {}

impl<T> Iterator for Shares<T> {
    type Item = Shared<T>;

    #[inline]
    fn next(&mut self) -> Option<Shared<T>> {
        self.left = self.left.checked_sub(1)?;
        Some(Shared::from_counted(self.inner))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Shares<T> {}
impl<T> FusedIterator for Shares<T> {}

impl<T> Drop for Shares<T> {
    fn drop(&mut self) {
        if self.left > 0 {
            // SAFETY: these counts were not given out, and are given up once.
            unsafe { Shared::release(self.inner, self.left) }
        }
    }
}

impl<T> fmt::Debug for Shares<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("left", &self.left).finish()
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_value_dies_with_its_last_pointer() {
        let probe = Arc::new(());
        let first = Shared::new(Arc::clone(&probe));
        let second = first.clone();
        drop(first);
        assert_eq!(Arc::strong_count(&probe), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&probe), 1);
    }

    #[test]
    fn shares_that_were_not_used_are_given_back() {
        let probe = Arc::new(());
        let shared = Shared::new(Arc::clone(&probe));
        let mut shares = shared.shares(5);
        assert_eq!((shares.len(), Shared::count(&shared)), (5, 6));
        let one = shares.next().unwrap();
        drop(shares);
        assert_eq!(Shared::count(&shared), 2);
        let rest = shared.shares(2);
        drop((shared, one));
        assert_eq!(Arc::strong_count(&probe), 2, "the iterator keeps the value");
        drop(rest);
        assert_eq!(Arc::strong_count(&probe), 1);
    }

    #[test]
    fn an_iterator_of_none_touches_nothing() {
        let shared = Shared::new(1);
        let mut shares = shared.shares(0);
        assert_eq!(Shared::count(&shared), 1);
        drop(shared);
        assert!(shares.next().is_none());
    }

    #[test]
    fn only_a_single_pointer_lends_mutably() {
        let mut shared = Shared::new(vec![1]);
        Shared::get_mut(&mut shared).unwrap().push(2);
        let other = shared.clone();
        assert!(Shared::get_mut(&mut shared).is_none());
        Shared::make_mut(&mut shared).push(3);
        assert_eq!((&*shared, &*other), (&vec![1, 2, 3], &vec![1, 2]));
        assert!(!Shared::ptr_eq(&shared, &other));
        let before: *const Vec<i32> = &*shared;
        Shared::make_mut(&mut shared).push(4);
        assert!(std::ptr::eq(before, &*shared), "unique: changed in place");
    }

    #[test]
    fn traits_are_those_of_the_value() {
        let shared = Shared::from(String::from("a b"));
        assert_eq!(format!("{shared} {shared:?}"), "a b \"a b\"");
        assert_eq!(shared, Shared::new("a b".into()));
        assert_ne!(shared, Shared::new("c".into()));
        let set = std::collections::HashSet::from([shared.clone()]);
        assert!(set.contains(&shared));
    }
}
