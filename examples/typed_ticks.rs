//! A bus of one's own message type: nothing is serialised, and a small `Copy` struct travels
//! inline. `cargo run --example typed_ticks`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use ringpost::{Actor, Bus, Context, Delivery, Failure, Message};

#[derive(Clone, Copy, Debug)]
struct Tick {
    price: u64,
    size: u32,
}

impl Message for Tick {}

/// A subscriber with state: one message at a time, so it needs no lock.
struct Volume {
    by_topic: BTreeMap<String, u64>,
    result: mpsc::Sender<BTreeMap<String, u64>>,
}

impl Actor<Tick> for Volume {
    async fn handle(&mut self, tick: Delivery<'_, Tick>, _: &mut Context) -> Result<(), Failure> {
        *self.by_topic.entry(tick.topic().to_owned()).or_default() += u64::from(tick.size);
        Ok(())
    }

    async fn on_stop(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(self.result.send(std::mem::take(&mut self.by_topic))?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::<Tick>::new();
    let (result, volumes) = mpsc::channel();
    let volume = Volume { by_topic: BTreeMap::new(), result };
    let volume = bus.subscribe("md.*")?.spawn_actor(volume)?;
    let highest = bus.subscribe("md.AAPL")?.spawn({
        let mut highest = 0;
        move |tick: Delivery<'_, Tick>| {
            if tick.price > highest {
                highest = tick.price;
                println!("a new high at {}: {highest}", tick.sequence().expect("published"));
            }
        }
    })?;

    // A publisher resolves its topic once; it is the fast way to publish more than one message.
    let mut apple = bus.publisher("md.AAPL")?;
    for price in [101, 103, 102] {
        apple.publish(Tick { price, size: 50 })?;
    }
    // A batch costs one claim, one fence and one look at the route for up to 64 messages.
    let mut batch = vec![Tick { price: 104, size: 75 }, Tick { price: 100, size: 75 }];
    let published = apple.publish_batch(&mut batch)?;
    assert_eq!((published.count, published.delivered), (2, 4));
    bus.publish_to("md.MSFT", Tick { price: 400, size: 10 })?;

    let report = bus.shutdown(Duration::from_secs(10));
    assert!(report.is_clean(), "{report}");
    let volumes = volumes.recv()?;
    println!("volumes: {volumes:?}");
    assert_eq!(volumes["md.AAPL"], 300);
    assert_eq!((volume.stats().handled, volume.stats().failed), (6, 0));
    assert_eq!(highest.stats().handled, 5);
    Ok(())
}
