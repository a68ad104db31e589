//! A table that grows and whose entries never move: chunks of places, each as large as all before it.
//!
//! An entry is made once and stays. Looking one up takes no lock.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

/// Chunk `c` holds `FIRST << c` places, so that 28 chunks hold any `u32`.
const FIRST: usize = 32;
const CHUNKS: usize = 28;

#[derive(Debug)]
pub(crate) struct Chunks<T>([OnceLock<Box<[OnceLock<T>]>>; CHUNKS]);

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }

    /// The entry with this number, if it was made.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, at) = locate(number as usize);
        self.0[chunk].get()?[at].get()
    }

    /// The entry with this number, made now if it was not.
    pub(crate) fn get_or_make(&self, number: u32, make: impl FnOnce() -> T) -> &T {
        let (chunk, at) = locate(number as usize);
        let places =
            self.0[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| OnceLock::new()).collect());
        places[at].get_or_init(make)
    }

    /// For how many entries there is memory.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.0.iter().filter_map(OnceLock::get).map(|chunk| chunk.len()).sum()
    }
}

/// The chunk of a number, and the place inside it.
#[inline]
fn locate(number: usize) -> (usize, usize) {
    let chunk = (number / FIRST + 1).ilog2() as usize;
    (chunk, number - FIRST * ((1 << chunk) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_the_chunks_without_a_hole() {
        let mut expected = (0, 0);
        for number in 0..FIRST * 20 {
            assert_eq!(locate(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(locate(u32::MAX as usize).0 < CHUNKS);
    }

    #[test]
    fn an_entry_is_made_once_and_a_chunk_when_its_first_one_is() {
        let chunks = Chunks::new();
        let last = FIRST as u32 - 1;
        assert_eq!((chunks.get(last), chunks.places()), (None, 0));
        assert_eq!(*chunks.get_or_make(last, || 1), 1);
        assert_eq!(*chunks.get_or_make(last, || 2), 1);
        assert_eq!((chunks.get(last), chunks.get(0)), (Some(&1), None));
        assert_eq!((chunks.get(last + 1), chunks.places()), (None, FIRST));
        chunks.get_or_make(last + 1, || 3);
        assert_eq!((chunks.get(last + 1), chunks.places()), (Some(&3), FIRST * 3));
    }
}
