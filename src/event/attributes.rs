//! An event's text attributes, kept as they stand in a line of a journal.
//!
//! The envelope owns one, the encoder copies from it. All texts lie in one allocation and are
//! ranges of it. Once an event is complete, its fields and times stand there with their names and
//! quotes, in the format's order, so that a record takes them over as one piece: they are spelled
//! once, when the event is made, not each time it is written. What needs an escape is never kept
//! spelled: accessors lend texts as they are.
//!
//! What was read from such a line need not even be copied: then the texts are a piece of a text that
//! several events own together, and its payload may be another.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::envelope::ExtensionValue;
use super::error::{EventError, Reason};
use super::field::{self, Field, Spelling};
use super::time::Timestamp;
use crate::ring::prefetch;

/// See the [module](self).
#[derive(Clone)]
// What an encoder looks at comes first: see `Event`.
#[repr(C)]
pub(super) struct Attributes {
    texts: Texts,
    /// By name, each once.
    extensions: Vec<Extension>,
    /// Where the texts begin, for those that are shared. All spans count from here.
    begin: u32,
    /// Where the members end that an encoder may copy as one piece; 0 for none.
    members: u32,
    spelling: Spelling,
    fields: [Span; Field::COUNT],
}

/// Where an event's texts are.
#[derive(Clone)]
pub(super) enum Texts {
    Own(String),
    /// In a text that others own as well.
    Shared(Arc<str>),
}

/// A range of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) const ABSENT: Span = Span { start: u32::MAX, end: u32::MAX };

    fn is_absent(self) -> bool {
        self.start == u32::MAX
    }
}

#[derive(Clone, Copy, Debug)]
struct Extension {
    name: Span,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Boolean(bool),
    Integer(i32),
    Text(Span),
    /// `null`: held until the names are known to be distinct.
    Absent,
}

/// Two times with their names and quotes, at most.
const TIMES_LEN: usize = 96;

