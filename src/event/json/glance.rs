//! A line that stands as our encoder writes it, read at a glance.
//!
//! The decoder tries this first, because nearly all lines that are read many times are a journal's
//! own. Members come in the encoder's order, without blanks between them, and no attribute needs
//! an escape: then the attributes are one piece of the line, and the event takes them and its
//! payload as they lie there. Whatever stands otherwise, be it wrong or only foreign, is not judged
//! here but left to the decoder, so both together accept, refuse and say what the decoder alone does.
//!
//! Every check of the decoder is made here too. A checksum that holds shows that a line is as it was
//! written, not who wrote it, so nothing is left out on its account.
#![forbid(unsafe_code)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::compact;
use super::decode::{Home, Marks};
use super::record::tail_of;
use super::scan::{plain_end, printable_end, value_end};
use crate::Sequence;
use crate::event::attributes::{Span, Texts};
use crate::event::data::Payload;
use crate::event::digits;
use crate::event::envelope::{Event, ExtensionValue};
use crate::event::field::{Field, Special, Spelling, check_text, is_name};
use crate::event::time::Timestamp;

/// Makes `event` the one in a line that stands so; none if it does not, and then the event is
/// anything.
///
/// `max_depth` is how deep a member's value may nest. Where the line has a `home`, the event shares
/// that.
pub(super) fn glance(
    line: &str,
    max_depth: u32,
    home: Option<Home<'_>>,
    event: &mut Event,
) -> Option<Marks> {
    let mut glance = Glance { line, bytes: line.as_bytes(), at: 0 };
    if !glance.has("{\"specversion\":\"1.0\"") {
        return None;
    }
    let sequence = match glance.has(",\"sequence\":\"") {
        true => Some(glance.sequence()?),
        false => None,
    };
    let begin = glance.at;
    glance.fields(event.blank())?;
    event.put_time(glance.time(",\"time\":\"")?);
    event.put_expires_at(glance.time(",\"expirytime\":\"")?);
    let members = glance.at - begin;
    event.put_recorded_at(glance.time(",\"recordedtime\":\"")?);
    if glance.has(",\"data\":") {
        let payload = glance.json(max_depth, begin)?;
        let (text, begin) = match home {
            Some((text, at)) => (Arc::clone(text), at + begin),
            None => (Arc::from(line.get(begin..glance.at)?), 0),
        };
        event.put_texts(Texts::Shared(text), begin, members)?;
        event.put_payload(payload);
    } else {
        let own = line.get(begin..begin + members)?.to_owned();
        event.put_texts(Texts::Own(own), 0, members)?;
        glance.extensions(event)?;
        event.put_payload(glance.payload(max_depth)?);
    }
    let has_checksum = glance.has(",\"crc32c\":\"");
    if has_checksum {
        glance.plain()?;
    }
    // Nothing may follow.
    (glance.bytes.get(glance.at..)? == b"}").then_some(())?;
    Some(Marks { sequence, has_checksum })
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
    #[inline(always)]
    fn fields(&mut self, spans: &mut [Span; Field::COUNT]) -> Option<()> {
        let mut fields = Fields { begin: self.at, spans };
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
        self.field(Field::Key, &mut fields)
    }

    #[inline(always)]
    fn field(&mut self, field: Field, fields: &mut Fields<'_>) -> Option<()> {
        if self.has(field.opening()) { self.text_of(field, fields) } else { Some(()) }
    }

    fn text_of(&mut self, field: Field, fields: &mut Fields<'_>) -> Option<()> {
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

    /// All extensions, by name.
    #[cold]
    fn extensions(&mut self, event: &mut Event) -> Option<()> {
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
            event.put_extension(name, Some(value)).ok()?;
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
            let (raw, _) = self.value_here(max_depth)?;
            return Some(Payload::from_scanned(raw));
        }
        if self.has(",\"data_base64\":\"") {
            let bytes = STANDARD.decode(self.plain()?.as_bytes()).ok()?;
            return Some(Some(Payload::Binary(bytes.into())));
        }
        Some(None)
    }

    /// The payload here, to lie among the texts that begin at `begin`.
    fn json(&mut self, max_depth: u32, begin: usize) -> Option<Option<Payload>> {
        let start = self.at;
        let (raw, spaced) = self.value_here(max_depth)?;
        // Where nothing separates tokens, no line break does.
        if raw == "null" || spaced && raw.contains(['\r', '\n']) {
            return Some(Payload::from_scanned(raw));
        }
        let place = |at: usize| u32::try_from(at - begin).ok();
        Some(Some(Payload::Within(Span { start: place(start)?, end: place(self.at)? })))
    }

    /// The JSON value that begins here, and whether there may be blanks between its tokens.
    fn value_here(&mut self, max_depth: u32) -> Option<(&'a str, bool)> {
        let start = self.at;
        // In a line of ours it goes to the checksum.
        let end = self.bytes.len() - tail_of(self.bytes).map_or(1, <[u8]>::len);
        let value = self.bytes.get(start..end).unwrap_or_default();
        let spaced = match compact::is_value(value, max_depth) {
            true => {
                self.at = end;
                false
            }
            false => {
                let (end, spaced) = value_end(self.bytes, start, max_depth).ok()?;
                self.at = end;
                spaced
            }
        };
        Some((self.line.get(start..self.at)?, spaced))
    }
}

struct Fields<'a> {
    /// Where the line's fields begin.
    begin: usize,
    spans: &'a mut [Span; Field::COUNT],
}

#[cfg(test)]
mod tests;
