//! `bench`: its account balances under every policy, and its output is what is promised.

use serde_json::{Value, json};

use crate::support::{Place, keys};

const KEYS: [&str; 7] = [
    "published",
    "delivered",
    "dropped",
    "events_per_s",
    "deliveries_per_s",
    "publish_ns",
    "latency_ns",
];

fn bench(arguments: &[&str]) -> Value {
    let place = Place::new();
    let always = ["bench", "--json", "--seconds", "0.2"];
    let ended = place.run(&[&always[..], arguments].concat());
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}: {ended:?}");
    assert_eq!(ended.keys(), KEYS, "{arguments:?}");
    let found = ended.json();
    assert!(found["published"].as_u64() > Some(0), "{arguments:?}: {found}");
    assert!(found["publish_ns"]["p50"].is_number(), "{arguments:?}: {found}");
    found
}

#[test]
fn nobody_loses_anything_under_block() {
    for executor in ["workers", "tokio", "threads"] {
        for (publishers, subscribers) in [("1", 1), ("2", 3)] {
            let found = bench(&[
                "--executor",
                executor,
                "--publishers",
                publishers,
                "--subscribers",
                &subscribers.to_string(),
            ]);
            let published = found["published"].as_u64().unwrap();
            assert_eq!(found["delivered"], json!(published * subscribers), "{executor}: {found}");
            assert_eq!(found["dropped"], 0, "{executor}: {found}");
            assert!(found["latency_ns"]["p999"].is_number(), "{executor}: {found}");
        }
    }
}

#[test]
fn what_lossy_mailboxes_lose_is_accounted_for() {
    for overflow in ["drop-oldest", "drop-newest"] {
        let found = bench(&["--overflow", overflow, "--mailbox", "4", "--subscribers", "2"]);
        let sum = found["delivered"].as_u64().unwrap() + found["dropped"].as_u64().unwrap();
        assert_eq!(json!(sum), json!(found["published"].as_u64().unwrap() * 2), "{found}");
    }
    bench(&["--overflow", "disconnect", "--mailbox", "2"]);
}

#[test]
fn batches_topics_and_sizes_keep_the_account() {
    for arguments in [
        &["--batch", "100", "--topics", "7"][..],
        &["--message-bytes", "1", "--mailbox", "1", "--ring", "1"],
        &["--message-bytes", "5000", "--batch", "3", "--overflow", "block:100ms"],
        &["--wait", "spin", "--executor", "threads"],
        &["--wait", "park", "--executor", "threads"],
    ] {
        let found = bench(arguments);
        assert_eq!(found["delivered"], found["published"], "{arguments:?}: {found}");
    }
}

#[test]
fn nobody_need_listen() {
    let found = bench(&["--subscribers", "0"]);
    assert_eq!((&found["delivered"], &found["latency_ns"]), (&json!(0), &json!(null)));
}

#[test]
fn a_rate_is_not_exceeded() {
    let found = bench(&["--rate", "1000", "--publishers", "2", "--batch", "5"]);
    assert!(found["published"].as_u64() <= Some(205), "{found}");
    assert_eq!(found["delivered"], found["published"]);
}

#[test]
fn with_a_journal_every_message_is_stored() {
    let place = Place::new();
    let arguments = ["bench", "--json", "--seconds", "0.2", "--journal", "j", "--fsync", "never"];
    for _ in 0..2 {
        let before = place.run(&["stats", "j", "--json"]);
        let before = if before.code == Some(0) { before.json()["events"].as_u64() } else { None };
        let ended = place.run(&arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let published = ended.json()["published"].as_u64().unwrap();
        let stats = place.run(&["stats", "j", "--json"]).json();
        assert_eq!(stats["events"], json!(before.unwrap_or(0) + published));
    }
    assert_eq!(place.run(&["verify", "j"]).code, Some(0));
}

#[test]
fn a_journal_in_use_is_not_written_because_the_environment_names_it() {
    let place = Place::new();
    let mut command = place.command(&["bench", "--json", "--seconds", "0.1"]);
    assert!(command.env("RINGPOST_JOURNAL", "j").output().unwrap().status.success());
    assert!(!place.path("j").exists());
}

#[test]
fn people_get_a_table() {
    let ended = Place::new().run(&["bench", "--seconds", "0.1"]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    for word in ["published", "delivered", "dropped", "p99.9", "latency", "accounted for"] {
        assert!(ended.out.contains(word), "{word}: {}", ended.out);
    }
}

#[test]
fn a_sweep_measures_once_for_each_value() {
    let place = Place::new();
    let sweep = |sweep: &str, arguments: &[&str]| {
        let always = ["bench", "--json", "--seconds", "0.05", "--sweep", sweep];
        let ended = place.run(&[&always, arguments].concat());
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
        assert_eq!(ended.keys(), ["sweep"]);
        ended.json()["sweep"].as_array().unwrap().clone()
    };
    let points = sweep("mailbox=4..16", &["--overflow", "drop-newest", "--svg", "curve.svg"]);
    assert_eq!(points.iter().map(|point| point["mailbox"].clone()).collect::<Vec<_>>(), [4, 8, 16]);
    for point in &points {
        assert_eq!(keys(&point.to_string()).len(), KEYS.len() + 1, "{point}");
        assert!(KEYS.iter().all(|key| point.get(key).is_some()), "{point}");
        let sum = point["delivered"].as_u64().unwrap() + point["dropped"].as_u64().unwrap();
        assert_eq!(point["published"], json!(sum), "{point}");
    }
    let svg = std::fs::read_to_string(place.path("curve.svg")).unwrap();
    for word in ["mailbox (messages)", "throughput (messages)", "latency", "lost", "p50", "p99"] {
        assert!(svg.contains(word), "{word}: {svg}");
    }
    for (setting, values) in [("subscribers", [2, 1]), ("publishers", [1, 2]), ("batch", [1, 7])] {
        let points = sweep(&format!("{setting}={},{}", values[0], values[1]), &[]);
        assert_eq!(
            (&points[0][setting], &points[1][setting]),
            (&json!(values[0]), &json!(values[1]))
        );
        let receivers = if setting == "subscribers" { 2 } else { 1 };
        let published = points[0]["published"].as_u64().unwrap();
        assert_eq!(points[0]["delivered"], json!(published * receivers), "{points:?}");
    }
}

#[test]
fn a_sweep_is_a_table_for_people_and_what_cannot_be_swept_is_usage() {
    let place = Place::new();
    let ended = place.run(&["bench", "--seconds", "0.05", "--sweep", "mailbox=64,1024"]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(lines[0].trim_start().starts_with("mailbox") && lines[0].ends_with("loss"));
    assert!(lines[1].contains(" 64 ") && lines[2].contains(" 1,024 "), "{}", ended.out);
    assert_eq!(lines[3..], ["", "every message is accounted for"]);
    for sweep in ["ring=1..2", "mailbox=0..4", "mailbox"] {
        assert!(place.fails(&["bench", "--sweep", sweep], 2).contains("--sweep"));
    }
    assert!(place.fails(&["bench", "--svg", "x.svg"], 2).contains("--sweep"));
}
