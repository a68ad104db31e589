//! Bursts after pauses in which every receiver has gone to sleep: what a burst costs who sends it,
//! and how long it takes until the last receiver has seen the last message.

mod pace;
mod receipt;
mod tick;

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use ringpost::{Addr, Bus, Mailbox, Publisher};

use crate::pace::pace;
use crate::receipt::{Receipt, Sent};
use crate::tick::{BLOCK, Tick};

const TOPIC: &str = "md.tick";
const SIZES: [u64; 2] = [1, 64];
/// Workers without work have parked by then.
const PAUSE: Duration = Duration::from_millis(1);

/// What a burst took.
struct Burst {
    sent: Duration,
    seen: Duration,
}

fn bursts(
    count: u64,
    size: u64,
    sent: &mut Sent,
    receipts: &[Receipt],
    put: &mut dyn FnMut(Tick),
) -> Burst {
    let mut total = Burst { sent: Duration::ZERO, seen: Duration::ZERO };
    for _ in 0..count {
        thread::sleep(PAUSE);
        let since = Instant::now();
        (0..size).for_each(|_| put(sent.tick()));
        total.sent += since.elapsed();
        receipts.iter().for_each(|receipt| receipt.expect(sent));
        total.seen += since.elapsed();
    }
    total
}

/// Pauses are not measured, but take most of the time: so what is measured is little.
fn group(c: &mut Criterion) -> BenchmarkGroup<'_, WallTime> {
    let mut group = c.benchmark_group("burst");
    group.warm_up_time(Duration::from_millis(5)).measurement_time(Duration::from_millis(50));
    group
}

fn measure(c: &mut Criterion, name: &str, receipts: &[Receipt], mut put: impl FnMut(Tick)) {
    let mut sent = Sent::default();
    let mut group = group(c);
    for size in SIZES {
        group.bench_function(format!("{name}/{size}/sent"), |b| {
            b.iter_custom(|count| bursts(count, size, &mut sent, receipts, &mut put).sent);
        });
        group.bench_function(format!("{name}/{size}/seen"), |b| {
            b.iter_custom(|count| bursts(count, size, &mut sent, receipts, &mut put).seen);
        });
    }
    group.finish();
}

/// Ends when the address is dropped.
fn receiver(receipt: Receipt) -> (Addr<Tick>, JoinHandle<()>) {
    let (addr, mut mailbox) = Mailbox::new(1024, BLOCK);
    let thread = thread::spawn(move || {
        while let Ok(tick) = mailbox.recv_blocking() {
            receipt.see(&tick);
            mailbox.drain(usize::MAX, |tick| receipt.see(&tick));
        }
    });
    (addr, thread)
}

fn to_a_thread(c: &mut Criterion) {
    let receipt = Receipt::default();
    let (addr, thread) = receiver(receipt.clone());
    measure(c, "tell-thread", &[receipt], |tick| {
        addr.offer(tick).expect("there is room for a burst");
    });
    drop(addr);
    thread.join().expect("the receiver does not panic");
}

fn to_subscribers(c: &mut Criterion) {
    for (name, pattern, count) in
        [("mailboxes-1", TOPIC, 1), ("mailboxes-4", TOPIC, 4), ("ring-readers-4", "**", 4)]
    {
        let bus = Bus::builder().ring(8192).mailbox(1024).build();
        let receipts: Vec<_> = (0..count).map(|_| Receipt::default()).collect();
        let _subscriptions: Vec<_> =
            receipts.iter().map(|receipt| receipt.subscribe(&bus, pattern)).collect();
        let mut ticks: Publisher<Tick> = bus.publisher(TOPIC).expect("the topic is valid");
        measure(c, name, &receipts, |tick| {
            ticks.publish(tick).expect("there is room for a burst");
        });
    }
}

criterion_group! { name = benches; config = pace(); targets = to_a_thread, to_subscribers }
criterion_main!(benches);
