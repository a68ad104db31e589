//! `query`: filters, conditions, order, counts, groups, damage and exit codes.

use std::fs;

use crate::support::{Ended, Place, attributes, keys, segments};

fn trade(id: usize, price: &str, venue: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/m/{venue}","type":"trade.{venue}","subject":"s{id}","time":"2020-01-0{id}T00:00:00Z","data":{{"price":{price},"venue":"{venue}"}}}}"#
    ) + "\n"
}

/// Five trades in a journal.
fn journal() -> Place {
    let place = Place::new();
    for (id, price, venue) in [
        (1, "100", "P"),
        (2, "1e2", "Q"),
        (3, "9007199254740993", "P"),
        (4, "9007199254740992", "P"),
        (5, "null", "Q"),
    ] {
        let ended = place.feed(&["pub", "--journal", "j"], &trade(id, price, venue));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    place
}

fn query(place: &Place, arguments: &[&str]) -> Ended {
    place.run(&[&["query", "j"], arguments].concat())
}

#[test]
fn conditions_and_filters_find_what_they_say() {
    let place = journal();
    let ids = |arguments: &[&str]| {
        let ended = query(&place, arguments);
        let code = if ended.out.is_empty() { 3 } else { 0 };
        assert_eq!((ended.code, &*ended.err), (Some(code), ""), "{ended:?}");
        ended.events("id")
    };
    assert_eq!(ids(&[]), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&["--where", "data.price == 100"]), ["1", "2"]);
    assert_eq!(ids(&["--where", "data.price > 9007199254740992"]), ["3"]);
    assert_eq!(ids(&["--where", "data.price exists", "--where", "data.venue == Q"]), ["2", "5"]);
    assert_eq!(ids(&["--where", "data.venue in [X, 'P']"]), ["1", "3", "4"]);
    assert_eq!(ids(&["--where", "subject =~ ^s[45]$"]), ["4", "5"]);
    assert_eq!(ids(&["--type", "trade.Q"]), ["2", "5"]);
    assert_eq!(ids(&["--type", "trade.*", "--source", "prefix:/m/P"]), ["1", "3", "4"]);
    assert_eq!(ids(&["--topic", "*.Q", "--id", "5"]), ["5"]);
    assert_eq!(ids(&["--since", "2020-01-02", "--until", "2020-01-04"]), ["2", "3", "4"]);
    assert_eq!(ids(&["--order", "desc", "--limit", "2"]), ["5", "4"]);
    assert_eq!(ids(&["--type", "trade.P", "--limit", "1"]), ["1"]);
    assert_eq!(ids(&["--limit", "0"]), [""; 0]);
    assert_eq!(ids(&["--since", "-5m"]), [""; 0]);
    assert_eq!(ids(&["--type", "nothing"]), [""; 0]);
}

#[test]
fn events_are_printed_as_they_are_stored() {
    let place = journal();
    let stored: String =
        segments(&place.path("j")).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(query(&place, &[]).out, stored);
}

#[test]
fn counts_and_groups_come_as_numbers_tables_or_json() {
    let place = journal();
    let out = |arguments: &[&str]| query(&place, arguments).out;
    assert_eq!(out(&["--count"]), "5\n");
    assert_eq!(out(&["--count", "--limit", "3"]), "3\n");
    assert_eq!(out(&["--count", "--json", "--type", "trade.P"]), "{\"count\":3}\n");
    let none = query(&place, &["--count", "--json", "--type", "x"]);
    assert_eq!((none.code, &*none.out), (Some(3), "{\"count\":0}\n"));
    assert_eq!(out(&["--group-by", "type"]), "           3  trade.P\n           2  trade.Q\n");
    assert_eq!(
        out(&["--group-by", "data.venue", "--json"]),
        "{\"groups\":[{\"key\":\"P\",\"count\":3},{\"key\":\"Q\",\"count\":2}]}\n"
    );
    assert_eq!(
        out(&["--group-by", "topic", "--top", "1", "--json"]),
        "{\"groups\":[{\"key\":\"trade.P\",\"count\":3}]}\n"
    );
    let prices = query(&place, &["--group-by", "data.price", "--json", "--order", "desc"]);
    assert_eq!(keys(&prices.out), ["groups"]);
    assert!(prices.out.contains("{\"key\":9007199254740993,\"count\":1}"), "{prices:?}");
    assert!(prices.out.contains("{\"key\":null,\"count\":1}"), "{prices:?}");
    let missing = query(&place, &["--group-by", "data.nothing", "--json"]);
    assert_eq!(missing.out, "{\"groups\":[{\"key\":null,\"count\":5}]}\n");
}

