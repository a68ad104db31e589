//! An index as it is made from a segment's lines, and as it stands in its file.
//!
//! `ringpost.index.1`, the [`Stamp`] of the segment's file, the length of its contents, the blocks,
//! and a CRC-32C over all of that; numbers are little-endian. A segment's index has at most
//! [`MOST`] blocks, however large the segment, so a reader never takes in more than 800 KB.
#![forbid(unsafe_code)]

use std::io;

use super::{Block, Index, Times};
use crate::Sequence;
use crate::event::json::place::Place;
use crate::event::json::{Checksum, checksum};
use crate::store::journal::lines::{Forward, Line};
use crate::store::journal::planted::{Bug, planted};
use crate::store::journal::read::is_blank;
use crate::store::journal::storage::StoredFile;

/// How long a block is at least. In unit tests short segments have several.
pub(super) const BLOCK: u64 = if cfg!(test) { 4 * 1024 } else { 64 * 1024 };
/// Where a segment would have more blocks, they are longer.
const MOST: u64 = 16 * 1024;

const MAGIC: &[u8; 16] = b"ringpost.index.1";
const HEADER: usize = MAGIC.len() + 8 + 4 + 8;
const ENTRY: usize = 8 + 8 + 16 + 16;
const SUM: usize = 4;
/// No index is longer.
pub(super) const LONGEST: usize = HEADER + (MOST as usize + 1) * ENTRY + SUM;

/// How much of each end of a file goes into its stamp.
const END: u64 = 4096;

/// What tells one state of a segment's file from any other that it may have had: its length, and
/// its two ends. A sealed segment is only ever cut, compressed or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    ends: u32,
}

impl Stamp {
    pub(super) fn of(file: &dyn StoredFile, length: u64) -> io::Result<Self> {
        let mut end = vec![0; END.min(length) as usize];
        read_exactly(file, &mut end, 0)?;
        let first = crc32c::crc32c(&end);
        read_exactly(file, &mut end, length - END.min(length))?;
        Ok(Self { length, ends: crc32c::crc32c_append(first, &end) })
    }
}

/// Fills `into`, or fails.
pub(super) fn read_exactly(file: &dyn StoredFile, into: &mut [u8], offset: u64) -> io::Result<()> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], offset + read as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the index of a segment's contents.
pub(super) fn make(contents: Box<dyn StoredFile>) -> io::Result<Index> {
    let length = contents.length()?;
    let mut maker = Maker { size: BLOCK.max(length / MOST), blocks: Vec::new(), highest: 0 };
    let mut lines = Forward::new(contents, 0);
    while let Some(found) = lines.next()? {
        maker.add(lines.line(found));
    }
    // A record that lacks its newline is one all the same.
    if let Some(rest) = lines.unfinished() {
        maker.add(rest);
    }
    if lines.length()? != length {
        return Err(io::Error::other("it was changed meanwhile"));
    }
    Ok(Index { length, blocks: maker.blocks })
}

struct Maker {
    /// How long a block is at least.
    size: u64,
    blocks: Vec<Block>,
    /// The highest sequence so far.
    highest: u64,
}

impl Maker {
    fn add(&mut self, line: Line<'_>) {
        let is_new = |block: &Block| line.offset - block.offset >= self.size;
        if self.blocks.last().is_none_or(is_new) {
            let before = self.highest;
            self.blocks.push(Block { offset: line.offset, before, times: Times::NONE });
        }
        let Some(Block { times, .. }) = self.blocks.last_mut() else { return };
        // Only what has a valid checksum cannot be read otherwise one day, as a record.
        let read =
            line.bytes.ok().filter(|bytes| checksum(bytes) == Checksum::Valid).map(Place::of);
        match read.flatten() {
            Some(Place { time, sequence }) => {
                if *times == Times::NONE || !planted(Bug::IndexOfFirstTimes) {
                    time.into_iter().for_each(|time| times.add(time));
                }
                self.highest = self.highest.max(sequence.map_or(0, Sequence::get));
            }
            None if is_blank(line.bytes) => {}
            None => *times = Times::ANY,
        }
    }
}

