//! B7: the power goes under the server while events are published: its files are on a file system
//! that loses what was not synced. Three times, or as `RINGPOST_CUTS` says: see `ci/redis.sh`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use ringpost::event::Event;
use ringpost::store::Trouble;
use ringpost::{Bus, Sequence, Shared};

use crate::crashes::{Aftermath, nothing_is_silent, publish_until};
use crate::redis_server::{Server, Sync};
use crate::rig::{Chance, Mount};
use crate::support::{Told, store, stored};

fn cuts() -> u64 {
    env::var("RINGPOST_CUTS").map_or(3, |text| text.parse().expect("RINGPOST_CUTS: a number"))
}

/// Events between two cuts at least.
const BETWEEN: u64 = 300;

/// Ends the load also when the test fails.
struct Ends<'d>(&'d AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes while the power goes again and again; how much of what was written
/// is lost is printed, and nothing durable may be.
fn cut_under_load(sync: Sync) -> Option<Aftermath> {
    let mut chance = Chance::new("power cut under a server");
    let mut mount = Mount::new()?;
    let mut server = Server::start_in(mount.place(), sync)?;
    let told = Told::default();
    let bus: Bus<Shared<Event>> =
        Bus::builder().ring(1024).recent(0).publish_timeout(Duration::from_millis(20)).build();
    let persistence = bus.persist(store(&server), told.options()).expect("a thread");
    let done = AtomicBool::new(false);
    // Not as fast as it goes: the file system must hold all of it.
    let pause = |number: u64| {
        if !number.is_multiple_of(2) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let published = thread::scope(|scope| {
        let load = scope.spawn(|| publish_until(&done, &bus, pause));
        let ends = Ends(&done);
        for _ in 0..cuts() {
            let target = persistence.stats().journaled + BETWEEN;
            while persistence.stats().journaled < target {
                thread::yield_now();
            }
            // Long enough in a campaign to meet every moment of a second that is synced.
            thread::sleep(Duration::from_micros(chance.below(100_000 * cuts().min(25))));
            let seen = told.count();
            // The power takes the server with it: one that lived on would answer to nobody's use.
            server.pause();
            mount.cut_power().expect("the power is cut");
            server.kill();
            let durable = persistence.receipts().watermarks().durable;
            let (losses, durable) = (told.losses().len(), durable.map_or(0, Sequence::get));
            // A child of the server's that writes a file anew lives for a moment longer.
            mount.revive().expect("mounted again");
            server.restart();
            told.wait_for(seen, |trouble| matches!(trouble, Trouble::Recovered { .. }));
            let lost = told.losses().split_off(losses);
            assert!(lost.iter().all(|gap| gap.from.get() > durable), "durable {durable}: {lost:?}");
        }
        drop(ends);
        load.join().expect("it published")
    });
    let report = persistence.stop(Duration::from_secs(60));
    assert!(report.complete, "{report:?}");
    let lost: Vec<u64> =
        told.losses().iter().flat_map(|gap| gap.from.get()..=gap.to.get()).collect();
    let after = Aftermath { published, stored: stored(&server), lost };
    eprintln!(
        "power cut under a server: {sync:?}: {} cuts, of {published} written lost {}",
        cuts(),
        after.lost.len()
    );
    drop(server);
    mount.unmount().expect("nothing is left open");
    Some(after)
}

#[test]
fn a_server_that_syncs_always_loses_nothing_in_a_power_cut() {
    let Some(after) = cut_under_load(Sync::Always) else { return };
    assert!(after.lost.is_empty(), "{:?}", after.lost);
    nothing_is_silent(&after);
}

#[test]
fn a_server_that_syncs_every_second_loses_nothing_silently_in_a_power_cut() {
    let Some(after) = cut_under_load(Sync::EverySecond) else { return };
    nothing_is_silent(&after);
}

#[test]
fn a_server_that_keeps_nothing_loses_all_in_a_power_cut_and_it_is_told() {
    let Some(after) = cut_under_load(Sync::Nothing) else { return };
    assert!(after.lost.len() as u64 >= BETWEEN * cuts());
    nothing_is_silent(&after);
}
