//! What every store promises, checked against each of them. A new store adds a line at the foot.

use ringpost::event::Event;
use ringpost::store::{MemoryStore, Record, Store, StoreErrorKind};
use ringpost::{Sequence, Shared};

fn record(sequence: u64) -> Record {
    let event = Event::builder("store.contract")
        .id(format!("id-{sequence}"))
        .source("contract")
        .topic(format!("topic.{}", sequence % 3))
        .extension("colour", "blue")
        .raw_json(format!("{{\"n\": {sequence}, \"spelling\":1.0, \"text\":\"a\\nb\\u00e9\"}}"))
        .build()
        .expect("a valid event");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    sequences.into_iter().map(record).collect()
}

fn sequences(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence.get()).collect()
}

fn scan(store: &dyn Store, from: u64) -> Vec<Record> {
    let scan = store.scan(Sequence::new(from)).expect("a scan");
    scan.collect::<Result<_, _>>().expect("readable records")
}

/// A place where stores of one kind are opened. Nothing stands for one that needs a program which
/// is not here.
trait Home {
    type Store: Store;
    fn open(&self) -> Self::Store;
}

fn a_new_store_is_empty(home: &impl Home) {
    let store = home.open();
    assert_eq!(store.last_sequence(), None);
    assert_eq!(store.watermarks(), Default::default());
    assert!(scan(&store, 1).is_empty());
    assert!(store.tail(10).expect("a tail").is_empty());
    assert_eq!(store.due(), None, "nothing is due where nothing was appended");
}

fn records_come_back_in_order_and_unchanged(home: &impl Home) {
    let mut store = home.open();
    let all = records([3, 4, 7, 8, 9, 20]);
    store.append(&all[..1]).expect("appended");
    store.append(&all[1..4]).expect("appended");
    store.append(&all[4..]).expect("appended");
    assert_eq!(scan(&store, 1), all);
    assert_eq!(store.last_sequence(), Some(Sequence::new(20)));
}

fn a_scan_begins_at_the_sequence_asked_for(home: &impl Home) {
    let mut store = home.open();
    let held: Vec<u64> = (5..60).filter(|sequence| sequence % 7 != 0).collect();
    for chunk in held.chunks(6) {
        store.append(&records(chunk.iter().copied())).expect("appended");
    }
    for from in 1..65 {
        let expected: Vec<u64> = held.iter().copied().filter(|held| *held >= from).collect();
        assert_eq!(sequences(&scan(&store, from)), expected, "from {from}");
    }
}

fn a_tail_is_the_end_of_a_scan(home: &impl Home) {
    let mut store = home.open();
    store.append(&records(1..=40)).expect("appended");
    store.append(&records(50..=60)).expect("appended");
    let all = scan(&store, 1);
    for count in [0, 1, 2, 11, 12, 50, 51, 52, 1000] {
        let expected = &all[all.len().saturating_sub(count)..];
        assert_eq!(store.tail(count).expect("a tail"), expected, "{count}");
    }
}

fn sequences_that_do_not_rise_are_refused_whole(home: &impl Home) {
    let mut store = home.open();
    store.append(&records(1..=5)).expect("appended");
    for wrong in [vec![5], vec![4, 6], vec![6, 6], vec![6, 8, 7], vec![1]] {
        let error = store.append(&records(wrong.clone())).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::OutOfOrder, "{wrong:?}: {error}");
        assert!(!error.is_transient());
        assert_eq!(sequences(&scan(&store, 1)), [1, 2, 3, 4, 5], "{wrong:?}");
    }
    store.append(&records([6])).expect("the store is as good as before");
    assert_eq!(sequences(&scan(&store, 6)), [6]);
}

fn an_empty_batch_changes_nothing(home: &impl Home) {
    let mut store = home.open();
    store.append(&[]).expect("nothing to do");
    assert_eq!(store.last_sequence(), None);
    store.append(&records([9])).expect("appended");
    store.append(&[]).expect("nothing to do");
    assert_eq!(store.last_sequence(), Some(Sequence::new(9)));
}

fn watermarks_rise_and_durable_is_never_ahead(home: &impl Home) {
    let mut store = home.open();
    let mut before = store.watermarks();
    for first in (1..100).step_by(10) {
        store.append(&records(first..first + 10)).expect("appended");
        if first % 20 == 1 {
            store.flush().expect("flushed");
        }
        store.tend().expect("tended");
        let now = store.watermarks();
        assert_eq!(now.written, Some(Sequence::new(first + 9)));
        assert!(now.durable <= now.written);
        assert!(now.durable >= before.durable);
        before = now;
    }
    store.flush().expect("a flush may be repeated");
    store.flush().expect("a flush may be repeated");
}

