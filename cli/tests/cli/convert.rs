//! `convert`: each form in and out, what is told apart, what is lost, and what is bad.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Ended, Place, event, events};

const VICTOR: &str =
    r#"{"category":"tool","name":"call.end","timestamp":"2025-01-02T03:04:05Z","data":{"n":1.0 }}"#;
const VIDURAI: &str = r#"{"id":"7","type":"terminal.command","timestamp":"2025-01-02 03:04:05.5","source":"cli","project_path":"/p","payload":{"n":1.0 }}"#;
const CONTEXTFORGE: &str = r#"{"type":"llm.response","source":"llm","trace_id":"req-1","timestamp":"2025-01-02T03:04:05Z","payload":{"n":1.0 }}"#;
const DATAKNOBS: &str = r#"{"event_id":"9","type":"updated","topic":"registry:bots","timestamp":"2025-01-02T03:04:05Z","source":"reg","correlation_id":"c","payload":{"n":1.0 },"metadata":{"user":"u","Not_Legal":[1.0]}}"#;
const SEEDS: [(&str, &str); 4] = [
    ("victor", VICTOR),
    ("vidurai", VIDURAI),
    ("contextforge", CONTEXTFORGE),
    ("dataknobs", DATAKNOBS),
];

fn convert(to: &str, rest: &[&str], input: &str) -> Ended {
    Place::new().feed(&[&["convert", "--to", to], rest].concat(), input)
}

