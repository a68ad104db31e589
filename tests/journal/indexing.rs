//! Queries and followers with a window of time: the same events with an index, without one, and
//! with whatever else lies in its place.

use std::fs;
use std::path::Path;

use ringpost::Sequence;
use ringpost::Shared;
use ringpost::event::{Event, Timestamp};
use ringpost::store::journal::query::{Order, Query, Selection};
use ringpost::store::journal::{Entry, Fsync, Journal, JournalReader, Start};
use ringpost::store::{Record, Store};

use super::support::*;

const SEGMENT: u64 = 300 * 1024;
const COUNT: u64 = 1200;

fn minute(minute: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(minute) * 60_000_000_000).expect("an instant")
}

/// A row of numbers without a pattern, the same each time.
struct Row(u64);

impl Row {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Events whose times go on, but for some that come late, some from the future, some without.
fn timed(row: &mut Row, sequence: u64) -> Record {
    let event = Event::builder("time.test").id(format!("{sequence}")).source("tests");
    let event = event.raw_json(format!("\"{}\"", "y".repeat(800)));
    let time = match row.below(50) {
        0 => row.below(COUNT),
        1 => 10 * COUNT,
        2 => 0,
        _ => sequence,
    };
    let event = if row.below(40) == 0 { event.without_time() } else { event.time(minute(time)) };
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.build().expect("valid")) }
}

fn journal(directory: &Path) {
    let settings = options(Fsync::Never).with_segment_bytes(SEGMENT);
    let mut journal = Journal::open(directory, settings).expect("the journal opens");
    let mut row = Row(7);
    for sequence in 1..=COUNT {
        journal.append(&[timed(&mut row, sequence)]).expect("appended");
    }
    assert!(segment(directory, 4).exists());
}

/// Damage, a foreign line without a checksum, and records that were written twice.
fn mistreat(directory: &Path) {
    let path = segment(directory, 2);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[200_000] ^= 4;
    let line = line_ends(&bytes)[100];
    let foreign = b"{\"specversion\":\"1.0\",\"id\":\"f\",\"source\":\"s\",\"type\":\"t\",\
        \"time\":\"1970-01-03T00:00:00Z\"}\n\n";
    bytes.splice(line..line, foreign.iter().copied());
    fs::write(&path, &bytes).expect("written");
    let path = segment(directory, 3);
    let again = fs::read(&path).expect("the segment");
    let ends = line_ends(&bytes);
    let tail = &bytes[ends[ends.len() - 4]..];
    fs::write(&path, [tail, &again].concat()).expect("written");
}

type Window = (Option<u64>, Option<u64>);

fn windows() -> Vec<Window> {
    let mut row = Row(11);
    let mut windows = vec![
        (None, None),
        (Some(0), Some(0)),
        (Some(10 * COUNT), None),
        (Some(10 * COUNT + 1), None),
        (Some(900), Some(100)),
        (Some(2880), Some(2880)),
    ];
    for _ in 0..4 {
        let (one, two) = (row.below(COUNT), row.below(60));
        windows.extend([(Some(one), Some(one + two)), (Some(one), None), (None, Some(one))]);
    }
    windows
}

fn takes(event: &Event, (since, until): Window) -> bool {
    let time = event.time().or(event.recorded_at());
    let is_open = since.is_none() && until.is_none();
    is_open
        || time.is_some_and(|time| {
            since.is_none_or(|since| time >= minute(since))
                && until.is_none_or(|until| time <= minute(until))
        })
}

/// What a scan of all records leaves, each once.
fn scanned(all: &[Entry], window: Window) -> Vec<Vec<u8>> {
    let wanted = all.iter().filter(|entry| takes(&entry.event, window));
    wanted.map(|entry| entry.line.clone()).collect()
}

fn found(directory: &Path, (since, until): Window, order: Order) -> Vec<Vec<u8>> {
    let mut selection = Selection::default();
    if let Some(since) = since {
        selection = selection.since(minute(since));
    }
    if let Some(until) = until {
        selection = selection.until(minute(until));
    }
    let reader = JournalReader::open(directory).expect("a reader");
    let mut matches = reader.query(Query::new(selection).with_order(order)).expect("a query");
    let mut lines = Vec::new();
    while let Some(next) = matches.next().expect("readable") {
        lines.push(next.line.to_vec());
    }
    let (done, total) = matches.progress();
    assert!(done <= total && (done == total || matches.damaged() > 0), "{done} of {total}");
    if order == Order::Descending {
        lines.reverse();
    }
    lines
}

