//! Receipts: that one record is written, or durable, said in the type.
//!
//! Made by the persistence actor alone, and never before what they say is true. There is no
//! receipt without a level.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

use super::StoreError;
use crate::{Gap, Sequence};

/// How safe a record is; the higher one includes the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// The store took it whole: it survives the death of this process.
    Written,
    /// It is on stable storage, as far as the store can promise that: it survives a power cut.
    Durable,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Written => "written",
            Self::Durable => "durable",
        })
    }
}

/// [`Level::Written`] as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Written;

/// [`Level::Durable`] as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Durable;

/// A [`Level`] as a type: [`Written`] or [`Durable`].
pub trait ReceiptLevel: sealed::Sealed + Copy + fmt::Debug + Unpin + Send + Sync + 'static {
    /// The level.
    const LEVEL: Level;
}

impl ReceiptLevel for Written {
    const LEVEL: Level = Level::Written;
}

impl ReceiptLevel for Durable {
    const LEVEL: Level = Level::Durable;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Written {}
    impl Sealed for super::Durable {}
}

/// That the record of one sequence is at the level `L`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it says that the record is safe"]
pub struct Receipt<L: ReceiptLevel> {
    sequence: Sequence,
    level: PhantomData<L>,
}

impl<L: ReceiptLevel> Receipt<L> {
    pub(super) fn new(sequence: Sequence) -> Self {
        Self { sequence, level: PhantomData }
    }

    /// Whose receipt it is.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What it says.
    #[must_use]
    pub fn level(&self) -> Level {
        L::LEVEL
    }
}

/// What is durable is written.
impl From<Receipt<Durable>> for Receipt<Written> {
    fn from(receipt: Receipt<Durable>) -> Self {
        Self::new(receipt.sequence)
    }
}

/// Why there is no receipt. Only [`Refused`](Self::Refused) and [`Lost`](Self::Lost) say that
/// the record will never be stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The store never promises this, with the settings it has.
    #[error("this store, with its settings, never says that a record is {0}")]
    NotPromised(Level),
    /// The store is failing. The record is kept and tried again: ask again to go on waiting.
    #[error("the store is failing, and the record is kept to be tried again")]
    Failed(#[source] StoreError),
    /// The store can never take this record.
    #[error("the store refused the record")]
    Refused(#[source] StoreError),
    /// The source lost the record before the store saw it.
    #[error("the records {} to {} were lost before they reached the store", .0.from, .0.to)]
    Lost(Gap),
    /// The persistence was not given this sequence: it began later, or left it out; or it was
    /// asked about one of too many that were lost long ago.
    #[error("sequence {0} is none that this persistence stored")]
    NotTaken(Sequence),
    /// It took longer than the caller waited. The record may still be stored.
    #[error("no receipt came in time")]
    Timeout,
    /// The persistence ended before.
    #[error("the persistence ended before the record was stored as asked")]
    Ended,
}
