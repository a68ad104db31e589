//! Queries against a naive evaluator, over made-up events and the shared ones; order, repeated
//! records, limits and memory.
#![cfg(all(feature = "query", unix))]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use ringpost::Pattern;
use ringpost::store::journal::JournalReader;
use ringpost::store::journal::query::{Order, Query, Selection};
use serde_json::Value;
use tempfile::TempDir;

#[path = "../fuzz/checks/query_journal.rs"]
mod query_journal;

#[test]
fn every_kept_input_passes() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/query_journal");
    let mut count = 0;
    for file in fs::read_dir(corpus).expect("the corpus") {
        query_journal::check(&fs::read(file.expect("a file").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

fn found(path: &Path, query: Query) -> Vec<String> {
    let mut matches = JournalReader::open(path).unwrap().query(query).unwrap();
    let mut lines = Vec::new();
    while let Some(next) = matches.next().unwrap() {
        lines.push(String::from_utf8(next.line.to_vec()).unwrap());
    }
    lines
}

#[test]
fn each_match_comes_with_its_event_once_where_that_is_asked_for() {
    let directory = directory();
    let file = directory.path().join("events.jsonl");
    let line =
        |id: usize| format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t"}}"#);
    fs::write(&file, (0..500).map(|id| line(id) + "\n").collect::<String>()).unwrap();
    let reader = JournalReader::open(&file).unwrap();
    let all = || Query::new(Selection::default());
    for order in [Order::Ascending, Order::Descending] {
        let mut matches = reader.query(all().with_order(order).with_events()).unwrap();
        assert!(matches.take_event().is_none(), "there was no match yet");
        let mut count = 0;
        while let Some(found) = matches.next().unwrap() {
            let line = String::from_utf8(found.line.to_vec()).unwrap();
            let event = matches.take_event().expect("it was asked for");
            assert_eq!(event.to_string(), line);
            assert!(matches.take_event().is_none(), "it was taken");
            count += 1;
        }
        assert_eq!(count, 500);
        assert!(matches.take_event().is_none(), "there are no more");
    }
    let mut matches = reader.query(all()).unwrap();
    assert!(matches.next().unwrap().is_some() && matches.take_event().is_none());

    let with: Vec<_> = reader.records().unwrap().map(Result::unwrap).collect();
    let without = reader.records().unwrap().without_lines().map(Result::unwrap);
    for (with, without) in with.iter().zip(without) {
        assert!(without.line.is_empty() && !with.line.is_empty());
        assert_eq!((&with.event, with.position), (&without.event, without.position));
    }
}

#[test]
fn a_search_that_is_to_stop_ends_soon_and_gives_the_first_of_its_matches() {
    let directory = directory();
    let file = directory.path().join("events.jsonl");
    let line = |id: usize| {
        let data = "x".repeat(400);
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t","data":"{data}"}}"#)
    };
    const ALL: usize = 40_000;
    fs::write(&file, (0..ALL).map(|id| line(id) + "\n").collect::<String>()).unwrap();
    let reader = JournalReader::open(&file).unwrap();
    for order in [Order::Ascending, Order::Descending] {
        // Nothing matches, so that the search alone sees that it is to stop.
        let looked = Arc::new(AtomicUsize::new(0));
        let (seen, known) = (Arc::clone(&looked), Arc::clone(&looked));
        let none = Selection::default().predicate(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            false
        });
        let stop = move || known.load(Ordering::Relaxed) >= 10;
        let query = Query::new(none).with_order(order).with_stop(stop);
        let mut matches = reader.query(query).unwrap();
        assert!(matches.next().unwrap().is_none() && matches.stopped());
        assert!(matches.next().unwrap().is_none(), "nothing follows");
        drop(matches);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let looked = looked.load(Ordering::Relaxed);
        assert!(looked <= 10 + 1024 * threads, "{looked} by {threads} threads");

        // Whoever takes the matches says when it is enough.
        let enough = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&enough);
        let query = Query::new(Selection::default()).with_order(order);
        let query = query.with_stop(move || asked.load(Ordering::Relaxed));
        let mut matches = reader.query(query).unwrap();
        let mut count = 0;
        while let Some(found) = matches.next().unwrap() {
            let id = if order == Order::Ascending { count } else { ALL - 1 - count };
            assert_eq!(found.line, line(id).as_bytes(), "none is left out between");
            count += 1;
            enough.store(count >= 10, Ordering::Relaxed);
        }
        assert!((10..=ALL).contains(&count));
        assert_eq!(matches.stopped(), count < ALL);
    }
}

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A JSON value as the naive evaluator knows it: nothing of it is ever read from a text.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Boolean(bool),
    /// `mantissa × 10^exponent`.
    Number(i64, i32),
    Text(String),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The value as JSON; `spell` says, character by character, whether it is escaped, and how
    /// a number is written.
    fn write(&self, spell: &mut impl Iterator<Item = u8>, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(&value.to_string()),
            Self::Number(mantissa, exponent) => match (spell.next(), exponent) {
                (Some(0..=99), 0) => out.push_str(&mantissa.to_string()),
                (Some(0..=99), 1..) => {
                    out.push_str(&mantissa.to_string());
                    if *mantissa != 0 {
                        out.extend(std::iter::repeat_n('0', *exponent as usize));
                    }
                    out.push_str(".00");
                }
                _ => out.push_str(&format!("{mantissa}E{exponent:+}")),
            },
            Self::Text(text) => write_text(text, spell, out),
            Self::Object(members) => {
                out.push('{');
                for (number, (name, value)) in members.iter().enumerate() {
                    out.push_str(if number > 0 { ", " } else { "" });
                    write_text(name, spell, out);
                    out.push(':');
                    value.write(spell, out);
                }
                out.push('}');
            }
        }
    }

    fn member(&self, name: &str) -> Option<&Tree> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// Whether the comparison holds, by integers and texts alone.
    fn compare(&self, operator: &str, other: &Tree) -> bool {
        let order = match (self, other) {
            (Self::Number(m, e), Self::Number(n, f)) => {
                let whole = |m: i64, e: i32| i128::from(m) * 10_i128.pow((e + 6) as u32);
                Some(whole(*m, *e).cmp(&whole(*n, *f)))
            }
            (Self::Text(left), Self::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            _ => None,
        };
        let equal = match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(left), Self::Boolean(right)) => left == right,
            _ => order.is_some_and(|order| order.is_eq()),
        };
        match operator {
            "==" => equal,
            "!=" => !equal,
            "<" => order.is_some_and(|order| order.is_lt()),
            "<=" => order.is_some_and(|order| order.is_le()),
            ">" => order.is_some_and(|order| order.is_gt()),
            _ => order.is_some_and(|order| order.is_ge()),
        }
    }
}

