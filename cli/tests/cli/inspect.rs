//! `stats` and `verify`: what they count, and what they call damage.

use std::fs;

use serde_json::json;

use crate::support::{Place, event, events, segments, stored};

const STATS: [&str; 11] = [
    "events",
    "bytes",
    "segments",
    "first",
    "last",
    "first_sequence",
    "last_sequence",
    "types",
    "topics",
    "sources",
    "damaged",
];
const VERIFY: [&str; 7] =
    ["records", "valid", "unchecked", "damaged", "torn_bytes", "gaps", "duplicates"];

fn journal(count: usize) -> Place {
    let place = Place::new();
    let ended = place.feed(&["pub", "--journal", "j"], &events(count, "a.b"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place
}

/// Changes the journal's only segment.
fn change(place: &Place, edit: impl FnOnce(Vec<&str>) -> String) {
    let segment = &segments(&place.path("j"))[0];
    let text = fs::read_to_string(segment).unwrap();
    fs::write(segment, edit(text.lines().collect())).unwrap();
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn stats_count_what_is_there() {
    let place = journal(3);
    let text = r#"{"specversion":"1.0","id":"x","source":"s","type":"t","topic":"u","time":"2001-02-03T04:05:06Z"}"#;
    place.feed(&["pub", "--journal", "j"], text);
    let ended = place.run(&["stats", "j", "--json"]);
    assert_eq!((ended.code, ended.keys()), (Some(0), STATS.map(String::from).to_vec()));
    let stats = ended.json();
    assert_eq!((&stats["events"], &stats["segments"]), (&json!(4), &json!(1)));
    assert_eq!(stats["bytes"], json!(stored(&place.path("j")).len()));
    assert_eq!((&stats["first_sequence"], &stats["last_sequence"]), (&json!(1), &json!(4)));
    assert_eq!(stats["first"], "2001-02-03T04:05:06.000000000Z");
    assert!(stats["last"].as_str() > Some("2026"), "the others count by when they were recorded");
    assert_eq!(stats["types"], json!({"a.b": 3, "t": 1}));
    assert_eq!(stats["topics"], json!({"a.b": 3, "u": 1}));
    assert_eq!(stats["sources"], json!({"test": 3, "s": 1}));
    assert_eq!(stats["damaged"], 0);
    let table = place.run(&["stats", "j"]);
    assert!(
        table.out.contains("events     4\n") && table.out.contains("3  a.b\n"),
        "{}",
        table.out
    );
    assert_eq!(table.err, "");
}

#[test]
fn an_empty_journal_has_no_first_and_no_last() {
    let place = journal(0);
    let stats = place.run(&["stats", "j", "--json"]).json();
    assert_eq!((&stats["events"], &stats["first"]), (&json!(0), &json!(null)));
    assert_eq!((&stats["last_sequence"], &stats["types"]), (&json!(null), &json!({})));
    let found = place.run(&["verify", "j", "--json"]);
    assert_eq!((found.code, &found.json()["records"]), (Some(0), &json!(0)));
    let found = place.run(&["verify", "j"]).out;
    assert!(found.ends_with("there is no record\n"), "nor is anything known to be right: {found}");
}

#[test]
fn verify_finds_nothing_wrong_with_a_whole_journal() {
    let place = journal(5);
    let before = stored(&place.path("j"));
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!((ended.code, ended.keys()), (Some(0), VERIFY.map(String::from).to_vec()));
    let expected = json!({"records": 5, "valid": 5, "unchecked": 0, "damaged": 0, "torn_bytes": 0,
        "gaps": [], "duplicates": 0});
    assert_eq!(ended.json(), expected);
    assert!(place.run(&["verify", "j"]).out.ends_with("nothing is wrong\n"));
    assert_eq!(stored(&place.path("j")), before);
}

#[test]
fn verify_finds_a_changed_byte_and_says_where() {
    let place = journal(5);
    change(&place, |lines| joined(&lines).replacen("\"id\":\"3\"", "\"id\":\"4\"", 1));
    let offset: usize = stored(&place.path("j")).lines().take(2).map(|line| line.len() + 1).sum();
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!(ended.code, Some(4));
    let found = ended.json();
    assert_eq!((&found["damaged"], &found["valid"]), (&json!(1), &json!(4)));
    assert!(
        ended.err.contains(&format!("00000000000000000001.jsonl: byte {offset}, ")),
        "{}",
        ended.err
    );
    let stats = place.run(&["stats", "j", "--json"]);
    assert_eq!((stats.code, &stats.json()["damaged"]), (Some(4), &json!(1)));
    assert_eq!(stats.json()["events"], 4);
}

#[test]
fn verify_tells_the_first_ten_damages_and_counts_the_rest() {
    let place = journal(150);
    change(&place, |lines| joined(&lines).replace("\"n\":1.0", "\"n\":2.0"));
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!((ended.code, &ended.json()["damaged"]), (Some(4), &json!(150)));
    let told: Vec<_> = ended.err.lines().collect();
    assert_eq!((told.len(), told[10]), (11, "... and 140 more damaged lines"));
}

#[test]
fn verify_finds_gaps_repeats_and_a_torn_end() {
    let place = journal(6);
    change(&place, |lines| joined(&[lines[0], lines[3], lines[5]]));
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!(ended.code, Some(4));
    assert_eq!(ended.json()["gaps"], json!([{"from": 2, "to": 3}, {"from": 5, "to": 5}]));
    change(&place, |lines| joined(&[lines[0], lines[0]]));
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!((ended.code, &ended.json()["duplicates"]), (Some(4), &json!(1)));
    change(&place, |lines| format!("{}\n{}", lines[0], &lines[0][..20]));
    let ended = place.run(&["verify", "j", "--json"]);
    assert_eq!((ended.code, &ended.json()["torn_bytes"]), (Some(4), &json!(20)));
}

#[test]
fn repair_sets_a_torn_end_aside_and_changes_nothing_else() {
    let place = journal(4);
    change(&place, |lines| format!("{}{}", joined(&lines[..3]), &lines[3][..20]));
    assert_eq!(place.run(&["verify", "j"]).code, Some(4));
    let ended = place.run(&["verify", "j", "--repair", "--json"]);
    assert_eq!((ended.code, &ended.json()["torn_bytes"]), (Some(0), &json!(0)), "{ended:?}");
    assert_eq!((ended.json()["valid"].as_u64(), ended.err.lines().count()), (Some(3), 1));
    assert!(ended.err.contains("warning: ") && ended.err.contains("moved to"), "{}", ended.err);
    let kept = fs::read_dir(place.path("j")).unwrap().map(|file| file.unwrap().path());
    let kept: Vec<_> = kept.filter(|file| file.to_string_lossy().contains("torn")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap().len(), 20);
    // What is damaged inside stays, and stays told.
    change(&place, |lines| joined(&lines).replacen("\"id\":\"2\"", "\"id\":\"9\"", 1));
    let before = stored(&place.path("j"));
    let ended = place.run(&["verify", "j", "--repair", "--json"]);
    assert_eq!((ended.code, &ended.json()["damaged"]), (Some(4), &json!(1)));
    assert_eq!(stored(&place.path("j")), before);
}

#[test]
fn repair_is_for_journals_that_are_there() {
    let place = Place::new();
    place.write("in.jsonl", events(1, "a"));
    assert!(place.fails(&["verify", "in.jsonl", "--repair"], 2).contains("--repair"));
    place.fails(&["verify", "missing", "--repair"], 1);
    assert!(!place.path("missing").exists());
    // Nothing is made where no journal is.
    fs::create_dir(place.path("other")).unwrap();
    for name in ["", "notes.jsonl", "1.jsonl"] {
        if !name.is_empty() {
            place.write(&format!("other/{name}"), "not a journal's\n");
        }
        let ended = place.run(&["verify", "other", "--repair"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!place.path("other/lock").exists());
    }
}

#[test]
fn plain_files_and_standard_input_are_read_and_their_lines_unchecked() {
    let place = Place::new();
    let text = format!("{}\n{}\n", event(1, "a"), event(2, "b"));
    place.write("in.jsonl", &text);
    let expected = json!({"records": 2, "valid": 0, "unchecked": 2, "damaged": 0, "torn_bytes": 0,
        "gaps": [], "duplicates": 0});
    for ended in [
        place.run(&["verify", "in.jsonl", "--json"]),
        place.feed(&["verify", "-", "--json"], &text),
        place.feed(&["verify", "--journal", "-", "--json"], &text),
    ] {
        assert_eq!((ended.code, ended.json()), (Some(0), expected.clone()));
    }
    let stats = place.feed(&["stats", "-", "--json"], &text).json();
    assert_eq!((&stats["events"], &stats["last_sequence"]), (&json!(2), &json!(null)));
}

#[test]
fn what_cannot_be_read_fails_and_what_was_not_named_is_usage() {
    let place = Place::new();
    for verb in ["stats", "verify", "tail"] {
        let told = place.fails(&[verb, "missing"], 1);
        assert!(told.starts_with("error: cannot read missing: there is nothing there"), "{told}");
        assert!(place.fails(&[verb], 2).contains("no journal was named"));
        assert!(place.fails(&[verb, "memory:"], 2).contains("memory"));
    }
}
