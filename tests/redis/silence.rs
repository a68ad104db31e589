//! Batches that the server does not answer record by record: what is proof that they are stored, and
//! what is none.

use std::thread;

use ringpost::store::redis::{RedisOptions, RedisStore, RedisUrl};
use ringpost::store::{Record, Store as _, StoreError, StoreErrorKind};
use ringpost::{Sequence, Shared};

use crate::proxy::{Fault, Proxy};
use crate::redis_server::{Server, Sync};
use crate::support::{event, options, records, store, stored, url};

fn through(proxy: &Proxy) -> RedisStore {
    RedisStore::open(proxy.url(), options()).expect("a stream")
}

/// Bytes that the server has ever sent.
fn sent_by(server: &Server) -> u64 {
    let info = server.tell(&["INFO", "stats"]);
    let mut lines = info.lines().filter_map(|line| line.strip_prefix("total_net_output_bytes:"));
    lines.next().and_then(|number| number.trim().parse().ok()).expect("a number")
}

/// What the server sends while a batch of 5,000 is appended.
fn answers_to_a_batch(server: &Server, store: &mut RedisStore) -> u64 {
    let first = store.last_sequence().map_or(1, |last| last.get() + 1);
    let before = sent_by(server);
    store.append(&records(first..first + 5000)).expect("appended");
    sent_by(server) - before
}

/// Sequences as before, other events.
fn others(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    let other = |n| Record { sequence: Sequence::new(n), event: Shared::new(event(n + 1000)) };
    sequences.into_iter().map(other).collect()
}

/// Appends, again and again while the store waits before it connects again.
fn insist(store: &mut RedisStore, batch: &[Record]) -> Result<(), StoreError> {
    loop {
        match store.append(batch) {
            Err(error) if error.kind() == StoreErrorKind::Io => thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn a_server_answers_a_batch_once_and_not_each_of_its_records() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    for _ in 0..3 {
        let sent = answers_to_a_batch(&server, &mut store);
        assert!(sent < 5000, "{sent} bytes for 5,000 records");
    }
    assert_eq!(stored(&server), (1..=15_000).collect::<Vec<_>>());
}

#[test]
fn who_may_not_silence_the_server_is_answered_for_each_record() {
    for right in ["-client", "-client|reply", "-xlen", "-discard"] {
        let Some(server) = Server::start(Sync::Always) else { return };
        server.tell(&["ACL", "SETUSER", "default", right]);
        let mut store = store(&server);
        let sent = answers_to_a_batch(&server, &mut store);
        assert!(sent > 5000, "{right}: {sent} bytes for 5,000 records");
        assert_eq!(stored(&server), (1..=5000).collect::<Vec<_>>(), "{right}");
        assert_eq!(store.watermarks().durable, Some(Sequence::new(5000)), "{right}");
    }
}

#[test]
fn a_right_that_is_taken_away_in_between_costs_no_record_and_no_error() {
    for right in ["client", "client|reply", "xlen"] {
        let Some(server) = Server::start(Sync::Nothing) else { return };
        let mut store = store(&server);
        store.append(&records(1..=10)).expect("appended");
        server.tell(&["ACL", "SETUSER", "default", &format!("-{right}")]);
        store.append(&records(11..=20)).expect(right);
        store.append(&records(21..=30)).expect(right);
        store.flush().expect(right);
        server.tell(&["ACL", "SETUSER", "default", &format!("+{right}")]);
        store.append(&records(31..=40)).expect(right);
        assert_eq!(stored(&server), (1..=40).collect::<Vec<_>>(), "{right}");
    }
}

#[test]
fn as_many_records_with_the_same_ids_of_another_writer_are_no_proof() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut first = store(&server);
    first.append(&records(1..=3)).expect("appended");
    let mut second = store(&server);
    second.append(&others(4..=6)).expect("who opens goes on");
    // As long a stream as it would be, and the same last id.
    let error = first.append(&records(4..=6)).expect_err("they are another's");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    assert_eq!(first.watermarks().written, Some(Sequence::new(3)));
    let fourth = second.scan(Sequence::new(4)).expect("a scan").next().expect("one");
    assert_eq!(fourth.expect("read").event.data(), event(1004).data());
}

#[test]
fn who_writes_right_behind_a_batch_is_found_before_the_next_one_is_run() {
    for undone in [false, true] {
        let Some(server) = Server::start(Sync::Nothing) else { return };
        let proxy = Proxy::to(&server);
        let mut store = through(&proxy);
        store.append(&records(1..=3)).expect("appended");
        // Before the server watches the stream again.
        proxy.once("EXEC\r\n", Fault::Hold);
        thread::scope(|scope| {
            let appended = scope.spawn(|| store.append(&records(4..=6)));
            proxy.wait_until_held();
            server.tell(&["XADD", "s", "8-0", "event", "another's"]);
            if undone {
                server.tell(&["XDEL", "s", "8-0"]);
            }
            proxy.release();
            appended.join().expect("no panic").expect("it was run before");
        });
        // Were it run, 7 and 8 would be refused, and 9 would not.
        let error = store.append(&records(7..=9)).expect_err("somebody was here");
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
        let length = server.tell(&["XLEN", "s"]);
        assert_eq!(length, if undone { ":6\r\n" } else { ":7\r\n" });
    }
}

#[test]
fn a_flush_finds_who_wrote_right_behind_a_batch() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let mut store = through(&proxy);
    proxy.once("EXEC\r\n", Fault::Hold);
    thread::scope(|scope| {
        let appended = scope.spawn(|| store.append(&records(1..=3)));
        proxy.wait_until_held();
        server.tell(&["DEL", "s"]);
        proxy.release();
        appended.join().expect("no panic").expect("it was run before");
    });
    let error = store.flush().expect_err("they are gone");
    assert_eq!(error.kind(), StoreErrorKind::Lost, "{error}");
    assert_eq!(error.lost().map(|gap| (gap.from.get(), gap.to.get())), Some((1, 3)));
}

