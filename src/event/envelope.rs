//! The event: CloudEvents attributes around a payload that is never looked into.
//!
//! Built by the builder and the codecs, carried by buses, written by the journal. Once built it
//! never changes, but for what the bus stamps on it at publish. All texts lie in one allocation,
//! as they stand in a line of a journal ([`Attributes`]).
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use super::attributes::{Attributes, Span, Texts};
use super::builder::EventBuilder;
use super::data::{self, Data, Payload, Raw};
use super::error::{EventError, Reason};
use super::field::Field;
use super::json::{self, DecodeError, Limits};
use super::time::Timestamp;
use crate::ring::prefetch;

/// A CloudEvents 1.0 event. Immutable; made by [`Event::builder`], [`event!`](crate::event!),
/// [`json::decode()`] or the binary codec.
///
/// Cheap to build (one allocation for all texts, one for the payload). To send one event to many
/// places, share it: `Shared<Event>` costs one count, while `clone` copies the texts, unless the
/// event was read from a journal: then it shares them.
///
/// An event that was read from a journal may lie together with its neighbours in one allocation of
/// up to 4 KiB, which stays for as long as one of them is kept.
#[derive(Clone)]
// An event is published, written and dropped on different cores and at different times: what all
// three touch lies together, beside the count of whoever shares it, so that each meets two cache
// lines and not four or five.
#[repr(C)]
pub struct Event {
    recorded_at: Option<Timestamp>,
    payload: Option<Payload>,
    attributes: Attributes,
    time: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

/// The value of an extension attribute: the three types that CloudEvents' JSON tells apart.
///
/// Binary values, times and URIs are strings there (base64, RFC 3339, as they are), here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtensionValue<'a> {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text without control characters.
    String(&'a str),
}

impl Event {
    /// Begins an event of a type such as `terminal.command`.
    pub fn builder(kind: &str) -> EventBuilder {
        EventBuilder::new(kind)
    }

    /// The event's identifier, unique within its source.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text_of(Field::Id).unwrap_or_default()
    }

    /// Where it comes from: a URI reference.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text_of(Field::Source).unwrap_or_default()
    }

    /// Its type, such as `terminal.command` (`type` in CloudEvents).
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text_of(Field::Kind).unwrap_or_default()
    }

    /// The topic it is published on: its own, or else its type.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.text_of(Field::Topic).unwrap_or_else(|| self.kind())
    }

    /// What within the source it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text_of(Field::Subject)
    }

    /// When it happened. None if its maker did not say.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The payload, as the content type says to see it.
    #[must_use]
    pub fn data(&self) -> Option<Data<'_>> {
        self.payload().map(|payload| payload.view(data::is_json(self.content_type())))
    }

    /// The payload as a value. JSON is parsed now; text and bytes are never parsed.
    ///
    /// # Errors
    ///
    /// There is no payload, it is not JSON, or it is not a `T`.
    pub fn parse_data<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        match self.data() {
            Some(Data::Json(raw)) => {
                serde_json::from_str(raw).map_err(|error| DecodeError::Data(error.to_string()))
            }
            Some(_) => Err(EventError::new("data", Reason::NotJson).into()),
            None => Err(EventError::new("data", Reason::Missing).into()),
        }
    }

    /// The payload's content type. None stands for `application/json`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.text_of(Field::ContentType)
    }

    /// The payload's schema: a URI (`dataschema` in CloudEvents).
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.text_of(Field::Schema)
    }

    /// What ties together all events of one affair (`correlationid`).
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.text_of(Field::Correlation)
    }

    /// The event that caused this one (`causationid`).
    #[must_use]
    pub fn causation_id(&self) -> Option<&str> {
        self.text_of(Field::Causation)
    }

    /// A trace in free text, such as `req-12345` (`traceid`).
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.text_of(Field::Trace)
    }

    /// The W3C trace context's `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.text_of(Field::Traceparent)
    }

    /// The W3C trace context's `tracestate`.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.text_of(Field::Tracestate)
    }

    /// What events must share to stay in order (`partitionkey`).
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.text_of(Field::Key)
    }

    /// When it loses its meaning (`expirytime`).
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When a bus recorded it (`recordedtime`). None before its publish.
    #[must_use]
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.recorded_at
    }

    /// One extension attribute that has no accessor of its own.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<ExtensionValue<'_>> {
        self.attributes.extension(name)
    }

    /// All extension attributes that have no accessor of their own, by name.
    pub fn extensions(&self) -> impl ExactSizeIterator<Item = (&str, ExtensionValue<'_>)> {
        self.attributes.extensions()
    }

    #[inline]
    pub(super) fn text_of(&self, field: Field) -> Option<&str> {
        self.attributes.text_of(field)
    }

    /// Asks for its first part, which leads to all else.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.recorded_at);
        self.attributes.prefetch();
    }

    /// Asks for what an encoder will read of it. Waits for its first part.
    #[inline]
    pub(crate) fn prefetch_texts(&self) {
        self.attributes.prefetch_text();
        match self.payload() {
            Some(Raw::Json(raw)) => prefetch(raw),
            Some(Raw::Binary(bytes)) => prefetch(bytes),
            None => {}
        }
    }

    /// What holds the texts, for the encoder.
    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    #[inline]
    pub(super) fn payload(&self) -> Option<Raw<'_>> {
        self.payload.as_ref().map(|payload| match payload {
            Payload::Json(raw) => Raw::Json(raw),
            Payload::Within(span) => Raw::Json(self.attributes.slice(*span)),
            Payload::Binary(bytes) => Raw::Binary(bytes),
        })
    }
}

