//! A subscriber that is too slow costs nobody anything, and is told exactly what it missed:
//! `cargo run --example slow_reader`.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use ringpost::{Bus, Delivery, Executor, Gap, Overflow, PublishError, Wait};

const PUBLISHED: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::<u64>::new();
    let fast = bus.subscribe("numbers")?.spawn(|_: Delivery<'_, u64>| {})?;

    // This one stops in its first message until it is let go. A handler that blocks is better
    // given a thread of its own.
    let (go, wait) = mpsc::channel::<()>();
    let (entered, started) = mpsc::channel();
    let (tell, told) = mpsc::channel::<(u64, Vec<Gap>)>();
    let slow = bus
        .subscribe("numbers")?
        .mailbox(16)
        .overflow(Overflow::DropOldest)
        .executor(Executor::thread(Wait::Park))
        .spawn(move |d: Delivery<'_, u64>| {
            let _ = entered.send(());
            let _ = wait.recv();
            tell.send((*d, d.gaps().to_vec()))
        })?;

    let mut numbers = bus.publisher("numbers")?;
    numbers.publish(1_u64)?;
    started.recv()?;
    for n in 2..=PUBLISHED {
        numbers.publish(n)?;
    }
    println!("published {PUBLISHED}, the slow subscriber is still in its first message");
    drop(go);
    bus.settle(Duration::from_secs(10))?;

    let mut lost = 0;
    for (n, gaps) in told.try_iter() {
        for gap in gaps {
            println!(
                "before {n}: lost {} of {} to {}, {}",
                gap.count, gap.from, gap.to, gap.reason
            );
            lost += gap.count;
        }
    }
    let stats = slow.stats();
    println!("{} matched = {} handled + {lost} dropped", stats.matched, stats.handled);
    assert!(stats.balances());
    assert_eq!((stats.matched, stats.total_dropped()), (PUBLISHED, lost));
    assert_eq!(fast.stats().handled + fast.stats().total_dropped(), PUBLISHED);

    // A subscriber that must not lose anything says so, and publishers feel it instead.
    let (go, wait) = mpsc::channel::<()>();
    let _strict = bus
        .subscribe("orders")?
        .mailbox(4)
        .overflow(Overflow::Block { timeout: Duration::from_millis(10) })
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, u64>| {
            let _ = wait.recv();
        })?;
    let mut orders = bus.publisher("orders")?;
    let refused = (0_u64..).find_map(|n| orders.publish(n).err()).expect("it is full at last");
    println!("orders: {refused}");
    assert!(matches!(refused, PublishError::Full(_)));
    drop(go);
    assert!(bus.shutdown(Duration::from_secs(10)).is_clean());
    Ok(())
}
