//! The journal: a directory of JSON lines that people can read and any CloudEvents tool can use.
//!
//! [`Journal`] is the store that writes it; [`JournalReader`] reads it, from any process and at
//! any time. A journal is a row of segments, files named by a rising number, each line one event
//! with its sequence and a checksum. Nothing else has to agree with them: where to go on, what
//! is durable, what is damaged, all of it is found in the segments. An index that a reader leaves
//! beside a sealed one may be lost, torn or wrong: it costs time, never an event.
//!
//! Reading order of the code: `storage` (what is asked of a disk), `writer` (append, sync,
//! rotate), `undurable` (what it holds until it is synced), `syncer` (syncs beside the appending),
//! `recover` (what a crash leaves), `read` (whole records or nothing; `walk` goes over the lines, `verdict` says which), `tail`, `verify`,
//! `index` (what a reader need not look at), `checkpoint` (how far named consumers are), `keeper`
//! (looks after what is sealed: `retain`, `compress`); `planted` has the bugs that the tests must
//! find.
#![forbid(unsafe_code)]

mod active;
mod checkpoint;
mod compress;
mod consumers;
mod encoded;
#[cfg(feature = "zstd")]
mod frames;
mod index;
mod keeper;
mod lines;
mod lock;
#[cfg(feature = "zstd")]
mod pack;
#[cfg(not(feature = "zstd"))]
#[path = "unpackable.rs"]
mod pack;
#[cfg(feature = "zstd")]
mod packed;
#[cfg(not(feature = "zstd"))]
#[path = "unpacked.rs"]
mod packed;
mod planted;
#[cfg(feature = "query")]
pub mod query;
mod read;
mod recover;
mod retain;
mod segment;
mod storage;
mod syncer;
mod tail;
mod undurable;
mod verdict;
mod verify;
mod walk;
#[cfg(feature = "tail")]
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use checkpoint::CheckpointAhead;
pub use consumers::{ConsumerState, Consumers};
pub use read::{Damage, Entry, JournalReader, Position, Records};
pub use recover::{Recovery, TornTail};
pub use tail::{Follow, Start, Tail};
pub use verify::{JournalStats, SequenceRange, Verification};
#[cfg(feature = "tail")]
pub use watch::Watch;

use self::checkpoint::{Checkpoints, following};
use self::consumers::JournalCheckpoints;
use self::encoded::Encoded;
use self::keeper::KeptBy;
use self::lock::WriterLock;
use self::planted::{Bug, planted};
use self::segment::SegmentNumber;
use self::storage::{Disk, Storage};
use self::writer::Writer;
use super::{
    Archive, CheckpointStore, Level, Record, Scan, Store, StoreError, StoreErrorKind, Upkeep,
    Watermarks,
};
use crate::Sequence;
use crate::event::Event;
use crate::ring::Shared;

/// When a journal syncs what it wrote to the disk.
///
/// Whatever the setting, an event survives the death of the process as soon as its batch was
/// appended. It is called written then, or with `Batch` and `Always` once it is durable as well. The
/// setting decides what survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// Never: the system writes back when it likes, and nothing is ever called durable.
    Never,
    /// At the latest this long after the first record that is not durable yet; the default, with
    /// 1 s. A power cut costs at most that and the time of one sync, or of two where a sync takes
    /// longer than this.
    ///
    /// What is not durable is held in memory, to be written again should the sync fail: at most
    /// 32 MiB. A sync begins early when 2 MiB are, on a thread of its own, and appending goes on
    /// beside it: it waits for the disk only at the limit.
    Interval(Duration),
    /// Once a batch: what was appended is durable. Where one batch comes behind the other, as from a
    /// busy bus, they are appended beside the sync that goes on, on a thread of its own, and the next
    /// one covers all that came meanwhile; nobody has a receipt before its own is durable.
    Batch,
    /// Once a record.
    Always,
}

impl Default for Fsync {
    fn default() -> Self {
        Self::Interval(Duration::from_secs(1))
    }
}

/// `never`, `interval`, `interval:500ms`, `interval:2s`, `batch`, `always`.
impl FromStr for Fsync {
    type Err = FsyncError;

    fn from_str(text: &str) -> Result<Self, FsyncError> {
        let (name, time) = text.split_once(':').map_or((text, None), |(n, t)| (n, Some(t)));
        match (name, time) {
            ("never", None) => Ok(Self::Never),
            ("interval", None) => Ok(Self::default()),
            ("interval", Some(time)) => parse_time(time).map(Self::Interval).ok_or(FsyncError),
            ("batch", None) => Ok(Self::Batch),
            ("always", None) => Ok(Self::Always),
            _ => Err(FsyncError),
        }
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

/// A text that is no [`Fsync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsyncError;

impl fmt::Display for FsyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of never, interval, interval:TIME (500ms, 2s, 1m), batch, always")
    }
}

impl std::error::Error for FsyncError {}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Interval(time) => write!(f, "interval:{}ms", time.as_millis()),
            Self::Batch => f.write_str("batch"),
            Self::Always => f.write_str("always"),
        }
    }
}

