//! `tail`: the last events, filters, and following a writer.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, Running, attributes, event, events, segments, stored};

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|number| number.to_string()).collect()
}

fn journal(text: &str) -> Place {
    let place = Place::new();
    let ended = place.feed(&["pub", "--journal", "j"], text);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place
}

#[test]
fn the_last_hundred_are_printed_as_they_are_stored() {
    let place = journal(&events(250, "a"));
    let ended = place.run(&["tail", "j", "--no-follow"]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    assert_eq!(ended.events("id"), numbers(151, 250));
    assert!(stored(&place.path("j")).ends_with(&ended.out));
    assert_eq!(place.run(&["tail", "j", "-n", "3", "--no-follow"]).events("id"), numbers(248, 250));
    assert_eq!(place.run(&["tail", "j", "-n", "0", "--no-follow"]).out, "");
    assert_eq!(place.run(&["tail", "j", "-n", "999", "--no-follow"]).events("id"), numbers(1, 250));
}

#[test]
fn it_can_begin_anywhere() {
    let text: String = (1..=9)
        .map(|n| {
            format!(
                "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"s\",\"type\":\"t\",\"time\":\"2020-01-0{n}T00:00:00Z\"}}\n"
            )
        })
        .collect();
    let place = journal(&text);
    let from = |from: &str| place.run(&["tail", "j", "--no-follow", "--from", from]).events("id");
    assert_eq!(from("first"), numbers(1, 9));
    assert_eq!(from("last"), numbers(1, 9));
    assert_eq!(from("seq:7"), numbers(7, 9));
    assert_eq!(from("seq:10"), [""; 0]);
    assert_eq!(from("new"), [""; 0]);
    assert_eq!(from("time:2020-01-08T00:00:00Z"), numbers(8, 9));
    assert_eq!(from("2020-01-08"), numbers(8, 9));
    assert_eq!(from("2020-01-08T02:00:00+02:00"), numbers(8, 9));
    assert_eq!(from("-5m"), [""; 0]);
    // Without a time of its own an event counts by when it was recorded.
    place.feed(&["pub", "--journal", "j"], &event(10, "t"));
    assert_eq!(from("-5m"), ["10"]);
}

#[test]
fn filters_narrow_it_down() {
    let one = r#"{"specversion":"1.0","id":"1","source":"/m/ibm","type":"trade.done","subject":"IBM","correlationid":"$c1"}"#;
    let two = r#"{"specversion":"1.0","id":"2","source":"/m/fx","type":"quote.made","topic":"fx.eur","subject":"EUR"}"#;
    let three = r#"{"specversion":"1.0","id":"3","source":"/n","type":"trade.undone","correlationid":"c2"}"#;
    let place = journal(&format!("{one}\n{two}\n{three}\n"));
    let ids = |filters: &[&str]| {
        let ended = place.run(&[&["tail", "j", "--no-follow"], filters].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.events("id")
    };
    assert_eq!(ids(&["--type", "trade.*"]), ["1", "3"]);
    assert_eq!(ids(&["--type", "trade.*", "--type", "quote.made"]), ["1", "2", "3"]);
    assert_eq!(ids(&["--topic", "fx.>"]), ["2"]);
    assert_eq!(ids(&["--source", "prefix:/m/"]), ["1", "2"]);
    assert_eq!(ids(&["--source", "/m/ibm"]), ["1"]);
    assert_eq!(ids(&["--subject", "glob:?[BU]*"]), ["1", "2"]);
    assert_eq!(ids(&["--id", "re:[13]"]), ["1", "3"]);
    assert_eq!(ids(&["--correlation", "glob:*c?"]), ["1", "3"]);
    assert_eq!(ids(&["--correlation", "$c1"]), ["1"]);
    assert_eq!(ids(&["--type", "trade.*", "--source", "/n"]), ["3"]);
    assert_eq!(ids(&["--type", "nothing"]), [""; 0]);
    assert_eq!(ids(&["--from", "first", "--type", "trade.*", "--id", "3"]), ["3"]);
}

#[test]
fn rare_events_are_found_however_far_back_they_lie() {
    let mut text = event("first", "rare") + "\n" + &event("second", "rare") + "\n";
    text += &events(9000, "common");
    let place = journal(&text);
    let found = |n: &str| place.run(&["tail", "j", "--no-follow", "--type", "rare", "-n", n]);
    assert_eq!(found("5").events("id"), ["first", "second"]);
    assert_eq!(found("1").events("id"), ["second"]);
}

#[test]
fn a_search_for_rare_events_holds_what_it_finds_and_no_more() {
    const SIZE: usize = 512 * 1024;
    let place = Place::new();
    let large = |id: usize| {
        let data = "x".repeat(SIZE);
        let line = event(id, "common");
        line.replacen("{\"n\":1.0}", &format!("\"{data}\""), 1) + "\n"
    };
    let mut file = fs::File::create(place.path("in.jsonl")).unwrap();
    writeln!(file, "{}", event("only", "rare")).unwrap();
    for id in 0..256 {
        file.write_all(large(id).as_bytes()).unwrap();
    }
    // The first is a text to look for, the second a thing to know of every event.
    for filter in [["--type", "rare"], ["--where", "data.n == 1"]] {
        let arguments = [&["tail", "in.jsonl", "-n", "2"][..], &filter].concat();
        let mut following = Running::start(&mut place.command(&arguments));
        assert_eq!(attributes(&following.line(), "id"), ["only"]);
        let peak = following.peak();
        following.signal(Signal::INT);
        assert_eq!(following.end().code, Some(0));
        assert!(peak < 96 * 1024, "{peak} KiB, of a file of 128 MiB");
    }
}

#[test]
fn it_follows_a_writer_over_segments_and_runs_without_gap_or_repeat() {
    let place = journal(&events(5, "a"));
    let mut following = Running::start(&mut place.command(&["tail", "j", "-n", "2"]));
    let mut ids: Vec<String> = (0..2).flat_map(|_| attributes(&following.line(), "id")).collect();
    // Two runs of a writer, and many segments, while it follows.
    let arguments = ["pub", "-", "--journal", "j", "--segment-bytes", "2000", "--tap", "**"];
    for run in 0..2 {
        let mut writer = Running::start(place.command(&arguments).stdin(Stdio::piped()));
        for number in 0..100 {
            writer.say(&event(6 + run * 100 + number, "a"));
            if number % 10 == 0 {
                // Not all at once: it is stored in many batches.
                writer.line();
            }
        }
        assert_eq!(writer.end().code, Some(0));
    }
    while ids.len() < 202 {
        ids.extend(attributes(&following.line(), "id"));
    }
    assert_eq!(ids, numbers(4, 205));
    assert!(segments(&place.path("j")).len() > 10);
    following.signal(Signal::INT);
    let ended = following.end();
    assert_eq!((ended.code, &*ended.out), (Some(0), ""));
}

#[test]
fn a_follower_that_searches_first_misses_nothing_that_is_written_meanwhile() {
    let place = journal(&events(1, "a"));
    let arguments = ["pub", "-", "--journal", "j", "--segment-bytes", "20000", "--tap", "**"];
    let mut writer = Running::start(place.command(&arguments).stdin(Stdio::piped()));
    let mut followers = Vec::new();
    for number in 2..=1000 {
        writer.say(&event(number, "a"));
        if number % 100 == 0 {
            // It begins while the next ones are written.
            let arguments = ["tail", "j", "-n", "99999", "--type", "a"];
            followers.push(Running::start(&mut place.command(&arguments)));
        }
        writer.line();
    }
    assert_eq!(writer.end().code, Some(0));
    for mut follower in followers {
        let seen: Vec<_> = (1..=1000).flat_map(|_| attributes(&follower.line(), "id")).collect();
        assert_eq!(seen, numbers(1, 1000));
        follower.signal(Signal::INT);
        let ended = follower.end();
        assert_eq!((ended.code, &*ended.out), (Some(0), ""));
    }
}

#[test]
fn what_is_new_alone_is_followed_with_filters() {
    let place = journal(&events(3, "a"));
    let mut following =
        Running::start(&mut place.command(&["tail", "j", "-n", "1", "--type", "a"]));
    assert_eq!(attributes(&following.line(), "id"), ["3"]);
    let text = format!("{}\n{}\n", event("other", "b"), event("new", "a"));
    place.feed(&["pub", "--journal", "j"], &text);
    assert_eq!(attributes(&following.line(), "id"), ["new"]);
    following.signal(Signal::TERM);
    assert_eq!(following.end().code, Some(0));
}

#[test]
fn damage_is_left_out_told_and_ends_with_4() {
    let place = journal(&events(5, "a"));
    let segment = &segments(&place.path("j"))[0];
    let text = fs::read_to_string(segment).unwrap();
    fs::write(segment, text.replacen("\"id\":\"4\"", "\"id\":\"5\"", 1)).unwrap();
    for from in ["last", "first"] {
        let ended = place.run(&["tail", "j", "--no-follow", "--from", from]);
        assert_eq!(ended.code, Some(4), "{from}");
        assert_eq!(ended.events("id"), ["1", "2", "3", "5"]);
        assert!(ended.err.contains("damaged"), "{}", ended.err);
        let place = format!("{}: byte ", segment.file_name().unwrap().to_str().unwrap());
        assert!(ended.err.contains(&place), "{from}: {}", ended.err);
    }
}

#[test]
fn a_plain_file_is_read_and_followed_too() {
    let place = Place::new();
    let file = place.write("in.jsonl", events(3, "a"));
    let ended = place.run(&["tail", "in.jsonl", "-n", "2", "--no-follow"]);
    assert_eq!(
        (ended.code, ended.out),
        (Some(0), events(3, "a").lines().skip(1).map(|line| format!("{line}\n")).collect())
    );
    let mut following = Running::start(&mut place.command(&["tail", "in.jsonl", "-n", "1"]));
    assert_eq!(attributes(&following.line(), "id"), ["3"]);
    let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
    writeln!(file, "{}", event(4, "a")).unwrap();
    assert_eq!(attributes(&following.line(), "id"), ["4"]);
    following.signal(Signal::INT);
    assert_eq!(following.end().code, Some(0));
}

#[test]
fn standard_input_is_passed_on_as_it_comes() {
    let place = Place::new();
    let arguments = ["tail", "-", "--from", "first", "--type", "a"];
    let mut running = Running::start(place.command(&arguments).stdin(Stdio::piped()));
    running.say(&event(1, "a"));
    // It is printed while more may follow.
    assert_eq!(attributes(&running.line(), "id"), ["1"]);
    running.say(&event(2, "b"));
    running.say("");
    running.say("nonsense");
    running.say(&event(3, "a"));
    let ended = running.end();
    assert_eq!((ended.code, ended.events("id")), (Some(4), vec!["3".into()]));
    assert!(ended.err.starts_with("<stdin>:4: "), "{}", ended.err);
    let last = place.feed(&["tail", "-", "-n", "2"], &events(5, "a"));
    assert_eq!((last.code, last.events("id")), (Some(0), numbers(4, 5)));
}
