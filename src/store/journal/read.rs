//! Reading a journal, from this or any other process, while it is written or not.
//!
//! Scans, `tail`, `verify` and `stats` come through here. A reader opens segments for reading
//! only, takes no lock that a writer could notice, and gives out whole records with a valid
//! checksum or nothing: what is damaged is stepped over, counted and told with its place.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index;
use super::lines::{Forward, Unreadable};
use super::packed;
use super::planted::{Bug, planted};
use super::segment::{Listing, SegmentNumber};
use super::storage::{Access, Disk, Storage, StoredFile};
use super::verdict::{self, Marks, limits};
use super::verify::SequenceRange;
use super::walk::Walk;
use crate::event::Event;
use crate::event::json::{self, Checksum};
use crate::store::StoreError;
use crate::{Sequence, Shared};

/// A place in a journal: bytes before it have been dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's number; 0 in a plain file.
    pub segment: u64,
    /// The offset in it.
    pub offset: u64,
}

/// A record as it was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The event.
    pub event: Event,
    /// Its sequence; a foreign line may have none.
    pub sequence: Option<Sequence>,
    /// Whether the line has a checksum. In a journal's directory it is
    /// [`Checksum::Missing`] only in a foreign line.
    pub checksum: Checksum,
    /// The line as it stands in the file, without its newline; empty from records
    /// [without lines](Records::without_lines).
    pub line: Vec<u8>,
    /// Where the line begins.
    pub position: Position,
    /// What a reader on its way was to see before this and did not, because its segments were
    /// removed meanwhile; also what is missing between the sequence it asked for and the first
    /// one there is.
    pub missing: Option<SequenceRange>,
}

/// A line that is no record, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where the line begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A journal, or one plain file of events, opened for reading.
#[derive(Clone, Debug)]
pub struct JournalReader {
    pub(super) target: Target,
}

/// What is read.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Directory(Arc<dyn Storage>),
    File(PathBuf),
}

impl Target {
    /// The file of a segment, for messages: the one that is there.
    pub(super) fn file_path(&self, number: SegmentNumber) -> PathBuf {
        match self {
            Self::Directory(storage) => {
                let is_there = |name: &str| storage.open(name, Access::Read).is_ok();
                let (plain, packed) = (number.file_name(), number.packed_name());
                let name = if !is_there(&plain) && is_there(&packed) { packed } else { plain };
                storage.place().join(name)
            }
            Self::File(path) => path.clone(),
        }
    }

    /// The segments, oldest first. A plain file counts as one, with the number 0.
    pub(super) fn segments(&self) -> Result<Vec<SegmentNumber>, StoreError> {
        let segments = self.listed()?;
        if planted(Bug::ListedOnce) { Ok(segments) } else { self.segments_beside(segments) }
    }

    /// These that were [listed](Self::listed), and what a second look shows.
    ///
    /// A directory is not listed in one moment. Of a segment that is replaced by its compressed self
    /// meanwhile, neither may be seen: the one because it came behind the reading, the other because
    /// it went before it. It happens to each only once, so it is seen the second time.
    pub(super) fn segments_beside(
        &self,
        mut segments: Vec<SegmentNumber>,
    ) -> Result<Vec<SegmentNumber>, StoreError> {
        if let Self::Directory(_) = self {
            segments.append(&mut self.listed()?);
            segments.sort_unstable();
            segments.dedup();
        }
        Ok(segments)
    }

    /// The same, but a segment may not be seen that is just being compressed: for whoever asks
    /// again.
    pub(super) fn listed(&self) -> Result<Vec<SegmentNumber>, StoreError> {
        let Self::Directory(storage) = self else { return Ok(vec![SegmentNumber(0)]) };
        let names = storage.names().map_err(|error| self.failed("list", None, error))?;
        Ok(Listing::of(names.iter().map(String::as_str)).readable())
    }