fn write_text(text: &str, spell: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        let mut units = [0; 2];
        match (spell.next().unwrap_or(0), c) {
            (0..=20, _) => {
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
            (21..=99, '/') => out.push_str("\\/"),
            (_, '"' | '\\') => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out.push('"');
}

const NAMES: [&str; 5] = ["n", "price", "a/b", "é", "t\"q"];
/// Whole numbers that a float does not tell apart.
const BIG: [i64; 3] = [9_007_199_254_740_992, 9_007_199_254_740_993, -9_007_199_254_740_993];
const TEXTS: [&str; 6] = ["", "x", "a/b", "é🦀", "say \"hi\"\\", "100"];

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Boolean),
        (-3_i64..4, -2..3).prop_map(|(mantissa, exponent)| Tree::Number(mantissa, exponent)),
        (prop::sample::select(&BIG[..]), -1..2).prop_map(|(m, e)| Tree::Number(m, e)),
        prop::sample::select(&TEXTS[..]).prop_map(|text| Tree::Text(text.into())),
    ]
}

fn object() -> impl Strategy<Value = Tree> {
    let value = prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec((prop::sample::select(&NAMES[..]), scalar()), 0..3)
            .prop_map(|members| Tree::Object(own(members))),
    ];
    prop::collection::vec((prop::sample::select(&NAMES[..]), value), 0..5)
        .prop_map(|members| Tree::Object(own(members)))
}

