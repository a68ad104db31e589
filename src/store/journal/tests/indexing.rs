//! Indexes: whatever lies in their place, readers find what a scan finds.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::sim::{Call, Fault, SimFs};
use super::*;
use crate::event::Timestamp;
use crate::store::journal::consumers::JournalCheckpoints;
use crate::store::{Begin, CheckpointStore as _};

const SEGMENT: u64 = 24 * 1024;
const COUNT: u64 = 200;
/// The one record with the latest time, in the middle of the first segment.
const LATEST: u64 = 31;
const INDEX: &str = "00000000000000000001.index";

fn second(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(second) * 1_000_000_000).expect("an instant")
}

/// Times that go up and down, none twice.
fn time_of(sequence: u64) -> u64 {
    if sequence == LATEST { 100_000 } else { sequence * 37 % 211 * 100 + sequence }
}

fn timed(sequence: u64) -> Record {
    let event = Event::builder("index").id(format!("{sequence}")).source("s");
    let event = event.time(second(time_of(sequence))).text("x".repeat(200));
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.build().expect("valid")) }
}

/// Three sealed segments of several blocks, and one that is not.
fn journal() -> SimFs {
    let disk = SimFs::default();
    write(&disk);
    disk
}

fn write(disk: &SimFs) {
    let mut journal = on(disk, Fsync::Never, SEGMENT).expect("opens");
    for sequence in 1..=COUNT {
        journal.append(&[timed(sequence)]).expect("appended");
    }
}

/// The sequences from a time on, as a follower finds them.
fn since(reader: &JournalReader, time: u64) -> Result<Vec<u64>, StoreError> {
    let mut follow = reader.follow(Start::Time(second(time)))?;
    let mut found = Vec::new();
    while let Some(entry) = follow.poll()? {
        if entry.event.time() >= Some(second(time)) {
            found.push(entry.sequence.expect("a sequence").get());
        }
    }
    Ok(found)
}

fn from(reader: &JournalReader, from: u64) -> Result<Vec<u64>, StoreError> {
    let entries = reader.records_from(Sequence::new(from))?;
    entries.map(|entry| Ok(entry?.sequence.expect("a sequence").get())).collect()
}

fn reader(disk: &SimFs) -> JournalReader {
    JournalReader::of(Arc::new(disk.clone()))
}

fn expected_since(time: u64) -> Vec<u64> {
    (1..=COUNT).filter(|sequence| time_of(*sequence) >= time).collect()
}

/// Where a consumer begins that wants all from a time on.
fn begin(reader: &JournalReader, time: u64) -> Option<u64> {
    let place = JournalCheckpoints(reader.clone()).place_of(Begin::Time(second(time)));
    place.expect("readable").map(Sequence::get)
}

/// Whether one question of each kind, about the first segment, is answered right.
fn answers(disk: &SimFs) -> bool {
    since(&reader(disk), 90_000).expect("readable") == [LATEST]
        && begin(&reader(disk), 90_000) == Some(LATEST)
        && from(&reader(disk), LATEST).expect("readable").first() == Some(&LATEST)
}

/// Whether all questions are.
fn answers_all(disk: &SimFs) -> bool {
    let of_time = |time| {
        let expected = expected_since(time);
        begin(&reader(disk), time) == expected.first().copied()
            && since(&reader(disk), time).expect("readable") == expected
    };
    let of_sequence = |first| {
        from(&reader(disk), first).expect("readable") == (first..=COUNT).collect::<Vec<_>>()
    };
    (0..=21_000).step_by(1500).chain([90_000, 200_000]).all(of_time)
        && (1..=COUNT).step_by(7).all(of_sequence)
}

#[test]
fn every_time_and_every_sequence_is_found_with_an_index_as_without() {
    let disk = journal();
    assert!(disk.ground().files.len() >= 4, "several segments are needed");
    assert!(answers_all(&disk));
    let kept: Vec<_> =
        disk.ground().files.keys().filter(|name| name.ends_with("index")).cloned().collect();
    assert_eq!(kept.len(), 3, "of the sealed segments: {kept:?}");
    assert!(answers_all(&disk));
}

#[test]
fn a_reader_with_an_index_passes_over_most_of_a_segment() {
    const LAST: u64 = 1500;
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Never, 512 * 1024).expect("opens");
    let all: Vec<Record> = (1..=LAST).map(timed).collect();
    journal.append(&all).expect("appended");
    let sealed = disk.contents(&SegmentNumber(1).file_name());
    let in_it = sealed.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!((1000..LAST).contains(&in_it), "{in_it}");
    let sequence = || {
        let first = reader(&disk).records_from(Sequence::new(in_it)).expect("readable").next();
        assert_eq!(first.expect("one").expect("readable").sequence, Some(Sequence::new(in_it)));
    };
    let consumer = || assert_eq!(begin(&reader(&disk), 90_000), Some(LATEST));
    let after_all = || assert_eq!(begin(&reader(&disk), 200_000), None);
    for ask in [&sequence as &dyn Fn(), &consumer, &after_all] {
        let read = || {
            let before = disk.ground().read_bytes;
            ask();
            disk.ground().read_bytes - before
        };
        disk.ground().files.remove(INDEX);
        disk.plan(|_, call| if call == Call::Create { Fault::Fails } else { Fault::None });
        let without = read();
        disk.heal();
        read();
        let with = read();
        assert!(with < without / 2, "{with} {without}");
    }
}

