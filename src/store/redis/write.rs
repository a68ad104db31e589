//! The writer: what it believes of the stream, and how it makes sure.
//!
//! Three places in the stream matter: the last record that a caller was told is stored, the last
//! one that the server should have, and the last id that it says it has. While they agree, a
//! batch is one round trip; whenever they do not, the stream is looked at before it is touched.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use ::redis::{ErrorKind, RedisError, cmd};

use super::entry::{EntryId, LONGEST};
use super::failure::because;
use super::held::Held;
use super::link::Link;
use super::pack::line;
use super::read::{Direction, RedisReader};
use super::shape::Shape;
use super::transaction::{Outcome, Transaction};
use super::{DurableWhen, Keep, RedisOptions, RedisUrl};
use crate::event::json::encode;
use crate::store::{Level, Record, Scan, Store, StoreError, StoreErrorKind, Watermarks};
use crate::{Gap, Sequence};

/// A Redis stream opened for writing. See the [module](super) for what it promises.
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    transaction: Transaction,
    durable_when: DurableWhen,
    /// Kept for its room.
    line: Vec<u8>,
    /// Up to here every append that was handed in succeeded as a whole.
    accepted: u64,
    written: u64,
    durable: u64,
    /// What the server should end with.
    expected: EntryId,
    /// What it ended with when it was last asked; nothing unless it watches the stream since.
    found: Option<Shape>,
    /// Whether the next connection is to be silent if it can. Not after one that broke when it was
    /// asked, however that came; but again after the one that follows.
    silent: bool,
    /// What the server has acknowledged and should still have.
    held: Held,
    /// Nobody knows whether the last batch was stored.
    uncertain: bool,
    /// The last record that was written through this connection.
    written_here: u64,
    /// What was in the stream when it was opened.
    inherited: u64,
    /// When the server's disk is asked for next.
    disk_due: Option<Instant>,
}

/// How often the server is asked whether its disk has what it took, while it has not.
const LOOK: Duration = Duration::from_millis(100);
/// How long that question may hold up what comes next.
const MOMENT: Duration = Duration::from_millis(1);

/// How often a batch is tried within one call: connections that had died unnoticed are made
/// again, and somebody may have touched the stream without writing.
const TRIES: usize = 3;

impl RedisStore {
    /// Opens a stream for writing and goes on behind its last record. The stream is made by the
    /// first batch.
    ///
    /// # Errors
    ///
    /// `Denied` if the server does not let us in, `Refused` if the key holds something else than
    /// a stream of records, otherwise why the server cannot be used.
    pub fn open(url: RedisUrl, options: RedisOptions) -> Result<Self, StoreError> {
        let transaction = Transaction::new(url.stream(), url.keep());
        let mut store = Self {
            link: Link::new(url, options),
            transaction,
            durable_when: DurableWhen::Never,
            line: Vec::new(),
            accepted: 0,
            written: 0,
            durable: 0,
            expected: EntryId::default(),
            found: None,
            silent: true,
            held: Held::default(),
            uncertain: false,
            written_here: 0,
            inherited: 0,
            disk_due: None,
        };
        let shape = store.look()?;
        let found = shape.last;
        let last = store.reader().entries_back()?.next().transpose()?;
        let foreign = |cause| because(&store.link.url, "write to", StoreErrorKind::Refused, cause);
        if let Some(Err(damage)) = last {
            let cause =
                format!("its entry {} was not written by ringpost: {}", damage.id, damage.reason);
            return Err(foreign(cause));
        }
        if found != EntryId::default() && found.sequence().is_none() {
            return Err(foreign(format!("its last id {found} is none of ringpost's")));
        }
        if found.major + 1 >= Sequence::LIMIT {
            return Err(foreign(format!("its last id {found} is the last sequence there can be")));
        }
        store.expected = found;
        (store.accepted, store.written) = (found.major, found.major);
        store.inherited = found.major;
        store.held = Held::of(shape);
        Ok(store)
    }

    /// From when on this server's settings let a record survive a power cut; as it was at the
    /// last connection.
    #[must_use]
    pub fn durable_when(&self) -> DurableWhen {
        self.durable_when
    }

