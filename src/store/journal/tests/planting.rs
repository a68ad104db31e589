//! Every planted bug is found: a suite that does not find it proves nothing about its absence.
#![forbid(unsafe_code)]

use super::failing::two_begun;
use super::sim::{Call, Fault, SimFs};
use super::{chance, on, records};
use crate::event::Event;
use crate::store::journal::planted::{Bug, plant};
use crate::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use crate::store::{Store, StoreErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Within how many histories a bug is found.
const SEARCH: u64 = 20_000;

/// The first history in which the bug shows, and how. Bugs of what looks after sealed segments show
/// in lives that do.
fn search(bug: Option<Bug>, looks_after: bool) -> Option<(u64, String)> {
    plant(bug);
    let found = (1..=SEARCH).find_map(|seed| {
        // A debug assertion finds a bug as well as a comparison does.
        match catch_unwind(AssertUnwindSafe(|| chance::run(seed, looks_after))) {
            Ok(verdict) => verdict.err().map(|broken| (seed, broken)),
            Err(_) => Some((seed, "a panic".to_owned())),
        }
    });
    plant(None);
    found
}

macro_rules! finds {
    ($looks_after:literal: $($name:ident: $bug:ident,)+) => {
        $(#[test]
        fn $name() {
            let found = search(Some(Bug::$bug), $looks_after);
            let (seed, broken) = found.expect("a history that shows the bug");
            println!("{:?} shows in history {seed}: {broken}", Bug::$bug);
        })+
    };
}

finds! { false:
    a_record_that_counts_as_written_before_it_is_is_found: WrittenBeforeWrite,
    a_record_that_counts_as_durable_without_a_sync_is_found: DurableWithoutSync,
    a_directory_that_is_not_synced_is_found: NoDirectorySync,
    a_piece_left_by_a_short_write_is_found: PieceStays,
    a_batch_that_is_written_twice_is_found: RetryWritesTwice,
    a_failed_sync_taken_for_a_good_one_is_found: FailedSyncIsGood,
    a_sync_tried_again_on_the_same_file_is_found: SyncTriedAgain,
    a_running_sync_believed_before_it_ended_is_found: BelievedWhileRunning,
    a_batch_that_counts_as_stored_when_it_began_is_found: BegunIsStored,
    a_failed_running_sync_taken_for_a_good_one_is_found: FailedRunningSyncIsGood,
    lines_written_beside_a_sync_and_taken_for_covered_are_found: RunningSyncCoversLater,
    a_segment_left_without_a_sync_is_found: LeftWithoutSync,
    what_earlier_processes_wrote_called_durable_without_a_sync_is_found: InheritedWithoutSync,
    an_append_behind_a_torn_tail_is_found: AppendBehindTornTail,
    a_sequence_used_again_after_a_restart_is_found: SequenceUsedAgain,
}

/// Bugs that show in few histories only: searched for where the code is optimised.
mod stress {
    use super::*;

    finds! { false:
        a_batch_that_began_and_is_never_synced_is_found: BegunIsNotEnded,
        a_running_sync_that_nobody_asks_how_it_ended_is_found: RunningSyncIgnored,
        lines_left_in_the_file_of_a_failed_sync_are_found: StrandedStays,
    }
}

finds! { true:
    a_segment_looked_after_while_it_is_written_is_found: ActiveIsSealed,
    the_last_sealed_segment_removed_is_found: NothingStays,
    what_a_consumer_needs_removed_is_found: ConsumerIgnored,
}

/// What `run` gives with the bug planted.
pub(super) fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    plant(Some(bug));
    let ran = run();
    plant(None);
    ran
}

/// Whether `holds` fails once the bug is planted, and did not before.
pub(super) fn shows(bug: Bug, holds: impl Fn() -> bool) -> bool {
    holds() && !with(bug, holds)
}

#[test]
fn a_checksum_that_nobody_looks_at_is_found() {
    assert!(shows(Bug::ChecksumIgnored, || {
        let disk = SimFs::default();
        let mut journal = on(&disk, Fsync::Never, 1 << 20).expect("opens");
        journal.append(&records(1..=2)).expect("appended");
        let segment = Arc::clone(disk.ground().files.values().next().expect("a segment"));
        let bytes = segment.lock().expect("free").bytes().to_vec();
        let sound: Vec<_> = events(&disk);
        (0..bytes.len() * 8).all(|bit| {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            segment.lock().expect("free").set(&flipped);
            // A record that is read at all is read as it was written.
            events(&disk).iter().all(|event| sound.contains(event))
        })
    }));
}

fn events(disk: &SimFs) -> Vec<Event> {
    let reader = JournalReader::of(Arc::new(disk.clone()));
    reader.records().expect("records").map(|entry| entry.expect("readable").event).collect()
}

#[test]
fn a_torn_tail_that_is_thrown_away_is_found() {
    assert!(shows(Bug::TornTailThrownAway, || {
        let disk = SimFs::default();
        drop(on(&disk, Fsync::Never, 1 << 20).expect("opens").append(&records(1..=2)));
        let segment = Arc::clone(disk.ground().files.values().next().expect("a segment"));
        let bytes = segment.lock().expect("free").bytes().to_vec();
        segment.lock().expect("free").set(&bytes[..bytes.len() - 9]);
        let tail = &bytes[bytes.len() - 40..bytes.len() - 9];
        drop(on(&disk, Fsync::Never, 1 << 20).expect("opens"));
        disk.holds(tail)
    }));
}

#[test]
fn a_lock_that_keeps_nobody_out_is_found() {
    assert!(shows(Bug::NoLock, || {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = Journal::open(&directory, JournalOptions::default()).expect("opens");
        let second = Journal::open(&directory, JournalOptions::default());
        matches!(second, Err(error) if error.kind() == StoreErrorKind::Locked)
    }));
}

#[test]
fn a_sync_believed_while_lines_stand_in_two_places_is_found() {
    assert!(shows(Bug::SyncWithoutLanding, || {
        let disk = SimFs::default();
        let mut journal = two_begun(&disk);
        let mut failed = false;
        disk.plan(move |_, call| match call {
            Call::Sync if !std::mem::replace(&mut failed, true) => Fault::Fails,
            Call::Cut => Fault::Fails,
            _ => Fault::None,
        });
        (0..2).all(|_| journal.advance_staged().is_err() && journal.watermarks().durable.is_none())
    }));
}

#[test]
fn an_age_that_nobody_looks_at_is_found() {
    assert!(shows(Bug::AgeIgnored, || {
        let disk = SimFs::default();
        let options = JournalOptions::default().with_segment_age(Some(Duration::ZERO));
        let mut journal = Journal::on(Arc::new(disk.clone()), options).expect("opens");
        journal.append(&records(1..=2)).expect("appended");
        assert!(journal.due().is_some_and(|due| due <= Instant::now()), "the age is due");
        journal.append(&records(3..=4)).expect("appended");
        journal.tend().expect("left");
        let left = journal.due().is_none();
        disk.ground().files.len() == 2 && left
    }));
}
