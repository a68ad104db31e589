//! What is read at a glance, with the decoder as its oracle.
#![forbid(unsafe_code)]

use super::*;
use crate::event::EventBuilder;
use crate::event::json::decode::read_all;
use crate::event::json::encode_record;
use proptest::prelude::*;

const DEPTH: u32 = 127;

/// What is read at a glance, alone or among other lines.
fn look(line: &str, depth: u32, home: Option<Home<'_>>) -> Option<(Event, Marks)> {
    // What was in the event before leaves no trace.
    let mut event = full().raw_json("[0]").expires_at(Timestamp::now()).build().unwrap();
    glance(line, depth, home, &mut event).map(|marks| (event, marks))
}

/// A line is read at a glance as the decoder reads it, or not at all, wherever it lies.
fn agrees(line: &str) -> Result<bool, TestCaseError> {
    let text: Arc<str> = format!("{line}\né{line}\n{line}").into();
    let home = (&text, line.len() + "\né".len());
    let (alone, among) = (look(line, DEPTH, None), look(line, DEPTH, Some(home)));
    prop_assert_eq!(alone.is_some(), among.is_some());
    let is_seen = alone.is_some();
    for (event, marks) in [alone, among].into_iter().flatten() {
        let (read, expected) = match read_all(line, DEPTH) {
            Ok(read) => read,
            Err(error) => return Err(TestCaseError::fail(format!("{line} is none: {error}"))),
        };
        prop_assert_eq!(marks.sequence, expected.sequence);
        prop_assert_eq!(marks.has_checksum, expected.has_checksum);
        same(&event, &read)?;
        same(&event.clone(), &read)?;
        // As a bus changes an event that it finds in a handler, and one that comes back changed.
        let (mut changed, mut other) = (event, read);
        for event in [&mut changed, &mut other] {
            if event.causation_id().is_none() && event.extension("causationid").is_none() {
                event.put(Field::Causation, "cause").unwrap();
            }
            event.arrange();
        }
        same(&changed, &other)?;
    }
    Ok(is_seen)
}

fn same(seen: &Event, read: &Event) -> Result<(), TestCaseError> {
    prop_assert_eq!(seen, read);
    prop_assert_eq!(seen.to_string(), read.to_string());
    prop_assert_eq!(seen.data(), read.data());
    prop_assert_eq!(seen.attributes().members(), read.attributes().members());
    prop_assert_eq!(record(seen), record(read));
    Ok(())
}

fn record(event: &Event) -> String {
    let mut line = Vec::new();
    encode_record(event, Sequence::new(7), &mut line);
    line.pop();
    String::from_utf8(line).unwrap()
}

/// With every field, both times, extensions of each type and a payload.
fn full() -> EventBuilder {
    let time = Timestamp::parse("2026-03-14T09:15:26.5Z").unwrap();
    Event::builder("a.b")
        .id("i")
        .source("urn:x")
        .topic("t/é")
        .subject("sü bject")
        .schema("http://x/y")
        .correlation_id("c")
        .causation_id("")
        .trace_id("7")
        .traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .tracestate("a=1")
        .key("k")
        .time(time)
        .expires_at(time)
        .extension("area", "x y")
        .extension("n1", -7)
        .extension("yes", true)
        .raw_json(r#"{"a":[1,-0.5e+3,"\u00e9\"",null,{}],"b":{"c":[[]]}}"#)
}

#[test]
fn a_journals_own_lines_are_read_at_a_glance() {
    let mut event = full().build().unwrap();
    assert!(agrees(&event.to_string()).unwrap(), "not recorded yet");
    assert!(agrees(&record(&event)).unwrap());
    event.put_recorded_at(event.time());
    assert!(agrees(&record(&event)).unwrap());
    for bytes in [&b""[..], b"a", b"abc"] {
        assert!(agrees(&record(&full().binary(bytes).build().unwrap())).unwrap());
    }
    let least = Event::builder("t").id("1").source("").build();
    assert!(least.is_err(), "a source is needed");
    let least = Event::builder("t").id("1").source("/").without_time().build().unwrap();
    assert!(agrees(&record(&least)).unwrap() && agrees(&least.to_string()).unwrap());
}

#[test]
fn what_stands_otherwise_is_left_to_the_decoder() {
    let line = record(&full().build().unwrap());
    let end = line.len() - 1;
    for (from, to) in [
        ("\"id\":\"i\"", "\"id\":\"\\u0069\""),
        (":\"i\",", ": \"i\","),
        ("\"id\":\"i\",", ""),
        ("\"topic\":\"t/é\"", "\"topic\":\"a.b\""),
        ("26.500000000Z", "26.5Z"),
        ("\"n1\":-7", "\"n1\":null"),
        ("\"area\":\"x y\",\"n1\":-7", "\"n1\":-7,\"area\":\"x y\""),
        ("\"n1\":-7", "\"area\":-7"),
        ("\"n1\":-7", "\"causationid\":7"),
        ("\"n1\":-7", "\"sequence\":\"7\""),
        ("{\"a\":[1,", "{\"a\":[1,,"),
        ("00000000000000000007", "00000000000000000000"),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        assert!(look(&changed, DEPTH, None).is_none(), "{changed}");
    }
    assert!(look(&format!("{line} "), DEPTH, None).is_none());
    assert!(look(&line[..end], DEPTH, None).is_none());
    assert!(look(&line, 3, None).is_none(), "as deep as it may be, and deeper");
    assert!(look(&line, 4, None).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    /// Pieces of lines in other places, and bytes that mean something.
    #[test]
    fn whatever_is_done_to_a_line_it_is_read_as_the_decoder_does(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..40_usize,
            prop::sample::select(vec!["", "\"", ",", "\\", "}", "null", " ", "é", "\u{7f}", "0", "60", "Z", "+", "[", "\r", "\u{1}", "\"x\":1,"])),
            1..4),
    ) {
        let mut line = record(&full().build().unwrap());
        for (at, from, len, more) in edits {
            let floor = |at: usize, line: &str| (0..=at).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            let from = floor(from.index(line.len()), &line);
            let end = floor((from + len).min(line.len()), &line);
            let piece = format!("{}{more}", &line[from.min(end)..end]);
            let at = floor(at.index(line.len()), &line);
            let cut = floor((at + len % 5).min(line.len()), &line);
            line.replace_range(at.min(cut)..cut, &piece);
        }
        agrees(&line)?;
    }
}
