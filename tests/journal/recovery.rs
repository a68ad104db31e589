//! A journal that was cut, torn or damaged.

use std::fs::{self};
use std::path::Path;

use ringpost::Sequence;
use ringpost::store::journal::{Fsync, Journal, JournalReader};
use ringpost::store::{Store, StoreErrorKind};

use super::support::*;

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_record_and_goes_on_behind_it() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=20);
    let ends = line_ends(&bytes);
    let scratch = quick_dir();
    for cut in bytes.len().saturating_sub(4096)..=bytes.len() {
        let directory = scratch.path().join(cut.to_string());
        fs::create_dir(&directory).expect("a directory");
        fs::write(segment(&directory, 1), &bytes[..cut]).expect("written");
        // The last line's newline is all that may be missing from a whole record.
        let whole = ends.iter().filter(|end| **end <= cut + 1).count() as u64;

        let mut journal = open(&directory);
        assert_eq!(journal.last_sequence().map_or(0, Sequence::get), whole, "cut at {cut}");
        let rest =
            cut - ends.iter().copied().filter(|end| *end <= cut + 1).max().unwrap_or(0).min(cut);
        let torn = journal.recovery().torn.clone();
        assert_eq!(torn.as_ref().map_or(0, |torn| torn.bytes), rest as u64, "cut at {cut}");
        if let Some(torn) = torn {
            let kept = fs::read(&torn.kept_in).expect("the torn tail is kept");
            assert_eq!(kept, &bytes[cut - rest..cut]);
        }
        journal.append(&records([whole + 1])).expect("appended");
        drop(journal);
        assert_eq!(sequences(&entries(&directory)), (1..=whole + 1).collect::<Vec<_>>());
        let reader = JournalReader::open(&directory).expect("a reader");
        assert!(reader.verify().expect("verified").is_clean(), "cut at {cut}");
        fs::remove_dir_all(&directory).expect("removed");
    }
}

#[test]
fn every_flipped_bit_is_detected_and_costs_no_other_record() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=3);
    let originals = entries(made.path());
    let ends = line_ends(&bytes);
    let directory = quick_dir();
    for at in 0..bytes.len() {
        let line = ends.iter().position(|end| at < *end).expect("in a line");
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            fs::write(segment(directory.path(), 1), &damaged).expect("written");
            let reader = JournalReader::open(directory.path()).expect("a reader");
            let found = reader.verify().expect("verified");
            assert!(!found.is_clean(), "bit {bit} of byte {at}: {found:?}");

            // A hit newline touches the record after it, too.
            let newline = bytes[at] == b'\n';
            let lost = if newline { line..=line + 1 } else { line..=line };
            let kept = originals.iter().enumerate().filter(|(n, _)| !lost.contains(n));
            let expected: Vec<_> = kept.map(|(_, entry)| &entry.line).collect();
            let held = entries(directory.path());
            let held: Vec<_> = held.iter().map(|entry| &entry.line).collect();
            assert_eq!(held, expected, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_does_not_keep_a_journal_from_going_on() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=3);
    let scratch = quick_dir();
    for at in 0..bytes.len() {
        let directory = scratch.path().join(at.to_string());
        fs::create_dir(&directory).expect("a directory");
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(segment(&directory, 1), &damaged).expect("written");
        let before = sequences(&entries(&directory));

        let mut journal = open(&directory);
        let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
        journal.append(&records([next])).expect("appended");
        drop(journal);
        let after = sequences(&entries(&directory));
        assert_eq!(after, [&before[..], &[next]].concat(), "byte {at}");
        fs::remove_dir_all(&directory).expect("removed");
    }
}

#[test]
fn a_file_of_the_highest_number_hides_nothing_that_is_written_later() {
    let settings = || options(Fsync::Batch).with_segment_bytes(1);
    for name in ["18446744073709551615.bak", "18446744073709551615.jsonl.bak"] {
        let directory = quick_dir();
        written(directory.path(), 1..=2);
        fs::write(directory.path().join(name), "somebody's").expect("written");
        let mut journal = Journal::open(directory.path(), settings()).expect("it opens");
        for sequence in 3..=6 {
            journal.append(&records([sequence])).expect("appended");
        }
        assert_eq!(journal.recovery().segments, 1);
        assert_eq!(sequences(&entries(directory.path())), [1, 2, 3, 4, 5, 6]);
    }
    for name in ["18446744073709551615", "18446744073709551614", "09223372036854775808"] {
        for kind in ["jsonl", "jsonl.zst", "torn", "index"] {
            let directory = quick_dir();
            written(directory.path(), 1..=2);
            let path = directory.path().join(name).with_extension(kind);
            fs::write(&path, "").expect("written");
            let error = Journal::open(directory.path(), settings()).expect_err("no number is left");
            assert_eq!(error.kind(), StoreErrorKind::Refused);
            assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
            fs::remove_file(path).expect("removed");
            assert_eq!(open(directory.path()).last_sequence(), Some(Sequence::new(2)));
        }
    }
}

