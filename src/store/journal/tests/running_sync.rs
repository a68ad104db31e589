//! Syncs that run beside the appending: what they make durable, and what becomes of the rest when
//! they fail.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::journal::segment::SegmentNumber;

/// Held at most.
const MOST: usize = 32_000;
/// So much begins a sync.
const BEGIN: usize = MOST / 16;

fn options(segment_bytes: u64) -> JournalOptions {
    let options = JournalOptions { undurable_bytes: MOST, ..JournalOptions::default() };
    let hour = Fsync::Interval(Duration::from_secs(3600));
    options.with_fsync(hour).with_segment_bytes(segment_bytes)
}

fn hourly(disk: &SimFs, segment_bytes: u64) -> Journal {
    Journal::on(Arc::new(disk.clone()), options(segment_bytes)).expect("opens")
}

/// Appends one record after another until a sync is running; the last one that it covers.
fn until_one_runs(journal: &mut Journal, disk: &SimFs, first: u64) -> u64 {
    let length = |disk: &SimFs| disk.contents(&SegmentNumber(1).file_name()).len();
    let before = length(disk);
    let mut last = first;
    journal.append(&[record(last)]).expect("appended");
    while length(disk) - before < BEGIN {
        last += 1;
        journal.append(&[record(last)]).expect("appended");
    }
    last
}

fn durable(journal: &Journal) -> u64 {
    number(journal.watermarks().durable)
}

/// Makes each sync fail from now on, or none; counts how many are asked for.
fn count_syncs(disk: &SimFs, fail: bool) -> Arc<AtomicUsize> {
    let syncs = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&syncs);
    disk.plan(move |_, call| {
        let is_first = call == Call::Sync && counted.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && fail { Fault::Fails } else { Fault::None }
    });
    syncs
}

#[test]
fn what_is_written_beside_a_sync_is_not_durable_with_it() {
    let disk = SimFs::default();
    let mut journal = hourly(&disk, 1 << 20);
    let covered = until_one_runs(&mut journal, &disk, 1);
    assert_eq!(durable(&journal), 0, "it is running");
    // The disk is looked at in vain once, then the sync has ended.
    for later in [covered + 1, covered + 2] {
        journal.append(&[record(later)]).expect("appending goes on");
    }
    assert_eq!(durable(&journal), covered);
    assert_eq!(stored(&disk.after_power_cut(0)), (1..=covered).collect::<Vec<_>>());
    journal.flush().expect("flushed");
    assert_eq!(durable(&journal), covered + 2);
}

#[test]
fn a_running_sync_that_fails_strands_also_what_was_written_beside_it() {
    let disk = SimFs::default();
    let mut journal = hourly(&disk, 1 << 20);
    let covered = until_one_runs(&mut journal, &disk, 1);
    let syncs = count_syncs(&disk, true);
    // The one that finds out saves all of it, in a new segment, and goes on there.
    for later in covered + 1..=covered + 3 {
        journal.append(&[record(later)]).expect("saved, and appended");
    }
    assert_eq!(durable(&journal), covered + 1, "all that was written when it was found out");
    assert_eq!(
        syncs.load(Ordering::Relaxed),
        3,
        "the failed one, the new segment, the old one cut"
    );
    assert_eq!(stored(&disk), (1..=covered + 3).collect::<Vec<_>>());
    assert_eq!(stored(&disk.after_power_cut(0)), (1..=covered + 1).collect::<Vec<_>>());
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.duplicates, check.damaged), (0, 0));
}

#[test]
fn at_its_limit_the_writer_waits_for_the_running_sync() {
    let disk = SimFs::default();
    let mut journal = hourly(&disk, 1 << 20);
    let covered = until_one_runs(&mut journal, &disk, 1);
    assert_eq!(durable(&journal), 0);
    journal.append(&records(covered + 1..=covered * 16)).expect("appended");
    assert!(durable(&journal) >= covered, "more could not be held");
}

#[test]
fn a_segment_is_left_and_a_journal_flushed_only_when_the_running_sync_has_ended() {
    for flushes in [true, false] {
        let disk = SimFs::default();
        let mut journal = hourly(&disk, 3000);
        let covered = until_one_runs(&mut journal, &disk, 1);
        count_syncs(&disk, true);
        let mut last = covered;
        if flushes {
            journal.flush().expect("saved in a new segment");
        } else {
            while disk.contents(&SegmentNumber(2).file_name()).is_empty() {
                last += 1;
                journal.append(&[record(last)]).expect("appended");
            }
        }
        assert!(durable(&journal) >= covered);
        let kept = stored(&disk.after_power_cut(0));
        assert_eq!(kept, (1..=durable(&journal)).collect::<Vec<_>>(), "flushes: {flushes}");
        assert_eq!(stored(&disk), (1..=last).collect::<Vec<_>>());
    }
}

#[test]
fn an_idle_journal_looks_whether_a_running_sync_has_ended() {
    let disk = SimFs::default();
    let mut journal = hourly(&disk, 1 << 20);
    let covered = until_one_runs(&mut journal, &disk, 1);
    let due = journal.due().expect("it is looked after");
    assert!(due <= Instant::now() + Duration::from_secs(1), "soon, not after the interval");
    journal.tend().expect("looked");
    assert_eq!(durable(&journal), 0, "not yet");
    journal.tend().expect("looked");
    assert_eq!(durable(&journal), covered);
    assert_eq!(journal.due(), None);
}

#[test]
fn on_a_real_disk_all_becomes_durable_while_more_is_appended() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(Disk::new(directory.path()));
    let mut journal = Journal::on(disk, options(100_000)).expect("opens");
    for first in (1..5000).step_by(10) {
        journal.append(&records(first..first + 10)).expect("appended");
        let held = number(journal.watermarks().written) - durable(&journal);
        // No line is shorter than 100 bytes.
        assert!(held < MOST as u64 / 100, "{held} records are more than may be held");
    }
    journal.flush().expect("flushed");
    assert_eq!(durable(&journal), 5000);
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.records, check.is_clean()), (5000, true));
}
