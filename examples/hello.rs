//! One bus, one subscriber, one event: `cargo run --example hello`.

use std::error::Error;
use std::time::Duration;

use ringpost::{Delivery, Event, EventBus, Shared, event};

fn main() -> Result<(), Box<dyn Error>> {
    let bus = EventBus::new();

    // Every subscriber is an actor with a mailbox of its own. The pattern is an exact topic here.
    let hello = bus.subscribe("greeting.sent")?.spawn(|d: Delivery<'_, Shared<Event>>| {
        println!("{} says {:?}", d.source(), d.data());
    })?;

    // An event's topic is its type, unless it says otherwise.
    let event = event!("greeting.sent", source = "examples/hello", { "text": "hello" })?;
    let published = bus.publish(event)?;
    println!("published as number {:?}", published.sequence.map(u64::from));
    assert_eq!(published.delivered, 1);

    // Publishing does not wait for handlers. This does: until all of it was handled.
    bus.settle(Duration::from_secs(10))?;
    assert_eq!(hello.stats().handled, 1);
    Ok(())
}
