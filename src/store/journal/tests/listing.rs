//! A directory that is not listed in one moment.
#![forbid(unsafe_code)]

use super::beside::Beside;
use super::planting::shows;
use super::sim::{Call, Fault, SimFs};
use super::*;
use crate::store::journal::Start;
use crate::store::journal::planted::Bug;
use crate::store::journal::segment::SegmentNumber;

#[test]
fn a_segment_that_is_replaced_while_the_directory_is_listed_is_seen_by_every_reader() {
    assert!(shows(Bug::ListedOnce, || {
        let disk = SimFs::default();
        on(&disk, Fsync::Never, 1200).expect("opens").append(&records(1..=40)).expect("appended");
        let all: Vec<_> = (1..=40).collect();
        let last = disk.ground().files.len() as u64;
        (1..=last).all(|number| {
            let replaced = Some(SegmentNumber(number).file_name());
            let disk = Beside { replaced, ..Beside::new(&disk) };
            let reader = JournalReader::of(Arc::new(disk));
            let found = |entries: &mut dyn Iterator<Item = read::Entry>| {
                entries.map(|entry| super::number(entry.sequence)).collect::<Vec<_>>()
            };
            let scan = reader.records().expect("records");
            let scan = found(&mut scan.map(|entry| entry.expect("readable")));
            let tail = found(&mut reader.tail(40).expect("a tail").entries.into_iter());
            let mut follow = reader.follow(Start::First).expect("followed");
            let mut followed = Vec::new();
            // A follower at its end asks again.
            for _ in 0..100 {
                followed.extend(follow.poll().expect("readable"));
            }
            let followed = found(&mut followed.into_iter());
            [scan, tail, followed].iter().all(|found| *found == all)
        })
    }));
}

/// A disk of segments of one record each, and how often it was listed.
fn listed(segments: u64) -> (SimFs, Journal, Arc<Mutex<u32>>) {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Never, 1).expect("opens");
    for sequence in 1..=segments {
        journal.append(&records([sequence])).expect("appended");
    }
    assert_eq!(disk.ground().files.len() as u64, segments);
    let listings = Arc::<Mutex<u32>>::default();
    let counted = Arc::clone(&listings);
    disk.plan(move |_, call| {
        *counted.lock().expect("no panic") += u32::from(call == Call::Names);
        Fault::None
    });
    (disk, journal, listings)
}

#[test]
fn following_many_segments_lists_them_a_few_times_and_once_for_each_look_in_vain() {
    let (_, mut journal, listings) = listed(300);
    let count = || std::mem::take(&mut *listings.lock().expect("no panic"));
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    let mut next = || follow.poll().expect("readable").map(|entry| super::number(entry.sequence));
    assert!((1..=300).all(|sequence| next() == Some(sequence)));
    assert_eq!(next(), None);
    let following = count();
    assert!(following < 20, "{following}");
    assert_eq!((next(), count()), (None, 1));
    journal.append(&records([301])).expect("appended");
    journal.append(&records([302])).expect("appended");
    assert_eq!((next(), next(), next()), (Some(301), Some(302), None));
    assert!(count() < 10);
}

#[test]
fn segments_removed_since_they_were_listed_are_passed_over_and_told() {
    let (disk, journal, _) = listed(30);
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    for sequence in 1..=3 {
        let entry = follow.poll().expect("readable").expect("there");
        assert_eq!(super::number(entry.sequence), sequence);
    }
    for number in 5..=20 {
        disk.ground().files.remove(&SegmentNumber(number).file_name()).expect("there");
    }
    let rest: Vec<_> = std::iter::from_fn(|| follow.poll().expect("readable")).collect();
    assert!(
        rest.iter().map(|entry| super::number(entry.sequence)).eq([4].into_iter().chain(21..=30))
    );
    let missing: Vec<_> = rest.iter().filter_map(|entry| entry.missing).collect();
    let (from, to) = (Sequence::new(5), Sequence::new(20));
    assert_eq!(missing, [SequenceRange { from, to }]);
}

#[test]
fn a_segment_that_cannot_be_opened_now_is_not_passed_over() {
    let (disk, journal, _) = listed(9);
    for failing in 1.. {
        let mut follow = journal.reader().follow(Start::First).expect("followed");
        let mut opened = 0;
        disk.plan(move |_, call| {
            opened += u32::from(call == Call::Open);
            if call == Call::Open && opened == failing { Fault::Fails } else { Fault::None }
        });
        let (mut found, mut failed) = (Vec::new(), 0);
        loop {
            match follow.poll() {
                Ok(Some(entry)) => found.push(super::number(entry.sequence)),
                Ok(None) => break,
                Err(_) => failed += 1,
            }
        }
        assert!(found.into_iter().eq(1..=9), "open {failing}");
        if failed == 0 {
            break;
        }
    }
}

#[test]
fn what_retention_removes_while_a_journal_is_verified_is_no_gap() {
    let (disk, _, _) = listed(30);
    let removes = |disk: &SimFs, name: &str| {
        // The first one is open by now.
        if name == SegmentNumber(2).file_name() {
            for number in 1..=12 {
                disk.ground().files.remove(&SegmentNumber(number).file_name());
            }
        }
    };
    let beside = Beside { opens: removes, ..Beside::new(&disk) };
    let check = JournalReader::of(Arc::new(beside)).verify().expect("verified");
    assert_eq!((check.valid, check.gaps.len()), (19, 0));
    assert!(check.is_clean());
}
