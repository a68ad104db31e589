//! Compression and retention step by step, on the simulated disk.
#![forbid(unsafe_code)]

use super::planting::{self, shows};
use super::rng::Rng;
use super::sim::{Call, Fault, SimFs};
use super::*;
use crate::event::Timestamp;
use crate::store::StoreErrorKind;
use crate::store::journal::planted::Bug;
use crate::store::journal::segment::SegmentNumber;
use crate::store::journal::storage::{Access, Storage};
use crate::store::journal::{Start, packed};
use std::collections::BTreeSet;

/// A journal whose keeper works by hand.
fn kept(disk: &SimFs, options: JournalOptions) -> (Journal, keeper::Keeper) {
    let mut journal = Journal::on(Arc::new(disk.clone()), options).expect("opens");
    let keeper = journal.kept_by.take().expect("something to keep");
    journal.tell_sealed();
    (journal, keeper)
}

fn options() -> JournalOptions {
    JournalOptions::default().with_fsync(Fsync::Batch).with_segment_bytes(1200)
}

fn names(disk: &SimFs) -> BTreeSet<String> {
    disk.ground().files.keys().cloned().collect()
}

fn ends_with<'n>(names: &'n BTreeSet<String>, end: &str) -> Vec<&'n str> {
    names.iter().filter(|name| name.ends_with(end)).map(|name| &name[..20]).collect()
}

#[test]
fn compression_that_ends_at_any_call_leaves_every_record_once_and_is_finished_later() {
    assert!(compression_loses_nothing());
}

#[test]
fn a_plain_segment_removed_before_the_name_of_its_compressed_self_is_durable_is_found() {
    assert!(!planting::with(Bug::PlainRemovedTooEarly, compression_loses_nothing));
}

#[test]
fn a_compressed_segment_named_before_it_is_durable_is_found() {
    assert!(!planting::with(Bug::PackedWithoutSync, compression_loses_nothing));
}

#[test]
fn only_sealed_segments_are_compressed_and_the_journal_reads_as_before() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, options().with_compression(3));
    journal.append(&records(1..=40)).expect("appended");
    let plain = JournalReader::of(Arc::new(disk.clone())).stats().expect("stats");
    journal.kept_by.by_hand(&mut keeper);
    let names = names(&disk);
    assert_eq!(ends_with(&names, ".jsonl").len(), 1, "the one being written: {names:?}");
    assert!(ends_with(&names, ".jsonl.zst").len() >= 3, "{names:?}");
    let stats = journal.upkeep().stats();
    assert!(stats.failing.is_none() && stats.waiting == 0, "{stats:?}");
    assert!(stats.compressed_segments >= 3 && stats.compressed_to < stats.compressed_from);
    assert_eq!(stored(&disk), (1..=40).collect::<Vec<_>>());
    assert_eq!(JournalReader::of(Arc::new(disk.clone())).stats().expect("stats"), plain);
    // All of it was durable before, and is now.
    assert_eq!(stored(&disk.after_power_cut(0)), (1..=40).collect::<Vec<_>>());
    // What was compressed by one life is gone on from by the next, also without compression.
    drop(journal);
    let mut journal = on(&disk, Fsync::Batch, 1200).expect("opens");
    assert_eq!(number(journal.last_sequence()), 40);
    journal.append(&records(41..=60)).expect("appended");
    assert_eq!(stored(&disk), (1..=60).collect::<Vec<_>>());
}

#[test]
fn a_journal_of_compressed_segments_alone_is_gone_on_with_in_a_new_one() {
    let disk = SimFs::default();
    let aged = options().with_compression(3).with_segment_age(Some(Duration::ZERO));
    let (mut journal, mut keeper) = kept(&disk, aged);
    journal.append(&records(1..=5)).expect("appended");
    journal.tend().expect("left, because it is too old");
    journal.kept_by.by_hand(&mut keeper);
    drop(journal);
    assert!(ends_with(&names(&disk), ".jsonl").is_empty());
    let mut journal = on(&disk, Fsync::Batch, 1200).expect("opens");
    assert_eq!(number(journal.last_sequence()), 5);
    journal.append(&records([6])).expect("appended");
    assert_eq!(ends_with(&names(&disk), ".jsonl"), [SegmentNumber(2).to_string()]);
    assert_eq!(stored(&disk), [1, 2, 3, 4, 5, 6]);
    let reader = journal.reader();
    let from = reader.records_from(Sequence::new(4)).expect("records").count();
    assert_eq!((from, reader.tail(2).expect("a tail").entries.len()), (3, 2));
}

