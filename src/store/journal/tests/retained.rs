//! Retention on the simulated disk, its thread's work done by hand.
#![forbid(unsafe_code)]

use super::planting::shows;
use super::sim::{Call, Fault, SimFs};
use super::*;
use crate::event::Timestamp;
use crate::store::journal::checkpoint::Checkpoints;
use crate::store::journal::keeper::Keeper;
use crate::store::journal::planted::Bug;
use crate::store::{Checkpoint, ConsumerName};

/// A journal whose keeper works by hand; about seven records a segment.
fn kept(disk: &SimFs, options: JournalOptions) -> (Journal, Keeper) {
    let options = options.with_segment_bytes(1200);
    let mut journal = Journal::on(Arc::new(disk.clone()), options).expect("opens");
    let keeper = journal.kept_by.take().expect("something to keep");
    journal.tell_sealed();
    (journal, keeper)
}

fn batch() -> JournalOptions {
    JournalOptions::default().with_fsync(Fsync::Batch)
}

/// How many segments there are.
fn segments(disk: &SimFs) -> usize {
    disk.ground().files.keys().filter(|name| name.ends_with(".jsonl")).count()
}

fn acknowledge(disk: &SimFs, name: &str, next: u64) {
    let name: ConsumerName = name.parse().expect("a name");
    let mut own = Checkpoints::of(disk).take(&name).expect("free");
    own.load().expect("sound");
    own.store(&Checkpoint::new(Sequence::new(next), "**")).expect("stored");
}

#[test]
fn of_the_last_events_none_is_removed_and_of_those_before_them_at_most_a_segment_stays() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, batch().with_keep_events(Some(20)));
    for last in 1..=200 {
        journal.append(&[record(last)]).expect("appended");
        journal.kept_by.by_hand(&mut keeper);
        let left = stored(&disk);
        let first = left[0];
        assert_eq!(left, (first..=last).collect::<Vec<_>>());
        assert!(first <= last.saturating_sub(19).max(1), "{first} to {last}");
        assert!(last - first < 20 + 2 * 7, "{first} to {last}");
    }
    let check = journal.reader().verify().expect("verified");
    assert!(check.is_clean(), "a journal that begins later has no gap: {check:?}");
    let stats = journal.upkeep().stats();
    assert_eq!(stats.removed_to, Some(Sequence::new(stored(&disk)[0] - 1)));
    assert!(stats.removed_bytes > 1000 * stats.removed_segments, "{stats:?}");
    drop(journal);
    let journal = on(&disk, Fsync::Batch, 1200).expect("opens");
    assert_eq!(number(journal.last_sequence()), 200);
}

#[test]
fn an_age_is_that_of_the_records_and_the_newest_sealed_segment_stays() {
    let disk = SimFs::default();
    let of = |sequence: u64, time: Timestamp| {
        let event = Event::builder("a").id(sequence.to_string()).source("s").time(time);
        let event = event.raw_json(format!("\"{}\"", "x".repeat(700))).build();
        Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
    };
    let now = Timestamp::now().unix_nanos();
    let ago =
        |seconds: i128| Timestamp::from_unix_nanos(now - seconds * 1_000_000_000).expect("a time");
    let keep = batch().with_keep_age(Some(Duration::from_secs(3600)));
    let (mut journal, mut keeper) = kept(&disk, keep);
    // One record a segment. The third is a late one between younger ones.
    for (sequence, age) in [(1, 9000), (2, 8000), (3, 100), (4, 8000), (5, 50), (6, 40)] {
        journal.append(&[of(sequence, ago(age))]).expect("appended");
    }
    journal.kept_by.by_hand(&mut keeper);
    assert_eq!(stored(&disk), [3, 4, 5, 6], "the oldest first, and none behind one that stays");
    drop((journal, keeper));

    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, keep_old());
    for sequence in 1..=5 {
        journal.append(&[of(sequence, ago(9000))]).expect("appended");
    }
    journal.kept_by.by_hand(&mut keeper);
    assert_eq!(stored(&disk), [4, 5], "one sealed segment, and the one being written");
    assert_eq!(number(on_again(journal, &disk).last_sequence()), 5);
}

fn keep_old() -> JournalOptions {
    batch().with_keep_age(Some(Duration::from_secs(3600)))
}

fn on_again(journal: Journal, disk: &SimFs) -> Journal {
    drop(journal);
    on(disk, Fsync::Batch, 1200).expect("opens")
}

#[test]
fn a_limit_on_bytes_counts_the_segment_being_written_as_a_full_one() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, batch().with_keep_bytes(Some(6000)));
    let bytes = |disk: &SimFs| -> usize {
        let ground = disk.ground();
        ground.files.values().map(|inode| inode.lock().expect("free").bytes().len()).sum()
    };
    for last in 1..=200 {
        journal.append(&[record(last)]).expect("appended");
        journal.kept_by.by_hand(&mut keeper);
        assert!(bytes(&disk) <= 6000, "{last}");
    }
    assert!(bytes(&disk) > 3600, "no more was removed than need be");
    assert_eq!(stored(&disk).last(), Some(&200));
}

