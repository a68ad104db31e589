//! `redis://`: the verbs on a stream of a real server.

use rustix::process::Signal;
use serde_json::json;

use crate::redis_server::{Server, Sync};
use crate::support::{Place, Running, event, events};

#[test]
fn what_is_published_into_a_stream_is_tailed_counted_and_verified() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let (place, url) = (Place::new(), server.url("stream=cli"));
    let text = events(250, "made.here");
    let summary = place.feed(&["pub", "--journal", &url, "--json"], &text);
    assert_eq!(summary.code, Some(0), "{summary:?}");
    let summary = summary.json();
    assert_eq!(summary["journaled"], 250);
    assert_eq!(summary["durable"], 250, "the server syncs always");
    // A second run goes on with the stream's numbers.
    assert_eq!(place.feed(&["pub", "--journal", &url], &event("last", "rare.one")).code, Some(0));

    let tail = place.run(&["tail", &url, "--no-follow", "-n", "2"]);
    assert_eq!(
        (tail.code, tail.events("type")),
        (Some(0), vec!["made.here".into(), "rare.one".into()])
    );
    let tail = place.run(&["tail", &url, "--no-follow", "--from", "seq:249"]);
    assert_eq!(tail.events("sequence").len(), 3);
    let tail = place.run(&["tail", &url, "--no-follow", "-n", "1", "--type", "made.here"]);
    assert_eq!(tail.events("type"), ["made.here"]);

    let stats = place.run(&["stats", &url, "--json"]).json();
    assert_eq!((&stats["events"], &stats["last_sequence"]), (&json!(251), &json!(251)));
    assert_eq!(stats["types"], json!({"made.here": 250, "rare.one": 1}));
    assert!(place.run(&["stats", &url]).out.contains("251"));
    let verified = place.run(&["verify", &url, "--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.json()["valid"], 251);
    server.tell(&["XADD", "cli", "*", "other", "entry"]);
    let verified = place.run(&["verify", &url]);
    assert_eq!(verified.code, Some(4), "{verified:?}");
    assert!(verified.err.contains("is no record") || verified.err.contains("only field"));
    place.fails(&["verify", &url, "--repair"], 2);
}

#[test]
fn a_tail_follows_a_stream_until_it_is_told_to_end() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let (place, url) = (Place::new(), server.url("stream=cli"));
    place.feed(&["pub", "--journal", &url], &event("one", "first"));
    let mut tail = Running::start(&mut place.command(&["tail", &url]));
    assert!(tail.line().contains("\"first\""));
    place.feed(&["pub", "--journal", &url], &event("two", "second"));
    assert!(tail.line().contains("\"second\""));
    tail.signal(Signal::INT);
    assert_eq!(tail.end().code, Some(0));
}

#[test]
fn what_cannot_be_opened_is_said_without_the_password() {
    let Some(server) = Server::start_with(Sync::Nothing, &["--requirepass", "sesame"]) else {
        return;
    };
    let place = Place::new();
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port());
    for arguments in [["pub", "--journal", &url], ["tail", "--journal", &url]] {
        let told = place.fails(&arguments, 1);
        assert!(told.contains("password") && !told.contains("hunter2"), "{told}");
    }
    let told = place.fails(&["stats", "redis://u:hunter2@127.0.0.1:1"], 1);
    assert!(told.contains("127.0.0.1:1") && !told.contains("hunter2"), "{told}");
    let told = place.fails(&["stats", "redis://:hunter2@h/?hunter2=1"], 2);
    assert!(!told.contains("hunter2"), "{told}");
    let url = format!("redis://:sesame@127.0.0.1:{}", server.port());
    let told = place.fails(&["tail", &url], 1);
    assert!(told.contains("there is nothing there"), "{told}");
}