    /// A reader of the same stream.
    #[must_use]
    pub fn reader(&self) -> RedisReader {
        RedisReader::of(self.link.url.clone(), self.link.options.clone())
    }

    /// The last sequence of the batch, if it may be appended.
    fn admitted(&self, batch: &[Record]) -> Result<Option<u64>, StoreError> {
        let mut before = self.accepted;
        for record in batch {
            let sequence = record.sequence.get();
            if sequence <= before {
                let attempt = format!("append sequence {sequence} after {before}");
                return Err(StoreError::new(StoreErrorKind::OutOfOrder, attempt));
            }
            before = sequence;
        }
        for record in batch.iter().filter(|record| encode::max_len(&record.event) > LONGEST) {
            let mut whole = Vec::new();
            line(record, &mut whole);
            if whole.len() > LONGEST {
                let attempt =
                    format!("append sequence {} of {} bytes", record.sequence, whole.len());
                return Err(StoreError::new(StoreErrorKind::TooLarge, attempt));
            }
        }
        Ok(batch.last().map(|record| record.sequence.get()))
    }

    /// The stream as the server has it, which watches it from then on.
    fn look(&mut self) -> Result<Shape, StoreError> {
        if let Some(found) = self.found {
            return Ok(found);
        }
        if !self.link.is_up() {
            self.meet()?;
        }
        let connection = self.link.up()?;
        match self.transaction.watch(connection) {
            Ok(found) => {
                self.link.worked();
                self.found = Some(found);
                Ok(found)
            }
            Err(error) => Err(self.broken("look at", &error)),
        }
    }

    /// Connects, and learns what the server promises and whether it can keep silent.
    fn meet(&mut self) -> Result<(), StoreError> {
        let mut connection = self.link.up()?;
        let silent = std::mem::replace(&mut self.silent, true);
        let mut met = self.transaction.meet(connection, silent);
        if met.is_err() && silent {
            self.silent = false;
            self.link.down();
            connection = self.link.up()?;
            met = self.transaction.meet(connection, false);
            self.silent = true;
        }
        match met.and_then(|()| DurableWhen::read(connection)) {
            Ok(durable_when) => {
                self.durable_when = durable_when;
                self.written_here = 0;
                Ok(())
            }
            Err(error) => Err(self.broken("look at", &error)),
        }
    }

    /// Makes sure that the server still has what it should; tells once what it has not.
    fn stand(&mut self) -> Result<Shape, StoreError> {
        let shape = self.look()?;
        let found = shape.last;
        if found < self.expected {
            self.held.cut(found.major);
            self.expected = found;
        }
        let Some(gap) = self.held.next_lost() else { return Ok(shape) };
        let Gap { from, to, count, .. } = gap;
        let cause = format!(
            "{count} records that it had acknowledged, from {from} to {to}, are gone from it, \
             which ends at {found}"
        );
        let error = because(&self.link.url, "write to", StoreErrorKind::Lost, cause);
        Err(error.with_lost(gap))
    }

    /// How many of the batch's records are there already. They can be only after an append whose
    /// end nobody knows; whatever else is there is somebody else's.
    fn stored_of(&mut self, batch: &[Record], found: EntryId) -> Result<usize, StoreError> {
        if found == self.expected {
            return Ok(self.known_of(batch));
        }
        let stored = if self.uncertain { self.read_back(batch)? } else { None };
        let last = stored.and_then(|stored| batch.get(stored.checked_sub(1)?));
        match (stored, last.map(|record| EntryId::of(record.sequence))) {
            (Some(stored), Some(last)) if last >= found => {
                self.expected = last;
                self.written = last.major;
                self.uncertain = false;
                Ok(stored)
            }
            _ => Err(self.taken_over(found)),
        }
    }

