//! What a publish costs the publisher: no mailbox, some, many; alone and in batches.
//!
//! Subscribers are run between measurements and have nothing to do while the clock runs, so this
//! is the call's own cost: no line comes from another core, nobody is woken.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringpost::{Bus, Delivery, Message, Overflow, Subscription};

#[derive(Clone, Copy)]
struct Tick {
    price: u64,
    _rest: [u64; 7],
}

impl Message for Tick {}

const TICK: Tick = Tick { price: 1, _rest: [0; 7] };
const TIMEOUT: Duration = Duration::from_secs(10);

fn subscribers(bus: &Bus<Tick>, count: usize, overflow: Overflow) -> Vec<Subscription<Tick>> {
    (0..count)
        .map(|_| {
            bus.subscribe("md.tick")
                .expect("the pattern is valid")
                .mailbox(1024)
                .overflow(overflow)
                .spawn(|d: Delivery<'_, Tick>| {
                    black_box(d.price);
                })
                .expect("the workers start")
        })
        .collect()
}

fn one_by_one(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for (name, overflow) in [("drop-oldest", Overflow::DropOldest), ("block", Overflow::block())] {
        for count in [0, 1, 4, 64] {
            if count == 0 && name == "block" {
                continue;
            }
            let bus = Bus::<Tick>::new();
            let _subscribers = subscribers(&bus, count, overflow);
            let mut ticks = bus.publisher("md.tick").expect("the topic is valid");
            group.bench_function(format!("{name}/{count}"), |b| {
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    let mut left = iterations;
                    while left > 0 {
                        let chunk = left.min(512);
                        let since = Instant::now();
                        for _ in 0..chunk {
                            black_box(ticks.publish(black_box(TICK)).expect("there is room"));
                        }
                        spent += since.elapsed();
                        left -= chunk;
                        bus.settle(TIMEOUT).expect("the subscribers keep up");
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}

fn in_batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish_batch_64");
    for count in [0, 1, 4] {
        let bus = Bus::<Tick>::new();
        let _subscribers = subscribers(&bus, count, Overflow::DropOldest);
        let mut ticks = bus.publisher("md.tick").expect("the topic is valid");
        group.bench_function(count.to_string(), |b| {
            b.iter_batched_ref(
                || vec![TICK; 64],
                |list| ticks.publish_batch(black_box(list)).expect("nothing blocks"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn by_name(c: &mut Criterion) {
    let bus = Bus::<Tick>::new();
    c.bench_function("publish_to/0", |b| {
        b.iter(|| bus.publish_to(black_box("md.tick"), black_box(TICK)).expect("nothing blocks"));
    });
}

criterion_group!(benches, one_by_one, in_batches, by_name);
criterion_main!(benches);
