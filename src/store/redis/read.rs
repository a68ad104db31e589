//! Reading a stream: pages forward and backward, and waiting for what comes.
//!
//! A reader has a connection of its own and never disturbs a writer.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use ::redis::{Connection, Value, cmd};

use super::entry::{EntryId, Judged, StreamDamage, StreamEntry, judge};
use super::failure::{because, failed};
use super::link::connect;
use super::shape::Shape;
use super::{RedisOptions, RedisUrl};
use crate::Sequence;
use crate::store::{StoreError, StoreErrorKind};

/// About how many bytes a page has.
const PAGE_BYTES: usize = 1 << 20;
/// Entries of a first page: their size is not known yet.
const FIRST_PAGE: usize = 64;
/// A server does nothing else while it makes a page.
const LARGEST_PAGE: usize = 1024;

/// Reads a stream.
///
/// Nothing is held between calls but the place: every scan has a connection of its own.
#[derive(Clone, Debug)]
pub struct RedisReader {
    pub(super) url: RedisUrl,
    pub(super) options: RedisOptions,
}

impl RedisReader {
    /// A reader of a stream that is there.
    ///
    /// # Errors
    ///
    /// `NotFound` if the server has no such stream, `Refused` if the key holds something else,
    /// otherwise why it cannot be read.
    pub fn open(url: RedisUrl, options: RedisOptions) -> Result<Self, StoreError> {
        let reader = Self::of(url, options);
        let mut connection = reader.connect()?;
        let kind: String = cmd("TYPE")
            .arg(reader.url.stream())
            .query(&mut connection)
            .map_err(|error| reader.failed(&error))?;
        match &*kind {
            "stream" => Ok(reader),
            "none" => {
                let attempt = format!("read {}", reader.url);
                Err(StoreError::new(StoreErrorKind::NotFound, attempt))
            }
            other => {
                let cause = format!("the key is no stream but a {other}");
                Err(because(&reader.url, "read", StoreErrorKind::Refused, cause))
            }
        }
    }

    pub(super) fn of(url: RedisUrl, options: RedisOptions) -> Self {
        Self { url, options }
    }

