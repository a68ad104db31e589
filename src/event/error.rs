//! Why something is no event: which attribute, and what is wrong with it.
//!
//! Made by the builder and by both codecs. An error never holds a payload, and never more of a
//! foreign name than a line can show.
#![forbid(unsafe_code)]

/// An attribute that an event cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute {attribute:?} {reason}")]
#[non_exhaustive]
pub struct EventError {
    /// The attribute's CloudEvents name, such as `datacontenttype`; cut after 64 characters.
    pub attribute: Box<str>,
    /// What is wrong with it.
    pub reason: Reason,
}

impl EventError {
    pub(crate) fn new(attribute: &str, reason: Reason) -> Self {
        Self { attribute: attribute.chars().take(64).collect(), reason }
    }
}

/// What is wrong with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// `id`, `source`, `type` and `specversion` are required.
    #[error("is missing")]
    Missing,
    /// Text that must not be empty is.
    #[error("is empty")]
    Empty,
    /// Another JSON type where only a string can stand.
    #[error("is not a string")]
    NotAString,
    /// Only CloudEvents 1.0 is read.
    #[error("is not \"1.0\"")]
    NotThisVersion,
    /// Names consist of `a` to `z` and `0` to `9`; the API makes none longer than 20.
    #[error("is not a legal name (a-z and 0-9)")]
    NotAName,
    /// The bus, the journal or another setter of the builder gives this attribute.
    #[error("cannot be given as an extension")]
    Reserved,
    /// The attribute stands twice in one event.
    #[error("is given twice")]
    Duplicate,
    /// Not a URI by RFC 3986.
    #[error("is not a URI")]
    NotAUri,
    /// Not a URI reference by RFC 3986.
    #[error("is not a URI reference")]
    NotAUriReference,
    /// Not an RFC 3339 time of the years 0 to 9999.
    #[error("is not an RFC 3339 time with seconds and zone")]
    NotATime,
    /// Not `type/subtype`.
    #[error("is not a content type (type/subtype)")]
    NotAContentType,
    /// Outside the grammar of topics.
    #[error("is not a topic (tokens separated by '.', ':' or '/')")]
    NotATopic,
    /// Not a W3C `traceparent`.
    #[error("is not a W3C traceparent")]
    NotATraceparent,
    /// Not a W3C `tracestate`.
    #[error("is not a W3C tracestate")]
    NotATracestate,
    /// CloudEvents strings hold no control characters and no noncharacters.
    #[error("holds a control character or a noncharacter")]
    IllegalCharacter,
    /// Extensions are strings, booleans and integers.
    #[error("is an object or an array")]
    NotAValue,
    /// A fraction, an exponent, or beyond 32 bits.
    #[error("is not an integer of 32 bits")]
    NotAnInteger,
    /// `data` and `data_base64` in one event.
    #[error("stands beside data")]
    BesideData,
    /// Not base64 by RFC 4648, section 4, with padding.
    #[error("is not base64")]
    NotBase64,
    /// The value given as JSON is none.
    #[error("is not JSON")]
    NotJson,
    /// `\ud800` to `\udfff` without its other half.
    #[error("holds a lone surrogate")]
    LoneSurrogate,
    /// Nested deeper than the limit.
    #[error("is nested too deep")]
    TooDeep,
    /// Larger than the limit.
    #[error("is too large")]
    TooLarge,
}
