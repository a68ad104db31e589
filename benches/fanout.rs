//! One publisher to many, without loss: subscribers with mailboxes of their own, subscribers of
//! everything, which read the ring, and taps on threads of their own.

mod pace;
mod receipt;
mod tick;

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::{Bus, Publisher, Tapped};

use crate::pace::pace;
use crate::receipt::{Receipt, Sent};
use crate::tick::{LONG, Tick};

const TOPIC: &str = "md.tick";
const COUNTS: [usize; 5] = [1, 2, 4, 16, 64];

fn bus() -> Bus<Tick> {
    Bus::builder().ring(8192).mailbox(1024).publish_timeout(LONG).build()
}

/// Ends with the bus.
fn tap(bus: &Bus<Tick>, receipt: &Receipt) -> JoinHandle<()> {
    let (mut tap, receipt) = (bus.tap_required("**", 1024).expect("it is valid"), receipt.clone());
    thread::spawn(move || {
        while let Some(tapped) = tap.next_blocking() {
            match tapped {
                Tapped::Delivery(delivery) => receipt.see(&delivery),
                other => panic!("a required tap was given {other:?}"),
            }
        }
    })
}

/// From the first publish until the last subscriber has seen the last message.
fn run(
    ticks: &mut Publisher<Tick>,
    sent: &mut Sent,
    receipts: &[Receipt],
    batch: u64,
    count: u64,
) -> Duration {
    let mut list = Vec::with_capacity(64);
    let since = Instant::now();
    if batch == 1 {
        for _ in 0..count {
            ticks.publish(sent.tick()).expect("there is room in time");
        }
    } else {
        let mut left = count;
        while left > 0 {
            let size = left.min(batch);
            list.extend((0..size).map(|_| sent.tick()));
            ticks.publish_batch(&mut list).expect("there is room in time");
            left -= size;
        }
    }
    receipts.iter().for_each(|receipt| receipt.expect(sent));
    since.elapsed()
}

fn measure(c: &mut Criterion, name: &str, bus: &Bus<Tick>, receipts: &[Receipt]) {
    let mut ticks = bus.publisher(TOPIC).expect("the topic is valid");
    let mut sent = Sent::default();
    let mut group = c.benchmark_group("fanout");
    group.throughput(Throughput::Elements(1));
    for batch in [1, 64] {
        group.bench_function(format!("{name}-{}/batch-{batch}", receipts.len()), |b| {
            b.iter_custom(|count| run(&mut ticks, &mut sent, receipts, batch, count));
        });
    }
    group.finish();
}

fn to_subscribers(c: &mut Criterion, name: &str, pattern: &str) {
    for count in COUNTS {
        let bus = bus();
        let receipts: Vec<_> = (0..count).map(|_| Receipt::default()).collect();
        let _subscriptions: Vec<_> =
            receipts.iter().map(|receipt| receipt.subscribe(&bus, pattern)).collect();
        measure(c, name, &bus, &receipts);
    }
}

fn mailboxes(c: &mut Criterion) {
    to_subscribers(c, "mailboxes", TOPIC);
}

fn ring_readers(c: &mut Criterion) {
    to_subscribers(c, "ring-readers", "**");
}

fn taps(c: &mut Criterion) {
    for count in COUNTS {
        let bus = bus();
        let receipts: Vec<_> = (0..count).map(|_| Receipt::default()).collect();
        let threads: Vec<_> = receipts.iter().map(|receipt| tap(&bus, receipt)).collect();
        measure(c, "taps", &bus, &receipts);
        drop(bus);
        threads.into_iter().for_each(|thread| thread.join().expect("no tap panics"));
    }
}

criterion_group! { name = benches; config = pace(); targets = mailboxes, ring_readers, taps }
criterion_main!(benches);
