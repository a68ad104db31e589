//! Writes an event as CloudEvents JSON.
//!
//! The journal appends every record through here, so nothing is formatted by way of another
//! text: the event keeps its attributes as they stand in a line unless one needs an escape, and
//! the payload goes out as it came in.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Sequence;
use crate::event::data::Raw;
use crate::event::digits;
use crate::event::envelope::{Event, ExtensionValue};
use crate::event::field::{Field, Spelling};
use crate::event::time::Timestamp;

/// Appends the event to `out` as one JSON object on one line, without a line break.
///
/// Times are UTC with nanoseconds; `topic` is left out where it is the type. The recorded time
/// is written, where there is one; sequence and checksum belong to a journal's records.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    out.reserve(max_len(event));
    write(event, None, out);
    out.push(b'}');
}

/// What a line holds beside the event's own texts and payload, times included, at most.
const FRAME_LEN: usize = 256;
/// What a usual record needs of it.
const USUAL_FRAME_LEN: usize = 136;

/// The length of the event's line or record, at most.
pub(crate) fn max_len(event: &Event) -> usize {
    let attributes = event.attributes();
    let texts = match attributes.spelling() {
        Spelling::Plain => attributes.len(),
        Spelling::Escaped => attributes.len() * 2,
    };
    let payload = event.payload().map_or(0, Raw::size);
    // `,"":` and an integer or the quotes around a text.
    texts + payload + event.extensions().len() * 16 + FRAME_LEN
}

/// About the length of the event's record.
pub(crate) fn usual_len(event: &Event) -> usize {
    max_len(event) - FRAME_LEN + USUAL_FRAME_LEN
}

/// Whether the event's line is no longer than `max`.
pub(crate) fn fits(event: &Event, max: usize) -> bool {
    max_len(event) <= max || {
        let mut line = Vec::new();
        encode(event, &mut line);
        line.len() <= max
    }
}

/// Writes all members of the event but no closing brace.
#[inline]
pub(crate) fn write(event: &Event, sequence: Option<Sequence>, out: &mut Vec<u8>) {
    match sequence {
        Some(sequence) => out.extend_from_slice(&head(sequence)),
        None => out.extend_from_slice(b"{\"specversion\":\"1.0\""),
    }
    match event.attributes().members() {
        Some(members) => out.extend_from_slice(members.as_bytes()),
        None => write_members(event, out),
    }
    write_time(*b",\"recordedtime\":\"0000-00-00T00:00:00.000000000Z\"", event.recorded_at(), out);
    let spelling = event.attributes().spelling();
    for (name, value) in event.extensions() {
        write_extension(name, value, spelling, out);
    }
    match event.payload() {
        Some(Raw::Json(raw)) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(raw.as_bytes());
        }
        Some(Raw::Binary(bytes)) => {
            out.extend_from_slice(b",\"data_base64\":\"");
            let start = out.len();
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let written = out.get_mut(start..).and_then(|to| STANDARD.encode_slice(bytes, to).ok());
            debug_assert_eq!(written, Some(out.len() - start), "the room is exact");
            out.push(b'"');
        }
        None => {}
    }
}

/// A record's beginning. Twenty digits sort as the numbers do, in any tool.
#[inline]
fn head(sequence: Sequence) -> [u8; 54] {
    let mut head = *b"{\"specversion\":\"1.0\",\"sequence\":\"00000000000000000000\"";
    if let Some(digits) = head[33..].first_chunk_mut() {
        digits::write_u64(digits, sequence.get());
    }
    head
}

/// Writes fields and times that the event does not keep as they stand in a line: some need an
/// escape.
#[cold]
fn write_members(event: &Event, out: &mut Vec<u8>) {
    for field in Field::ALL {
        if let Some(text) = event.text_of(field) {
            out.extend_from_slice(field.opening().as_bytes());
            write_escaped(text, out);
            out.push(b'"');
        }
    }
    write_time(*b",\"time\":\"0000-00-00T00:00:00.000000000Z\"", event.time(), out);
    write_time(*b",\"expirytime\":\"0000-00-00T00:00:00.000000000Z\"", event.expires_at(), out);
}

/// Writes a time, if there is one, over the one that `member` ends in.
#[inline]
fn write_time<const N: usize>(mut member: [u8; N], time: Option<Timestamp>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        if let Some((_quote, before)) = member.split_last_mut()
            && let Some(text) = before.last_chunk_mut()
        {
            time.write(text);
        }
        out.extend_from_slice(&member);
    }
}

fn write_extension(name: &str, value: ExtensionValue<'_>, spelling: Spelling, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        ExtensionValue::Boolean(true) => out.extend_from_slice(b"true"),
        ExtensionValue::Boolean(false) => out.extend_from_slice(b"false"),
        ExtensionValue::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        ExtensionValue::String(text) => {
            out.push(b'"');
            write_inner(text, spelling, out);
            out.push(b'"');
        }
    }
}

fn write_inner(text: &str, spelling: Spelling, out: &mut Vec<u8>) {
    match spelling {
        Spelling::Plain => out.extend_from_slice(text.as_bytes()),
        Spelling::Escaped => write_escaped(text, out),
    }
}

/// Appends any text as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

fn write_escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(text.as_bytes().get(plain..at).unwrap_or_default());
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'0', b'0', high, low]);
        }
        plain = at + 1;
    }
    out.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_reads_it(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
