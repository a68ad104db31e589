//! The event format against other projects' documents, read from the shared data directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringpost::Sequence;
use ringpost::event::json::{self, Checksum, Elements, Limits};
use ringpost::event::{Event, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The file, or none where the data is not there and nobody insists on it.
fn shared(path: &str) -> Option<Vec<u8>> {
    let full = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(path);
    match std::fs::read(&full) {
        Ok(bytes) => Some(bytes),
        Err(error) if std::env::var_os("RINGPOST_REQUIRE_SHARED").is_some() => {
            panic!("{}: {error}", full.display())
        }
        Err(_) => {
            eprintln!("skipped: {} not present", full.display());
            None
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Event, json::DecodeError> {
    json::decode(bytes, &Limits::default())
}

#[derive(Deserialize)]
struct Expected {
    file: String,
    test: Option<String>,
    r#as: String,
    expect: String,
}

fn expectations(path: &str) -> Option<Vec<Expected>> {
    let lines = String::from_utf8(shared(path)?).expect("UTF-8");
    Some(lines.lines().map(|line| serde_json::from_str(line).expect("an expectation")).collect())
}

/// A test of the official format tests: its event or batch as text.
fn conformance_test(file: &[u8], id: &str) -> String {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        tests: Vec<Test<'a>>,
    }
    #[derive(Deserialize)]
    struct Test<'a> {
        id: String,
        #[serde(borrow)]
        event: Option<&'a RawValue>,
        #[serde(borrow)]
        batch: Option<&'a RawValue>,
    }
    let file: File<'_> = serde_json::from_slice(file).expect("a file of tests");
    let test = file.tests.iter().find(|test| test.id == id).expect("the test");
    test.event.or(test.batch).expect("an event or a batch").get().to_owned()
}

fn decode_batch(bytes: &[u8]) -> Result<Vec<Event>, Box<dyn std::error::Error>> {
    let mut elements = Elements::new(bytes, Limits::default());
    let mut events = Vec::new();
    while let Some(element) = elements.next_element()? {
        events.push(decode(element)?);
    }
    Ok(events)
}

#[test]
fn other_projects_events_are_accepted_or_refused_as_their_tables_say() {
    let Some(expected) = expectations("cloudevents/expected.jsonl") else { return };
    assert_eq!(expected.len(), 40);
    for expected in expected {
        let file = shared(&format!("cloudevents/{}", expected.file)).expect("the table's file");
        let text = match &expected.test {
            Some(id) => conformance_test(&file, id).into_bytes(),
            None => file,
        };
        let name = format!("{} {:?}", expected.file, expected.test);
        let accepted = match expected.r#as.as_str() {
            "cloudevent-batch" => decode_batch(&text).is_ok(),
            _ => decode(&text).is_ok(),
        };
        match expected.expect.as_str() {
            "accept" => assert!(accepted, "{name}: {:?}", decode(&text)),
            // Where the table leaves the choice, ringpost refuses.
            "refuse" | "refuse-or-documented-leniency" => assert!(!accepted, "{name}"),
            other => panic!("{name}: unknown expectation {other}"),
        }
    }
}

#[test]
fn the_official_sample_events_have_the_stated_values() {
    let Some(file) = shared("cloudevents/conformance-format/valid-events.json") else { return };
    let event = |id: &str| decode(conformance_test(&file, id).as_bytes()).expect(id);
    for id in ["validMinimalWithTimeToNanosecondsUtc", "validMinimalWithTimeUsingNegativeOffset"] {
        assert_eq!(event(id).time(), Some(Timestamp::parse("2018-04-05T17:31:00Z").unwrap()));
    }
    let core = event("validAllCoreAttributes");
    assert_eq!((core.subject(), core.data()), (Some("tests"), None));
    assert_eq!(core.schema(), Some("https://cloudevents.io/dataschema"));
    assert_eq!(
        event("validSimpleTextData").data(),
        Some(ringpost::event::Data::Text("Simple text".into()))
    );
}

#[test]
fn the_specifications_own_examples_are_events() {
    #[derive(Deserialize)]
    struct Example<'a> {
        is_cloudevent: bool,
        #[serde(borrow)]
        json: &'a RawValue,
    }
    let Some(lines) = shared("cloudevents/spec-json-examples.jsonl") else { return };
    let mut accepted = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let example: Example<'_> = serde_json::from_slice(line).expect("an example");
        let text = example.json.get();
        // Not every one is complete: some stand for a payload by "... text ...".
        let complete = example.is_cloudevent && !text.contains("...");
        if complete {
            round_trip(&decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")));
            accepted += 1;
        }
    }
    assert!(accepted >= 15, "only {accepted} examples were complete");
}