fn followed(directory: &Path, since: u64) -> Vec<Vec<u8>> {
    let reader = JournalReader::open(directory).expect("a reader");
    let mut follow = reader.follow(Start::Time(minute(since))).expect("followed");
    std::iter::from_fn(|| follow.poll().expect("readable"))
        .filter(|entry| takes(&entry.event, (Some(since), None)))
        .map(|entry| entry.line)
        .collect()
}

fn assert_answers(directory: &Path) {
    let all = entries(directory);
    for window in windows() {
        let expected = scanned(&all, window);
        for order in [Order::Ascending, Order::Descending] {
            let found = found(directory, window, order);
            assert!(found == expected, "{window:?} {order:?}: {} {}", found.len(), expected.len());
        }
        if let (Some(since), None) = window {
            assert!(followed(directory, since) == expected, "since {since}");
        }
    }
}

fn indexes(directory: &Path) -> usize {
    let names = fs::read_dir(directory).expect("listed").map(|name| name.expect("a name").path());
    names.filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "index")).count()
}

#[test]
fn a_window_of_time_holds_the_same_with_and_without_an_index() {
    let directory = quick_dir();
    journal(directory.path());
    mistreat(directory.path());
    // A directory in its place is a place where none can be kept.
    for number in 1..=9 {
        fs::create_dir(segment(directory.path(), number).with_extension("index")).expect("made");
    }
    assert_answers(directory.path());
    assert_eq!(indexes(directory.path()), 0);
    for number in 1..=9 {
        fs::remove_dir(segment(directory.path(), number).with_extension("index")).expect("gone");
    }
    assert_answers(directory.path());
    assert!(indexes(directory.path()) >= 3);
    assert_answers(directory.path());
}

#[test]
fn an_index_is_left_unused_once_its_segment_is_another() {
    let directory = quick_dir();
    journal(directory.path());
    assert_answers(directory.path());
    mistreat(directory.path());
    assert_answers(directory.path());
    // The same name and the same sequences, other times.
    let count = line_ends(&fs::read(segment(directory.path(), 1)).expect("read")).len() as u64;
    let other = quick_dir();
    let mut journal = Journal::open(other.path(), options(Fsync::Never)).expect("it opens");
    for sequence in 1..=count {
        let Record { event, .. } = timed(&mut Row(sequence), COUNT - sequence);
        journal.append(&[Record { sequence: Sequence::new(sequence), event }]).expect("appended");
    }
    drop(journal);
    fs::copy(segment(other.path(), 1), segment(directory.path(), 1)).expect("copied");
    assert_answers(directory.path());
}

#[test]
fn a_prefilter_makes_no_index_and_uses_one() {
    let directory = quick_dir();
    journal(directory.path());
    let count = |kind: &str| {
        let kind = kind.parse().expect("a pattern");
        let selection = Selection::default().kind(kind).since(minute(100)).until(minute(150));
        let reader = JournalReader::open(directory.path()).expect("a reader");
        let mut matches = reader.query(Query::new(selection)).expect("a query");
        let mut count = 0;
        while matches.next().expect("readable").is_some() {
            count += 1;
        }
        count
    };
    let all = entries(directory.path());
    let expected = scanned(&all, (Some(100), Some(150))).len();
    assert_eq!((count("time.test"), indexes(directory.path())), (expected, 0));
    assert_answers(directory.path());
    assert!(indexes(directory.path()) >= 3);
    assert_eq!((count("time.test"), count("time.other")), (expected, 0));
}

#[cfg(feature = "zstd")]
#[test]
fn a_compressed_segment_has_an_index_of_its_own() {
    let directory = quick_dir();
    journal(directory.path());
    mistreat(directory.path());
    assert_answers(directory.path());
    for number in 1..=3 {
        let plain = segment(directory.path(), number);
        let packed = zstd::bulk::compress(&fs::read(&plain).expect("the segment"), 1);
        let packed = packed.expect("compressed");
        // Ours are made of much the same bytes: as large as they must be to have an index.
        let mut noise = Row(3);
        let mut skip = vec![0x50, 0x2a, 0x4d, 0x18];
        let padding: Vec<u8> = (0..300 * 1024).map(|_| noise.below(256) as u8).collect();
        skip.extend_from_slice(&(padding.len() as u32).to_le_bytes());
        skip.extend_from_slice(&padding);
        fs::write(plain.with_extension("jsonl.zst"), [&packed[..], &skip].concat())
            .expect("written");
        fs::remove_file(&plain).expect("removed");
    }
    // Those beside them are of the plain files, and are made anew.
    assert_answers(directory.path());
    assert_answers(directory.path());
}
