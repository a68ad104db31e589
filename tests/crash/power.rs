//! K3: the power goes while events are published. What was called durable is there afterwards.

use std::thread;
use std::time::Duration;

use ringpost::store::journal::Fsync;

use super::judge::{Course, Losses};
use super::load::{Plan, events};
use super::rig::{Chance, Mount, rounds};

const POLICIES: [Fsync; 4] =
    [Fsync::Batch, Fsync::Always, Fsync::Interval(Duration::from_millis(50)), Fsync::Never];

/// So many processes write one journal, one after the other, until the power goes.
const LIVES: u64 = 8;

#[test]
fn a_power_cut_at_any_moment_costs_nothing_that_was_called_durable() {
    let mut chance = Chance::new("power cut");
    let events = events(None);
    let rounds = rounds().div_ceil(POLICIES.len() as u64);
    for fsync in POLICIES {
        let mut losses = Losses::of(fsync);
        for first in (0..rounds).step_by(usize::try_from(LIVES).expect("few")) {
            let Some(mut mount) = Mount::new() else { return };
            let place = mount.place().join("journal");
            let mut course = Course::new(&place, &events);
            let end = rounds.min(first + LIVES);
            for round in first..end {
                let load = Plan::new(&place, fsync).start();
                assert!(load.is_open(), "it opens clean after every cut");
                thread::sleep(Duration::from_micros(5_000 + chance.below(495_000)));
                // The power takes the process with it. One that lives on is told of success by an
                // `fdatasync` that was under way, for what is gone: ext4 does not look again.
                load.freeze();
                mount.cut_power().expect("the power is cut");
                let told = load.kill();
                mount.unmount().expect("unmounted");
                mount.mount().expect("mounted again");
                // What an earlier round recovered is durable, also where the policy never says so.
                let last = course.read();
                losses.add(course.last, told, last);
                losses.assert_no_durable_lost();
                course.recover(last, round == end - 1);
            }
        }
        eprintln!("power cut: {losses}");
        losses.assert_some_told();
    }
}