    /// The stream's place.
    #[must_use]
    pub fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// The entries from `from` on, inclusive, in rising order, up to the stream's end when the
    /// last page is read.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub fn entries(&self, from: Sequence) -> Result<Entries, StoreError> {
        self.page_through(Direction::Forward, Some(EntryId::of(from)))
    }

    /// The entries from the end backwards.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub fn entries_back(&self) -> Result<Entries, StoreError> {
        let last = EntryId { major: u64::MAX, minor: u64::MAX };
        self.page_through(Direction::Backward, Some(last))
    }

    pub(super) fn page_through(
        &self,
        direction: Direction,
        from: Option<EntryId>,
    ) -> Result<Entries, StoreError> {
        Ok(Entries {
            reader: self.clone(),
            connection: self.connect()?,
            direction,
            from,
            count: FIRST_PAGE,
            page: VecDeque::new(),
        })
    }

    /// Follows the stream from behind `after`: what is there already, then what comes.
    #[must_use]
    pub fn follow(&self, after: EntryId) -> Follow {
        Follow { reader: self.clone(), connection: None, after, page: VecDeque::new() }
    }

    /// The last id that the stream ever had, deleted entries included; the lowest of all ids if
    /// there is no stream.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub fn last_id(&self) -> Result<EntryId, StoreError> {
        self.last_id_on(&mut self.connect()?)
    }

    fn last_id_on(&self, connection: &mut Connection) -> Result<EntryId, StoreError> {
        let info = cmd("XINFO").arg("STREAM").arg(self.url.stream()).query(connection);
        Shape::of(info).map(|shape| shape.last).map_err(|error| self.failed(&error))
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        connect(&self.url, &self.options)
    }

    fn failed(&self, error: &::redis::RedisError) -> StoreError {
        failed(&self.url, "read", error)
    }

    fn strange(&self) -> StoreError {
        because(&self.url, "read", StoreErrorKind::Io, "the answer is no row of entries")
    }

    fn judged(&self, answer: Value) -> Result<VecDeque<Judged>, StoreError> {
        match answer {
            Value::Nil => Ok(VecDeque::new()),
            Value::Array(entries) => {
                let judged: Option<_> = entries.into_iter().map(judge).collect();
                judged.ok_or_else(|| self.strange())
            }
            _ => Err(self.strange()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Entries of a stream, page by page; see [`RedisReader::entries`]. An inner error is an entry
/// that is no record.
pub struct Entries {
    reader: RedisReader,
    connection: Connection,
    direction: Direction,
    /// Where the next page begins; nothing behind the last one.
    from: Option<EntryId>,
    count: usize,
    page: VecDeque<Judged>,
}

impl Entries {
    pub(super) fn next_judged(&mut self) -> Option<Result<Judged, StoreError>> {
        if self.page.is_empty()
            && let Err(error) = self.turn()
        {
            self.from = None;
            return Some(Err(error));
        }
        self.page.pop_front().map(Ok)
    }

    fn turn(&mut self) -> Result<(), StoreError> {
        let Some(from) = self.from else { return Ok(()) };
        let (name, end) = match self.direction {
            Direction::Forward => ("XRANGE", "+"),
            Direction::Backward => ("XREVRANGE", "-"),
        };
        let mut page = cmd(name);
        page.arg(self.reader.url.stream()).arg(from.to_string()).arg(end);
        page.arg("COUNT").arg(self.count);
        let answer = page.query(&mut self.connection);
        self.page = self.reader.judged(answer.map_err(|error| self.reader.failed(&error))?)?;
        let is_last = self.page.len() < self.count;
        let bytes: usize = self.page.iter().map(|entry| entry.length).sum();
        self.count = fitting(self.page.len(), bytes);
        self.from = match (self.page.back(), self.direction) {
            (Some(last), Direction::Forward) if !is_last => Some(last.id.next()),
            (Some(last), Direction::Backward) if !is_last => last.id.before(),
            _ => None,
        };
        Ok(())
    }
}

/// How many entries make a page, if so many had so many bytes.
fn fitting(entries: usize, bytes: usize) -> usize {
    let many = entries.saturating_mul(PAGE_BYTES) / bytes.max(1);
    many.clamp(1, LARGEST_PAGE)
}

impl Iterator for Entries {
    type Item = Result<Result<StreamEntry, StreamDamage>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_judged()?.map(|judged| judged.content))
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("url", &self.reader.url).finish_non_exhaustive()
    }
}

/// A stream being followed; see [`RedisReader::follow`].
pub struct Follow {
    reader: RedisReader,
    connection: Option<Connection>,
    after: EntryId,
    page: VecDeque<Judged>,
}

impl Follow {
    /// The next entry; none if none came within about `wait`. An inner error is an entry that is
    /// no record.
    ///
    /// # Errors
    ///
    /// If the server cannot be read. The place is kept, and the next call connects again: wait
    /// between two. [`StoreErrorKind::Lost`] once, if the server came back with less than was
    /// read of it; the next call goes on from its present end.
    pub fn poll(
        &mut self,
        wait: Duration,
    ) -> Result<Option<Result<StreamEntry, StreamDamage>>, StoreError> {
        if self.page.is_empty() {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.reconnect()?,
            };
            self.page = self.read(&mut connection, wait)?;
            self.connection = Some(connection);
        }
        let Some(next) = self.page.pop_front() else { return Ok(None) };
        self.after = next.id;
        Ok(Some(next.content))
    }

    fn reconnect(&mut self) -> Result<Connection, StoreError> {
        let mut connection = self.reader.connect()?;
        let last = self.reader.last_id_on(&mut connection)?;
        if last < self.after {
            let cause = format!(
                "it was read up to {} and ends at {last}: the server lost what lies between",
                self.after
            );
            self.after = last;
            return Err(because(&self.reader.url, "follow", StoreErrorKind::Lost, cause));
        }
        Ok(connection)
    }

    fn read(
        &self,
        connection: &mut Connection,
        wait: Duration,
    ) -> Result<VecDeque<Judged>, StoreError> {
        let failed = |error: ::redis::RedisError| self.reader.failed(&error);
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let patience = self.reader.options.response_timeout.saturating_add(wait);
        connection.set_read_timeout(Some(patience)).map_err(failed)?;
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(FIRST_PAGE).arg("BLOCK").arg(milliseconds);
        read.arg("STREAMS").arg(self.reader.url.stream()).arg(self.after.to_string());
        // One stream was asked for: a row of one pair, its name and its entries.
        let entries = match read.query(connection).map_err(failed)? {
            Value::Array(mut streams) => match streams.pop() {
                Some(Value::Array(mut pair)) => pair.pop().ok_or_else(|| self.reader.strange())?,
                _ => return Err(self.reader.strange()),
            },
            nothing => nothing,
        };
        self.reader.judged(entries)
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("url", &self.reader.url)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_about_a_mebibyte() {
        assert_eq!(fitting(64, 64 * 512), 1024);
        assert_eq!(fitting(64, 64 * 4096), 256);
        assert_eq!(fitting(2, 2 * 5_000_000), 1);
        assert_eq!(fitting(0, 0), 1);
    }
}