fn done(ended: Ended) -> String {
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    ended.out
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn each_shape_comes_back_as_it_was_by_way_of_every_cloudevents_form() {
    for (name, text) in SEEDS {
        for middle in ["ringpost", "cloudevents", "batch"] {
            let out = done(convert(middle, &[], text));
            assert!(out.contains(r#""data":{"n":1.0 }"#), "{out}");
            let mut back = convert(name, &[], &out);
            back.out =
                back.out.replace(".000000000Z", "Z").replace("T03:04:05.500000000Z", " 03:04:05.5");
            // A record's place in its journal is an extension, and those are metadata there.
            back.out = back.out.replace(r#","sequence":"00000000000000000001""#, "");
            assert_eq!(value(&back.out), value(text), "{name} by way of {middle}: {back:?}");
            assert!(back.out.contains(r#"{"n":1.0 }"#), "{}", back.out);
        }
    }
}

#[test]
fn every_pair_of_shapes_keeps_the_payload_byte_for_byte() {
    for (from, text) in SEEDS {
        for (to, _) in SEEDS {
            let ended = convert(to, &["--from", from], text);
            assert_eq!(ended.code, Some(0), "{from} to {to}: {ended:?}");
            assert!(ended.out.contains(r#"{"n":1.0 }"#), "{from} to {to}: {ended:?}");
            let again = convert("cloudevents", &[], &ended.out);
            assert_eq!((again.code, &*again.err), (Some(0), ""), "{from} to {to}: {again:?}");
        }
    }
}

#[test]
fn each_member_goes_where_the_field_map_says() {
    let read = |text| value(&done(convert("cloudevents", &[], text)));
    let victor = read(VICTOR);
    assert_eq!((&victor["type"], &victor["category"]), (&json!("tool.call.end"), &json!("tool")));
    assert_eq!(victor["source"], "ringpost:unknown");
    let vidurai = read(VIDURAI);
    assert_eq!((&vidurai["id"], &vidurai["projectpath"]), (&json!("7"), &json!("/p")));
    assert_eq!(vidurai["time"], "2025-01-02T03:04:05.500000000Z");
    assert_eq!(read(CONTEXTFORGE)["traceid"], "req-1");
    let dataknobs = read(DATAKNOBS);
    assert_eq!((&dataknobs["id"], &dataknobs["topic"]), (&json!("9"), &json!("registry:bots")));
    assert_eq!((&dataknobs["correlationid"], &dataknobs["user"]), (&json!("c"), &json!("u")));
    assert_eq!(dataknobs["metadata"], r#"{"Not_Legal":[1.0]}"#);
    let local = done(convert("cloudevents", &["--naive-tz", "+02:00"], VIDURAI));
    assert_eq!(value(&local)["time"], "2025-01-02T01:04:05.500000000Z");
}

#[test]
fn mixed_inputs_are_told_apart_object_by_object() {
    let input = format!("{VICTOR}\n[{VIDURAI},{CONTEXTFORGE}]\n{DATAKNOBS}\n{}\n", event(1, "t"));
    let out = done(convert("batch", &[], &input));
    let all = value(&out);
    let types: Vec<_> = all.as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["tool.call.end", "terminal.command", "llm.response", "updated", "t"]);
}

#[test]
fn an_ambiguous_object_is_refused_until_from_says_what_it_is() {
    let text = r#"{"id":"1","type":"a.b","topic":"x","source":"s","payload":1,"trace_id":"q"}"#;
    let ended = convert("cloudevents", &[], text);
    assert_eq!((ended.code, &*ended.out), (Some(4), ""));
    assert!(ended.err.contains("ambiguous: vidurai or contextforge or dataknobs"), "{ended:?}");
    assert_eq!(value(&done(convert("cloudevents", &["--from", "dataknobs"], text)))["topic"], "x");
    let other = convert("cloudevents", &["--from", "victor"], &event(1, "t"));
    assert!(other.code == Some(4) && other.err.contains("--from says victor"), "{other:?}");
}

#[test]
fn a_batch_of_none_one_and_many_is_one_array() {
    for count in [0, 1, 300] {
        let out = done(convert("batch", &[], &events(count, "t")));
        assert_eq!(value(&out).as_array().unwrap().len(), count);
        let lines = done(convert("cloudevents", &["--from", "batch"], &out));
        assert_eq!(lines.lines().count(), count);
    }
}

#[test]
fn bad_lines_are_told_with_their_number_and_the_rest_is_converted() {
    let input = format!("{}\n{}{}\n", event(1, "t"), "nonsense\n".repeat(12), event(2, "t"));
    let ended = convert("batch", &[], &input);
    assert_eq!(ended.code, Some(4));
    assert_eq!(value(&ended.out).as_array().unwrap().len(), 2);
    assert!(ended.err.starts_with("<stdin>:2: ") && ended.err.contains("<stdin>:11: "));
    assert!(ended.err.contains("and 2 more lines") && !ended.err.contains("<stdin>:12"));
    let strict = convert("batch", &["--strict"], &input);
    assert_eq!(strict.code, Some(1));
    assert_eq!(value(&strict.out).as_array().unwrap().len(), 1);
}

#[test]
fn what_has_no_place_is_counted_and_under_strict_an_error() {
    let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"a.b","subject":"x","data_base64":"AAE="}"#;
    let ended = convert("dataknobs", &[], text);
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err.contains("no place for: data_base64 (1 events), subject (1 events)"),
        "{ended:?}"
    );
    let strict = convert("dataknobs", &["--strict"], text);
    assert_eq!((strict.code, &*strict.out), (Some(1), ""));
    assert!(strict.err.contains("<stdin>:1: dataknobs has no place for"), "{strict:?}");
}

#[test]
fn a_time_of_recording_that_is_none_is_kept_aside_or_told_and_never_dropped() {
    let text =
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","recordedtime":"yesterday"}"#;
    for to in ["ringpost", "cloudevents", "dataknobs"] {
        let ended = convert(to, &[], text);
        assert_eq!(ended.code, Some(0));
        assert!(ended.err.contains("no place for: recordedtime (1 events)"), "{to}: {ended:?}");
        assert_eq!(convert(to, &["--strict"], text).code, Some(1), "{to}");
    }
    // Another bus's metadata of that name is its own affair, and comes back.
    let known = r#"{"event_id":"9","type":"updated","topic":"t","timestamp":"2025-01-02T03:04:05Z","source":"reg","payload":1,"metadata":{"recordedtime":"yesterday"}}"#;
    for to in ["ringpost", "cloudevents"] {
        let there = done(convert(to, &[], known));
        let back = done(convert("dataknobs", &[], &there));
        assert_eq!(value(&back)["metadata"]["recordedtime"], "yesterday", "{to}");
    }
}

#[test]
fn a_damaged_journal_line_is_refused() {
    let line = done(convert("ringpost", &[], &event(1, "t")));
    let damaged = convert("ringpost", &[], &line.replace("\"id\":\"1\"", "\"id\":\"2\""));
    assert!(damaged.code == Some(4) && damaged.err.contains("checksum"), "{damaged:?}");
}

#[test]
fn real_events_come_back_from_a_journals_form() {
    let input = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/events.jsonl"));
    if !input.exists() {
        let required = std::env::var_os("RINGPOST_REQUIRE_SHARED").is_some();
        assert!(!required, "{} is required", input.display());
        eprintln!("skipped: {} not present", input.display());
        return;
    }
    let place = Place::new();
    let plain = done(place.run(&["convert", "--to", "cloudevents", input.to_str().unwrap()]));
    assert_eq!(plain.lines().count(), fs::read_to_string(input).unwrap().lines().count());
    let record = done(place.feed(&["convert", "--to", "ringpost"], &plain));
    assert_eq!(place.feed(&["verify", "-"], &record).code, Some(0));
    let back = done(place.feed(&["convert", "--to", "batch"], &record));
    for (number, (was, is)) in plain.lines().zip(back.lines()).enumerate() {
        let is = is.trim_start_matches(['[', ',']);
        let sequence = format!(",\"sequence\":\"{:020}\"", number + 1);
        assert_eq!(is.replace(&sequence, ""), was);
    }
}

#[test]
fn behind_the_last_sequence_there_is_no_event_can_be_numbered() {
    let last = (1_u64 << 62) - 1;
    let event = |id: u32, more: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"t\"{more}}}\n"
        )
    };
    let numbered = event(1, &format!(",\"sequence\":\"{last:020}\""));
    let ended = convert("ringpost", &[], &(numbered.clone() + &event(2, "")));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("the last sequence there is"), "{ended:?}");
    assert!(done(convert("ringpost", &[], &numbered)).contains(&format!("{last:020}")));
}
