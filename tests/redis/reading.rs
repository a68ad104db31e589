//! Pages, the end, what comes, and what is there.

use std::time::Duration;

use ringpost::Sequence;
use ringpost::store::redis::EntryId;
use ringpost::store::{Store, StoreErrorKind};

use crate::redis_server::{Server, Sync};
use crate::support::{reader, records, store, stored};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_stream_of_many_pages_is_read_whole_in_both_directions() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    for first in (1..=5000).step_by(500) {
        store.append(&records(first..first + 500)).expect("appended");
    }
    assert_eq!(stored(&server), (1..=5000).collect::<Vec<_>>());
    let back = reader(&server).entries_back().expect("readable");
    let back: Vec<u64> =
        back.map(|entry| entry.expect("read").expect("a record").sequence.get()).collect();
    assert_eq!(back, (1..=5000).rev().collect::<Vec<_>>());
    let from = store.scan(Sequence::new(4321)).expect("a scan");
    let from: Vec<u64> = from.map(|record| record.expect("read").sequence.get()).collect();
    assert_eq!(from, (4321..=5000).collect::<Vec<_>>());
    let stats = reader(&server).stats().expect("counted");
    assert_eq!((stats.events, stats.stopped), (5000, false));
    let mut left = 1234;
    let some = reader(&server).stats_until(|| {
        left -= 1;
        left < 0
    });
    let some = some.expect("counted");
    assert_eq!((some.events, some.stopped), (1234, true));
    let tail = store.tail(1500).expect("a tail");
    assert_eq!(tail.len(), 1500);
    assert_eq!(tail[0].sequence.get(), 3501);
}

#[test]
fn a_follower_sees_what_is_there_and_then_what_comes() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records(1..=200)).expect("appended");
    let mut follow = reader(&server).follow(EntryId::default());
    let mut next = || {
        let entry = follow.poll(SOON).expect("read").expect("it came").expect("a record");
        entry.sequence.get()
    };
    for expected in 1..=200 {
        assert_eq!(next(), expected);
    }
    store.append(&records(201..=203)).expect("appended");
    for expected in 201..=203 {
        assert_eq!(next(), expected);
    }
    assert!(follow.poll(Duration::from_millis(1)).expect("read").is_none());
}

#[test]
fn a_follower_outlives_its_server_and_tells_when_less_came_back() {
    let Some(mut server) = Server::start(Sync::Nothing) else { return };
    store(&server).append(&records(1..=9)).expect("appended");
    let mut follow = reader(&server).follow(EntryId::default());
    for _ in 1..=9 {
        follow.poll(SOON).expect("read").expect("it is there").expect("a record");
    }
    server.kill();
    let error = follow.poll(SOON).expect_err("nobody is there");
    assert!(error.is_transient(), "{error}");
    server.restart();
    let error = follow.poll(SOON).expect_err("it came back empty");
    assert_eq!(error.kind(), StoreErrorKind::Lost);
    store(&server).append(&records([1])).expect("appended");
    let entry = follow.poll(SOON).expect("read").expect("it came").expect("a record");
    assert_eq!(entry.sequence.get(), 1);
}

#[test]
fn a_check_finds_gaps_and_entries_that_are_no_records() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records([3, 4, 8, 9])).expect("appended");
    let found = reader(&server).verify().expect("readable");
    assert_eq!((found.records, found.valid, found.damaged), (4, 4, 0));
    assert_eq!(found.gaps, [Sequence::new(5)..=Sequence::new(7)]);
    // The line of 9 under another id, a line that is none, and another field.
    let line = reader(&server).entries_back().expect("readable").next().expect("one");
    let line = String::from_utf8(line.expect("read").expect("a record").line).expect("text");
    server.tell(&["XADD", "s", "10-0", "event", &line]);
    server.tell(&["XADD", "s", "11-0", "event", "{}"]);
    server.tell(&["XADD", "s", "12-0", "temperature", "21"]);
    let found = reader(&server).verify().expect("readable");
    assert_eq!((found.records, found.valid, found.damaged), (7, 4, 3));
    assert_eq!(found.damages[0].id.to_string(), "10-0");
    assert!(!found.is_clean());
    let stats = reader(&server).stats().expect("readable");
    assert_eq!((stats.events, stats.damaged), (4, 3));
    assert_eq!(stats.last_sequence, Some(Sequence::new(9)));
    assert_eq!(stats.types.get("load"), Some(&4));
}
