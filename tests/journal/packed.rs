//! Sealed segments that were compressed: every reader sees what it saw before.

use std::fs;
use std::path::Path;

use ringpost::Sequence;
use ringpost::store::Store;
use ringpost::store::journal::query::{Order, Query, Selection};
use ringpost::store::journal::{Fsync, Journal, JournalReader, Start};

use super::support::*;

/// A journal of these sequences in segments of some records each; how many segments.
fn journal(directory: &Path, last: u64) -> u64 {
    let settings = options(Fsync::Never).with_segment_bytes(3000);
    let mut journal = Journal::open(directory, settings).expect("the journal opens");
    for sequence in 1..=last {
        journal.append(&records([sequence])).expect("appended");
    }
    let count = (1..).take_while(|number| segment(directory, *number).exists()).count();
    count as u64
}

/// Puts the compressed segment beside the plain one, which is then taken away.
fn pack(directory: &Path, number: u64) {
    let plain = segment(directory, number);
    let bytes = fs::read(&plain).expect("the segment");
    let packed = zstd::bulk::compress(&bytes, 3).expect("compressed");
    fs::write(plain.with_extension("jsonl.zst"), packed).expect("written");
    fs::remove_file(plain).expect("removed");
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<u64> {
    range.into_iter().collect()
}

#[test]
fn every_way_to_read_sees_through_compression() {
    let directory = quick_dir();
    let count = journal(directory.path(), 100);
    assert!(count >= 5, "{count}");
    let plain = JournalReader::open(directory.path()).expect("a reader");
    let (stats, check) = (plain.stats().expect("stats"), plain.verify().expect("verified"));
    for number in (1..count).filter(|number| number % 3 != 0) {
        pack(directory.path(), number);
    }
    let reader = JournalReader::open(directory.path()).expect("a reader");
    assert_eq!(sequences(&entries(directory.path())), numbers(1..=100));
    assert_eq!(sequences(&reader.tail(60).expect("a tail").entries), numbers(41..=100));
    let from = reader.records_from(Sequence::new(37)).expect("records");
    let from: Vec<_> = from.map(|entry| entry.expect("readable")).collect();
    assert_eq!(sequences(&from), numbers(37..=100));
    assert_eq!(reader.stats().expect("stats"), stats);
    assert_eq!(reader.verify().expect("verified"), check);
    for order in [Order::Ascending, Order::Descending] {
        let selection = Selection::default().condition("data.n > 10".parse().expect("valid"));
        let query = Query::new(selection).with_order(order);
        let mut matches = reader.query(query).expect("a query");
        let mut found = Vec::new();
        while let Some(next) = matches.next().expect("readable") {
            found.push(next.sequence.expect("a sequence").get());
        }
        let expected = numbers(11..=100);
        match order {
            Order::Ascending => assert_eq!(found, expected),
            Order::Descending => assert!(found.into_iter().rev().eq(expected)),
        }
    }
}

#[test]
fn a_follower_goes_on_in_the_compressed_segment_and_never_repeats() {
    let directory = quick_dir();
    let count = journal(directory.path(), 100);
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let mut seen = Vec::new();
    let mut number = 1;
    while let Some(entry) = follow.poll().expect("readable") {
        seen.push(entry.sequence.expect("a sequence").get());
        // Compressed under the follower's hands, some before it comes to them.
        if seen.len() % 7 == 0 && number < count {
            pack(directory.path(), number);
            number += 1;
        }
    }
    assert_eq!(seen, numbers(1..=100));
    // One that left off in the middle of a segment that is compressed by now.
    let middle = &reader.records().expect("records").nth(20).expect("there").expect("readable");
    let start = Start::At { position: middle.position, last: None };
    let mut follow = reader.follow(start).expect("followed");
    let next = follow.poll().expect("readable").expect("there");
    assert_eq!(next.sequence, middle.sequence);
}

#[test]
fn while_both_forms_of_a_segment_are_there_it_is_read_once() {
    let directory = quick_dir();
    journal(directory.path(), 40);
    let plain = fs::read(segment(directory.path(), 1)).expect("the segment");
    pack(directory.path(), 1);
    fs::write(segment(directory.path(), 1), plain).expect("written");
    assert_eq!(sequences(&entries(directory.path())), numbers(1..=40));
}