/// Every call of the compression of a segment fails once, or is the last one of the process or
/// of the machine; whether every record is there once, whatever reached the disk.
fn compression_loses_nothing() -> bool {
    let made = SimFs::default();
    on(&made, Fsync::Batch, 1200).expect("opens").append(&records(1..=9)).expect("appended");
    let all: Vec<_> = (1..=9).collect();
    for fault in [Fault::Fails, Fault::Dies(0), Fault::Dies(50)] {
        for at in 1.. {
            let disk = made.after_power_cut(0);
            let (journal, mut keeper) = kept(&disk, options().with_compression(3));
            let calls = Arc::<Mutex<usize>>::default();
            let counted = Arc::clone(&calls);
            disk.plan(move |call, _| {
                *counted.lock().expect("no panic under the lock") = call;
                if call == at { fault } else { Fault::None }
            });
            journal.kept_by.by_hand(&mut keeper);
            drop(journal);
            disk.heal();
            disk.revive();
            let mut left = vec![disk.after_power_cut(0), disk.clone()];
            let chance = |seed| disk.cut_power(sim::Cut::Chance(&mut rng::Rng::new(seed)));
            left.extend((1..12).map(chance));
            for disk in left {
                if !holds(&disk, &all) {
                    return false;
                }
                let (journal, mut keeper) = kept(&disk, options().with_compression(3));
                assert!(ends_with(&names(&disk), ".tmp").is_empty(), "left over: {at}");
                journal.kept_by.by_hand(&mut keeper);
                let is_finished = journal.upkeep().stats().failing.is_none()
                    && ends_with(&names(&disk), ".jsonl").len() == 1;
                if !is_finished || !holds(&disk, &all) {
                    return false;
                }
            }
            if *calls.lock().expect("no panic under the lock") < at {
                break;
            }
        }
    }
    true
}

/// Whether every record can be read, once.
fn holds(disk: &SimFs, all: &[u64]) -> bool {
    let Ok(records) = JournalReader::of(Arc::new(disk.clone())).records() else { return false };
    let found: Result<Vec<_>, _> = records.collect();
    found
        .is_ok_and(|found| found.iter().map(|entry| number(entry.sequence)).eq(all.iter().copied()))
}

#[test]
fn two_forms_of_one_segment_that_differ_are_left_alone_and_told() {
    let disk = SimFs::default();
    on(&disk, Fsync::Batch, 1200).expect("opens").append(&records(1..=15)).expect("appended");
    let foreign = zstd::bulk::compress(b"something else\n", 1).expect("compressed");
    disk.put(&SegmentNumber(1).packed_name(), &foreign);
    let (journal, mut keeper) = kept(&disk, options().with_compression(3));
    journal.kept_by.by_hand(&mut keeper);
    let failing = journal.upkeep().stats().failing.expect("it is told");
    assert_eq!(failing.kind(), StoreErrorKind::Refused);
    assert!(failing.to_string().contains("00000000000000000001.jsonl.zst"), "{failing}");
    assert_eq!(disk.contents(&SegmentNumber(1).packed_name()), foreign);
    assert_eq!(stored(&disk), (1..=15).collect::<Vec<_>>());
    journal.kept_by.by_hand(&mut keeper);
    assert!(!names(&disk).contains(&SegmentNumber(2).file_name()), "the others are compressed");
}

