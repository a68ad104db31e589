//! A line that stands as our encoder writes it, read at a glance.
//!
//! The decoder tries this first, because nearly all lines that are read many times are a journal's
//! own. Members come in the encoder's order, without blanks between them, and no attribute needs
//! an escape: then the attributes are one piece of the line and are copied as one. Whatever stands
//! otherwise, be it wrong or only foreign, is not judged here but left to the decoder, so both
//! together accept, refuse and say what the decoder alone does.
//!
//! Every check of the decoder is made here too. A checksum that holds shows that a line is as it was
//! written, not who wrote it, so nothing is left out on its account.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::Members;
use super::scan::{plain_end, printable_end, value_end};
use crate::Sequence;
use crate::event::attributes::{Attributes, Span};
use crate::event::data::Payload;
use crate::event::digits;
use crate::event::envelope::{Event, ExtensionValue};
use crate::event::field::{Field, Special, Spelling, check_text, is_name};
use crate::event::time::Timestamp;

/// The event in a line that stands so; none if it does not.
///
/// `max_depth` is how deep a member's value may nest.
pub(super) fn glance(line: &str, max_depth: u32) -> Option<Members> {
    let mut glance = Glance { line, bytes: line.as_bytes(), at: 0 };
    if !glance.has("{\"specversion\":\"1.0\"") {
        return None;
    }
    let sequence = match glance.has(",\"sequence\":\"") {
        true => Some(glance.sequence()?),
        false => None,
    };
    let begin = glance.at;
    let fields = glance.fields()?;
    let time = glance.time(",\"time\":\"")?;
    let expires_at = glance.time(",\"expirytime\":\"")?;
    let mut attributes = Attributes::of_line(line.get(begin..glance.at)?, fields)?;
    let recorded_at = glance.time(",\"recordedtime\":\"")?;
    if !glance.is_at_payload() {
        glance.extensions(&mut attributes)?;
    }
    let payload = glance.payload(max_depth)?;
    let has_checksum = glance.has(",\"crc32c\":\"");
    if has_checksum {
        glance.plain()?;
    }
    // Nothing may follow.
    (glance.bytes.get(glance.at..)? == b"}").then_some(())?;
    let event = Event::of_line(attributes, time, expires_at, payload);
    Some(Members { event, sequence, recorded_at, has_checksum })
}

struct Glance<'a> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Glance<'a> {
    /// Steps over `text`, if it is next. Inlined, so that each text is compared as the few words
    /// that it is.
    #[inline(always)]
    fn has(&mut self, text: &'static str) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = rest.starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn sequence(&mut self) -> Option<Sequence> {
        let number = digits::read_u64(self.bytes.get(self.at..)?.first_chunk()?)?;
        self.at += 20;
        let is_ours = (1..Sequence::LIMIT).contains(&number) && self.has("\"");
        is_ours.then(|| Sequence::new(number))
    }

    /// Where the fields stand, from here on.
    fn fields(&mut self) -> Option<[Span; Field::COUNT]> {
        let mut fields = Fields { begin: self.at, spans: [Span::ABSENT; Field::COUNT] };
        // One after the other, each with its name as a constant.
        self.field(Field::Id, &mut fields)?;
        self.field(Field::Source, &mut fields)?;
        self.field(Field::Kind, &mut fields)?;
        self.field(Field::Topic, &mut fields)?;
        self.field(Field::Subject, &mut fields)?;
        self.field(Field::ContentType, &mut fields)?;
        self.field(Field::Schema, &mut fields)?;
        self.field(Field::Correlation, &mut fields)?;
        self.field(Field::Causation, &mut fields)?;
        self.field(Field::Trace, &mut fields)?;
        self.field(Field::Traceparent, &mut fields)?;
        self.field(Field::Tracestate, &mut fields)?;
        self.field(Field::Key, &mut fields)?;
        Some(fields.spans)
    }

    #[inline(always)]
    fn field(&mut self, field: Field, fields: &mut Fields) -> Option<()> {
        if self.has(field.opening()) { self.text_of(field, fields) } else { Some(()) }
    }

    fn text_of(&mut self, field: Field, fields: &mut Fields) -> Option<()> {
        let start = self.at;
        let text = self.plain()?;
        field.check(text).ok()?;
        fields.spans[field as usize] = Span {
            start: u32::try_from(start - fields.begin).ok()?,
            end: u32::try_from(start + text.len() - fields.begin).ok()?,
        };
        Some(())
    }

    /// An attribute's text without escapes, and its closing quote.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut end = printable_end(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            // Not ASCII, perhaps.
            end = plain_end(self.bytes, end);
            let is_text = self.bytes.get(end) == Some(&b'"')
                && check_text(self.line.get(start..end)?) == Ok(Spelling::Plain);
            is_text.then_some(())?;
        }
        self.at = end + 1;
        self.line.get(start..end)
    }

    /// A time as our encoder writes it, if `opening` is next; none if it is spelled otherwise.
    #[inline(always)]
    fn time(&mut self, opening: &'static str) -> Option<Option<Timestamp>> {
        if self.has(opening) { self.time_here().map(Some) } else { Some(None) }
    }

    fn time_here(&mut self) -> Option<Timestamp> {
        let time = Timestamp::from_text(self.bytes.get(self.at..)?.first_chunk()?)?;
        self.at += Timestamp::TEXT_LEN;
        self.has("\"").then_some(time)
    }

    fn is_at_payload(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.starts_with(b",\"data\":")
    }

    /// All extensions, by name.
    #[cold]
    fn extensions(&mut self, attributes: &mut Attributes) -> Option<()> {
        let mut before = "";
        while let Some(name) = self.name() {
            // Names that rise are all different.
            let is_free = is_name(name)
                && name > before
                && Field::from_name(name).is_none()
                && Special::from_name(name).is_none();
            if !is_free {
                // What follows the extensions, or is out of order.
                return Some(());
            }
            self.at += name.len() + ",\"\":".len();
            let value = self.value()?;
            attributes.put_extension(name, Some(value)).ok()?;
            before = name;
        }
        Some(())
    }

    /// The name of the member that comes here.
    fn name(&self) -> Option<&'a str> {
        let rest = self.line.get(self.at..)?.strip_prefix(",\"")?;
        Some(rest.split_once("\":")?.0)
    }

    fn value(&mut self) -> Option<ExtensionValue<'a>> {
        if self.has("\"") {
            return self.plain().map(ExtensionValue::String);
        }
        let start = self.at;
        self.at = value_end(self.bytes, start, 0).ok()?.0;
        match self.line.get(start..self.at)? {
            "true" => Some(ExtensionValue::Boolean(true)),
            "false" => Some(ExtensionValue::Boolean(false)),
            number => number.parse().ok().map(ExtensionValue::Integer),
        }
    }

    fn payload(&mut self, max_depth: u32) -> Option<Option<Payload>> {
        if self.has(",\"data\":") {
            let start = self.at;
            let (end, spaced) = value_end(self.bytes, start, max_depth).ok()?;
            self.at = end;
            let raw = self.line.get(start..end)?;
            // Where nothing separates tokens, no line break does.
            return if spaced { Payload::from_scanned(raw) } else { Payload::unspaced(raw) }
                .map(Some);
        }
        if self.has(",\"data_base64\":\"") {
            let bytes = STANDARD.decode(self.plain()?.as_bytes()).ok()?;
            return Some(Some(Payload::Binary(bytes.into())));
        }
        Some(None)
    }
}

struct Fields {
    /// Where the line's fields begin.
    begin: usize,
    spans: [Span; Field::COUNT],
}

#[cfg(test)]
mod tests;
