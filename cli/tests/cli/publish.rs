//! `pub`: what it reads, counts, prints and stores.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::{Place, Running, attributes, ended, event, events, stored};

const KEYS: [&str; 11] = [
    "read",
    "published",
    "rejected",
    "delivered",
    "dropped",
    "journaled",
    "durable",
    "elapsed_s",
    "events_per_s",
    "latency_us",
    "types",
];

#[test]
fn every_line_is_published_stored_and_counted() {
    let place = Place::new();
    let text = format!("{}\n\n{}\n{}", event(1, "a.b"), event(2, "a.b"), event(3, "c"));
    place.write("in.jsonl", text);
    let ended = place.run(&["pub", "in.jsonl", "--journal", "j", "--fsync", "batch", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.err, "");
    assert_eq!(ended.keys(), KEYS);
    let summary = ended.json();
    for key in ["read", "published", "journaled", "durable"] {
        assert_eq!(summary[key], 3, "{key}");
    }
    for key in ["rejected", "delivered", "dropped"] {
        assert_eq!(summary[key], 0, "{key}");
    }
    assert_eq!(summary["types"], json!({"a.b": 2, "c": 1}));
    let latency = &summary["latency_us"];
    assert!(
        latency["p50"].as_f64() > Some(0.0) && latency["p50"].as_f64() <= latency["max"].as_f64()
    );
    assert!(latency["p99"].is_number() && latency["p999"].is_number(), "{latency}");
    assert!(
        summary["elapsed_s"].as_f64() > Some(0.0) && summary["events_per_s"].as_f64() > Some(0.0)
    );
    assert_eq!(attributes(&stored(&place.path("j")), "id"), ["1", "2", "3"]);
}

#[test]
fn without_a_journal_nothing_is_stored_and_nothing_measured() {
    let place = Place::new();
    let ended = place.feed(&["pub", "--json"], &events(2, "a"));
    let summary = ended.json();
    assert_eq!((&summary["published"], &summary["journaled"]), (&json!(2), &json!(0)));
    assert_eq!((&summary["durable"], &summary["latency_us"]), (&json!(0), &json!(null)));
    assert_eq!(ended.keys(), KEYS);
    let memory = place.feed(&["pub", "--journal", "memory:", "--json"], &events(2, "a")).json();
    assert_eq!((&memory["journaled"], &memory["durable"]), (&json!(2), &json!(0)));
}

#[test]
fn nothing_to_publish_is_fine() {
    let place = Place::new();
    for input in ["", "\n \n", "[]", "[]\n", " []\n\n"] {
        let ended = place.feed(&["pub", "-", "--json"], input);
        assert_eq!((ended.code, &ended.json()["read"]), (Some(0), &json!(0)), "{input:?}");
    }
}

#[test]
fn the_summary_for_people_goes_to_standard_error() {
    let ended = Place::new().feed(&["pub", "--journal", "j"], &events(3, "a"));
    assert_eq!((ended.code, &*ended.out), (Some(0), ""));
    assert!(ended.err.starts_with("3 events read, 3 published, 0 rejected in "), "{}", ended.err);
    assert!(ended.err.contains("\n3 journaled, 3 durable\n"), "{}", ended.err);
    assert!(!ended.err.contains(['\u{1b}', '\r']), "no bar and no colour here: {}", ended.err);
}

#[test]
fn what_is_no_event_is_counted_told_and_ends_the_run_with_4() {
    let place = Place::new();
    place.write("good.jsonl", event(1, "a"));
    place.write("bad.jsonl", format!("{}\nnonsense\n[{},7]\n", event(2, "a"), event(3, "a")));
    let ended = place.run(&["pub", "good.jsonl", "bad.jsonl", "--journal", "j", "--json"]);
    assert_eq!(ended.code, Some(4));
    let told: Vec<_> = ended.err.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("bad.jsonl:2: not JSON"), "{told:?}");
    assert_eq!(told[1], "bad.jsonl:3: not a JSON object");
    let summary = ended.json();
    assert_eq!((&summary["read"], &summary["published"]), (&json!(5), &json!(3)));
    assert_eq!((&summary["rejected"], &summary["journaled"]), (&json!(2), &json!(3)));
}

