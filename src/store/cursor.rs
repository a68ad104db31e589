//! What was stored, then what comes: one reader of a bus and its store, without gap or repeat.
//!
//! A cursor reads the ring as a lossy tap does, so no publisher ever waits for it. What the ring
//! no longer holds, because it lies before the bus's time or because the cursor was overrun, is
//! read from the store instead, up to the place where the ring goes on. Nothing the ring has
//! forgotten is missing in a store that [`persist`](crate::Bus::persist) feeds: the ring keeps
//! what is not yet written there.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use super::{Record, Scan, StoreError};
use crate::event::Event;
use crate::{
    Bus, DropReason, Gap, Pattern, Sequence, Shared, SubscribeError, Tap, TapError, Tapped,
};

/// Where a [`Cursor`] reads what the ring no longer holds: the store that the same bus feeds.
pub trait Archive: Send {
    /// The records from `from` on, each once, in sequence order, up to what is written when the
    /// reading gets there.
    ///
    /// # Errors
    ///
    /// Why the store cannot be read.
    fn records_from(&self, from: Sequence) -> Result<Scan<'static>, StoreError>;
}

/// What a cursor finds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// The next event that matches.
    Record(Record),
    /// Events that neither the ring nor the store has any more, for instance because retention
    /// removed them. All of them are counted, also those that the pattern does not match.
    Gap(Gap),
}

/// Why a cursor has nothing to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The bus is closed, and everything was read.
    #[error("the bus is closed")]
    Closed,
    /// The store could not be read. The next call tries again at the same place.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a bus from any sequence on, however old: replay, then live.
///
/// ```no_run
/// use ringpost::store::journal::{Journal, JournalOptions};
/// use ringpost::store::{Cursor, PersistOptions, Step, Store};
/// use ringpost::{EventBus, Sequence};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let journal = Journal::open("journal", JournalOptions::default())?;
/// let reader = journal.reader();
/// let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
/// let bus = EventBus::builder().start(Sequence::new(next)).build();
/// let persistence = bus.persist(journal, PersistOptions::default())?;
///
/// let mut all = Cursor::new(&bus, reader, "**", Sequence::new(1))?;
/// while let Some(step) = all.next_timeout(std::time::Duration::from_secs(1))? {
///     if let Step::Record(record) = step {
///         println!("{}", record.event.kind());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Cursor {
    tap: Tap<Shared<Event>>,
    pattern: Pattern,
    archive: Box<dyn Archive>,
    past: Option<Past>,
    /// Everything before this was given out, or is not wanted.
    next: u64,
}

/// A range that is read from the archive.
struct Past {
    next: u64,
    to: u64,
    /// None until it is asked for, and after a failure or a hole.
    records: Option<Scan<'static>>,
    /// Read already, but something before it is missing and told first.
    held: Option<Record>,
}

impl Cursor {
    /// A cursor over the events that match `pattern`, from `from` on, inclusive.
    ///
    /// # Errors
    ///
    /// If the pattern is invalid.
    pub fn new(
        bus: &Bus<Shared<Event>>,
        archive: impl Archive + 'static,
        pattern: &str,
        from: Sequence,
    ) -> Result<Self, SubscribeError> {
        let tap = bus.tap_from(pattern, from)?;
        Ok(Self::over(tap, Box::new(archive), Pattern::parse(pattern)?, from))
    }

    /// A cursor over this tap and its past; both admit the same pattern.
    pub(crate) fn over(
        tap: Tap<Shared<Event>>,
        archive: Box<dyn Archive>,
        pattern: Pattern,
        from: Sequence,
    ) -> Self {
        let next = from.get();
        // The ring begins later: what lies before is the archive's.
        let past = (next < tap.position().get()).then(|| Past::new(next, tap.position().get() - 1));
        Self { tap, pattern, archive, past, next }
    }

    /// The sequence from which on nothing was given out yet.
    #[must_use]
    pub fn position(&self) -> Sequence {
        Sequence::new(self.next)
    }

