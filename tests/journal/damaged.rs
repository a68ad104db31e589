//! Damage in compressed segments: it costs what it touches, and every reader goes on behind it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ringpost::store::journal::query::{Order, Query, Selection};
use ringpost::store::journal::{Fsync, Journal, JournalReader, Start};
use ringpost::store::{Cursor, PersistOptions, Step, Store};
use ringpost::{EventBus, Sequence};

use super::support::*;

/// Records of a segment, and of a frame.
const SEGMENT: u64 = 60;
const FRAME: u64 = 10;
const LAST: u64 = 3 * SEGMENT;

/// Three segments, the first two of them packed in frames with a table; the second one's file.
fn journal(directory: &Path) -> PathBuf {
    for number in 1..=3 {
        let lines = written(&directory.join("made"), (number - 1) * SEGMENT + 1..=number * SEGMENT);
        fs::rename(segment(&directory.join("made"), 1), segment(directory, number)).expect("moved");
        if number < 3 {
            fs::remove_file(segment(directory, number)).expect("removed");
            fs::write(packed(directory, number), framed(&lines)).expect("written");
        }
    }
    packed(directory, 2)
}

fn packed(directory: &Path, number: u64) -> PathBuf {
    segment(directory, number).with_extension("jsonl.zst")
}

/// Frames of some lines, as a journal makes them of more, and the table behind them.
fn framed(lines: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let mut compressor = zstd::bulk::Compressor::new(3).expect("a compressor");
    compressor.include_checksum(true).expect("checksums");
    let (mut all, mut entries) = (Vec::new(), Vec::new());
    for lines in lines.chunks(FRAME as usize) {
        let lines = lines.concat();
        let frame = compressor.compress(&lines).expect("compressed");
        entries.extend((frame.len() as u32).to_le_bytes());
        entries.extend((lines.len() as u32).to_le_bytes());
        all.extend(frame);
    }
    let count = (entries.len() / 8) as u32;
    all.extend(0x184D_2A5E_u32.to_le_bytes());
    all.extend((entries.len() as u32 + 9).to_le_bytes());
    all.extend(entries);
    all.extend(count.to_le_bytes());
    all.push(0);
    all.extend(0x8F92_EAB1_u32.to_le_bytes());
    all
}

fn read(directory: &Path) -> JournalReader {
    JournalReader::open(directory).expect("a journal with damage in it opens")
}

/// What a scan finds, and how much damage; every other way to read finds the same.
fn found(directory: &Path) -> (Vec<u64>, u64) {
    let reader = read(directory);
    let mut records = reader.records().expect("records");
    let all: Vec<_> = records.by_ref().map(|entry| entry.expect("stepped over")).collect();
    let (all, damaged) = (sequences(&all), records.damaged());

    let tail = reader.tail(1000).expect("a tail");
    assert_eq!((sequences(&tail.entries), tail.damaged), (all.clone(), damaged));
    let mut follow = reader.follow(Start::First).expect("followed");
    let mut followed = Vec::new();
    while let Some(entry) = follow.poll().expect("stepped over") {
        followed.push(entry.sequence.expect("a sequence").get());
    }
    assert_eq!((&followed, follow.damaged()), (&all, damaged));
    for order in [Order::Ascending, Order::Descending] {
        let query = Query::new(Selection::default()).with_order(order);
        let mut matches = reader.query(query).expect("a query");
        let mut matched = Vec::new();
        while let Some(next) = matches.next().expect("stepped over") {
            matched.push(next.sequence.expect("a sequence").get());
        }
        matched.sort_unstable();
        assert_eq!((&matched, matches.damaged()), (&all, damaged), "{order:?}");
    }
    let check = reader.verify().expect("damage is no error");
    assert_eq!((check.valid, check.damaged), (all.len() as u64, damaged));
    let missing: u64 = check.gaps.iter().map(|gap| gap.to.get() - gap.from.get() + 1).sum();
    assert_eq!(missing, LAST - all.len() as u64);
    assert_eq!(reader.stats().expect("stats").damaged, damaged);
    for from in [1, SEGMENT, SEGMENT + FRAME + 3, 2 * SEGMENT, LAST] {
        let from = reader.records_from(Sequence::new(from)).expect("records");
        let from: Vec<_> = from.map(|entry| entry.expect("stepped over")).collect();
        assert!(!from.is_empty());
    }
    (all, damaged)
}

