//! The binary frame: one event between processes of this crate.
//!
//! For bridges over a wire or shared memory; a file is better written as JSON. This is the only
//! module that knows bincode. It never trusts a length, and checks what is inside a frame as
//! strictly as the JSON decoder checks a foreign event.
//!
//! ```text
//! 0        4         5       6        10       14
//! +--------+---------+-------+--------+--------+------...------+
//! | "RPEV" | version | codec | length | CRC-32C| body          |
//! +--------+---------+-------+--------+--------+------...------+
//!            1         1       LE       LE       `length` bytes
//! ```
//!
//! The checksum covers the first ten bytes and the body. Codec 1 is bincode 2's standard
//! configuration: an `Envelope`, then its extensions one after the other, so that no length in
//! the body ever decides over an allocation.
#![forbid(unsafe_code)]

use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{BorrowDecode, Encode};

use super::data::{Payload, Raw};
use super::envelope::{Event, ExtensionValue};
use super::error::{EventError, Reason};
use super::field::{Field, is_free_name};
use super::json::{self, Limits};
use super::time::Timestamp;

const MAGIC: [u8; 4] = *b"RPEV";
/// Rises when a field is added to [`Envelope`]: bincode's bytes do not describe themselves.
const VERSION: u8 = 1;
const CODEC: u8 = 1;
const CHECKED_LEN: usize = 10;
const HEADER_LEN: usize = 14;
/// No body is larger, whatever the limits say.
const MAX_BODY: usize = 16 << 20;

#[expect(clippy::disallowed_methods, reason = "the one place that sets bincode up: with a limit")]
const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_BODY>> =
    bincode::config::standard().with_limit::<MAX_BODY>();

/// Why bytes are not a frame, or an event makes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame or the event in it is larger than a limit, which for a frame is 16 MiB at most.
    #[error("larger than the {limit} bytes allowed")]
    TooLarge {
        /// How large it may be.
        limit: usize,
    },
    /// It does not begin as a frame does.
    #[error("not a ringpost frame")]
    NotAFrame,
    /// A version or a codec that this one does not know.
    #[error("frame version {version} with codec {codec} is not known here")]
    Unknown {
        /// The version.
        version: u8,
        /// The codec.
        codec: u8,
    },
    /// There are fewer or more bytes than the frame says.
    #[error("the frame says {said} bytes, {found} are there")]
    Length {
        /// What the frame says, header included.
        said: usize,
        /// What is there.
        found: usize,
    },
    /// The bytes are not as they were written.
    #[error("checksum mismatch")]
    Checksum,
    /// The body is not what the codec writes.
    #[error("malformed frame body")]
    Malformed,
    /// The body holds what is no event.
    #[error(transparent)]
    Event(#[from] EventError),
}

#[derive(Encode, BorrowDecode)]
struct Envelope<'a> {
    fields: [Option<&'a str>; Field::COUNT],
    /// Nanoseconds since 1970, as the other two times.
    time: Option<i128>,
    expires_at: Option<i128>,
    recorded_at: Option<i128>,
    payload: Body<'a>,
    extensions: u32,
}

#[derive(Encode, BorrowDecode)]
enum Body<'a> {
    None,
    Json(&'a str),
    Binary(&'a [u8]),
}

#[derive(Encode, BorrowDecode)]
struct Extension<'a> {
    name: &'a str,
    value: Value<'a>,
}

#[derive(Encode, BorrowDecode)]
enum Value<'a> {
    Boolean(bool),
    Integer(i32),
    Text(&'a str),
}

/// Appends the event to `out` as one frame.
///
/// # Errors
///
/// The body would be larger than 16 MiB; `out` is then as it was.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    let result = append(event, out, start);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append(event: &Event, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
    let too_large = || FrameError::TooLarge { limit: MAX_BODY };
    let extensions = event.extensions();
    let envelope = Envelope {
        fields: Field::ALL.map(|field| event.text_of(field)),
        time: event.time().map(Timestamp::unix_nanos),
        expires_at: event.expires_at().map(Timestamp::unix_nanos),
        recorded_at: event.recorded_at().map(Timestamp::unix_nanos),
        payload: match event.payload() {
            None => Body::None,
            Some(Raw::Json(raw)) => Body::Json(raw),
            Some(Raw::Binary(bytes)) => Body::Binary(bytes),
        },
        extensions: u32::try_from(extensions.len()).map_err(|_| too_large())?,
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, CODEC]);
    out.extend_from_slice(&[0; HEADER_LEN - 6]);
    write(&envelope, out)?;
    for (name, value) in extensions {
        let value = match value {
            ExtensionValue::Boolean(value) => Value::Boolean(value),
            ExtensionValue::Integer(value) => Value::Integer(value),
            ExtensionValue::String(text) => Value::Text(text),
        };
        write(&Extension { name, value }, out)?;
    }
    let body_len = out.len() - start - HEADER_LEN;
    if body_len > MAX_BODY {
        return Err(too_large());
    }
    let length = u32::try_from(body_len).map_err(|_| too_large())?;
    let Some(frame) = out.get_mut(start..) else { return Err(FrameError::Malformed) };
    frame[6..CHECKED_LEN].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(frame);
    frame[CHECKED_LEN..HEADER_LEN].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Writing into memory does not fail; if bincode says otherwise, there is no frame.