fn own(members: Vec<(&str, Tree)>) -> Vec<(String, Tree)> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An event: its type and its data.
type Made = (&'static str, Tree);

fn line(id: usize, (kind, data): &Made, spell: &mut impl Iterator<Item = u8>) -> String {
    let mut line = format!("{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":");
    write_text(kind, spell, &mut line);
    line.push_str(",\"data\":");
    data.write(spell, &mut line);
    line.push('}');
    line
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_query_finds_what_a_naive_evaluator_finds(
        events in prop::collection::vec((prop::sample::select(&["a.b", "a.c", "d/e"][..]), object()), 1..12),
        spells in prop::collection::vec(any::<u8>(), 0..200),
        path in prop::collection::vec(prop::sample::select(&NAMES[..]), 1..3),
        operator in prop::sample::select(&["==", "!=", "<", "<=", ">", ">=", "exists", "in"][..]),
        value in scalar(),
        kinds in prop::sample::subsequence(&["a.b", "a.c", "d/e", "a.*"][..], 0..3),
    ) {
        let mut spell = spells.iter().copied().cycle().take(100_000);
        let lines: Vec<String> = events.iter().enumerate().map(|(id, event)| line(id, event, &mut spell)).collect();
        let directory = directory();
        let file = directory.path().join("f.jsonl");
        fs::write(&file, lines.join("\n")).unwrap();

        let mut written = String::new();
        value.write(&mut std::iter::repeat(255), &mut written);
        let place: String = path.iter().map(|name| format!("[{}]", serde_json::to_string(name).unwrap())).collect();
        let condition = match operator {
            "exists" => format!("data{place} exists"),
            "in" => format!("data{place} in [\"zzz\", {written}]"),
            _ => format!("data{place} {operator} {written}"),
        };
        let mut selection = Selection::default().condition(condition.parse().unwrap());
        for kind in &kinds {
            selection = selection.kind(Pattern::parse(kind).unwrap());
        }
        let expected: Vec<String> = events.iter().zip(&lines).filter(|((kind, data), _)| {
            let wanted = |pattern: &&str| pattern == kind || (*pattern == "a.*" && kind.starts_with("a."));
            let at = path.iter().try_fold(data, |tree, name| tree.member(name));
            (kinds.is_empty() || kinds.iter().any(wanted)) && at.is_some_and(|at| match operator {
                "exists" => true,
                "in" => at.compare("==", &value),
                _ => at.compare(operator, &value),
            })
        }).map(|(_, line)| line.clone()).collect();
        prop_assert_eq!(found(&file, Query::new(selection)), expected, "{}", condition);
    }

    #[test]
    fn any_question_over_any_lines_finds_what_each_line_says(
        question in "(w:data\\.[a-z]{1,2}|t:a|o:[a-c.*>]{1,4}|s:(prefix:|glob:)?[a-z/]{0,3})( ?(==|=~|>|in|exists) ?[0-9a-c\\[\\]\"]{0,4})?",
        lines in prop::collection::vec("\\{(\"[a-c\\\\u0061]{1,6}\":(1|\"a\"|null|\\{\\}),?){0,3}\\}", 0..5),
    ) {
        query_journal::check(format!("{question}\n{}", lines.join("\n")).as_bytes());
    }
}

/// The shared file, or none where it is not there and nobody insists on it.
fn shared() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/events.jsonl"));
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("RINGPOST_REQUIRE_SHARED").is_none(), "{}", path.display());
    eprintln!("skipped: {} not present", path.display());
    None
}

#[test]
fn real_events_are_found_as_by_looking_at_each() {
    let Some(path) = shared() else { return };
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<(&str, Value)> =
        text.lines().map(|line| (line, serde_json::from_str(line).unwrap())).collect();
    type Naive = fn(&Value) -> bool;
    let questions: [(&str, Naive); 9] = [
        ("data.price >= 1000000", |e| e["data"]["price"].as_f64().is_some_and(|p| p >= 1e6)),
        ("data.proto == udp", |e| e["data"]["proto"] == "udp"),
        ("data.id_resp_p in [53, 443]", |e| {
            e["data"]["id_resp_p"] == 53 || e["data"]["id_resp_p"] == 443
        }),
        ("data.repository.full_name =~ /^[a-m]/", |e| {
            let name = e["data"]["repository"]["full_name"].as_str();
            name.is_some_and(|name| name.starts_with(|c| ('a'..='m').contains(&c)))
        }),
        ("data exists", |e| !e["data"].is_null()),
        ("subject exists", |e| e["subject"].is_string()),
        ("data.sender.id > 1000000", |e| {
            e["data"]["sender"]["id"].as_u64().is_some_and(|id| id > 1_000_000)
        }),
        ("data.action != opened", |e| {
            e["data"].get("action").is_some_and(|action| action != "opened")
        }),
        ("data.commits[0].author.name exists", |e| {
            e["data"]["commits"][0]["author"].get("name").is_some()
        }),
    ];
    for (condition, naive) in questions {
        let expected: Vec<&str> =
            lines.iter().filter(|(_, event)| naive(event)).map(|(line, _)| *line).collect();
        let selection = Selection::default().condition(condition.parse().unwrap());
        assert_eq!(found(&path, Query::new(selection)), expected, "{condition}");
        assert!(!expected.is_empty(), "{condition}");
    }
    for pattern in ["org.zeek.dns", "com.github.*", "prefix:market.", "glob:*trade*"] {
        let pattern = Pattern::parse(pattern).unwrap();
        let expected: Vec<&str> = lines
            .iter()
            .filter(|(_, event)| pattern.matches(event["type"].as_str().unwrap()))
            .map(|(line, _)| *line)
            .collect();
        let query = Query::new(Selection::default().kind(pattern.clone()));
        let mut backward = found(&path, query.clone().with_order(Order::Descending));
        backward.reverse();
        assert_eq!(found(&path, query), expected, "{pattern:?}");
        assert_eq!(backward, expected, "{pattern:?}");
    }
}
