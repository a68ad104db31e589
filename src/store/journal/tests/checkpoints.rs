//! Checkpoints on a disk that fails and forgets: what was stored counts, whatever happens later.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::planting::shows;
use super::rng::Rng;
use super::sim::{Call, Cut, Fault, SimFs};
use crate::Sequence;
use crate::store::journal::checkpoint::Checkpoints;
use crate::store::journal::planted::Bug;
use crate::store::{Checkpoint, ConsumerName, StoreErrorKind};

const FILE: &str = "consumers/billing";

fn name(text: &str) -> ConsumerName {
    text.parse().expect("a name")
}

fn all(disk: &SimFs) -> Checkpoints {
    Checkpoints::of(disk)
}

fn at(next: u64) -> Checkpoint {
    Checkpoint::new(Sequence::new(next), "a.*")
}

/// What the consumer needs next; 0 if there is no such consumer.
fn loaded(disk: &SimFs) -> u64 {
    let found = all(disk).load(&name("billing")).expect("nothing is damaged");
    found.map_or(0, |checkpoint| checkpoint.next.get())
}

/// Stores 1, 2, … until a call fails or the process dies; gives what was stored last.
fn store_until(disk: &SimFs, from: u64, to: u64) -> u64 {
    let mut stored = from - 1;
    let Ok(mut own) = all(disk).take(&name("billing")) else { return stored };
    if own.load().is_err() {
        return stored;
    }
    for next in from..=to {
        if own.store(&at(next)).is_err() {
            return stored;
        }
        stored = next;
    }
    stored
}

#[test]
fn what_was_stored_is_loaded_again_and_the_lowest_is_needed() {
    let disk = SimFs::default();
    assert_eq!(all(&disk).lowest_needed().expect("no consumers"), None);
    assert_eq!(all(&disk).names().expect("no consumers"), []);
    for (consumer, next) in [("billing", 17), ("audit", 5), ("mail", 40)] {
        let mut own = all(&disk).take(&name(consumer)).expect("taken");
        assert_eq!(own.load().expect("loads"), None);
        own.store(&at(next - 1)).expect("stored");
        let mut checkpoint = at(next);
        (checkpoint.handled, checkpoint.failed) = (11, 2);
        own.store(&checkpoint).expect("stored");
        assert_eq!(all(&disk).load(&name(consumer)).expect("loads"), Some(checkpoint));
    }
    assert_eq!(all(&disk).names().expect("names"), ["audit", "billing", "mail"].map(name));
    assert_eq!(all(&disk).lowest_needed().expect("all whole"), Some(Sequence::new(5)));
    assert!(all(&disk).take(&name("audit")).expect("taken").remove().expect("removed"));
    assert_eq!(all(&disk).lowest_needed().expect("all whole"), Some(Sequence::new(17)));
    assert!(!all(&disk).take(&name("audit")).expect("taken").remove().expect("nothing there"));
}

#[test]
fn a_damaged_checkpoint_is_told_until_it_is_reset() {
    let disk = SimFs::default();
    assert_eq!(store_until(&disk, 1, 3), 3);
    let bytes = disk.contents(FILE);
    disk.put(FILE, &bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>());
    let refused = all(&disk).lowest_needed().expect_err("nobody knows");
    assert_eq!(refused.kind(), StoreErrorKind::Damaged);
    let mut own = all(&disk).take(&name("billing")).expect("taken");
    assert_eq!(own.load().expect_err("damaged").kind(), StoreErrorKind::Damaged);
    own.store(&at(9)).expect("reset");
    own.store(&at(10)).expect("goes on");
    drop(own);
    assert_eq!(loaded(&disk), 10);
    assert_eq!(store_until(&disk, 11, 12), 12);
    assert_eq!(loaded(&disk), 12);
}

#[test]
fn a_consumer_is_taken_by_one_at_a_time() {
    let disk = SimFs::default();
    let own = all(&disk).take(&name("billing")).expect("taken");
    assert!(all(&disk).is_running(&name("billing")));
    let second = all(&disk).take(&name("billing")).expect_err("taken already");
    assert_eq!(second.kind(), StoreErrorKind::Locked);
    let other = all(&disk).take(&name("audit"));
    assert!(other.is_ok(), "another name is free");
    drop(own);
    assert!(!all(&disk).is_running(&name("billing")));
    assert!(all(&disk).take(&name("billing")).is_ok());
}

