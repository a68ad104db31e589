//! Reads one event from CloudEvents JSON.
//!
//! The command line reads foreign events with it, the journal its own lines. One pass, without
//! recursion; it allocates what the event keeps and nothing else.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Limits;
use super::glance::glance;
use super::scan::{Fault, FaultKind, Scanner};
use crate::Sequence;
use crate::event::data::Payload;
use crate::event::digits;
use crate::event::envelope::{Event, ExtensionValue};
use crate::event::error::{EventError, Reason};
use crate::event::field::{Field, Special, is_name};
use crate::event::time::Timestamp;

/// Why bytes are not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the limit.
    #[error("{len} bytes are more than the {limit} allowed")]
    TooLarge {
        /// How long it is.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first wrong byte.
        offset: usize,
    },
    /// Not JSON.
    #[error("not JSON at byte {offset}: {reason}")]
    Syntax {
        /// Where it stops being JSON.
        offset: usize,
        /// What should stand there, or must not.
        reason: Cow<'static, str>,
    },
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// An object, but not an event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The payload is not what was asked for; the text is the JSON parser's.
    #[error("payload: {0}")]
    Data(String),
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        let reason = match fault.kind {
            FaultKind::Expected(what) => Cow::Owned(format!("expected {what}")),
            FaultKind::BadEscape => Cow::Borrowed("illegal escape"),
            FaultKind::ControlCharacter => Cow::Borrowed("control character in a string"),
            FaultKind::LoneSurrogate => Cow::Borrowed("lone surrogate"),
            FaultKind::TooDeep => Cow::Borrowed("nested too deep"),
        };
        Self::Syntax { offset: fault.offset, reason }
    }
}

/// Reads one event; blanks around it are skipped.
///
/// `sequence`, `recordedtime` and `crc32c` belong to the journal that the event came from and
/// are left out. To keep them, [`decode_record`](super::decode_record).
///
/// # Errors
///
/// Whatever the [module's documentation](super) names as refused.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Event, DecodeError> {
    let text = text_of(bytes, limits.max_bytes)?;
    let mut event = Event::unfinished(0);
    read(text, limits.max_depth, None, &mut event)?;
    event.put_recorded_at(None);
    Ok(event)
}

/// What a journal wrote beside an event, other than when it was recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) sequence: Option<Sequence>,
    pub(super) has_checksum: bool,
}

/// Where a line lies, for the event in it to share: among others in a text, and where in it.
pub(crate) type Home<'a> = (&'a Arc<str>, usize);

/// What is no longer than it may be, as text.
pub(super) fn text_of(bytes: &[u8], max_bytes: usize) -> Result<&str, DecodeError> {
    fits(bytes.len(), max_bytes)?;
    std::str::from_utf8(bytes).map_err(|error| DecodeError::NotUtf8 { offset: error.valid_up_to() })
}

pub(super) fn fits(len: usize, limit: usize) -> Result<(), DecodeError> {
    if len > limit { Err(DecodeError::TooLarge { len, limit }) } else { Ok(()) }
}

/// Makes `event` the one in the text; an event is large, so it is made where it stays. After an
/// error it is anything.
pub(super) fn read(
    text: &str,
    max_depth: u32,
    home: Option<Home<'_>>,
    event: &mut Event,
) -> Result<Marks, DecodeError> {
    let max_depth = Limits::below_event(max_depth);
    match glance(text, max_depth, home, event) {
        Some(marks) => Ok(marks),
        None => {
            let marks;
            (*event, marks) = read_all(text, max_depth)?;
            Ok(marks)
        }
    }
}

/// Reads a line whatever it looks like, or says why it is none.
pub(super) fn read_all(text: &str, max_depth: u32) -> Result<(Event, Marks), DecodeError> {
    let mut reader = Reader::new(text, max_depth);
    reader.object()?;
    reader.finish()
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    /// How deep a member's value may nest.
    max_depth: u32,
    event: Event,
    /// One bit a field, then one for each special name.
    seen: u32,
    data: Option<&'a str>,
    base64: Option<Cow<'a, str>>,
    sequence: Option<Sequence>,
    recorded_at: Option<Timestamp>,
    has_version: bool,
    has_checksum: bool,
}

