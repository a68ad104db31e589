//! Records of lines that lie in a text already, for their events to share.
//!
//! For readers of many lines: a text for several of them costs one allocation, and so do their
//! events together.
#![forbid(unsafe_code)]

use super::record::{Checksum, max_bytes, record_of};
use super::{DecodeError, Home, Limits, decode};
use crate::Sequence;
use crate::event::envelope::Event;

/// Reads a line, its line break left out, as [`decode_record`](super::decode_record) does, into an
/// event that is there: it shares the text that the line lies in. After an error the event is anything.
pub(crate) fn record_within(
    home: Home<'_>,
    len: usize,
    limits: &Limits,
    event: &mut Event,
) -> Result<(Option<Sequence>, Checksum), DecodeError> {
    decode::fits(len, max_bytes(limits))?;
    let (text, at) = home;
    let line = text.get(at..at + len).unwrap_or_default();
    record_of(line, limits, Some(home), event)
}
