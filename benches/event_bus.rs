//! Events on a bus of `Shared<Event>`: what publishing one costs, and the whole way to subscribers.

mod pace;
mod reading;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::event::Event;
use ringpost::{Delivery, EventBus, Overflow, Shared, Subscription};
use serde_json::json;

use crate::pace::pace;
use crate::reading::reading;

const TOPIC: &str = "sensor.reading";
const COUNTS: [usize; 3] = [0, 1, 4];
const LONG: Duration = Duration::from_secs(60);
/// Events between two looks at the subscribers: they fit into every mailbox.
const CHUNK: u64 = 512;

fn subscribers(bus: &EventBus, count: usize) -> Vec<Subscription<Shared<Event>>> {
    (0..count)
        .map(|_| {
            bus.subscribe(TOPIC)
                .expect("the pattern is valid")
                .mailbox(1024)
                .overflow(Overflow::Block { timeout: LONG })
                .spawn(|delivery: Delivery<'_, Shared<Event>>| {
                    black_box(delivery.kind());
                })
                .expect("the workers start")
        })
        .collect()
}

/// All that was published was handled, by each.
fn check(bus: &EventBus, subscriptions: &[Subscription<Shared<Event>>]) {
    let published = bus.stats().published;
    let handled =
        subscriptions.iter().all(|subscription| subscription.stats().handled == published);
    assert!(handled, "each event comes once");
}

/// The call alone: the event was made before, and the subscribers run between the stretches that
/// are measured.
fn publishing(c: &mut Criterion) {
    let mut group = c.benchmark_group("event-bus");
    for count in COUNTS {
        let bus = EventBus::new();
        let subscriptions = subscribers(&bus, count);
        let mut publisher = bus.publisher(TOPIC).expect("the topic is valid");
        group.bench_function(format!("publish/{count}"), |b| {
            b.iter_custom(|iterations| {
                let (mut spent, mut left) = (Duration::ZERO, iterations);
                while left > 0 {
                    let events: Vec<_> =
                        (0..left.min(CHUNK)).map(|_| Shared::new(reading())).collect();
                    left -= events.len() as u64;
                    let since = Instant::now();
                    for event in events {
                        black_box(publisher.publish(event).expect("there is room"));
                    }
                    spent += since.elapsed();
                    bus.settle(LONG).expect("the subscribers keep up");
                    check(&bus, &subscriptions);
                }
                spent
            });
        });
    }
    group.finish();
}

/// Made, published and handled.
fn whole_way(c: &mut Criterion) {
    let mut group = c.benchmark_group("event-bus");
    group.throughput(Throughput::Elements(1));
    for count in COUNTS {
        let bus = EventBus::new();
        let subscriptions = subscribers(&bus, count);
        let mut publisher = bus.publisher(TOPIC).expect("the topic is valid");
        group.bench_function(format!("whole-way/{count}"), |b| {
            b.iter_custom(|iterations| {
                let since = Instant::now();
                for _ in 0..iterations {
                    let event = Shared::new(reading());
                    black_box(publisher.publish(event).expect("there is room in time"));
                }
                bus.settle(LONG).expect("the subscribers keep up");
                let spent = since.elapsed();
                check(&bus, &subscriptions);
                spent
            });
        });
    }
    group.finish();
}

/// The short call, with data that is yet to become JSON.
fn publish_event(c: &mut Criterion) {
    let bus = EventBus::new();
    let content = json!({ "device": "th-0427", "value": -18.37, "unit": "Cel" });
    c.bench_function("event-bus/publish-event/0", |b| {
        b.iter(|| {
            bus.publish_event(TOPIC, "/plants/north", black_box(&content)).expect("it is valid")
        });
    });
}

criterion_group! { name = benches; config = pace(); targets = publishing, whole_way, publish_event }
criterion_main!(benches);
