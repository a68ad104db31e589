//! Syncs, appends and cuts that fail one after the other: what is called durable meanwhile, and what
//! is there afterwards.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::sim::{Call, Fault, SimFs};
use super::{By, POLICIES, WAYS, number, on, records, stored};
use crate::Sequence;
use crate::store::journal::{Follow, Fsync, Journal, Start};
use crate::store::{Store, Watermarks};

#[test]
fn a_failed_sync_finishes_the_file_and_its_records_are_durable_in_the_next() {
    let disk = SimFs::default();
    let mut journal =
        on(&disk, Fsync::Interval(Duration::from_secs(3600)), 1 << 20).expect("opens");
    journal.append(&records(1..=3)).expect("appended");
    journal.flush().expect("flushed");
    journal.append(&records(4..=6)).expect("appended");
    // One failure: the call succeeds, because the records became durable elsewhere.
    let mut syncs = 0;
    disk.plan(move |_, call| {
        syncs += usize::from(call == Call::Sync);
        if call == Call::Sync && syncs == 1 { Fault::Fails } else { Fault::None }
    });
    journal.flush().expect("saved in a new segment");
    disk.heal();
    assert_eq!(number(journal.watermarks().durable), 6);
    assert_eq!(stored(&disk.after_power_cut(0)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(disk.ground().files.len(), 2);
    assert_eq!(stored(&disk), [1, 2, 3, 4, 5, 6]);
    let tail = journal.tail(4).expect("a tail");
    assert_eq!(tail.iter().map(|r| r.sequence.get()).collect::<Vec<_>>(), [3, 4, 5, 6]);
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.records, check.duplicates), (6, 0), "they were cut off the finished file");
    assert!(check.is_clean());
}

