//! K3: the power goes while events are published. What was called durable is there afterwards.

use std::thread;
use std::time::Duration;

use ringpost::store::journal::Fsync;

use super::judge::{Losses, recover};
use super::load::{Plan, events};
use super::rig::{Chance, Mount, rounds};

const POLICIES: [Fsync; 4] =
    [Fsync::Batch, Fsync::Always, Fsync::Interval(Duration::from_millis(50)), Fsync::Never];

#[test]
fn a_power_cut_at_any_moment_costs_nothing_that_was_called_durable() {
    let mut chance = Chance::new("power cut");
    let events = events(None);
    for fsync in POLICIES {
        let mut losses = Losses::of(fsync);
        let Some(mut mount) = Mount::new() else { return };
        let mut before = 0;
        for round in 0..rounds().div_ceil(POLICIES.len() as u64) {
            if round % 8 == 0 && round > 0 {
                let Some(fresh) = Mount::new() else { return };
                mount = fresh;
                before = 0;
            }
            let place = mount.place().join("journal");
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
            let last = recover(&place, &events);
            losses.add(before, told, last);
            losses.assert_no_durable_lost();
            before = last;
        }
        eprintln!("power cut: {losses}");
        losses.assert_some_told();
    }
}
