//! How programs make events.
//!
//! Callers reach it through [`Event::builder`] and [`event!`](crate::event!). It must never make
//! an event that the decoder would refuse to read back.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::data::Payload;
use super::envelope::{Event, ExtensionValue};
use super::error::{EventError, Reason};
use super::field::{Field, is_free_name, is_name};
use super::ids;
use super::json::{self, Limits};
use super::time::Timestamp;

/// The source of an event whose maker names none.
pub(crate) const DEFAULT_SOURCE: &str = "ringpost";

/// An event being made. Setters can be chained; the first wrong one is told by
/// [`build`](Self::build). What is set twice is replaced.
///
/// ```
/// use ringpost::event::Event;
///
/// let event = Event::builder("terminal.command")
///     .source("cli")
///     .correlation_id("req-12345")
///     .extension("exitcode", 0)
///     .json(&["cargo", "test"])
///     .build()?;
/// assert_eq!(event.topic(), "terminal.command");
/// # Ok::<(), ringpost::event::EventError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "an event is made by `build`"]
pub struct EventBuilder {
    event: Event,
    payload: Result<Option<Payload>, Reason>,
    id: bool,
    source: bool,
    time: Time,
    default_content_type: Option<&'static str>,
    max_bytes: usize,
    error: Option<EventError>,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Now,
    Given(Option<Timestamp>),
}

impl EventBuilder {
    pub(super) fn new(kind: &str) -> Self {
        let builder = Self {
            event: Event::unfinished(kind.len() + 192),
            payload: Ok(None),
            id: false,
            source: false,
            time: Time::Now,
            default_content_type: None,
            max_bytes: Limits::DEFAULT_BYTES,
            error: None,
        };
        builder.put(Field::Kind, kind)
    }

    fn put(mut self, field: Field, text: &str) -> Self {
        if let Err(error) = self.event.put(field, text) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Any non-empty text. Default: a UUIDv7 from this thread's own generator.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.id = true;
        self.put(Field::Id, id.as_ref())
    }

    /// A non-empty URI reference. Default: `ringpost`.
    pub fn source(mut self, source: impl AsRef<str>) -> Self {
        self.source = true;
        self.put(Field::Source, source.as_ref())
    }

    /// The topic to publish on, where it is not the type.
    pub fn topic(self, topic: impl AsRef<str>) -> Self {
        self.put(Field::Topic, topic.as_ref())
    }

    /// What within the source it is about: not empty.
    pub fn subject(self, subject: impl AsRef<str>) -> Self {
        self.put(Field::Subject, subject.as_ref())
    }

    /// When it happened. Default: now.
    pub fn time(mut self, time: impl Into<Timestamp>) -> Self {
        self.time = Time::Given(Some(time.into()));
        self
    }

    /// Leaves the time out, for an event whose time is not known.
    pub fn without_time(mut self) -> Self {
        self.time = Time::Given(None);
        self
    }

    /// The payload's content type, `type/subtype`. Default: what the payload's setter says.
    pub fn content_type(self, content_type: impl AsRef<str>) -> Self {
        self.put(Field::ContentType, content_type.as_ref())
    }

    /// The payload's schema: an absolute URI.
    pub fn schema(self, schema: impl AsRef<str>) -> Self {
        self.put(Field::Schema, schema.as_ref())
    }

    /// What ties together all events of one affair. Set by itself for events that a handler
    /// publishes, where not given.
    pub fn correlation_id(self, id: impl AsRef<str>) -> Self {
        self.put(Field::Correlation, id.as_ref())
    }

    /// The event that caused this one. Set by itself for events that a handler publishes, where
    /// not given.
    pub fn causation_id(self, id: impl AsRef<str>) -> Self {
        self.put(Field::Causation, id.as_ref())
    }

    /// A trace in free text.
    pub fn trace_id(self, id: impl AsRef<str>) -> Self {
        self.put(Field::Trace, id.as_ref())
    }

    /// The W3C trace context's `traceparent`.
    pub fn traceparent(self, text: impl AsRef<str>) -> Self {
        self.put(Field::Traceparent, text.as_ref())
    }

    /// The W3C trace context's `tracestate`.
    pub fn tracestate(self, text: impl AsRef<str>) -> Self {
        self.put(Field::Tracestate, text.as_ref())
    }

    /// What events must share to stay in order.
    pub fn key(self, key: impl AsRef<str>) -> Self {
        self.put(Field::Key, key.as_ref())
    }