    /// How many of the batch's records the stream has had, if it has nothing else behind what was
    /// expected.
    ///
    /// A bound trims the stream in the transaction that a batch comes in, and with it the beginning of
    /// a batch that is longer. As many as the bound keeps have to lie behind such a hole: then nothing
    /// is missing that should be there, however the hole came about.
    fn read_back(&mut self, batch: &[Record]) -> Result<Option<usize>, StoreError> {
        let bound = self.link.url.keep().map(Keep::count);
        let known = self.known_of(batch);
        let rest = batch.get(known..).unwrap_or_default();
        let (mut hole, mut seen) = (0, 0);
        for entry in self.reader().page_through(Direction::Forward, Some(self.expected.next()))? {
            let Ok(entry) = entry? else { return Ok(None) };
            if seen == 0 && bound.is_some() {
                hole = rest.partition_point(|record| record.sequence < entry.sequence);
            }
            let Some(record) = rest.get(hole + seen) else { return Ok(None) };
            line(record, &mut self.line);
            if entry.line != self.line {
                return Ok(None);
            }
            seen += 1;
        }
        let explained = hole == 0 || bound.is_some_and(|bound| seen as u64 >= bound);
        Ok(explained.then_some(known + hole + seen))
    }

    /// How many of the batch's records were found to be there by an earlier try, whose batch ended
    /// before this one.
    fn known_of(&self, batch: &[Record]) -> usize {
        batch.partition_point(|record| EntryId::of(record.sequence) <= self.expected)
    }

    fn taken_over(&mut self, found: EntryId) -> StoreError {
        // Asked again next time: whoever wrote may have been deleted again.
        self.found = None;
        let cause = format!(
            "another writer is at work on this stream: it ends at {found}, and this one had left \
             it at {}",
            self.expected
        );
        because(&self.link.url, "write to", StoreErrorKind::Locked, cause)
    }

    fn store(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut aloud = false;
        for tried in 1..=TRIES {
            let found = self.stand()?;
            let rest = batch.get(self.stored_of(batch, found.last)?..).unwrap_or_default();
            let Some(last) = rest.last() else { return Ok(()) };
            self.found = None;
            let was_uncertain = std::mem::replace(&mut self.uncertain, true);
            let connection = self.link.up()?;
            match self.transaction.run(connection, rest, found, aloud) {
                Ok(Outcome::Stored(found)) => {
                    self.expected = EntryId::of(last.sequence);
                    self.found = Some(found);
                    self.uncertain = false;
                    self.written_here = last.sequence.get();
                    return Ok(());
                }
                // What is uncertain of an earlier try stays so: it may have come through just now.
                Ok(Outcome::NotRun) => (self.uncertain, aloud) = (was_uncertain, true),
                Ok(Outcome::Refused(error)) => {
                    self.uncertain = was_uncertain;
                    return Err(self.broken("append to", &error));
                }
                Ok(Outcome::Torn(error)) => return Err(self.broken("append to", &error)),
                Err(error) if tried < TRIES && passes(&error) => {
                    self.broken("append to", &error);
                }
                Err(error) => return Err(self.broken("append to", &error)),
            }
        }
        let cause = "somebody keeps touching the stream";
        Err(because(&self.link.url, "append to", StoreErrorKind::Io, cause))
    }

    fn broken(&mut self, verb: &str, error: &RedisError) -> StoreError {
        self.found = None;
        self.link.failed(verb, error)
    }

    /// Whether the server is to say yet of some of this writer's records that they are durable.
    fn is_owed(&self) -> bool {
        self.durable_when != DurableWhen::Never && self.written > self.durable.max(self.inherited)
    }

    /// Has the server make durable what is owed, within `patience`; false if it has not yet.
    fn make_durable(&mut self, patience: Duration) -> Result<bool, StoreError> {
        if self.transaction.is_unseen() {
            self.found = None;
        }
        let found = self.stand()?;
        if !self.is_owed() {
            return Ok(true);
        }
        if found.last != self.expected {
            if self.uncertain {
                // Only the batch can tell whose that is.
                self.found = None;
                let cause = "nobody knows whether the last batch is stored: it is to be handed in \
                             again first";
                return Err(because(&self.link.url, "flush", StoreErrorKind::Io, cause));
            }
            return Err(self.taken_over(found.last));
        }
        // What another connection wrote is told of by none, unless this one writes behind it.
        if self.written_here < self.written && !self.write_behind(found.last)? {
            return Ok(false);
        }
        match self.durable_when {
            DurableWhen::Appended => self.durable = self.durable.max(self.written_here),
            DurableWhen::Flushed => return self.wait_for_disk(patience),
            DurableWhen::Never => {}
        }
        Ok(true)
    }

