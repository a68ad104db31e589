//! Publishes until SIGINT or SIGTERM, or for as many seconds as its argument says, then shuts
//! down in order: `cargo run --example graceful_shutdown [SECONDS]`, and ctrl-c.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringpost::store::{MemoryStore, PersistOptions};
use ringpost::{Delivery, Event, EventBus, Shared, event};
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(f64::INFINITY), |text| text.parse())?;

    // The first signal asks to stop. A second one ends the process at once: whoever sends it has
    // lost patience.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }

    let bus = EventBus::new();
    let persistence = bus.persist(MemoryStore::new(), PersistOptions::default())?;
    let heard = bus.subscribe("clock.*")?.spawn(|d: Delivery<'_, Shared<Event>>| {
        std::thread::sleep(Duration::from_millis(3));
        d.data().map(drop).ok_or("a tick without data")
    })?;

    println!("running");
    let since = Instant::now();
    let mut ticks = 0_u64;
    while !stop.load(Ordering::Relaxed) && since.elapsed().as_secs_f64() < seconds {
        bus.publish(event!("clock.tick", source = "examples/graceful_shutdown", { "n": ticks })?)?;
        ticks += 1;
        std::thread::sleep(Duration::from_millis(1));
    }

    // Refuses new messages, lets the handlers finish what is queued, closes, flushes what is
    // stored. At the deadline it gives up the rest, and says so.
    println!("{ticks} published, {} still queued: shutting down", heard.stats().queued);
    let report = bus.shutdown(Duration::from_secs(10));
    println!("{report}");
    let stored = persistence.stop(Duration::from_secs(1));
    println!("{} stored", stored.stats.journaled);

    let account = heard.stats();
    assert!(account.balances(), "{account:?}");
    assert_eq!((report.published, stored.stats.journaled), (ticks, ticks));
    assert_eq!(account.handled + account.total_dropped(), ticks);
    if !report.is_clean() {
        return Err("not everything was handled in time".into());
    }
    Ok(())
}
