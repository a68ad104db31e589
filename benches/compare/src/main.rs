//! ringpost beside tokio broadcast, crossbeam-channel and kameo: the same messages, the same
//! number of receivers, nothing lost, sums checked; runs interleaved round robin in one process.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml [-- ROUNDS]`

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kameo::Actor;
use kameo::actor::Spawn;
use kameo::mailbox;
use ringpost::{Bus, Delivery, Executor, Message, Overflow};

const CAPACITY: usize = 1024;
const LONG: Duration = Duration::from_secs(600);

/// 64 bytes, as most market data fits.
#[derive(Clone, Copy)]
struct Tick {
    number: u64,
    _rest: [u64; 7],
}

impl Tick {
    fn new(number: u64) -> Self {
        Self { number, _rest: [number; 7] }
    }
}

impl Message for Tick {}

/// What the receivers of one run have seen together.
#[derive(Default)]
struct Total {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Total {
    fn add(&self, count: u64, sum: u64) {
        self.count.fetch_add(count, Relaxed);
        self.sum.fetch_add(sum, Relaxed);
    }

    fn check(&self, messages: u64, receivers: u64) {
        assert_eq!(self.count.load(Relaxed), messages * receivers, "messages lost");
        assert_eq!(self.sum.load(Relaxed), messages * (messages - 1) / 2 * receivers);
    }
}

/// Messages published a second, receivers' work included.
fn rate(messages: u64, since: Instant) -> f64 {
    messages as f64 / since.elapsed().as_secs_f64()
}

fn ringpost(
    pattern: &str,
    messages: u64,
    receivers: u64,
    batch: usize,
    large: bool,
    executor: Executor,
) -> f64 {
    let capacity = if large { messages as usize } else { CAPACITY };
    let bus = Bus::<Tick>::builder().ring(if large { 2 * capacity } else { 8192 }).build();
    let total = Arc::new(Total::default());
    let subscriptions: Vec<_> = (0..receivers)
        .map(|_| {
            let total = Arc::clone(&total);
            let (mut count, mut sum) = (0, 0);
            bus.subscribe(pattern)
                .unwrap()
                .mailbox(capacity)
                .overflow(Overflow::Block { timeout: LONG })
                .executor(executor.clone())
                .spawn(move |d: Delivery<'_, Tick>| {
                    count += 1;
                    sum += black_box(d.number);
                    if d.number + 1 == messages {
                        total.add(count, sum);
                    }
                })
                .unwrap()
        })
        .collect();
    let mut ticks = bus.publisher("md.tick").unwrap();
    let since = Instant::now();
    if batch == 1 {
        for number in 0..messages {
            ticks.publish(Tick::new(number)).unwrap();
        }
    } else {
        let mut list = Vec::with_capacity(batch);
        for number in 0..messages {
            list.push(Tick::new(number));
            if list.len() == batch || number + 1 == messages {
                ticks.publish_batch(&mut list).unwrap();
            }
        }
    }
    bus.settle(LONG).unwrap();
    let rate = rate(messages, since);
    total.check(messages, receivers);
    drop(subscriptions);
    rate
}

fn crossbeam(messages: u64, receivers: u64) -> f64 {
    let total = Total::default();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..receivers)
            .map(|_| {
                let (sender, receiver) = crossbeam_channel::bounded::<Tick>(CAPACITY);
                let total = &total;
                scope.spawn(move || {
                    let (mut count, mut sum) = (0, 0);
                    for tick in receiver {
                        count += 1;
                        sum += black_box(tick.number);
                    }
                    total.add(count, sum);
                });
                sender
            })
            .collect();
        let since = Instant::now();
        for number in 0..messages {
            for sender in &senders {
                sender.send(Tick::new(number)).unwrap();
            }
        }
        drop(senders);
        while total.count.load(Relaxed) < messages * receivers {
            std::thread::yield_now();
        }
        let rate = rate(messages, since);
        total.check(messages, receivers);
        rate
    })
}

/// Lossless: the sender waits until the slowest receiver is within the capacity. `large` gives
/// the channel room for everything instead, so that nobody ever waits.
fn broadcast(runtime: &tokio::runtime::Runtime, messages: u64, receivers: u64, large: bool) -> f64 {
    let capacity = if large { messages as usize } else { CAPACITY };
    let (sender, _) = tokio::sync::broadcast::channel::<Tick>(capacity);
    let total = Arc::new(Total::default());
    let tasks: Vec<_> = (0..receivers)
        .map(|_| {
            let (mut receiver, total) = (sender.subscribe(), Arc::clone(&total));
            runtime.spawn(async move {
                let (mut count, mut sum) = (0, 0);
                while let Ok(tick) = receiver.recv().await {
                    count += 1;
                    sum += black_box(tick.number);
                }
                total.add(count, sum);
            })
        })
        .collect();
    let since = Instant::now();
    for number in 0..messages {
        while !large && sender.len() >= CAPACITY {
            std::thread::yield_now();
        }
        sender.send(Tick::new(number)).ok();
    }
    drop(sender);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let rate = rate(messages, since);
    total.check(messages, receivers);
    rate
}

