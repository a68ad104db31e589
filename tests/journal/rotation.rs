//! K8: rotation under load with a follower, and retention that takes away what was read.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalReader, Start};
use ringpost::store::{Record, Store};
use ringpost::{Sequence, Shared};

use super::support::*;

const SEGMENT: u64 = 64 * 1024;
/// So many records of this payload fill a segment.
const RECORDS: u64 = 5;
const PAYLOAD: usize = 12 * 1024;
/// Segments that are kept.
const KEPT: u64 = 32;

fn large(sequence: u64, payload: &str) -> Record {
    let event = Event::builder("journal.test")
        .id(format!("id-{sequence}"))
        .source("tests")
        .raw_json(payload)
        .build()
        .expect("a valid event");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

/// Fills one segment after the other; removes those that the follower has left, so that there are
/// never more than a few.
fn write(mut journal: Journal, rotations: u64, directory: &Path, left: &Receiver<u64>) {
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD));
    let mut removed = 0;
    for number in 1..=rotations + 1 {
        while number > removed + KEPT {
            let behind = left.recv().expect("a follower");
            for number in removed + 1..=behind {
                fs::remove_file(segment(directory, number)).expect("removed");
            }
            removed = behind;
        }
        let first = (number - 1) * RECORDS + 1;
        let batch: Vec<_> = (first..first + RECORDS).map(|at| large(at, &payload)).collect();
        journal.append(&batch).expect("appended");
    }
}

#[test]
fn a_follower_gets_every_record_once_while_segments_come_and_vanish_behind_it() {
    follow(500);
}

/// With the optimiser, as the other heavy tests.
#[test]
fn stress_a_follower_gets_every_record_once_over_ten_thousand_rotations() {
    follow(10_000);
}

/// Follows a writer over so many rotations.
fn follow(rotations: u64) {
    let directory = quick_dir();
    let place = directory.path().to_owned();
    let settings = options(Fsync::Never).with_segment_bytes(SEGMENT);
    let journal = Journal::open(&place, settings).expect("the journal opens");
    let reader = JournalReader::open(&place).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let (leaves, left) = channel();
    let writer = thread::spawn(move || write(journal, rotations, &place, &left));
    let (mut at, mut most) = (1, 0);
    for expected in 1..=(rotations + 1) * RECORDS {
        let mut ended = 0;
        let entry = loop {
            match follow.poll().expect("readable") {
                Some(entry) => break entry,
                None => {
                    // What it wrote before it ended is there to be read.
                    ended += u64::from(writer.is_finished());
                    assert!(ended < 3, "{expected} is missing");
                    thread::yield_now();
                }
            }
        };
        assert_eq!(entry.sequence, Some(Sequence::new(expected)));
        let now = follow.position().segment;
        if now > at {
            at = now;
            // The writer may be done.
            let _ = leaves.send(now - 1);
            most = most.max(open_segments(directory.path()));
        }
    }
    writer.join().expect("no panic");
    assert_eq!((at, follow.damaged()), (rotations + 1, 0));
    assert!(most <= 2, "{most} segments were open: one belongs to the writer, one to the follower");
}

/// How many segments of this directory this process has open.
fn open_segments(directory: &Path) -> usize {
    let files = fs::read_dir("/proc/self/fd").expect("this system tells");
    let paths = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    paths
        .filter(|path| path.starts_with(directory) && path.to_string_lossy().contains(".jsonl"))
        .count()
}
