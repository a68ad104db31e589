//! Which block holds which part of the sequence now.
//!
//! Called by `log` for publishers that install a block and for readers that enter one. It never
//! touches a block: an entry is two numbers in one word.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};

/// The low bits of an entry are the block's place in the arena, the others its number.
const INDEX_BITS: u32 = 16;
/// Block numbers are kept modulo 2^48.
const NUMBER_BITS: u32 = u64::BITS - INDEX_BITS;
/// The place of an entry that has no block yet.
pub(super) const NO_BLOCK: u32 = (1 << INDEX_BITS) - 1;

/// One word of the directory, as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    fn new(number: u64, index: u32) -> Self {
        Self(number << INDEX_BITS | u64::from(index))
    }

    /// The block's place in the arena, if there is a block.
    pub(super) fn index(self) -> Option<u32> {
        let index = (self.0 & u64::from(NO_BLOCK)) as u32;
        (index != NO_BLOCK).then_some(index)
    }

    /// How far the entry's number is ahead of `number`, modulo 2^48.
    fn ahead(self, number: u64) -> i64 {
        ((self.0 >> INDEX_BITS).wrapping_sub(number) << INDEX_BITS) as i64 >> (64 - NUMBER_BITS)
    }
}

/// What the directory says about a block number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It has not been installed; the entry still names an earlier block.
    Ahead(Entry),
    /// It is there.
    Here(Entry),
    /// A later one has taken its place.
    Gone,
}

/// `K` entries; block `n` is looked for at `n % K`. An entry's number only ever rises.
#[derive(Debug)]
pub(super) struct Directory {
    entries: Box<[AtomicU64]>,
}

impl Directory {
    /// A directory of `blocks` entries, a power of two, before any block is installed: `first` is
    /// the number of the first that will be.
    pub(super) fn new(blocks: usize, first: u64) -> Self {
        let mask = blocks as u64 - 1;
        let entries = (0..blocks as u64).map(|place| {
            // The number in `first .. first + blocks` that belongs here, a lap ago.
            let number = first + (place.wrapping_sub(first) & mask);
            AtomicU64::new(Entry::new(number.wrapping_sub(blocks as u64), NO_BLOCK).0)
        });
        Self { entries: entries.collect() }
    }

    #[inline]
    fn entry(&self, number: u64) -> &AtomicU64 {
        &self.entries[number as usize & (self.entries.len() - 1)]
    }

    /// Where block `number` is.
    pub(super) fn look(&self, number: u64) -> Look {
        // ORDER(directory): Acquire; pairs with ORDER(directory) in `replace`. Carries the
        // installed block, and the installer's claim.
        let entry = Entry(self.entry(number).load(Ordering::Acquire));
        match entry.ahead(number) {
            0 => Look::Here(entry),
            ahead if ahead < 0 => Look::Ahead(entry),
            _ => Look::Gone,
        }
    }

    /// Puts block `number`, at `index` in the arena, where `old` was seen. False when another
    /// thread was first.
    pub(super) fn replace(&self, number: u64, old: Entry, index: u32) -> bool {
        debug_assert!(index < NO_BLOCK && old.ahead(number) < 0);
        // ORDER(directory): AcqRel; pairs with ORDER(directory) in `look`. Carries the installed
        // block, and the installer's claim.
        self.entry(number)
            .compare_exchange(
                old.0,
                Entry::new(number, index).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_modulo_2_to_the_48() {
        let wrap = 1 << NUMBER_BITS;
        for number in [5, wrap - 1, wrap, wrap + 1, 3 * wrap - 2] {
            let entry = Entry::new(number, 7);
            assert_eq!(entry.index(), Some(7));
            assert_eq!(entry.ahead(number), 0);
            assert_eq!(entry.ahead(number + 4), -4);
            assert_eq!(entry.ahead(number - 4), 4);
        }
    }

    #[test]
    fn a_new_directory_is_behind_each_number_of_the_first_lap() {
        for first in [0, 1, 6, (1 << NUMBER_BITS) - 2, (1 << 60) + 3] {
            let directory = Directory::new(4, first);
            for number in first..first + 4 {
                let Look::Ahead(entry) = directory.look(number) else { panic!("{number}") };
                assert_eq!(entry.index(), None);
                assert_eq!(entry.ahead(number), -4);
                assert!(directory.replace(number, entry, 3));
                assert!(matches!(directory.look(number), Look::Here(e) if e.index() == Some(3)));
                assert!(matches!(directory.look(number + 4), Look::Ahead(_)));
                assert_eq!(directory.look(number.wrapping_sub(4)), Look::Gone);
                assert!(!directory.replace(number, entry, 4));
            }
        }
    }
}
