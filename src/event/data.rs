//! An event's payload: the bytes as they came, and how to look at them.
//!
//! Kept by the envelope, written by the codecs. JSON is never parsed again or written anew: what
//! came in is what goes out, byte for byte.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::Arc;

use super::attributes::Span;
use super::error::Reason;
use super::json::Limits;
use super::json::scan::{Fault, FaultKind, Scanner};

/// An event's payload, as its content type says to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data<'a> {
    /// A JSON value, as its text.
    Json(&'a str),
    /// The text of an event whose content type is not JSON.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What stands in the `data` or the `data_base64` member.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// The JSON text of the `data` member: one value, no blanks around it, no line breaks.
    Json(Arc<str>),
    /// The same, among the event's texts, which it shares.
    Within(Span),
    Binary(Arc<[u8]>),
}

/// A payload as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    Json(&'a str),
    Binary(&'a [u8]),
}

impl Payload {
    /// One JSON value that a scanner has passed; none for `null`, which means absent.
    pub(crate) fn from_scanned(raw: &str) -> Option<Self> {
        if raw == "null" {
            return None;
        }
        // In valid JSON a line break can only stand between tokens, where a space is as good.
        let text = match memchr::memchr2(b'\r', b'\n', raw.as_bytes()) {
            Some(_) => Arc::from(raw.replace(['\r', '\n'], " ")),
            None => Arc::from(raw),
        };
        Some(Self::Json(text))
    }

    /// One JSON value, checked here.
    pub(crate) fn from_json(text: &str, max_depth: u32) -> Result<Option<Self>, Reason> {
        let mut scanner = Scanner::new(text);
        let raw =
            scanner.lone_value(Limits::below_event(max_depth)).map_err(|fault| reason(&fault))?;
        Ok(Self::from_scanned(raw))
    }
}

impl<'a> Raw<'a> {
    pub(crate) fn view(self, is_json: bool) -> Data<'a> {
        match self {
            Self::Binary(bytes) => Data::Binary(bytes),
            Self::Json(raw) if is_json => Data::Json(raw),
            Self::Json(raw) => match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
                Some(inner) => Data::Text(super::json::scan::unescape(inner)),
                None => Data::Json(raw),
            },
        }
    }

    /// Bytes that the payload takes in a line, at most.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Json(raw) => raw.len(),
            Self::Binary(bytes) => bytes.len().div_ceil(3) * 4 + 2,
        }
    }
}

pub(crate) fn reason(fault: &Fault) -> Reason {
    match fault.kind {
        FaultKind::LoneSurrogate => Reason::LoneSurrogate,
        FaultKind::TooDeep => Reason::TooDeep,
        _ => Reason::NotJson,
    }
}

/// `type/subtype`, then parameters after a semicolon.
pub(crate) fn is_content_type(text: &str) -> bool {
    if text == "application/json" {
        return true;
    }
    let essence = essence(text);
    let is_token = |token: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !token.is_empty() && token.bytes().all(legal)
    };
    essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

/// Whether a content type declares JSON: its subtype is `json` or ends in `+json`. JSON is also
/// what an absent content type stands for.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    let Some(text) = content_type else { return true };
    let sub = essence(text).split_once('/').map_or("", |(_, sub)| sub).as_bytes();
    let suffix = sub.get(sub.len().saturating_sub(5)..).unwrap_or_default();
    sub.eq_ignore_ascii_case(b"json") || suffix.eq_ignore_ascii_case(b"+json")
}

fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_declare_json_by_their_subtype() {
        for json in ["application/json", "text/JSON; charset=utf-8", "application/x.y+json ;a=b"] {
            assert!(is_content_type(json) && is_json(Some(json)), "{json}");
        }
        for other in ["text/plain", "application/jsonl", "application/xml", "json/x", "a/+jso"] {
            assert!(is_content_type(other) && !is_json(Some(other)), "{other}");
        }
        for wrong in
            ["", "json", "/json", "text/", "text/a/b", " text/plain", "text plain", "a/b c"]
        {
            assert!(!is_content_type(wrong), "{wrong}");
        }
        assert!(is_json(None));
    }

    fn scanned(text: &str) -> Arc<str> {
        match Payload::from_json(text, 128) {
            Ok(Some(Payload::Json(raw))) => raw,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn line_breaks_between_tokens_become_one_space_each() {
        let raw = scanned("\r\n{\r\n \"a\\n\" :\n1}\n");
        assert_eq!(Raw::Json(&raw).view(true), Data::Json("{   \"a\\n\" : 1}"));
    }

    #[test]
    fn strings_are_text_where_the_content_type_is_not_json() {
        let raw = scanned(r#""caf\u00e9""#);
        assert_eq!(Raw::Json(&raw).view(false), Data::Text("café".into()));
        assert_eq!(Raw::Json(&raw).view(true), Data::Json(r#""caf\u00e9""#));
        assert_eq!(Raw::Json(&scanned("1.50")).view(false), Data::Json("1.50"));
        assert!(matches!(Payload::from_json(" null ", 128), Ok(None)));
    }
}
