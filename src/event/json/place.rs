//! Where a line belongs: its time and its sequence, read without building the event.
//!
//! An index is made of these. They are read as a query reads them, or an index would lead past
//! lines that the query takes.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::decode::{DecodeError, sequence};
use super::scan::{MAX_DEPTH, Scanner, unescape};
use crate::Sequence;
use crate::event::time::Timestamp;

/// The time and the sequence of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The event's own time, else when it was recorded.
    pub(crate) time: Option<Timestamp>,
    /// Its place in the journal; a foreign line may have none.
    pub(crate) sequence: Option<Sequence>,
}

impl Place {
    /// Reads a line; none if it is no JSON object, or has one of the members twice.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (mut own, mut recorded, mut number) = (None, None, None);
        let mut is_clear = true;
        let read = each_member(line, |name, value| {
            let member = match name {
                "time" => &mut own,
                "recordedtime" => &mut recorded,
                "sequence" => &mut number,
                _ => return Ok(()),
            };
            is_clear &= member.replace(value).is_none();
            Ok(())
        });
        let place = || {
            let sequence = number.and_then(string).and_then(|text| sequence(&text));
            Self { time: time(own, recorded), sequence }
        };
        (read.is_ok() && is_clear).then(place)
    }
}

/// The first of two times, as JSON, that is one.
pub(super) fn time(own: Option<&str>, recorded: Option<&str>) -> Option<Timestamp> {
    let read = |raw: Option<&str>| Timestamp::parse(&string(raw?)?).ok();
    read(own).or_else(|| read(recorded))
}

/// The text of a JSON string; none for other values.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    Some(unescape(inner))
}

/// Gives every member's name, and its value as the JSON it is written in.
pub(super) fn each_member<'a>(
    line: &'a str,
    mut take: impl FnMut(&str, &'a str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(line);
    scanner.skip_blanks();
    if !scanner.take(b'{') {
        return Err(DecodeError::NotAnObject);
    }
    scanner.skip_blanks();
    if !scanner.take(b'}') {
        loop {
            let name = scanner.key()?.text();
            let value = scanner.value(MAX_DEPTH - 1)?;
            take(&name, value)?;
            scanner.skip_blanks();
            if scanner.take(b'}') {
                break;
            }
            scanner.expect(b',', "`,` or `}`")?;
            scanner.skip_blanks();
        }
    }
    Ok(scanner.end()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_own_time_or_the_one_when_it_was_recorded() {
        let of = |line: &str| Place::of(line.as_bytes());
        let time = |text: &str| Timestamp::parse(text).ok();
        let both = r#"{"t\u0069me":"2020-01-01T00:00:00Z","recordedtime":"2021-01-01T00:00:00Z",
            "data":{"time":"2022-01-01T00:00:00Z"},"sequence":"00000000000000000007"}"#;
        let sequence = Some(Sequence::new(7));
        assert_eq!(of(both), Some(Place { time: time("2020-01-01T00:00:00Z"), sequence }));
        for own in ["null", "5", r#""yesterday""#] {
            let line = format!(r#"{{"time":{own},"recordedtime":"2021-01-01T00:00:00Z"}}"#);
            let time = time("2021-01-01T00:00:00Z");
            assert_eq!(of(&line), Some(Place { time, sequence: None }), "{own}");
        }
        assert_eq!(of(r#"{"sequence":"7"}"#), Some(Place::default()), "not as a journal writes it");
    }

    #[test]
    fn a_line_that_cannot_be_read_for_certain_has_no_place() {
        let twice = r#"{"time":"2020-01-01T00:00:00Z","time":"2021-01-01T00:00:00Z"}"#;
        for line in ["", "[]", r#"{"time":"2020-01-01T00:00:00Z""#, twice] {
            assert_eq!(Place::of(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Place::of(b"{\"a\":\"\xff\"}"), None);
    }
}
