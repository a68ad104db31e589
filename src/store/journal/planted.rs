//! Bugs planted in the journal to prove that its tests can find them.
//!
//! Consulted by the writer, recovery and readers at the few places whose omission a test must
//! notice. Outside of tests `planted` is constantly false; it must never decide anything else.
#![forbid(unsafe_code)]

/// A step that is left out, or taken too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A record counts as written before it is.
    WrittenBeforeWrite,
    /// A record counts as durable without a sync.
    DurableWithoutSync,
    /// The directory is never synced.
    NoDirectorySync,
    /// What a short write left stays in the file.
    PieceStays,
    /// A batch that is handed in again is written again from its beginning.
    RetryWritesTwice,
    /// What began is not made durable when it has to end.
    BegunIsNotEnded,
    /// What is written counts as stored where it has to be durable for that.
    BegunIsStored,
    /// A sync that failed counts as one that succeeded.
    FailedSyncIsGood,
    /// A sync that failed is tried again on the same file, and believed.
    SyncTriedAgain,
    /// A running sync counts as done as soon as it began.
    BelievedWhileRunning,
    /// A running sync that failed counts as one that succeeded.
    FailedRunningSyncIsGood,
    /// What was written while a sync was running counts as covered by it.
    RunningSyncCoversLater,
    /// A file is synced without a look at how its running sync ended.
    RunningSyncIgnored,
    /// A sync is believed before what an earlier one lost is durable in one place alone.
    SyncWithoutLanding,
    /// What a failed sync left in its file stays there.
    StrandedStays,
    /// A segment is left without a sync.
    LeftWithoutSync,
    /// What earlier processes wrote counts as durable without a sync.
    InheritedWithoutSync,
    /// A torn tail is not mended before the first append.
    AppendBehindTornTail,
    /// A torn tail is cut off without a copy.
    TornTailThrownAway,
    /// The number of the last record is given out again after a restart.
    SequenceUsedAgain,
    /// A checksum that does not match is no damage.
    ChecksumIgnored,
    /// The lock is not taken.
    NoLock,
    /// An open segment older than its limit is gone on with.
    AgeIgnored,
    /// A checkpoint is written over the one before it.
    OneSlot,
    /// A checkpoint that is ahead of the journal stays there.
    AheadStays,
    /// What an earlier process wrote into a checkpoint's slot counts as durable.
    InheritedCheckpoint,
    /// The segment being written counts as sealed.
    ActiveIsSealed,
    /// Also the newest sealed segment may be removed.
    NothingStays,
    /// A removal begins before the one before it is durable.
    RemovedTogether,
    /// What a consumer has not read is removed.
    ConsumerIgnored,
    /// A plain segment is removed before the name of its compressed self is durable.
    PlainRemovedTooEarly,
    /// A compressed segment gets its name without a sync.
    PackedWithoutSync,
    /// What retention removed is passed over without a word.
    RemovalNotTold,
    /// Segments are listed once, although one may be replaced meanwhile.
    ListedOnce,
    /// An index is believed whatever its checksum says, and whatever it was made from.
    IndexUnchecked,
    /// An index notes the times of a block's first record for all of it.
    IndexOfFirstTimes,
}

#[cfg(not(test))]
#[inline(always)]
pub(super) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(test)]
pub(super) use planting::{plant, planted};

#[cfg(test)]
mod planting {
    use super::Bug;
    use std::cell::Cell;

    // A test drives its journal on its own thread, so others that run meanwhile have no bugs.
    std::thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub(in super::super) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(in super::super) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