#[test]
fn a_plain_file_and_standard_input_are_searched_too() {
    let place = Place::new();
    let text = trade(1, "1", "P") + &trade(2, "2", "Q") + &trade(3, "3", "P");
    place.write("f.jsonl", &text);
    let wanted = ["--where", "data.price >= 2"];
    let ended = place.run(&[&["query", "f.jsonl"][..], &wanted].concat());
    assert_eq!((ended.code, ended.events("id")), (Some(0), vec!["2".into(), "3".into()]));
    let ended = place.feed(&[&["query", "-"][..], &wanted].concat(), &text);
    assert_eq!((ended.code, ended.events("id")), (Some(0), vec!["2".into(), "3".into()]));
}

#[test]
fn damage_is_left_out_counted_and_told() {
    let place = journal();
    let third = &segments(&place.path("j"))[0];
    let text = fs::read_to_string(third).unwrap().replacen("\"price\":100,", "\"price\":700,", 1);
    fs::write(third, text).unwrap();
    let ended = query(&place, &["--type", "trade.P"]);
    assert_eq!((ended.code, ended.events("id")), (Some(4), vec!["3".into(), "4".into()]));
    assert!(ended.err.contains("checksum") && ended.err.contains("1 damaged lines"), "{ended:?}");
    let ended = query(&place, &["--where", "data.price == 700"]);
    assert_eq!((ended.code, &*ended.out), (Some(4), ""), "{ended:?}");
}

#[test]
fn an_escaped_spelling_is_found_as_well_as_a_plain_one() {
    let place = Place::new();
    let text = r#"{"specversion":"1.0","id":"1","source":"\/m\/P","type":"tr\u0061de.P","data":{"pr\u0069ce":5,"v":"\u0050"}}"#;
    place.write("f.jsonl", text);
    for wanted in [
        ["--type", "trade.P"],
        ["--source", "/m/P"],
        ["--where", "data.price == 5"],
        ["--where", "data.v == P"],
        ["--type", "trade.*"],
        ["--source", "prefix:/m"],
    ] {
        let ended = place.run(&[&["query", "f.jsonl"][..], &wanted].concat());
        assert_eq!(attributes(&ended.out, "id"), ["1"], "{wanted:?} {ended:?}");
    }
}

#[test]
fn wrong_questions_are_refused_with_a_reason() {
    let place = journal();
    for (arguments, reason) in [
        (&["--where", "data.price ~ 5"][..], "is no comparison"),
        (&["--where", "data.price =~ ("], "regular expression"),
        (&["--since", "yesterday"], "is no time"),
        (&["--order", "up"], "asc"),
        (&["--top", "3"], "--group-by"),
        (&["--group-by", "a.b"], "attribute"),
        (&["--limit", "many"], "invalid"),
    ] {
        let told = place.fails(&[&["query", "j"], arguments].concat(), 2);
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }
    let told = place.fails(&["query", "nowhere"], 1);
    assert!(told.contains("nowhere"), "{told}");
}

#[test]
#[cfg(feature = "jq")]
fn an_expression_of_jq_is_one_more_filter() {
    let place = journal();
    let ids = |arguments: &[&str]| query(&place, arguments).events("id");
    assert_eq!(ids(&["--jq", ".data.venue == \"P\"", "--type", "trade.*"]), ["1", "3", "4"]);
    assert_eq!(
        ids(&["--jq", ".data.price", "--jq", ".subject | test(\"[2-5]\")"]),
        ["2", "3", "4"]
    );
    assert_eq!(query(&place, &["--jq", "empty"]).code, Some(3));
    let told = place.fails(&["query", "j", "--jq", ".data |"], 2);
    assert!(told.contains("no jq expression"), "{told}");
}
