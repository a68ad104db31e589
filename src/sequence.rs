//! The number a message gets when it is claimed.
#![forbid(unsafe_code)]

use std::fmt;

/// The place of a message in its bus's one total order: from 1, rising, without gaps.
///
/// A sequence is a claim number, never an index. It is below [`Sequence::LIMIT`] and never
/// wraps: a bus that reached the limit is closed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// The first sequence of a bus that does not continue a journal.
    pub const FIRST: Sequence = Sequence(1);
    /// No sequence reaches this number: the two bits above it are flags of the ring.
    pub const LIMIT: u64 = 1 << 62;

    /// A sequence from its number.
    ///
    /// # Panics
    ///
    /// If `number` is not below [`Sequence::LIMIT`].
    #[must_use]
    #[inline]
    pub const fn new(number: u64) -> Self {
        assert!(number < Self::LIMIT, "a sequence is below 2^62");
        Self(number)
    }

    /// The number.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Sequence> for u64 {
    fn from(sequence: Sequence) -> u64 {
        sequence.0
    }
}