#[test]
fn nothing_is_called_durable_while_no_sync_succeeds_and_all_is_once_one_does() {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
    journal.append(&records(1..=3)).expect("appended");
    disk.plan(|_, call| if call == Call::Sync { Fault::Fails } else { Fault::None });
    let batch = records(4..=6);
    for _ in 0..5 {
        let error = journal.append(&batch).expect_err("not durable");
        assert!(error.is_transient());
        assert_eq!(number(journal.watermarks().durable), 3);
    }
    disk.heal();
    journal.append(&batch).expect("durable now");
    assert_eq!(number(journal.watermarks().durable), 6);
    assert_eq!(stored(&disk.after_power_cut(0)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_new_segment_is_not_durable_before_its_name_is() {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
    disk.plan(|_, call| if call == Call::SyncDirectory { Fault::Fails } else { Fault::None });
    journal.append(&records([1])).expect_err("the name is not durable");
    assert_eq!(journal.watermarks().durable, None);
    assert!(stored(&disk.after_power_cut(0)).is_empty());
    disk.heal();
    journal.append(&records([1])).expect("durable now");
    assert_eq!(stored(&disk.after_power_cut(0)), [1]);
}

#[test]
fn a_full_disk_gets_one_new_segment_and_not_one_a_try() {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
    journal.append(&records(1..=3)).expect("appended");
    let batch = records(4..=6);
    // The sync fails, and from then on the disk is full.
    let mut syncs = 0;
    disk.plan(move |_, call| match call {
        Call::Sync => {
            syncs += 1;
            if syncs == 1 { Fault::Fails } else { Fault::None }
        }
        Call::Append if syncs > 0 => Fault::Short(10, libc::ENOSPC),
        _ => Fault::None,
    });
    for _ in 0..10 {
        journal.append(&batch).expect_err("full");
    }
    assert_eq!(disk.ground().files.len(), 2);
    disk.heal();
    journal.append(&batch).expect("room again");
    assert_eq!(stored(&disk), [1, 2, 3, 4, 5, 6]);
    assert_eq!(disk.ground().files.len(), 2);
}

#[test]
fn nothing_is_appended_behind_a_piece_that_could_not_be_cut_off() {
    for fsync in POLICIES {
        let disk = SimFs::default();
        let mut journal = on(&disk, fsync, 1 << 20).expect("opens");
        journal.append(&records(1..=3)).expect("appended");
        disk.plan(|_, call| match call {
            Call::Append => Fault::Short(100, libc::ENOSPC),
            Call::Cut => Fault::Fails,
            _ => Fault::None,
        });
        let batch = records(4..=6);
        journal.append(&batch).expect_err("full");
        disk.heal();
        journal.append(&batch).expect("room again");
        assert_eq!(disk.ground().files.len(), 2, "{fsync:?}: the torn segment is finished");
        assert_eq!(stored(&disk), [1, 2, 3, 4, 5, 6], "{fsync:?}");
    }
}

/// Two batches of three that began, the second one beside the sync of the first.
pub(super) fn two_begun(disk: &SimFs) -> Journal {
    let mut journal = on(disk, Fsync::Batch, 1 << 20).expect("opens");
    for first in [1, 4] {
        By::Begin.hand_in(&mut journal, &records(first..first + 3), false).expect("begun");
    }
    journal
}

#[test]
fn what_began_and_cannot_be_saved_is_not_durable_however_often_it_is_asked_for() {
    let disk = SimFs::default();
    let mut journal = two_begun(&disk);
    // The sync that is running fails, and the disk is full.
    let mut failed = false;
    disk.plan(move |_, call| match call {
        Call::Sync if !std::mem::replace(&mut failed, true) => Fault::Fails,
        Call::Append => Fault::Fails,
        _ => Fault::None,
    });
    for _ in 0..3 {
        journal.advance_staged().expect_err("there is no room");
        assert_eq!((journal.stored_to(), journal.watermarks().durable), (None, None));
    }
    disk.heal();
    journal.advance_staged().expect("room again");
    assert_eq!(number(journal.stored_to()), 6);
    journal.append(&records([7])).expect("appended");
    assert_eq!(stored(&disk.after_power_cut(0)), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_stands_in_two_places_is_not_durable_however_often_it_is_asked_for() {
    let disk = SimFs::default();
    let mut journal = two_begun(&disk);
    let (mut syncs, mut cuts) = (0, 0);
    disk.plan(move |_, call| {
        syncs += usize::from(call == Call::Sync);
        cuts += usize::from(call == Call::Cut);
        let fails = (call == Call::Sync && syncs == 1) || (call == Call::Cut && cuts <= 2);
        if fails { Fault::Fails } else { Fault::None }
    });
    for _ in 0..2 {
        journal.advance_staged().expect_err("it stands in two places");
        assert_eq!(journal.watermarks().durable, None);
    }
    journal.advance_staged().expect("cut off");
    assert_eq!(number(journal.watermarks().durable), 6);
    // Whatever else reaches the disk by itself.
    assert_eq!(stored(&disk.after_power_cut(usize::MAX / 2)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_began_before_a_write_that_fails_becomes_durable_all_the_same() {
    let disk = SimFs::default();
    let mut journal = two_begun(&disk);
    disk.plan(|_, call| if call == Call::Append { Fault::Fails } else { Fault::None });
    let begun = By::Begin.hand_in(&mut journal, &records(7..=9), false);
    begun.expect_err("the disk is full");
    assert_eq!(number(journal.stored_to()), 6);
}

#[test]
fn what_has_to_be_durable_does_not_count_as_written_before() {
    for by in WAYS {
        let disk = SimFs::default();
        let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
        journal.append(&records(1..=3)).expect("appended");
        disk.plan(|_, call| if call == Call::Sync { Fault::Fails } else { Fault::None });
        let begun = by.hand_in(&mut journal, &records(4..=6), false);
        assert_eq!(begun.is_ok(), by == By::Begin, "what begins is not waited for");
        for _ in 0..2 {
            assert_eq!(number(journal.watermarks().written), 3, "{by:?}");
            assert_eq!(number(journal.last_sequence()), 6, "no other record gets these");
            journal.advance_staged().expect_err("no sync succeeds");
        }
        disk.heal();
        journal.flush().expect("durable now");
        let six = Some(Sequence::new(6));
        assert_eq!(journal.watermarks(), Watermarks { written: six, durable: six });
    }
}

#[test]
fn lines_of_a_file_that_reached_its_limit_and_cannot_be_cut_are_durable_in_the_next() {
    for fsync in POLICIES {
        let disk = SimFs::default();
        let mut journal = on(&disk, fsync, 1 << 20).expect("opens");
        journal.append(&records(1..=3)).expect("appended");
        let mut cuts = 0;
        let mut appends = 0;
        disk.plan(move |_, call| match call {
            // A whole line of the batch and a piece of the next one.
            Call::Append => {
                appends += 1;
                if appends == 1 { Fault::Short(250, libc::EFBIG) } else { Fault::None }
            }
            Call::Cut => {
                cuts += 1;
                if cuts == 1 { Fault::Fails } else { Fault::None }
            }
            _ => Fault::None,
        });
        let batch = records(4..=9);
        for _ in 0..3 {
            if journal.append(&batch).is_ok() {
                break;
            }
        }
        journal.flush().expect("flushed");
        assert_eq!(number(journal.watermarks().written), 9, "{fsync:?}");
        assert_eq!(stored(&disk), (1..=9).collect::<Vec<_>>(), "{fsync:?}");
        if fsync != Fsync::Never {
            let survivors = stored(&disk.after_power_cut(0));
            assert_eq!(survivors, (1..=9).collect::<Vec<_>>(), "{fsync:?}");
        }
    }
}

#[test]
fn a_death_in_the_midst_of_writing_lines_again_hides_none_of_them() {
    for bytes in [0, 250, 600] {
        let disk = SimFs::default();
        let hour = Fsync::Interval(Duration::from_secs(3600));
        let mut journal = on(&disk, hour, 1 << 20).expect("opens");
        journal.append(&records(1..=3)).expect("appended");
        journal.flush().expect("flushed");
        journal.append(&records(4..=9)).expect("appended");
        let mut failed = false;
        disk.plan(move |_, call| match call {
            Call::Sync if !std::mem::replace(&mut failed, true) => Fault::Fails,
            Call::Append if failed => Fault::Dies(bytes),
            _ => Fault::None,
        });
        journal.flush().expect_err("the process is dead");
        drop(journal);
        disk.heal();
        disk.revive();
        let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
        journal.append(&records([10])).expect("appended");
        let reader = journal.reader();
        for from in 1..=10 {
            let entries = reader.records_from(Sequence::new(from)).expect("readable");
            let found = entries.map(|entry| number(entry.expect("readable").sequence));
            assert_eq!(found.collect::<Vec<_>>(), (from..=10).collect::<Vec<_>>());
            assert_eq!(reader.tail(from as usize).expect("readable").entries.len() as u64, from);
        }
        assert!(disk.ground().files.keys().all(|name| !name.ends_with(".tmp")));
    }
}

/// A journal of ten, the last five of which are not durable.
fn half_durable(disk: &SimFs) -> Journal {
    let hour = Fsync::Interval(Duration::from_secs(3600));
    let mut journal = on(disk, hour, 1 << 20).expect("opens");
    journal.append(&records(1..=5)).expect("appended");
    journal.flush().expect("flushed");
    journal.append(&records(6..=10)).expect("appended");
    journal
}

/// The sync of the last five fails: they move into a new segment.
fn move_the_last(disk: &SimFs, journal: &mut Journal) {
    let mut failed = false;
    disk.plan(move |_, call| match call {
        Call::Sync if !std::mem::replace(&mut failed, true) => Fault::Fails,
        _ => Fault::None,
    });
    journal.flush().expect("saved in a new segment");
    disk.heal();
    assert_eq!(disk.ground().files.keys().filter(|name| name.ends_with(".jsonl")).count(), 2);
}

#[test]
fn who_reads_while_lines_move_into_a_new_segment_misses_none() {
    for seen in 0..=10_u64 {
        let disk = SimFs::default();
        let mut journal = half_durable(&disk);
        let mut records = journal.reader().records().expect("readable");
        let mut read =
            || number(records.next().expect("there is more").expect("a record").sequence);
        assert!((1..=seen).all(|expected| read() == expected));
        move_the_last(&disk, &mut journal);
        let rest: Vec<_> = (seen..10).map(|_| read()).collect();
        assert_eq!(rest, (seen + 1..=10).collect::<Vec<_>>());
        assert!(records.next().is_none());
    }
}

#[test]
fn who_follows_from_the_end_does_not_take_moved_lines_for_new_ones() {
    let disk = SimFs::default();
    let mut journal = half_durable(&disk);
    let reader = journal.reader();
    let starts = [Start::End, reader.tail(0).expect("a tail").end()];
    let mut follows = starts.map(|start| reader.follow(start).expect("followed"));
    move_the_last(&disk, &mut journal);
    journal.append(&records([11])).expect("appended");
    for follow in &mut follows {
        let mut poll = || follow.poll().expect("readable").map(|entry| number(entry.sequence));
        assert_eq!((poll(), poll()), (Some(11), None));
        assert_eq!(follow.damaged(), 0);
    }
}

#[test]
fn a_copy_that_is_cut_off_after_it_was_read_is_no_damage() {
    let disk = SimFs::default();
    let journal = half_durable(&disk);
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    let poll = |follow: &mut Follow| {
        let entry = follow.poll().expect("readable");
        entry.map(|entry| number(entry.sequence))
    };
    assert!((1..=10).all(|expected| poll(&mut follow) == Some(expected)));
    let (first, copy) = ("00000000000000000001.jsonl", "00000000000000000002.jsonl");
    let text = disk.contents(first);
    let half = memchr::memmem::find(&text, b"\"00000000000000000006\"").expect("the sixth");
    let begin = memchr::memrchr(b'\n', &text[..half]).expect("the end of the fifth") + 1;
    disk.put(copy, &text[begin..]);
    assert_eq!(poll(&mut follow), None, "all of it was seen");
    disk.put(copy, b"");
    assert_eq!((poll(&mut follow), follow.damaged()), (None, 0));
    drop(journal);
    let mut journal = on(&disk, Fsync::Batch, 1 << 20).expect("opens");
    journal.append(&records([11])).expect("appended");
    assert_eq!((poll(&mut follow), poll(&mut follow)), (Some(11), None));
    // What it gave out is not cut off by a writer.
    disk.put(copy, b"");
    assert_eq!((poll(&mut follow), follow.damaged()), (None, 1));
}

#[cfg(feature = "query")]
#[test]
fn a_query_that_comes_too_late_for_moved_lines_says_so() {
    use crate::store::journal::query::{Query, Selection};
    let disk = SimFs::default();
    let mut journal = half_durable(&disk);
    let mut matches = journal.reader().query(Query::new(Selection::default())).expect("a query");
    move_the_last(&disk, &mut journal);
    let mut found = Vec::new();
    while let Some(one) = matches.next().expect("readable") {
        found.push(number(one.sequence));
    }
    assert!(found.len() == 10 || matches.gone() == 1, "{found:?} and {} gone", matches.gone());
}
