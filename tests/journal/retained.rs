//! Retention and compression on real files, by the thread that does it.

#[cfg(any(feature = "query", feature = "zstd"))]
use std::collections::BTreeSet;
use std::fs;
#[cfg(any(feature = "query", feature = "zstd"))]
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader, Start};
use ringpost::store::{PersistOptions, Store, StoreErrorKind, Trouble, UpkeepStats};
use ringpost::{EventBus, Sequence, event};

use super::support::*;

/// About ten records a segment.
fn small() -> JournalOptions {
    options(Fsync::Batch).with_segment_bytes(3000)
}

#[cfg(any(feature = "query", feature = "zstd"))]
fn names(directory: &Path, end: &str) -> BTreeSet<u64> {
    let files = fs::read_dir(directory).expect("listed").map(|file| file.expect("a file"));
    let names = files.map(|file| file.file_name().into_string().expect("UTF-8"));
    let numbers = names.filter(|name| name.ends_with(end)).map(|name| name[..20].parse());
    numbers.map(|number| number.expect("a segment's file")).collect()
}

/// Waits until what was done is as wanted.
fn wait(mut stats: impl FnMut() -> UpkeepStats, wanted: impl Fn(&UpkeepStats) -> bool) {
    let since = Instant::now();
    loop {
        let now = stats();
        if wanted(&now) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "it does not come: {now:?}");
        std::thread::yield_now();
    }
}

#[cfg(feature = "zstd")]
fn done(journal: &Journal) {
    wait(|| journal.upkeep().stats(), |stats| stats.waiting == 0);
}

#[test]
fn old_segments_are_removed_behind_the_writer_and_the_sequence_goes_on() {
    let directory = quick_dir();
    let place = directory.path();
    let mut journal = Journal::open(place, small().with_keep_events(Some(30))).expect("opens");
    for first in (1..=200).step_by(10) {
        journal.append(&records(first..first + 10)).expect("appended");
    }
    wait(|| journal.upkeep().stats(), |stats| stats.removed_to >= Some(Sequence::new(150)));
    // Dropping it waits for what was begun.
    drop(journal);
    let left = sequences(&entries(place));
    assert!((151..=171).contains(&left[0]) && left.ends_with(&[200]), "{left:?}");
    let reader = JournalReader::open(place).expect("a reader");
    assert!(reader.verify().expect("verified").is_clean());
    assert_eq!(reader.stats().expect("stats").first_sequence, Some(Sequence::new(left[0])));
    let journal = Journal::open(place, small().with_keep_events(Some(0))).expect("opens");
    assert_eq!(journal.last_sequence(), Some(Sequence::new(200)));
    drop(journal);
    assert!(!entries(place).is_empty(), "the last ones stay");
    assert_eq!(open(place).last_sequence(), Some(Sequence::new(200)));
}

#[test]
fn what_an_earlier_life_left_is_looked_after_by_the_next_one() {
    let directory = quick_dir();
    let place = directory.path();
    let mut journal = Journal::open(place, small()).expect("opens");
    journal.append(&records(1..=100)).expect("appended");
    drop(journal);
    // A process died in the middle of compressing.
    let left_over = segment(place, 2).with_extension("jsonl.zst.tmp");
    fs::write(&left_over, "half of it").expect("written");
    let settings = small().with_keep_events(Some(60)).with_compression(None);
    let journal = Journal::open(place, settings).expect("opens");
    assert!(!left_over.exists());
    wait(|| journal.upkeep().stats(), |stats| stats.removed_segments > 0);
    assert!(!segment(place, 1).exists());
}

#[test]
fn a_journal_that_keeps_everything_has_nobody_to_look_after_it() {
    let directory = quick_dir();
    let mut journal = Journal::open(directory.path(), small()).expect("opens");
    journal.append(&records(1..=100)).expect("appended");
    assert_eq!(journal.upkeep().stats().waiting, 0);
    assert_eq!(sequences(&entries(directory.path())).len(), 100);
}