#[test]
fn a_server_that_is_full_in_the_midst_of_a_batch_takes_none_of_it() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    // Patient: so much takes a server its time.
    let store = RedisStore::open(url(&server), RedisOptions::default());
    let mut store = store.expect("a stream");
    store.append(&records(1..=10)).expect("appended");
    let used = server.tell(&["INFO", "memory"]);
    let mut used = used.lines().filter_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.next().and_then(|number| number.trim().parse().ok()).expect("a number");
    // There is room for some of it.
    server.tell(&["CONFIG", "SET", "maxmemory", &(used + 400_000).to_string()]);
    let error = store.append(&records(11..=5000)).expect_err("no room");
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert_eq!(stored(&server), (1..=10).collect::<Vec<_>>());
    assert_eq!(store.watermarks().written, Some(Sequence::new(10)));
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    store.append(&records(11..=5000)).expect("there is room again");
    assert_eq!(stored(&server), (1..=5000).collect::<Vec<_>>());
}

#[test]
fn a_record_that_is_refused_within_a_batch_is_never_called_written() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let proxy = Proxy::to(&server);
    let mut store = through(&proxy);
    store.append(&records(1..=3)).expect("appended");
    // An id that does not rise.
    proxy.once("5-0\r\n", Fault::Instead(b"4-0\r\n"));
    store.append(&records(4..=6)).expect_err("the server took two of three");
    let error = store.append(&records(4..=6)).expect_err("5 can come no more");
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    assert_eq!(stored(&server), [1, 2, 3, 4, 6]);
    assert_eq!(store.watermarks().written, Some(Sequence::new(3)));
}

#[test]
fn a_key_that_becomes_something_else_takes_no_batch() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let mut store = store(&server);
    store.append(&records(1..=3)).expect("appended");
    server.tell(&["SET", "s", "text"]);
    for _ in 0..3 {
        let error = store.append(&records(4..=6)).expect_err("no stream");
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    }
    assert_eq!(server.tell(&["GET", "s"]), "$4\r\ntext\r\n");
    server.tell(&["DEL", "s"]);
    let error = store.append(&records(4..=6)).expect_err("three are gone");
    assert_eq!(error.kind(), StoreErrorKind::Lost);
    store.append(&records(4..=6)).expect("it goes on");
    assert_eq!(stored(&server), [4, 5, 6]);
}

#[test]
fn a_batch_whose_proof_is_lost_is_looked_up_and_not_stored_again() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let mut store = through(&proxy);
    store.append(&records(1..=3)).expect("appended");
    for (words, until) in [("EXEC\r\n", 6), ("XLEN", 9), ("WATCH\r\n", 12)] {
        proxy.once(words, Fault::Cut);
        store.append(&records(until - 2..=until)).expect(words);
        store.append(&[]).expect("nothing");
    }
    assert_eq!(proxy.met(), 3);
    store.flush().expect("flushed");
    assert_eq!(store.watermarks().durable, Some(Sequence::new(12)));
    assert_eq!(stored(&server), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_server_that_stands_still_when_it_is_silenced_is_used_aloud() {
    for fault in [Fault::Deaf, Fault::Cut] {
        let Some(server) = Server::start(Sync::Nothing) else { return };
        let proxy = Proxy::to(&server);
        proxy.always("REPLY", fault);
        let mut store = through(&proxy);
        assert_eq!(proxy.met(), 1, "it was asked to be silent, once");
        let sent = answers_to_a_batch(&server, &mut store);
        assert!(sent > 5000, "{sent} bytes for 5,000 records");
        assert_eq!(stored(&server), (1..=5000).collect::<Vec<_>>());
        // That one, the one that is used, and a reader's.
        assert_eq!((proxy.met(), proxy.connections()), (1, 3));
    }
}

#[test]
fn answers_in_single_bytes_are_whole_answers() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let proxy = Proxy::to(&server);
    proxy.trickle();
    let mut store = through(&proxy);
    for first in (1..=100).step_by(10) {
        store.append(&records(first..first + 10)).expect("appended");
    }
    assert_eq!(stored(&server), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_length_that_bounds_the_stream_does_not_hide_what_was_added() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    for parameters in ["stream=s&maxlen=10", "stream=s&maxlen=~150"] {
        server.tell(&["DEL", "s"]);
        let url = RedisUrl::parse(&server.url(parameters)).expect("a URL");
        let mut store = RedisStore::open(url, options()).expect("a stream");
        let mut sent = 0;
        for first in (1..=9000).step_by(300) {
            let before = sent_by(&server);
            store.append(&records(first..first + 300)).expect("appended");
            sent += sent_by(&server) - before;
        }
        assert!(sent < 9000 * 8, "{parameters}: {sent} bytes for 9,000 records");
        assert_eq!(stored(&server).last(), Some(&9000), "{parameters}");
    }
}

#[test]
fn a_batch_whose_proof_is_lost_is_found_although_a_bound_has_trimmed_its_beginning() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    for (bound, last) in [("5", 23), ("~5", 503)] {
        server.tell(&["DEL", "s"]);
        let proxy = Proxy::to(&server);
        let url = proxy.url_with(&format!("stream=s&maxlen={bound}"));
        let mut store = RedisStore::open(url, options()).expect("a stream");
        store.append(&records(1..=3)).expect("appended");
        proxy.once("EXEC\r\n", Fault::Cut);
        store.append(&records(4..=last)).expect(bound);
        assert_eq!(proxy.met(), 1);
        let kept = stored(&server);
        assert!(kept[0] > 4, "{bound}: the batch itself was trimmed");
        assert!(kept.iter().copied().eq(kept[0]..=last), "{bound}: {kept:?}");
        store.append(&records([last + 1])).expect(bound);
        assert_eq!(store.last_sequence(), Some(Sequence::new(last + 1)));
        assert_eq!(stored(&server).last(), Some(&(last + 1)));
    }
}

