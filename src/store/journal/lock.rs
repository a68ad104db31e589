//! One writer a directory.
//!
//! Taken by the journal before it looks at a single segment, held as long as it lives. The lock
//! belongs to the open file, so the system gives it back when the holder dies, however it dies;
//! the file itself stays and means nothing.
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
    ///
    /// A reader that asks whether a writer lives holds the lock for an instant, so a refusal is
    /// believed only when it lasts longer than that.
    pub(crate) fn take(storage: &dyn Storage) -> Result<Self, StoreError> {
        let note = format!("{}\n", process::id());
        for pause in [1, 4, 16, 0] {
            match storage.lock(LOCK, &note) {
                Ok(held) => return Ok(Self { _held: held }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(pause));
                }
                Err(error) => return Err(StoreError::from_io(attempt(storage), error)),
            }
        }
        Err(StoreError::new(StoreErrorKind::Locked, attempt(storage)))
    }

    /// Whether a writer has the directory now. A directory that cannot be asked has none.
    pub(crate) fn is_taken(storage: &dyn Storage) -> bool {
        storage.is_locked(LOCK).unwrap_or(false)
    }
}

fn attempt(storage: &dyn Storage) -> String {
    format!("lock the journal {} for writing", storage.place().display())
}