#[test]
fn a_consumer_that_lags_holds_its_segments_until_it_acknowledges() {
    assert!(shows(Bug::ConsumerIgnored, || {
        let disk = SimFs::default();
        let (mut journal, mut keeper) = kept(&disk, batch().with_keep_events(Some(5)));
        journal.append(&records(1..=100)).expect("appended");
        // Opening would move a consumer back that is ahead of the journal.
        acknowledge(&disk, "billing", 1);
        acknowledge(&disk, "audit", 50);
        journal.kept_by.by_hand(&mut keeper);
        let holds = stored(&disk) == (1..=100).collect::<Vec<_>>()
            && journal.upkeep().stats().held
            && journal.upkeep().stats().failing.is_none();
        if !holds {
            return false;
        }
        // The one that is behind the most decides; a segment of which one record is needed stays.
        acknowledge(&disk, "billing", 60);
        journal.kept_by.by_hand(&mut keeper);
        let left = stored(&disk);
        assert!(left[0] > 35 && left[0] <= 50 && *left.last().expect("some") == 100, "{left:?}");
        acknowledge(&disk, "audit", 101);
        acknowledge(&disk, "billing", 101);
        journal.kept_by.by_hand(&mut keeper);
        let left = stored(&disk);
        assert!(left[0] > 80 && !journal.upkeep().stats().held, "{left:?}");
        true
    }));
}

#[test]
fn a_checkpoint_that_cannot_be_read_holds_everything_and_is_told() {
    let disk = SimFs::default();
    let (mut journal, mut keeper) = kept(&disk, batch().with_keep_events(Some(5)));
    journal.append(&records(1..=100)).expect("appended");
    acknowledge(&disk, "billing", 101);
    disk.put("consumers/audit", &[b'x'; 8192]);
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    assert!(stats.held && stats.removed_segments == 0);
    let failing = stats.failing.expect("it is told");
    assert!(failing.to_string().contains("audit"), "{failing}");
    assert_eq!(stored(&disk).len(), 100);
    // Once it is gone, what only it held goes.
    disk.ground().files.remove("consumers/audit");
    journal.kept_by.by_hand(&mut keeper);
    let stats = journal.upkeep().stats();
    assert!(!stats.held && stats.failing.is_none() && stats.removed_segments > 5);
}

#[test]
fn with_a_policy_that_never_syncs_something_outlasts_a_power_cut_all_the_same() {
    assert!(shows(Bug::NothingStays, || {
        let disk = SimFs::default();
        let never = JournalOptions::default().with_fsync(Fsync::Never);
        let never = never.with_keep_events(Some(1)).with_segment_age(Some(Duration::ZERO));
        let (mut journal, mut keeper) = kept(&disk, never);
        journal.append(&records(1..=50)).expect("appended");
        journal.tend().expect("left, because it is too old");
        journal.kept_by.by_hand(&mut keeper);
        let removed = number(journal.upkeep().stats().removed_to);
        assert!(removed > 0);
        let after = disk.after_power_cut(0);
        number(on(&after, Fsync::Never, 1200).expect("opens").last_sequence()) > removed
    }));
}

/// Whether a removal of several segments that dies at any call leaves a journal that begins later
/// and has no hole, by any chance of what reaches the disk.
fn no_removal_leaves_a_hole() -> bool {
    let made = SimFs::default();
    on(&made, Fsync::Batch, 1200).expect("opens").append(&records(1..=40)).expect("appended");
    for at in 1.. {
        let disk = made.after_power_cut(0);
        let (journal, mut keeper) = kept(&disk, batch().with_keep_events(Some(10)));
        disk.plan(move |call, _| if call >= at { Fault::Fails } else { Fault::None });
        journal.kept_by.by_hand(&mut keeper);
        let went_through = journal.upkeep().stats().failing.is_none();
        drop(journal);
        disk.heal();
        for seed in 1..10 {
            let after = disk.cut_power(sim::Cut::Chance(&mut rng::Rng::new(seed)));
            let left = stored(&after);
            assert_eq!(left.last(), Some(&40));
            if left != (left[0]..=40).collect::<Vec<_>>() {
                return false;
            }
            let journal = on(&after, Fsync::Batch, 1200).expect("it opens clean");
            assert_eq!(number(journal.last_sequence()), 40);
            assert!(journal.reader().verify().expect("verified").is_clean());
        }
        if went_through {
            break;
        }
    }
    true
}

#[test]
fn a_removal_that_dies_at_any_call_leaves_no_hole() {
    assert!(shows(Bug::RemovedTogether, no_removal_leaves_a_hole));
}

#[test]
fn what_is_known_of_a_segment_is_read_once() {
    let disk = SimFs::default();
    let keep = batch().with_keep_events(Some(1_000_000)).with_keep_bytes(Some(1 << 40));
    let (mut journal, mut keeper) = kept(&disk, keep);
    journal.append(&records(1..=500)).expect("appended");
    journal.kept_by.by_hand(&mut keeper);
    assert!(segments(&disk) > 60);
    // A segment more costs the looking at that one, however many there are.
    let mut calls = [0, 0];
    for count in &mut calls {
        let last = stored(&disk).len() as u64;
        journal.append(&records(last + 1..=last + 8)).expect("appended");
        let counted = Arc::<Mutex<usize>>::default();
        let noted = Arc::clone(&counted);
        disk.plan(move |_, call| {
            *noted.lock().expect("no panic") += usize::from(call == Call::Open);
            Fault::None
        });
        journal.kept_by.by_hand(&mut keeper);
        disk.heal();
        *count = *counted.lock().expect("no panic");
    }
    assert!(calls.iter().all(|opened| (1..=8).contains(opened)), "{calls:?}");
}
