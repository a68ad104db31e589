//! Indexes of segments that are compressed and removed while somebody reads them.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::beside::Beside;
use super::rng::Rng;
use super::sim::SimFs;
use super::*;
use crate::event::Timestamp;
use crate::store::journal::query::{Order, Query, Selection};
use crate::store::journal::segment::{Listing, SegmentNumber};
use crate::store::journal::storage::Storage;

/// Times go on, but for some that are late or early.
fn second_of(sequence: u64) -> u64 {
    match sequence % 45 {
        7 => (sequence * 10).saturating_sub(1500),
        20 => sequence * 10 + 900,
        _ => sequence * 10,
    }
}

fn second(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(second) * 1_000_000_000).expect("an instant")
}

/// Text that hardly can be compressed, so that a compressed segment is worth an index.
fn noisy(sequence: u64) -> Record {
    let mut rng = Rng::new(sequence);
    let text: String = (0..220).map(|_| char::from(b'0' + rng.below(70) as u8)).collect();
    let event = Event::builder("index").id(format!("{sequence}")).source("s");
    let event = event.time(second(second_of(sequence))).text(text).build().expect("valid");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

fn noise(sequences: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    sequences.map(noisy).collect()
}

const SEGMENT: u64 = 40 * 1024;

fn kept(storage: Arc<dyn Storage>, options: JournalOptions) -> (Journal, keeper::Keeper) {
    let options = options.with_fsync(Fsync::Never).with_segment_bytes(SEGMENT);
    let mut journal = Journal::on(storage, options).expect("opens");
    let keeper = journal.kept_by.take().expect("something to keep");
    journal.tell_sealed();
    (journal, keeper)
}

type Window = (u64, u64);

fn takes((since, until): Window, sequence: u64) -> bool {
    (since..=until).contains(&second_of(sequence))
}

/// A question that is being answered: the next sequence, each time it is called.
type Answer = Box<dyn FnMut() -> Option<u64>>;

/// Every way to ask for a window.
fn ask(reader: &JournalReader, window: Window) -> Vec<Answer> {
    let (since, until) = (second(window.0), second(window.1));
    let query = |order| -> Answer {
        let selection = Selection::default().since(since).until(until);
        let query = Query::new(selection).with_order(order);
        let mut matches = reader.query(query).expect("a query");
        Box::new(move || {
            let found = matches.next().expect("readable");
            let found = found.map(|found| found.sequence.expect("a sequence").get());
            let (done, total) = matches.progress();
            assert!(done <= total && (found.is_some() || done == total), "{done} of {total}");
            found
        })
    };
    let mut follow = reader.follow(Start::Time(since)).expect("followed");
    let mut last: Option<u64> = None;
    let followed = move || {
        while let Some(entry) = follow.poll().expect("readable") {
            let sequence = entry.sequence.expect("a sequence").get();
            let missing = entry.missing.map(|missing| (missing.from.get(), missing.to.get()));
            // What it was to see and did not is told.
            if let Some(last) = last.replace(sequence) {
                let gap = (last + 1 < sequence).then(|| (last + 1, sequence - 1));
                assert_eq!(missing, gap);
            }
            if takes(window, sequence) {
                return Some(sequence);
            }
        }
        None
    };
    vec![query(Order::Ascending), query(Order::Descending), Box::new(followed)]
}

/// The indexes there are, and the segments they are of.
fn indexes(disk: &SimFs) -> (Vec<SegmentNumber>, Listing) {
    let names: Vec<String> = disk.ground().files.keys().cloned().collect();
    let listing = Listing::of(names.iter().map(String::as_str));
    let numbers = (1..listing.next).map(SegmentNumber);
    let of = numbers.filter(|number| names.contains(&number.index_name())).collect();
    (of, listing)
}

#[test]
fn a_window_of_time_is_the_same_with_and_without_indexes_while_segments_are_replaced_and_removed() {
    const ROUND: u64 = 150;
    let disk = SimFs::default();
    let options = JournalOptions::default().with_compression(1).with_keep_events(Some(700));
    let (mut journal, mut keeper) = kept(Arc::new(disk.clone()), options);
    let without = Beside { refuses: true, ..Beside::new(&disk) };
    let readers = [JournalReader::of(Arc::new(disk.clone())), JournalReader::of(Arc::new(without))];
    let (mut packed, mut gone) = (0, 0);
    for round in 1..=12 {
        let (written, before) = (round * ROUND, stored(&disk).first().copied().unwrap_or(1));
        journal.append(&noise(written - ROUND + 1..=written)).expect("appended");
        let oldest = before * 10;
        let newest = written * 10;
        let windows = [
            (0, newest * 2),
            (oldest, oldest + 300),
            (oldest + 1800, oldest + 2100),
            (newest - 700, newest - 400),
            (newest + 100, newest * 2),
        ];
        // Some began before segments were replaced and removed.
        let mut asked = Vec::new();
        for reader in &readers {
            for window in windows {
                for mut answer in ask(reader, window) {
                    let first = answer();
                    asked.push((window, first, answer));
                }
            }
        }
        journal.kept_by.by_hand(&mut keeper);
        let left = stored(&disk);
        gone += u64::from(left[0] > before);
        for (window, first, mut answer) in asked {
            let rest = first.into_iter().chain(std::iter::from_fn(|| first.and_then(|_| answer())));
            let found: Vec<u64> = rest.collect();
            let set: BTreeSet<u64> = found.iter().copied().collect();
            assert_eq!(set.len(), found.len(), "nothing twice");
            assert!(found.is_sorted() || found.iter().rev().is_sorted());
            assert!(set.iter().all(|found| (before..=written).contains(found)));
            assert!(set.iter().all(|found| takes(window, *found)));
            let mut stays = left.iter().filter(|left| takes(window, **left));
            assert!(stays.all(|stays| set.contains(stays)), "{window:?} {round}");
        }
        // Twice, because the first one who asks makes the indexes anew.
        for reader in readers.iter().chain(&readers) {
            for window in windows {
                let mut wanted = left.clone();
                wanted.retain(|sequence| takes(window, *sequence));
                for mut answer in ask(reader, window) {
                    let mut found: Vec<u64> = std::iter::from_fn(&mut *answer).collect();
                    found.sort_unstable();
                    assert_eq!(found, wanted, "{window:?} {round}");
                }
            }
        }
        let (of, listing) = indexes(&disk);
        packed += of.iter().filter(|of| listing.packed.contains(of)).count();
        let segments = listing.readable();
        assert!(of.iter().all(|of| segments.contains(of)), "{of:?} {segments:?}");
        assert!(journal.reader().verify().expect("verified").is_clean());
    }
    assert!(packed > 10 && gone > 5, "compressed and indexed {packed}, removed {gone}");
    // Nobody who goes on with the journal minds them.
    drop((journal, keeper));
    let before = stored(&disk);
    let mut journal = on(&disk, Fsync::Never, SEGMENT).expect("opens");
    assert_eq!(number(journal.last_sequence()), 12 * ROUND);
    journal.append(&noise(12 * ROUND + 1..=12 * ROUND + 1)).expect("appended");
    assert_eq!(stored(&disk)[..before.len()], before);
}

/// The first segment goes.
fn remove_first(disk: &SimFs) {
    disk.remove(&SegmentNumber(1).file_name()).expect("it was there");
}

#[test]
fn an_index_of_a_segment_that_went_while_it_was_made_does_not_stay() {
    let disk = SimFs::default();
    on(&disk, Fsync::Never, SEGMENT).expect("opens").append(&noise(1..=200)).expect("appended");
    let beside = Beside { made: remove_first, ..Beside::new(&disk) };
    let entries = JournalReader::of(Arc::new(beside)).records_from(Sequence::new(50));
    let first = entries.expect("records").next().expect("more").expect("readable");
    let missing = first.missing.expect("what was asked for is gone");
    assert_eq!((missing.from.get(), missing.to.get()), (50, number(first.sequence) - 1));
    assert_eq!(indexes(&disk).0, []);
}

#[test]
fn an_index_that_was_made_while_its_segment_went_goes_too() {
    let disk = SimFs::default();
    let made_late = |disk: &SimFs, name: &str| {
        if let Some(number) = name.strip_suffix(".jsonl") {
            disk.put(&format!("{number}.index"), b"made just now");
        }
    };
    let beside = Beside { removes: made_late, ..Beside::new(&disk) };
    let options = JournalOptions::default().with_keep_events(Some(100));
    let (mut journal, mut keeper) = kept(Arc::new(beside), options);
    journal.append(&noise(1..=500)).expect("appended");
    journal.kept_by.by_hand(&mut keeper);
    assert!(stored(&disk)[0] > 1, "something was removed");
    assert_eq!(indexes(&disk).0, []);
}

#[test]
fn an_index_that_cannot_be_removed_keeps_nothing_from_being_removed_or_compressed() {
    let disk = SimFs::default();
    on(&disk, Fsync::Never, SEGMENT).expect("opens").append(&noise(1..=500)).expect("appended");
    let all = stored(&disk);
    for number in 1..=3 {
        disk.put(&SegmentNumber(number).index_name(), b"it stays");
    }
    let beside = Beside { refuses: true, ..Beside::new(&disk) };
    let options = JournalOptions::default().with_compression(1).with_keep_events(Some(300));
    let (journal, mut keeper) = kept(Arc::new(beside), options);
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    assert!(stats.failing.is_none(), "{stats:?}");
    assert!(stats.removed_segments > 0 && stats.compressed_segments > 0, "{stats:?}");
    assert!(all.ends_with(&stored(&disk)));
    assert!(journal.reader().verify().expect("verified").is_clean());
}
