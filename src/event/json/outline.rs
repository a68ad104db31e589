//! An event's line taken apart without building the event.
//!
//! A query looks at millions of lines and keeps few: here nothing is copied and nothing is
//! checked beyond the JSON itself. Whoever keeps a line still decodes it.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::decode::DecodeError;
use super::place::{each_member, string, time};
use crate::event::error::{EventError, Reason};
use crate::event::field::{Field, Special};
use crate::event::time::Timestamp;

/// Fields and special names share one row of numbers; the checksum's is the last.
const MEMBERS: usize = Special::Checksum as usize + 1;

/// The members of a line, each as the JSON it is written in; `null` is absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline<'a> {
    line: &'a str,
    members: [Option<&'a str>; MEMBERS],
}

impl<'a> Outline<'a> {
    /// Takes a line apart.
    pub(crate) fn of(line: &'a [u8]) -> Result<Self, DecodeError> {
        let line = std::str::from_utf8(line)
            .map_err(|error| DecodeError::NotUtf8 { offset: error.valid_up_to() })?;
        let mut members = [None; MEMBERS];
        let mut seen = 0_u32;
        each_member(line, |name, value| {
            let number = match Field::from_name(name) {
                Some(field) => field as usize,
                None => match Special::from_name(name) {
                    Some(special) => special as usize,
                    None => return Ok(()),
                },
            };
            if seen & 1 << number != 0 {
                return Err(EventError::new(name, Reason::Duplicate).into());
            }
            seen |= 1 << number;
            if value != "null" {
                members[number] = Some(value);
            }
            Ok(())
        })?;
        Ok(Self { line, members })
    }

    /// A text attribute; none if it is absent or no text.
    pub(crate) fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        string(self.members[field as usize]?)
    }

    /// The topic, which is the type where it is not written.
    pub(crate) fn topic(&self) -> Option<Cow<'a, str>> {
        self.text(Field::Topic).or_else(|| self.text(Field::Kind))
    }

    /// The event's own time, else when it was recorded.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        let of = |special: Special| self.members[special as usize];
        time(of(Special::Time), of(Special::RecordedTime))
    }

    /// The `data` member.
    pub(crate) fn payload(&self) -> Option<&'a str> {
        self.members[Special::Data as usize]
    }

    /// Any member by its name. The topic is the type where it is not written.
    pub(crate) fn member(&self, name: &str) -> Option<&'a str> {
        if let Some(field) = Field::from_name(name) {
            let kind = match field {
                Field::Topic => self.members[Field::Kind as usize],
                _ => None,
            };
            return self.members[field as usize].or(kind);
        }
        if let Some(special) = Special::from_name(name) {
            return self.members[special as usize];
        }
        let mut found = None;
        // The line was read once already: it cannot fail now.
        let _ = each_member(self.line, |member, value| {
            if member == name && value != "null" {
                found = Some(value);
            }
            Ok(())
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_however_they_are_written() {
        let line =
            br#" {"id":"1" , "typ\u0065":"a.b","x":7,"y":null,"subject":"q\"","correlationid":5,
            "time":"2020-01-01T00:00:00Z","data":{"n":1}}"#;
        let outline = Outline::of(line).unwrap();
        assert_eq!(outline.text(Field::Kind).unwrap(), "a.b");
        assert_eq!(outline.topic().unwrap(), "a.b");
        assert_eq!(outline.text(Field::Subject).unwrap(), "q\"");
        assert_eq!(outline.text(Field::Correlation), None, "a number is no text");
        assert_eq!(outline.member("correlationid"), Some("5"));
        assert_eq!(outline.member("x"), Some("7"));
        assert_eq!(outline.member("y"), None);
        assert_eq!(outline.member("z"), None);
        assert_eq!(outline.member("topic"), Some("\"a.b\""));
        assert_eq!(outline.payload(), Some(r#"{"n":1}"#));
        assert_eq!(outline.time(), Timestamp::parse("2020-01-01T00:00:00Z").ok());
    }

    #[test]
    fn what_is_no_event_is_refused_here_already() {
        for line in ["", "[]", "{", r#"{"id":"1","id":"2"}"#, r#"{"a":1}x"#, "{\"a\":\"\u{1}\"}"] {
            assert!(Outline::of(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Outline::of(b"{\"a\":\"\xff\"}").is_err());
    }
}