/// Construction, for the builder and the codecs.
impl Event {
    /// An event under construction, with room for `capacity` bytes of text.
    #[inline]
    pub(crate) fn unfinished(capacity: usize) -> Self {
        Self {
            recorded_at: None,
            payload: None,
            attributes: Attributes::with_capacity(capacity),
            time: None,
            expires_at: None,
        }
    }

    /// Forgets all but its times, and lends where the places of its fields go.
    #[inline]
    pub(super) fn blank(&mut self) -> &mut [Span; Field::COUNT] {
        self.payload = None;
        self.attributes.blank()
    }

    /// Sets the texts, which stand as a line has them; none if a line would have them otherwise.
    #[inline]
    pub(super) fn put_texts(&mut self, texts: Texts, begin: usize, length: usize) -> Option<()> {
        self.attributes.put_texts(texts, begin, length)
    }

    /// Sets a field to a text that fits it.
    pub(super) fn put(&mut self, field: Field, text: &str) -> Result<(), EventError> {
        self.part_payload();
        self.attributes.put(field, text)
    }

    /// Makes room for `count` more extensions, and no more than that.
    pub(super) fn make_room(&mut self, count: usize) {
        self.attributes.make_room(count);
    }

    /// Adds an extension under a legal name; `None` is JSON's `null`.
    pub(super) fn put_extension(
        &mut self,
        name: &str,
        value: Option<ExtensionValue<'_>>,
    ) -> Result<(), EventError> {
        self.part_payload();
        self.attributes.put_extension(name, value)
    }

    pub(super) fn put_time(&mut self, time: Option<Timestamp>) {
        self.time = time;
    }

    pub(super) fn put_expires_at(&mut self, time: Option<Timestamp>) {
        self.expires_at = time;
    }

    pub(super) fn put_recorded_at(&mut self, time: Option<Timestamp>) {
        self.recorded_at = time;
    }

    pub(super) fn put_payload(&mut self, payload: Option<Payload>) {
        self.payload = payload;
    }

    /// Makes sure that the required attributes are there and that no name stands twice.
    pub(super) fn finish(mut self) -> Result<Self, EventError> {
        for field in [Field::Id, Field::Source, Field::Kind] {
            if self.text_of(field).is_none() {
                return Err(EventError::new(field.name(), Reason::Missing));
            }
        }
        if self.topic() == self.kind() {
            self.attributes.take_out(Field::Topic);
        }
        self.attributes.finish_extensions()?;
        self.arrange();
        Ok(self)
    }

    /// Takes the payload from among texts that are about to change.
    #[inline]
    fn part_payload(&mut self) {
        if let Some(Payload::Within(span)) = self.payload {
            self.payload = Some(Payload::Json(self.attributes.slice(span).into()));
        }
    }

    /// Puts the texts in their line's order, after the last of them came.
    pub(super) fn arrange(&mut self) {
        self.part_payload();
        self.attributes.arrange(self.time, self.expires_at);
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        Field::ALL.into_iter().all(|field| self.text_of(field) == other.text_of(field))
            && self.time == other.time
            && self.expires_at == other.expires_at
            && self.recorded_at == other.recorded_at
            && self.payload() == other.payload()
            && self.extensions().eq(other.extensions())
    }
}

impl Eq for Event {}

/// Names the event; never shows its payload.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id())
            .field("source", &self.source())
            .field("kind", &self.kind())
            .field("topic", &self.topic())
            .field("subject", &self.subject())
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// The event as CloudEvents JSON, on one line.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Vec::new();
        json::encode(self, &mut line);
        f.write_str(&String::from_utf8_lossy(&line))
    }
}

/// An event from CloudEvents JSON, within the default [`Limits`].
impl FromStr for Event {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        json::decode(text.as_bytes(), &Limits::default())
    }
}

impl<'a> From<&'a str> for ExtensionValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text)
    }
}

impl<'a> From<&'a String> for ExtensionValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for ExtensionValue<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for ExtensionValue<'_> {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl fmt::Display for ExtensionValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}
