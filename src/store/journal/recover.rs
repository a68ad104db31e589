//! What opening a journal for writing does before the first append.
//!
//! Called under the directory's lock. It looks at the end of the last segment and leaves it
//! ending in a whole line, whatever a crash left there; it finds the last sequence; it removes
//! what compressing a segment, or writing one again, left unfinished; it changes nothing else. A
//! line is never deleted: a torn tail is copied aside before it is cut off, and each step is durable before the next, so that a crash in between, and any repetition, ends in
//! the same state. Damage elsewhere is left alone: readers step over it.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;

use super::checkpoint::CheckpointAhead;
use super::io_failed;
use super::lines::Backward;
use super::packed;
use super::planted::{Bug, planted};
use super::segment::{Listing, SegmentNumber};
use super::storage::{Access, Storage, StoredFile, append_all};
use super::verdict::judge_stored;
use crate::Sequence;
use crate::store::{StoreError, StoreErrorKind};

/// What was found, and mended, when a journal was opened for writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Segments that are there, compressed ones among them.
    pub segments: usize,
    /// The last sequence found. The journal goes on behind it.
    pub last_sequence: Option<Sequence>,
    /// A tail that was cut off, because its record was not written to its end.
    pub torn: Option<TornTail>,
    /// Whether the last record was whole but for its newline, which was added.
    pub newline_added: bool,
    /// Damaged lines behind the last record of a segment.
    pub damaged: u64,
    /// Whether others than the owner may write into the directory: then they can replace what is
    /// in it.
    pub open_to_others: bool,
    /// Named consumers that were ahead of the journal, which had lost what they had handled, and
    /// were moved back to its end: the sequences are given out again.
    pub ahead: Vec<CheckpointAhead>,
}

/// The unfinished end of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The segment.
    pub segment: PathBuf,
    /// Where the tail began.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// The file that keeps it.
    pub kept_in: PathBuf,
}

/// Where the writer goes on.
#[derive(Debug)]
pub(super) struct Resume {
    pub(super) recovery: Recovery,
    /// The last segment and its length, now that it ends in a whole line.
    pub(super) last: Option<(SegmentNumber, Box<dyn StoredFile>, u64)>,
    /// A segment number that was never used.
    pub(super) next: u64,
    /// All segments that are there, oldest first.
    pub(super) segments: Vec<SegmentNumber>,
}

/// Mends the end of the journal and finds where it goes on. With `durable` all that is there is
/// made durable: an earlier process may have written it and died before its sync.
pub(super) fn recover(storage: &dyn Storage, durable: bool) -> Result<Resume, StoreError> {
    let names = storage.names().map_err(|error| io_failed(storage.place(), "list", None, error))?;
    let listing = Listing::of(names.iter().map(String::as_str));
    if let Some(name) = &listing.strange {
        let place = storage.place();
        let attempt = format!(
            "open {} for writing, because {} has a number that leaves none for what follows: take \
             it away",
            place.display(),
            place.join(name).display()
        );
        return Err(StoreError::new(StoreErrorKind::Refused, attempt));
    }
    for name in &listing.unfinished {
        // It was never read, and is made anew. Where it cannot be removed it harms nobody.
        let _ = storage.remove(name);
    }
    let segments = listing.clone().readable();
    let mut recovery = Recovery {
        segments: segments.len(),
        open_to_others: storage.is_open_to_others().unwrap_or(false),
        ..Recovery::default()
    };
    let (mut last, mut newest) = (None, None);
    for &number in listing.segments.iter().rev() {
        // What is compressed, and all before it, is sealed.
        let is_last = segments.last() == Some(&number) && listing.packed.last() != Some(&number);
        let access = if is_last { Access::Append } else { Access::Read };
        let file = storage.open(&number.file_name(), access);
        let mut file =
            file.map_err(|error| io_failed(storage.place(), "open", Some(number), error))?;
        let mut end = file
            .length()
            .map_err(|error| io_failed(storage.place(), "look at", Some(number), error))?;
        if is_last && !planted(Bug::AppendBehindTornTail) {
            end = mend(storage, number, &mut *file, end, &mut recovery)
                .map_err(|error| io_failed(storage.place(), "recover", Some(number), error))?;
        }
        let found = last_sequence(&*file, end, &mut recovery.damaged)
            .map_err(|error| io_failed(storage.place(), "read", Some(number), error))?;
        if durable && !planted(Bug::InheritedWithoutSync) {
            let synced = file.sync();
            synced.map_err(|error| io_failed(storage.place(), "sync", Some(number), error))?;
        }
        if is_last {
            last = Some((number, file, end));
        }
        if found.is_some() {
            newest.get_or_insert(number);
        }
        // The newest segment has the last sequence, unless somebody put files here by hand: what
        // is not above every other would be hidden from readers as a repetition.
        recovery.last_sequence = recovery.last_sequence.max(found);
    }
    let packed = last_packed_sequence(storage, &listing, newest, &mut recovery)?;
    recovery.last_sequence = recovery.last_sequence.max(packed);
    if durable && !listing.segments.is_empty() && !planted(Bug::InheritedWithoutSync) {
        let synced = storage.sync_directory();
        synced.map_err(|error| io_failed(storage.place(), "sync", None, error))?;
    }
    Ok(Resume { recovery, last, next: listing.next, segments })
}

