//! The server's process is killed while events are published, and comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use ringpost::event::Event;
use ringpost::store::Trouble;
use ringpost::{Bus, PublishError, Shared};

use crate::redis_server::{Server, Sync};
use crate::support::{Told, event, store, stored, unlike};

/// How often the server is killed: three times, or as `RINGPOST_KILLS` says.
fn kills() -> u64 {
    env::var("RINGPOST_KILLS").map_or(3, |text| text.parse().expect("RINGPOST_KILLS: a number"))
}

/// What is there in the end, and what was told to be lost.
pub(crate) struct Aftermath {
    pub(crate) published: u64,
    pub(crate) stored: Vec<u64>,
    pub(crate) lost: Vec<u64>,
}

/// Publishes until it is `done`, and says how many. `before` is called before each, with its number.
pub(crate) fn publish_until(
    done: &AtomicBool,
    bus: &Bus<Shared<Event>>,
    before: impl Fn(u64),
) -> u64 {
    let mut published = 0;
    while !done.load(Ordering::Relaxed) {
        before(published + 1);
        match bus.publish(Shared::new(event(published + 1))) {
            Ok(_) => published += 1,
            Err(PublishError::Full(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    published
}

/// Publishes as fast as it goes while the server is killed and started again, then waits until
/// everything is stored.
fn kill_under_load(sync: Sync, wipes: bool) -> Option<Aftermath> {
    let mut server = Server::start(sync)?;
    let told = Told::default();
    let bus: Bus<Shared<Event>> =
        Bus::builder().ring(1024).recent(0).publish_timeout(Duration::from_millis(20)).build();
    let persistence = bus.persist(store(&server), told.options()).expect("a thread");
    let done = AtomicBool::new(false);
    let published = thread::scope(|scope| {
        let load = scope.spawn(|| publish_until(&done, &bus, |_| {}));
        let mut reached = 0;
        for round in 0..kills() {
            // Some more each time than the ring holds, so that batches are under way.
            let target = reached + 1500 + 137 * (round % 16);
            while persistence.stats().journaled < target {
                thread::yield_now();
            }
            let seen = told.count();
            server.kill();
            if wipes {
                server.wipe();
            }
            told.wait_for(seen, |trouble| matches!(trouble, Trouble::Failed { .. }));
            server.restart();
            told.wait_for(seen, |trouble| matches!(trouble, Trouble::Recovered { .. }));
            reached = persistence.stats().journaled;
        }
        done.store(true, Ordering::Relaxed);
        load.join().expect("it published")
    });
    let report = persistence.stop(Duration::from_secs(60));
    assert!(report.complete, "{report:?}");
    let gaps = told.losses();
    let lost: Vec<u64> = gaps.iter().flat_map(|gap| gap.from.get()..=gap.to.get()).collect();
    assert_eq!(report.stats.lost, lost.len() as u64);
    assert_eq!(report.stats.watermarks.written.map(u64::from), Some(published));
    Some(Aftermath { published, stored: stored(&server), lost })
}

/// Every event is stored once, or was told to be lost, and never both.
pub(crate) fn nothing_is_silent(after: &Aftermath) {
    let mut all = after.stored.clone();
    assert!(all.is_sorted_by(|one, next| one < next), "a duplicate, or out of order");
    all.extend(&after.lost);
    all.sort_unstable();
    assert_eq!(unlike(&all, after.published), [0; 0], "missing, or there and told to be lost");
}

#[test]
fn a_server_that_syncs_always_loses_nothing_and_repeats_nothing_when_it_is_killed() {
    let Some(after) = kill_under_load(Sync::Always, false) else { return };
    assert!(after.lost.is_empty(), "{:?}", after.lost);
    nothing_is_silent(&after);
}

#[test]
fn a_server_that_syncs_every_second_loses_nothing_silently_when_it_is_killed() {
    let Some(after) = kill_under_load(Sync::EverySecond, false) else { return };
    nothing_is_silent(&after);
}

#[test]
fn a_server_that_keeps_nothing_comes_back_empty_and_every_loss_is_told() {
    let Some(after) = kill_under_load(Sync::Nothing, false) else { return };
    assert!(after.lost.len() as u64 >= 1500 * kills(), "each time all that there was");
    nothing_is_silent(&after);
}

#[test]
fn a_server_whose_files_were_deleted_is_noticed_however_it_syncs() {
    let Some(after) = kill_under_load(Sync::Always, true) else { return };
    assert!(after.lost.len() as u64 >= 1500 * kills());
    nothing_is_silent(&after);
}
