//! Finding whom a message is for: 1,000 topics, a subscriber of each, and 10 of everything.

mod pace;
mod receipt;
mod tick;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::{Bus, Publisher, Subscription};

use crate::pace::pace;
use crate::receipt::{Receipt, Sent};
use crate::tick::Tick;

const TOPICS: usize = 1000;
const SEE_ALL: usize = 10;

/// A topic, what it was sent, and its subscriber.
struct Topic {
    name: String,
    sent: Sent,
    receipt: Receipt,
    _subscription: Subscription<Tick>,
}

/// The subscribers, and whose turn it is.
struct Stage {
    bus: Bus<Tick>,
    topics: Vec<Topic>,
    next: usize,
    watchers: Vec<Watcher>,
}

/// A subscriber of everything.
struct Watcher {
    receipt: Receipt,
    _subscription: Subscription<Tick>,
}

impl Stage {
    fn new(watchers: usize) -> Self {
        let bus = Bus::builder().ring(8192).mailbox(1024).build();
        let topics = (0..TOPICS).map(|number| {
            let name = format!("plant.{number}.line{}.temperature", number % 7);
            let receipt = Receipt::default();
            let _subscription = receipt.subscribe(&bus, &name);
            Topic { name, sent: Sent::default(), receipt, _subscription }
        });
        let watchers = (0..watchers).map(|_| {
            let receipt = Receipt::default();
            let _subscription = receipt.subscribe(&bus, "**");
            Watcher { receipt, _subscription }
        });
        let (topics, watchers) = (topics.collect(), watchers.collect());
        Self { bus, topics, next: 0, watchers }
    }

    /// Publishes to one topic after another, until every subscriber has seen its last message.
    fn run(
        &mut self,
        count: u64,
        mut publish: impl FnMut(&Bus<Tick>, usize, &str, Tick),
    ) -> Duration {
        let since = Instant::now();
        for _ in 0..count {
            let topic = &mut self.topics[self.next];
            publish(&self.bus, self.next, &topic.name, topic.sent.tick());
            self.next = (self.next + 1) % TOPICS;
        }
        self.topics.iter().for_each(|topic| topic.receipt.expect(&topic.sent));
        let all = self.topics.iter().map(|topic| &topic.sent).sum();
        self.watchers.iter().for_each(|watcher| watcher.receipt.expect(&all));
        since.elapsed()
    }
}

fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    group.throughput(Throughput::Elements(1));
    for watchers in [0, SEE_ALL] {
        let mut stage = Stage::new(watchers);
        let mut publishers: Vec<Publisher<Tick>> = stage
            .topics
            .iter()
            .map(|topic| stage.bus.publisher(&topic.name).expect("the topic is valid"))
            .collect();
        group.bench_function(format!("publishers/see-all-{watchers}"), |b| {
            b.iter_custom(|count| {
                stage.run(count, |_, number, _, tick| {
                    publishers[number].publish(tick).expect("there is room in time");
                })
            });
        });
        group.bench_function(format!("by-name/see-all-{watchers}"), |b| {
            b.iter_custom(|count| {
                stage.run(count, |bus, _, name, tick| {
                    bus.publish_to(name, tick).expect("there is room in time");
                })
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = pace(); targets = routing }
criterion_main!(benches);