#[test]
fn what_is_no_file_among_the_checkpoints_keeps_no_journal_from_being_opened() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    fs::create_dir_all(directory.path().join("consumers/stray")).expect("made");
    std::os::unix::fs::symlink("nowhere", directory.path().join("consumers/led")).expect("linked");
    let mut journal = open(directory.path());
    assert_eq!(journal.recovery().ahead, []);
    journal.append(&records([3])).expect("appended");
}

#[test]
fn recovery_changes_nothing_the_second_time() {
    let directory = quick_dir();
    let mut bytes = written(directory.path(), 1..=9);
    bytes.truncate(bytes.len() - 7);
    fs::write(segment(directory.path(), 1), &bytes).expect("written");
    drop(open(directory.path()));
    let contents = |directory: &Path| {
        let mut all: Vec<_> = fs::read_dir(directory)
            .expect("listed")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name() != Some("lock".as_ref()))
            .map(|path| (path.clone(), fs::read(path).expect("read")))
            .collect();
        all.sort();
        all
    };
    let first = contents(directory.path());
    assert_eq!(first.len(), 2, "the segment and its torn tail");
    let journal = open(directory.path());
    assert_eq!(journal.recovery().torn, None);
    assert!(!journal.recovery().newline_added);
    drop(journal);
    assert_eq!(contents(directory.path()), first);
}

#[test]
fn a_crash_while_a_torn_tail_is_set_aside_loses_nothing_of_it() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=4);
    let cut = bytes.len() - 20;
    let tail_start = line_ends(&bytes)[2];
    let torn = directory.path().join("00000000000000000001.torn");
    // The copy stopped after some bytes; the original is still there.
    for copied in [0, 1, cut - tail_start - 1, cut - tail_start] {
        fs::write(segment(directory.path(), 1), &bytes[..cut]).expect("written");
        fs::write(&torn, &bytes[tail_start..tail_start + copied]).expect("written");
        assert!(open(directory.path()).recovery().torn.is_some());
        assert_eq!(fs::read(&torn).expect("kept"), &bytes[tail_start..cut]);
    }
    // Another tail of the same segment does not replace the first.
    fs::write(segment(directory.path(), 1), &bytes[..cut - 5]).expect("written");
    let journal = open(directory.path());
    let second = journal.recovery().torn.clone().expect("torn again");
    assert_ne!(second.kept_in, torn);
    assert_eq!(fs::read(&torn).expect("kept"), &bytes[tail_start..cut]);
    assert_eq!(fs::read(second.kept_in).expect("kept"), &bytes[tail_start..cut - 5]);
}

#[test]
fn a_tail_of_zeros_as_a_power_cut_leaves_it_is_set_aside() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=4);
    fs::write(segment(directory.path(), 1), [&bytes[..], &[0; 5000]].concat()).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.recovery().torn.as_ref().expect("torn").bytes, 5000);
    journal.append(&records([5])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), [1, 2, 3, 4, 5]);
}

#[test]
fn damage_in_the_middle_is_stepped_over_told_with_its_offset_and_never_repaired() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=6);
    let ends = line_ends(&bytes);
    let garbage = b"\xff\xfe garbage \x00\n";
    let damaged = [&bytes[..ends[2]], garbage, &bytes[ends[2]..]].concat();
    fs::write(segment(directory.path(), 1), &damaged).expect("written");
    let mut journal = open(directory.path());
    journal.append(&records([7])).expect("appended");
    let now = fs::read(segment(directory.path(), 1)).expect("read");
    assert!(now.starts_with(&damaged));

    let mut found = journal.reader().records().expect("records");
    assert_eq!(found.by_ref().count(), 7);
    assert_eq!(found.damaged(), 1);
    let damage = found.first_damage().expect("told");
    assert_eq!((damage.offset, damage.length), (ends[2] as u64, garbage.len() as u64 - 1));
    assert_eq!(damage.file, segment(directory.path(), 1));
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.records, check.valid, check.damaged), (8, 7, 1));
}

#[test]
fn an_over_long_line_costs_itself_alone() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=2);
    let ends = line_ends(&bytes);
    let long = vec![b'x'; 20 * 1024 * 1024];
    let damaged = [&bytes[..ends[0]], &long, b"\n", &bytes[ends[0]..], &long].concat();
    fs::write(segment(directory.path(), 1), damaged).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.recovery().torn.as_ref().expect("torn").bytes, long.len() as u64);
    journal.append(&records([3])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), [1, 2, 3]);
    assert_eq!(journal.reader().tail(3).expect("a tail").damaged, 1);
}
