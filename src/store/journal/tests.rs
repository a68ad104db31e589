//! The journal on a disk that fails and forgets: every call of a run is made the failing one, and
//! the one at which the power goes.
#![forbid(unsafe_code)]

mod beside;
mod chance;
mod checkpoints;
mod consumers;
mod failing;
mod history;
mod indexing;
mod inode;
mod kept;
mod listing;
mod op;
#[cfg(feature = "zstd")]
mod packing;
mod planting;
#[cfg(all(feature = "query", feature = "zstd"))]
mod replaced;
mod retained;
mod rng;
mod running_sync;
mod sim;
mod stress;

use std::sync::Mutex;

use self::sim::{Call, Fault, SimFs};
use super::storage::{Access, StoredFile};
use super::*;
use crate::event::Event;

fn record(sequence: u64) -> Record {
    let event = Event::builder("fault").id(format!("{sequence}")).source("s").build();
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
}

fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    sequences.into_iter().map(record).collect()
}

fn on(disk: &SimFs, fsync: Fsync, segment_bytes: u64) -> Result<Journal, StoreError> {
    let options = JournalOptions::default().with_fsync(fsync).with_segment_bytes(segment_bytes);
    Journal::on(Arc::new(disk.clone()), options)
}

/// A file of these bytes.
pub(super) fn file_of(bytes: &[u8]) -> Box<dyn StoredFile> {
    let disk = SimFs::default();
    disk.put("file", bytes);
    disk.open("file", Access::Read).expect("it is there")
}

fn stored(disk: &SimFs) -> Vec<u64> {
    let reader = JournalReader::of(Arc::new(disk.clone()));
    let entries = reader.records().expect("records");
    entries.map(|entry| entry.expect("readable").sequence.expect("a sequence").get()).collect()
}

fn number(mark: Option<Sequence>) -> u64 {
    mark.map_or(0, Sequence::get)
}

const POLICIES: [Fsync; 5] = [
    Fsync::Never,
    Fsync::Interval(Duration::ZERO),
    Fsync::Interval(Duration::from_secs(3600)),
    Fsync::Batch,
    Fsync::Always,
];

const BATCHES: u64 = 6;
const BATCH: u64 = 5;

/// How batches are handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Each is stored before the next one comes.
    Append,
    /// Each is begun beside the one before it.
    Begin,
}

const WAYS: [By; 2] = [By::Append, By::Begin];

impl By {
    /// Hands in a batch, or one that failed `again`.
    fn hand_in(
        self,
        journal: &mut Journal,
        batch: &[Record],
        again: bool,
    ) -> Result<(), StoreError> {
        if self == Self::Append {
            return journal.append(batch);
        }
        for Record { sequence, event } in batch.iter().filter(|_| !again) {
            journal.stage(*sequence, event).expect("it is short");
        }
        journal.begin_staged()
    }
}

/// Every policy in every way.
fn lives() -> impl Iterator<Item = (Fsync, By)> {
    POLICIES.into_iter().flat_map(|fsync| WAYS.map(|by| (fsync, by)))
}

/// Hands in six batches, each until it succeeds or has failed `tries` times, and flushes. Returns
/// the watermarks, which are checked at every step.
fn run(disk: &SimFs, fsync: Fsync, by: By, tries: usize) -> Result<Watermarks, StoreError> {
    let mut journal = on(disk, fsync, 1200)?;
    let mut marks = Watermarks::default();
    let mut check = |now: Watermarks| {
        assert!(now.written >= marks.written && now.durable >= marks.durable, "{marks:?} {now:?}");
        assert!(now.durable <= now.written);
        if now.durable == marks.durable {
            marks = now;
            return now;
        }
        // The claim is tested where it counts: against a power cut at this very moment.
        let survivors = stored(&disk.after_power_cut(0));
        let durable = number(now.durable);
        assert!((1..=durable).all(|one| survivors.contains(&one)), "{durable}: {survivors:?}");
        marks = now;
        now
    };
    for batch in 0..BATCHES {
        let batch = records(batch * BATCH + 1..=(batch + 1) * BATCH);
        let mut failed = 0;
        while let Err(error) = by.hand_in(&mut journal, &batch, failed > 0) {
            check(journal.watermarks());
            assert!(error.is_transient(), "{error:?}");
            failed += 1;
            if failed == tries {
                return Ok(marks);
            }
        }
        check(journal.watermarks());
    }
    for _ in 0..if by == By::Begin { tries } else { 0 } {
        let advanced = journal.advance_staged();
        check(journal.watermarks());
        if advanced.is_ok() {
            break;
        }
    }
    for _ in 0..tries {
        if journal.flush().is_ok() {
            let now = check(journal.watermarks());
            if fsync != Fsync::Never {
                assert_eq!(now.durable, now.written, "that is what a flush is for");
            }
            break;
        }
        check(journal.watermarks());
    }
    Ok(check(journal.watermarks()))
}

