//! CloudEvents structured JSON: single events, journal lines and streamed batches.
//!
//! `pub` and the bridges read and write events here, the journal its lines. What a foreign event
//! carries is either kept or refused with a reason, never quietly changed.
//!
//! Read leniently: members in any order, blanks and line breaks anywhere, escapes in names,
//! `null` for absent. Refused, beyond what CloudEvents and RFC 8259 refuse anyway: duplicate
//! attributes, attribute names with other characters than `a-z` and `0-9`, lone surrogates,
//! control characters and noncharacters in attributes, numbers in extensions that are not
//! written as an integer of 32 bits, a byte order mark, and whatever breaks a limit.
//! A leap second is read as the next second; a payload that is no string under a content type
//! that is not JSON is kept as the JSON it is.
#![forbid(unsafe_code)]

mod batch;
mod compact;
pub(crate) mod decode;
pub(crate) mod encode;
mod glance;
#[cfg(all(feature = "query", unix))]
pub(crate) mod outline;
#[cfg(all(feature = "jsonl", unix))]
pub(crate) mod place;
mod record;
pub(crate) mod scan;
#[cfg(all(feature = "jsonl", unix))]
mod within;

pub use batch::{BatchError, Elements};
#[cfg(all(feature = "jsonl", unix))]
pub(crate) use decode::Home;
pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use record::{Checksum, Record, checksum, decode_record, encode_record};
#[cfg(all(feature = "jsonl", unix))]
pub(crate) use within::record_within;

/// What a decoder accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest event, in bytes of its JSON text or its binary frame. Default: 1 MiB. A
    /// record of the journal may be longer by [`Limits::RECORD_SLACK`].
    pub max_bytes: usize,
    /// The deepest nesting; the event itself is the first level. Default and most: 128.
    pub max_depth: u32,
}

impl Limits {
    pub(crate) const DEFAULT_BYTES: usize = 1 << 20;
    pub(crate) const DEFAULT_DEPTH: u32 = 128;

    /// How much longer than an event its record may be: for sequence, recorded time, checksum,
    /// times written in full, and the cause that a bus notes.
    pub const RECORD_SLACK: usize = 4096;

    /// The same, for another size.
    #[must_use]
    pub const fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// The same, for another depth. More than 128 is 128.
    #[must_use]
    pub const fn with_max_depth(self, max_depth: u32) -> Self {
        Self { max_depth, ..self }
    }

    /// How deep a member's value may nest in an event of at most `max_depth` levels, of which the event
    /// is the first. What goes beyond the most could be read, but not again from where it was stored.
    pub(crate) fn below_event(max_depth: u32) -> u32 {
        max_depth.min(scan::MAX_DEPTH).saturating_sub(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: Self::DEFAULT_BYTES, max_depth: Self::DEFAULT_DEPTH }
    }
}