fn write(part: &impl Encode, out: &mut Vec<u8>) -> Result<(), FrameError> {
    bincode::encode_into_std_write(part, out, CONFIG).map(drop).map_err(|_| FrameError::Malformed)
}

/// Of a whole frame, all but the checksum itself.
fn checksum(frame: &[u8]) -> u32 {
    let (header, body) = frame.split_at(HEADER_LEN);
    crc32c::crc32c_append(crc32c::crc32c(&header[..CHECKED_LEN]), body)
}

/// Reads one frame, which must be all there is.
///
/// # Errors
///
/// The bytes are no whole, undamaged frame of this version, there are more of them, the event
/// breaks a limit, or it is none.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Event, FrameError> {
    let (header, body) = bytes.split_at_checked(HEADER_LEN).ok_or(FrameError::NotAFrame)?;
    let [m0, m1, m2, m3, version, codec, l0, l1, l2, l3, sum @ ..] = header else {
        return Err(FrameError::NotAFrame);
    };
    if [*m0, *m1, *m2, *m3] != MAGIC {
        return Err(FrameError::NotAFrame);
    }
    if (*version, *codec) != (VERSION, CODEC) {
        return Err(FrameError::Unknown { version: *version, codec: *codec });
    }
    let limit = limits.max_bytes.saturating_add(Limits::RECORD_SLACK).min(MAX_BODY);
    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    if length > limit {
        return Err(FrameError::TooLarge { limit });
    }
    if length != body.len() {
        return Err(FrameError::Length { said: HEADER_LEN + length, found: bytes.len() });
    }
    if checksum(bytes).to_le_bytes() != sum {
        return Err(FrameError::Checksum);
    }
    let event = read(body, limits)?;
    // What a frame brings in must also fit into a journal's line.
    if !json::encode::fits(&event, limit) {
        return Err(FrameError::TooLarge { limit });
    }
    Ok(event)
}

fn read(body: &[u8], limits: &Limits) -> Result<Event, FrameError> {
    let (envelope, mut rest) = part::<Envelope<'_>>(body)?;
    let mut event = Event::unfinished(body.len().min(1024));
    for (field, text) in Field::ALL.into_iter().zip(envelope.fields) {
        if let Some(text) = text {
            event.put(field, text)?;
        }
    }
    event.put_time(instant("time", envelope.time)?);
    event.put_expires_at(instant("expirytime", envelope.expires_at)?);
    event.put_recorded_at(instant("recordedtime", envelope.recorded_at)?);
    event.put_payload(match envelope.payload {
        Body::None => None,
        Body::Json(text) => Payload::from_json(text, limits.max_depth)
            .map_err(|reason| EventError::new("data", reason))?,
        Body::Binary(bytes) => Some(Payload::Binary(Arc::from(bytes))),
    });
    // The count may lie; an extension takes four bytes at least.
    let count = envelope.extensions as usize;
    if count > rest.len() / 4 {
        return Err(FrameError::Malformed);
    }
    event.make_room(count);
    for _ in 0..count {
        let (extension, after) = part::<Extension<'_>>(rest)?;
        let (is_text, value) = match extension.value {
            Value::Boolean(value) => (false, ExtensionValue::Boolean(value)),
            Value::Integer(value) => (false, ExtensionValue::Integer(value)),
            Value::Text(text) => (true, ExtensionValue::String(text)),
        };
        if !is_free_name(extension.name, is_text) {
            return Err(EventError::new(extension.name, Reason::NotAName).into());
        }
        event.put_extension(extension.name, Some(value))?;
        rest = after;
    }
    if rest.is_empty() { Ok(event.finish()?) } else { Err(FrameError::Malformed) }
}

/// The next part of a body, borrowed from it, and what follows.
fn part<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), FrameError> {
    let (part, len) =
        bincode::borrow_decode_from_slice(bytes, CONFIG).map_err(|_| FrameError::Malformed)?;
    Ok((part, bytes.get(len..).unwrap_or_default()))
}

fn instant(name: &str, nanos: Option<i128>) -> Result<Option<Timestamp>, EventError> {
    let Some(nanos) = nanos else { return Ok(None) };
    let time = Timestamp::from_unix_nanos(nanos);
    time.map(Some).ok_or_else(|| EventError::new(name, Reason::NotATime))
}