    /// Writes something that changes nothing; false if that did not come about.
    fn write_behind(&mut self, found: EntryId) -> Result<bool, StoreError> {
        self.found = None;
        let connection = self.link.up()?;
        match self.transaction.touch(connection, found) {
            Ok(Outcome::Stored(last)) => {
                self.found = Some(last);
                self.written_here = self.written;
                Ok(true)
            }
            Ok(Outcome::NotRun) => Ok(false),
            // This user may not: then nothing can be promised through this connection.
            Ok(Outcome::Refused(error) | Outcome::Torn(error))
                if matches!(error.code(), Some("NOPERM" | "ERR")) =>
            {
                self.durable_when = DurableWhen::Never;
                Ok(true)
            }
            Ok(Outcome::Refused(error) | Outcome::Torn(error)) | Err(error) => {
                Err(self.broken("flush", &error))
            }
        }
    }

    /// Waits until the server's disk has what was written through this connection, and with it
    /// what is in the same file before that; false if `patience` was not enough.
    fn wait_for_disk(&mut self, patience: Duration) -> Result<bool, StoreError> {
        let connection = self.link.up()?;
        let mut wait = cmd("WAITAOF");
        wait.arg(1).arg(0).arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1));
        let answer: Result<(u64, u64), RedisError> = wait.query(connection);
        match answer {
            Ok((1.., _)) => {
                self.durable = self.durable.max(self.written_here);
                Ok(true)
            }
            Ok(_) => Ok(false),
            // It was switched off, or this user may not ask: nothing is promised.
            Err(error) if error.code().is_some() => {
                self.durable_when = DurableWhen::Never;
                Ok(true)
            }
            Err(error) => Err(self.broken("flush", &error)),
        }
    }
}

/// Whether another connection may do better: this one was dead, or its answers made no sense.
fn passes(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.kind() == ErrorKind::Parse
}

impl Store for RedisStore {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let Some(last) = self.admitted(batch)? else { return Ok(()) };
        self.store(batch)?;
        self.held.take(batch);
        if let (Some(_), Some(shape)) = (self.link.url.keep(), self.found) {
            self.held.keep(shape.length);
        }
        (self.accepted, self.written) = (last, last);
        if self.durable_when == DurableWhen::Appended {
            // Not what a broken connection left behind: the next sync covers that.
            self.durable = self.durable.max(self.written_here);
        }
        if self.is_owed() && self.disk_due.is_none() {
            self.disk_due = Some(Instant::now() + LOOK);
        }
        Ok(())
    }

    /// Makes sure that the server still has everything, and waits for its disk where it can be
    /// asked.
    fn flush(&mut self) -> Result<(), StoreError> {
        self.found = None;
        if !self.make_durable(self.link.options.response_timeout / 2)? {
            let cause = "the server's disk has not taken everything yet";
            return Err(because(&self.link.url, "flush", StoreErrorKind::Io, cause));
        }
        self.disk_due = None;
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.disk_due.filter(|_| self.is_owed())
    }

    /// Asks the server whether its disk has by now what it took.
    fn tend(&mut self) -> Result<(), StoreError> {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.make_durable(MOMENT)?;
            self.disk_due = self.is_owed().then(|| Instant::now() + LOOK);
        }
        Ok(())
    }

    /// Durable where the server's settings make it so, as they were at the last connection.
    fn promises(&self) -> Level {
        if self.durable_when == DurableWhen::Never { Level::Written } else { Level::Durable }
    }

    fn watermarks(&self) -> Watermarks {
        let mark = |number: u64| (number > 0).then(|| Sequence::new(number));
        Watermarks { written: mark(self.written), durable: mark(self.durable) }
    }

    /// Through a connection of its own; entries that are no records are left out.
    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        let entries = self.reader().entries(from)?;
        Ok(Box::new(entries.filter_map(|entry| match entry {
            Ok(entry) => entry.ok().map(|entry| Ok(entry.into_record())),
            Err(error) => Some(Err(error)),
        })))
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        let mut last = Vec::new();
        if count > 0 {
            for entry in self.reader().entries_back()? {
                last.extend(entry?.ok().map(|entry| entry.into_record()));
                if last.len() == count {
                    break;
                }
            }
        }
        last.reverse();
        Ok(last)
    }
}