#[test]
fn the_first_ten_bad_lines_are_told_and_the_rest_counted() {
    let place = Place::new();
    let ended = place.feed(&["pub", "--json"], &"{\n".repeat(25));
    assert_eq!(ended.code, Some(4));
    let told: Vec<_> = ended.err.lines().collect();
    assert_eq!(told.len(), 11, "{told:?}");
    assert!(told[9].starts_with("<stdin>:10: "), "{told:?}");
    assert_eq!(told[10], "... and 15 more lines that are no events");
    assert_eq!(ended.json()["rejected"], 25);
}

#[test]
fn strict_stops_at_the_first_bad_line_and_keeps_what_came_before() {
    let place = Place::new();
    let text = format!("{}\nbad\n{}\n", event(1, "a"), event(2, "a"));
    let ended = place.feed(&["pub", "--strict", "--journal", "j", "--json"], &text);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.starts_with("<stdin>:2: ") && ended.err.contains("--strict"),
        "{}",
        ended.err
    );
    let summary = ended.json();
    assert_eq!((&summary["published"], &summary["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(attributes(&stored(&place.path("j")), "id"), ["1"]);
}

#[test]
fn a_topic_of_the_bus_itself_is_rejected_with_its_line() {
    let text = format!("{}\n{}\n", event(1, "a"), event(2, "$errors"));
    let ended = Place::new().feed(&["pub", "--json"], &text);
    assert_eq!(ended.code, Some(4));
    assert!(ended.err.starts_with("<stdin>:2: "), "{}", ended.err);
    let summary = ended.json();
    assert_eq!((&summary["read"], &summary["published"]), (&json!(2), &json!(1)));
    assert_eq!(summary["types"], json!({"a": 1}));
}

#[test]
fn arrays_batches_and_several_files_keep_their_order() {
    let place = Place::new();
    place.write("array.json", format!("[\n {},\n {}\n]\n", event(1, "a"), event(2, "a")));
    place.write(
        "lines.jsonl",
        format!("{}\n[{},{}]\n", event(3, "a"), event(4, "a"), event(5, "a")),
    );
    let ended = place.feed(
        &["pub", "array.json", "lines.jsonl", "-", "--journal", "j", "--json"],
        &format!("{}\r\n", event(6, "a")),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(attributes(&stored(&place.path("j")), "id"), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn plain_objects_become_the_data_of_events() {
    let place = Place::new();
    let text = "{\"Temperature\": 21.50, \"unit\":\"C\"}\n";
    let refused = place.feed(&["pub"], text);
    assert_eq!(refused.code, Some(4));
    assert!(refused.err.contains("--type"), "{}", refused.err);
    let made = place.feed(&["pub", "--type", "sensor.read", "--tap", "**"], text);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.out.contains("\"data\":{\"Temperature\": 21.50, \"unit\":\"C\"}"), "{}", made.out);
    let event: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!((&event["type"], &event["source"]), (&json!("sensor.read"), &json!("ringpost:pub")));
    assert_eq!(event["datacontenttype"], "application/json");
    assert_eq!(event["id"].as_str().map(str::len), Some(36));
    assert_eq!(event.get("time"), None, "a time is never invented");
    let named = place.feed(&["pub", "--type", "t", "--source", "/me", "--tap", "**"], text);
    assert_eq!(named.events("source"), ["/me"]);
    let wrong = place.fails(&["pub", "--type", "a..b"], 2);
    assert!(wrong.contains("type"), "{wrong}");
}

#[test]
fn taps_print_what_matches_in_the_journals_form() {
    let place = Place::new();
    let text = format!("{}\n{}\n{}\n", event(1, "a.b"), event(2, "c.d"), event(3, "a.c"));
    let ended = place.feed(&["pub", "--tap", "a.*", "--tap", "*.c", "--journal", "j"], &text);
    assert_eq!(ended.code, Some(0));
    // The last one matches both taps.
    assert_eq!(ended.events("id"), ["1", "3", "3"]);
    assert!(ended.err.contains("\n3 delivered, 0 dropped\n"), "{}", ended.err);
    let lines: Vec<_> = ended.out.lines().collect();
    let journal = stored(&place.path("j"));
    assert!(journal.lines().any(|line| line == lines[0]), "{}\n{journal}", lines[0]);
    let counted = place.feed(&["pub", "--tap", "a.*", "--json"], &text).json();
    assert_eq!((&counted["delivered"], &counted["dropped"]), (&json!(2), &json!(0)));
    assert!(counted["latency_us"]["p50"].is_number(), "{counted}");
    assert!(place.fails(&["pub", "--tap", "a..b"], 2).contains("a..b"));
}

#[test]
fn a_slow_tap_loses_nothing() {
    let place = Place::new();
    place.write("in.jsonl", events(20_000, "a"));
    let mut running = Running::start(&mut place.command(&["pub", "in.jsonl", "--tap", "**"]));
    // The pipe and the ring are full long before the input ends; only then is it read.
    let first = running.line();
    assert!(first.contains("\"id\":\"1\""), "{first}");
    let ended = running.end();
    let ids = ended.events("id");
    assert_eq!((ended.code, ids.len(), &*ids[19_998]), (Some(0), 19_999, "20000"));
}

#[test]
fn a_second_run_goes_on_with_the_sequence() {
    let place = Place::new();
    for _ in 0..2 {
        let ended = place.feed(&["pub", "--journal", "jsonl:j"], &events(3, "a"));
        assert_eq!(ended.code, Some(0));
    }
    let sequences = attributes(&stored(&place.path("j")), "sequence");
    let expected: Vec<_> = (1..=6).map(|number| format!("{number:020}")).collect();
    assert_eq!(sequences, expected);
}

#[test]
fn an_unfinished_last_record_is_mended_with_a_warning() {
    let place = Place::new();
    place.feed(&["pub", "--journal", "j"], &events(2, "a"));
    let segment = place.path("j/00000000000000000001.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, &text[..text.len() - 10]).unwrap();
    let ended = place.feed(&["pub", "--journal", "j", "--json"], &events(1, "a"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.err.starts_with("warning: ") && ended.err.contains("unfinished"),
        "{}",
        ended.err
    );
    let sequences = attributes(&stored(&place.path("j")), "sequence");
    assert_eq!(sequences, ["00000000000000000001", "00000000000000000002"]);
}

#[test]
fn never_syncing_makes_nothing_durable() {
    let place = Place::new();
    let arguments = ["pub", "--journal", "j", "--fsync", "never", "--json"];
    let summary = place.feed(&arguments, &events(3, "a")).json();
    assert_eq!((&summary["journaled"], &summary["durable"]), (&json!(3), &json!(0)));
    for policy in ["interval", "interval:200ms", "batch", "always"] {
        let arguments = ["pub", "--journal", "j", "--fsync", policy, "--json"];
        assert_eq!(place.feed(&arguments, &events(3, "a")).json()["durable"], 3, "{policy}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_before_anything_is_published() {
    let place = Place::new();
    place.write("in.jsonl", events(1, "a"));
    let told = place.fails(&["pub", "in.jsonl", "missing.jsonl", "--journal", "j"], 1);
    assert!(told.starts_with("error: cannot read missing.jsonl"), "{told}");
    assert!(!place.path("j").exists());
    assert!(place.fails(&["pub", "."], 1).contains("directory"));
}

#[test]
fn a_journal_has_one_writer() {
    let place = Place::new();
    let mut first = Running::start(
        place
            .command(&["pub", "--journal", "j", "--tap", "**"])
            .stdin(std::process::Stdio::piped()),
    );
    first.say(&event(1, "a"));
    assert!(first.line().contains("\"id\":\"1\""));
    let told = place.fails(&["pub", "--journal", "j"], 1);
    assert!(told.contains("another writer holds it"), "{told}");
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn a_disk_that_takes_nothing_fails_the_run_which_says_what_was_not_stored() {
    // No file may grow to hold one of these; the few are published before that is known.
    let large = |count| events(count, "a").replace("1.0}", &format!("\"{}\"}}", "x".repeat(4096)));
    for count in [3, 3000] {
        let place = Place::new();
        place.write("in.jsonl", large(count));
        let script = format!(
            "ulimit -f 1; exec {} pub in.jsonl --journal j --patience 200ms --json",
            env!("CARGO_BIN_EXE_ringpost")
        );
        let output = Command::new("sh").args(["-c", &script]).current_dir(place.path(".")).output();
        let ended = ended(output.unwrap());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("warning: the journal fails"), "{}", ended.err);
        assert!(ended.err.contains("\nerror: "), "{}", ended.err);
        let summary = ended.json();
        assert_eq!(summary["read"], summary["published"]);
        assert_eq!(summary["journaled"], 0, "{summary}");
        assert!(summary["published"].as_u64() > Some(0), "{summary}");
    }
}
