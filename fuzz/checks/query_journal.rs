//! A query over a file: the text of the question never makes it panic, and the searching threads
//! find what is found by looking at one line after the other.
//!
//! The input is a question, a line break, and the file. A question is a row of filters with `|`
//! between them, each with a letter and a colon before it.

use std::fs;

use ringpost::Pattern;
use ringpost::store::journal::JournalReader;
use ringpost::store::journal::query::{Condition, Order, Query, Selection};

/// Panics if the query finds anything else than a look at each line.
pub(crate) fn check(input: &[u8]) {
    let (question, text) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &b""[..]),
    };
    let Some(selection) = std::str::from_utf8(question).ok().and_then(selection) else { return };
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("a directory");
    let file = directory.path().join("f.jsonl");
    fs::write(&file, text).expect("written");
    let reader = JournalReader::open(&file).expect("a reader");

    let mut records = reader.records().expect("records");
    let mut expected = Vec::new();
    for entry in records.by_ref() {
        let entry = entry.expect("readable");
        if selection.admits(&entry.line) {
            expected.push((entry.position.offset, entry.line));
        }
    }
    let query = Query::new(selection);
    let (found, damaged) = run(&reader, query.clone());
    assert_eq!(found, expected);
    assert!(damaged <= records.damaged(), "{damaged}");
    let (limited, _) = run(&reader, query.clone().with_limit(2));
    assert_eq!(limited, expected[..expected.len().min(2)]);
    let (mut backward, _) = run(&reader, query.with_order(Order::Descending));
    backward.reverse();
    assert_eq!(backward, expected);
}

fn run(reader: &JournalReader, query: Query) -> (Vec<(u64, Vec<u8>)>, u64) {
    let mut matches = reader.query(query).expect("a query");
    let mut found = Vec::new();
    while let Some(next) = matches.next().expect("readable") {
        found.push((next.position.offset, next.line.to_vec()));
    }
    (found, matches.damaged())
}

/// The question, if every filter of it is valid.
fn selection(question: &str) -> Option<Selection> {
    let mut selection = Selection::default();
    for filter in question.split('|') {
        let (letter, text) = filter.split_once(':')?;
        selection = match letter {
            "w" => {
                let condition: Condition = text.parse().ok()?;
                let again: Condition = condition.to_string().parse().expect("parsed before");
                selection.condition(again)
            }
            "t" => selection.kind(Pattern::parse(text).ok()?),
            "o" => selection.topic(Pattern::parse(text).ok()?),
            "s" => selection.source(text.parse().ok()?),
            "u" => selection.subject(text.parse().ok()?),
            "i" => selection.id(text.parse().ok()?),
            "c" => selection.correlation(text.parse().ok()?),
            _ => return None,
        };
    }
    Some(selection)
}
