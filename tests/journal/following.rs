//! Followers beside a living writer, and of journals that change under them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;

use ringpost::Sequence;
use ringpost::store::Store;
use ringpost::store::journal::{Follow, Fsync, Journal, JournalReader, Start};

use super::support::*;

#[test]
fn a_follower_sees_every_record_once_and_in_order_over_many_segments() {
    const COUNT: u64 = 4000;
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(3000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    let reader = journal.reader();
    let mut follow = reader.follow(Start::First).expect("followed");
    thread::scope(|scope| {
        scope.spawn(|| {
            for first in (1..COUNT).step_by(8) {
                journal.append(&records(first..first + 8)).expect("appended");
            }
        });
        for expected in 1..=COUNT {
            let entry = loop {
                match follow.poll().expect("readable") {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry.sequence, Some(Sequence::new(expected)));
        }
    });
    assert_eq!(follow.damaged(), 0);
    assert!(follow.poll().expect("readable").is_none());
    assert!(follow.position().segment > 100);
}

#[test]
fn a_piece_that_is_cut_off_and_written_anew_does_not_confuse_a_follower() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=3);
    let ends = line_ends(&bytes);
    let path = segment(directory.path(), 1);
    fs::write(&path, &bytes[..ends[0] + 25]).expect("written");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    assert_eq!(follow.poll().expect("readable").expect("one").sequence, Some(Sequence::new(1)));
    assert!(follow.poll().expect("readable").is_none());
    // A new writer sets the piece aside and gives the sequence to another event.
    let mut journal = open(directory.path());
    journal.append(&records([2])).expect("appended");
    let entry = follow.poll().expect("readable").expect("the new one");
    assert_eq!(entry.event.id(), "id-2");
    assert_eq!(follow.damaged(), 0);
}

