//! The end of a journal: its last records, and those that come.
//!
//! `tail` reads backwards by blocks, so that it costs the same at the end of any journal.
//! [`Follow`] is asked again and again; it remembers a segment's number and an offset, never an
//! inode or a time, and it never does anything that a writer could notice.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::path::PathBuf;

use super::index::{self, Window};
use super::lines::{Backward, Forward, Line};
use super::planted::{Bug, planted};
use super::read::{Damage, Entry, JournalReader, Position, Target};
use super::read::{entry, is_blank, missing_between};
use super::segment::SegmentNumber;
use crate::Sequence;
use crate::event::Timestamp;
use crate::store::StoreError;

/// The last records of a journal.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tail {
    /// The records, oldest first.
    pub entries: Vec<Entry>,
    /// Where the next record will begin: see [`Tail::end`].
    pub next: Position,
    /// Damaged lines among them.
    pub damaged: u64,
    /// The first of these.
    pub first_damage: Option<Damage>,
    /// The newest record's sequence, also if it is not among the entries.
    last: Option<Sequence>,
}

impl Tail {
    /// Where to follow on, so that nothing is missed and nothing comes twice.
    #[must_use]
    pub fn end(&self) -> Start {
        Start::At { position: self.next, last: self.last }
    }

    /// Whether it has what it should, and the newest sequence, if there are sequences.
    fn is_enough(&self, count: usize, target: &Target) -> bool {
        self.entries.len() == count && (self.last.is_some() || !target.hides_repeats())
    }
}

/// Where to begin following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the first record there is.
    First,
    /// With the first record that comes.
    End,
    /// With this sequence. Records without a sequence are left out before the first one with it.
    Sequence(Sequence),
    /// With the first record of this time or later, by its own time, else by when it was recorded.
    /// What comes behind it is given out whatever its time.
    Time(Timestamp),
    /// At a place, hiding records up to `last`, which were seen already.
    At {
        /// The place.
        position: Position,
        /// The last sequence that was seen.
        last: Option<Sequence>,
    },
}

