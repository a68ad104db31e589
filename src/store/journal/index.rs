//! What lies where in a sealed segment: a sparse index by time and by sequence.
//!
//! Readers that look for a time or a sequence pass over the blocks, and whole segments, that
//! surely hold nothing of it. Times need not rise along a journal, so a block has the earliest
//! and the latest of its own, never only its first.
//!
//! An index is made by the first reader that has to take apart every line of a sealed segment
//! anyway and may write beside it; the writer has no part in it. When the segment is compressed it
//! is kept for what has taken its place, which has the same bytes in it. It is no second truth: it is made
//! from the segment, says which state of which file it was made from, and is left unused, then
//! made again, if it is torn, old, another's, or was put there by somebody who could not have
//! written the segment itself (see `shelf`). A block with a line that may yet be read otherwise
//! (damage, a foreign line without a checksum) is never passed over. Without an index, or without
//! the right to make one, readers scan, and find the same.
#![forbid(unsafe_code)]

mod catalog;
mod shelf;

use std::ops::Range;

#[cfg(test)]
pub(super) use catalog::that_has_nothing;
#[cfg(feature = "query")]
pub(super) use shelf::kept;
pub(super) use shelf::{keep, kept_in, kept_or_made, made_anyhow};

use crate::Sequence;
use crate::event::Timestamp;

/// From when to when, both inclusive; open where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Window {
    /// Whether it lets everything through, even what has no time.
    pub(super) fn is_open(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// Between which instants the events of a block lie, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    earliest: i128,
    latest: i128,
}

impl Times {
    /// No event in it has a time.
    const NONE: Self = Self { earliest: i128::MAX, latest: i128::MIN };
    /// Nothing is known of them.
    const ANY: Self = Self { earliest: i128::MIN, latest: i128::MAX };

    fn add(&mut self, time: Timestamp) {
        let nanos = time.unix_nanos();
        self.earliest = self.earliest.min(nanos);
        self.latest = self.latest.max(nanos);
    }

    fn may_meet(self, window: Window) -> bool {
        self.earliest <= self.latest
            && window.since.is_none_or(|since| self.latest >= since.unix_nanos())
            && window.until.is_none_or(|until| self.earliest <= until.unix_nanos())
    }
}

/// Some lines of a segment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Where the first of them begins.
    offset: u64,
    /// The highest sequence before it in the segment; 0 for none.
    before: u64,
    times: Times,
}

/// The blocks of one segment, in order, without a hole between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The length of what is indexed; of a compressed segment, unpacked.
    pub(super) length: u64,
    blocks: Vec<Block>,
}

impl Index {
    /// Where events of a window may be, in rising order; they begin and end where lines do.
    pub(super) fn within(&self, window: Window) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            if !window.is_open() && !block.times.may_meet(window) {
                continue;
            }
            let end = self.blocks.get(number + 1).map_or(self.length, |next| next.offset);
            match ranges.last_mut() {
                Some(last) if last.end == block.offset => last.end = end,
                _ => ranges.push(block.offset..end),
            }
        }
        ranges
    }

    /// Where to begin so that no record of a sequence from `from` on is missed.
    pub(super) fn place_of(&self, from: Sequence) -> u64 {
        let after = self.blocks.partition_point(|block| block.before < from.get());
        // What could not be read when the index was made may hold it too.
        let mut place = after.saturating_sub(1);
        while place > 0 && self.blocks[place - 1].times == Times::ANY {
            place -= 1;
        }
        self.blocks.get(place).map_or(0, |block| block.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_nanos(i128::from(second) * 1_000_000_000).expect("an instant")
    }

    fn block(offset: u64, before: u64, times: &[i64]) -> Block {
        let mut block = Block { offset, before, times: Times::NONE };
        times.iter().for_each(|second| block.times.add(at(*second)));
        block
    }

    fn one(range: Range<u64>) -> Vec<Range<u64>> {
        std::iter::once(range).collect()
    }

    fn index() -> Index {
        let mut unread = block(300, 9, &[]);
        unread.times = Times::ANY;
        // Times go back, sequences do not.
        let blocks = vec![
            block(0, 0, &[10, 30]),
            block(100, 5, &[20, 25]),
            block(200, 7, &[]),
            unread,
            block(400, 9, &[12]),
            block(500, 20, &[50, 60]),
        ];
        Index { length: 600, blocks }
    }

    #[test]
    fn a_window_is_where_its_times_are_and_where_nothing_is_known() {
        let within = |since: Option<i64>, until: Option<i64>| {
            index().within(Window { since: since.map(at), until: until.map(at) })
        };
        assert_eq!(within(None, None), one(0..600));
        assert_eq!(within(Some(26), Some(40)), [0..100, 300..400]);
        assert_eq!(within(Some(21), Some(22)), [0..200, 300..400]);
        assert_eq!(within(Some(55), None), [300..400, 500..600]);
        assert_eq!(within(Some(60), Some(60)), [300..400, 500..600]);
        assert_eq!(within(None, Some(10)), [0..100, 300..400]);
        assert_eq!(within(None, Some(12)), [0..100, 300..500]);
        assert_eq!(within(Some(61), None), one(300..400));
        assert_eq!(within(Some(40), Some(20)), one(300..400), "nothing lies in an empty window");
    }

    #[test]
    fn a_sequence_is_looked_for_from_the_last_block_that_all_before_lie_below() {
        let place = |from| index().place_of(Sequence::new(from));
        assert_eq!([1, 5].map(place), [0, 0]);
        assert_eq!([6, 7].map(place), [100, 100]);
        assert_eq!([8, 9].map(place), [200, 200]);
        assert_eq!([10, 20].map(place), [300, 300], "what could not be read may be 10");
        assert_eq!([21, 1000].map(place), [500, 500]);
        assert_eq!(Index { length: 0, blocks: Vec::new() }.place_of(Sequence::new(4)), 0);
    }
}
