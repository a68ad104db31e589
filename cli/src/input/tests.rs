#![forbid(unsafe_code)]

use std::io::BufReader;

use ringpost::event::Data;

use super::*;

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;

fn read_as(text: &[u8], as_data: Option<&AsData>) -> Vec<Result<Event, String>> {
    // A small buffer, so that everything is met in pieces.
    let reader = BufReader::with_capacity(7, text);
    let mut items = Vec::new();
    let emit = |item| {
        items.push(match item {
            Item::Event(event, _) => Ok(event),
            Item::Rejected(rejection) => Err(rejection.to_string()),
        });
    };
    Input { name: "f".into(), decoder: &mut as_data.cloned(), emit }.read(reader).unwrap();
    items
}

fn places(text: &str) -> Vec<String> {
    let items = read_as(text.as_bytes(), None).into_iter();
    items.map(|item| item.map_or_else(|error| error, |event| event.id().to_owned())).collect()
}

fn event(id: u32) -> String {
    EVENT.replace("\"1\",\"source", &format!("\"{id}\",\"source"))
}

#[test]
fn lines_batches_and_blank_lines_are_read_in_order() {
    let text = format!("{}\n\n  \r\n[{},\t{}]\r\n[]\n {} ", event(1), event(2), event(3), event(4));
    assert_eq!(places(&text), ["1", "2", "3", "4"]);
}

#[test]
fn a_file_that_begins_with_a_bracket_is_one_array() {
    let text = format!("[{},\n\n{}\n,\n {}]\n", event(1), event(2), event(3));
    assert_eq!(places(&text), ["1", "2", "3"]);
    assert_eq!(places("[]"), [""; 0]);
    assert_eq!(places(""), [""; 0]);
    assert_eq!(places("\n \n"), [""; 0]);
}

#[test]
fn what_is_no_event_is_rejected_with_its_line_and_the_rest_is_read() {
    let text = format!("{}\nnonsense\n\n[{},3,{}]\n{{\"a\":1}}\n", event(1), event(2), event(3));
    let found = places(&text);
    assert_eq!((&*found[0], &*found[2], &*found[4]), ("1", "2", "3"));
    assert!(found[1].starts_with("f:2: not JSON"), "{}", found[1]);
    assert_eq!(found[3], "f:4: not a JSON object");
    assert!(found[5].starts_with("f:5: ") && found[5].contains("--type"), "{}", found[5]);
    assert_eq!(found.len(), 6);
}

#[test]
fn an_elements_line_is_where_it_begins() {
    let text = format!("[\n{},\n{{\n\"a\":\n1\n}},\n7\n]", event(1));
    let found = places(&text);
    assert!(found[1].starts_with("f:3: "), "{}", found[1]);
    assert!(found[2].starts_with("f:7: "), "{}", found[2]);
}

#[test]
fn a_broken_array_ends_with_its_line() {
    let text = format!(" [{},,{}]\n{}", event(1), event(2), event(3));
    let found = places(&text);
    assert_eq!((&*found[0], &*found[2]), ("1", "3"));
    assert!(found[1].starts_with("f:1: not a JSON array"), "{}", found[1]);
    let whole = places(&format!("[{}\n,", event(1)));
    assert!(whole[1].starts_with("f:2: not a JSON array"), "{}", whole[1]);
}

#[test]
fn an_event_that_is_too_large_is_rejected_without_being_held() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
    let text = format!("{}\n{large}\n[{large},{}]\n", event(1), event(2));
    let found = places(&text);
    assert_eq!((&*found[0], &*found[3]), ("1", "2"));
    assert!(found[1].starts_with("f:2: larger than"), "{}", found[1]);
    assert!(found[2].starts_with("f:3: an element of the array is larger"), "{}", found[2]);
}

#[test]
fn plain_objects_become_data_and_cloudevents_stay_themselves() {
    let as_data = AsData { kind: "reading".into(), source: "me".into() };
    let text = format!("{{\"Name\": 1.0 }}\n{EVENT}\n{{\"specversion\":\"0.3\"}}\n7\n");
    let found = read_as(text.as_bytes(), Some(&as_data));
    let wrapped = found[0].as_ref().unwrap();
    assert_eq!((wrapped.kind(), wrapped.source(), wrapped.time()), ("reading", "me", None));
    assert_eq!(wrapped.data(), Some(Data::Json("{\"Name\": 1.0 }")));
    assert_eq!(found[1].as_ref().unwrap().kind(), "t");
    assert!(found[2].as_ref().unwrap_err().contains("specversion"));
    assert_eq!(found[3].as_ref().unwrap_err(), "f:4: not a JSON object");
}
