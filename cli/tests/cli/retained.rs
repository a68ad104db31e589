//! What a journal keeps, and in which form: flags, environment, `ringpost.toml`.

use std::fs;
use std::path::Path;

use crate::support::{Ended, Place, ended, events};

/// Segments of a few events each.
fn publish(place: &Place, arguments: &[&str]) -> Ended {
    let arguments = [&["pub", "--journal", "j", "--json"], arguments].concat();
    let ended = place.feed(&arguments, &events(200, "a"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

fn files(journal: &Path, end: &str) -> usize {
    let files = fs::read_dir(journal).unwrap().map(|file| file.unwrap().file_name());
    files.filter(|name| name.to_str().unwrap().ends_with(end)).count()
}

#[test]
fn what_is_not_to_be_kept_is_gone_when_it_ends_and_the_rest_is_compressed() {
    let place = Place::new();
    publish(&place, &["--segment-bytes", "2KiB", "--keep-events", "50", "--compress=5"]);
    let journal = place.path("j");
    assert_eq!((files(&journal, ".jsonl"), files(&journal, ".tmp")), (1, 0));
    assert!(files(&journal, ".jsonl.zst") >= 4);
    let stats = place.run(&["stats", "j", "--json"]).json();
    let first = stats["first_sequence"].as_u64().unwrap();
    assert!((130..=151).contains(&first), "{first}");
    assert_eq!((&stats["last_sequence"], &stats["events"]), (&200.into(), &(201 - first).into()));
    let verified = place.run(&["verify", "j", "--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.json()["gaps"], serde_json::json!([]));
    let tail = place.run(&["tail", "j", "--no-follow", "-n", "40"]);
    assert_eq!(tail.events("id"), (161..=200).map(|id| id.to_string()).collect::<Vec<_>>());
    let count = place.run(&["query", "j", "--count"]);
    assert_eq!(count.out.trim(), (201 - first).to_string());
    // What was asked for and is gone is told.
    let from = place.run(&["tail", "j", "--no-follow", "--from", "seq:3"]);
    assert_eq!((from.code, from.events("id").len() as u64), (Some(4), 201 - first), "{from:?}");
    assert!(from.err.contains(&format!("events 3 to {} are not", first - 1)), "{}", from.err);
    // The next one goes on, in whatever form it finds.
    publish(&place, &["--segment-bytes", "2KiB"]);
    let stats = place.run(&["stats", "j", "--json"]).json();
    assert_eq!(stats["last_sequence"], 400);
    let replayed = place.run(&["replay", "j", "--speed", "max", "--journal", "k", "--json"]);
    assert_eq!(replayed.json()["journaled"], 401 - first, "{replayed:?}");
}

#[test]
fn age_and_bytes_are_limits_too() {
    let place = Place::new();
    publish(&place, &["--segment-bytes", "2KiB", "--keep-bytes", "10KiB"]);
    let size = |journal: &Path| -> u64 {
        let files = fs::read_dir(journal).unwrap().map(|file| file.unwrap());
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    let kept = size(&place.path("j"));
    assert!((6_000..=10_300).contains(&kept), "{kept}");
    // All that is there is old by then; the last two segments stay.
    publish(&place, &["--segment-bytes", "2KiB", "--keep-age", "0s", "--segment-age", "1h"]);
    assert!(files(&place.path("j"), ".jsonl") <= 3);
    assert_eq!(place.run(&["stats", "j", "--json"]).json()["last_sequence"], 400);
}

#[test]
fn the_environment_and_the_file_say_it_as_well() {
    let place = Place::new();
    place.write("ringpost.toml", "segment_bytes = \"2KiB\"\nkeep_events = 50\ncompress = true\n");
    publish(&place, &[]);
    assert!(files(&place.path("j"), ".jsonl.zst") > 0);
    let first = |place: &Place| {
        place.run(&["stats", "j", "--json"]).json()["first_sequence"].as_u64().unwrap()
    };
    assert!(first(&place) > 100);
    let other = Place::new();
    let mut command = other.command(&[
        "pub",
        "--journal",
        "j",
        "--segment-bytes",
        "2KiB",
        "--compress=off",
        "in",
    ]);
    command.envs([("RINGPOST_KEEP_EVENTS", "50"), ("RINGPOST_COMPRESS", "9")]);
    other.write("in", events(200, "a"));
    assert_eq!(ended(command.output().unwrap()).code, Some(0));
    assert_eq!(files(&other.path("j"), ".zst"), 0, "a flag ranks above");
    assert!(first(&other) > 100);
    for (flag, value, told) in [
        ("--keep-events", "many", "--keep-events cannot be used"),
        ("--keep-age", "7", "write a number and ns"),
        ("--keep-bytes", "1.5GiB", "is no size"),
        ("--segment-age", "old", "--segment-age cannot be used"),
    ] {
        let said = place.fails(&["pub", "--journal", "j", flag, value, "in"], 2);
        assert!(said.contains(told), "{said}");
    }
    let said = place.fails(&["pub", "--journal", "j", "--compress=99", "in"], 2);
    assert!(said.contains("1 to 22"), "{said}");
}
