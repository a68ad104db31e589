//! `consumers`: listing, showing, moving and forgetting durable consumers.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ringpost::store::journal::{Journal, JournalOptions};
use ringpost::store::{Begin, Consumer, PersistOptions, Persistence, Store};
use ringpost::{EventBus, Sequence};
use serde_json::json;

use crate::support::{Place, Running, events};

const LONG: Duration = Duration::from_secs(60);

/// A bus over a journal, with the consumer `billing` on it.
fn consumer(journal: &Path) -> (EventBus, Persistence, Consumer) {
    let journal = Journal::open(journal, JournalOptions::default()).unwrap();
    let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
    let bus = EventBus::builder().start(Sequence::new(next)).build();
    let persistence = bus.persist(journal, PersistOptions::default()).unwrap();
    let wanted = bus.subscribe("a.*").unwrap().durable("billing", &persistence);
    let consumer = wanted.begin(Begin::First).pull().unwrap();
    (bus, persistence, consumer)
}

/// A journal of ten events of which `billing` has handled four.
fn place() -> Place {
    let place = Place::new();
    let ended = place.feed(&["pub", "--journal", "j"], &events(10, "a.b"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_bus, persistence, mut consumer) = consumer(&place.path("j"));
    for _ in 0..4 {
        assert!(consumer.next_timeout(LONG).unwrap().is_some());
        consumer.ack();
    }
    assert!(consumer.close(LONG).complete);
    assert!(persistence.stop(LONG).complete);
    place
}

#[test]
fn consumers_are_listed_and_shown_with_how_far_behind_they_are() {
    let place = place();
    let ended = place.run(&["consumers", "list", "j", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let billing = &ended.json()["consumers"][0];
    assert_eq!(billing["name"], "billing");
    assert_eq!((&billing["next_sequence"], &billing["lag"]), (&json!(5), &json!(6)));
    assert_eq!((&billing["handled"], &billing["running"]), (&json!(4), &json!(false)));
    let shown = place.run(&["consumers", "show", "billing", "j", "--json"]);
    assert_eq!((shown.code, &shown.json()), (Some(0), billing));
    let table = place.run(&["consumers", "list", "--journal", "j"]);
    assert!(table.out.contains("billing") && table.out.contains("a.*"), "{table:?}");
    let card = place.run(&["consumers", "show", "billing", "j"]);
    assert!(card.out.contains("behind     6"), "{card:?}");
    // The directory of checkpoints is nothing that the others count or check.
    assert_eq!(place.run(&["stats", "j", "--json"]).json()["events"], 10);
    assert_eq!(place.run(&["verify", "j"]).code, Some(0));
}

#[test]
fn a_consumer_is_moved_to_any_place() {
    let place = place();
    for (to, next) in
        [("first", 1), ("last", 11), ("seq:3", 3), ("time:2001-01-01", 1), ("time:2999-01-01", 11)]
    {
        let ended = place.run(&["consumers", "reset", "billing", "--to", to, "j", "--json"]);
        assert_eq!((ended.code, &ended.json()["next_sequence"]), (Some(0), &json!(next)), "{to}");
    }
    let beyond = place.run(&["consumers", "reset", "billing", "--to", "seq:12", "j"]);
    assert_eq!(beyond.code, Some(2), "{beyond:?}");
    let nonsense = place.run(&["consumers", "reset", "billing", "--to", "there", "j"]);
    assert_eq!(nonsense.code, Some(2), "{nonsense:?}");
    let removed = place.run(&["consumers", "remove", "billing", "j"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(place.run(&["consumers", "list", "j", "--json"]).json(), json!({"consumers": []}));
}

#[test]
fn a_number_that_no_sequence_can_have_is_refused_in_one_sentence() {
    let place = place();
    for number in ["4611686018427387904", "18446744073709551615", "18446744073709551616", "-1"] {
        let to = format!("--to=seq:{number}");
        let told = place.fails(&["consumers", "reset", "billing", &to, "j"], 2);
        assert!(told.contains(&format!("`{number}` is no sequence")), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
    // The highest there is: refused for where the journal ends.
    let told =
        place.fails(&["consumers", "reset", "billing", "--to=seq:4611686018427387903", "j"], 2);
    assert!(told.contains("the journal goes on at 11"), "{told}");
}

#[test]
fn what_has_no_consumers_is_told_as_that() {
    let place = Place::new();
    place.write("f.jsonl", events(1, "a.b"));
    for verb in [&["list"][..], &["show", "billing"], &["remove", "billing"]] {
        let told = place.fails(&[&["consumers"][..], verb, &["--journal", "f.jsonl"]].concat(), 2);
        assert!(
            told.contains("f.jsonl") && told.contains("a plain file has no consumers"),
            "{told}"
        );
        assert!(told.contains("name a journal's directory"), "{told}");
        assert!(!told.contains("build"), "{told}");
    }
    // Standard input stays open: nobody waits for its end to say so.
    let mut running =
        Running::start(place.command(&["consumers", "list", "-"]).stdin(Stdio::piped()));
    let stdin = running.stdin.take();
    let ended = running.end();
    drop(stdin);
    assert_eq!((ended.code, &*ended.out), (Some(2), ""), "{ended:?}");
    assert!(ended.err.contains("standard input has no consumers"), "{ended:?}");
}

#[test]
fn an_unknown_name_is_3_and_one_that_is_none_2() {
    let place = place();
    for verb in [&["show", "audit"][..], &["remove", "audit"], &["reset", "audit", "--to", "first"]]
    {
        let ended = place.run(&[&["consumers"][..], verb, &["--journal", "j"]].concat());
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.err.contains("audit"), "{ended:?}");
    }
    let ended = place.run(&["consumers", "show", "../lock", "j"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!place.path("j/consumers/.audit.lock").exists(), "asking leaves nothing behind");
}

#[test]
fn a_consumer_that_runs_is_seen_and_left_alone() {
    let place = place();
    let (_bus, _persistence, consumer) = consumer(&place.path("j"));
    let shown = place.run(&["consumers", "show", "billing", "j", "--json"]);
    assert_eq!(shown.json()["running"], true);
    for verb in [&["remove", "billing"][..], &["reset", "billing", "--to", "first"]] {
        let ended = place.run(&[&["consumers"][..], verb, &["--journal", "j"]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("it runs; stop it first"), "{ended:?}");
    }
    assert!(consumer.close(LONG).complete);
    assert_eq!(place.run(&["consumers", "remove", "billing", "j"]).code, Some(0));
}

#[test]
fn what_is_said_of_one_that_runs_is_whole_whatever_the_journal_is_called() {
    let place = Place::new();
    let ended = place.feed(&["pub", "--journal", "a: b"], &events(1, "a.b"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_bus, _persistence, consumer) = consumer(&place.path("a: b"));
    let told = place.fails(&["consumers", "remove", "billing", "--journal", "a: b"], 1);
    assert!(told.contains("a: b") && told.contains("it runs; stop it first"), "{told}");
    assert!(consumer.close(LONG).complete);
}

#[test]
fn a_damaged_checkpoint_is_4_until_it_is_reset() {
    let place = place();
    let file = place.path("j/consumers/billing");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    let listed = place.run(&["consumers", "list", "j", "--json"]);
    assert_eq!(listed.code, Some(4), "{listed:?}");
    assert!(listed.json()["consumers"][0]["error"].as_str().unwrap().contains("damaged"));
    assert_eq!(place.run(&["consumers", "show", "billing", "j"]).code, Some(4));
    assert_eq!(place.run(&["consumers", "reset", "billing", "--to", "seq:2", "j"]).code, Some(0));
    let shown = place.run(&["consumers", "show", "billing", "j", "--json"]);
    assert_eq!(shown.json()["next_sequence"], 2);
}
