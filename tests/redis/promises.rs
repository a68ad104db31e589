//! What is said about a power cut, by what the server is set to.

use ringpost::Sequence;
use ringpost::store::redis::{DurableWhen, RedisStore};
use ringpost::store::{Store, Watermarks};

use crate::redis_server::{Server, Sync};
use crate::support::{options, records, store, url};

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