/// Settings of a [`Journal`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalOptions {
    /// When to sync.
    pub fsync: Fsync,
    /// The size at which a new segment begins: 64 MiB unless said otherwise. Only a single record
    /// that is larger makes a larger segment.
    pub segment_bytes: u64,
    /// The age at which a new segment begins, counted from when this one was made or gone on
    /// with; `None`, the default, for no limit. A segment that became too old while nothing
    /// happened is left at once, the next one made with the next record: an empty one never
    /// is. The clock that counts is not the one that people set.
    pub segment_age: Option<Duration>,
    /// So many of the last sequences are kept: a segment that ends before them is removed. `None`,
    /// the default, for no limit.
    ///
    /// For this and the two limits below: segments are removed whole, the oldest first, in the
    /// background, as soon as one of the limits allows it. Never removed are the segment being
    /// written, the newest one before it that has a record, and what a named consumer has not
    /// acknowledged. A sequence is never used again.
    pub keep_events: Option<u64>,
    /// A segment whose last record was recorded longer ago is removed; `None`, the default, for
    /// no limit. What counts is the time in the record (`recordedtime`, else `time`). The segment
    /// being written does not go however old it is: see [`segment_age`](Self::segment_age).
    pub keep_age: Option<Duration>,
    /// So many bytes the segments may have on the disk, with room for the one being written;
    /// `None`, the default, for no limit. It needs to be twice [`segment_bytes`](Self::segment_bytes)
    /// at least to be kept to, because the last two segments stay.
    pub keep_bytes: Option<u64>,
    /// The zstd level at which sealed segments are compressed, 1 to 22; `None`, the default, for
    /// not at all. Done in the background. Takes the feature `zstd`, as reading them does.
    pub compression: Option<i32>,
    /// So many bytes may be written and not durable where there is an interval: they are held in
    /// memory. Only tests choose another number.
    undurable_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            fsync: Fsync::default(),
            segment_bytes: 64 * 1024 * 1024,
            segment_age: None,
            keep_events: None,
            keep_age: None,
            keep_bytes: None,
            compression: None,
            undurable_bytes: 32 * 1024 * 1024,
        }
    }
}

impl JournalOptions {
    /// The same with another sync setting.
    #[must_use]
    pub fn with_fsync(self, fsync: Fsync) -> Self {
        Self { fsync, ..self }
    }

    /// The same with another segment size.
    #[must_use]
    pub fn with_segment_bytes(self, segment_bytes: u64) -> Self {
        Self { segment_bytes, ..self }
    }

    /// The same with another limit on a segment's age.
    #[must_use]
    pub fn with_segment_age(self, segment_age: Option<Duration>) -> Self {
        Self { segment_age, ..self }
    }

    /// The same with another number of sequences that are kept.
    #[must_use]
    pub fn with_keep_events(self, keep_events: Option<u64>) -> Self {
        Self { keep_events, ..self }
    }

    /// The same with another age up to which segments are kept.
    #[must_use]
    pub fn with_keep_age(self, keep_age: Option<Duration>) -> Self {
        Self { keep_age, ..self }
    }

    /// The same with another limit on the bytes of all segments.
    #[must_use]
    pub fn with_keep_bytes(self, keep_bytes: Option<u64>) -> Self {
        Self { keep_bytes, ..self }
    }

    /// The same with sealed segments compressed at this level, or not at all.
    #[must_use]
    pub fn with_compression(self, level: impl Into<Option<i32>>) -> Self {
        Self { compression: level.into(), ..self }
    }
}

/// A journal opened for writing: the [`Store`] over a directory of segments.
///
/// There is one writer a directory; it gives the directory back when it is dropped or its process
/// dies. Dropping it syncs nothing: call [`flush`](Store::flush) first.
#[derive(Debug)]
pub struct Journal {
    storage: Arc<dyn Storage>,
    recovery: Recovery,
    writer: Writer,
    /// Kept for its room.
    encoded: Encoded,
    /// Lines that wait for the next append.
    staged: Encoded,
    /// Ends before the lock is given back.
    kept_by: KeptBy,
    _lock: WriterLock,
}

impl Journal {
    /// Opens the journal in `directory`, which is made if it is missing, and mends its end.
    /// Unless it is to sync [never](Fsync::Never), what is there becomes durable now: one sync a
    /// segment.
    ///
    /// # Errors
    ///
    /// `Locked` if another writer has it; `Refused` if the directory, a segment or the lock is a
    /// symbolic link or not a plain file, if there is no such level of compression, or if a file
    /// there leaves no number for the next segment, or a record no sequence for the next one;
    /// `Unsupported` if something is to be compressed, or is, and this build lacks the feature
    /// `zstd`; otherwise why it could not be read or written.
    pub fn open(directory: impl AsRef<Path>, options: JournalOptions) -> Result<Self, StoreError> {
        let mut journal = Self::on(Arc::new(Disk::new(directory.as_ref())), options)?;
        journal.tell_sealed();
        Ok(journal)
    }