#[test]
fn a_reader_on_its_way_is_told_what_was_removed_before_it_came() {
    let directory = quick_dir();
    let place = directory.path();
    let mut journal = Journal::open(place, small()).expect("opens");
    journal.append(&records(1..=100)).expect("appended");
    let reader = JournalReader::open(place).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let mut scan = reader.records().expect("records");
    let (mut lists, mut events) = (reader.records().expect("records"), Vec::new());
    lists.read_events(&mut events, 1).expect("readable");
    follow.poll().expect("readable").expect("there");
    scan.next().expect("there").expect("readable");
    drop(journal);
    let number = |at: u64| segment(place, at);
    let last_of_first = {
        let lines = fs::read_to_string(number(1)).expect("text").lines().count() as u64;
        for at in 1..=4 {
            fs::remove_file(number(at)).expect("removed");
        }
        lines
    };
    let first_left = sequences(&entries(place))[0];
    // The one that is open is read to its end; then comes what is left, and what is not is told.
    for expected in (2..=last_of_first).chain(first_left..=100) {
        let told = (expected == first_left).then_some((last_of_first + 1, first_left - 1));
        for entry in [follow.poll().expect("readable"), scan.next().transpose().expect("readable")]
        {
            let entry = entry.expect("there");
            assert_eq!(entry.sequence, Some(Sequence::new(expected)));
            let missing = entry.missing.map(|missing| (missing.from.get(), missing.to.get()));
            assert_eq!(missing, told, "at {expected}");
        }
    }
    assert!(follow.poll().expect("readable").is_none() && scan.next().is_none());
    assert_eq!(scan.gone(), 3);
    // A list has no place to tell it at, so it is counted.
    lists.read_events(&mut events, 100).expect("readable");
    let missing = first_left - 1 - last_of_first;
    assert_eq!((events.len() as u64, lists.missing()), (100 - missing, missing));
    assert_eq!((scan.missing(), lists.gone()), (missing, 3));
    // Whoever asks for what is gone is told so too.
    let from = Sequence::new(5);
    let first = reader.records_from(from).expect("records").next().expect("one").expect("readable");
    let missing = first.missing.expect("it is told");
    assert_eq!((missing.from.get(), missing.to.get()), (5, first_left - 1));
    let entry = reader.follow(Start::Sequence(from)).expect("followed").poll().expect("readable");
    assert_eq!(entry.expect("one").missing, Some(missing));
}

#[cfg(feature = "query")]
#[test]
fn a_query_tells_how_many_segments_went_before_it_came_to_them() {
    use ringpost::store::journal::query::{Order, Query, Selection};
    let directory = quick_dir();
    let place = directory.path();
    let mut journal = Journal::open(place, small()).expect("opens");
    journal.append(&records(1..=100)).expect("appended");
    for order in [Order::Ascending, Order::Descending] {
        let query = Query::new(Selection::default()).with_order(order);
        let mut matches = journal.reader().query(query).expect("a query");
        let oldest = *names(place, ".jsonl").first().expect("some");
        fs::remove_file(segment(place, oldest)).expect("removed");
        let mut found = BTreeSet::new();
        while let Some(one) = matches.next().expect("readable") {
            found.insert(one.sequence.expect("a sequence").get());
        }
        assert_eq!(matches.gone(), 1);
        assert!(found.into_iter().eq(sequences(&entries(place))));
    }
}

#[cfg(feature = "zstd")]
#[test]
fn sealed_segments_are_compressed_behind_the_writer_and_every_reader_sees_the_same() {
    let directory = quick_dir();
    let place = directory.path();
    let mut journal = Journal::open(place, small().with_compression(3)).expect("opens");
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    let mut seen = Vec::new();
    for first in (1..=200).step_by(5) {
        journal.append(&records(first..first + 5)).expect("appended");
        if first % 25 == 1 {
            // Some are compressed before it comes to them, some after it has opened them.
            done(&journal);
        }
        for _ in 0..5 {
            let entry = follow.poll().expect("readable").expect("there");
            seen.push(entry.sequence.expect("a sequence").get());
        }
    }
    done(&journal);
    let stats = journal.upkeep().stats();
    assert!(
        stats.failing.is_none() && stats.compressed_to * 2 < stats.compressed_from,
        "{stats:?}"
    );
    let (plain, packed) = (names(place, ".jsonl"), names(place, ".jsonl.zst"));
    assert_eq!(plain.len(), 1, "{plain:?}");
    assert_eq!(packed.len() as u64, stats.compressed_segments);
    assert!(names(place, ".tmp").is_empty());
    let all: Vec<_> = (1..=200).collect();
    assert_eq!((seen, sequences(&entries(place))), (all.clone(), all));
    // Any tool gives the plain segment back.
    let first = fs::read(segment(place, 1).with_extension("jsonl.zst")).expect("there");
    let first = zstd::decode_all(&*first).expect("a frame");
    assert!(first.starts_with(b"{\"specversion\"") && first.ends_with(b"\n"));
    drop(journal);
    let mut journal = Journal::open(place, small()).expect("opens without compression too");
    journal.append(&records(201..=210)).expect("appended");
    let from: Vec<_> = journal.scan(Sequence::new(195)).expect("a scan").collect();
    assert_eq!(from.len(), 16);
    assert_eq!(journal.tail(300).expect("a tail").len(), 210);
}