#[test]
fn a_hole_that_a_bound_does_not_explain_is_no_proof_of_a_batch() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let meddlings: [(&str, &[&str]); 3] = [
        // Without a bound nothing is trimmed.
        ("", &["XTRIM", "s", "MAXLEN", "5"]),
        // Fewer than the bound keeps.
        ("&maxlen=5", &["XTRIM", "s", "MAXLEN", "4"]),
        // A hole in the midst.
        ("&maxlen=5", &["XDEL", "s", "21-0"]),
    ];
    for (bound, meddling) in meddlings {
        server.tell(&["DEL", "s"]);
        let proxy = Proxy::to(&server);
        let url = proxy.url_with(&format!("stream=s{bound}"));
        let mut store = RedisStore::open(url, options()).expect("a stream");
        store.append(&records(1..=3)).expect("appended");
        proxy.once("EXEC\r\n", Fault::Away);
        let batch = records(4..=23);
        let error = store.append(&batch).expect_err("no answer");
        assert_eq!(error.kind(), StoreErrorKind::Io, "{bound}: {error}");
        server.tell(meddling);
        proxy.admit();
        let error = insist(&mut store, &batch).expect_err("somebody was here");
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{bound}: {error}");
    }
}

#[test]
fn a_batch_that_has_grown_since_its_proof_was_lost_goes_on_behind_what_is_there() {
    let Some(server) = Server::start(Sync::Nothing) else { return };
    let proxy = Proxy::to(&server);
    let mut store = through(&proxy);
    store.append(&records(1..=3)).expect("appended");
    proxy.once("EXEC\r\n", Fault::Away);
    let batch = records(4..=10);
    store.append(&batch[..3]).expect_err("no answer");
    proxy.admit();
    // The rest of it is lost on its way, once.
    proxy.once("10-0\r\n", Fault::Cut);
    insist(&mut store, &batch).expect("three are there");
    assert_eq!(proxy.met(), 2);
    store.append(&records(11..=12)).expect("appended");
    assert_eq!(stored(&server), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_flush_behind_a_batch_of_unknown_end_asks_for_the_batch_and_names_no_other_writer() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let mut store = through(&proxy);
    // Whose answer was lost, and so is still to be made durable.
    proxy.once("EXEC\r\n", Fault::Cut);
    store.append(&records(1..=3)).expect("looked up");
    let batch = records(4..=6);
    proxy.once("EXEC\r\n", Fault::Away);
    store.append(&batch).expect_err("no answer");
    proxy.admit();
    let asks = |error: &StoreError| format!("{error:?}").contains("handed in again");
    for tends in [false, true] {
        let error = loop {
            let done = if tends { store.tend() } else { store.flush() };
            match done {
                // Before it connects again, or is due.
                Err(error) if error.kind() == StoreErrorKind::Io && !asks(&error) => {}
                Err(error) => break error,
                Ok(()) => assert!(tends && store.due().is_some()),
            }
            thread::yield_now();
        };
        assert_eq!(error.kind(), StoreErrorKind::Io, "{error:?}");
        assert!(error.is_transient());
    }
    store.append(&batch).expect("it is there");
    store.flush().expect("flushed");
    assert_eq!(store.watermarks().durable, Some(Sequence::new(6)));
    assert_eq!(stored(&server), (1..=6).collect::<Vec<_>>());
}