impl JournalReader {
    /// The last `count` records, oldest first, each once; fewer if there are fewer.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    pub fn tail(&self, count: usize) -> Result<Tail, StoreError> {
        let target = &self.target;
        let mut tail = Tail::default();
        let mut first: Option<Sequence> = None;
        let segments = target.segments()?;
        for (age, &number) in segments.iter().rev().enumerate() {
            let Some(file) = target.open(number)? else { continue };
            let failed = |error| target.failed("read", Some(number), error);
            let end = file.length().map_err(failed)?;
            let mut lines = Backward::new(&*file, end);
            if age == 0 {
                tail.next = Position { segment: number.0, offset: end };
            }
            while let Some(line) = lines.next().map_err(failed)? {
                let unfinished = !line.ended;
                if !unfinished && tail.is_enough(count, target) {
                    break;
                }
                if is_blank(line.bytes) {
                    continue;
                }
                match target.judge(line.bytes) {
                    Ok(record) => {
                        tail.last = tail.last.max(record.sequence);
                        if tail.is_enough(count, target) {
                            // The end was asked for alone: a record without its newline counts.
                            break;
                        }
                        if tail.entries.len() == count {
                            continue;
                        }
                        if target.hides_repeats() && record.sequence.is_some() {
                            // Going backwards, the copy that was written again comes first.
                            if first.is_some_and(|first| record.sequence >= Some(first)) {
                                continue;
                            }
                            first = record.sequence;
                        }
                        let position = Position { segment: number.0, offset: line.offset };
                        let bytes = line.bytes.unwrap_or_default().to_vec();
                        tail.entries.push(entry(record, bytes, position));
                    }
                    // Not written to its end yet, or never to be.
                    Err(_) if unfinished => {
                        if age == 0 {
                            tail.next.offset = line.offset;
                        }
                    }
                    Err(reason) => {
                        tail.damaged += 1;
                        // Going backwards, the first comes last.
                        let (file, length) = (target.file_path(number), line.length);
                        tail.first_damage =
                            Some(Damage { file, offset: line.offset, length, reason });
                    }
                }
            }
            if tail.is_enough(count, target) {
                break;
            }
        }
        tail.entries.reverse();
        Ok(tail)
    }

    /// Follows the journal from `start` on.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    pub fn follow(&self, start: Start) -> Result<Follow, StoreError> {
        let mut follow = Follow {
            target: self.target.clone(),
            current: None,
            ahead: VecDeque::new(),
            next: Position::default(),
            last: None,
            from: None,
            since: None,
            doubted: None,
            given: Position::default(),
            looked_again: false,
            may_miss: false,
            damaged: 0,
            first_damage: None,
        };
        match start {
            Start::First => {}
            Start::End => {
                let tail = self.tail(0)?;
                // What a failed sync moves into a new segment is not new.
                (follow.next, follow.last) = (tail.next, tail.last);
            }
            Start::Sequence(from) => {
                follow.from = Some(from);
                follow.may_miss = self.target.hides_repeats();
                follow.next = self.place_of_sequence(from)?;
            }
            Start::Time(since) => {
                follow.since = Some(since);
                follow.next = self.place_since(since)?;
            }
            Start::At { position, last } => {
                follow.next = position;
                follow.last = last;
            }
        }
        Ok(follow)
    }

    /// A place before which no record has this sequence or a higher one: that of the first one
    /// there is, else the end.
    fn place_of_sequence(&self, from: Sequence) -> Result<Position, StoreError> {
        // Looked for first: what is written behind it meanwhile is seen by whoever goes on there.
        let end = self.tail(0)?.next;
        let in_order = self.target.hides_repeats();
        if in_order && self.ends_before(from)? {
            return Ok(end);
        }
        let first = self.records_from(from)?.next().transpose()?;
        // A file of unknown origin was read to its end for that. In a directory something is wrong
        // with the order, and everything is looked at.
        let otherwise = if in_order { Position::default() } else { end };
        Ok(first.map_or(otherwise, |entry| entry.position))
    }

    /// Whether this sequence is still to come, as the ends of the segments tell. The last one alone
    /// does not: somebody may have put an old one there.
    fn ends_before(&self, from: Sequence) -> Result<bool, StoreError> {
        let target = &self.target;
        let mut packed = false;
        for &number in target.segments()?.iter().rev() {
            let Some(file) = target.open(number)? else { continue };
            // The older compressed ones are below it, and cost more to look at.
            if file.is_stream() && packed {
                continue;
            }
            let failed = |error| target.failed("read", Some(number), error);
            let mut lines = Backward::new(&*file, file.length().map_err(failed)?);
            let mut last = None;
            while last.is_none()
                && let Some(line) = lines.next().map_err(failed)?
            {
                last = target.judge(line.bytes).ok().and_then(|record| record.sequence);
            }
            if last >= Some(from) {
                return Ok(false);
            }
            packed |= file.is_stream() && last.is_some();
        }
        Ok(true)
    }

    /// A place before which no record has this time or a later one.
    pub(super) fn place_since(&self, since: Timestamp) -> Result<Position, StoreError> {
        let window = Window { since: Some(since), until: None };
        let segments = self.target.segments()?;
        let Some((last, sealed)) = segments.split_last() else { return Ok(Position::default()) };
        for number in sealed {
            let first = match index::made_anyhow(&self.target, *number) {
                Some(index) => index.within(window).first().map(|range| range.start),
                None => Some(0),
            };
            if let Some(offset) = first {
                return Ok(Position { segment: number.0, offset });
            }
        }
        Ok(Position { segment: last.0, offset: 0 })
    }
}

/// A journal, or a growing plain file, being followed.
///
/// [`poll`](Self::poll) never waits: the caller decides how often it asks.
#[derive(Debug)]
pub struct Follow {
    target: Target,
    current: Option<(SegmentNumber, Forward)>,
    /// Newer segments that were there when it was listed last, oldest first: a listing costs as much
    /// as there are segments, so there is none for each.
    ahead: VecDeque<SegmentNumber>,
    next: Position,
    last: Option<Sequence>,
    from: Option<Sequence>,
    /// No record of this time or later was seen yet.
    since: Option<Timestamp>,
    /// A line that was no record when it was read first.
    doubted: Option<Position>,
    /// Where the last record ends that was given out.
    given: Position,
    /// The present segment was read to its end after a newer one had been seen.
    looked_again: bool,
    /// What is missing before the next record may have been removed.
    may_miss: bool,
    damaged: u64,
    first_damage: Option<Damage>,
}