struct Sum {
    count: u64,
    sum: u64,
    messages: u64,
    total: Arc<Total>,
}

impl Actor for Sum {
    type Args = Self;
    type Error = kameo::error::Infallible;

    async fn on_start(
        this: Self,
        _actor: kameo::actor::ActorRef<Self>,
    ) -> Result<Self, Self::Error> {
        Ok(this)
    }
}

impl kameo::message::Message<Tick> for Sum {
    type Reply = ();

    async fn handle(&mut self, tick: Tick, _: &mut kameo::message::Context<Self, Self::Reply>) {
        self.count += 1;
        self.sum += black_box(tick.number);
        if tick.number + 1 == self.messages {
            self.total.add(self.count, self.sum);
        }
    }
}

fn kameo(runtime: &tokio::runtime::Runtime, messages: u64, receivers: u64) -> f64 {
    let total = Arc::new(Total::default());
    runtime.block_on(async {
        let actors: Vec<_> = (0..receivers)
            .map(|_| {
                let sum = Sum { count: 0, sum: 0, messages, total: Arc::clone(&total) };
                Sum::spawn_with_mailbox(sum, mailbox::bounded(CAPACITY))
            })
            .collect();
        let since = Instant::now();
        for number in 0..messages {
            for actor in &actors {
                actor.tell(Tick::new(number)).await.unwrap();
            }
        }
        while total.count.load(Relaxed) < messages * receivers {
            tokio::task::yield_now().await;
        }
        let rate = rate(messages, since);
        total.check(messages, receivers);
        rate
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(7, |text| text.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for receivers in [1_u64, 4, 16] {
        let messages = 1_000_000 / receivers;
        type Run<'a> = (&'a str, Box<dyn Fn() -> f64 + 'a>);
        let runtime = &runtime;
        let tokio_tasks = || {
            let _context = runtime.enter();
            Executor::tokio_handle(runtime.handle().clone())
        };
        let runs: Vec<Run<'_>> = vec![
            (
                "ringpost, mailboxes, workers",
                Box::new(move || {
                    ringpost("md.tick", messages, receivers, 1, false, Executor::workers())
                }),
            ),
            (
                "ringpost, mailboxes, tokio tasks",
                Box::new(move || ringpost("md.tick", messages, receivers, 1, false, tokio_tasks())),
            ),
            (
                "ringpost, ring readers, workers",
                Box::new(move || {
                    ringpost("**", messages, receivers, 1, false, Executor::workers())
                }),
            ),
            (
                "ringpost, mailboxes, batch 64",
                Box::new(move || {
                    ringpost("md.tick", messages, receivers, 64, false, Executor::workers())
                }),
            ),
            (
                "ringpost, ring readers, batch 64",
                Box::new(move || {
                    ringpost("**", messages, receivers, 64, false, Executor::workers())
                }),
            ),
            (
                "ringpost, mailboxes, room for all",
                Box::new(move || {
                    ringpost("md.tick", messages, receivers, 1, true, Executor::workers())
                }),
            ),
            (
                "ringpost, ring readers, room for all",
                Box::new(move || ringpost("**", messages, receivers, 1, true, Executor::workers())),
            ),
            (
                "tokio broadcast, lossless",
                Box::new(move || broadcast(runtime, messages, receivers, false)),
            ),
            (
                "tokio broadcast, room for all",
                Box::new(move || broadcast(runtime, messages, receivers, true)),
            ),
            ("crossbeam-channel, threads", Box::new(move || crossbeam(messages, receivers))),
            ("kameo, tell", Box::new(move || kameo(runtime, messages, receivers))),
        ];
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); runs.len()];
        for _ in 0..rounds {
            for (run, rates) in runs.iter().zip(&mut rates) {
                rates.push(run.1());
            }
        }
        let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
        println!("\n1 publisher, {receivers} receivers, {messages} messages, median of {rounds}:");
        for ((name, _), median) in runs.iter().zip(&medians) {
            println!("{name:36} {:8.2} M/s  {:6.2}", median / 1e6, median / medians[7]);
        }
    }
    println!("\nThe last column is the ratio to tokio broadcast, lossless.");
}
