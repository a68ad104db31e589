//! Telling one receiver, across threads and without loss: a mailbox without a bus, by its capacity,
//! by how many senders there are and by how many messages are put in at once.

mod pace;
mod tick;

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::{Addr, Mailbox, OfferError, Wait};

use crate::pace::pace;
use crate::tick::{BLOCK, LONG, Tick};

fn put(addr: &Addr<Tick>, tick: Tick) {
    addr.send_blocking(tick, LONG).expect("the receiver stays");
}

fn in_batches(addr: &Addr<Tick>, numbers: impl Iterator<Item = u64>, size: usize) {
    let mut numbers = numbers.peekable();
    let mut list = Vec::with_capacity(size);
    while numbers.peek().is_some() {
        list.extend(numbers.by_ref().take(size).map(Tick::new));
        while let Err(error) = addr.offer_all(&mut list) {
            assert_eq!(error, OfferError::Full(()), "the receiver stays");
            // Sleeps until there is room for one, then offers the rest.
            put(addr, list.remove(0));
        }
    }
}

/// Takes until the senders are gone; gives the sum of what came.
fn take_all(mut mailbox: Mailbox<Tick>) -> u64 {
    let mut sum = 0;
    while let Ok(tick) = mailbox.recv_blocking() {
        sum += black_box(tick).number;
        mailbox.drain(usize::MAX, |tick| sum += black_box(tick).number);
    }
    sum
}

/// Sends the numbers below `count`, shared out to the senders, each on a thread of its own.
fn run(senders: u64, capacity: usize, batch: usize, count: u64) -> Duration {
    let (addr, mailbox) = Mailbox::new(capacity, BLOCK);
    let mailbox = mailbox.with_wait(Wait::SpinThenPark);
    let start = Barrier::new(senders as usize + 1);
    thread::scope(|scope| {
        for sender in 0..senders {
            let (addr, start) = (addr.clone(), &start);
            let numbers = (sender..count).step_by(senders as usize);
            scope.spawn(move || {
                start.wait();
                if batch == 1 {
                    numbers.for_each(|number| put(&addr, Tick::new(number)));
                } else {
                    in_batches(&addr, numbers, batch);
                }
            });
        }
        drop(addr);
        start.wait();
        let since = Instant::now();
        let sum = take_all(mailbox);
        let spent = since.elapsed();
        assert_eq!(sum, count * (count - 1) / 2, "each message comes once");
        spent
    })
}

fn one_sender(c: &mut Criterion) {
    let mut group = c.benchmark_group("tell");
    group.throughput(Throughput::Elements(1));
    for capacity in [64, 1024, 65_536] {
        for batch in [1, 32, 64] {
            group.bench_function(format!("mailbox-{capacity}/batch-{batch}"), |b| {
                b.iter_custom(|count| run(1, capacity, batch, count));
            });
        }
    }
    group.finish();
}

fn many_senders(c: &mut Criterion) {
    let mut group = c.benchmark_group("tell");
    group.throughput(Throughput::Elements(1));
    for senders in [2, 4] {
        for batch in [1, 64] {
            group.bench_function(format!("senders-{senders}/batch-{batch}"), |b| {
                b.iter_custom(|count| run(senders, 1024, batch, count));
            });
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = pace(); targets = one_sender, many_senders }
criterion_main!(benches);
