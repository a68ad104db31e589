//! Signals and closed pipes: orderly ends, and the one that is at once.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Place, Running, attributes, event, events, stored};

#[test]
fn an_interrupted_run_drains_flushes_and_tells() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let arguments = ["pub", "-", "--journal", "j", "--tap", "**"];
        let mut running = Running::start(place.command(&arguments).stdin(Stdio::piped()));
        running.say(&event(1, "a"));
        assert!(running.line().contains("\"id\":\"1\""));
        // Standard input stays open: without the signal it would wait for ever.
        let stdin = running.stdin.take();
        running.signal(signal);
        let ended = running.end();
        drop(stdin);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.starts_with("1 events read, 1 published"), "{}", ended.err);
        assert!(ended.err.contains("1 journaled, 1 durable"), "{}", ended.err);
        assert_eq!(attributes(&stored(&place.path("j")), "id"), ["1"]);
    }
}

#[test]
fn a_killed_run_leaves_a_journal_that_goes_on() {
    let place = Place::new();
    let arguments = ["pub", "-", "--journal", "j"];
    let mut running = Running::start(place.command(&arguments).stdin(Stdio::piped()));
    running.say(&event(1, "a"));
    while !place.path("j").exists() || stored(&place.path("j")).lines().count() < 1 {
        std::thread::yield_now();
    }
    running.say(&event(2, "a"));
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None);
    let ended = place.feed(&arguments, &events(3, "b"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The second may have been stored or not; nothing is missing in between.
    assert_eq!(place.run(&["verify", "j"]).code, Some(0));
    let ids = attributes(&stored(&place.path("j")), "id");
    assert!(ids == ["1", "1", "2", "3"] || ids == ["1", "2", "1", "2", "3"], "{ids:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let place = Place::new();
    place.write("in.jsonl", events(20_000, "a"));
    let mut running = Running::start(&mut place.command(&["pub", "in.jsonl", "--tap", "**"]));
    assert!(running.line().contains("\"id\":\"1\""));
    // Nobody reads its output any more, so that it cannot end in order.
    let out = running.out.take();
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let ended = running.end();
    drop(out);
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

#[test]
fn a_follower_ends_with_0_when_it_is_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        place.feed(&["pub", "--journal", "j"], &events(1, "a"));
        let mut running = Running::start(&mut place.command(&["tail", "j"]));
        assert!(running.line().contains("\"id\":\"1\""));
        running.signal(signal);
        let ended = running.end();
        assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), "", ""));
    }
}

#[test]
fn an_interrupted_query_ends_with_whole_events() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let all = events(100_000, "a");
        place.write("in.jsonl", &all);
        for order in ["asc", "desc"] {
            let arguments = ["query", "in.jsonl", "--order", order];
            let mut running = Running::start(&mut place.command(&arguments));
            let first = running.line();
            // What a pipe holds is far less than all, so that it waits for this to be read.
            running.interrupt(signal);
            let ended = running.end();
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            assert!(ended.err.contains("interrupted"), "{}", ended.err);
            let printed = first + &ended.out;
            let count = printed.lines().count();
            assert!(printed.ends_with('\n') && count < 100_000, "{count}");
            let mut lines: Vec<_> = printed.lines().collect();
            if order == "desc" {
                lines.reverse();
                assert!(all.trim_end().ends_with(&lines.join("\n")));
            } else {
                assert!(all.starts_with(&lines.join("\n")));
            }
        }
    }
}

#[test]
fn what_was_read_of_standard_input_before_an_interrupt_is_searched_and_counted() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        for arguments in [
            &["query", "-", "--count"][..],
            &["query", "-", "--group-by", "id"],
            &["query", "-"],
            &["stats", "-"],
        ] {
            let mut running = Running::start(place.command(arguments).stdin(Stdio::piped()));
            running.await_heeding();
            // Standard input stays open: without the signal it would be waited for for ever.
            let stdin = running.stdin.take();
            running.signal(signal);
            let ended = running.end();
            drop(stdin);
            assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
            assert!(ended.err.contains("interrupted"), "{ended:?}");
        }
    }
    let place = Place::new();
    let mut running =
        Running::start(place.command(&["stats", "-", "--json"]).stdin(Stdio::piped()));
    running.await_heeding();
    running.say(&event(1, "a"));
    running.say(&event(2, "b"));
    running.await_reading();
    let stdin = running.stdin.take();
    running.signal(Signal::INT);
    let ended = running.end();
    drop(stdin);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["types"], json!({"a": 1, "b": 1}));
}

