//! What is said about a power cut, by what the server is set to.

use std::time::{Duration, Instant};

use ringpost::store::redis::{DurableWhen, RedisStore};
use ringpost::store::{Level, ReceiptError, Record, Store, Trouble, Watermarks};
use ringpost::{EventBus, PublishStoredError, Sequence};

use crate::redis_server::{Server, Sync};
use crate::support::{Told, event, options, records, store, stored, url};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_server_that_syncs_always_makes_durable_what_it_takes() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let mut store = store(&server);
    assert_eq!(store.durable_when(), DurableWhen::Appended);
    store.append(&records(1..=5)).expect("appended");
    let five = Some(Sequence::new(5));
    assert_eq!(store.watermarks(), Watermarks { written: five, durable: five });
}

#[test]
fn a_server_that_syncs_every_second_is_believed_as_far_as_it_can_be_asked() {
    let Some(server) = Server::start(Sync::EverySecond) else { return };
    let mut store = store(&server);
    store.append(&records(1..=5)).expect("appended");
    assert_eq!(store.watermarks().durable, None);
    store.flush().expect("flushed");
    let durable = match store.durable_when() {
        // Redis 7.2 or newer.
        DurableWhen::Flushed => Some(Sequence::new(5)),
        when => {
            assert_eq!(when, DurableWhen::Never);
            None
        }
    };
    assert_eq!(store.watermarks().durable, durable);
}

#[test]
fn a_server_that_keeps_its_settings_to_itself_promises_no_more_than_it_shows() {
    let Some(server) = Server::start(Sync::Always) else { return };
    server.tell(&["ACL", "SETUSER", "default", "-config"]);
    let mut store = store(&server);
    assert_ne!(store.durable_when(), DurableWhen::Appended);
    store.append(&records(1..=5)).expect("appended");
    assert_eq!(store.watermarks().durable, None);
    server.tell(&["ACL", "SETUSER", "default", "-info"]);
    let store = RedisStore::open(url(&server), options()).expect("a stream");
    assert_eq!(store.durable_when(), DurableWhen::Never);
}

#[test]
fn settings_that_suspend_the_syncs_are_seen_through() {
    let Some(server) = Server::start(Sync::Always) else { return };
    server.tell(&["CONFIG", "SET", "no-appendfsync-on-rewrite", "yes"]);
    assert_ne!(store(&server).durable_when(), DurableWhen::Appended);
}

#[test]
fn a_durable_receipt_comes_where_the_server_syncs_always() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let bus = EventBus::new();
    let persistence = bus.persist(store(&server), Told::default().options()).expect("a thread");
    let receipts = persistence.receipts();
    assert_eq!(receipts.promised(), Level::Durable);
    for number in 1..=20 {
        let receipt = bus.publish_durable_blocking(event(number), &receipts, PATIENCE);
        assert_eq!(receipt.expect("durable").sequence(), Sequence::new(number));
    }
    assert_eq!(stored(&server).len(), 20);
}

/// Redis 7.2 or newer, and Valkey, can be asked; an older one never promises it, and says so at once.
/// Debian 12 has 7.0: see `RINGPOST_REDIS_SERVER`.
#[test]
fn a_durable_receipt_comes_with_the_next_sync_or_is_refused_at_once() {
    let Some(server) = Server::start(Sync::EverySecond) else { return };
    let store = store(&server);
    let when = store.durable_when();
    let bus = EventBus::new();
    let persistence = bus.persist(store, Told::default().options()).expect("a thread");
    let receipts = persistence.receipts();
    let receipt = bus.publish_durable_blocking(event(1), &receipts, PATIENCE);
    match when {
        DurableWhen::Flushed => {
            assert_eq!(receipts.promised(), Level::Durable);
            // Nobody flushes: the store asks the server's disk by itself.
            assert_eq!(receipt.expect("durable").sequence(), Sequence::FIRST);
            assert_eq!(receipts.watermarks().durable, Some(Sequence::FIRST));
        }
        _ => {
            assert_eq!(receipts.promised(), Level::Written);
            assert!(matches!(receipt, Err(PublishStoredError::NotPromised(_))), "{receipt:?}");
            let receipt = bus.publish_written_blocking(event(1), &receipts, PATIENCE);
            assert_eq!(receipt.expect("written").level(), Level::Written);
        }
    }
}

#[test]
fn whoever_waits_is_told_when_a_server_promises_less_than_before() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let told = Told::default();
    let bus = EventBus::new();
    let persistence = bus.persist(store(&server), told.options()).expect("a thread");
    let receipts = persistence.receipts();
    let receipt = bus.publish_durable_blocking(event(1), &receipts, PATIENCE);
    assert_eq!(receipt.expect("durable").sequence(), Sequence::FIRST);
    server.pause();
    let sequence = bus.publish(event(2)).expect("there is room").sequence.expect("one");
    told.wait_for(0, |trouble| matches!(trouble, Trouble::Failed { .. }));
    server.resume();
    server.tell(&["CONFIG", "SET", "appendfsync", "no"]);
    server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let answer = loop {
        match receipts.durable(sequence).wait(PATIENCE) {
            // It is tried again.
            Err(ReceiptError::Failed(_)) => {}
            answer => break answer,
        }
    };
    // It may have been durable before the settings changed.
    if let Err(error) = answer {
        assert!(matches!(error, ReceiptError::NotPromised(Level::Durable)), "{error:?}");
    }
    let receipt = bus.publish_written_blocking(event(3), &receipts, PATIENCE);
    assert!(receipt.is_ok(), "{receipt:?}");
    let error = bus.publish_durable_blocking(event(4), &receipts, PATIENCE).expect_err("no more");
    assert!(matches!(error, PublishStoredError::NotPromised(_)), "{error:?}");
    // What was durable is so for good.
    assert!(receipts.durable(Sequence::FIRST).wait(PATIENCE).is_ok());
    assert_eq!(receipts.promised(), Level::Written);
}

/// The connection breaks while the batch is under way, and it is appended through the next one.
fn append_through_a_break(store: &mut RedisStore, server: &Server, batch: &[Record]) {
    server.pause();
    store.append(batch).expect_err("no answer");
    server.resume();
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.append(batch) {
        assert!(error.is_transient() && Instant::now() < until, "{error}");
    }
}

#[test]
fn what_a_broken_connection_left_behind_becomes_durable_through_the_next() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let mut store = store(&server);
    store.append(&records(1..=2)).expect("appended");
    let batch = records(3..=5);
    append_through_a_break(&mut store, &server, &batch);
    // Whether it was stored before the answer was lost or just now, it is durable in the end.
    while store.watermarks().durable != Some(Sequence::new(5)) {
        assert!(store.due().is_some(), "somebody sees to it");
        store.tend().expect("the server answers");
    }
    assert_eq!(store.due(), None);
    assert_eq!(stored(&server), [1, 2, 3, 4, 5]);
}

#[test]
fn a_user_who_may_not_write_behind_a_broken_connection_is_promised_nothing_through_the_next() {
    let Some(server) = Server::start(Sync::Always) else { return };
    server.tell(&["ACL", "SETUSER", "default", "-xsetid"]);
    let mut store = store(&server);
    let batch = records(1..=3);
    append_through_a_break(&mut store, &server, &batch);
    if store.watermarks().durable.is_none() {
        store.flush().expect("flushed");
        assert_eq!((store.promises(), store.watermarks().durable), (Level::Written, None));
    }
    assert_eq!(stored(&server), [1, 2, 3]);
}
