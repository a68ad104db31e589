//! A server that does not answer, does not let us in, is full, is emptied, or is shared.

use std::error::Error as _;
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::redis::{RedisOptions, RedisReader, RedisStore, RedisUrl};
use ringpost::store::{Store, StoreError, StoreErrorKind, Trouble};
use ringpost::{Bus, PublishError, Sequence, Shared};

use crate::redis_server::{Server, Sync};
use crate::support::{Told, event, options, reader, records, store, stored, unlike, url};

fn whole_text(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next} {next:?}"));
        cause = next.source();
    }
    text
}

#[test]
fn a_server_that_stands_still_never_holds_a_publisher_longer_than_its_policy() {
    let Some(server) = Server::start(Sync::EverySecond) else { return };
    let told = Told::default();
    let bus: Bus<Shared<Event>> =
        Bus::builder().ring(256).recent(0).publish_timeout(Duration::from_millis(20)).build();
    let persistence = bus.persist(store(&server), told.options()).expect("a thread");
    let mut published = 0;
    let mut publish = |bus: &Bus<Shared<Event>>| match bus.publish(Shared::new(event(0))) {
        Ok(_) => {
            published += 1;
            true
        }
        Err(PublishError::Full(_)) => false,
        Err(error) => panic!("{error}"),
    };
    while !publish(&bus) {}
    persistence.flush(Sequence::FIRST, Duration::from_secs(10)).expect("it works");
    server.pause();
    let mut refused = 0;
    // Were one of these to wait for the server, the test would not come to its end.
    while refused < 20 {
        refused += u32::from(!publish(&bus));
    }
    told.wait_for(0, |trouble| matches!(trouble, Trouble::Failed { .. }));
    assert!(persistence.stats().degraded.is_some(), "it is told that the store fails");
    server.resume();
    told.wait_for(0, |trouble| matches!(trouble, Trouble::Recovered { .. }));
    while !publish(&bus) {}
    let report = persistence.stop(Duration::from_secs(60));
    assert!(report.complete && report.stats.lost == 0, "{report:?}");
    assert_eq!(report.stats.watermarks.written, Some(Sequence::new(published)), "{report:?}");
    assert_eq!(unlike(&stored(&server), published), [0; 0]);
}

#[test]
fn a_stop_keeps_its_deadline_while_the_server_stands_still() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let told = Told::default();
    let bus: Bus<Shared<Event>> = Bus::builder().ring(256).recent(0).build();
    let persistence = bus.persist(store(&server), told.options()).expect("a thread");
    server.pause();
    bus.publish(Shared::new(event(1))).expect("there is room");
    told.wait_for(0, |trouble| matches!(trouble, Trouble::Failed { .. }));
    let report = persistence.stop(Duration::from_millis(100));
    assert!(!report.complete);
    assert_eq!(report.unwritten, 1);
    server.resume();
}

#[test]
fn a_wrong_password_is_refused_and_shown_nowhere() {
    let Some(server) = Server::start_with(Sync::Nothing, &["--requirepass", "sesame"]) else {
        return;
    };
    let with = |password: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}?stream=s", server.port());
        RedisUrl::parse(&url).expect("a URL")
    };
    let wrong = with("hunter2");
    let error = RedisStore::open(wrong.clone(), options()).expect_err("it is wrong");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(!whole_text(&error).contains("hunter2"), "{}", whole_text(&error));
    let error = RedisReader::open(wrong, options()).expect_err("it is wrong");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(!whole_text(&error).contains("hunter2"), "{}", whole_text(&error));
    let error = RedisStore::open(url(&server), options()).expect_err("there is none");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    let mut store = RedisStore::open(with("sesame"), options()).expect("it is right");
    store.append(&records(1..=3)).expect("appended");
    let shown = format!("{store:?} {:?}", store.reader());
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let url = RedisUrl::parse("redis://user:hunter2@127.0.0.1:1?stream=s").expect("a URL");
    let error = RedisStore::open(url, options()).expect_err("nobody listens there");
    assert_eq!(error.kind(), StoreErrorKind::Io);
    let text = whole_text(&error);
    assert!(text.contains("127.0.0.1:1") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_stream_that_is_deleted_under_its_writer_is_told_as_lost_once() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records(1..=5)).expect("appended");
    server.tell(&["FLUSHALL"]);
    let error = store.append(&records(6..=7)).expect_err("five are gone");
    assert_eq!(error.kind(), StoreErrorKind::Lost);
    let gap = error.lost().expect("which");
    assert_eq!((gap.from.get(), gap.to.get(), gap.count), (1, 5, 5));
    store.append(&records(6..=7)).expect("it goes on");
    assert_eq!(stored(&server), [6, 7]);
    assert_eq!(store.last_sequence(), Some(Sequence::new(7)));
    server.tell(&["DEL", "s"]);
    let error = store.flush().expect_err("a flush looks, too");
    assert_eq!(error.kind(), StoreErrorKind::Lost);
    store.flush().expect("told once");
}

