//! A directory that is not listed in one moment.
#![forbid(unsafe_code)]

use super::beside::Beside;
use super::planting::shows;
use super::sim::SimFs;
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