/// An attribute's value.
enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i32),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, max_depth: u32) -> Self {
        Self {
            scanner: Scanner::new(text),
            max_depth,
            event: Event::unfinished(256.min(text.len())),
            seen: 0,
            data: None,
            base64: None,
            sequence: None,
            recorded_at: None,
            has_version: false,
            has_checksum: false,
        }
    }

    fn object(&mut self) -> Result<(), DecodeError> {
        self.scanner.skip_blanks();
        if !self.scanner.take(b'{') {
            // Other JSON is told apart from what is none at all.
            self.scanner.lone_value(self.max_depth + 1)?;
            return Err(DecodeError::NotAnObject);
        }
        self.scanner.skip_blanks();
        if !self.scanner.take(b'}') {
            loop {
                let name = self.scanner.key()?.text();
                self.member(&name)?;
                self.scanner.skip_blanks();
                if self.scanner.take(b'}') {
                    break;
                }
                self.scanner.expect(b',', "`,` or `}`")?;
                self.scanner.skip_blanks();
            }
        }
        Ok(self.scanner.end()?)
    }

    fn member(&mut self, name: &str) -> Result<(), DecodeError> {
        let (field, special) = match Field::from_name(name) {
            Some(field) => (Some(field), None),
            None => (None, Special::from_name(name)),
        };
        let bit = field.map(|field| field as u32).or(special.map(|special| special as u32));
        if let Some(bit) = bit {
            if self.seen & 1 << bit != 0 {
                return Err(EventError::new(name, Reason::Duplicate).into());
            }
            self.seen |= 1 << bit;
        }
        match (field, special) {
            (Some(field), _) => self.field(field, name),
            (None, Some(special)) => self.special(special, name),
            (None, None) => self.extension(name),
        }
    }

    fn field(&mut self, field: Field, name: &str) -> Result<(), DecodeError> {
        let value = match self.value(name, Reason::NotAString)? {
            Value::Null => return Ok(()),
            Value::Text(text) => return Ok(self.event.put(field, &text)?),
            Value::Boolean(value) => ExtensionValue::Boolean(value),
            Value::Integer(value) => ExtensionValue::Integer(value),
        };
        if field.may_be_untyped() {
            Ok(self.event.put_extension(name, Some(value))?)
        } else {
            Err(EventError::new(name, Reason::NotAString).into())
        }
    }

    fn extension(&mut self, name: &str) -> Result<(), DecodeError> {
        if !is_name(name) {
            return Err(EventError::new(name, Reason::NotAName).into());
        }
        let value = self.value(name, Reason::NotAValue)?;
        self.make_room();
        let value = match &value {
            Value::Null => None,
            Value::Boolean(value) => Some(ExtensionValue::Boolean(*value)),
            Value::Integer(value) => Some(ExtensionValue::Integer(*value)),
            Value::Text(text) => Some(ExtensionValue::String(text)),
        };
        Ok(self.event.put_extension(name, value)?)
    }

    /// Room for extensions doubles, but never beyond what the text that is left can hold (six
    /// bytes each), so that memory stays in proportion to the text.
    fn make_room(&mut self) {
        let held = self.event.extensions().len();
        if held >= 4 && held.is_power_of_two() {
            self.event.make_room(held.min(self.scanner.left() / 6 + 1));
        }
    }

    fn special(&mut self, special: Special, name: &str) -> Result<(), DecodeError> {
        match special {
            Special::Version => {
                let version = self.text(name)?;
                self.has_version = version.is_some();
                if version.is_some_and(|version| version != "1.0") {
                    return Err(EventError::new(name, Reason::NotThisVersion).into());
                }
            }
            Special::Time => {
                let time = self.time(name)?;
                self.event.put_time(time);
            }
            Special::ExpiryTime => {
                let time = self.time(name)?;
                self.event.put_expires_at(time);
            }
            Special::Data => {
                let raw = self.scanner.value(self.max_depth);
                self.data = Some(raw.map_err(|fault| refuse_fault(name, fault))?);
            }
            Special::Base64 => self.base64 = self.text(name)?,
            // These three are replaced anyway: whatever a foreign journal wrote is no error.
            Special::Sequence => {
                self.sequence = self.value(name, Reason::NotAValue)?.as_str().and_then(sequence);
            }
            Special::RecordedTime => {
                let value = self.value(name, Reason::NotAValue)?;
                self.recorded_at = value.as_str().and_then(|text| Timestamp::parse(text).ok());
            }
            Special::Checksum => {
                let value = self.value(name, Reason::NotAValue)?;
                self.has_checksum = !matches!(value, Value::Null);
            }
        }
        Ok(())
    }

    /// The text of an attribute that can be nothing else; none for `null`.
    fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match self.value(name, Reason::NotAString)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Boolean(_) | Value::Integer(_) => {
                Err(EventError::new(name, Reason::NotAString).into())
            }
        }
    }

    fn time(&mut self, name: &str) -> Result<Option<Timestamp>, DecodeError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let time = Timestamp::parse(&text).map_err(|_| EventError::new(name, Reason::NotATime))?;
        Ok(Some(time))
    }

    /// An attribute's value; `container` is what to say about an object or an array.
    fn value(&mut self, name: &str, container: Reason) -> Result<Value<'a>, DecodeError> {
        if self.scanner.peek() == Some(b'"') {
            let text = self.scanner.string().map_err(|fault| refuse_fault(name, fault))?;
            return Ok(Value::Text(text.text()));
        }
        let raw = self.scanner.value(self.max_depth).map_err(|fault| refuse_fault(name, fault))?;
        let value = match raw {
            "null" => Value::Null,
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            raw if raw.starts_with(['{', '[']) => {
                return Err(EventError::new(name, container).into());
            }
            raw => match raw.parse() {
                Ok(number) => Value::Integer(number),
                // Where only text can stand, the number's size is not the trouble.
                Err(_) if container == Reason::NotAString => {
                    return Err(EventError::new(name, Reason::NotAString).into());
                }
                Err(_) => return Err(EventError::new(name, Reason::NotAnInteger).into()),
            },
        };
        Ok(value)
    }

    fn finish(mut self) -> Result<(Event, Marks), DecodeError> {
        if !self.has_version {
            return Err(EventError::new("specversion", Reason::Missing).into());
        }
        let mut payload = self.data.and_then(Payload::from_scanned);
        if let Some(text) = self.base64 {
            let refuse = |reason| EventError::new("data_base64", reason);
            if payload.is_some() {
                return Err(refuse(Reason::BesideData).into());
            }
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| refuse(Reason::NotBase64))?;
            payload = Some(Payload::Binary(bytes.into()));
        }
        self.event.put_payload(payload);
        self.event.put_recorded_at(self.recorded_at);
        let marks = Marks { sequence: self.sequence, has_checksum: self.has_checksum };
        Ok((self.event.finish()?, marks))
    }
}

/// What is wrong with a value belongs to its attribute; broken JSON belongs to the text.
fn refuse_fault(name: &str, fault: Fault) -> DecodeError {
    match fault.kind {
        FaultKind::LoneSurrogate => EventError::new(name, Reason::LoneSurrogate).into(),
        FaultKind::TooDeep => EventError::new(name, Reason::TooDeep).into(),
        _ => fault.into(),
    }
}

/// A sequence as our journals write it: 20 digits, from 1.
pub(super) fn sequence(text: &str) -> Option<Sequence> {
    let number = digits::read_u64(text.as_bytes().try_into().ok()?)?;
    (1..Sequence::LIMIT).contains(&number).then(|| Sequence::new(number))
}
