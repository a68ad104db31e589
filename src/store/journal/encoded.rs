//! Records as the lines they will be in a file.
//!
//! Filled by the [`Journal`](super::Journal), one line a record, and written by its writer as it
//! is. Checksums come last: see [`encode_unsummed`].
#![forbid(unsafe_code)]

use super::lines::LONGEST;
use crate::Sequence;
use crate::event::Event;
use crate::event::json::record::{encode_unsummed, write_sum};
use crate::store::{StoreError, StoreErrorKind};

/// Lines that get their checksums together: they are still in the nearest cache by then.
const TOGETHER: usize = 16;

/// Encoded lines, each ending in a newline, with rising sequences.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<(usize, u64)>,
    /// Lines that have their checksums.
    summed: usize,
}

/// The same when every line has its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    pub(super) bytes: &'a [u8],
    /// Where each line ends, and its sequence.
    pub(super) ends: &'a [(usize, u64)],
}

impl Encoded {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.summed = 0;
    }

    /// Adds a record's line, and returns its length.
    ///
    /// # Errors
    ///
    /// `TooLarge` if it is longer than a reader would take: then nothing is added.
    #[inline]
    pub(super) fn push(&mut self, sequence: Sequence, event: &Event) -> Result<usize, StoreError> {
        let start = self.bytes.len();
        encode_unsummed(event, sequence, &mut self.bytes);
        let length = self.bytes.len() - start;
        if length > LONGEST {
            self.bytes.truncate(start);
            let attempt = format!("append sequence {sequence} of {length} bytes");
            return Err(StoreError::new(StoreErrorKind::TooLarge, attempt));
        }
        self.ends.push((self.bytes.len(), sequence.get()));
        if self.ends.len() - self.summed >= TOGETHER {
            self.sum();
        }
        Ok(length)
    }

    /// All lines, whole.
    pub(super) fn lines(&mut self) -> Lines<'_> {
        self.sum();
        Lines { bytes: &self.bytes, ends: &self.ends }
    }

    fn sum(&mut self) {
        let lines = Lines { bytes: &[], ends: &self.ends };
        for line in self.summed..self.ends.len() {
            let whole = lines.start(line)..self.ends[line].0;
            write_sum(self.bytes.get_mut(whole).unwrap_or_default());
        }
        self.summed = self.ends.len();
    }
}

impl Lines<'_> {
    /// Where a line begins.
    pub(super) fn start(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends[before].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::{Checksum, checksum, encode_record};

    #[test]
    fn lines_have_the_checksums_that_they_would_have_one_by_one() {
        let event = Event::builder("a.b").id("1").source("s").json(&7).build().unwrap();
        let (mut encoded, mut one_by_one) = (Encoded::default(), Vec::new());
        for count in [1, TOGETHER - 1, TOGETHER, 3 * TOGETHER + 1] {
            encoded.clear();
            one_by_one.clear();
            for number in 1..=count as u64 {
                encoded.push(Sequence::new(number), &event).unwrap();
                encode_record(&event, Sequence::new(number), &mut one_by_one);
            }
            assert_eq!(encoded.lines().bytes, one_by_one, "{count}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_leaves_no_trace() {
        let build = |text: &str| Event::builder("a").max_bytes(usize::MAX).text(text).build();
        let (short, long) = (build("x").unwrap(), build(&"x".repeat(LONGEST)).unwrap());
        let mut encoded = Encoded::default();
        encoded.push(Sequence::new(1), &short).unwrap();
        let refused = encoded.push(Sequence::new(2), &long).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
        encoded.push(Sequence::new(3), &short).unwrap();
        let lines = encoded.lines();
        assert_eq!(lines.ends.iter().map(|end| end.1).collect::<Vec<_>>(), [1, 3]);
        for line in lines.bytes.split_inclusive(|&byte| byte == b'\n') {
            assert_eq!(checksum(line), Checksum::Valid);
        }
    }
}
