//! Every line of some segments, one after the other.
//!
//! Scans, `verify` and `stats` go over a journal with it, and decide what to make of each line.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::lines::{Forward, Found, Line};
use super::read::{Damage, Position, Target, is_blank};
use super::segment::SegmentNumber;
use super::verdict::{Marks, limits};
use crate::event::Event;
use crate::event::json;
use crate::store::StoreError;

/// A line's length and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) length: u64,
    checksum: u32,
}

/// Goes over every line of some segments; the caller decides what to make of each.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) target: Target,
    pub(super) segments: VecDeque<SegmentNumber>,
    /// The newest of them.
    newest: Option<SegmentNumber>,
    /// Where to begin in the first of them.
    pub(super) begin: u64,
    current: Option<(SegmentNumber, Forward)>,
    at: Option<At>,
    /// Segments that were gone when it came to them.
    pub(super) gone: u64,
}

/// The line a [`Walk`] stands on.
#[derive(Clone, Copy, Debug)]
enum At {
    Line(Found),
    Unfinished,
}

impl Walk {
    pub(super) fn new(target: Target, segments: Vec<SegmentNumber>) -> Self {
        let newest = segments.last().copied();
        let segments = segments.into();
        Self { target, segments, newest, begin: 0, current: None, at: None, gone: 0 }
    }

    /// Adds the segments that are newer than all it had, if it had any; whether there may have been
    /// others between.
    pub(super) fn look_again(&mut self) -> Result<bool, StoreError> {
        let Some(newest) = self.newest.filter(|_| self.target.hides_repeats()) else {
            return Ok(false);
        };
        let newer = self.target.segments()?.into_iter();
        self.segments.extend(newer.filter(|number| *number > newest));
        Ok(self.segments.front().is_some_and(|first| first.0 - newest.0 > 1))
    }

    /// Goes to the next line that is not blank; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, StoreError> {
        loop {
            if matches!(self.at.take(), Some(At::Unfinished)) {
                self.current = None;
            }
            let Some((number, lines)) = &mut self.current else {
                let Some(number) = self.segments.pop_front() else { return Ok(false) };
                // It is the first one's, also if that one is gone.
                let begin = std::mem::take(&mut self.begin);
                match self.target.open(number)? {
                    Some(file) => self.current = Some((number, Forward::new(file, begin))),
                    None => self.gone += 1,
                }
                continue;
            };
            let number = *number;
            match lines.next().map_err(|error| self.target.failed("read", Some(number), error))? {
                Some(found) if is_blank(lines.line(found).bytes) => {}
                Some(found) => {
                    self.at = Some(At::Line(found));
                    return Ok(true);
                }
                None if lines.unfinished().is_some() => {
                    self.at = Some(At::Unfinished);
                    return Ok(true);
                }
                None => self.current = None,
            }
        }
    }

    fn here(&self) -> Option<(SegmentNumber, Line<'_>)> {
        let (number, lines) = self.current.as_ref()?;
        match self.at? {
            At::Line(found) => Some((*number, lines.line(found))),
            At::Unfinished => lines.unfinished().map(|line| (*number, line)),
        }
    }

    /// Makes `event` the one in the line and says what stands beside it, or why it is no record;
    /// nothing for the end of a segment that was not written to its end. After an error the event is
    /// anything.
    pub(super) fn piece(&mut self, event: &mut Event) -> Option<Result<Marks, String>> {
        if let (Some((_, lines)), Some(At::Line(found))) = (&mut self.current, self.at)
            && let Some((home, length)) = lines.home(found)
        {
            let read = json::record_within(home, length, &limits(), event);
            let read = read.map_err(|error| error.to_string());
            return Some(read.and_then(|marks| self.target.accept(marks)));
        }
        let (_, line) = self.here()?;
        match self.target.judge(line.bytes) {
            Err(_) if !line.ended => None,
            judged => Some(judged.map(|record| {
                *event = record.event;
                (record.sequence, record.checksum)
            })),
        }
    }

    /// The segment of the line, and whether it is the last one.
    pub(super) fn segment(&self) -> Option<(SegmentNumber, bool)> {
        self.current.as_ref().map(|(number, _)| (*number, self.segments.is_empty()))
    }

    /// The line's length, without its newline.
    pub(super) fn length(&self) -> u64 {
        self.here().map_or(0, |(_, line)| line.length)
    }

    /// What tells the line from any other.
    pub(super) fn sum(&self) -> Sum {
        let bytes = self.here().and_then(|(_, line)| line.bytes.ok()).unwrap_or_default();
        Sum { length: bytes.len() as u64, checksum: crc32c::crc32c(bytes) }
    }

    /// Where the line is, and its bytes if they are wanted.
    pub(super) fn place(&self, wants_line: bool) -> (Position, Vec<u8>) {
        let (segment, offset, line) = match self.here() {
            Some((number, line)) => (number.0, line.offset, line.bytes.unwrap_or_default()),
            None => (0, 0, &[][..]),
        };
        let line = if wants_line { line.to_vec() } else { Vec::new() };
        (Position { segment, offset }, line)
    }

    pub(super) fn damage(&self, reason: String) -> Damage {
        let (number, offset, length) = match self.here() {
            Some((number, line)) => (number, line.offset, line.length),
            None => (SegmentNumber(0), 0, 0),
        };
        Damage { file: self.target.file_path(number), offset, length, reason }
    }
}