#[cfg(not(feature = "zstd"))]
#[test]
fn without_the_feature_compression_is_refused_by_its_name() {
    let directory = quick_dir();
    let error = Journal::open(directory.path(), small().with_compression(3)).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("`zstd`"), "{error}");
}

#[cfg(feature = "zstd")]
#[test]
fn a_level_that_does_not_exist_is_refused() {
    let directory = quick_dir();
    let error = Journal::open(directory.path(), small().with_compression(99)).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
}

#[test]
fn a_removal_that_is_refused_is_told_once_and_stops_nobody() {
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount (the same with a test disk: store::journal)");
        return;
    }
    let directory = quick_dir();
    drop(Journal::open(directory.path(), small()).expect("opens").append(&records(1..=100)));
    // What something is mounted on cannot be removed.
    let mounted = "cd \"$RINGPOST_TEST_DIRECTORY\" && mount --bind 00000000000000000001.jsonl \
        00000000000000000001.jsonl && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "-m", "sh", "-c", mounted];
    run_child(&wrapper, "retained::child_may_not_remove_the_oldest_segment", directory.path());
}

#[test]
fn child_may_not_remove_the_oldest_segment() {
    let Some(place) = &directory_of_child() else { return };
    let journal = Journal::open(place, small().with_keep_events(Some(10))).expect("opens");
    let bus = EventBus::builder().start(Sequence::new(101)).build();
    let told = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&told);
    let observer = move |trouble: &Trouble| {
        if let Trouble::Upkeep { error, .. } = trouble {
            observed.lock().expect("no panic").push(error.to_string());
        }
    };
    let options =
        PersistOptions { observer: Some(Box::new(observer)), ..PersistOptions::default() };
    let persistence = bus.persist(journal, options).expect("it starts");
    wait(|| persistence.stats().upkeep, |upkeep| upkeep.failures > 1);
    for number in 101..=300 {
        bus.publish(event!("a.b", source = "s", { "n": number }).expect("valid"))
            .expect("published");
        persistence.flush(Sequence::new(number), Duration::from_secs(60)).expect("flushed");
    }
    assert!(persistence.stats().upkeep.failing.is_some());
    let report = persistence.stop(Duration::from_secs(60));
    assert!(report.complete, "{report:?}");
    let told = told.lock().expect("no panic");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("00000000000000000001.jsonl"), "{told:?}");
    assert_eq!(sequences(&entries(place)), (1..=300).collect::<Vec<_>>());
}

#[test]
fn a_persistence_tells_what_was_removed() {
    let directory = quick_dir();
    let settings = small().with_keep_events(Some(10));
    let journal = Journal::open(directory.path(), settings).expect("opens");
    let bus = EventBus::new();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("it starts");
    for number in 0..300 {
        bus.publish(event!("a.b", source = "s", { "n": number }).expect("valid"))
            .expect("published");
    }
    persistence.flush(Sequence::new(300), Duration::from_secs(60)).expect("flushed");
    wait(|| persistence.stats().upkeep, |upkeep| upkeep.removed_to >= Some(Sequence::new(250)));
    let report = persistence.stop(Duration::from_secs(60));
    assert!(report.complete && report.stats.upkeep.failures == 0, "{report:?}");
    assert!(entries(directory.path()).len() < 50);
}
