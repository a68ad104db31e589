//! A list that grows by whole chunks and never moves or frees an item before itself.
//!
//! Called by `cell` and `cursors`, whose items are looked at by threads that take no lock. An
//! item, once reached, stays where it is as long as the list lives; it must never be removed,
//! only given back by its owner for another one to use.
#![allow(unsafe_code)]

use std::ptr;

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// `N` items and the way to the next ones.
#[derive(Debug)]
struct Chunk<P, const N: usize> {
    items: [CachePadded<P>; N],
    /// Null until someone needs more; written once, read by everyone who walks the list.
    next: AtomicPtr<Chunk<P, N>>,
}

impl<P: Default, const N: usize> Chunk<P, N> {
    fn boxed() -> *mut Self {
        Box::into_raw(Box::new(Self {
            items: std::array::from_fn(|_| CachePadded::new(P::default())),
            next: AtomicPtr::new(ptr::null_mut()),
        }))
    }
}

/// The list: empty at first, then chunk after chunk.
#[derive(Debug)]
pub(super) struct Chunks<P, const N: usize> {
    first: AtomicPtr<Chunk<P, N>>,
}

impl<P: Default, const N: usize> Chunks<P, N> {
    pub(super) fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Every item that was there when the walk came by.
    pub(super) fn iter(&self) -> impl Iterator<Item = &P> {
        let mut link = &self.first;
        std::iter::from_fn(move || {
            let chunk = Self::follow(link)?;
            link = &chunk.next;
            Some(chunk.items.iter().map(|item| &**item))
        })
        .flatten()
    }

    /// The item number `index`, if the list is that long.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&P> {
        let mut link = &self.first;
        let mut left = index;
        loop {
            let chunk = Self::follow(link)?;
            if let Some(item) = chunk.items.get(left) {
                return Some(item);
            }
            left -= N;
            link = &chunk.next;
        }
    }

    /// Takes the first item that `take` accepts, growing the list until there is one. Says its
    /// number too.
    pub(super) fn acquire(&self, take: impl Fn(&P) -> bool) -> (usize, &P) {
        let mut link = &self.first;
        let mut base = 0;
        loop {
            let chunk = match Self::follow(link) {
                Some(chunk) => chunk,
                None => Self::append(link),
            };
            for (index, item) in chunk.items.iter().enumerate() {
                if take(item) {
                    return (base + index, item);
                }
            }
            base += N;
            link = &chunk.next;
        }
    }

    #[inline]
    fn follow(link: &AtomicPtr<Chunk<P, N>>) -> Option<&Chunk<P, N>> {
        // ORDER(chunk): Acquire; pairs with ORDER(chunk) in `append`. Carries the fresh items.
        let chunk = link.load(Ordering::Acquire);
        // SAFETY: a link is null or a chunk that `append` made and that only `drop` frees, which
        // has the list to itself; the borrow ends with the list's.
        unsafe { chunk.as_ref() }
    }

    #[cold]
    fn append(link: &AtomicPtr<Chunk<P, N>>) -> &Chunk<P, N> {
        let fresh = Chunk::<P, N>::boxed();
        // ORDER(chunk): Release, on failure Acquire; pairs with ORDER(chunk) in `follow` and
        // with the winner's here. Carries the fresh items.
        let linked =
            link.compare_exchange(ptr::null_mut(), fresh, Ordering::Release, Ordering::Acquire);
        let chunk = match linked {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` came out of a box three lines up and nobody else saw it.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        };
        // SAFETY: linked now, so freed by nobody but `drop`.
        unsafe { &*chunk }
    }
}

impl<P, const N: usize> Drop for Chunks<P, N> {
    fn drop(&mut self) {
        // ORDER: Relaxed; `&mut self` says that all others are done.
        let mut next = self.first.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: every chunk came out of a box in `append`, is linked once, and nobody walks
            // the list any more.
            let chunk = unsafe { Box::from_raw(next) };
            // ORDER: Relaxed; as above.
            next = chunk.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;
    use crate::sync::atomic::AtomicBool;

    fn take(flag: &AtomicBool) -> bool {
        !flag.swap(true, Ordering::AcqRel)
    }

    #[test]
    fn grows_when_all_are_taken_and_reuses_what_was_given_back() {
        let list = Chunks::<AtomicBool, 2>::new();
        assert_eq!(list.iter().count(), 0);
        assert!(list.get(0).is_none());
        let numbers: Vec<_> = (0..5).map(|_| list.acquire(take).0).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(list.iter().count(), 6);
        list.get(3).unwrap().store(false, Ordering::Release);
        assert_eq!(list.acquire(take).0, 3);
        assert_eq!(list.acquire(take).0, 5);
        assert!(list.get(6).is_none());
    }

    #[test]
    fn items_never_move() {
        let list = Chunks::<AtomicBool, 1>::new();
        let first: *const AtomicBool = list.acquire(take).1;
        for _ in 0..100 {
            list.acquire(take);
        }
        assert!(ptr::eq(first, list.get(0).unwrap()));
    }
}
