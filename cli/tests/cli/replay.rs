//! `replay`: order, pace, filters, taps, the journal it writes, damage, interrupts, refusals.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringpost::event::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Running, attributes, event, events, segments, stored};

/// A line as a journal would have it without its checksum, recorded so many milliseconds after
/// the first.
fn recorded(id: usize, after: u64) -> String {
    let (seconds, millis) = (after / 1000, after % 1000);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t.{id}","time":"2019-01-01T00:00:00Z","recordedtime":"2020-01-01T00:00:{seconds:02}.{millis:03}Z","data":{{"n":{id}.0}}}}"#
    ) + "\n"
}

/// A journal of 5 events of two types in turn.
fn journal() -> Place {
    let place = Place::new();
    let text: String = (1..=5)
        .map(|id| event(id, if id % 2 == 1 { "odd.one" } else { "even.one" }) + "\n")
        .collect();
    assert_eq!(place.feed(&["pub", "--journal", "j"], &text).code, Some(0));
    place
}

/// What a replay must not change of each line.
fn kept(lines: &str) -> Vec<Vec<Value>> {
    let keep = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        ["id", "source", "type", "subject", "time", "datacontenttype", "data"]
            .map(|name| event[name].clone())
            .to_vec()
    };
    lines.lines().map(keep).collect()
}

#[test]
fn the_journal_it_writes_differs_only_in_sequence_and_recordedtime() {
    let place = journal();
    assert_eq!(place.feed(&["pub", "--journal", "out"], &events(2, "before")).code, Some(0));
    let ended = place.run(&["replay", "j", "--speed", "max", "--journal", "out"]);
    assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{ended:?}");
    assert!(ended.err.starts_with("5 events read, 5 published, 0 rejected"), "{}", ended.err);
    let (from, to) = (stored(&place.path("j")), stored(&place.path("out")));
    let replayed: String = to.lines().skip(2).map(|line| format!("{line}\n")).collect();
    assert_eq!(kept(&replayed), kept(&from));
    let sequences = attributes(&to, "sequence");
    assert_eq!(sequences.last().unwrap(), "00000000000000000007");
    let (old, new) = (attributes(&from, "recordedtime"), attributes(&replayed, "recordedtime"));
    assert!(old.iter().max() < new.iter().min(), "{old:?} {new:?}");
    assert_eq!(place.run(&["verify", "out"]).code, Some(0));
}

