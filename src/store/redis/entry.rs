//! An entry of a stream: its id, and the journal's line that it holds.
//!
//! The id is `SEQUENCE-0`: the server itself keeps every sequence to one record, and a range of
//! sequences is a range of ids. An entry is never trusted for being where ours are.
#![forbid(unsafe_code)]

use std::fmt;

use ::redis::Value;

use crate::Sequence;
use crate::event::Event;
use crate::event::json::{Checksum, Limits, decode_record};
use crate::ring::Shared;
use crate::store::Record;

/// The one field of an entry.
pub(super) const FIELD: &str = "event";
/// The longest line written; the largest event, in base64 and escaped, stays below.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The first number; of our records their sequence.
    pub major: u64,
    /// The second number; of our records 0.
    pub minor: u64,
}

impl EntryId {
    /// The id of the record of `sequence`.
    pub(super) fn of(sequence: Sequence) -> Self {
        Self { major: sequence.get(), minor: 0 }
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// The lowest id above this one.
    pub(super) fn next(self) -> Self {
        match self.minor.checked_add(1) {
            Some(minor) => Self { minor, ..self },
            None => Self { major: self.major.saturating_add(1), minor: 0 },
        }
    }

    /// The highest id below this one, if there is one.
    pub(super) fn before(self) -> Option<Self> {
        match (self.major, self.minor) {
            (0, 0) => None,
            (major, 0) => Some(Self { major: major - 1, minor: u64::MAX }),
            (major, minor) => Some(Self { major, minor: minor - 1 }),
        }
    }

    /// The sequence that this is the id of.
    pub(super) fn sequence(self) -> Option<Sequence> {
        let ours = self.minor == 0 && (1..Sequence::LIMIT).contains(&self.major);
        ours.then(|| Sequence::new(self.major))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.major, self.minor)
    }
}

/// A record as a stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamEntry {
    /// Its place, which is its entry's id.
    pub sequence: Sequence,
    /// The event, with the time it was recorded.
    pub event: Event,
    /// The line as it is stored.
    pub line: Vec<u8>,
    /// Valid or missing.
    pub checksum: Checksum,
}

impl StreamEntry {
    /// The record that was stored.
    #[must_use]
    pub fn into_record(self) -> Record {
        Record { sequence: self.sequence, event: Shared::new(self.event) }
    }
}

/// An entry that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamDamage {
    /// Its id.
    pub id: EntryId,
    /// What is wrong with it.
    pub reason: String,
}

/// An entry with its id, read and judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) id: EntryId,
    /// Bytes of the line.
    pub(super) length: usize,
    pub(super) content: Result<StreamEntry, StreamDamage>,
}

/// Reads what the server gives as one entry; nothing if it is none.
pub(super) fn judge(value: Value) -> Option<Judged> {
    let Value::Array(parts) = value else { return None };
    let [Value::BulkString(id), fields] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let id = EntryId::parse(&id)?;
    let line = match fields {
        Value::Array(mut fields) => match (fields.pop(), fields.pop(), fields.pop()) {
            (Some(Value::BulkString(line)), Some(Value::BulkString(name)), None)
                if name == FIELD.as_bytes() =>
            {
                Some(line)
            }
            _ => None,
        },
        _ => None,
    };
    let length = line.as_ref().map_or(0, Vec::len);
    let content = line
        .ok_or_else(|| format!("it does not have `{FIELD}` as its only field"))
        .and_then(|line| whole(id, line))
        .map_err(|reason| StreamDamage { id, reason });
    Some(Judged { id, length, content })
}

fn whole(id: EntryId, line: Vec<u8>) -> Result<StreamEntry, String> {
    let limits = Limits::default().with_max_bytes(LONGEST);
    let record = decode_record(&line, &limits).map_err(|error| error.to_string())?;
    if record.checksum == Checksum::Mismatch {
        return Err("its checksum is wrong".to_owned());
    }
    match record.sequence.filter(|sequence| id.sequence() == Some(*sequence)) {
        Some(sequence) => {
            Ok(StreamEntry { sequence, event: record.event, line, checksum: record.checksum })
        }
        None => Err("its id is not the sequence of its record".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_the_server_orders_them() {
        let id = |text: &[u8]| EntryId::parse(text).expect("an id");
        assert_eq!(id(b"5-0").next(), id(b"5-1"));
        assert_eq!(id(b"5-18446744073709551615").next(), id(b"6-0"));
        assert_eq!(id(b"5-0").before(), Some(id(b"4-18446744073709551615")));
        assert_eq!(id(b"0-0").before(), None);
        assert!(id(b"10-0") > id(b"9-7"));
        assert_eq!(EntryId::parse(b"5"), None);
        assert_eq!(id(b"5-0").sequence(), Some(Sequence::new(5)));
        assert_eq!(id(b"5-1").sequence(), None, "no record of ours");
    }
}
