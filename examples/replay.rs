//! The recent past: reading it, subscribing from it, and tapping the one order of the bus:
//! `cargo run --example replay`.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{Bus, Delivery, Sequence, Start, Tapped};

fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::<u64>::builder().recent(100).build();
    let mut numbers = bus.publisher("numbers")?;
    for n in 1..=50_u64 {
        numbers.publish(n)?;
    }

    // The newest messages, newest first.
    let recent: Vec<u64> = bus.recent(3).into_iter().map(Delivery::into_message).collect();
    println!("recent: {recent:?}");
    assert_eq!(recent, [50, 49, 48]);

    // A subscription that begins in the past goes on live, without a gap or a repeat.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let late = bus
        .subscribe("numbers")?
        .start(Start::Sequence(Sequence::new(11)))
        .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))?;
    for n in 51..=60_u64 {
        numbers.publish(n)?;
    }
    bus.settle(Duration::from_secs(10))?;
    println!("the late subscriber handled {} messages", late.stats().handled);
    assert_eq!(*seen.lock().unwrap(), (11..=60).collect::<Vec<u64>>());

    // A tap reads the ring itself: all publishers in one order, from a loop of one's own. What
    // the ring no longer holds comes as one exact gap.
    for n in 61..=20_000_u64 {
        numbers.publish(n)?;
    }
    let mut tap = bus.tap_from("**", Sequence::FIRST)?;
    let (mut lost, mut read) = (0, 0);
    while let Ok(tapped) = tap.try_next() {
        match tapped {
            Tapped::Delivery(d) => {
                read += 1;
                assert_eq!(d.sequence(), Some(Sequence::new(lost + read)));
            }
            Tapped::Gap(gap) => {
                println!("too late for {} to {}: {}", gap.from, gap.to, gap.reason);
                lost = gap.count;
            }
            other => unreachable!("{other:?}"),
        }
    }
    println!("the tap read the other {read}");
    assert_eq!(lost + read, 20_000);
    assert!(lost > 0);
    Ok(())
}