/// The index of the segment with this stamp, as bytes.
pub(super) fn encode(index: &Index, stamp: Stamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + index.blocks.len() * ENTRY + SUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&stamp.length.to_le_bytes());
    bytes.extend_from_slice(&stamp.ends.to_le_bytes());
    bytes.extend_from_slice(&index.length.to_le_bytes());
    for block in &index.blocks {
        bytes.extend_from_slice(&block.offset.to_le_bytes());
        bytes.extend_from_slice(&block.before.to_le_bytes());
        bytes.extend_from_slice(&block.times.earliest.to_le_bytes());
        bytes.extend_from_slice(&block.times.latest.to_le_bytes());
    }
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The index in these bytes, if it is whole and that of the segment with this stamp.
pub(super) fn decode(bytes: &[u8], stamp: Stamp) -> Option<Index> {
    let (mut rest, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    let is_whole = crc32c::crc32c(rest).to_le_bytes() == *sum;
    rest = rest.strip_prefix(MAGIC)?;
    let found = Stamp { length: number(&mut rest)?, ends: u32::from_le_bytes(take(&mut rest)?) };
    let is_sound = is_whole && found == stamp;
    if !is_sound && !planted(Bug::IndexUnchecked) {
        return None;
    }
    let length = number(&mut rest)?;
    let mut blocks: Vec<Block> = Vec::with_capacity(rest.len() / ENTRY);
    while !rest.is_empty() {
        let (offset, before) = (number(&mut rest)?, number(&mut rest)?);
        let earliest = i128::from_le_bytes(take(&mut rest)?);
        let latest = i128::from_le_bytes(take(&mut rest)?);
        let follows = blocks
            .last()
            .map_or(offset == 0, |last: &Block| offset > last.offset && before >= last.before);
        if !follows || offset >= length {
            return None;
        }
        blocks.push(Block { offset, before, times: Times { earliest, latest } });
    }
    (length == 0 || !blocks.is_empty()).then_some(Index { length, blocks })
}

fn number(from: &mut &[u8]) -> Option<u64> {
    take(from).map(u64::from_le_bytes)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

/// The index, in its file's form, of a segment of these bytes; it says that nothing is in it.
#[cfg(test)]
pub(in super::super) fn that_has_nothing(segment: Vec<u8>) -> Vec<u8> {
    let disk = crate::store::journal::tests::file_of(&segment);
    let stamp = Stamp::of(&*disk, segment.len() as u64).expect("readable");
    let block = Block { offset: 0, before: 0, times: Times::NONE };
    encode(&Index { length: segment.len() as u64, blocks: vec![block] }, stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use crate::store::journal::index::Window;
    use proptest::prelude::*;

    const STAMP: Stamp = Stamp { length: 1 << 20, ends: 7 };

    fn index() -> Index {
        let block = |n: u64| {
            let times = Times { earliest: -i128::from(n), latest: i128::from(n) << 40 };
            Block { offset: n * 100, before: n * 3, times }
        };
        Index { length: 1 << 20, blocks: (0..50).map(block).collect() }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let bytes = encode(&index(), STAMP);
        assert_eq!(decode(&bytes, STAMP), Some(index()));
        assert_eq!(decode(&bytes, Stamp { length: 1 << 19, ..STAMP }), None);
        assert_eq!(decode(&bytes, Stamp { ends: 8, ..STAMP }), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, STAMP), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], STAMP), None, "{cut}");
        }
        let empty = Index { length: 0, blocks: Vec::new() };
        assert_eq!(decode(&encode(&empty, STAMP), STAMP), Some(empty));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// With a checksum that is right: only somebody who could write the segment can do that,
        /// and not even then does a reader panic or leave the segment.
        #[test]
        fn whatever_an_index_says_its_ranges_rise_within_the_segment(
            length in any::<u64>(), header in any::<bool>(), body in prop::collection::vec(
                prop_oneof![any::<u64>(), 0_u64..5, Just(u64::MAX)], 0..40,
            ), since in any::<i64>(), until in any::<i64>(),
        ) {
            let mut bytes = encode(&Index { length, blocks: Vec::new() }, STAMP);
            bytes.truncate(if header { HEADER } else { HEADER - 8 });
            body.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
            let sum = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&sum.to_le_bytes());
            if let Some(index) = decode(&bytes, STAMP) {
                let time = |nanos: i64| Timestamp::from_unix_nanos(nanos.into());
                let ranges = index.within(Window { since: time(since), until: time(until) });
                let mut end = 0;
                for range in ranges {
                    prop_assert!(range.start >= end && range.start < range.end);
                    end = range.end;
                }
                prop_assert!(end <= index.length);
                prop_assert!(index.place_of(Sequence::new(9)) <= index.length);
            }
        }
    }
}