#[test]
fn an_index_goes_with_the_plain_file_it_was_made_from() {
    let disk = SimFs::default();
    on(&disk, Fsync::Batch, 1200).expect("opens").append(&records(1..=30)).expect("appended");
    disk.put(&SegmentNumber(1).index_name(), b"of the removed one");
    disk.put(&SegmentNumber(3).index_name(), b"of a compressed one");
    let settings = options().with_compression(3).with_keep_events(Some(15));
    let (journal, mut keeper) = kept(&disk, settings);
    journal.kept_by.by_hand(&mut keeper);
    let names = names(&disk);
    assert!(ends_with(&names, ".index").is_empty(), "{names:?}");
    assert!(!names.contains(&SegmentNumber(1).packed_name()), "{names:?}");
    assert!(names.contains(&SegmentNumber(3).packed_name()), "{names:?}");
}

#[test]
fn an_index_outlives_compression_and_leads_through_the_compressed_segment() {
    let disk = SimFs::default();
    let options = JournalOptions::default().with_fsync(Fsync::Batch).with_segment_bytes(4 << 20);
    // Of several frames, of which the last one is looked for.
    let (mut journal, mut keeper) = kept(&disk, options.with_compression(1));
    let mut rng = Rng::new(7);
    let mut record = |sequence: u64| {
        // What does not compress, so that the compressed segment is worth an index.
        let text: String = (0..200).map(|_| char::from(b'!' + 1 + rng.below(80) as u8)).collect();
        let time = Timestamp::from_unix_nanos(i128::from(sequence) * 1_000_000_000);
        let event = Event::builder("p").id(format!("{sequence}")).source("s").text(text);
        let event = event.time(time.expect("an instant")).build().expect("valid");
        Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
    };
    for hundred in 0..120 {
        let sequences = 100 * hundred + 1..=100 * hundred + 100;
        journal.append(&sequences.map(&mut record).collect::<Vec<_>>()).expect("appended");
    }
    let reader = || JournalReader::of(Arc::new(disk.clone()));
    let since = Timestamp::from_unix_nanos(8_000_000_000_000).expect("an instant");
    let first = || {
        let mut follow = reader().follow(Start::Time(since)).expect("readable");
        follow.poll().expect("readable").and_then(|entry| entry.sequence).map(Sequence::get)
    };
    assert_eq!(first(), Some(8000));
    let name = SegmentNumber(1).index_name();
    let of_plain = disk.contents(&name);
    journal.kept_by.by_hand(&mut keeper);
    assert!(names(&disk).contains(&SegmentNumber(1).packed_name()));
    let of_packed = disk.contents(&name);
    assert!(of_packed != of_plain && of_packed.len() == of_plain.len());
    // Nobody may make another one: what is read is little only because of this one.
    let read = || {
        let before = disk.ground().read_bytes;
        assert_eq!(first(), Some(8000));
        disk.ground().read_bytes - before
    };
    disk.plan(|_, call| if call == Call::Create { Fault::Fails } else { Fault::None });
    let with = read();
    disk.ground().files.remove(&name);
    let without = read();
    assert!(with < without * 2 / 3, "{with} {without}");
}

