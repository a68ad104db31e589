//! Writes an event as CloudEvents JSON.
//!
//! The journal appends every record through here, so nothing is formatted by way of another
//! text: attributes are copied (nearly all need no escape, and the event knows when none does),
//! the payload goes out as it came in.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Sequence;
use crate::event::data::Payload;
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

/// Names, quotes, times and a record's own members, at most.
const FRAME_LEN: usize = 640;

/// The length of the event's line or record, at most.
pub(crate) fn max_len(event: &Event) -> usize {
    let texts = match event.spelling() {
        Spelling::Plain => event.text_len(),
        Spelling::Escaped => event.text_len() * 2,
    };
    let payload = event.payload().map_or(0, Payload::size);
    // `,"":` and an integer or the quotes around a text.
    texts + payload + event.extensions().len() * 16 + FRAME_LEN
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
pub(crate) fn write(event: &Event, sequence: Option<Sequence>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    if let Some(sequence) = sequence {
        write_sequence(sequence, out);
    }
    let spelling = event.spelling();
    // Written out, so that each opening is copied as a constant of known length.
    write_field(event, Field::Id, out);
    write_field(event, Field::Source, out);
    write_field(event, Field::Kind, out);
    write_field(event, Field::Topic, out);
    write_field(event, Field::Subject, out);
    write_field(event, Field::ContentType, out);
    write_field(event, Field::Schema, out);
    write_field(event, Field::Correlation, out);
    write_field(event, Field::Causation, out);
    write_field(event, Field::Trace, out);
    write_field(event, Field::Traceparent, out);
    write_field(event, Field::Tracestate, out);
    write_field(event, Field::Key, out);
    write_time(b",\"time\":\"", event.time(), out);
    write_time(b",\"expirytime\":\"", event.expires_at(), out);
    write_time(b",\"recordedtime\":\"", event.recorded_at(), out);
    for (name, value) in event.extensions() {
        write_extension(name, value, spelling, out);
    }
    match event.payload() {
        Some(Payload::Json(raw)) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(raw.as_bytes());
        }
        Some(Payload::Binary(bytes)) => {
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

#[inline]
fn write_field(event: &Event, field: Field, out: &mut Vec<u8>) {
    if let Some(text) = event.text_of(field) {
        out.extend_from_slice(opening(field));
        write_inner(text, event.spelling(), out);
        out.push(b'"');
    }
}

/// `,"name":"`, as one piece.
const fn opening(field: Field) -> &'static [u8] {
    match field {
        Field::Id => b",\"id\":\"",
        Field::Source => b",\"source\":\"",
        Field::Kind => b",\"type\":\"",
        Field::Topic => b",\"topic\":\"",
        Field::Subject => b",\"subject\":\"",
        Field::ContentType => b",\"datacontenttype\":\"",
        Field::Schema => b",\"dataschema\":\"",
        Field::Correlation => b",\"correlationid\":\"",
        Field::Causation => b",\"causationid\":\"",
        Field::Trace => b",\"traceid\":\"",
        Field::Traceparent => b",\"traceparent\":\"",
        Field::Tracestate => b",\"tracestate\":\"",
        Field::Key => b",\"partitionkey\":\"",
    }
}

/// Twenty digits sort as the numbers do, in any tool.
fn write_sequence(sequence: Sequence, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    digits::write_u64(&mut digits, sequence.get());
    out.extend_from_slice(b",\"sequence\":\"");
    out.extend_from_slice(&digits);
    out.push(b'"');
}

fn write_time(opening: &[u8], time: Option<Timestamp>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        out.extend_from_slice(opening);
        out.extend_from_slice(&time.text());
        out.push(b'"');
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

    #[test]
    fn openings_carry_the_fields_names() {
        for field in Field::ALL {
            assert_eq!(opening(field), format!(",\"{}\":\"", field.name()).as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_reads_it(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
