//! One thread's share of a query: a range of a segment, and what was found in it.
#![forbid(unsafe_code)]

use std::io;

use super::Order;
use super::blocks::{Block, Blocks};
use super::path::Path;
use super::prefilter::Prefilter;
use super::selection::Selection;
use super::share::Sealed;
use super::stop::Stop;
use crate::Sequence;
use crate::event::Event;
use crate::event::json::outline::Outline;
use crate::event::json::place::string;
use crate::event::json::{self, Checksum, checksum, encode::write_string};
use crate::store::StoreError;
use crate::store::journal::index::{self, Window};
use crate::store::journal::read::{Damage, Position, Target, is_blank};
use crate::store::journal::segment::SegmentNumber;

/// Bytes of a range: large enough that starting it costs nothing, small enough that a limit is
/// reached early and that both ends of a journal are shared evenly.
pub(super) const RANGE: u64 = 4 * 1024 * 1024;

/// What is looked for, shared by all threads.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) target: Target,
    pub(super) selection: Selection,
    /// What the selection says of times.
    pub(super) window: Window,
    pub(super) prefilter: Prefilter,
    /// By what the matches are grouped.
    pub(super) group: Option<Path>,
    /// Whether somebody wants the lines themselves.
    pub(super) keeps_lines: bool,
    /// Whether somebody wants the events, which are decoded anyway.
    pub(super) keeps_events: bool,
    pub(super) stop: Stop,
}

/// Lines that are taken apart before the next look whether to stop.
const LOOK: usize = 1024;

/// The lines of a segment that begin in a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) segment: SegmentNumber,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What was found in a range, in the file's order.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The lines of all matches, one after the other, without newlines.
    pub(super) text: Vec<u8>,
    pub(super) matches: Vec<Hit>,
    pub(super) damaged: u64,
    pub(super) first_damage: Option<Damage>,
    /// The segment, if it was removed before it was searched, or cut off because what stood there
    /// was written again in another one.
    pub(super) gone: Option<SegmentNumber>,
    /// How many bytes were gone through.
    pub(super) bytes: u64,
    /// The search was to stop: what is here is not all, and nothing follows.
    pub(super) stopped: bool,
}

/// One match.
#[derive(Debug)]
pub(super) struct Hit {
    /// Where its line is in the text.
    pub(super) line: std::ops::Range<usize>,
    pub(super) sequence: Option<Sequence>,
    pub(super) position: Position,
    /// The JSON value by which it is grouped.
    pub(super) group: Option<String>,
    pub(super) event: Option<Event>,
}

impl Search {
    /// Goes through what a window leaves of a segment, which is told by an index that is made now,
    /// or through all of it if there can be none; otherwise as [`range`](Self::range).
    pub(super) fn sealed(
        &self,
        sealed: Sealed,
        order: Order,
        give: &mut impl FnMut(Findings) -> bool,
    ) -> Result<bool, StoreError> {
        let (ranges, passed) = match index::kept_or_made(&self.target, sealed.segment()) {
            Some(index) => sealed.wanted(&index, self.window, order),
            None => (sealed.all(order), 0),
        };
        let mut goes_on = give(Findings { bytes: passed, ..Findings::default() });
        for range in ranges {
            goes_on = goes_on && self.range(range, give)?;
        }
        Ok(goes_on)
    }

