//! A directory that is not listed in one moment.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::Mutex;

use super::planting::shows;
use super::sim::SimFs;
use super::*;
use crate::store::journal::Start;
use crate::store::journal::planted::Bug;
use crate::store::journal::segment::SegmentNumber;
use crate::store::journal::storage::{Access, Held, Storage, StoredFile};

/// A disk on which the segment of a number is being replaced by its compressed self while the
/// directory is listed: every other listing shows neither.
#[derive(Debug)]
struct Replacing {
    disk: SimFs,
    number: SegmentNumber,
    shows: Mutex<bool>,
}

impl Storage for Replacing {
    fn place(&self) -> &Path {
        self.disk.place()
    }
    fn make_directory(&self) -> io::Result<()> {
        self.disk.make_directory()
    }
    fn is_open_to_others(&self) -> io::Result<bool> {
        self.disk.is_open_to_others()
    }
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.names()?;
        let mut shows = self.shows.lock().expect("no panic");
        let shown = *shows;
        *shows = !shown;
        if !shown {
            names.retain(|name| *name != self.number.file_name());
        }
        Ok(names)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        self.disk.create(name)
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StoredFile>> {
        self.disk.open(name, access)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }
    fn lock(&self, name: &str, note: &str) -> io::Result<Box<dyn Held>> {
        self.disk.lock(name, note)
    }
    fn is_locked(&self, name: &str) -> io::Result<bool> {
        self.disk.is_locked(name)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        self.disk.rename(name, to)
    }
    fn below(&self, name: &str) -> Arc<dyn Storage> {
        self.disk.below(name)
    }
}

#[test]
fn a_segment_that_is_replaced_while_the_directory_is_listed_is_seen_by_every_reader() {
    assert!(shows(Bug::ListedOnce, || {
        let disk = SimFs::default();
        on(&disk, Fsync::Never, 1200).expect("opens").append(&records(1..=40)).expect("appended");
        let all: Vec<_> = (1..=40).collect();
        let last = disk.ground().files.len() as u64;
        (1..=last).all(|number| {
            let (number, shows) = (SegmentNumber(number), Mutex::new(false));
            let disk = Replacing { disk: disk.clone(), number, shows };
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