#[test]
fn a_follower_goes_on_through_compression_and_is_told_what_retention_took() {
    assert!(shows(Bug::RemovalNotTold, || {
        let disk = SimFs::default();
        let settings = options().with_compression(3).with_keep_events(Some(10));
        let (mut journal, mut keeper) = kept(&disk, settings);
        journal.append(&records(1..=20)).expect("appended");
        let reader = journal.reader();
        let mut follow = reader.follow(Start::First).expect("followed");
        let mut scan = reader.records().expect("records");
        for _ in 0..2 {
            follow.poll().expect("readable").expect("there");
            scan.next().expect("there").expect("readable");
        }
        // Both stand in the middle of the first segment, which goes away under their hands.
        journal.append(&records(21..=60)).expect("appended");
        journal.kept_by.by_hand(&mut keeper);
        let mut expected = 3;
        let mut told = 0;
        while let Some(entry) = follow.poll().expect("readable") {
            let sequence = entry.sequence.expect("a sequence").get();
            if let Some(missing) = entry.missing {
                assert_eq!(missing.from.get(), expected);
                told += missing.to.get() - missing.from.get() + 1;
                expected = missing.to.get() + 1;
            }
            if sequence != expected {
                return false;
            }
            expected += 1;
        }
        assert_eq!(expected, 61);
        assert!(told > 0, "something was removed");
        // What was listed when the scan began is all gone but the segment it has open; then it comes
        // to what was written meanwhile.
        let rest: Vec<_> = scan.by_ref().map(|entry| entry.expect("readable")).collect();
        assert!(rest.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        assert_eq!(rest.last().and_then(|entry| entry.sequence), Some(Sequence::new(60)));
        scan.gone() > 0
    }));
}

#[test]
fn frames_make_a_tail_of_a_compressed_segment_cheap() {
    let disk = SimFs::default();
    let aged = JournalOptions::default()
        .with_fsync(Fsync::Never)
        .with_compression(1)
        .with_segment_age(Some(Duration::ZERO));
    let (mut journal, mut keeper) = kept(&disk, aged);
    journal.append(&records(1..=40_000)).expect("appended");
    journal.tend().expect("left");
    journal.kept_by.by_hand(&mut keeper);
    let file = disk.open(&SegmentNumber(1).packed_name(), Access::Read).expect("it is there");
    let size = file.length().expect("known");
    let whole = packed::open(file).expect("a frame").length().expect("known");
    assert!(whole > 5_000_000, "{whole}");
    std::mem::take(&mut disk.ground().read_bytes);
    assert_eq!(journal.tail(10).expect("a tail").len(), 10);
    let read = std::mem::take(&mut disk.ground().read_bytes);
    assert!(read < size / 3, "{read} of {size}");
}

#[test]
fn a_removal_that_fails_is_told_and_the_writer_goes_on() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, options().with_keep_events(Some(5)));
    journal.append(&records(1..=30)).expect("appended");
    disk.plan(|_, call| match call {
        Call::Remove => Fault::Error(libc::EPERM),
        _ => Fault::None,
    });
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    assert_eq!((stats.removed_segments, stats.failures), (0, 1));
    let failing = stats.failing.expect("it is told");
    assert_eq!(failing.kind(), StoreErrorKind::Denied);
    assert!(failing.to_string().contains("remove sim/00000000000000000001."), "{failing}");
    journal.append(&records(31..=40)).expect("the writer does not care");
    disk.heal();
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    assert!(stats.removed_segments > 0 && stats.failing.is_none());
    let left = stored(&disk);
    assert!(left.ends_with(&(36..=40).collect::<Vec<_>>()) && left[0] > 20, "{left:?}");
    assert_eq!(stats.removed_to, Some(Sequence::new(left[0] - 1)));
    assert!(journal.reader().verify().expect("verified").is_clean());
}

#[test]
fn an_age_without_an_end_keeps_everything() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, options().with_keep_age(Some(Duration::MAX)));
    let aged = |sequence| {
        let event = Event::builder("p").id(format!("{sequence}")).source("s");
        let event = event.time(Timestamp::now()).text("x".repeat(300)).build().expect("valid");
        Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
    };
    journal.append(&(1..=30).map(aged).collect::<Vec<_>>()).expect("appended");
    journal.kept_by.by_hand(&mut keeper);
    assert_eq!(journal.upkeep().stats().removed_segments, 0);
    assert_eq!(stored(&disk), (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_damaged_compressed_segment_is_told_and_goes_with_the_next_one() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, options().with_compression(3));
    journal.append(&records(1..=60)).expect("appended");
    journal.kept_by.by_hand(&mut keeper);
    drop((journal, keeper));
    let first = SegmentNumber(1).packed_name();
    let mut bytes = disk.contents(&first);
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    disk.put(&first, &bytes);
    // The sequence goes on where a later segment says.
    let settings = options().with_keep_events(Some(1000));
    let (mut journal, mut keeper) = kept(&disk, settings);
    assert_eq!(number(journal.last_sequence()), 60);
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    let failing = stats.failing.expect("it is told");
    assert!(failing.to_string().contains("00000000000000000001.jsonl"), "{failing}");
    assert!(names(&disk).contains(&first), "it stays as long as the next one");
    journal.append(&records(61..=62)).expect("appended");
    drop((journal, keeper));
    let (journal, mut keeper) = kept(&disk, options().with_keep_events(Some(20)));
    journal.kept_by.by_hand(&mut keeper);
    assert!(!names(&disk).contains(&first));
    let left = stored(&disk);
    assert!(left[0] > 20 && left.ends_with(&[61, 62]), "{left:?}");
}