/// The calls that a run makes when nothing fails.
fn calls_of(fsync: Fsync, by: By) -> Vec<Call> {
    let disk = SimFs::default();
    let calls = Arc::<Mutex<Vec<Call>>>::default();
    let noted = Arc::clone(&calls);
    disk.plan(move |_, call| {
        noted.lock().expect("no panic under the lock").push(call);
        Fault::None
    });
    run_without_power_cuts(&disk, fsync, by);
    calls.lock().expect("no panic under the lock").clone()
}

fn run_without_power_cuts(disk: &SimFs, fsync: Fsync, by: By) {
    let mut journal = on(disk, fsync, 1200).expect("it opens");
    for batch in 0..BATCHES {
        let batch = records(batch * BATCH + 1..=(batch + 1) * BATCH);
        by.hand_in(&mut journal, &batch, false).expect("appended");
    }
    journal.flush().expect("flushed");
}

fn all() -> Vec<u64> {
    (1..=BATCHES * BATCH).collect()
}

#[test]
fn whichever_call_fails_once_every_record_is_stored_once() {
    for (fsync, by) in lives() {
        for (call, failing) in calls_of(fsync, by).into_iter().zip(1..) {
            let faults = [
                Fault::Fails,
                Fault::Short(0, libc::ENOSPC),
                Fault::Short(1, libc::ENOSPC),
                Fault::Short(400, libc::ENOSPC),
            ];
            // Only an append can be short.
            let kinds = if call == Call::Append { 4 } else { 1 };
            for fault in faults.into_iter().take(kinds) {
                let disk = SimFs::default();
                disk.plan(move |call, _| if call == failing { fault } else { Fault::None });
                let Ok(marks) = run(&disk, fsync, by, 3) else {
                    // Opening met the fault, and there was nothing to lose yet.
                    disk.heal();
                    assert!(stored(&disk).is_empty());
                    continue;
                };
                disk.heal();
                assert_eq!(
                    number(marks.written),
                    BATCHES * BATCH,
                    "{fsync:?} {by:?} {failing} {fault:?}"
                );
                assert_eq!(stored(&disk), all(), "{fsync:?} {by:?} {failing} {fault:?}");
                let check = JournalReader::of(Arc::new(disk)).verify().expect("verified");
                assert_eq!((check.damaged, check.gaps.len()), (0, 0));
                assert_eq!(check.duplicates, check.rewritten);
            }
        }
    }
}

