//! All blocks of a ring, by number, made on demand and freed with the ring.
//!
//! Called by `pool`, which makes blocks, and by everyone who has a number from the directory. A
//! block must never be freed, moved or renumbered while the ring lives.
#![allow(unsafe_code)]

use std::ptr;

use super::block::Block;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Blocks in the first shelf; each further shelf has twice as many as the one before.
const FIRST: u32 = if cfg!(ringpost_loom) { 4 } else { 16 };
const SHELVES: usize = if cfg!(ringpost_loom) { 2 } else { 12 };
/// How many blocks an arena can hold.
pub(super) const MOST_BLOCKS: u32 = FIRST * ((1 << SHELVES) - 1);

/// A growable table of blocks: a shelf is allocated when the first block for it is made.
#[derive(Debug)]
pub(super) struct Arena<T> {
    shelves: [AtomicPtr<Shelf<T>>; SHELVES],
    /// How many numbers were given out. Written by whoever makes a block.
    len: AtomicU32,
    most: u32,
    slots: usize,
}

#[derive(Debug)]
struct Shelf<T>(Box<[AtomicPtr<Block<T>>]>);

impl<T> Arena<T> {
    /// An arena for up to `most` blocks of `slots` slots each.
    pub(super) fn new(slots: usize, most: u32) -> Self {
        Self {
            shelves: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            len: AtomicU32::new(0),
            most: most.min(MOST_BLOCKS),
            slots,
        }
    }

    /// How many blocks were ever made.
    pub(super) fn len(&self) -> u32 {
        // ORDER: Relaxed; a hint, and a statistic.
        self.len.load(Ordering::Relaxed).min(self.most)
    }

    /// The block of a number that `make` gave out.
    pub(super) fn get(&self, index: u32) -> &Block<T> {
        let (shelf, place) = Self::locate(index);
        // ORDER(arena): Acquire; pairs with ORDER(arena) in `shelf`. Carries the shelf.
        let shelf = self.shelves[shelf].load(Ordering::Acquire);
        // SAFETY: the number was given out, so its shelf is there; freed only by `drop`.
        let shelf = unsafe { &*shelf };
        // ORDER(arena): Acquire; pairs with ORDER(arena) in `make`. Carries the fresh block.
        let block = shelf.0[place].load(Ordering::Acquire);
        // SAFETY: the number became known after its block was stored; freed only by `drop`.
        unsafe { &*block }
    }

    /// A new block, owned by the caller; none when the arena is full.
    #[cold]
    pub(super) fn make(&self) -> Option<&Block<T>> {
        // ORDER: Relaxed; only gives each maker another number.
        let index = self.len.fetch_add(1, Ordering::Relaxed);
        if index >= self.most {
            // ORDER: Relaxed; takes back what was given out in vain.
            self.len.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (shelf, place) = Self::locate(index);
        let shelf = self.shelf(shelf);
        let block = Box::into_raw(Box::new(Block::new(index, self.slots)));
        // ORDER(arena): Release; pairs with ORDER(arena) in `get`. Carries the fresh block.
        shelf.0[place].store(block, Ordering::Release);
        // SAFETY: out of a box two lines up, freed only by `drop`.
        Some(unsafe { &*block })
    }

    fn shelf(&self, number: usize) -> &Shelf<T> {
        // ORDER(arena): Acquire; pairs with the compare_exchange below. Carries the shelf.
        let mut shelf = self.shelves[number].load(Ordering::Acquire);
        if shelf.is_null() {
            let places = (FIRST as usize) << number;
            let empty = (0..places).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
            let fresh = Box::into_raw(Box::new(Shelf(empty)));
            // ORDER(arena): Release, on failure Acquire; pairs with ORDER(arena) in `get`.
            // Carries the shelf.
            shelf = match self.shelves[number].compare_exchange(
                ptr::null_mut(),
                fresh,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: out of a box above, and nobody else saw it.
                    drop(unsafe { Box::from_raw(fresh) });
                    other
                }
            };
        }
        // SAFETY: not null, and freed only by `drop`.
        unsafe { &*shelf }
    }

    /// Shelf and place of a number: shelf `s` begins at `FIRST * (2^s - 1)`.
    fn locate(index: u32) -> (usize, usize) {
        let shelf = (index / FIRST + 1).ilog2();
        let begin = FIRST * ((1 << shelf) - 1);
        (shelf as usize, (index - begin) as usize)
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        for shelf in &self.shelves {
            // ORDER: Relaxed; `&mut self` says that all others are done.
            let shelf = shelf.load(Ordering::Relaxed);
            if shelf.is_null() {
                continue;
            }
            // SAFETY: out of a box in `shelf`, stored once, freed here alone.
            let shelf = unsafe { Box::from_raw(shelf) };
            for block in &shelf.0 {
                // ORDER: Relaxed; as above.
                let block = block.load(Ordering::Relaxed);
                if !block.is_null() {
                    // SAFETY: out of a box in `make`, stored once, freed here alone.
                    drop(unsafe { Box::from_raw(block) });
                }
            }
        }
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_find_their_blocks_over_several_shelves() {
        let arena = Arena::<u8>::new(2, 200);
        for index in 0..200 {
            assert_eq!(arena.make().unwrap().index(), index);
        }
        for index in 0..200 {
            assert_eq!(arena.get(index).index(), index);
        }
    }

    #[test]
    fn a_full_arena_makes_no_more_and_stays_full() {
        let arena = Arena::<u8>::new(2, 3);
        assert_eq!((0..10).filter(|_| arena.make().is_some()).count(), 3);
        assert_eq!(arena.len(), 3);
    }

    #[test]
    fn the_last_number_has_a_place_and_fits_a_directory_entry() {
        let (shelf, place) = Arena::<u8>::locate(MOST_BLOCKS - 1);
        assert_eq!(shelf, SHELVES - 1);
        assert_eq!(place, ((FIRST as usize) << shelf) - 1);
        const { assert!(MOST_BLOCKS < super::super::directory::NO_BLOCK) };
    }
}
