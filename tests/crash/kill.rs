//! K1, K9: killed at any moment, also during recovery; and only one writer at any time.

use std::path::Path;
use std::thread;
use std::time::Duration;

use ringpost::store::StoreErrorKind;
use ringpost::store::journal::{Fsync, Journal, JournalOptions};

use super::judge::{Course, Losses};
use super::load::{Load, Plan, Told, events};
use super::rig::{Chance, rounds};

const POLICIES: [Fsync; 4] =
    [Fsync::Batch, Fsync::Always, Fsync::Interval(Duration::from_millis(50)), Fsync::Never];

/// So many processes write one journal, one after the other, and are killed.
const LIVES: u64 = 8;

/// One life of the load, killed 5 to 500 ms after it opened its journal; what it told.
fn life(plan: &Plan<'_>, chance: &mut Chance) -> Told {
    let load = plan.start();
    assert!(load.is_open(), "the lock of the one that was killed is free");
    thread::sleep(Duration::from_micros(5_000 + chance.below(495_000)));
    let second = Journal::open(plan.directory, JournalOptions::default());
    assert_eq!(second.expect_err("there is a writer").kind(), StoreErrorKind::Locked);
    load.kill()
}

/// One that is killed while it starts, most likely in its recovery.
fn short_life(plan: &Plan<'_>, chance: &mut Chance) -> Told {
    let load = plan.start();
    thread::sleep(Duration::from_micros(chance.below(30_000)));
    load.kill()
}

fn campaign(name: &str, rounds: u64, policies: &[Fsync], file: Option<&Path>) {
    let mut chance = Chance::new(name);
    let events = events(file);
    let rounds = rounds.div_ceil(policies.len() as u64);
    for &fsync in policies {
        let mut losses = Losses::of(fsync);
        for first in (0..rounds).step_by(usize::try_from(LIVES).expect("few")) {
            let scratch = tempfile::tempdir().expect("a directory");
            let directory = scratch.path().join("journal");
            let mut course = Course::new(&directory, &events);
            let end = rounds.min(first + LIVES);
            for round in first..end {
                let plan = Plan { events: file, ..Plan::new(&directory, fsync) };
                let told = life(&plan, &mut chance);
                let mut last = course.read();
                losses.add(course.last, told, last);
                losses.assert_none_lost();
                if round % 10 == 9 {
                    let told = short_life(&plan, &mut chance);
                    let again = course.read();
                    assert!(again >= told.written.max(last), "lost by a second kill");
                    last = again;
                }
                course.recover(last, round == end - 1);
            }
        }
        eprintln!("{name}: {losses}");
        losses.assert_some_told();
    }
}

#[test]
fn killed_at_any_moment_no_acknowledged_event_is_missing_twice_or_bad() {
    campaign("kill", rounds(), &POLICIES, None);
}

#[test]
fn real_events_published_in_a_loop_survive_every_kill() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/events.jsonl");
    if file.exists() {
        return campaign("kill, real events", rounds(), &[Fsync::Batch], Some(&file));
    }
    eprintln!("skipped: {} is not there", file.display());
    let required = std::env::var_os("RINGPOST_REQUIRE_SHARED").is_some_and(|set| set == "1");
    assert!(!required, "{} is not there", file.display());
}

#[test]
fn of_two_processes_at_most_one_writes() {
    let mut chance = Chance::new("two writers");
    let events = events(None);
    let rounds = rounds().div_ceil(2);
    let mut written = 0;
    for first in (0..rounds).step_by(usize::try_from(LIVES).expect("few")) {
        let scratch = tempfile::tempdir().expect("a directory");
        let place = scratch.path().join("journal");
        let mut course = Course::new(&place, &events);
        let end = rounds.min(first + LIVES);
        for round in first..end {
            let plan = Plan::new(&place, Fsync::Batch);
            let loads = [plan.start(), plan.start()];
            // The other one is told that it is locked, and ends.
            let opened = [loads[0].is_open(), loads[1].is_open()];
            assert_eq!(opened.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
            thread::sleep(Duration::from_millis(chance.below(100)));
            let told = loads.map(Load::kill);
            let last = course.read();
            assert!(told.iter().all(|told| told.written <= last), "{told:?}, but {last}");
            course.recover(last, round == end - 1);
        }
        written += course.last;
    }
    eprintln!("two writers: {} starts, {written} events", 2 * rounds);
}