impl Attributes {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            texts: Texts::Own(String::with_capacity(capacity)),
            extensions: Vec::new(),
            begin: 0,
            members: 0,
            spelling: Spelling::Plain,
            fields: [Span::ABSENT; Field::COUNT],
        }
    }

    /// Forgets everything, and lends where the fields' places go.
    #[inline]
    pub(super) fn blank(&mut self) -> &mut [Span; Field::COUNT] {
        self.extensions.clear();
        (self.begin, self.members, self.spelling) = (0, 0, Spelling::Plain);
        self.fields = [Span::ABSENT; Field::COUNT];
        &mut self.fields
    }

    /// Sets the texts: fields, whose places are known, and times that stand as a line has them, each
    /// checked and none in need of an escape. They begin at `begin` and are `length` bytes. None
    /// if a line would have them otherwise.
    #[inline]
    pub(super) fn put_texts(&mut self, texts: Texts, begin: usize, length: usize) -> Option<()> {
        self.texts = texts;
        self.begin = u32::try_from(begin).ok()?;
        self.members = u32::try_from(length).ok()?;
        let text_of = |field| self.text_of(field);
        let is_whole = text_of(Field::Id).is_some()
            && text_of(Field::Source).is_some()
            && text_of(Field::Topic) != Some(text_of(Field::Kind)?);
        is_whole.then_some(())
    }

    #[inline]
    pub(super) fn text_of(&self, field: Field) -> Option<&str> {
        let span = self.fields[field as usize];
        if span.is_absent() { None } else { Some(self.slice(span)) }
    }

    pub(super) fn extension(&self, name: &str) -> Option<ExtensionValue<'_>> {
        let found = self.extensions.binary_search_by(|e| self.slice(e.name).cmp(name)).ok()?;
        self.extensions.get(found).and_then(|extension| self.value(extension))
    }

    pub(super) fn extensions(&self) -> impl ExactSizeIterator<Item = (&str, ExtensionValue<'_>)> {
        self.extensions.iter().map(|extension| {
            let value = self.value(extension).unwrap_or(ExtensionValue::String(""));
            (self.slice(extension.name), value)
        })
    }

    fn value(&self, extension: &Extension) -> Option<ExtensionValue<'_>> {
        Some(match extension.value {
            Value::Boolean(value) => ExtensionValue::Boolean(value),
            Value::Integer(value) => ExtensionValue::Integer(value),
            Value::Text(span) => ExtensionValue::String(self.slice(span)),
            Value::Absent => return None,
        })
    }

    /// Where the spans are.
    #[inline]
    fn text(&self) -> &str {
        match &self.texts {
            Texts::Own(text) => text,
            Texts::Shared(text) => text.get(self.begin as usize..).unwrap_or_default(),
        }
    }

    /// A text of this event; its payload too, if it lies among them.
    #[inline]
    pub(super) fn slice(&self, span: Span) -> &str {
        self.text().get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The texts, to be added to: from now on the event's own, and the attributes alone.
    #[inline]
    fn own(&mut self) -> &mut String {
        if matches!(self.texts, Texts::Shared(_)) {
            self.part();
        }
        match &mut self.texts {
            Texts::Own(text) => text,
            Texts::Shared(_) => unreachable!("it was just made its own"),
        }
    }

    #[cold]
    fn part(&mut self) {
        let members = self.text().get(..self.members as usize).unwrap_or_default().to_owned();
        (self.texts, self.begin) = (Texts::Own(members), 0);
    }

    /// Asks for what comes first.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.members);
    }

    /// Asks for the texts' memory.
    #[inline]
    pub(super) fn prefetch_text(&self) {
        let length = match &self.texts {
            Texts::Own(text) => text.len(),
            Texts::Shared(_) => self.members as usize,
        };
        prefetch(self.text().get(..length).unwrap_or_default());
    }

    /// Bytes of all texts, with what stands around them.
    pub(super) fn len(&self) -> usize {
        match &self.texts {
            Texts::Own(text) => text.len(),
            Texts::Shared(_) => self.members as usize,
        }
    }

    pub(super) fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The members of all fields, of `time` and of `expirytime`, each after its comma, as they
    /// stand in a line; none if they have to be written one by one.
    #[inline]
    pub(super) fn members(&self) -> Option<&str> {
        if self.members == 0 { None } else { self.text().get(..self.members as usize) }
    }

    fn append(&mut self, text: &str) -> Result<Span, Reason> {
        if field::check_text(text)? == Spelling::Escaped {
            self.spelling = Spelling::Escaped;
        }
        let own = self.own();
        let start = u32::try_from(own.len()).map_err(|_| Reason::TooLarge)?;
        own.push_str(text);
        let end = u32::try_from(own.len()).map_err(|_| Reason::TooLarge)?;
        Ok(Span { start, end })
    }

    /// Sets a field to a text that fits it.
    pub(super) fn put(&mut self, field: Field, text: &str) -> Result<(), EventError> {
        let checked = field.check(text);
        self.own().push_str(field.opening());
        let span = checked.and_then(|()| self.append(text));
        self.own().push('"');
        self.fields[field as usize] =
            span.map_err(|reason| EventError::new(field.name(), reason))?;
        Ok(())
    }

    pub(super) fn take_out(&mut self, field: Field) {
        self.fields[field as usize] = Span::ABSENT;
    }

    /// Makes room for `count` more extensions, and no more than that.
    pub(super) fn make_room(&mut self, count: usize) {
        self.extensions.reserve_exact(count);
    }

    /// Adds an extension under a legal name; `None` is JSON's `null`.
    pub(super) fn put_extension(
        &mut self,
        name: &str,
        value: Option<ExtensionValue<'_>>,
    ) -> Result<(), EventError> {
        let mut append = |text| self.append(text).map_err(|reason| EventError::new(name, reason));
        let value = match value {
            None => Value::Absent,
            Some(ExtensionValue::Boolean(value)) => Value::Boolean(value),
            Some(ExtensionValue::Integer(value)) => Value::Integer(value),
            Some(ExtensionValue::String(text)) => Value::Text(append(text)?),
        };
        let name = append(name)?;
        self.extensions.push(Extension { name, value });
        Ok(())
    }

    /// Sorts the extensions, and makes sure that no name stands twice.
    pub(super) fn finish_extensions(&mut self) -> Result<(), EventError> {
        if self.extensions.is_empty() {
            return Ok(());
        }
        let mut extensions = std::mem::take(&mut self.extensions);
        extensions.sort_unstable_by(|a, b| self.slice(a.name).cmp(self.slice(b.name)));
        let twice = extensions.windows(2).find_map(|pair| match pair {
            [a, b] if self.slice(a.name) == self.slice(b.name) => Some(b),
            _ => None,
        });
        let beside_field = || {
            extensions.iter().find(|extension| {
                let field = Field::from_name(self.slice(extension.name));
                field.is_some_and(|field| self.text_of(field).is_some())
            })
        };
        if let Some(extension) = twice.or_else(beside_field) {
            return Err(EventError::new(self.slice(extension.name), Reason::Duplicate));
        }
        extensions.retain(|extension| !matches!(extension.value, Value::Absent));
        self.extensions = extensions;
        Ok(())
    }

    /// Puts fields and times in the order of a line, behind them the extensions.
    pub(super) fn arrange(&mut self, time: Option<Timestamp>, expires_at: Option<Timestamp>) {
        self.members = 0;
        let length = self.own().len();
        let longest = length + TIMES_LEN;
        if self.spelling == Spelling::Escaped || u32::try_from(longest).is_err() {
            return;
        }
        // A journal's own lines come in order: then nothing moves.
        if self.extensions.is_empty() && self.fields_end() == Some(length) {
            let text = self.own();
            write_times(time, expires_at, text);
            self.members = text.len() as u32;
            return;
        }
        let mut text = String::with_capacity(longest);
        for field in Field::ALL {
            let span = self.fields[field as usize];
            if !span.is_absent() {
                text.push_str(field.opening());
                self.fields[field as usize] = copy(self.slice(span), &mut text);
                text.push('"');
            }
        }
        write_times(time, expires_at, &mut text);
        self.members = text.len() as u32;
        let mut extensions = std::mem::take(&mut self.extensions);
        for extension in &mut extensions {
            extension.name = copy(self.slice(extension.name), &mut text);
            if let Value::Text(value) = &mut extension.value {
                *value = copy(self.slice(*value), &mut text);
            }
        }
        self.extensions = extensions;
        self.texts = Texts::Own(text);
    }

    /// Where the last field ends with its quote, if each stands where a line has it.
    fn fields_end(&self) -> Option<usize> {
        Field::ALL.into_iter().try_fold(0, |at, field| {
            let span = self.fields[field as usize];
            if span.is_absent() {
                return Some(at);
            }
            (span.start as usize == at + field.opening().len()).then_some(span.end as usize + 1)
        })
    }
}