    /// Goes through a range and gives out what it finds, a part after the other, until nobody
    /// wants it any more: then false. Nothing is found in a segment that is gone, which is told.
    pub(super) fn range(
        &self,
        range: Range,
        give: &mut impl FnMut(Findings) -> bool,
    ) -> Result<bool, StoreError> {
        let mut findings = Findings::default();
        let mut told = range.from;
        if let Some(file) = self.target.open(range.segment)? {
            let mut blocks = Blocks::new(file, range.from, range.to);
            let failed = |error: io::Error| self.target.failed("read", Some(range.segment), error);
            while let Some(block) = blocks.next().map_err(failed)? {
                let end = (block.offset + block.text.len() as u64).min(range.to);
                findings.stopped = self.stop.is_asked_for();
                if !findings.stopped {
                    self.block(range.segment, block, &mut findings);
                }
                if findings.stopped {
                    give(findings);
                    return Ok(false);
                }
                if end - told >= RANGE && end < range.to {
                    findings.bytes = end - told;
                    told = end;
                    if !give(std::mem::take(&mut findings)) {
                        return Ok(false);
                    }
                }
            }
            let is_short = range.from < range.to && blocks.reached() < range.to;
            if is_short && self.target.listed()?.iter().any(|newer| *newer > range.segment) {
                findings.gone = Some(range.segment);
            }
        } else {
            findings.gone = Some(range.segment);
        }
        findings.bytes = range.to - told;
        Ok(give(findings))
    }

    /// Goes through whole lines.
    pub(super) fn block(&self, segment: SegmentNumber, block: Block<'_>, into: &mut Findings) {
        let place = |offset| Position { segment: segment.0, offset: block.offset + offset as u64 };
        if let Some((length, why)) = block.unreadable {
            self.damage(place(0), length, why.to_string(), into);
        }
        for (number, (start, end)) in (1..).zip(self.prefilter.over(block.text)) {
            if number % LOOK == 0 && self.stop.is_asked_for() {
                into.stopped = true;
                return;
            }
            let line = &block.text[start..end];
            let is_ended = end < block.text.len();
            match self.line(line) {
                Ok(None) => {}
                Ok(Some((record, group))) => {
                    let kept = into.text.len();
                    if self.keeps_lines {
                        into.text.extend_from_slice(line);
                    }
                    let (sequence, position) = (record.sequence, place(start));
                    let line = kept..into.text.len();
                    let event = self.keeps_events.then_some(record.event);
                    into.matches.push(Hit { line, sequence, position, group, event });
                }
                // The end of a segment that was not written to its end.
                Err(_) if !is_ended => {}
                Err(_) if is_blank(Ok(line)) => {}
                Err(reason) => self.damage(place(start), line.len() as u64, reason, into),
            }
        }
    }

    /// The record in a line and its group, if it matches; or why it is no record.
    fn line(&self, line: &[u8]) -> Result<Option<(json::Record, Option<String>)>, String> {
        let judge = || self.target.judge(Ok(line));
        if self.selection.is_empty() && self.group.is_none() {
            return judge().map(|record| Some((record, None)));
        }
        // Only what may be as it was written is worth a look; the rest is judged, match or not.
        let may_be_sound = match checksum(line) {
            Checksum::Valid => true,
            Checksum::Missing => !self.target.hides_repeats(),
            Checksum::Mismatch => false,
        };
        let (true, Ok(event)) = (may_be_sound, Outline::of(line)) else {
            let record = judge()?;
            let event = Outline::of(line).map_err(|error| error.to_string())?;
            let matches = self.selection.takes(line, &event);
            return Ok(matches.then(|| (record, self.group_of(&event))));
        };
        if !self.selection.takes(line, &event) {
            return Ok(None);
        }
        Ok(Some((judge()?, self.group_of(&event))))
    }

    /// The value at the group's place, texts all spelled alike.
    fn group_of(&self, event: &Outline<'_>) -> Option<String> {
        let path = self.group.as_ref()?;
        let Some(raw) = path.find(event) else { return Some("null".into()) };
        if !raw.contains('\\') {
            return Some(raw.to_owned());
        }
        let Some(text) = string(raw) else { return Some(raw.to_owned()) };
        let mut spelled = Vec::with_capacity(raw.len());
        write_string(&text, &mut spelled);
        Some(String::from_utf8(spelled).unwrap_or_default())
    }

    fn damage(&self, position: Position, length: u64, reason: String, into: &mut Findings) {
        into.damaged += 1;
        if into.first_damage.is_none() {
            let file = self.target.file_path(SegmentNumber(position.segment));
            into.first_damage = Some(Damage { file, offset: position.offset, length, reason });
        }
    }
}
