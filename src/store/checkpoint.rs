//! How far a named consumer is: its name, and what is kept of it across restarts.
//!
//! Plain values; where they are kept is the store's affair.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use super::{Archive, StoreError};
use crate::Sequence;
use crate::event::Timestamp;

/// The name of a durable consumer: 1 to 64 characters of `a` to `z`, `0` to `9`, `.`, `_` and
/// `-`, the first one a letter or a digit. So it is a file name as it stands, and never a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(Box<str>);

impl ConsumerName {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 64;

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConsumerName {
    type Err = ConsumerNameError;

    fn from_str(text: &str) -> Result<Self, ConsumerNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= Self::LONGEST
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
        if fits { Ok(Self(text.into())) } else { Err(ConsumerNameError(text.into())) }
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A text that is no [`ConsumerName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no consumer's name, which is 1 to 64 characters of a-z, 0-9, '.', '_' and '-', \
     and begins with a letter or a digit"
)]
pub struct ConsumerNameError(Box<str>);

/// Where a consumer begins that its store does not know yet, or is reset to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begin {
    /// With the oldest record that the store has.
    First,
    /// With the next event: what is there already is not seen.
    Now,
    /// With this sequence, or the next event if that comes before it.
    Sequence(Sequence),
    /// With the first stored record whose time, or else the time at which it was recorded, is not
    /// before this; if there is none, with the next event.
    Time(Timestamp),
}

/// What a store keeps of a named consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The first sequence that the consumer still needs: everything before it was handled, passed
    /// over after its last attempt, not matched, or not wanted from the beginning.
    pub next: Sequence,
    /// The pattern of the consumer that stored this; empty if it is too long to be noted.
    pub pattern: String,
    /// Events whose handler succeeded, in the consumer's life.
    pub handled: u64,
    /// Events that were passed over after their last attempt.
    pub failed: u64,
    /// Events that neither the ring nor the store had any more when they were to be read, whether
    /// the pattern matches them or not.
    pub lost: u64,
    /// When this was stored.
    pub stored: Timestamp,
}

impl Checkpoint {
    /// That of a consumer that has done nothing yet and needs everything from `next` on.
    #[must_use]
    pub fn new(next: Sequence, pattern: impl Into<String>) -> Self {
        let (pattern, stored) = (pattern.into(), Timestamp::now());
        Self { next, pattern, handled: 0, failed: 0, lost: 0, stored }
    }

    /// How many events lie between it and the last one of its store, whether the pattern matches
    /// them or not.
    #[must_use]
    pub fn lag(&self, last: Option<Sequence>) -> u64 {
        last.map_or(0, |last| (last.get() + 1).saturating_sub(self.next.get()))
    }
}

/// Where a store keeps checkpoints, and reads its records for consumers that come back.
pub trait CheckpointStore: Send + Sync + fmt::Debug {
    /// A reader of the store's records.
    fn archive(&self) -> Box<dyn Archive>;

    /// The first sequence wanted by a consumer that begins there; none if no record that the
    /// store has is wanted.
    ///
    /// # Errors
    ///
    /// Why the store cannot be read.
    fn place_of(&self, begin: Begin) -> Result<Option<Sequence>, StoreError>;

    /// Takes a consumer's checkpoint for oneself, until the result is dropped or this process
    /// dies.
    ///
    /// # Errors
    ///
    /// [`Locked`](crate::store::StoreErrorKind::Locked) if somebody else runs the consumer, in any
    /// process; otherwise why it cannot be had.
    fn take(&self, name: &ConsumerName) -> Result<Box<dyn HeldCheckpoint>, StoreError>;
}

/// A consumer's checkpoint in the hands of the one who runs it.
pub trait HeldCheckpoint: Send + fmt::Debug {
    /// What is stored; `None` if the consumer is new.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn load(&mut self) -> Result<Option<Checkpoint>, StoreError>;

    /// Stores a checkpoint. It is as durable as the store can make it when this returns.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. What was stored before counts, or this.
    fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_and_never_a_path() {
        let longest = "x".repeat(ConsumerName::LONGEST);
        for name in ["billing", "a", "0", "a.b_c-d", "7.zst", &longest] {
            assert_eq!(name.parse::<ConsumerName>().expect(name).as_str(), name);
        }
        let longer = "x".repeat(ConsumerName::LONGEST + 1);
        for text in
            ["", ".", "..", ".a", "-a", "_a", "a/b", "../a", "A", "ä", "a b", "a\0", &longer]
        {
            let error = text.parse::<ConsumerName>().expect_err(text);
            assert!(error.to_string().contains("begins with a letter"), "{error}");
        }
    }

    #[test]
    fn lag_counts_what_is_stored_and_not_yet_read() {
        let checkpoint = Checkpoint::new(Sequence::new(5), "**");
        assert_eq!(checkpoint.lag(None), 0);
        assert_eq!(checkpoint.lag(Some(Sequence::new(4))), 0);
        assert_eq!(checkpoint.lag(Some(Sequence::new(5))), 1);
        assert_eq!(checkpoint.lag(Some(Sequence::new(104))), 100);
    }
}
