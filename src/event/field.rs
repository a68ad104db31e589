//! The text attributes that an event knows by name, and what each accepts.
//!
//! The envelope keeps them by this number, the decoder finds them by name, the encoder writes
//! them in this order. Times, numbers and free extensions are not here.
#![forbid(unsafe_code)]

use super::error::Reason;
use super::json::scan::printable_end;
use super::{data, trace_context, uri};
use crate::topic::Topic;

/// A text attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Field {
    Id,
    Source,
    Kind,
    Topic,
    Subject,
    ContentType,
    Schema,
    Correlation,
    Causation,
    Trace,
    Traceparent,
    Tracestate,
    Key,
}

impl Field {
    pub(crate) const COUNT: usize = 13;

    pub(crate) const ALL: [Field; Self::COUNT] = [
        Self::Id,
        Self::Source,
        Self::Kind,
        Self::Topic,
        Self::Subject,
        Self::ContentType,
        Self::Schema,
        Self::Correlation,
        Self::Causation,
        Self::Trace,
        Self::Traceparent,
        Self::Tracestate,
        Self::Key,
    ];

    /// The attribute's CloudEvents name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Kind => "type",
            Self::Topic => "topic",
            Self::Subject => "subject",
            Self::ContentType => "datacontenttype",
            Self::Schema => "dataschema",
            Self::Correlation => "correlationid",
            Self::Causation => "causationid",
            Self::Trace => "traceid",
            Self::Traceparent => "traceparent",
            Self::Tracestate => "tracestate",
            Self::Key => "partitionkey",
        }
    }

    /// The attribute's member up to its value: `,"name":"`.
    pub(crate) const fn opening(self) -> &'static str {
        match self {
            Self::Id => ",\"id\":\"",
            Self::Source => ",\"source\":\"",
            Self::Kind => ",\"type\":\"",
            Self::Topic => ",\"topic\":\"",
            Self::Subject => ",\"subject\":\"",
            Self::ContentType => ",\"datacontenttype\":\"",
            Self::Schema => ",\"dataschema\":\"",
            Self::Correlation => ",\"correlationid\":\"",
            Self::Causation => ",\"causationid\":\"",
            Self::Trace => ",\"traceid\":\"",
            Self::Traceparent => ",\"traceparent\":\"",
            Self::Tracestate => ",\"tracestate\":\"",
            Self::Key => ",\"partitionkey\":\"",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Kind,
            "topic" => Self::Topic,
            "subject" => Self::Subject,
            "datacontenttype" => Self::ContentType,
            "dataschema" => Self::Schema,
            "correlationid" => Self::Correlation,
            "causationid" => Self::Causation,
            "traceid" => Self::Trace,
            "traceparent" => Self::Traceparent,
            "tracestate" => Self::Tracestate,
            "partitionkey" => Self::Key,
            _ => return None,
        })
    }

    /// Whether the attribute may also come as a boolean or an integer, and is then kept as an
    /// extension like any other: CloudEvents gives these names no type, or a foreign one did.
    pub(crate) const fn may_be_untyped(self) -> bool {
        matches!(self, Self::Correlation | Self::Causation | Self::Trace | Self::Key)
    }

    /// Whether an extension may be given under this name.
    pub(crate) const fn is_extension(self) -> bool {
        use Field::{ContentType, Id, Kind, Schema, Source, Subject};
        !matches!(self, Id | Source | Kind | Subject | ContentType | Schema)
    }

    /// Checks a text that is meant to stand here.
    pub(crate) fn check(self, text: &str) -> Result<(), Reason> {
        let not_empty = || if text.is_empty() { Err(Reason::Empty) } else { Ok(()) };
        let must = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
        match self {
            Self::Id | Self::Subject => not_empty(),
            Self::Source => {
                not_empty()?;
                must(uri::is_uri_reference(text), Reason::NotAUriReference)
            }
            Self::Kind | Self::Topic => {
                not_empty()?;
                must(Topic::check(text).is_ok(), Reason::NotATopic)
            }
            Self::ContentType => {
                not_empty()?;
                must(data::is_content_type(text), Reason::NotAContentType)
            }
            Self::Schema => {
                not_empty()?;
                must(uri::is_uri(text), Reason::NotAUri)
            }
            Self::Traceparent => must(trace_context::is_traceparent(text), Reason::NotATraceparent),
            Self::Tracestate => must(trace_context::is_tracestate(text), Reason::NotATracestate),
            Self::Correlation | Self::Causation | Self::Trace | Self::Key => Ok(()),
        }
    }
}

/// What is no text field and no free extension: numbered after the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Special {
    Version = Field::COUNT,
    Time,
    ExpiryTime,
    Data,
    Base64,
    Sequence,
    RecordedTime,
    Checksum,
}

impl Special {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "specversion" => Self::Version,
            "time" => Self::Time,
            "expirytime" => Self::ExpiryTime,
            "data" => Self::Data,
            "data_base64" => Self::Base64,
            "sequence" => Self::Sequence,
            "recordedtime" => Self::RecordedTime,
            "crc32c" => Self::Checksum,
            _ => return None,
        })
    }
}

/// What JSON has to do to write a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Nothing: no quote and no backslash.
    Plain,
    Escaped,
}

/// Checks the characters of any attribute: CloudEvents strings hold no control characters
/// (U+0000 to U+001F, U+007F to U+009F) and no noncharacters.
#[inline]
pub(crate) fn check_text(text: &str) -> Result<Spelling, Reason> {
    match printable_end(text.as_bytes(), 0) == text.len() {
        true => Ok(Spelling::Plain),
        false => check_characters(text),
    }
}

#[cold]
fn check_characters(text: &str) -> Result<Spelling, Reason> {
    let mut spelling = Spelling::Plain;
    let mut all_ascii = true;
    for byte in text.bytes() {
        match byte {
            0..0x20 | 0x7f => return Err(Reason::IllegalCharacter),
            b'"' | b'\\' => spelling = Spelling::Escaped,
            0x80.. => all_ascii = false,
            _ => {}
        }
    }
    if !all_ascii && text.chars().any(is_illegal) {
        return Err(Reason::IllegalCharacter);
    }
    Ok(spelling)
}

fn is_illegal(found: char) -> bool {
    let code = u32::from(found);
    found.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Whether an extension may stand under this name beside all other attributes: no field, and
/// nothing that bus, journal or format give. A field without a type may hold what is no text.
pub(crate) fn is_free_name(name: &str, is_text: bool) -> bool {
    match Field::from_name(name) {
        Some(field) => field.may_be_untyped() && !is_text,
        None => is_name(name) && Special::from_name(name).is_none(),
    }
}

/// `[a-z0-9]`, at least one.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_stands_at_its_number() {
        for (number, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, number);
            assert_eq!(Field::from_name(field.name()), Some(field));
            assert!(is_name(field.name()));
            assert_eq!(field.opening(), format!(",\"{}\":\"", field.name()));
        }
        assert_eq!(Field::from_name("time"), None);
    }

    #[test]
    fn control_characters_and_noncharacters_are_illegal() {
        for illegal in
            ["\0", "a\n", "\u{7f}", "\u{80}", "\u{9f}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"]
        {
            assert_eq!(check_text(illegal), Err(Reason::IllegalCharacter), "{illegal:?}");
        }
        assert_eq!(check_text("é \u{a0}\u{202e}🦀"), Ok(Spelling::Plain));
        assert_eq!(check_text("a\\"), Ok(Spelling::Escaped));
    }
}
