//! A journal's line: an event, its sequence, when it was recorded, and a checksum over all that.
//!
//! The journal writes and reads its records here. A line is never trusted for being ours: it is
//! read as any foreign event is, and a wrong checksum is told, not acted on.
#![forbid(unsafe_code)]

use super::decode::Home;
use super::{DecodeError, Limits, decode, encode};
use crate::Sequence;
use crate::event::envelope::Event;

const OPENING: &[u8] = b",\"crc32c\":\"";
const CLOSING: &[u8] = b"\"}";
/// The checksum's member and the brace after it.
const TAIL_LEN: usize = OPENING.len() + 8 + CLOSING.len();

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The event, with the time it was recorded.
    pub event: Event,
    /// Its place in the journal; none in a foreign line, unless it is written as ours are
    /// (20 digits, from 1).
    pub sequence: Option<Sequence>,
    /// Whether the line is as it was written.
    pub checksum: Checksum,
}

/// What a line's checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The bytes before it give this checksum.
    Valid,
    /// There is none: a foreign line.
    Missing,
    /// The line is not as it was written.
    Mismatch,
}

/// Appends the event to `out` as one whole line of a journal, line break included.
///
/// The checksum is the last member, over the line's bytes before `,"crc32c":`.
pub fn encode_record(event: &Event, sequence: Sequence, out: &mut Vec<u8>) {
    out.reserve(encode::max_len(event));
    let start = out.len();
    encode::write(event, Some(sequence), out);
    let sum = crc32c::crc32c(out.get(start..).unwrap_or_default());
    let mut end = *b",\"crc32c\":\"00000000\"}\n";
    end[OPENING.len()..OPENING.len() + 8].copy_from_slice(&hex(sum));
    out.extend_from_slice(&end);
}

/// Reads a line of a journal, or of any CloudEvents file; its line break may be there or not.
///
/// A line may be longer than the limit by [`Limits::RECORD_SLACK`], so that every event that was
/// let in can be read back.
///
/// # Errors
///
/// As for [`decode`](super::decode()). A wrong checksum alone is no error: see
/// [`Record::checksum`].
pub fn decode_record(line: &[u8], limits: &Limits) -> Result<Record, DecodeError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = decode::text_of(line, max_bytes(limits))?;
    let mut event = Event::unfinished(0);
    let (sequence, checksum) = record_of(text, limits, None, &mut event)?;
    Ok(Record { event, sequence, checksum })
}

pub(super) fn max_bytes(limits: &Limits) -> usize {
    limits.max_bytes.saturating_add(Limits::RECORD_SLACK)
}

#[inline]
pub(super) fn record_of(
    line: &str,
    limits: &Limits,
    home: Option<Home<'_>>,
    event: &mut Event,
) -> Result<(Option<Sequence>, Checksum), DecodeError> {
    let marks = decode::read(line, limits.max_depth, home, event)?;
    let checksum = match checksum(line.as_bytes()) {
        // The member is there, but not where a journal writes it.
        Checksum::Missing if marks.has_checksum => Checksum::Mismatch,
        found => found,
    };
    Ok((marks.sequence, checksum))
}

/// Checks a line's checksum without reading the line: whether it is whole and as it was written.
///
/// [`Checksum::Missing`] if the line does not end as a journal's line does.
#[must_use]
pub fn checksum(line: &[u8]) -> Checksum {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let Some(tail) = tail_of(line) else { return Checksum::Missing };
    let (body, digits) = (&line[..line.len() - TAIL_LEN], &tail[OPENING.len()..][..8]);
    if digits == hex(crc32c::crc32c(body)) { Checksum::Valid } else { Checksum::Mismatch }
}

/// The checksum's member and the brace after it, if the line ends in them.
#[inline]
pub(super) fn tail_of(line: &[u8]) -> Option<&[u8]> {
    let tail = line.get(line.len().checked_sub(TAIL_LEN)?..)?;
    (tail.starts_with(OPENING) && tail.ends_with(CLOSING)).then_some(tail)
}

/// Eight digits, lower case.
fn hex(sum: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(sum >> (28 - 4 * place)) as usize & 15])
}