#[test]
fn a_follower_begins_where_it_is_told() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(2000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    let reader = journal.reader();
    let mut before_all = reader.follow(Start::End).expect("followed");
    assert!(before_all.poll().expect("readable").is_none());
    let mut later = reader.follow(Start::Sequence(Sequence::new(45))).expect("followed");
    journal.append(&records((1..=40).filter(|n| n % 2 == 0))).expect("appended");
    let mut end = reader.follow(Start::End).expect("followed");
    let mut middle = reader.follow(Start::Sequence(Sequence::new(21))).expect("followed");
    journal.append(&records(41..=50)).expect("appended");
    let held: Vec<u64> = (1..=40).filter(|n| n % 2 == 0).chain(41..=50).collect();
    assert_eq!(drain(&mut before_all), held);
    assert_eq!(drain(&mut end), (41..=50).collect::<Vec<_>>());
    assert_eq!(drain(&mut middle), held[10..]);
    assert_eq!(drain(&mut later), (45..=50).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_waits_for_a_sequence_to_come_begins_at_the_end() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(2000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    journal.append(&records(1..=40)).expect("appended");
    let first = segment(directory.path(), 1);
    let text = fs::read_to_string(&first).expect("read");
    fs::write(&first, text.replacen("id-1", "id-7", 1)).expect("written");
    let reader = journal.reader();
    let end = reader.tail(0).expect("read").next;
    assert!(end.segment > 1);
    let mut followers = [41, 43, 46].map(|from| {
        let mut follow = reader.follow(Start::Sequence(Sequence::new(from))).expect("followed");
        assert_eq!(follow.position(), end, "{from}");
        assert!(follow.poll().expect("readable").is_none());
        (from, follow)
    });
    journal.append(&records(41..=45)).expect("appended");
    for (from, follow) in &mut followers {
        let mut all = Vec::new();
        while let Some(entry) = follow.poll().expect("readable") {
            assert!(entry.missing.is_none());
            all.push(entry);
        }
        assert_eq!(sequences(&all), (*from..=45).collect::<Vec<_>>());
        assert_eq!(follow.damaged(), 0, "what lies before is not read");
    }
}

#[test]
fn a_follower_goes_on_when_segments_are_removed_or_cut_under_it() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    journal.append(&records(1..=3)).expect("appended");
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    assert!(follow.poll().expect("readable").is_some());
    journal.append(&records(4..=40)).expect("appended");
    for number in 1..=3 {
        fs::remove_file(segment(directory.path(), number)).expect("removed");
    }
    let mut last = 1;
    while let Some(entry) = follow.poll().expect("readable") {
        let sequence = entry.sequence.expect("a sequence").get();
        assert!(sequence > last);
        last = sequence;
    }
    assert_eq!(last, 40);
    let position = follow.position();
    let file = OpenOptions::new().write(true).open(segment(directory.path(), position.segment));
    file.expect("opened").set_len(0).expect("cut");
    assert!(follow.poll().expect("readable").is_none());
    assert_eq!(follow.damaged(), 1, "told once");
    journal.append(&records([41])).expect("appended");
    assert_eq!(follow.poll().expect("readable").expect("one").sequence, Some(Sequence::new(41)));
    assert_eq!(follow.damaged(), 1);
}

/// The sequences that a follower gives now.
fn drain(follow: &mut Follow) -> Vec<u64> {
    let entries: Vec<_> = std::iter::from_fn(|| follow.poll().expect("readable")).collect();
    sequences(&entries)
}

#[test]
fn a_follower_of_a_journal_that_is_replaced_begins_again_and_tells_it() {
    let directory = quick_dir();
    let settings = || options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory.path(), settings()).expect("the journal opens");
    journal.append(&records(1..=40)).expect("appended");
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    assert_eq!(drain(&mut follow), (1..=40).collect::<Vec<_>>());
    drop(journal);
    for file in fs::read_dir(directory.path()).expect("listed") {
        fs::remove_file(file.expect("an entry").path()).expect("removed");
    }
    // Nothing is there yet.
    assert_eq!((drain(&mut follow), follow.damaged()), (vec![], 0));
    let mut journal = Journal::open(directory.path(), settings()).expect("the journal opens");
    journal.append(&records(1..=9)).expect("appended");
    assert_eq!(drain(&mut follow), (1..=9).collect::<Vec<_>>());
    assert_eq!(follow.damaged(), 1, "told once");
    assert!(follow.first_damage().expect("told").reason.contains("replaced"));
    journal.append(&records([10])).expect("appended");
    assert_eq!((drain(&mut follow), follow.damaged()), (vec![10], 1));
}

#[test]
fn a_follower_of_a_plain_file_that_is_replaced_reads_both_to_their_ends() {
    let directory = quick_dir();
    let line = |id: u32| {
        format!("{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"t\"}}\n")
    };
    let path = directory.path().join("events.jsonl");
    fs::write(&path, line(1)).expect("written");
    let reader = JournalReader::open(&path).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let mut ids = || {
        let entries: Vec<_> = std::iter::from_fn(|| follow.poll().expect("readable")).collect();
        let ids: Vec<_> = entries.iter().map(|entry| entry.event.id().to_string()).collect();
        (ids, follow.damaged())
    };
    assert_eq!(ids(), (vec!["1".to_owned()], 0));
    let old = directory.path().join("events.jsonl.1");
    fs::rename(&path, &old).expect("renamed");
    assert_eq!(ids(), (vec![], 0), "there is nothing in its place yet");
    let mut file = OpenOptions::new().append(true).open(&old).expect("opened");
    file.write_all(line(2).as_bytes()).expect("written");
    fs::write(&path, line(3) + &line(4)).expect("written");
    assert_eq!(ids(), (["2", "3", "4"].map(str::to_owned).to_vec(), 1));
    assert_eq!(ids(), (vec![], 1));
}

#[test]
fn a_copy_of_an_old_segment_at_the_end_does_not_hide_what_a_follower_asks_for() {
    let directory = quick_dir();
    with_an_old_copy(directory.path());
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let mut follow = reader.follow(Start::Sequence(Sequence::new(15))).expect("followed");
    let all = std::iter::from_fn(|| follow.poll().expect("readable")).collect::<Vec<_>>();
    assert_eq!(sequences(&all), (15..=20).collect::<Vec<_>>());
}
