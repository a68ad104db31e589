//! What may happen in a life of a journal: see `history`.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::store::journal::Fsync;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// A batch of so many records, with so many bytes of data each; first the one that failed.
    Append {
        records: u8,
        bytes: u8,
    },
    Flush,
    Tend,
    /// What began is waited for.
    Settle,
    /// Sealed segments are looked after.
    Keep,
    /// A consumer acknowledges about so much.
    Acknowledge(u8),
    /// The system writes some pages back.
    WriteBack,
    /// From the n-th call on from now, so many calls of a kind fail in a way.
    Fault {
        after: u8,
        calls: u8,
        kind: Kind,
        way: Way,
    },
    /// All faults are over.
    Heal,
    /// How the process ends; another one opens the journal.
    End {
        end: End,
        policy: Fsync,
        segment_bytes: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Append,
    Create,
    Sync,
    SyncDirectory,
    Cut,
    Remove,
    Rename,
    /// The disk is full, and what was written is lost as well.
    SyncAndAppend,
    /// What a failed sync left cannot be cut off.
    SyncAndCut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Error(i32),
    Short(u8),
    /// The process dies there; in a power cut if so.
    Dies {
        torn: u8,
        power: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Flushed and closed.
    Closed,
    Killed,
    PowerCut,
}

pub(super) const POLICIES: [Fsync; 5] = [
    Fsync::Never,
    Fsync::Interval(Duration::ZERO),
    Fsync::Interval(Duration::from_secs(3600)),
    Fsync::Batch,
    Fsync::Always,
];

pub(super) const ERRORS: [i32; 7] =
    [libc::ENOSPC, libc::EIO, libc::EROFS, libc::EMFILE, libc::EDQUOT, libc::EFBIG, libc::EINTR];
