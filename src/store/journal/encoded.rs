//! Records as the lines they will be in a file.
//!
//! Filled by the [`Journal`](super::Journal), one line a record, and written by its writer as it
//! is.
#![forbid(unsafe_code)]

use super::lines::LONGEST;
use crate::Sequence;
use crate::event::Event;
use crate::event::json::encode_record;
use crate::store::{StoreError, StoreErrorKind};

/// Encoded lines, each ending in a newline, with rising sequences.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<(usize, u64)>,
}

/// The same, lent.
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
    }

    /// Adds a record's line, and returns its length.
    ///
    /// # Errors
    ///
    /// `TooLarge` if it is longer than a reader would take: then nothing is added.
    #[inline]
    pub(super) fn push(&mut self, sequence: Sequence, event: &Event) -> Result<usize, StoreError> {
        let start = self.bytes.len();
        encode_record(event, sequence, &mut self.bytes);
        let length = self.bytes.len() - start;
        if length > LONGEST {
            self.bytes.truncate(start);
            let attempt = format!("append sequence {sequence} of {length} bytes");
            return Err(StoreError::new(StoreErrorKind::TooLarge, attempt));
        }
        self.ends.push((self.bytes.len(), sequence.get()));
        Ok(length)
    }

    /// All lines.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { bytes: &self.bytes, ends: &self.ends }
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
    use crate::event::json::{Checksum, checksum};

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