    /// Whether it reads from the ring: everything older was given out.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.past.is_none()
    }

    /// What comes next, if it is there. May read files.
    ///
    /// # Errors
    ///
    /// [`CursorError`].
    pub fn try_next(&mut self) -> Result<Option<Step>, CursorError> {
        loop {
            if let Some(step) = self.step_past()? {
                return Ok(Some(step));
            }
            let seen = match self.tap.try_next() {
                Ok(tapped) => Seen::of(tapped),
                Err(TapError::Empty) => return Ok(None),
                Err(TapError::Closed) => return Err(CursorError::Closed),
            };
            if let Some(step) = self.step_live(seen) {
                return Ok(Some(step));
            }
        }
    }

    /// As [`try_next`](Cursor::try_next), but waits for at most `timeout` for something to be
    /// published.
    ///
    /// # Errors
    ///
    /// [`CursorError`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Step>, CursorError> {
        loop {
            if let Some(step) = self.step_past()? {
                return Ok(Some(step));
            }
            let seen = match self.tap.next_timeout(timeout) {
                Ok(tapped) => Seen::of(tapped),
                Err(TapError::Empty) => return Ok(None),
                Err(TapError::Closed) => return Err(CursorError::Closed),
            };
            if let Some(step) = self.step_live(seen) {
                return Ok(Some(step));
            }
        }
    }

    /// Waits for what comes next. Reads files on the task's own thread while it is behind.
    ///
    /// # Errors
    ///
    /// [`CursorError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Step, CursorError> {
        loop {
            if let Some(step) = self.step_past()? {
                return Ok(step);
            }
            let seen = Seen::of(self.tap.next().await.ok_or(CursorError::Closed)?);
            if let Some(step) = self.step_live(seen) {
                return Ok(step);
            }
        }
    }

    /// The next step in the archive; none once its range is over.
    fn step_past(&mut self) -> Result<Option<Step>, StoreError> {
        while let Some(past) = &mut self.past {
            let step = past.step(&*self.archive)?;
            // Only what was told or passed over counts as given out.
            self.next = self.next.max(past.next);
            match step {
                None => self.past = None,
                Some(Step::Record(record)) if !self.pattern.matches(record.event.topic()) => {}
                Some(step) => return Ok(Some(step)),
            }
        }
        Ok(None)
    }

    /// What the tap gave, unless the archive has to be asked or it is not wanted.
    fn step_live(&mut self, seen: Seen) -> Option<Step> {
        match seen {
            Seen::Record(record) => {
                let sequence = record.sequence.get();
                let is_wanted = sequence >= self.next;
                self.next = self.next.max(sequence + 1);
                is_wanted.then_some(Step::Record(record))
            }
            Seen::Gap(gap) => {
                let from = self.next.max(gap.from.get());
                self.past = (from <= gap.to.get()).then(|| Past::new(from, gap.to.get()));
                None
            }
            Seen::Foreign => None,
        }
    }
}

/// What a tap lent, as one's own.
enum Seen {
    Record(Record),
    Gap(Gap),
    /// No message of the ring.
    Foreign,
}

impl Seen {
    fn of(tapped: Tapped<'_, Shared<Event>>) -> Self {
        match tapped {
            Tapped::Gap(gap) => Self::Gap(gap),
            Tapped::Delivery(delivery) => match delivery.sequence() {
                Some(sequence) => {
                    Self::Record(Record { sequence, event: delivery.message().clone() })
                }
                None => Self::Foreign,
            },
        }
    }
}

impl Past {
    fn new(next: u64, to: u64) -> Self {
        Self { next, to, records: None, held: None }
    }

    /// The next record of the range, or the gap before it; none at the range's end.
    fn step(&mut self, archive: &dyn Archive) -> Result<Option<Step>, StoreError> {
        if self.next > self.to {
            return Ok(None);
        }
        let found = match self.held.take() {
            Some(record) => Some(record),
            None => self.read(archive)?,
        };
        let found = found.filter(|record| record.sequence.get() <= self.to);
        let upto = found.as_ref().map_or(self.to + 1, |record| record.sequence.get());
        if upto > self.next {
            let (from, to) = (Sequence::new(self.next), Sequence::new(upto - 1));
            self.held = found;
            self.next = upto;
            let (count, reason) = (upto - from.get(), DropReason::Lapped);
            return Ok(Some(Step::Gap(Gap { from, to, count, reason })));
        }
        self.next = upto + 1;
        Ok(found.map(Step::Record))
    }

    /// The next record of the archive. Only what a scan that was just begun has not is missing: while
    /// one goes on, lines may come to stand elsewhere.
    fn read(&mut self, archive: &dyn Archive) -> Result<Option<Record>, StoreError> {
        loop {
            let is_fresh = self.records.is_none();
            let found = self.read_on(archive)?;
            let has_hole = found.as_ref().is_none_or(|found| found.sequence.get() > self.next);
            if is_fresh || !has_hole {
                return Ok(found);
            }
            self.records = None;
        }
    }

    fn read_on(&mut self, archive: &dyn Archive) -> Result<Option<Record>, StoreError> {
        let records = match &mut self.records {
            Some(records) => records,
            none => none.insert(archive.records_from(Sequence::new(self.next))?),
        };
        loop {
            match records.next().transpose() {
                Ok(Some(record)) if record.sequence.get() < self.next => {}
                Ok(record) => return Ok(record),
                Err(error) => {
                    self.records = None;
                    return Err(error);
                }
            }
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("pattern", &self.pattern.as_str())
            .field("position", &self.position())
            .field("is_live", &self.is_live())
            .finish_non_exhaustive()
    }
}