    /// The segment, or none if it is gone.
    pub(super) fn open(
        &self,
        number: SegmentNumber,
    ) -> Result<Option<Box<dyn StoredFile>>, StoreError> {
        let opened = match self {
            Self::Directory(storage) => match storage.open(&number.file_name(), Access::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.open_packed(number);
                }
                opened => opened,
            },
            Self::File(path) => Disk::open_named(path),
        };
        opened.map(Some).map_err(|error| self.failed("open", Some(number), error))
    }

    /// The compressed segment, or none if there is no such file.
    fn open_packed(
        &self,
        number: SegmentNumber,
    ) -> Result<Option<Box<dyn StoredFile>>, StoreError> {
        let Self::Directory(storage) = self else { return Ok(None) };
        let name = number.packed_name();
        let failed = |error| {
            let place = storage.place().join(&name);
            StoreError::from_io(format!("read the compressed {}", place.display()), error)
        };
        match storage.open(&name, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.and_then(packed::open_anyhow).map(Some).map_err(failed),
        }
    }

    /// Whether a plain file is another one than that which was opened: somebody has put it in its
    /// place.
    pub(super) fn is_another(&self, opened: &Forward) -> bool {
        let Self::File(path) = self else { return false };
        let now = Disk::identity_of(path);
        now.is_some() && opened.identity().is_some_and(|opened| now != Some(opened))
    }

    pub(super) fn failed(
        &self,
        verb: &str,
        number: Option<SegmentNumber>,
        error: io::Error,
    ) -> StoreError {
        let place = match (self, number) {
            (Self::Directory(storage), None) => storage.place().to_owned(),
            (Self::Directory(_), Some(number)) => self.file_path(number),
            (Self::File(path), _) => path.clone(),
        };
        StoreError::from_io(format!("{verb} {}", place.display()), error)
    }

    /// The record in a line, or what is wrong with it.
    pub(super) fn judge(&self, line: Result<&[u8], Unreadable>) -> Result<json::Record, String> {
        let line = line.map_err(|why| why.to_string())?;
        let record = json::decode_record(line, &limits()).map_err(|error| error.to_string())?;
        self.accept((record.sequence, record.checksum))?;
        Ok(record)
    }

    /// Whether a record that was read may be given out, by what stands beside its event.
    #[inline]
    pub(super) fn accept(&self, marks: Marks) -> Result<Marks, String> {
        match self {
            Self::Directory(_) => verdict::stored(marks),
            Self::File(_) => verdict::sound(marks),
        }
    }

    /// Whether a sequence that does not rise is a record written again after a failed sync. In a
    /// file of unknown origin it may be anything.
    pub(super) fn hides_repeats(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

impl JournalReader {
    /// Opens a journal's directory or a plain file. Creates and changes nothing.
    ///
    /// # Errors
    ///
    /// If there is nothing at `path`, or it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let target = match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Target::Directory(Arc::new(Disk::new(path))),
            Ok(_) => Target::File(path.to_owned()),
            Err(error) => {
                return Err(StoreError::from_io(format!("read {}", path.display()), error));
            }
        };
        let reader = Self { target };
        // Whatever makes reading impossible is said now, not at the first record.
        if let Some(&number) = reader.target.segments()?.first() {
            reader.target.open(number)?;
        }
        Ok(reader)
    }

    pub(super) fn of(storage: Arc<dyn Storage>) -> Self {
        Self { target: Target::Directory(storage) }
    }

    /// Every record, oldest first, each once.
    ///
    /// # Errors
    ///
    /// If the journal cannot be listed.
    pub fn records(&self) -> Result<Records, StoreError> {
        let segments = self.target.segments()?;
        Ok(Records::new(Walk::new(self.target.clone(), segments), None))
    }

    /// The records from `from` on, inclusive. Records without a sequence are left out.
    ///
    /// Finds the segment where they begin by looking at few of them, and the place in it by its
    /// index, which is made if it is missing, the segment sealed and the directory may be written.
    ///
    /// # Errors
    ///
    /// If the journal cannot be listed or read.
    pub fn records_from(&self, from: Sequence) -> Result<Records, StoreError> {
        let mut segments = self.target.segments()?;
        // The last segment that begins at or before `from`.
        let (mut low, mut high) = (0, segments.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.first_sequence(&segments[middle..high])? {
                Some(first) if first <= from => low = middle,
                _ => high = middle,
            }
        }
        segments.drain(..low);
        let mut walk = Walk::new(self.target.clone(), segments);
        if let [sealed, _, ..] = *walk.segments.make_contiguous()
            && self.first_sequence(&[sealed])?.is_some_and(|first| first < from)
        {
            let index = index::kept_or_made(&self.target, sealed);
            walk.begin = index.map_or(0, |index| index.place_of(from));
        }
        Ok(Records::new(walk, Some(from)))
    }

    /// Every record from a place on, oldest first, each once.
    pub(super) fn records_at(&self, place: Position) -> Result<Records, StoreError> {
        let mut segments = self.target.segments()?;
        segments.retain(|number| number.0 >= place.segment);
        let mut walk = Walk::new(self.target.clone(), segments);
        // It may have been removed since somebody looked.
        if walk.segments.front().is_some_and(|first| first.0 == place.segment) {
            walk.begin = place.offset;
        }
        Ok(Records::new(walk, None))
    }

    /// The first sequence in the first of these segments that has one.
    fn first_sequence(&self, segments: &[SegmentNumber]) -> Result<Option<Sequence>, StoreError> {
        let mut walk = Walk::new(self.target.clone(), segments.to_vec());
        let mut event = Event::unfinished(0);
        while walk.advance()? {
            if let Some(Ok((Some(sequence), _))) = walk.piece(&mut event) {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    }
}

/// Records of a journal; an [`Iterator`] of [`Entry`].
///
/// It ends with the segments that were there when it was made, or when it first came to their end: a
/// sync that failed may have moved records into a new one meanwhile. Damage is stepped over:
/// [`damaged`](Self::damaged) and [`first_damage`](Self::first_damage) tell of it.
#[derive(Debug)]
pub struct Records {
    walk: Walk,
    from: Option<Sequence>,
    last: Option<Sequence>,
    repeated: u64,
    missing: u64,
    damaged: u64,
    first_damage: Option<Damage>,
    over: bool,
    keeps_lines: bool,
    /// What is missing may have been removed: the beginning, or a segment on the way.
    may_miss: bool,
    /// Whether it has looked for segments that came meanwhile.
    looked_again: bool,
}

impl Records {
    fn new(walk: Walk, from: Option<Sequence>) -> Self {
        let may_miss = from.is_some() && walk.target.hides_repeats();
        Self {
            walk,
            from,
            last: None,
            repeated: 0,
            missing: 0,
            damaged: 0,
            first_damage: None,
            over: false,
            keeps_lines: true,
            may_miss,
            looked_again: false,
        }
    }

    /// The same, but entries come without their lines: for whoever wants the events alone, which
    /// spares a copy of each line.
    #[must_use]
    pub fn without_lines(self) -> Self {
        Self { keeps_lines: false, ..self }
    }

    /// Damaged lines so far.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The first damage so far.
    #[must_use]
    pub fn first_damage(&self) -> Option<&Damage> {
        self.first_damage.as_ref()
    }

    /// Records so far that had been written twice and were given out once.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many sequences so far were to be seen and were not, because their segments were removed
    /// meanwhile: those of each [`Entry::missing`].
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Segments so far that were gone when it came to them. What was in them is told with the
    /// next record, as [`Entry::missing`].
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.walk.gone
    }

    /// Adds the events of the next records to a list, at most `most` of them, and says how many: 0
    /// at the end. For whoever wants many events and nothing else of their records:
    /// [`Bus::publish_all`](crate::Bus::publish_all) takes the list.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read; nothing follows. What was read before that is in the list.
    pub fn read_events(
        &mut self,
        events: &mut Vec<Shared<Event>>,
        most: usize,
    ) -> Result<usize, StoreError> {
        let before = events.len();
        while events.len() - before < most && !self.over {
            let mut event = Shared::new(Event::unfinished(0));
            let Some(unshared) = Shared::get_mut(&mut event) else { continue };
            let read = self.read(unshared);
            self.over = !matches!(read, Ok(Some(_)));
            if read?.is_some() {
                events.push(event);
            }
        }
        Ok(events.len() - before)
    }

    /// Makes `event` the next record's.
    fn read(&mut self, event: &mut Event) -> Result<Option<Next>, StoreError> {
        let mut gone = self.walk.gone;
        while self.advance()? {
            self.may_miss |= std::mem::replace(&mut gone, self.walk.gone) < gone;
            let (sequence, checksum) = match self.walk.piece(event) {
                Some(Ok(marks)) => marks,
                Some(Err(reason)) => {
                    self.damaged += 1;
                    if self.first_damage.is_none() {
                        self.first_damage = Some(self.walk.damage(reason));
                    }
                    continue;
                }
                None => continue,
            };
            let before = self.last;
            if let Some(sequence) = sequence {
                if self.walk.target.hides_repeats() && self.last >= Some(sequence) {
                    self.repeated += 1;
                    continue;
                }
                self.last = Some(sequence);
            }
            if self.from.is_some() && sequence < self.from {
                continue;
            }
            let mut missing = None;
            if let Some(sequence) = sequence.filter(|_| self.may_miss) {
                self.may_miss = false;
                let asked = self.from.map(|from| from.get().saturating_sub(1));
                let seen = before.map(Sequence::get).max(asked);
                missing = seen.and_then(|seen| missing_between(seen, sequence));
                let count = missing.map_or(0, |range| range.to.get() - range.from.get() + 1);
                self.missing += count;
            }
            return Ok(Some(Next { sequence, checksum, missing }));
        }
        Ok(None)
    }

    /// Goes to the next line; at the end once more to segments that came meanwhile.
    fn advance(&mut self) -> Result<bool, StoreError> {
        if self.walk.advance()? {
            return Ok(true);
        }
        if self.looked_again {
            return Ok(false);
        }
        self.looked_again = true;
        self.may_miss |= self.walk.look_again()?;
        self.walk.advance()
    }

    fn entry(&mut self) -> Result<Option<Entry>, StoreError> {
        let mut event = Event::unfinished(0);
        let Some(Next { sequence, checksum, missing }) = self.read(&mut event)? else {
            return Ok(None);
        };
        let (position, line) = self.walk.place(self.keeps_lines);
        Ok(Some(Entry { event, sequence, checksum, line, position, missing }))
    }
}

/// What was read, beside its event.
struct Next {
    sequence: Option<Sequence>,
    checksum: Checksum,
    missing: Option<SequenceRange>,
}

impl Iterator for Records {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.entry().transpose();
        // After an error nothing is known about where to go on.
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

pub(super) fn entry(record: json::Record, line: Vec<u8>, position: Position) -> Entry {
    let json::Record { event, sequence, checksum, .. } = record;
    Entry { event, sequence, checksum, line, position, missing: None }
}

/// The range between what was seen, up to `before`, and `now`; nothing where they are neighbours.
pub(super) fn missing_between(before: u64, now: Sequence) -> Option<SequenceRange> {
    let (from, to) = (before + 1, now.get().checked_sub(1)?);
    (from <= to && !planted(Bug::RemovalNotTold))
        .then(|| SequenceRange { from: Sequence::new(from), to: Sequence::new(to) })
}

/// Blank lines are neither records nor damage.
pub(super) fn is_blank(line: Result<&[u8], Unreadable>) -> bool {
    line.is_ok_and(|line| line.iter().all(u8::is_ascii_whitespace))
}