#[test]
fn no_flipped_byte_and_no_cut_of_an_index_changes_an_answer() {
    let disk = journal();
    assert!(answers(&disk));
    let sound = disk.contents(INDEX);
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        disk.put(INDEX, &flipped);
        assert!(answers(&disk), "byte {at}");
        assert_eq!(disk.contents(INDEX), sound, "it was made again");
        disk.put(INDEX, &sound[..at]);
        assert!(answers(&disk), "cut at {at}");
    }
    let zeros = vec![0; sound.len()];
    for wrong in [&b""[..], b"{}\n", &zeros, &[&sound[..], b"x"].concat()] {
        disk.put(INDEX, wrong);
        assert!(answers(&disk), "{} bytes", wrong.len());
    }
}

#[test]
fn an_index_of_another_segment_or_of_an_earlier_state_is_not_believed() {
    let disk = journal();
    assert!(answers_all(&disk));
    let (one, two) = (disk.contents(INDEX), disk.contents("00000000000000000002.index"));
    disk.put(INDEX, &two);
    disk.put("00000000000000000002.index", &one);
    assert!(answers_all(&disk));
    // Cut and gone on with, as after a power cut that took the newer segments.
    for number in 2..=9 {
        disk.ground().files.remove(&SegmentNumber(number).file_name());
    }
    let name = SegmentNumber(1).file_name();
    let whole = disk.contents(&name);
    let cut = whole.iter().take(whole.len() * 2 / 3).rposition(|byte| *byte == b'\n');
    disk.put(&name, &whole[..=cut.expect("a line")]);
    let mut journal = on(&disk, Fsync::Never, SEGMENT).expect("opens");
    let last = journal.last_sequence().expect("records").get();
    for sequence in last + 1..=COUNT {
        journal.append(&[timed(sequence)]).expect("appended");
    }
    assert!(answers_all(&disk));
}

#[test]
fn a_disk_that_fails_at_any_call_gives_the_right_answer_or_none() {
    for ask in [&|reader: &JournalReader| since(reader, 90_000), &|reader: &JournalReader| {
        from(reader, LATEST)
    }] as [&dyn Fn(&JournalReader) -> Result<Vec<u64>, StoreError>; 2]
    {
        let disk = journal();
        let sound = ask(&reader(&disk)).expect("readable");
        for is_kept in [false, true] {
            let mut failed_at = 0;
            loop {
                failed_at += 1;
                let disk = journal();
                if is_kept {
                    ask(&reader(&disk)).expect("readable");
                }
                let calls = Arc::<Mutex<usize>>::default();
                let counted = Arc::clone(&calls);
                disk.plan(move |number, _| {
                    *counted.lock().expect("no panic under the lock") = number;
                    if number == failed_at { Fault::Fails } else { Fault::None }
                });
                if let Ok(found) = ask(&reader(&disk)) {
                    assert_eq!(found, sound, "call {failed_at}");
                }
                disk.heal();
                assert_eq!(ask(&reader(&disk)).expect("readable"), sound, "after {failed_at}");
                if *calls.lock().expect("no panic under the lock") < failed_at {
                    break;
                }
            }
            assert!(failed_at > 10, "{failed_at}");
        }
    }
}

#[test]
fn an_index_is_believed_only_from_one_who_could_have_written_the_segment() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = journal();
    for (name, inode) in &disk.ground().files {
        let path = directory.path().join(name);
        fs::write(&path, inode.lock().expect("free").bytes()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its own");
    }
    let index = directory.path().join(INDEX);
    let forged = index::that_has_nothing(disk.contents(&SegmentNumber(1).file_name()));
    let found = |mode| {
        fs::write(&index, &forged).expect("written");
        fs::set_permissions(&index, fs::Permissions::from_mode(mode)).expect("set");
        since(&JournalReader::open(&directory).expect("a reader"), 90_000).expect("readable")
    };
    assert_eq!(found(0o600), [0; 0], "else this test checks nothing");
    let asked = begin(&JournalReader::open(&directory).expect("a reader"), 90_000);
    assert_eq!(asked, None, "a consumer's beginning is looked for by the same index");
    fs::remove_file(&index).expect("removed");
    assert_eq!(found(0o620), [LATEST]);
    let made = fs::read(&index).expect("made again");
    assert_ne!(made, forged);
    assert_eq!(fs::metadata(&index).expect("there").permissions().mode() & 0o777, 0o600);
    // A link is not followed, neither to read it nor to replace what it leads to.
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, &forged).expect("written");
    fs::remove_file(&index).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, &index).expect("linked");
    let reader = JournalReader::open(&directory).expect("a reader");
    assert_eq!(since(&reader, 90_000).expect("readable"), [LATEST]);
    assert_eq!(fs::read(&elsewhere).expect("untouched"), forged);
}

#[test]
fn an_index_that_nobody_checks_is_found() {
    assert!(super::planting::shows(Bug::IndexUnchecked, || {
        let disk = journal();
        assert!(answers(&disk));
        let sound = disk.contents(INDEX);
        (0..sound.len()).all(|at| {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.put(INDEX, &flipped);
            answers(&disk)
        })
    }));
}

#[test]
fn an_index_of_the_first_time_of_each_block_is_found() {
    assert!(super::planting::shows(Bug::IndexOfFirstTimes, || answers_all(&journal())));
}
