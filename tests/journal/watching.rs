//! Followers in another thread or process, beside writers, rotation and retention.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ringpost::store::Store;
use ringpost::store::journal::{Fsync, Journal, JournalReader, Start};

use super::support::*;

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_wait_ends_when_a_segment_grows_or_comes() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let (wants, wanted) = channel();
    let waiter = thread::spawn(move || {
        let mut watch = reader.watch();
        let mut follow = reader.follow(Start::First).expect("followed");
        let mut seen = Vec::new();
        while seen.len() < 20 {
            match follow.poll().expect("readable") {
                Some(entry) => seen.push(entry),
                None => {
                    // The writer is done with its last record before this is.
                    let _ = wants.send(());
                    assert!(watch.wait(LONG), "the system tells");
                }
            }
        }
        sequences(&seen)
    });
    for sequence in 1..=20 {
        // Written only once the follower has nothing left and is about to wait.
        let _ = wanted.recv();
        journal.append(&records([sequence])).expect("appended");
    }
    assert_eq!(waiter.join().expect("no panic"), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_wait_without_a_change_ends_at_its_timeout() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    let reader = JournalReader::open(segment(directory.path(), 1)).expect("a reader");
    let mut watch = reader.watch();
    assert!(!watch.wait(Duration::ZERO));
    assert!(!watch.wait(Duration::from_millis(1)));
}
