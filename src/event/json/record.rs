//! A journal's line: an event, its sequence, when it was recorded, and a checksum over all that.
//!
//! The journal writes and reads its records here. A line is never trusted for being ours: it is
//! read as any foreign event is, and a wrong checksum is told, not acted on.
#![forbid(unsafe_code)]

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
    let max_bytes = limits.max_bytes.saturating_add(Limits::RECORD_SLACK);
    let members = decode::read(line, max_bytes, limits.max_depth)?;
    let checksum = match checksum(line) {
        // The member is there, but not where a journal writes it.
        Checksum::Missing if members.has_checksum => Checksum::Mismatch,
        found => found,
    };
    let mut event = members.event;
    event.put_recorded_at(members.recorded_at);
    Ok(Record { event, sequence: members.sequence, checksum })
}

/// Checks a line's checksum without reading the line: whether it is whole and as it was written.
///
/// [`Checksum::Missing`] if the line does not end as a journal's line does.
#[must_use]
pub fn checksum(line: &[u8]) -> Checksum {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let Some((body, tail)) =
        line.len().checked_sub(TAIL_LEN).and_then(|at| line.split_at_checked(at))
    else {
        return Checksum::Missing;
    };
    let digits = tail.strip_prefix(OPENING).and_then(|tail| tail.strip_suffix(CLOSING));
    match digits {
        None => Checksum::Missing,
        Some(digits) if digits == hex(crc32c::crc32c(body)) => Checksum::Valid,
        Some(_) => Checksum::Mismatch,
    }
}

/// Eight digits, lower case.
fn hex(sum: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(sum >> (28 - 4 * place)) as usize & 15])
}