impl Follow {
    /// The next record that is written to its end; `None` if there is none yet. May be called
    /// again after either, and after an error.
    ///
    /// A segment that is compressed or removed while it is read is read to its end all the same.
    /// Where segments were removed before the follower came to them, it goes on with the oldest
    /// record there is, and [`Entry::missing`] says what it did not see.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    pub fn poll(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            let Some(number) = self.open()? else { return Ok(None) };
            let Some((_, lines)) = &mut self.current else { return Ok(None) };
            let found = lines.next();
            let found = found.map_err(|error| self.target.failed("read", Some(number), error))?;
            if let Some(found) = found {
                let line = lines.line(found);
                let position = Position { segment: number.0, offset: line.offset };
                let next = Position { offset: line.offset + line.length + 1, ..position };
                match take(&self.target, line, position) {
                    Ok(entry) => {
                        self.next = next;
                        if let Some(entry) = entry.and_then(|entry| self.admit(entry)) {
                            self.given = next;
                            return Ok(Some(entry));
                        }
                    }
                    // The line may have been put together from a piece that was cut off and
                    // what was written in its place.
                    Err(_) if self.doubted != Some(position) => {
                        self.doubted = Some(position);
                        lines.read_again_from(position.offset);
                    }
                    Err(damage) => {
                        self.next = next;
                        self.note(damage);
                    }
                }
            } else {
                match self.turn_page(number)? {
                    Page::Same => return Ok(None),
                    Page::Next(None) => {}
                    Page::Next(Some(entry)) => {
                        if let Some(entry) = self.admit(*entry) {
                            return Ok(Some(entry));
                        }
                    }
                }
            }
        }
    }

    /// Where the next record will begin, as far as is known.
    #[must_use]
    pub fn position(&self) -> Position {
        self.next
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

    /// Opens the segment to be read, if none is open; its number.
    fn open(&mut self) -> Result<Option<SegmentNumber>, StoreError> {
        if let Some((number, _)) = self.current {
            return Ok(Some(number));
        }
        // Those that were known may be gone by now: then once more by what is there.
        let mut looks = 2;
        let (number, file) = loop {
            if self.ahead.is_empty() {
                looks -= 1;
            }
            self.look_ahead(self.next.segment)?;
            let Some(&number) = self.ahead.front().filter(|_| looks >= 0) else { return Ok(None) };
            let file = self.target.open(number)?;
            self.ahead.pop_front();
            if let Some(file) = file {
                break (number, file);
            }
        };
        if number.0 != self.next.segment {
            // Those before it are gone, or their numbers were never used.
            self.may_miss = self.target.hides_repeats();
            self.next = Position { segment: number.0, offset: 0 };
        }
        self.looked_again = false;
        self.current = Some((number, Forward::new(file, self.next.offset)));
        Ok(Some(number))
    }

    /// Begins again with the first record, because this is not what was read so far.
    fn begin_again(&mut self, file: PathBuf, what: &str) {
        let reason =
            format!("the {what} was replaced by another one, which is read from its beginning");
        let offset = self.next.offset;
        self.note(Damage { file, offset, length: 0, reason });
        (self.current, self.last, self.doubted) = (None, None, None);
        (self.next, self.given) = (Position::default(), Position::default());
        self.ahead.clear();
        self.may_miss = false;
    }

    /// Sees to it that the segments from a number on are at hand, if there are any. Numbers only
    /// rise: where all are below those seen, it is another journal.
    fn look_ahead(&mut self, from: u64) -> Result<(), StoreError> {
        while self.ahead.front().is_some_and(|number| number.0 < from) {
            self.ahead.pop_front();
        }
        if !self.ahead.is_empty() {
            return Ok(());
        }
        let mut all = self.target.listed()?;
        let present = self.current.as_ref().map(|(number, _)| *number);
        let newest = all.last().copied();
        if present.is_some() && newest == present {
            return Ok(());
        }
        if !planted(Bug::ListedOnce) {
            // As for any reader of them all, what is just being compressed may not be seen at once.
            all = self.target.segments_beside(all)?;
        }
        let seen = present.map_or(self.next.segment, |present| present.0);
        if all.last().is_some_and(|last| last.0 < seen) {
            self.begin_again(self.target.file_path(SegmentNumber(seen)), "journal");
            // The next look is at the beginning.
            return Ok(());
        }
        // Of those that came since the first look, one may be seen and one before it not.
        let newest = newest.or(all.first().copied());
        self.ahead = all.into_iter().filter(|n| n.0 >= from && Some(*n) <= newest).collect();
        Ok(())
    }

    /// At the end of a segment: goes on to the next one, if there is one and this one is surely
    /// read to its end.
    fn turn_page(&mut self, number: SegmentNumber) -> Result<Page, StoreError> {
        self.look_ahead(number.0.saturating_add(1))?;
        // None where the journal is another one now.
        let Some((_, lines)) = &mut self.current else { return Ok(Page::Next(None)) };
        if self.ahead.is_empty() && self.target.is_another(lines) {
            if self.looked_again {
                self.begin_again(self.target.file_path(number), "file");
            } else {
                // Its writer may have written until then.
                self.looked_again = true;
                lines.read_again_from(self.next.offset);
            }
            return Ok(Page::Next(None));
        }
        if self.ahead.is_empty() {
            let length = lines.length();
            let length =
                length.map_err(|error| self.target.failed("look at", Some(number), error))?;
            // A writer cuts off whole lines only where they stand elsewhere as well: none that was
            // given out.
            let cut = self.next.offset.checked_sub(length).filter(|missing| *missing > 0);
            let offset = self.next.offset.min(length);
            lines.read_again_from(offset);
            self.next.offset = offset;
            let was_given = self.given.segment == number.0 && self.given.offset > length;
            if let Some(missing) = cut.filter(|_| was_given) {
                let file = self.target.file_path(number);
                let reason = "cut off after it had been read".into();
                self.note(Damage { file, offset, length: missing, reason });
            }
            return Ok(Page::Same);
        }
        if !self.looked_again {
            // The writer was done with this segment before it began the newer one, which was
            // seen just now: what this one holds from here on is all it will ever hold.
            self.looked_again = true;
            lines.read_again_from(self.next.offset);
            return Ok(Page::Next(None));
        }
        // What is unfinished here was written again in the newer segment. If only its newline
        // is missing it is a record all the same, and every reader shows it here.
        let position = self.next;
        let left = lines.unfinished().and_then(|line| take(&self.target, line, position).ok());
        self.current = None;
        self.next = Position { segment: number.0.saturating_add(1), offset: 0 };
        Ok(Page::Next(left.flatten().map(Box::new)))
    }

    /// The entry, if it is one to give out: new, and not before the beginning.
    fn admit(&mut self, mut entry: Entry) -> Option<Entry> {
        let time = entry.event.time().or(entry.event.recorded_at());
        if self.since.is_some_and(|since| time.is_none_or(|time| time < since)) {
            // It was seen: what is missing behind it is told.
            self.last = self.last.max(entry.sequence);
            return None;
        }
        self.since = None;
        let Some(sequence) = entry.sequence else { return self.from.is_none().then_some(entry) };
        let before = self.last;
        if self.target.hides_repeats() && before >= Some(sequence) {
            return None;
        }
        self.last = Some(sequence);
        if self.from.is_some_and(|from| sequence < from) {
            return None;
        }
        let asked = self.from.take().map(|from| from.get().saturating_sub(1));
        if std::mem::take(&mut self.may_miss) {
            let seen = before.map(Sequence::get).max(asked);
            entry.missing = seen.and_then(|seen| missing_between(seen, sequence));
        }
        Some(entry)
    }

    fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        self.first_damage.get_or_insert(damage);
    }
}

/// What comes after the last line that could be read.
enum Page {
    /// Nothing yet.
    Same,
    /// The next segment, or another look at this one; before it the record left without its
    /// newline, if there is one.
    Next(Option<Box<Entry>>),
}

/// The record in a line, none in a blank one.
fn take(target: &Target, line: Line<'_>, position: Position) -> Result<Option<Entry>, Damage> {
    if is_blank(line.bytes) {
        return Ok(None);
    }
    match target.judge(line.bytes) {
        Ok(record) => {
            let bytes = line.bytes.unwrap_or_default().to_vec();
            Ok(Some(entry(record, bytes, position)))
        }
        Err(reason) => {
            let file = target.file_path(SegmentNumber(position.segment));
            Err(Damage { file, offset: line.offset, length: line.length, reason })
        }
    }
}