/// What a flush tells as lost, until it succeeds: each range with how many records.
fn lost_until_flushed(store: &mut RedisStore) -> Vec<(u64, u64, u64)> {
    let mut told = Vec::new();
    while let Err(error) = store.flush() {
        let gap = error.lost().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(error.kind(), StoreErrorKind::Lost);
        told.push((gap.from.get(), gap.to.get(), gap.count));
    }
    told
}

#[test]
fn a_loss_that_goes_below_an_earlier_one_tells_each_record_once() {
    for appended_between in [false, true] {
        let Some(server) = Server::start(Sync::Nothing) else { return };
        let mut store = store(&server);
        store.append(&records(1..=10)).expect("appended");
        // As a server that comes back at 5.
        server.tell(&["DEL", "s"]);
        server.tell(&["XADD", "s", "5-0", "event", "as it was"]);
        assert_eq!(lost_until_flushed(&mut store), [(6, 10, 5)]);
        if appended_between {
            store.append(&records(11..=12)).expect("it goes on");
        }
        server.tell(&["DEL", "s"]);
        let told = lost_until_flushed(&mut store);
        let between = [(11, 12, 2)].into_iter().filter(|_| appended_between);
        assert!(between.chain([(1, 5, 5)]).eq(told.iter().copied()), "{told:?}");
        // What is still to be told comes before anything else is done.
        store.append(&records(13..=14)).expect("all was told");
        assert_eq!(stored(&server), [13, 14]);
    }
}

#[test]
fn ranges_that_were_lost_at_once_are_told_one_by_one_before_the_next_batch() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records([1, 2, 5, 6, 9])).expect("appended");
    server.tell(&["FLUSHALL"]);
    let batch = records(10..=11);
    for range in [(9, 9, 1), (5, 6, 2), (1, 2, 2)] {
        let error = store.append(&batch).expect_err("more are gone");
        let gap = error.lost().expect("which");
        assert_eq!((gap.from.get(), gap.to.get(), gap.count), range);
    }
    store.append(&batch).expect("all was told");
    assert_eq!(stored(&server), [10, 11]);
}

#[test]
fn what_a_bound_had_trimmed_is_not_told_as_lost() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    for (bound, opened_again) in [("10", false), ("10", true), ("~10", false), ("~10", true)] {
        let url = RedisUrl::parse(&server.url(&format!("stream=s&maxlen={bound}")));
        let url = url.expect("a URL");
        let open = || RedisStore::open(url.clone(), options()).expect("a stream");
        let mut store = open();
        store.append(&records(1..=4)).expect("appended");
        // Not each sequence is stored; of those that are, none but the last are there.
        store.append(&records((6..=500).filter(|n| n % 100 != 97))).expect("appended");
        let kept = stored(&server);
        if opened_again {
            store = open();
        }
        server.tell(&["FLUSHALL"]);
        let told = lost_until_flushed(&mut store);
        let told_count: u64 = told.iter().map(|(_, _, count)| count).sum();
        assert_eq!(told_count, kept.len() as u64, "{bound}: {told:?}, {kept:?}");
        assert_eq!(told.last().map(|(from, ..)| *from), kept.first().copied(), "{bound}");
        if !opened_again {
            let told = told.iter().rev().flat_map(|(from, to, _)| *from..=*to);
            assert!(told.eq(kept.iter().copied()), "{bound}: {kept:?}");
        }
        store.append(&records([501])).expect("it goes on");
        server.tell(&["FLUSHALL"]);
    }
}

