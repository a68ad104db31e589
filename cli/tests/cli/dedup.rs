//! `--dedup`: what comes twice is stored once, counted, and nothing else is left out.

use crate::support::{Place, event, events, stored};

fn ids(place: &Place, journal: &str) -> Vec<String> {
    crate::support::attributes(&stored(&place.path(journal)), "id")
}

#[test]
fn what_comes_twice_is_stored_once_and_counted() {
    let place = Place::new();
    let text = events(3, "a.b") + &events(5, "a.b") + &event(2, "another.type") + "\n";
    let ended = place.feed(&["pub", "--journal", "j", "--dedup", "100", "--json"], &text);
    assert_eq!(ended.code, Some(0), "leaving out is what was asked for: {ended:?}");
    let summary = ended.json();
    let figure = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!((figure("read"), figure("published"), figure("rejected")), (9, 5, 0));
    assert_eq!((figure("deduplicated"), figure("journaled")), (4, 5));
    assert_eq!(ids(&place, "j"), ["1", "2", "3", "4", "5"]);
    assert_eq!(place.run(&["verify", "j"]).code, Some(0), "no sequence is missing");
    // For people too; and without the option nothing is said or left out.
    let ended = place.feed(&["pub", "--dedup", "1h"], &text);
    assert!(ended.err.contains("4 seen before, and left out"), "{}", ended.err);
    let ended = place.feed(&["pub", "--json"], &text);
    assert!(!ended.out.contains("dedup"), "{}", ended.out);
    assert_eq!(ended.json()["published"], 9);
}

#[test]
fn a_run_that_is_made_again_goes_on_where_the_one_before_it_ended() {
    for window in ["1000", "1h"] {
        let place = Place::new();
        let again = ["pub", "--journal", "j", "--dedup", window, "--json"];
        let half = place.feed(&again, &events(2000, "a.b")).json();
        assert_eq!(
            (half["published"].as_u64(), half["deduplicated"].as_u64()),
            (Some(2000), Some(0))
        );
        // The last 1,000 of what is there, and 500 more.
        let rest: String =
            events(2500, "a.b").lines().skip(1000).map(|line| format!("{line}\n")).collect();
        let whole = place.feed(&again, &rest).json();
        assert_eq!(
            (whole["published"].as_u64(), whole["deduplicated"].as_u64()),
            (Some(500), Some(1000))
        );
        assert_eq!(ids(&place, "j").len(), 2500);
    }
}

#[test]
fn repetitions_at_the_end_of_a_journal_leave_the_window_as_large_as_it_is() {
    let place = Place::new();
    let text = event("x", "a.b") + "\n" + &(event("y", "a.b") + "\n").repeat(50);
    assert_eq!(place.feed(&["pub", "--journal", "j"], &text).code, Some(0));
    let again =
        place.feed(&["pub", "--journal", "j", "--dedup", "10", "--json"], &event("x", "a.b"));
    assert_eq!(again.code, Some(0), "{again:?}");
    let summary = again.json();
    assert_eq!((&summary["published"], &summary["deduplicated"]), (&0.into(), &1.into()));
    // As many different ones as the window holds, and x is out of it.
    assert_eq!(place.feed(&["pub", "--journal", "j"], &events(10, "a.b")).code, Some(0));
    let text = event("x", "a.b") + "\n" + &event(10, "a.b");
    let again = place.feed(&["pub", "--journal", "j", "--dedup", "10", "--json"], &text).json();
    assert_eq!((&again["published"], &again["deduplicated"]), (&1.into(), &1.into()));
}

#[test]
fn a_window_of_a_count_ends_where_it_says() {
    let place = Place::new();
    let text: String = [1, 2, 1, 3, 2, 1].map(|id| event(id, "a.b") + "\n").concat();
    assert_eq!(place.feed(&["pub", "--journal", "j", "--dedup", "2"], &text).code, Some(0));
    // 1 was seen again before 3, so 2 was the one to be forgotten; then 1.
    assert_eq!(ids(&place, "j"), ["1", "2", "3", "2", "1"]);
}

#[test]
fn a_replay_measures_a_window_by_when_the_events_were_recorded() {
    let place = Place::new();
    let line = |id: u32, minute: u32| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"t\",\
             \"recordedtime\":\"2020-01-01T00:{minute:02}:00Z\"}}\n"
        )
    };
    place.write("f.jsonl", [line(1, 0), line(2, 1), line(1, 2), line(1, 5), line(2, 5)].concat());
    let ended = place.run(&[
        "replay",
        "f.jsonl",
        "--speed",
        "max",
        "--journal",
        "out",
        "--dedup",
        "2m",
        "--json",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["deduplicated"], 1);
    assert_eq!(ids(&place, "out"), ["1", "2", "1", "2"]);
    // A count also knows what is in the journal that is written.
    let ended = place.run(&[
        "replay",
        "f.jsonl",
        "--speed",
        "max",
        "--journal",
        "out",
        "--dedup",
        "50",
        "--json",
    ]);
    assert_eq!((ended.json()["published"].as_u64(), ended.code), (Some(0), Some(0)));
    assert_eq!(ids(&place, "out").len(), 4);
}

#[test]
fn what_the_bus_refuses_is_not_taken_for_seen() {
    let place = Place::new();
    let refused = r#"{"specversion":"1.0","id":"1","source":"test","type":"a.b","topic":"$no"}"#;
    let text = format!("{refused}\n{}\n", event(1, "a.b"));
    place.write("f.jsonl", &text);
    let same = ["--dedup", "10", "--json", "--journal"];
    for (verb, journal) in [
        (&["pub"][..], "a"),
        (&["replay", "f.jsonl", "--speed", "max"], "b"),
        (&["replay", "f.jsonl", "--speed", "100"], "c"),
    ] {
        let ended = place.feed(&[verb, &same, &[journal]].concat(), &text);
        assert_eq!(ended.code, Some(4), "{verb:?}: {ended:?}");
        let summary = ended.json();
        let figure = |name: &str| summary[name].as_u64().unwrap();
        assert_eq!((figure("read"), figure("rejected")), (2, 1), "{verb:?}");
        assert_eq!((figure("published"), figure("deduplicated")), (1, 0), "{verb:?}");
        assert_eq!(ids(&place, journal), ["1"], "{verb:?}");
    }
}

#[test]
fn what_the_bus_refuses_is_rejected_also_where_it_repeats_what_was_taken() {
    let place = Place::new();
    let refused = r#"{"specversion":"1.0","id":"1","source":"test","type":"a.b","topic":"$no"}"#;
    let text = format!("{}\n{refused}\n", event(1, "a.b"));
    place.write("f.jsonl", &text);
    for verb in [&["pub"][..], &["replay", "f.jsonl", "--speed", "max"]] {
        let ended = place.feed(&[verb, &["--dedup", "10", "--json"]].concat(), &text);
        assert_eq!(ended.code, Some(4), "{verb:?}: {ended:?}");
        let summary = ended.json();
        assert_eq!((&summary["rejected"], &summary["published"]), (&1.into(), &1.into()));
        assert_eq!(summary["deduplicated"], 0, "{verb:?}");
    }
}

#[test]
fn a_window_that_is_none_is_refused() {
    let place = Place::new();
    for window in ["0", "soon", "-1", "9999999"] {
        place.fails(&["pub", &format!("--dedup={window}")], 2);
    }
}
