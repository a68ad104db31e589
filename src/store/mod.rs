//! Where events stay: stores, the actor that feeds them, and the journal.
//!
//! A [`Store`] keeps [`Record`]s in the order of their sequences. The one that comes with
//! ringpost is the [`journal`], a directory of JSON lines that people can read; [`MemoryStore`] is
//! the reference that every store is tested against. [`Persistence`] runs a store on a thread of
//! its own and feeds it from a bus, in sequence order, without losing anything silently.
//!
//! A durable consumer ([`SubscribeBuilder::durable`](crate::SubscribeBuilder::durable)) goes on
//! where it was, across restarts, at least once.
//!
//! Three words, each with one meaning. A record is *written* once the store has taken it whole:
//! it survives the death of this process. It is *durable* once it is on stable storage as far as
//! the store can promise that: it survives a power cut. A *watermark* says up to which sequence
//! either is true, and never goes back.
#![forbid(unsafe_code)]

mod batch;
mod checkpoint;
pub(crate) mod consumer;
mod cursor;
mod dedup;
mod error;
#[cfg(all(feature = "jsonl", unix))]
pub mod journal;
mod memory;
mod persist;
mod receipt;
mod record;
#[cfg(not(feature = "redis"))]
#[path = "no_redis.rs"]
mod redis;
#[cfg(feature = "redis")]
pub mod redis;
mod upkeep;
mod url;

use std::sync::Arc;
use std::time::Instant;

pub use batch::Batching;
pub use checkpoint::{
    Begin, Checkpoint, CheckpointStore, ConsumerName, ConsumerNameError, HeldCheckpoint,
};
pub use consumer::{
    AfterLast, Consumer, ConsumerEnd, ConsumerError, ConsumerOptions, ConsumerReport,
    ConsumerStats, DurableBuilder, DurableSubscription,
};
pub use cursor::{Archive, Cursor, CursorError, Step};
pub use dedup::{Dedup, DedupWindow};
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
pub use persist::{
    Confirmation, FlushError, Observer, PersistOptions, PersistReport, PersistStats, Persistence,
    Receipts, Source, Taken, Trouble,
};
pub use receipt::{Durable, Level, Receipt, ReceiptError, ReceiptLevel, Written};
pub use record::Record;
pub use upkeep::{Upkeep, UpkeepStats};
pub use url::{StoreUrl, StoreUrlError};

use crate::event::Event;
use crate::{Sequence, Shared};

/// Records read from a store, oldest first.
pub type Scan<'s> = Box<dyn Iterator<Item = Result<Record, StoreError>> + Send + 's>;

/// How far a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Every record up to here was written; where a store's settings say that each batch is to be
    /// durable, it counts as written once it is.
    pub written: Option<Sequence>,
    /// Every record up to here is durable. `None` before the first, and always with a store that
    /// never promises it.
    pub durable: Option<Sequence>,
}

/// A place for records.
///
/// One writer appends, in rising sequences. Calls may block on a disk or a network: they are made
/// on the persistence actor's thread, never on a publisher's.
pub trait Store: Send {
    /// Stores the records of `batch`, whose sequences rise, from above the last one stored; they
    /// need not be consecutive. On success all of them are written, or durable if the store's
    /// settings say so.
    ///
    /// After an error some may be written. The same batch may be handed in again, and must be:
    /// then each record is stored once.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::OutOfOrder`] if the sequences do not rise, [`StoreErrorKind::TooLarge`]
    /// for a record that the store can never take: then nothing of the batch is stored. Otherwise why it could not be done.
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError>;

    /// Makes this store's own form of a record, while the record still lies where it came from:
    /// it is not kept, and [`append_staged`](Self::append_staged) stores the form, among those of
    /// all records staged since its last success. Returns the bytes it takes, or `None` from a
    /// store that has no such form: then records come by [`append`](Self::append), which is what
    /// happens unless a store says otherwise. A store answers the same way for all its records.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::TooLarge`] for a record that the store can never take: it is not staged,
    /// the others are.
    fn stage(
        &mut self,
        _sequence: Sequence,
        _event: &Shared<Event>,
    ) -> Result<Option<usize>, StoreError> {
        Ok(None)
    }

    /// Stores what is staged, as [`append`](Self::append) stores a batch: after an error it is
    /// still staged, and to be called again.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), but for `TooLarge`.
    fn append_staged(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Begins to store what is staged, so that more can be staged while that goes on: as
    /// [`append_staged`](Self::append_staged), but it may return before all of it is
    /// [stored](Self::stored_to). Unless a store says otherwise, all of it is stored at once.
    ///
    /// # Errors
    ///
    /// As [`append_staged`](Self::append_staged), also for what began before: nothing of it is lost,
    /// and this or [`append_staged`](Self::append_staged) is to be called again.
    fn begin_staged(&mut self) -> Result<(), StoreError> {
        self.append_staged()
    }

    /// Waits until more of what began is stored, if it is not all stored. After a few calls it is;
    /// [`append_staged`](Self::append_staged) and [`flush`](Self::flush) wait for all of it.
    ///
    /// # Errors
    ///
    /// As [`begin_staged`](Self::begin_staged); it may also be called again itself.
    fn advance_staged(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Up to which sequence everything is stored, in the sense of [`append`](Self::append). A wrapper
    /// of another store passes its answer on.
    fn stored_to(&self) -> Option<Sequence> {
        self.watermarks().written
    }

    /// Makes all that was appended as durable as this store's settings allow.
    ///
    /// # Errors
    ///
    /// Why it could not be done. The records are kept and the call may be made again.
    fn flush(&mut self) -> Result<(), StoreError>;

    /// How far things are. Neither mark ever goes back.
    fn watermarks(&self) -> Watermarks;

    /// The most that [`watermarks`](Self::watermarks) will ever say of a record, with the settings
    /// that the store has. Whoever asks for more is told so at once instead of waiting for ever.
    /// Asked after every call: a server may be set otherwise when it comes back.
    /// A wrapper of another store passes its answer on. Written, unless the store knows better.
    fn promises(&self) -> Level {
        Level::Written
    }

    /// How many records to hand in at once, at most: those of one call wait for each other's
    /// receipts. A wrapper of another store passes its answer on.
    fn batch_limit(&self) -> usize {
        usize::MAX
    }

    /// The last sequence stored, by whomever: a bus that goes on with this store starts at the
    /// next one.
    fn last_sequence(&self) -> Option<Sequence> {
        self.watermarks().written
    }

    /// The records from `from` on, inclusive, each once, in sequence order, up to what is written
    /// when the scan gets there.
    ///
    /// # Errors
    ///
    /// Why the store cannot be read.
    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError>;

    /// The last `count` records, oldest first; fewer if there are fewer.
    ///
    /// # Errors
    ///
    /// Why the store cannot be read.
    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError>;

    /// Where the checkpoints of named consumers are kept, and the records they come back for. A
    /// wrapper of another store passes its answer on.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] from a store that has no such place, which is any but a
    /// journal.
    fn checkpoints(&self) -> Result<Arc<dyn CheckpointStore>, StoreError> {
        let attempt = "look for a place for checkpoints in a store that is no journal";
        Err(StoreError::new(StoreErrorKind::Unsupported, attempt))
    }

    /// When [`tend`](Self::tend) has something to do, if nothing is appended before.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Does what is due, such as a sync at the end of an interval.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    fn tend(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What the store does on its own with what it has; nothing, unless it says so. A wrapper of
    /// another store passes its answer on.
    fn upkeep(&self) -> Upkeep {
        Upkeep::default()
    }
}