#[test]
fn whichever_two_kinds_of_calls_fail_together_nothing_is_lost_when_they_work_again() {
    use Call::{Append, Create, Cut, Sync, SyncDirectory};
    let kinds = [Append, Create, Cut, Sync, SyncDirectory];
    for (fsync, by) in lives() {
        for (first, second) in
            kinds.iter().flat_map(|a| kinds.map(|b| (*a, b))).filter(|(a, b)| a <= b)
        {
            for from in [6, 20] {
                let disk = SimFs::default();
                disk.plan(move |call, kind| match kind {
                    _ if call < from || call > from + 12 => Fault::None,
                    Append if first == Append || second == Append => {
                        Fault::Short(190, libc::ENOSPC)
                    }
                    kind if kind == first || kind == second => Fault::Fails,
                    _ => Fault::None,
                });
                let marks = run(&disk, fsync, by, 40).expect("it opened before that");
                disk.heal();
                assert_eq!(stored(&disk), all(), "{fsync:?} {by:?} {first:?} {second:?} {from}");
                assert_eq!(number(marks.written), BATCHES * BATCH);
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_call_costs_nothing_that_was_called_durable() {
    for (fsync, by) in lives() {
        for failing in 1..=calls_of(fsync, by).len() {
            let disk = SimFs::default();
            // From that call on nothing works any more.
            disk.plan(move |call, _| if call >= failing { Fault::Fails } else { Fault::None });
            let (marks, _) = run_until_dead(&disk, fsync, by);
            disk.heal();
            for more in [0, 1, 60, 500, usize::MAX / 2] {
                let after = disk.after_power_cut(more);
                let mut found = stored(&after);
                let durable = number(marks.durable);
                let kept = found.iter().copied().take_while(|&one| one <= durable);
                assert!(kept.eq(1..=durable), "{fsync:?} {by:?} {failing} {more}: {found:?}");
                // What was written beside a sync that failed may be there without what it lost.
                let holes = found.windows(2).any(|pair| pair[0] + 1 != pair[1]);
                let beside = by == By::Begin && fsync == Fsync::Batch;
                assert!(!holes || beside, "{fsync:?} {by:?} {failing} {more}: {found:?}");

                let mut journal = on(&after, fsync, 1200).expect("it opens after any crash");
                assert_eq!(journal.last_sequence().map(Sequence::get), found.last().copied());
                let next = found.last().map_or(1, |last| last + 1);
                journal.append(&records([next])).expect("appended");
                found.push(next);
                assert_eq!(stored(&after), found);
            }
        }
    }
}

/// The last watermarks, and the last sequence.
fn run_until_dead(disk: &SimFs, fsync: Fsync, by: By) -> (Watermarks, u64) {
    let Ok(mut journal) = on(disk, fsync, 1200) else { return Default::default() };
    for batch in 0..BATCHES {
        let batch = records(batch * BATCH + 1..=(batch + 1) * BATCH);
        if by.hand_in(&mut journal, &batch, false).is_err() {
            break;
        }
    }
    let _ = journal.flush();
    (journal.watermarks(), number(journal.last_sequence()))
}

#[test]
fn the_death_of_the_process_costs_nothing_that_was_written() {
    for (fsync, by) in lives() {
        for failing in 1..=calls_of(fsync, by).len() {
            let disk = SimFs::default();
            disk.plan(move |call, _| if call >= failing { Fault::Fails } else { Fault::None });
            let (marks, last) = run_until_dead(&disk, fsync, by);
            disk.heal();
            let found = stored(&disk);
            assert!(
                number(marks.written) <= last && last <= found.len() as u64,
                "{fsync:?} {by:?} {failing}"
            );
            let mut journal = on(&disk, fsync, 1200).expect("it opens again");
            let next = number(journal.last_sequence()) + 1;
            assert_eq!(next, found.len() as u64 + 1);
            journal.append(&records([next])).expect("appended");
            assert_eq!(stored(&disk), (1..=next).collect::<Vec<_>>());
        }
    }
}

#[test]
fn recovery_that_dies_at_any_call_is_finished_by_the_next_one() {
    for torn in [1, 40, 170] {
        let made = SimFs::default();
        run_without_power_cuts(&made, Fsync::Batch, By::Append);
        let tail = {
            let ground = made.ground();
            let last = ground.files.values().next_back().expect("a segment");
            let mut inode = last.lock().expect("no panic under the lock");
            let bytes = inode.bytes()[..inode.bytes().len() - torn].to_vec();
            inode.set(&bytes);
            let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes[start..].to_vec()
        };
        let before = stored(&made);
        for failing in 1.. {
            let disk = made.after_power_cut(0);
            disk.plan(move |call, _| if call >= failing { Fault::Fails } else { Fault::None });
            let opened = on(&disk, Fsync::Batch, 1200).map(drop);
            disk.heal();
            for (power_cut, disk) in [(true, disk.after_power_cut(0)), (false, disk)] {
                assert!(disk.holds(&tail), "what was cut off is kept: {torn} {failing}");
                let mut journal = on(&disk, Fsync::Batch, 1200).expect("it opens");
                assert!(disk.holds(&tail), "what was cut off is kept: {torn} {failing}");
                let found = stored(&disk);
                assert!(before.starts_with(&found));
                // A newline that a failed sync lost and a power cut took may cost its record,
                // which had not been durable.
                let lost = before.len() - found.len();
                assert!(lost <= usize::from(power_cut && torn == 1), "{torn} {failing}");
                journal.append(&records([found.len() as u64 + 1])).expect("appended");
                assert_eq!(stored(&disk).len(), found.len() + 1);
            }
            if opened.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn an_interval_is_due_from_the_first_record_that_is_not_durable() {
    let disk = SimFs::default();
    let hour = Duration::from_secs(3600);
    let mut journal = on(&disk, Fsync::Interval(hour), 1 << 20).expect("opens");
    assert_eq!(journal.due(), None);
    let before = Instant::now();
    journal.append(&records([1])).expect("appended");
    let due = journal.due().expect("something is not durable");
    assert!(due >= before + hour);
    journal.append(&records([2])).expect("appended");
    assert_eq!(journal.due(), Some(due), "later records do not put it off");
    journal.tend().expect("too early");
    assert_eq!(journal.watermarks().durable, None);
    journal.flush().expect("flushed");
    assert_eq!(journal.due(), None);
    assert_eq!(number(journal.watermarks().durable), 2);

    let mut eager = on(&SimFs::default(), Fsync::Interval(Duration::ZERO), 1 << 20).expect("opens");
    eager.append(&records([1])).expect("appended");
    assert_eq!(number(eager.watermarks().durable), 1, "a batch that finds it due syncs at once");
}

#[test]
fn a_tail_costs_the_same_however_long_the_journal_is() {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Never, 1 << 30).expect("opens");
    for first in (1..20_000).step_by(1000) {
        journal.append(&records(first..first + 1000)).expect("appended");
    }
    let reads = |disk: &SimFs| std::mem::take(&mut disk.ground().read_bytes);
    reads(&disk);
    assert_eq!(journal.tail(10).expect("a tail").len(), 10);
    let of_tail = reads(&disk);
    drop(journal);
    on(&disk, Fsync::Never, 1 << 30).expect("opens");
    let of_opening = reads(&disk);
    let size =
        disk.ground().files.values().next().expect("one").lock().expect("free").bytes().len();
    assert!(size > 2_000_000);
    assert!(of_tail <= 64 * 1024 && of_opening <= 192 * 1024, "{of_tail} {of_opening}");
}
