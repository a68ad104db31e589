//! Records, buses and observers for the other files.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ringpost::event::Event;
use ringpost::store::redis::{RedisOptions, RedisReader, RedisStore, RedisUrl};
use ringpost::store::{PersistOptions, Record, Trouble};
use ringpost::{Gap, Sequence, Shared};

use crate::redis_server::Server;

pub(crate) fn event(number: u64) -> Event {
    let event = Event::builder("load").source("tests/redis").topic("load.one");
    event.raw_json(format!("{{\"n\":{number}}}")).build().expect("an event")
}

pub(crate) fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    let record = |n| Record { sequence: Sequence::new(n), event: Shared::new(event(n)) };
    sequences.into_iter().map(record).collect()
}

pub(crate) fn url(server: &Server) -> RedisUrl {
    RedisUrl::parse(&server.url("stream=s")).expect("a URL")
}

/// Times that suit a test: short, and on the same machine long enough.
pub(crate) fn options() -> RedisOptions {
    RedisOptions::default()
        .with_connect_timeout(Duration::from_millis(500))
        .with_response_timeout(Duration::from_millis(500))
        .with_longest_pause(Duration::from_millis(200))
}

pub(crate) fn store(server: &Server) -> RedisStore {
    RedisStore::open(url(server), options()).expect("a stream")
}

pub(crate) fn reader(server: &Server) -> RedisReader {
    RedisReader::open(url(server), RedisOptions::default()).expect("a stream")
}

/// The sequences that the server has, in its order.
pub(crate) fn stored(server: &Server) -> Vec<u64> {
    let entries = reader(server).entries(Sequence::FIRST).expect("readable");
    entries.map(|entry| entry.expect("read").expect("a record").sequence.get()).collect()
}

/// Where these sequences, in order, are not 1 to `last`: each that is missing or there twice. Few
/// are shown where many are wrong.
pub(crate) fn unlike(sequences: &[u64], last: u64) -> Vec<u64> {
    let times =
        |n: &u64| sequences.partition_point(|s| s <= n) - sequences.partition_point(|s| s < n);
    let beyond = sequences.iter().copied().filter(|n| *n < 1 || *n > last);
    (1..=last).filter(|n| times(n) != 1).chain(beyond).take(10).collect()
}

/// What an observer was told, and who waits for it.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<(Mutex<Vec<Trouble>>, Condvar)>);

impl Told {
    pub(crate) fn options(&self) -> PersistOptions {
        let told = self.clone();
        let observer = move |trouble: &Trouble| {
            let (list, bell) = &*told.0;
            list.lock().unwrap_or_else(PoisonError::into_inner).push(trouble.clone());
            bell.notify_all();
        };
        PersistOptions { observer: Some(Box::new(observer)), ..PersistOptions::default() }
    }

    /// Waits until something of the kind was told, after the first `seen`.
    pub(crate) fn wait_for(&self, seen: usize, kind: impl Fn(&Trouble) -> bool) {
        let (list, bell) = &*self.0;
        let list = list.lock().unwrap_or_else(PoisonError::into_inner);
        let told = bell.wait_while(list, |list| !list.iter().skip(seen).any(&kind));
        drop(told.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What the store said it had lost.
    pub(crate) fn losses(&self) -> Vec<Gap> {
        let list = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = list.iter().filter_map(|trouble| match trouble {
            Trouble::StoreLost(gap) => Some(*gap),
            _ => None,
        });
        lost.collect()
    }
}
