//! One writer a directory.
//!
//! Taken by the journal before it looks at a single segment, held as long as it lives. The lock
//! belongs to the open file, so the system gives it back when the holder dies, however it dies;
//! the file itself stays and means nothing. Who removes it lets no second writer in: the directory
//! is locked with it.
#![forbid(unsafe_code)]

use std::time::Duration;
use std::{io, process, thread};

use super::storage::{Held, Storage};
use crate::store::{StoreError, StoreErrorKind};

/// The lock's file name.
pub(crate) const LOCK: &str = "lock";

/// The right to write into one directory.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _held: Box<dyn Held>,
}

impl WriterLock {
    /// Takes the lock, or says `Locked`.
    pub(crate) fn take(storage: &dyn Storage) -> Result<Self, StoreError> {
        let attempt = format!("lock the journal {} for writing", storage.place().display());
        Ok(Self { _held: take(storage, LOCK, &attempt)? })
    }

    /// Whether a writer has the directory now. A directory that cannot be asked has none.
    pub(crate) fn is_taken(storage: &dyn Storage) -> bool {
        storage.is_locked(LOCK).unwrap_or(false)
    }
}

/// Takes the lock of `name` while doing `attempt`, or says `Locked`.
///
/// A reader that asks whether somebody holds it holds it for an instant itself, so a refusal is
/// believed only when it lasts longer than that.
pub(super) fn take(
    storage: &dyn Storage,
    name: &str,
    attempt: &str,
) -> Result<Box<dyn Held>, StoreError> {
    let note = format!("{}\n", process::id());
    for pause in [1, 4, 16, 0] {
        match storage.lock(name, &note) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(pause));
            }
            held => return held.map_err(|error| StoreError::from_io(attempt, error)),
        }
    }
    Err(StoreError::new(StoreErrorKind::Locked, attempt))
}