    fn on(storage: Arc<dyn Storage>, options: JournalOptions) -> Result<Self, StoreError> {
        options.compression.map_or(Ok(()), pack::check)?;
        let made = storage.make_directory();
        made.map_err(|error| io_failed(storage.place(), "make the journal", None, error))?;
        let lock = WriterLock::take(&*storage)?;
        let syncs = options.fsync != Fsync::Never;
        let mut resume = recover::recover(&*storage, syncs)?;
        let mut last = resume.recovery.last_sequence;
        if last.is_some_and(|last| following(last).is_none()) {
            let place = storage.place().display();
            let attempt = format!("write into {place}, where the last sequence there is was used");
            return Err(StoreError::new(StoreErrorKind::Refused, attempt));
        }
        // Before any of the sequences behind the end is given out again.
        resume.recovery.ahead = Checkpoints::of(&*storage).hold_back(last)?;
        if planted(Bug::SequenceUsedAgain) {
            last = last.map(|last| Sequence::new(last.get() - 1));
        }
        let kept_by = KeptBy::new(&storage, &options, resume.segments, resume.next);
        let mut writer = Writer::new(Arc::clone(&storage), options, resume.next, last);
        if let Some((number, file, length)) = resume.last {
            writer.go_on(number, file, length);
        }
        if syncs {
            writer.all_is_durable();
        }
        let (encoded, staged) = (Encoded::default(), Encoded::default());
        let recovery = resume.recovery;
        Ok(Self { storage, recovery, writer, encoded, staged, kept_by, _lock: lock })
    }

    /// Tells whoever looks after sealed segments that there are more.
    fn tell_sealed(&mut self) {
        let last = self.writer.last().map_or(0, Sequence::get);
        self.kept_by.tell(self.writer.sealed_below(), last);
    }

    /// What was found and mended when it was opened.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// A reader of the same journal. It sees what is written.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader::of(Arc::clone(&self.storage))
    }
}

impl Store for Journal {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.encoded.clear();
        for record in batch {
            self.encoded.push(record.sequence, &record.event)?;
        }
        let appended = self.writer.append(self.encoded.lines());
        self.tell_sealed();
        appended
    }

    fn stage(
        &mut self,
        sequence: Sequence,
        event: &Shared<Event>,
    ) -> Result<Option<usize>, StoreError> {
        self.staged.push(sequence, event).map(Some)
    }

    fn append_staged(&mut self) -> Result<(), StoreError> {
        let appended = self.writer.append(self.staged.lines()).and_then(|()| self.writer.end());
        self.tell_sealed();
        appended?;
        self.staged.clear();
        Ok(())
    }

    fn begin_staged(&mut self) -> Result<(), StoreError> {
        let begun = self.writer.begin(self.staged.lines());
        self.tell_sealed();
        begun?;
        self.staged.clear();
        Ok(())
    }

    fn advance_staged(&mut self) -> Result<(), StoreError> {
        let advanced = self.writer.advance();
        self.tell_sealed();
        advanced
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let flushed = self.writer.flush();
        self.tell_sealed();
        flushed
    }

    fn watermarks(&self) -> Watermarks {
        self.writer.watermarks()
    }

    fn last_sequence(&self) -> Option<Sequence> {
        self.writer.last()
    }

    fn promises(&self) -> Level {
        self.writer.promises()
    }

    fn batch_limit(&self) -> usize {
        self.writer.batch_limit()
    }

    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        let entries = self.reader().records_from(from)?.without_lines();
        Ok(Box::new(entries.filter_map(|entry| entry.map(stored).transpose())))
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        let tail = self.reader().tail(count)?;
        Ok(tail.entries.into_iter().filter_map(stored).collect())
    }

    fn checkpoints(&self) -> Result<Arc<dyn CheckpointStore>, StoreError> {
        Ok(Arc::new(JournalCheckpoints(self.reader())))
    }

    fn due(&self) -> Option<Instant> {
        self.writer.due()
    }

    fn tend(&mut self) -> Result<(), StoreError> {
        let tended = self.writer.tend();
        self.tell_sealed();
        tended
    }

    fn upkeep(&self) -> Upkeep {
        self.kept_by.upkeep().clone()
    }
}

impl Archive for JournalReader {
    fn records_from(&self, from: Sequence) -> Result<Scan<'static>, StoreError> {
        let entries = Self::records_from(self, from)?.without_lines();
        Ok(Box::new(entries.filter_map(|entry| entry.map(stored).transpose())))
    }
}

/// A foreign line has no sequence: it is no record of a bus.
fn stored(entry: Entry) -> Option<Record> {
    let sequence = entry.sequence?;
    Some(Record { sequence, event: Shared::new(entry.event) })
}

fn io_failed(
    place: &Path,
    verb: &str,
    number: Option<SegmentNumber>,
    error: std::io::Error,
) -> StoreError {
    let place = number.map_or_else(|| place.to_owned(), |number| place.join(number.file_name()));
    StoreError::from_io(format!("{verb} {}", place.display()), error)
}