#[test]
fn a_flipped_bit_in_a_compressed_segment_costs_the_records_of_its_frame_alone() {
    let directory = quick_dir();
    let path = journal(directory.path());
    let sound = fs::read(&path).expect("there");
    assert_eq!(found(directory.path()), ((1..=LAST).collect(), 0));
    let mut losses = 0;
    for at in (0..sound.len()).step_by(53) {
        let mut bent = sound.clone();
        bent[at] ^= 1 << (at % 8);
        fs::write(&path, &bent).expect("written");
        let (all, damaged) = found(directory.path());
        let there: BTreeSet<u64> = all.into_iter().collect();
        let missing: Vec<u64> = (1..=LAST).filter(|one| !there.contains(one)).collect();
        let Some(first) = missing.first() else { continue };
        losses += 1;
        assert_eq!(damaged, 1, "byte {at}");
        let frame = first.div_ceil(FRAME);
        assert!((SEGMENT / FRAME + 1..=2 * SEGMENT / FRAME).contains(&frame), "byte {at}");
        assert_eq!(missing, ((frame - 1) * FRAME + 1..=frame * FRAME).collect::<Vec<_>>());
    }
    assert!(losses > sound.len() / 53 / 2, "{losses}");
}

#[test]
fn what_is_cut_short_without_a_table_is_read_up_to_its_damage() {
    let directory = quick_dir();
    let path = journal(directory.path());
    let sound = fs::read(&path).expect("there");
    fs::write(&path, &sound[..sound.len() / 2]).expect("written");
    let (all, damaged) = found(directory.path());
    assert_eq!(damaged, 1);
    assert!(all.len() as u64 > 2 * SEGMENT + 1 && (all.len() as u64) < LAST, "{}", all.len());
}

#[test]
fn a_compressed_segment_that_is_damaged_throughout_counts_as_one_damage_and_is_named() {
    for number in [1, 2] {
        let directory = quick_dir();
        journal(directory.path());
        let path = packed(directory.path(), number);
        fs::write(&path, "no frame").expect("written");
        let reader = read(directory.path());
        let mut records = reader.records().expect("records");
        assert_eq!(records.by_ref().filter_map(Result::ok).count() as u64, LAST - SEGMENT);
        let damage = records.first_damage().expect("it is told").clone();
        assert_eq!((damage.file, damage.offset), (path, 0));
        assert!(damage.reason.contains("damaged"), "{}", damage.reason);
        assert_eq!(reader.verify().expect("no error").damaged, 1);
        assert_eq!(reader.tail(1000).expect("no error").damaged, 1);
        let mut follow = reader.follow(Start::First).expect("followed");
        let followed = std::iter::from_fn(|| follow.poll().expect("no error")).count() as u64;
        assert_eq!((followed, follow.damaged()), (LAST - SEGMENT, 1));
    }
}

#[test]
fn a_cursor_is_told_of_damage_as_a_gap_and_goes_on() {
    let directory = quick_dir();
    let path = journal(directory.path());
    let mut bent = fs::read(&path).expect("there");
    bent[20] ^= 1;
    fs::write(&path, &bent).expect("written");
    let journal = Journal::open(directory.path(), options(Fsync::Never)).expect("opens");
    let reader = journal.reader();
    assert_eq!(journal.last_sequence(), Some(Sequence::new(LAST)));
    let bus = EventBus::builder().start(Sequence::new(LAST + 1)).build();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("persisted");
    let mut cursor = Cursor::new(&bus, reader, "**", Sequence::new(1)).expect("a cursor");
    let (mut count, mut gaps) = (0, Vec::new());
    while let Some(step) = cursor.try_next().expect("it goes on") {
        match step {
            Step::Record(_) => count += 1,
            Step::Gap(gap) => gaps.push((gap.from.get(), gap.to.get())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((count, gaps), (LAST - FRAME, vec![(SEGMENT + 1, SEGMENT + FRAME)]));
    drop(persistence);
}

#[test]
fn a_journal_whose_newest_segment_is_compressed_and_damaged_opens_and_goes_on() {
    let directory = quick_dir();
    let path = journal(directory.path());
    fs::remove_file(segment(directory.path(), 3)).expect("removed");
    let mut bent = fs::read(&path).expect("there");
    bent[20] ^= 1;
    fs::write(&path, &bent).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.last_sequence(), Some(Sequence::new(2 * SEGMENT)));
    journal.append(&records([2 * SEGMENT + 1])).expect("appended");
    let found = sequences(&entries(directory.path()));
    assert_eq!(found.len() as u64, 2 * SEGMENT + 1 - FRAME);
}