#[test]
fn a_replay_that_is_interrupted_before_all_is_read_publishes_nothing_and_says_so() {
    let place = Place::new();
    let arguments = ["replay", "-", "--speed", "max", "--journal", "out", "--json"];
    let mut running = Running::start(place.command(&arguments).stdin(Stdio::piped()));
    running.await_heeding();
    running.say(&event(1, "a"));
    running.await_reading();
    let stdin = running.stdin.take();
    running.signal(Signal::TERM);
    let ended = running.end();
    drop(stdin);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("interrupted"), "{ended:?}");
    let summary = ended.json();
    assert_eq!((&summary["published"], &summary["journaled"]), (&json!(0), &json!(0)));
}

#[test]
fn a_second_signal_ends_a_search_of_what_was_read_at_once() {
    let place = Place::new();
    let mut running = Running::start(place.command(&["query", "-"]).stdin(Stdio::piped()));
    running.await_heeding();
    let mut stdin = running.stdin.take().unwrap();
    let text = events(20_000, "a");
    std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    running.signal(Signal::INT);
    // What it has read is more than a pipe holds.
    assert!(running.line().contains("\"id\":\"1\""));
    let out = running.out.take();
    running.signal(Signal::INT);
    let ended = running.end();
    drop((out, stdin));
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

#[test]
fn interrupted_stats_tell_what_was_counted() {
    let place = Place::new();
    place.write("in.jsonl", events(100_000, "a"));
    let mut running = Running::start(&mut place.command(&["stats", "in.jsonl", "--json"]));
    running.await_heeding();
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    let count = summary["events"].as_u64().unwrap();
    // On a busy machine it may have come to its end before the signal came to it.
    assert_eq!(ended.err.contains("interrupted"), count < 100_000, "{count}: {}", ended.err);
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let place = Place::new();
    place.write("in.jsonl", events(20_000, "a"));
    place.run(&["pub", "in.jsonl", "--journal", "j"]);
    for arguments in [
        &["pub", "in.jsonl", "--tap", "**", "--journal", "k"][..],
        &["tail", "j", "--from", "first"],
        &["tail", "in.jsonl", "-n", "20000", "--no-follow"],
    ] {
        let mut running = Running::start(&mut place.command(arguments));
        assert!(running.line().contains("\"id\":\"1\""));
        drop(running.out.take());
        let ended = running.end();
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}");
    }
    // What was published until then is stored whole.
    assert_eq!(place.run(&["verify", "k"]).code, Some(0));
}

#[test]
fn an_idle_follower_notices_that_its_reader_went_away() {
    let place = Place::new();
    place.feed(&["pub", "--journal", "j"], &events(1, "a"));
    let mut running = Running::start(&mut place.command(&["tail", "j"]));
    assert!(running.line().contains("\"id\":\"1\""));
    drop(running.out.take());
    // Nothing is ever written to the journal again.
    let ended = running.end();
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
}

#[test]
fn an_interrupted_bench_tells_what_it_measured() {
    let place = Place::new();
    let arguments = ["bench", "--seconds", "3600", "--journal", "j", "--json"];
    let running = Running::start(&mut place.command(&arguments));
    // It is under way once something is stored.
    let segment = place.path("j/00000000000000000001.jsonl");
    while !std::fs::metadata(&segment).is_ok_and(|found| found.len() > 0) {
        std::thread::yield_now();
    }
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    assert!(summary["published"].as_u64() > Some(0), "{summary}");
    assert_eq!((&summary["delivered"], &summary["dropped"]), (&summary["published"], &json!(0)));
}