/// Each call of a run that fails or is the last one, then a power cut or none: what was stored
/// counts, or what was being stored.
fn every_call_is_survived() -> bool {
    let calls = {
        let disk = SimFs::default();
        let counted = Arc::new(std::sync::Mutex::new(0));
        let count = Arc::clone(&counted);
        disk.plan(move |number, _| {
            *count.lock().expect("free") = number;
            Fault::None
        });
        assert_eq!(store_until(&disk, 1, 4), 4);
        *counted.lock().expect("free")
    };
    assert!(calls > 15, "{calls} calls are too few to be all");
    let mut sound = true;
    for call in 1..=calls {
        for fault in [Fault::Fails, Fault::Dies(0), Fault::Dies(70), Fault::Dies(5000)] {
            for seed in 0..4 {
                let mut rng = Rng::new(seed);
                let disk = SimFs::by_chance(Rng::new(rng.next()));
                disk.plan(move |number, _| if number == call { fault } else { Fault::None });
                let stored = store_until(&disk, 1, 4);
                disk.heal();
                disk.revive();
                let after = disk.cut_power(Cut::Chance(&mut rng));
                for disk in [&disk, &after] {
                    let found = catch_unwind(AssertUnwindSafe(|| loaded(disk)));
                    sound &= found.is_ok_and(|found| found == stored || found == stored + 1);
                    // Whatever was left there, the next one goes on.
                    let again = catch_unwind(AssertUnwindSafe(|| {
                        store_until(disk, stored + 1, stored + 3)
                    }));
                    sound &= again.is_ok_and(|last| last == stored + 3);
                    sound &= loaded(disk) == stored + 3;
                }
            }
        }
    }
    sound
}

#[test]
fn what_was_stored_survives_a_failure_or_a_power_cut_at_any_call() {
    assert!(every_call_is_survived());
}

#[test]
fn a_checkpoint_written_over_the_one_before_is_found() {
    assert!(shows(Bug::OneSlot, every_call_is_survived));
}

/// Lives of one consumer by chance: stores that fail, deaths and power cuts.
pub(super) fn histories_hold(mut seeds: impl Iterator<Item = u64>) -> bool {
    seeds.all(|seed| {
        let mut rng = Rng::new(seed);
        let mut disk = SimFs::by_chance(Rng::new(rng.next()));
        // What counts for sure, and the highest that may.
        let (mut sure, mut most) = (0, 0);
        for _ in 0..6 {
            let (one_in, way) = (rng.below(8) + 2, rng.among(&[Fault::Fails, Fault::Dies(70)]));
            let mut chance = Rng::new(rng.next());
            let hits = rng.one_in(2);
            disk.plan(move |_, call| {
                let hit = hits && matches!(call, Call::Write | Call::Sync | Call::SyncDirectory);
                if hit && chance.one_in(one_in) { way } else { Fault::None }
            });
            if let Ok(mut own) = all(&disk).take(&name("billing")) {
                let found = own.load();
                if found.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Damaged) {
                    return false;
                }
                if let Ok(found) = found {
                    let found = found.map_or(0, |checkpoint| checkpoint.next.get());
                    if found < sure || found > most {
                        return false;
                    }
                    sure = found;
                    for _ in 0..rng.below(6) {
                        most += 1;
                        if own.store(&at(most)).is_ok() {
                            sure = most;
                        }
                    }
                }
            }
            disk.heal();
            disk.revive();
            if rng.one_in(2) {
                disk = disk.cut_power(Cut::Chance(&mut rng));
            }
        }
        catch_unwind(AssertUnwindSafe(|| loaded(&disk)))
            .is_ok_and(|found| (sure..=most).contains(&found))
    })
}

#[test]
fn no_life_of_a_checkpoint_takes_back_what_was_stored() {
    assert!(histories_hold(1..=400));
}

#[test]
fn a_slot_of_an_earlier_life_taken_for_durable_is_found() {
    assert!(shows(Bug::InheritedCheckpoint, || histories_hold(1..=400)));
}

#[test]
fn a_journal_whose_sequences_are_used_up_is_read_and_not_written_into() {
    use crate::store::Begin;
    use crate::store::journal::{Journal, JournalOptions, JournalReader, segment::SegmentNumber};

    let disk = SimFs::default();
    let last = Sequence::new(Sequence::LIMIT - 1);
    let mut line = Vec::new();
    crate::event::json::encode_record(&super::record(1).event, last, &mut line);
    disk.put(&SegmentNumber(1).file_name(), &line);
    let mut own = all(&disk).take(&name("billing")).expect("taken");
    own.store(&at(7)).expect("stored");
    drop(own);

    let storage: Arc<SimFs> = Arc::new(disk.clone());
    let error = Journal::on(storage.clone(), JournalOptions::default()).expect_err("used up");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(all(&disk).hold_back(Some(last)).expect("read"), []);
    let reader = JournalReader::of(storage);
    assert_eq!(reader.records().expect("records").count(), 1);
    let consumers = reader.consumers().expect("a directory");
    let lag = consumers.get(&name("billing")).expect("read").expect("there").lag;
    assert_eq!(lag, Sequence::LIMIT - 7);
    let error = consumers.reset(&name("billing"), Begin::Now).expect_err("nothing comes");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(consumers.reset(&name("billing"), Begin::First).expect("reset"), last);
}
