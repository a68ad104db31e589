//! The words of `bus/exact.rs`: a hash table with open addressing, of a fixed size. Each word names a
//! place, beside what is needed of the topic's hash to find it again, also in a larger table.
//!
//! Words change one at a time while others read them. A topic that goes leaves a word behind, so that
//! those which lie behind it are found; a table is filled before anybody sees it.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};

/// No topic ever hashed to here.
pub(super) const EMPTY: u64 = 0;
/// The one that did has gone; others that hash to here may lie behind it.
pub(super) const GONE: u64 = 1;
/// Added to a place's number in a word.
const FIRST_PLACE: u64 = 2;

/// A power of two of them, of which at least one is empty.
pub(super) struct Words(Box<[AtomicU64]>);

/// The part of a topic's hash that is kept: enough for four thousand million places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u32);

impl Words {
    pub(super) fn new(size: usize) -> Self {
        Self((0..size).map(|_| AtomicU64::new(EMPTY)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The places of topics with this tag, and where their words are.
    #[inline]
    pub(super) fn places(&self, tag: Tag) -> impl Iterator<Item = (usize, u32)> {
        let words = self.probe(tag).take_while(|(_, word)| *word != EMPTY);
        words.filter_map(move |(at, word)| Some((at, place_of(word, tag)?)))
    }

    /// The words from where a topic with this tag would lie.
    #[inline]
    fn probe(&self, Tag(tag): Tag) -> impl Iterator<Item = (usize, u64)> {
        let mask = self.0.len() - 1;
        let mut at = tag as usize & mask;
        std::iter::from_fn(move || {
            // ORDER(word): Acquire; pairs with ORDER(word) in `set`. The table's version carries every
            // change that a reader must see, but for one: who no longer finds a mailbox that has given
            // way finds what was shown before. Who sees another word too early finds nothing, or the
            // right mailbox in its place.
            let found = (at, self.0[at].load(Ordering::Acquire));
            at = (at + 1) & mask;
            Some(found)
        })
    }

    /// Names a place where the first word of its probe is empty, or gone; whether it was gone.
    pub(super) fn put(&self, tag: Tag, place: u32) -> bool {
        self.put_word(tag, word(tag, place))
    }

    fn put_word(&self, tag: Tag, word: u64) -> bool {
        let free = self.probe(tag).find(|(_, found)| *found <= GONE);
        let (at, found) = free.expect("a word is empty");
        self.set(at, word);
        found == GONE
    }

    pub(super) fn set(&self, at: usize, word: u64) {
        // ORDER(word): Release; pairs with ORDER(word) in `probe`.
        self.0[at].store(word, Ordering::Release);
    }

    /// Takes over what others name, but for those that are gone.
    pub(super) fn fill_from(&self, others: &Self) {
        for other in &others.0 {
            // ORDER: Relaxed; only the caller changes words.
            let word = other.load(Ordering::Relaxed);
            if word > GONE {
                self.put_word(Tag((word >> 32) as u32), word);
            }
        }
    }
}

fn word(Tag(tag): Tag, place: u32) -> u64 {
    u64::from(tag) << 32 | (u64::from(place) + FIRST_PLACE)
}

/// The place that a word with this tag names.
fn place_of(word: u64, Tag(tag): Tag) -> Option<u32> {
    let is_it = (word >> 32) as u32 == tag;
    let place = (word & u64::from(u32::MAX)).checked_sub(FIRST_PLACE)?;
    is_it.then_some(place as u32)
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn topics_of_one_tag_lie_behind_one_another_also_when_one_goes() {
        const LAST: u32 = u32::MAX - FIRST_PLACE as u32;
        let words = Words::new(8);
        let tag = Tag(u32::MAX);
        let found = |words: &Words| words.places(tag).map(|(_, place)| place).collect::<Vec<_>>();
        for place in [0, 7, LAST] {
            assert!(!words.put(tag, place));
        }
        words.put(Tag(0), 3);
        assert_eq!(found(&words), [0, 7, LAST]);
        let (second, _) = words.places(tag).nth(1).unwrap();
        words.set(second, GONE);
        assert_eq!(found(&words), [0, LAST]);
        let larger = Words::new(16);
        larger.fill_from(&words);
        // The words are taken over as they lie, and the first one lies in the last word.
        assert_eq!(found(&larger), [LAST, 0]);
        assert!(words.put(tag, 9), "it takes the place of the one that went");
        assert_eq!(found(&words), [0, 9, LAST]);
    }
}
