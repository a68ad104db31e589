//! Replaces a sealed segment by its compressed self.
//!
//! Called by the [keeper](super::keeper) alone, under the directory's lock. The story of a
//! segment: its frames are written into a file under a name that no reader looks at, read back
//! and compared, and synced; only then the file gets its name, and only once that name is durable
//! the plain one is removed. So at every moment at least one whole form is there, and while both
//! are, every reader takes the plain one. It must never touch a segment that may still be written.
#![forbid(unsafe_code)]

use std::io;

use super::index;
use super::io_failed;
use super::pack;
use super::packed;
use super::planted::{Bug, planted};
use super::segment::SegmentNumber;
use super::storage::{Access, Storage, StoredFile};
use crate::store::{StoreError, StoreErrorKind};

/// Compresses a sealed segment, for as long as `goes_on` says so: the bytes of the segment, and of
/// the file that is now there in its place. Nothing if it stopped, or if there is no plain file.
pub(super) fn compress(
    storage: &dyn Storage,
    number: SegmentNumber,
    level: i32,
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<(u64, u64)>, StoreError> {
    let failed = |verb| move |error| io_failed(storage.place(), verb, Some(number), error);
    let name = number.packed_name();
    let Some(plain) = existing(storage, &number.file_name()).map_err(failed("open"))? else {
        return Ok(None);
    };
    let from = plain.length().map_err(failed("look at"))?;
    match existing(storage, &name).map_err(failed("open the compressed"))? {
        // A process died before it had removed the plain one.
        Some(packed) => {
            let is_same = packed::open(packed).and_then(|packed| same(&*plain, &*packed));
            if !is_same.map_err(failed("read the compressed"))? {
                return Err(differs(storage, &name));
            }
        }
        None => {
            let temporary = number.unfinished_name();
            let made = make(storage, &temporary, level, &*plain, goes_on);
            if !matches!(made, Ok(true)) {
                // At once as well as later: a full disk has no room for it.
                let _ = storage.remove(&temporary);
            }
            if !made.map_err(failed("compress"))? {
                return Ok(None);
            }
            let named = storage.rename(&temporary, &name);
            named.map_err(failed("name the compressed"))?;
        }
    }
    if !planted(Bug::PlainRemovedTooEarly)
        && let Err(error) = storage.sync_directory()
    {
        // A sync that failed is not believed when it succeeds later: it begins anew.
        let _ = storage.remove(&name);
        return Err(failed("sync the name of the compressed")(error));
    }
    // What it says is as true of the compressed one, but nobody believes it of another file.
    let index = index::kept_in(storage, number);
    let _ = storage.remove(&number.index_name());
    forget(storage, &number.file_name()).map_err(failed("remove, now that it is compressed,"))?;
    storage.sync_directory().map_err(failed("sync the removal of"))?;
    if let Some(index) = index {
        index::keep(storage, number, &index);
    }
    let packed = existing(storage, &name).map_err(failed("open the compressed"))?;
    let to = packed.map_or(Ok(0), |packed| packed.length());
    Ok(Some((from, to.map_err(failed("look at the compressed"))?)))
}

/// Makes a plain segment durable that its writer, by its policy, did not. While both forms are
/// there the plain one is read, and after a power cut it must not be the worse one. After a failure
/// nothing is known about it: then it stays as it is.
pub(super) fn secure(storage: &dyn Storage, number: SegmentNumber) -> Result<(), StoreError> {
    let plain = existing(storage, &number.file_name());
    let synced = plain.and_then(|plain| plain.map_or(Ok(()), |mut plain| plain.sync()));
    synced.map_err(|error| {
        io_failed(storage.place(), "sync, before it is compressed,", Some(number), error)
    })
}

fn differs(storage: &dyn Storage, name: &str) -> StoreError {
    let place = storage.place().join(name);
    let attempt = format!(
        "compress a segment, because {} is there and holds something else: take one of them away",
        place.display()
    );
    StoreError::new(StoreErrorKind::Refused, attempt)
}

/// The file of that name, if there is one.
fn existing(storage: &dyn Storage, name: &str) -> io::Result<Option<Box<dyn StoredFile>>> {
    match storage.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Removes a file that may not be there.
fn forget(storage: &dyn Storage, name: &str) -> io::Result<()> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes the compressed file under its temporary name and makes it durable; false if it was
/// told to stop.
fn make(
    storage: &dyn Storage,
    temporary: &str,
    level: i32,
    plain: &dyn StoredFile,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<bool> {
    forget(storage, temporary)?;
    let mut file = storage.create(temporary)?;
    if !pack::write(plain, &mut *file, level, goes_on)? {
        return Ok(false);
    }
    let written = packed::open(storage.open(temporary, Access::Read)?)?;
    if !same(plain, &*written)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what was written is not the same"));
    }
    if !planted(Bug::PackedWithoutSync) {
        file.sync()?;
    }
    Ok(true)
}

/// The most that is read at a time.
const BLOCK: usize = 256 * 1024;

/// Whether both hold the same bytes.
fn same(one: &dyn StoredFile, other: &dyn StoredFile) -> io::Result<bool> {
    // Room enough to see that nothing follows.
    let most = usize::try_from(one.length()?.saturating_add(1)).unwrap_or(BLOCK);
    let block = most.min(BLOCK);
    let (mut left, mut right) = (vec![0; block], vec![0; block]);
    let mut at = 0;
    loop {
        let read = read_block(one, &mut left, at)?;
        if read_block(other, &mut right, at)? != read || left[..read] != right[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        at += read as u64;
    }
}

/// Reads until `into` is full or the file ends.
fn read_block(file: &dyn StoredFile, into: &mut [u8], from: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
