//! Patterns over topics, and who gets what: `cargo run --example wildcard`.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::{Bus, Delivery, Pattern};

const PATTERNS: [(&str, &[&str]); 6] = [
    // A topic itself.
    ("registry:bots:config", &["registry:bots:config"]),
    // `*` is one token. A separator beside a wildcard stands for any of `.`, `:` and `/`.
    ("registry:*:config", &["registry:bots:config", "registry:skills:config"]),
    // `**` is any number of tokens, anywhere; `>` is one or more, at the end.
    ("**.failed", &["index.failed", "index.segment.failed"]),
    ("index.>", &["index.failed", "index.segment.failed"]),
    // Other dialects are named: `glob:`, `prefix:`, `mqtt:`, `nats:`, `re:`.
    ("mqtt:rooms/+/light", &["rooms/kitchen/light"]),
    ("re:^(index|rooms)", &["index.failed", "index.segment.failed", "rooms/kitchen/light"]),
];

const TOPICS: [&str; 5] = [
    "registry:bots:config",
    "registry:skills:config",
    "index.failed",
    "index.segment.failed",
    "rooms/kitchen/light",
];

fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::<u32>::new();
    let mut subscriptions = Vec::new();
    for (pattern, expected) in PATTERNS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let subscription = bus.subscribe(pattern)?.spawn(move |d: Delivery<'_, u32>| {
            sink.lock().unwrap().push(d.topic().to_owned());
        })?;
        subscriptions.push((subscription, seen, expected));
    }
    for topic in TOPICS {
        bus.publish_to(topic, 1_u32)?;
    }
    bus.settle(Duration::from_secs(10))?;
    for (subscription, seen, expected) in &subscriptions {
        let seen = seen.lock().unwrap();
        println!("{:<22} {}", subscription.pattern(), seen.join(", "));
        assert_eq!(*seen, *expected);
    }

    // Why a pattern does or does not match can be asked for, here and by `ringpost explain`.
    let why = Pattern::parse("a.b")?.explain("a:b");
    println!("{}", why.reason);
    assert!(!why.matches);
    Ok(())
}
