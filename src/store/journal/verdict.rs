//! Whether what was read in a line may be given out.
//!
//! Asked by all who read a journal. That a line can be decoded is not enough: its checksum says
//! whether it is as it was written, and in a journal one that is missing says something too.
#![forbid(unsafe_code)]

use super::lines::LONGEST;
use super::planted::{Bug, planted};
use crate::Sequence;
use crate::event::json::{self, Checksum, Limits};

/// What a line of a journal may be: as large as a line can be.
pub(super) fn limits() -> Limits {
    Limits::default().with_max_bytes(LONGEST)
}

/// What stands beside an event: its sequence, and what the line's checksum says.
pub(super) type Marks = (Option<Sequence>, Checksum);

#[inline]
pub(super) fn sound(marks: Marks) -> Result<Marks, String> {
    match marks.1 {
        Checksum::Mismatch if !planted(Bug::ChecksumIgnored) => {
            Err("the checksum does not match".into())
        }
        _ => Ok(marks),
    }
}

/// In a journal every line has a checksum, so one with a sequence and none has lost it by
/// damage. One without both was put there by somebody else.
#[inline]
pub(super) fn stored(marks: Marks) -> Result<Marks, String> {
    match sound(marks)? {
        (Some(_), Checksum::Missing) => Err("the checksum is missing".into()),
        marks => Ok(marks),
    }
}

/// The record in a line of a journal's directory, or what is wrong with it.
pub(super) fn judge_stored(line: &[u8]) -> Result<json::Record, String> {
    let record = json::decode_record(line, &limits()).map_err(|error| error.to_string())?;
    stored((record.sequence, record.checksum))?;
    Ok(record)
}
