//! A named consumer that goes on where it was, whatever ended the process before:
//! `cargo run --example durable_consumer`.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{Begin, PersistOptions, Store};
use ringpost::{Delivery, EventBus, Sequence, Shared, event, event::Event};

const LONG: Duration = Duration::from_secs(10);

/// Publishes three invoices and one thing that is none, and bills what comes; gives the numbers
/// that were billed.
fn session(directory: &Path) -> Result<Vec<u64>, Box<dyn Error>> {
    let options = JournalOptions::default().with_fsync(Fsync::Batch);
    let journal = Journal::open(directory, options)?;
    let last = journal.last_sequence().map_or(0, u64::from);
    let bus = EventBus::builder().start(Sequence::new(last + 1)).build();
    let persistence = bus.persist(journal, PersistOptions::default())?;

    let billed = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut attempts) = (Arc::clone(&billed), 0);
    let billing = bus
        .subscribe("invoice.*")?
        .durable("billing", &persistence)
        .begin(Begin::First)
        .retry(None, Duration::from_millis(1), LONG)
        .spawn(move |invoice: Delivery<'_, Shared<Event>>| {
            attempts += 1;
            if attempts == 2 {
                // It comes again: only what succeeds is acknowledged.
                return Err("the bank does not answer");
            }
            seen.lock().unwrap().extend(invoice.sequence().map(u64::from));
            Ok(())
        })?;

    for _ in 0..3 {
        bus.publish(event!("invoice.sent", source = "examples/durable_consumer")?)?;
    }
    bus.publish(event!("coffee.made", source = "examples/durable_consumer")?)?;

    // A shutdown lets it handle what there is, but tries nothing again: that is left for the next
    // start. Here it is to see all of it now.
    while billing.stats().lag > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(bus.shutdown(LONG).is_clean());
    let report = billing.stop(LONG);
    assert!(report.complete && report.stats.account.balances());
    assert_eq!(
        (report.stats.account.handled, report.stats.retried),
        (billed.lock().unwrap().len() as u64, 1)
    );
    assert!(persistence.stop(LONG).complete);
    let billed = billed.lock().unwrap().clone();
    println!("billed {billed:?}");
    Ok(billed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    assert_eq!(session(directory.path())?, [1, 2, 3]);
    assert_eq!(session(directory.path())?, [5, 6, 7], "nothing twice, nothing left out");

    // How far it is can be read and changed from anywhere: `ringpost consumers list`.
    let consumers = JournalReader::open(&directory)?.consumers()?;
    let name = "billing".parse()?;
    let billing = consumers.get(&name)?.ok_or("there it is")?;
    println!("billing goes on at {}, {} behind", billing.checkpoint.next, billing.lag);
    // The coffee, too, is behind it: what a filter leaves out holds nobody up.
    assert_eq!((billing.checkpoint.next, billing.lag), (Sequence::new(9), 0));
    consumers.reset(&name, Begin::Sequence(Sequence::new(6)))?;
    assert_eq!(session(directory.path())?, [6, 7, 9, 10, 11]);
    Ok(())
}