fn large_and_odd_payloads_survive(home: &impl Home) {
    let mut store = home.open();
    let big = Event::builder("big").source("s").binary(vec![0xff; 600_000]).build().expect("event");
    let odd = Event::builder("odd")
        .source("s")
        .text("line\nbreak \r\u{2028}\u{0000} \"quoted\" \\ \u{1f600}")
        .build()
        .expect("event");
    let none = Event::builder("none").source("s").build().expect("event");
    let all: Vec<Record> = [big, odd, none]
        .into_iter()
        .zip(1..)
        .map(|(event, n)| Record { sequence: Sequence::new(n), event: Shared::new(event) })
        .collect();
    store.append(&all).expect("appended");
    assert_eq!(scan(&store, 1), all);
    assert_eq!(store.tail(2).expect("a tail"), all[1..]);
}

/// For stores that outlive their process.
#[cfg(any(all(feature = "jsonl", unix), feature = "redis"))]
mod lasting {
    use super::*;

    pub(super) fn it_goes_on_where_it_ended(home: &impl Home) {
        for round in 0..5 {
            let mut store = home.open();
            let last = round * 3;
            assert_eq!(store.last_sequence(), (last > 0).then(|| Sequence::new(last)));
            if last > 0 {
                let error = store.append(&records([last])).expect_err("it is there");
                assert_eq!(error.kind(), StoreErrorKind::OutOfOrder);
            }
            store.append(&records(last + 1..=last + 3)).expect("appended");
            store.flush().expect("flushed");
        }
        assert_eq!(sequences(&scan(&home.open(), 1)), (1..=15).collect::<Vec<_>>());
    }
}

#[cfg(any(all(feature = "jsonl", unix), feature = "redis"))]
use lasting::it_goes_on_where_it_ended;

macro_rules! contract {
    ($name:ident, $home:expr, [$($also:ident),*]) => {
        mod $name {
            use super::*;
            contract!(@ $home, a_new_store_is_empty, records_come_back_in_order_and_unchanged,
                a_scan_begins_at_the_sequence_asked_for, a_tail_is_the_end_of_a_scan,
                sequences_that_do_not_rise_are_refused_whole, an_empty_batch_changes_nothing,
                watermarks_rise_and_durable_is_never_ahead, large_and_odd_payloads_survive
                $(, $also)*);
        }
    };
    (@ $home:expr, $($case:ident),*) => {
        $(#[test] fn $case() { if let Some(home) = $home { super::$case(&home); } })*
    };
}

struct Memory;

impl Home for Memory {
    type Store = MemoryStore;
    fn open(&self) -> MemoryStore {
        MemoryStore::new()
    }
}

contract!(memory, Some(Memory), []);

#[cfg(all(feature = "jsonl", unix))]
mod directory {
    use super::Home;
    use ringpost::store::journal::{Fsync, Journal, JournalOptions};

    pub(super) struct Directory(tempfile::TempDir, JournalOptions);

    impl Directory {
        pub(super) fn new(fsync: Fsync, segment_bytes: u64) -> Option<Self> {
            let options =
                JournalOptions::default().with_fsync(fsync).with_segment_bytes(segment_bytes);
            Some(Self(tempfile::tempdir().expect("a directory"), options))
        }
    }

    impl Home for Directory {
        type Store = Journal;
        fn open(&self) -> Journal {
            Journal::open(self.0.path().join("journal"), self.1.clone()).expect("a journal")
        }
    }
}

#[cfg(all(feature = "jsonl", unix))]
use {directory::Directory, ringpost::store::journal::Fsync};

#[cfg(all(feature = "jsonl", unix))]
contract!(journal, Directory::new(Fsync::default(), 64 << 20), [it_goes_on_where_it_ended]);
#[cfg(all(feature = "jsonl", unix))]
contract!(journal_in_tiny_segments, Directory::new(Fsync::Batch, 700), [it_goes_on_where_it_ended]);
#[cfg(all(feature = "jsonl", unix))]
contract!(
    journal_of_one_line_segments,
    Directory::new(Fsync::Always, 1),
    [it_goes_on_where_it_ended]
);
#[cfg(all(feature = "jsonl", unix))]
contract!(journal_never_synced, Directory::new(Fsync::Never, 4096), [it_goes_on_where_it_ended]);

#[cfg(feature = "redis")]
mod redis_server;

#[cfg(feature = "redis")]
mod stream {
    use super::Home;
    use super::redis_server::{Server, Sync};
    use ringpost::store::redis::{RedisOptions, RedisStore, RedisUrl};

    pub(super) struct Stream(Server);

    impl Stream {
        pub(super) fn new(sync: Sync) -> Option<Self> {
            Server::start(sync).map(Self)
        }
    }

    impl Home for Stream {
        type Store = RedisStore;
        fn open(&self) -> RedisStore {
            let url = RedisUrl::parse(&self.0.url("stream=contract")).expect("a URL");
            RedisStore::open(url, RedisOptions::default()).expect("a stream")
        }
    }
}

#[cfg(feature = "redis")]
use {redis_server::Sync, stream::Stream};

#[cfg(feature = "redis")]
contract!(redis_always, Stream::new(Sync::Always), [it_goes_on_where_it_ended]);
#[cfg(feature = "redis")]
contract!(redis_every_second, Stream::new(Sync::EverySecond), [it_goes_on_where_it_ended]);
#[cfg(feature = "redis")]
contract!(redis_in_memory, Stream::new(Sync::Nothing), [it_goes_on_where_it_ended]);