/// Opening a journal without a plain segment syncs nothing, so the removal by a process that died
/// before its sync was still not durable when the next one removed more: history 7818 lost a durable
/// record in the hole between what came back and what did not.
#[test]
fn a_removal_that_an_earlier_life_did_not_make_durable_leaves_no_hole() {
    let made = SimFs::default();
    let aged = options().with_compression(1).with_segment_age(Some(Duration::ZERO));
    let (mut journal, mut keeper) = kept(&made, aged);
    journal.append(&records(1..=40)).expect("appended");
    journal.tend().expect("left, because it is too old");
    journal.kept_by.by_hand(&mut keeper);
    drop((journal, keeper));
    assert!(ends_with(&names(&made), ".jsonl").is_empty());
    let keep = options().with_keep_events(Some(10));
    for at in 1.. {
        let disk = made.after_power_cut(0);
        let (journal, mut keeper) = kept(&disk, keep.clone());
        let mut removals = 0;
        disk.plan(move |_, call| {
            removals += usize::from(call == Call::Remove);
            // The first segment's three names are gone; from then on nothing works.
            if removals > 2 && call == Call::SyncDirectory { Fault::Fails } else { Fault::None }
        });
        journal.kept_by.by_hand(&mut keeper);
        drop(journal);
        disk.heal();
        let (journal, mut keeper) = kept(&disk, keep.clone());
        disk.plan(move |call, _| if call >= at { Fault::Fails } else { Fault::None });
        journal.kept_by.by_hand(&mut keeper);
        let went_through = journal.upkeep().stats().failing.is_none();
        drop(journal);
        disk.heal();
        for seed in 1..10 {
            let left = stored(&disk.cut_power(sim::Cut::Chance(&mut rng::Rng::new(seed))));
            assert_eq!(left, (left[0]..=40).collect::<Vec<_>>(), "call {at}, seed {seed}");
        }
        if went_through {
            break;
        }
    }
}

/// Only what is damaged is stepped over: a disk that fails is not.
#[test]
fn a_compressed_segment_that_cannot_be_read_is_an_error_and_no_damage() {
    let text: Vec<u8> = {
        let disk = SimFs::default();
        on(&disk, Fsync::Never, 1 << 20).expect("opens").append(&records(1..=5)).expect("appended");
        disk.contents(&SegmentNumber(1).file_name())
    };
    let disk = SimFs::default();
    on(&disk, Fsync::Never, 1 << 20).expect("opens").append(&records(6..=9)).expect("appended");
    let rest = disk.contents(&SegmentNumber(1).file_name());
    let streamed = zstd::bulk::compress(&text, 1).expect("compressed");
    let mut frames = frames::Frames::default();
    assert!(frames.add(streamed.len(), text.len()));
    let framed = [&streamed[..], &frames.table()].concat();
    for packed in [streamed, framed] {
        for failing in 1.. {
            let disk = SimFs::default();
            disk.put(&SegmentNumber(1).packed_name(), &packed);
            disk.put(&SegmentNumber(2).file_name(), &rest);
            let mut reads = 0;
            disk.plan(move |_, call| {
                reads += usize::from(call == Call::Read);
                if call == Call::Read && reads == failing { Fault::Fails } else { Fault::None }
            });
            let mut found = JournalReader::of(Arc::new(disk)).records().expect("listed");
            let all: Result<Vec<_>, _> = found.by_ref().collect();
            assert_eq!(found.damaged(), 0, "read {failing}");
            if let Ok(all) = all {
                assert_eq!(all.len(), 9, "read {failing}");
                break;
            }
            assert!(failing < 50, "it ends");
        }
    }
}