    /// When it loses its meaning.
    pub fn expires_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.event.put_expires_at(Some(time.into()));
        self
    }

    /// Metadata: an extension attribute with a name of 1 to 20 characters of `a-z` and `0-9`.
    /// The names of other setters set what those set, where the value is text.
    pub fn extension<'a>(mut self, name: &str, value: impl Into<ExtensionValue<'a>>) -> Self {
        if let Err(error) = self.put_extension(name, value.into()) {
            self.error.get_or_insert(error);
        }
        self
    }

    fn put_extension(&mut self, name: &str, value: ExtensionValue<'_>) -> Result<(), EventError> {
        if !is_name(name) || name.len() > 20 {
            return Err(EventError::new(name, Reason::NotAName));
        }
        let field = Field::from_name(name).filter(|field| field.is_extension());
        match (field, value) {
            (Some(field), ExtensionValue::String(text)) => self.event.put(field, text),
            _ if is_free_name(name, matches!(value, ExtensionValue::String(_))) => {
                self.event.put_extension(name, Some(value))
            }
            (Some(_), _) => Err(EventError::new(name, Reason::NotAString)),
            (None, _) => Err(EventError::new(name, Reason::Reserved)),
        }
    }

    /// The payload: any value, written as JSON. `null` is no payload.
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.raw_json(text),
            Err(_) => Self { payload: Err(Reason::NotJson), ..self },
        }
    }

    /// The payload: JSON text, kept byte for byte but for blanks around it and line breaks in
    /// it, which become spaces.
    pub fn raw_json(mut self, text: impl AsRef<str>) -> Self {
        self.default_content_type = Some("application/json");
        self.payload = Payload::from_json(text.as_ref(), Limits::DEFAULT_DEPTH);
        self
    }

    /// The payload: text, as `text/plain` unless another content type is given. With a JSON
    /// content type it is a JSON string.
    pub fn text(mut self, text: impl AsRef<str>) -> Self {
        self.default_content_type = Some("text/plain");
        let mut raw = Vec::with_capacity(text.as_ref().len() + 2);
        json::encode::write_string(text.as_ref(), &mut raw);
        let raw = String::from_utf8(raw).map_err(|_| Reason::NotJson);
        self.payload = raw.map(|raw| Some(Payload::Json(Arc::from(raw))));
        self
    }

    /// The payload: bytes, as `application/octet-stream` unless another content type is given.
    pub fn binary(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.default_content_type = Some("application/octet-stream");
        self.payload = Ok(Some(Payload::Binary(Arc::from(bytes.as_ref()))));
        self
    }

    /// The largest event, as JSON, that [`build`](Self::build) makes. Default: 1 MiB, the most
    /// that a decoder with default limits reads.
    pub fn max_bytes(mut self, max: usize) -> Self {
        self.max_bytes = max;
        self
    }

    /// Makes the event.
    ///
    /// # Errors
    ///
    /// The first attribute that is wrong, and why; or [`Reason::TooLarge`] for `data`.
    pub fn build(mut self) -> Result<Event, EventError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let payload = self.payload.map_err(|reason| EventError::new("data", reason))?;
        if let (Some(_), Some(default), None) =
            (&payload, self.default_content_type, self.event.content_type())
        {
            self.event.put(Field::ContentType, default)?;
        }
        self.event.put_payload(payload);
        if !self.source {
            self.event.put(Field::Source, DEFAULT_SOURCE)?;
        }
        let now = match (self.id, self.time) {
            // Whoever gives both pays for no clock.
            (true, Time::Given(time)) => time,
            _ => Some(Timestamp::now()),
        };
        if let (false, Some(now)) = (self.id, now) {
            let mut text = uuid::Uuid::encode_buffer();
            self.event.put(Field::Id, ids::next_at(now).hyphenated().encode_lower(&mut text))?;
        }
        self.event.put_time(match self.time {
            Time::Now => now,
            Time::Given(time) => time,
        });
        let event = self.event.finish()?;
        if !json::encode::fits(&event, self.max_bytes) {
            return Err(EventError::new("data", Reason::TooLarge));
        }
        Ok(event)
    }
}

/// Makes an event in one line: its type, attributes by the names of [`EventBuilder`]'s setters,
/// and a JSON object as payload.
///
/// The value is what [`EventBuilder::build`] gives.
///
/// ```
/// let event = ringpost::event!("terminal.command", source = "cli", { "exit": 0 })?;
/// assert_eq!(event.source(), "cli");
/// assert_eq!(event.data(), Some(ringpost::event::Data::Json(r#"{"exit":0}"#)));
///
/// let bare = ringpost::event!("clock.tick")?;
/// assert_eq!(bare.data(), None);
/// # Ok::<(), ringpost::event::EventError>(())
/// ```
#[macro_export]
macro_rules! event {
    ($kind:expr $(, $setter:ident = $value:expr)* $(,)?) => {
        $crate::event::Event::builder($kind)$(.$setter($value))*.build()
    };
    ($kind:expr $(, $setter:ident = $value:expr)*, { $($json:tt)* } $(,)?) => {
        $crate::event::Event::builder($kind)
            $(.$setter($value))*
            .json(&$crate::event::__json!({ $($json)* }))
            .build()
    };
}