/// Appends `from`, and says where; both together are short enough.
fn copy(from: &str, to: &mut String) -> Span {
    let start = to.len() as u32;
    to.push_str(from);
    Span { start, end: to.len() as u32 }
}

fn write_times(time: Option<Timestamp>, expires_at: Option<Timestamp>, out: &mut String) {
    for (opening, time) in [(",\"time\":\"", time), (",\"expirytime\":\"", expires_at)] {
        if let Some(time) = time {
            let text = time.text();
            out.push_str(opening);
            out.push_str(str::from_utf8(&text).unwrap_or_default());
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, EventBuilder, json};
    use super::*;

    fn line(builder: EventBuilder) -> String {
        builder.build().unwrap().to_string()
    }

    #[test]
    fn a_line_does_not_tell_in_what_order_the_attributes_came_or_how_often() {
        let time = Timestamp::parse("2026-03-14T09:15:26Z").unwrap();
        let begun = || Event::builder("a.b").source("/s").id("1").extension("zone", 7);
        let forth = begun().topic("t").subject("é").time(time).key("k").extension("area", "x y");
        let back =
            begun().extension("area", "x y").key("old").key("k").time(time).subject("longer");
        let back = back.topic("t").subject("é");
        let expected = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b","topic":"t","subject":"é","partitionkey":"k","time":"2026-03-14T09:15:26.000000000Z","area":"x y","zone":7}"#;
        assert_eq!(line(forth), expected);
        assert_eq!(line(back), expected);
        // What comes in this order moves nothing, and what does not is put right.
        let foreign =
            expected.replace(r#""specversion":"1.0",""#, r#""zone":7,"specversion":"1.0",""#);
        for text in [expected.to_owned(), foreign.replace(r#","zone":7}"#, "}")] {
            assert_eq!(text.parse::<Event>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_topic_that_is_the_type_leaves_no_trace() {
        let build = |builder: EventBuilder| builder.id("1").without_time();
        let plain = line(build(Event::builder("a.b")));
        assert_eq!(line(build(Event::builder("a.b").topic("a.b"))), plain);
    }

    #[test]
    fn only_what_needs_no_escape_is_kept_as_members() {
        let members = |builder: EventBuilder| {
            let event = builder.id("1").build().unwrap();
            assert_eq!(
                json::decode(event.to_string().as_bytes(), &json::Limits::default()),
                Ok(event.clone())
            );
            event.attributes().members().map(str::to_owned)
        };
        let plain = members(Event::builder("a").without_time()).unwrap();
        assert_eq!(plain, r#","id":"1","source":"ringpost","type":"a""#);
        assert_eq!(members(Event::builder("a").subject("a \"b\"")), None);
        assert_eq!(members(Event::builder("a").extension("x", "\\")), None);
    }
}
