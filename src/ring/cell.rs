//! Where a publisher says into which blocks it may be writing, and keeps what it remembers.
//!
//! Called by `writer`, which owns or borrows a cell, and by `log`, which asks all cells before a
//! block is emptied. A cell belongs to one publisher at a time and is never used re-entrantly.
#![allow(unsafe_code)]

use std::cell::Cell as PlainCell;
use std::ptr::NonNull;

use super::block::{Block, drop_quietly};
use super::chunks::Chunks;
use super::faults::{Fault, planted};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{UnsafeCell, spread, thread_local};

/// No publisher has the cell.
const FREE: u64 = u64::MAX;
/// Its publisher is not between claim and commit.
const IDLE: u64 = u64::MAX - 1;
/// Cells in a chunk of the list.
const A_CHUNK: usize = if cfg!(ringpost_loom) { 1 } else { 16 };

thread_local! {
    /// Which cell this thread borrowed last: nobody else is likely to use it.
    static HINT: PlainCell<usize> = PlainCell::new(spread() & (A_CHUNK - 1));
}

/// What a publisher remembers from one publish to the next.
#[derive(Debug)]
pub(super) struct Memory<T> {
    /// The block it wrote into last; `u64::MAX` at first, which is no block's number.
    pub(super) number: u64,
    pub(super) block: Option<NonNull<Block<T>>>,
    /// Positions from here on may not be claimed, as far as it knows.
    pub(super) limit: u64,
    /// How many readers had registered when `limit` was found out.
    pub(super) registered: u64,
    /// Blocks taken from the pool for blocks of the sequence that had to be installed.
    pub(super) spares: Vec<u32>,
    /// The limbo's word when nothing in it could be emptied.
    pub(super) held_limbo: Option<u64>,
    /// Messages whose places were lapped before they could be written: to be dropped last.
    pub(super) lapped: Vec<T>,
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        self.lapped.drain(..).for_each(drop_quietly);
    }
}

/// A publisher's cell.
#[derive(Debug)]
pub(super) struct Cell<T> {
    /// `FREE`, `IDLE`, or `n`: "I may write into blocks `n` and `n + 1`". Written by the cell's
    /// publisher; read before a block is emptied.
    word: AtomicU64,
    /// Touched by the cell's publisher alone.
    memory: UnsafeCell<Memory<T>>,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self {
            word: AtomicU64::new(FREE),
            memory: UnsafeCell::new(Memory {
                number: u64::MAX,
                block: None,
                limit: 0,
                registered: u64::MAX,
                spares: Vec::new(),
                held_limbo: None,
                lapped: Vec::new(),
            }),
        }
    }
}

impl<T> Cell<T> {
    /// From now on the publisher may write into blocks `number` and `number + 1`. Counts for every
    /// eviction that is claimed after the publisher's next RMW on the tail.
    #[inline]
    pub(super) fn announce(&self, number: u64) {
        // ORDER(cell): Release; pairs with ORDER(cell) in `Cell::names`. Carries the writes that
        // this publisher has finished. It becomes visible in time through ORDER(claim).
        self.word.store(number, Ordering::Release);
    }

    /// The publisher has written all that it claimed.
    #[inline]
    pub(super) fn rest(&self) {
        // ORDER(cell): Release; pairs with ORDER(cell) in `Cell::names`. Carries the writes.
        self.word.store(IDLE, Ordering::Release);
    }

    /// Whether the publisher may still write into block `number`.
    pub(super) fn names(&self, number: u64) -> bool {
        // ORDER(cell): Acquire; pairs with ORDER(cell) in `announce` and `rest`. Carries the
        // writes that the publisher has finished.
        let word = self.word.load(Ordering::Acquire);
        let next = !planted(Fault::NameOneBlock);
        word < IDLE && (word == number || (next && word + 1 == number))
    }

    /// What the publisher remembers.
    ///
    /// # Safety
    ///
    /// * The caller has the cell, and is not inside another `memory` of it.
    #[inline]
    pub(super) unsafe fn memory<R>(&self, f: impl FnOnce(&mut Memory<T>) -> R) -> R {
        self.memory.with_mut(|memory| {
            // SAFETY: the cell's one publisher is here, once.
            f(unsafe { &mut *memory })
        })
    }

    fn take(&self) -> bool {
        // ORDER(borrow): Acquire; pairs with ORDER(borrow) in `give_back`. Carries the memory.
        self.word.compare_exchange(FREE, IDLE, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The publisher goes; the cell can be had by another one.
    pub(super) fn give_back(&self) {
        // ORDER(borrow): Release; pairs with ORDER(borrow) in `take`. Carries the memory. For
        // ORDER(cell) it says the same as `rest`.
        self.word.store(FREE, Ordering::Release);
    }
}

/// All cells of a ring: a list that grows and is never freed before the ring.
#[derive(Debug)]
pub(super) struct Cells<T>(Chunks<Cell<T>, A_CHUNK>);

impl<T> Cells<T> {
    pub(super) fn new() -> Self {
        Self(Chunks::new())
    }

    /// A cell for a publisher that keeps it.
    pub(super) fn acquire(&self) -> &Cell<T> {
        self.0.acquire(Cell::take).1
    }

    /// A cell for one publish: the one that this thread had last, if nobody has it now.
    pub(super) fn borrow(&self) -> &Cell<T> {
        HINT.with(|hint| {
            if let Some(cell) = self.0.get(hint.get())
                && cell.take()
            {
                return cell;
            }
            let (index, cell) = self.0.acquire(Cell::take);
            hint.set(index);
            cell
        })
    }

    /// Whether any publisher may still write into block `number`.
    pub(super) fn name(&self, number: u64) -> bool {
        self.0.iter().any(|cell| cell.names(number))
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_cell_names_its_block_and_the_next_one_until_it_rests() {
        let cells = Cells::<u8>::new();
        let cell = cells.acquire();
        assert!(!cells.name(7));
        cell.announce(7);
        assert!(cells.name(7) && cells.name(8));
        assert!(!cells.name(6) && !cells.name(9));
        cell.rest();
        assert!(!cells.name(7) && !cells.name(8));
        assert!(!cells.name(IDLE) && !cells.name(FREE));
    }

    #[test]
    fn a_borrowed_cell_is_borrowed_again_by_the_same_thread() {
        let cells = Cells::<u8>::new();
        let (first, second) = (cells.borrow(), cells.borrow());
        assert!(!std::ptr::eq(first, second), "never two publishers in one cell");
        second.give_back();
        assert!(std::ptr::eq(cells.borrow(), second));
    }
}