#[test]
fn strings_of_formats_are_valid_as_their_tables_say() {
    #[derive(Deserialize)]
    struct Case {
        data: String,
        valid: bool,
    }
    for (file, attribute) in
        [("date-time", "time"), ("uri-reference", "source"), ("uri", "dataschema")]
    {
        let Some(lines) = shared(&format!("string-formats/{file}.jsonl")) else { return };
        for line in String::from_utf8(lines).expect("UTF-8").lines() {
            let case: Case = serde_json::from_str(line).expect("a case");
            let mut event = serde_json::json!({
                "specversion": "1.0", "id": "1", "source": "/", "type": "t",
            });
            event[attribute] = case.data.clone().into();
            let decoded = decode(event.to_string().as_bytes());
            assert_eq!(decoded.is_ok(), case.valid, "{attribute} {:?}: {decoded:?}", case.data);
        }
    }
}

/// A torture file as the value of `data`, then as an event of its own.
#[test]
fn torn_json_is_refused_and_valid_json_kept_wherever_it_stands() {
    let Some(expected) = expectations("json-torture/expected.jsonl") else { return };
    let mut counts = BTreeMap::new();
    for Expected { file, expect, .. } in expected {
        let bytes = shared(&format!("json-torture/{file}")).expect("the table's file");
        let _ = decode(&bytes);
        let _ = json::decode_record(&bytes, &Limits::default());
        let mut line = br#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":"#.to_vec();
        line.extend_from_slice(&bytes);
        line.push(b'}');
        let decoded = decode(&line);
        match expect.as_str() {
            "accept" => {
                let event = decoded.unwrap_or_else(|error| panic!("{file}: {error}"));
                let text = String::from_utf8(bytes).expect("UTF-8");
                let kept = text.trim_matches([' ', '\t', '\r', '\n']).replace(['\r', '\n'], " ");
                if kept == "null" {
                    assert_eq!(event.data(), None, "{file}");
                } else {
                    assert_eq!(event.data(), Some(ringpost::event::Data::Json(&kept)), "{file}");
                }
                round_trip(&event);
            }
            "refuse" => assert!(decoded.is_err(), "{file} was accepted as {decoded:?}"),
            // Numbers of any size are kept as they are written, the rest is refused.
            "either" => {
                let is_number = file.contains("i_number_");
                assert_eq!(decoded.is_ok(), is_number, "{file}: {decoded:?}");
            }
            other => panic!("{file}: unknown expectation {other}"),
        }
        *counts.entry(expect).or_insert(0) += 1;
    }
    assert!(counts["accept"] > 40 && counts["refuse"] > 80, "{counts:?}");
}

#[test]
fn every_real_event_survives_the_journals_line_byte_for_byte() {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
        id: String,
        r#type: String,
    }
    let Some(lines) = shared("events.jsonl") else { return };
    let mut count = 0;
    let mut record = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        count += 1;
        let event = decode(line).unwrap_or_else(|error| panic!("line {count}: {error}"));
        record.clear();
        json::encode_record(&event, Sequence::new(count), &mut record);
        let read = json::decode_record(&record, &Limits::default()).expect("our own line");
        assert_eq!(read.event, event, "line {count}");
        assert_eq!(read.sequence, Some(Sequence::new(count)));
        assert_eq!(read.checksum, Checksum::Valid);

        let (before, after): (Line<'_>, Line<'_>) =
            (serde_json::from_slice(line).unwrap(), serde_json::from_slice(&record).unwrap());
        assert_eq!(before.data.get(), after.data.get(), "line {count}");
        assert_eq!((before.id.as_str(), before.r#type.as_str()), (event.id(), event.kind()));
    }
    assert_eq!(count, 10_911);
}

fn round_trip(event: &Event) {
    let mut record = Vec::new();
    json::encode_record(event, Sequence::FIRST, &mut record);
    assert_eq!(record.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(!record.contains(&b'\r'));
    let read = json::decode_record(&record, &Limits::default()).expect("our own line");
    assert_eq!((&read.event, read.checksum), (event, Checksum::Valid));
    let mut line = Vec::new();
    json::encode(event, &mut line);
    assert_eq!(&decode(&line).expect("our own event"), event);
}
