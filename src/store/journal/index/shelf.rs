//! The file in which an index is kept, beside its segment.
//!
//! Whatever goes wrong here, there is no index, and the reader scans: nothing is reported. The
//! file is not synced; what a power cut leaves of it is found to be torn.
#![forbid(unsafe_code)]

use std::io;

use super::Index;
use super::catalog::{BLOCK, LONGEST, Stamp, decode, encode, make, read_exactly};
use crate::store::journal::packed;
use crate::store::journal::read::Target;
use crate::store::journal::segment::SegmentNumber;
use crate::store::journal::storage::{Access, Storage, StoredFile, append_all};

/// Below this many bytes reading a segment is as quick as reading about it.
const LEAST: u64 = 4 * BLOCK;

/// The index of a sealed segment, if there is one that fits it.
pub(in super::super) fn kept(target: &Target, number: SegmentNumber) -> Option<Index> {
    let Target::Directory(storage) = target else { return None };
    kept_in(&**storage, number)
}

/// The same in a journal's directory.
pub(in super::super) fn kept_in(storage: &dyn Storage, number: SegmentNumber) -> Option<Index> {
    Segment::open(storage, number).ok()?.kept(storage).ok().flatten()
}

/// Keeps an index that was made of the same contents in another form, if there is none.
pub(in super::super) fn keep(storage: &dyn Storage, number: SegmentNumber, index: &Index) {
    let Ok(segment) = Segment::open(storage, number) else { return };
    let name = number.index_name();
    if segment.length < LEAST {
        return;
    }
    // Whoever made one meanwhile made it of what lies there now.
    let Ok(mut file) = storage.create(&name) else { return };
    if segment.write(&mut *file, index).is_err() {
        let _ = storage.remove(&name);
    }
}

/// The index of a sealed segment, made if there is none that fits it; none if it may not be kept.
pub(in super::super) fn kept_or_made(target: &Target, number: SegmentNumber) -> Option<Index> {
    let Target::Directory(storage) = target else { return None };
    let make = || Segment::open(&**storage, number).ok()?.make_and_keep(&**storage).ok();
    kept(target, number).or_else(make)
}

/// The same, made also if it may not be kept: for one who reads the lines more dearly than an
/// index does.
pub(in super::super) fn made_anyhow(target: &Target, number: SegmentNumber) -> Option<Index> {
    let Target::Directory(storage) = target else { return None };
    let again = || make(Segment::open(&**storage, number).ok()?.contents().ok()?).ok();
    kept_or_made(target, number).or_else(again)
}

fn is_there(storage: &dyn Storage, number: SegmentNumber) -> bool {
    let is_missing = |name: &str| {
        let opened = storage.open(name, Access::Read);
        opened.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    // It is compressed from the one to the other.
    !(is_missing(&number.file_name()) && is_missing(&number.packed_name()))
}

/// A segment's file as it lies there, compressed or not.
struct Segment {
    number: SegmentNumber,
    file: Box<dyn StoredFile>,
    is_packed: bool,
    length: u64,
}

impl Segment {
    fn open(storage: &dyn Storage, number: SegmentNumber) -> io::Result<Self> {
        let (file, is_packed) = match storage.open(&number.file_name(), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (storage.open(&number.packed_name(), Access::Read)?, true)
            }
            opened => (opened?, false),
        };
        let length = file.length()?;
        Ok(Self { number, file, is_packed, length })
    }

    /// Its contents, unpacked.
    fn contents(self) -> io::Result<Box<dyn StoredFile>> {
        if self.is_packed { packed::open(self.file) } else { Ok(self.file) }
    }

    fn kept(&self, storage: &dyn Storage) -> io::Result<Option<Index>> {
        if self.length < LEAST {
            return Ok(None);
        }
        let file = storage.open(&self.number.index_name(), Access::Read)?;
        if !self.is_as_safe(&*file)? {
            return Ok(None);
        }
        let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        read_exactly(&*file, &mut bytes, 0)?;
        Ok(decode(&bytes, Stamp::of(&*self.file, self.length)?))
    }

    /// Whether nobody can have written the index who could not have written the segment.
    fn is_as_safe(&self, index: &dyn StoredFile) -> io::Result<bool> {
        let (index, segment) = (index.ownership()?, self.file.ownership()?);
        let is_theirs = index.owner == segment.owner || index.owner == 0;
        Ok(is_theirs && (!index.is_open_to_others || segment.is_open_to_others))
    }

    /// Makes the index and keeps it. The file is made first: who may not keep one need not make it.
    fn make_and_keep(self, storage: &dyn Storage) -> io::Result<Index> {
        if self.length < LEAST {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let name = self.number.index_name();
        let mut file = match storage.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // It does not fit, or its maker died, or is at work this moment: then each keeps
                // what it makes, and the last one's stays.
                storage.remove(&name)?;
                storage.create(&name)?
            }
            created => created?,
        };
        let number = self.number;
        let made = self.fill(&mut *file);
        // What could not be made is found to be torn. Of a segment that retention removed meanwhile
        // nobody else would remove it.
        if made.is_err() || !is_there(storage, number) {
            let _ = storage.remove(&name);
        }
        made
    }

    fn fill(self, file: &mut dyn StoredFile) -> io::Result<Index> {
        let stamp = self.stamp_for(file)?;
        let index = make(self.contents()?)?;
        append(file, &index, stamp)?;
        Ok(index)
    }

    /// Writes an index of its contents.
    fn write(&self, file: &mut dyn StoredFile, index: &Index) -> io::Result<()> {
        let stamp = self.stamp_for(file)?;
        append(file, index, stamp)
    }

    /// The stamp of what lies there, if an index in `file` may say what is in it.
    fn stamp_for(&self, file: &dyn StoredFile) -> io::Result<Stamp> {
        if !self.is_as_safe(file)? {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Stamp::of(&*self.file, self.length)
    }
}

fn append(file: &mut dyn StoredFile, index: &Index, stamp: Stamp) -> io::Result<()> {
    match append_all(file, &encode(index, stamp)) {
        (_, None) => Ok(()),
        (_, Some(error)) => Err(error),
    }
}
