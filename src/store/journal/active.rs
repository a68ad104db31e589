//! The segment that is being written: how it is made, and what makes it durable.
//!
//! The writer's alone, which also counts what is in it.
#![forbid(unsafe_code)]

use std::io;
use std::time::Instant;

use super::io_failed;
use super::planted::{Bug, planted};
use super::segment::SegmentNumber;
use super::storage::{Storage, StoredFile};
use crate::store::StoreError;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: SegmentNumber,
    pub(super) file: Box<dyn StoredFile>,
    /// Bytes of whole lines; the file holds nothing else between calls.
    pub(super) length: u64,
    /// Bytes of it that a sync covered.
    pub(super) durable: u64,
    /// When it was made, or gone on with.
    pub(super) since: Instant,
}

/// Makes a new segment under a number that is used up even if this fails.
pub(super) fn create(storage: &dyn Storage, next: &mut u64) -> Result<Active, StoreError> {
    create_as(SegmentNumber::file_name, storage, next)
}

/// The same under a name that nobody reads: see [`give_name`].
pub(super) fn create_copy(storage: &dyn Storage, next: &mut u64) -> Result<Active, StoreError> {
    create_as(SegmentNumber::copy_name, storage, next)
}

fn create_as(
    name: impl Fn(SegmentNumber) -> String,
    storage: &dyn Storage,
    next: &mut u64,
) -> Result<Active, StoreError> {
    let number = SegmentNumber(*next);
    *next += 1;
    match storage.create(&name(number)) {
        Ok(file) => Ok(Active { number, file, length: 0, durable: 0, since: Instant::now() }),
        Err(error) => Err(io_failed(storage.place(), "make", Some(number), error)),
    }
}

/// The segment's bytes, and once its name: only both together survive a power cut.
pub(super) fn sync_all(
    storage: &dyn Storage,
    active: &mut Active,
    name_synced: &mut bool,
) -> io::Result<()> {
    if planted(Bug::DurableWithoutSync) {
        return Ok(());
    }
    match active.file.sync() {
        Err(_) if planted(Bug::FailedSyncIsGood) => {}
        Err(_) if planted(Bug::SyncTriedAgain) => active.file.sync()?,
        synced => synced?,
    }
    sync_name(storage, name_synced)
}

/// Makes a segment of a copy that is whole: its bytes are durable before it has the name under which it
/// is read, and then the name.
pub(super) fn give_name(
    storage: &dyn Storage,
    copy: &mut Active,
    name_synced: &mut bool,
) -> io::Result<()> {
    // The name it has so far need not last.
    *name_synced = true;
    sync_all(storage, copy, name_synced)?;
    storage.rename(&copy.number.copy_name(), &copy.number.file_name())?;
    *name_synced = false;
    sync_name(storage, name_synced)
}

pub(super) fn sync_name(storage: &dyn Storage, name_synced: &mut bool) -> io::Result<()> {
    if !*name_synced && !planted(Bug::NoDirectorySync) {
        storage.sync_directory()?;
        *name_synced = true;
    }
    Ok(())
}