#[test]
fn at_max_what_cannot_be_published_is_told_and_everything_else_is_in_order() {
    let place = Place::new();
    // More than what is handed over at once, on topics in turn; one topic belongs to the bus alone.
    let kind = |id: usize| match id {
        700 => "$mine".to_owned(),
        _ => format!("k.{}", id % 3),
    };
    let text: String = (1..=1500).map(|id| event(id, &kind(id)) + "\n").collect();
    fs::write(place.path("events.jsonl"), &text).unwrap();
    let replay = ["replay", "events.jsonl", "--speed", "max", "--journal", "out", "--json"];
    let ended = place.run(&[&replay[..], &["--dedup", "5000"]].concat());
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("an event cannot be published"), "{}", ended.err);
    let summary: Value = serde_json::from_str(&ended.out).unwrap();
    let counts = ["read", "published", "rejected", "deduplicated", "journaled"];
    assert_eq!(counts.map(|key| summary[key].as_u64().unwrap()), [1500, 1499, 1, 0, 1499]);
    assert_eq!(summary["types"], json!({"k.0": 500, "k.1": 499, "k.2": 500}));
    let sound: String = text
        .lines()
        .filter(|line| !line.contains("$mine"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(kept(&stored(&place.path("out"))), kept(&sound));
    // Once more: all of it was seen.
    let again = place.run(&[&replay[..], &["--dedup", "5000"]].concat());
    let summary: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(counts.map(|key| summary[key].as_u64().unwrap()), [1500, 0, 1, 1499, 0]);
}

#[test]
fn order_and_intervals_are_kept() {
    let place = Place::new();
    let offsets = [0, 300, 300, 900];
    let text: String = offsets.iter().zip(1..).map(|(after, id)| recorded(id, *after)).collect();
    place.write("f.jsonl", text);
    for (number, (speed, times)) in [(None, 1), (Some("3"), 3)].into_iter().enumerate() {
        let out = format!("out{number}");
        let speed = speed.map_or(vec![], |speed| vec!["--speed", speed]);
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ended =
            place.run(&[&["replay", "f.jsonl", "--journal", &out, "--json"], &speed[..]].concat());
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
        let elapsed = ended.json()["elapsed_s"].as_f64().unwrap();
        assert!(elapsed >= 0.9 / f64::from(times), "{elapsed}");
        let lines = stored(&place.path(&out));
        assert_eq!(attributes(&lines, "id"), ["1", "2", "3", "4"]);
        for (text, after) in attributes(&lines, "recordedtime").iter().zip(offsets) {
            let at = Timestamp::parse(text).unwrap().unix_nanos();
            let due = began + Duration::from_millis(after) / times;
            assert!(at >= i128::try_from(due.as_nanos()).unwrap(), "{text} is before {due:?}");
        }
    }
}

#[test]
fn the_pace_may_be_that_of_the_events_own_times() {
    let place = Place::new();
    // By their own time they are all at once; by recordedtime an hour apart.
    let text = recorded(1, 0) + &recorded(2, 0).replace("T00:00:00.000Z", "T01:00:00Z");
    place.write("f.jsonl", text);
    let ended = place.run(&["replay", "f.jsonl", "--pace-by", "time", "--tap", "**"]);
    assert_eq!((ended.code, ended.events("id")), (Some(0), vec!["1".into(), "2".into()]));
    // An event without such a time waits for nothing, and that is told.
    place.write("plain.jsonl", events(3, "a"));
    let ended = place.run(&["replay", "plain.jsonl", "--tap", "**"]);
    assert_eq!((ended.code, ended.events("id").len()), (Some(0), 3));
    assert!(ended.err.contains("3 events have no recordedtime"), "{}", ended.err);
}

#[test]
fn filters_and_a_limit_choose_what_is_replayed_and_taps_print_it() {
    let place = journal();
    let ids = |arguments: &[&str]| {
        let always = ["replay", "j", "--speed", "max", "--tap", "**"];
        let ended = place.run(&[&always, arguments].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.events("id")
    };
    assert_eq!(ids(&[]), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&["--limit", "2"]), ["1", "2"]);
    assert_eq!(ids(&["--type", "even.*"]), ["2", "4"]);
    assert_eq!(ids(&["--type", "odd.*", "--limit", "2"]), ["1", "3"]);
    assert_eq!(ids(&["--where", "data.n >= 1", "--id", "re:[45]"]), ["4", "5"]);
    assert_eq!(ids(&["--until", "now", "--since", "-1h", "--source", "test"]).len(), 5);
    let tapped = place.run(&["replay", "j", "--speed", "max", "--tap", "even.*"]);
    assert_eq!(tapped.events("id"), ["2", "4"]);
    assert!(tapped.err.starts_with("5 events read, 5 published"), "{}", tapped.err);
    assert!(tapped.err.contains("2 delivered, 0 dropped"), "{}", tapped.err);
}

#[test]
fn the_summary_has_the_keys_of_pub() {
    let place = journal();
    let arguments = ["--journal", "out", "--tap", "odd.*", "--json"];
    let replayed = place.run(&[&["replay", "j", "--speed", "max"], &arguments[..]].concat());
    assert_eq!((replayed.code, &*replayed.err), (Some(0), ""), "{replayed:?}");
    let published = place.run(&[&["pub", "--journal", "p", "--json"][..], &["-"]].concat());
    assert_eq!(replayed.keys(), published.keys());
    let summary = replayed.json();
    for (key, value) in [
        ("read", json!(5)),
        ("published", json!(5)),
        ("rejected", json!(0)),
        ("delivered", json!(3)),
        ("dropped", json!(0)),
        ("journaled", json!(5)),
        ("types", json!({"even.one": 2, "odd.one": 3})),
    ] {
        assert_eq!(summary[key], value, "{key}: {summary}");
    }
}

#[test]
fn nothing_found_is_3_and_still_a_summary() {
    let place = journal();
    for arguments in [["--type", "nothing"], ["--limit", "0"]] {
        let ended = place.run(&[&["replay", "j", "--json"], &arguments[..]].concat());
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert_eq!(ended.json()["read"], 0);
    }
    assert!(place.fails(&["replay", "nowhere"], 1).contains("nowhere"));
    for speed in ["0", "-1", "quick"] {
        let told = place.fails(&["replay", "j", &format!("--speed={speed}")], 2);
        assert!(told.contains("is no speed"), "{told}");
    }
}

#[test]
fn damaged_lines_are_left_out_counted_and_told() {
    let place = journal();
    let segment = &segments(&place.path("j"))[0];
    let text = fs::read_to_string(segment).unwrap().replacen("even", "evil", 1);
    fs::write(segment, text).unwrap();
    let arguments = ["replay", "j", "--speed", "max", "--journal", "out", "--json"];
    let ended = place.run(&arguments);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("checksum") && ended.err.contains("1 damaged lines"), "{ended:?}");
    let summary = ended.json();
    assert_eq!((&summary["read"], &summary["rejected"]), (&json!(5), &json!(1)), "{summary}");
    assert_eq!(attributes(&stored(&place.path("out")), "id"), ["1", "3", "4", "5"]);
}

