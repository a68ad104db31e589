//! Several publishers on a bus, each on a thread of its own, to one subscriber, without loss.

mod pace;
mod receipt;
mod tick;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::{Bus, Publisher};

use crate::pace::pace;
use crate::receipt::{Receipt, Sent};
use crate::tick::Tick;

const TOPIC: &str = "md.tick";

/// One of the publishers, and what it has sent.
struct Source {
    publisher: Publisher<Tick>,
    sent: Sent,
}

impl Source {
    fn publish(&mut self, batch: u64, count: u64) {
        if batch == 1 {
            for _ in 0..count {
                self.publisher.publish(self.sent.tick()).expect("there is room in time");
            }
            return;
        }
        let mut list = Vec::with_capacity(64);
        let mut left = count;
        while left > 0 {
            let size = left.min(batch);
            list.extend((0..size).map(|_| self.sent.tick()));
            self.publisher.publish_batch(&mut list).expect("there is room in time");
            left -= size;
        }
    }
}

/// `count` messages, shared out to the sources, until the subscriber has seen the last.
fn run(sources: &mut [Source], receipt: &Receipt, batch: u64, count: u64) -> Duration {
    let start = Barrier::new(sources.len() + 1);
    let shares = sources.len() as u64;
    let since = thread::scope(|scope| {
        for (number, source) in (0..).zip(sources.iter_mut()) {
            let (start, share) = (&start, (count + number) / shares);
            scope.spawn(move || {
                start.wait();
                source.publish(batch, share);
            });
        }
        start.wait();
        Instant::now()
    });
    receipt.expect(&sources.iter().map(|source| &source.sent).sum());
    since.elapsed()
}

fn publishers(c: &mut Criterion) {
    let mut group = c.benchmark_group("publishers");
    group.throughput(Throughput::Elements(1));
    for (reader, pattern) in [("mailbox", TOPIC), ("ring-reader", "**")] {
        for count in [1, 2, 4] {
            let bus = Bus::builder().ring(8192).mailbox(1024).build();
            let receipt = Receipt::default();
            let _subscription = receipt.subscribe(&bus, pattern);
            let publisher = bus.publisher(TOPIC).expect("the topic is valid");
            let mut sources: Vec<_> = (0..count)
                .map(|_| Source { publisher: publisher.clone(), sent: Sent::default() })
                .collect();
            for batch in [1, 64] {
                group.bench_function(format!("{count}-to-{reader}/batch-{batch}"), |b| {
                    b.iter_custom(|messages| run(&mut sources, &receipt, batch, messages));
                });
            }
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = pace(); targets = publishers }
criterion_main!(benches);