/// The last sequence of the newest compressed segment that has one. The older ones are below it:
/// only what was written as one row is compressed. `newest` is the newest plain one that has one.
fn last_packed_sequence(
    storage: &dyn Storage,
    listing: &Listing,
    newest: Option<SegmentNumber>,
    recovery: &mut Recovery,
) -> Result<Option<Sequence>, StoreError> {
    for number in listing.packed.iter().rev() {
        if listing.segments.contains(number) {
            continue;
        }
        let name = number.packed_name();
        let opened = storage.open(&name, Access::Read).and_then(packed::open_anyhow);
        let found =
            opened.and_then(|file| last_sequence(&*file, file.length()?, &mut recovery.damaged));
        match found {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            // A later segment says where the sequence goes on; readers will tell of this one.
            Err(error) if error.kind() != io::ErrorKind::Unsupported && newest > Some(*number) => {
                recovery.damaged += 1;
                break;
            }
            Err(error) => {
                let place = storage.place().join(&name);
                let attempt = format!("read the compressed {}", place.display());
                return Err(StoreError::from_io(attempt, error));
            }
        }
    }
    Ok(None)
}

/// Makes the segment end in a newline, or be empty; its length then.
fn mend(
    storage: &dyn Storage,
    number: SegmentNumber,
    file: &mut dyn StoredFile,
    end: u64,
    recovery: &mut Recovery,
) -> io::Result<u64> {
    let mut lines = Backward::new(file, end);
    let Some(tail) = lines.next()?.filter(|line| !line.ended) else { return Ok(end) };
    let (offset, bytes) = (tail.offset, tail.length);
    if tail.bytes.is_ok_and(|bytes| judge_stored(bytes).is_ok()) {
        written(append_all(file, b"\n"))?;
        file.sync()?;
        recovery.newline_added = true;
        return Ok(end + 1);
    }
    let kept_in = if planted(Bug::TornTailThrownAway) {
        number.torn_name(1)
    } else {
        set_aside(storage, number, file, offset, end)?
    };
    // The copy and its name are durable: only now may the original go.
    file.cut(offset)?;
    file.sync()?;
    let place = storage.place();
    recovery.torn = Some(TornTail {
        segment: place.join(number.file_name()),
        offset,
        bytes,
        kept_in: place.join(kept_in),
    });
    Ok(offset)
}

/// Copies `offset..end` into a `.torn` file; its name.
fn set_aside(
    storage: &dyn Storage,
    number: SegmentNumber,
    file: &dyn StoredFile,
    offset: u64,
    end: u64,
) -> io::Result<String> {
    for nth in 1..=u32::MAX {
        let name = number.torn_name(nth);
        let mut copy = match storage.create(&name) {
            Ok(copy) => copy,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A crash in the middle of an earlier copy leaves a beginning of this tail,
                // which is completed; anything else is an older tail, which is kept.
                match storage.open(&name, Access::Append) {
                    Ok(copy) if begins_with(file, offset, end, &*copy)? => copy,
                    _ => continue,
                }
            }
            Err(error) => return Err(error),
        };
        let mut at = offset + copy.length()?;
        let mut block = vec![0; 64 * 1024];
        while at < end {
            let read = file.read_at(&mut block, at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            written(append_all(&mut *copy, &block[..read]))?;
            at += read as u64;
        }
        copy.sync()?;
        storage.sync_directory()?;
        return Ok(name);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether `copy` holds a beginning of `file`'s bytes `offset..end`.
fn begins_with(
    file: &dyn StoredFile,
    offset: u64,
    end: u64,
    copy: &dyn StoredFile,
) -> io::Result<bool> {
    let length = copy.length()?;
    if length > end - offset {
        return Ok(false);
    }
    let (mut theirs, mut ours) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut at = 0;
    while at < length {
        let read = copy.read_at(&mut theirs, at)?;
        let mut same = 0;
        while same < read {
            match file.read_at(&mut ours[same..read], offset + at + same as u64)? {
                0 => return Ok(false),
                more => same += more,
            }
        }
        if read == 0 || theirs[..read] != ours[..read] {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

fn last_sequence(
    file: &dyn StoredFile,
    end: u64,
    damaged: &mut u64,
) -> io::Result<Option<Sequence>> {
    let mut lines = Backward::new(file, end);
    while let Some(line) = lines.next()? {
        if line.length == 0 {
            continue;
        }
        match line.bytes.map(judge_stored) {
            Ok(Ok(record)) => {
                if record.sequence.is_some() {
                    return Ok(record.sequence);
                }
            }
            _ => *damaged += 1,
        }
    }
    Ok(None)
}

fn written((_, refusal): (usize, Option<io::Error>)) -> io::Result<()> {
    refusal.map_or(Ok(()), Err)
}