#[test]
fn an_interrupt_ends_a_long_wait_drains_and_tells() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        place.write("f.jsonl", recorded(1, 0) + &recorded(2, 50_000));
        let arguments = ["replay", "f.jsonl", "--speed", "0.001", "--journal", "o", "--tap", "**"];
        let mut running = Running::start(&mut place.command(&arguments));
        assert!(running.line().contains("\"id\":\"1\""));
        running.signal(signal);
        let ended = running.end();
        assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{ended:?}");
        assert!(ended.err.starts_with("1 events read, 1 published"), "{}", ended.err);
        assert!(ended.err.contains("1 journaled, 1 durable"), "{}", ended.err);
        assert_eq!(attributes(&stored(&place.path("o")), "id"), ["1"]);
    }
}

#[test]
fn a_journal_is_not_replayed_into_itself() {
    let place = journal();
    let before = stored(&place.path("j"));
    let segment = segments(&place.path("j"))[0].clone();
    std::os::unix::fs::symlink(place.path("j"), place.path("link")).unwrap();
    for (from, to) in [
        ("j", "j"),
        ("j", "./j/"),
        ("jsonl:j", "j"),
        ("link", "j"),
        (segment.to_str().unwrap(), "j"),
    ] {
        let told = place.fails(&["replay", from, "--speed", "max", "--journal", to], 2);
        assert!(told.contains("into itself"), "{from} {to}: {told}");
    }
    let url = "redis://127.0.0.1:1/0?stream=one";
    let other = "redis://user:secret@127.0.0.1:1/0?stream=one&maxlen=5";
    if cfg!(feature = "redis") {
        let told = place.fails(&["replay", url, "--journal", other], 2);
        assert!(told.contains("into itself") && !told.contains("secret"), "{told}");
    }
    assert_eq!(stored(&place.path("j")), before);
}

#[test]
fn what_is_written_is_named_by_the_flag_alone() {
    let place = journal();
    let mut command = place.command(&["replay", "--speed", "max", "--json"]);
    let ended = Running::start(command.env("RINGPOST_JOURNAL", "j")).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    assert_eq!((&summary["published"], &summary["journaled"]), (&json!(5), &json!(0)));
    assert_eq!(stored(&place.path("j")).lines().count(), 5);
}

#[test]
fn standard_input_is_replayed_too() {
    let place = journal();
    let text = stored(&place.path("j"));
    let ended = place.feed(&["replay", "-", "--speed", "max", "--journal", "out"], &text);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(kept(&stored(&place.path("out"))), kept(&text));
}

#[test]
#[cfg(feature = "redis")]
fn a_stream_is_replayed_into_a_journal_and_back_into_another_stream() {
    use crate::redis_server::{Server, Sync};

    let Some(server) = Server::start(Sync::Nothing) else { return };
    let (place, one, two) = (journal(), server.url("stream=one"), server.url("stream=two"));
    for (from, to) in [("j", &*one), (&one, "back"), (&one, &two)] {
        let ended = place.run(&["replay", from, "--speed", "max", "--journal", to, "--json"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()["journaled"], 5);
    }
    assert_eq!(kept(&stored(&place.path("back"))), kept(&stored(&place.path("j"))));
    assert_eq!(place.run(&["query", &two, "--count"]).out, "5\n");
    let told = place.fails(&["replay", &one, "--speed", "max", "--journal", &one], 2);
    assert!(told.contains("into itself"), "{told}");
}