#[test]
fn two_writers_never_mix_and_the_first_one_is_told() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let (mut first, mut second) = (store(&server), store(&server));
    first.append(&records(1..=3)).expect("appended");
    let error = second.append(&records(1..=2)).expect_err("it had opened an empty stream");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    assert!(!error.is_transient());
    // Above all that is there, behind a gap: no id would give this away.
    let error = second.append(&records(10..=11)).expect_err("it has not seen 1 to 3");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    let mut third = store(&server);
    third.append(&records([4])).expect("who opens goes on");
    let error = first.append(&records(20..=21)).expect_err("it was taken over");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    third.append(&records([5])).expect("and is not disturbed");
    assert_eq!(stored(&server), [1, 2, 3, 4, 5]);
}

#[test]
fn a_full_server_takes_all_of_a_batch_or_nothing() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records(1..=10)).expect("appended");
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = store.append(&records(11..=500)).expect_err("no room");
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(error.is_transient());
    assert_eq!(stored(&server).len(), 10);
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    store.append(&records(11..=500)).expect("there is room again");
    assert_eq!(stored(&server), (1..=500).collect::<Vec<_>>());
}

#[test]
fn a_connection_that_was_closed_while_idle_is_made_again_without_a_word() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    for round in 1..=5 {
        store.append(&records([round])).expect("appended");
        server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    store.flush().or_else(|_| store.flush()).expect("flushed");
    assert_eq!(stored(&server), [1, 2, 3, 4, 5]);
}

#[test]
fn a_key_that_holds_something_else_is_left_alone() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    server.tell(&["SET", "s", "text"]);
    let error = RedisStore::open(url(&server), options()).expect_err("no stream");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    let error = RedisReader::open(url(&server), options()).expect_err("no stream");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    server.tell(&["DEL", "s"]);
    let error = RedisReader::open(url(&server), options()).expect_err("nothing");
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    server.tell(&["XADD", "s", "*", "event", "nonsense"]);
    let error = RedisStore::open(url(&server), options()).expect_err("a stream of others");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    let found = reader(&server).verify().expect("readable");
    assert_eq!((found.records, found.damaged, found.is_clean()), (1, 1, false));
}

#[test]
fn a_stream_whose_sequences_are_used_up_is_refused() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let last = Sequence::LIMIT - 1;
    store(&server).append(&records(last..=last)).expect("appended");
    let error = RedisStore::open(url(&server), options()).expect_err("nothing comes behind it");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(reader(&server).verify().expect("readable").records, 1);
}

#[test]
fn a_length_bounds_the_stream() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    for (parameters, most) in [("stream=s&maxlen=10", 10), ("stream=t&maxlen=~10", 200)] {
        let url = RedisUrl::parse(&server.url(parameters)).expect("a URL");
        let mut store = RedisStore::open(url, RedisOptions::default()).expect("a stream");
        for first in (1..1000).step_by(9) {
            store.append(&records(first..first + 9)).expect("appended");
        }
        let kept = store.scan(Sequence::FIRST).expect("a scan").count();
        assert!((10..=most).contains(&kept), "{kept}");
        let last = store.tail(10).expect("a tail");
        let last: Vec<u64> = last.iter().map(|record| record.sequence.get()).collect();
        assert_eq!(last, (990..=999).collect::<Vec<_>>());
    }
}
