//! Whether a bus with 100,000 subscriptions on as many topics costs more than one with 100: a
//! publish to one of the topics, and a subscription made and cancelled.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ringpost::{Bus, Delivery, Subscription};

use super::Stage;
use crate::ours::by_hand::ByHand;
use crate::results::{Cell, Results, Row};
use crate::tick::Tick;

pub const NAME: &str = "scale";
pub const BY_HANDLE: &str = "publish to one topic, by its Publisher";
pub const BY_NAME: &str = "publish to one topic, by its name";
pub const SUBSCRIBE: &str = "a subscription made and cancelled";

const CAPACITY: usize = 64;
const BURST: u64 = 32;

/// A bus whose subscriber of interest runs when told to; all the others are idle on the workers.
struct Crowd {
    bus: Bus<Tick>,
    by_hand: ByHand,
    topic: String,
    _subscriptions: Vec<Subscription<Tick>>,
}

impl Crowd {
    fn of(count: u64) -> Self {
        let (bus, by_hand) = (Bus::<Tick>::new(), ByHand::default());
        let middle = count / 2;
        let subscriptions = (0..count)
            .map(|number| {
                let builder = bus.subscribe(&topic(number)).expect("the pattern is valid");
                let builder = builder.mailbox(CAPACITY);
                let builder =
                    if number == middle { builder.executor(by_hand.executor()) } else { builder };
                builder.spawn(read).expect("the subscriber starts")
            })
            .collect();
        Self { bus, by_hand, topic: topic(middle), _subscriptions: subscriptions }
    }

    /// Nanoseconds for one publish, over `bursts` bursts.
    fn publish(&self, bursts: u64, mut publish: impl FnMut(Tick)) -> f64 {
        let mut spent = Duration::ZERO;
        for _ in 0..bursts {
            let since = Instant::now();
            for number in 0..BURST {
                publish(Tick::new(number));
            }
            spent += since.elapsed();
            self.by_hand.run();
        }
        spent.as_nanos() as f64 / (bursts * BURST) as f64
    }

    /// Nanoseconds for a subscription of a topic of its own, made and cancelled.
    fn subscribe(&self, times: u64) -> f64 {
        let by_hand = ByHand::default();
        let since = Instant::now();
        for _ in 0..times {
            let builder = self.bus.subscribe("md.another").expect("the pattern is valid");
            let builder = builder.mailbox(CAPACITY).executor(by_hand.executor());
            drop(builder.spawn(read).expect("the subscriber starts"));
        }
        since.elapsed().as_nanos() as f64 / times as f64
    }
}

fn topic(number: u64) -> String {
    format!("md.stock.{number}")
}

fn read(d: Delivery<'_, Tick>) {
    black_box(d.number);
}

pub fn run(stage: &Stage, results: &mut Results) {
    let counts = [100, if stage.quick { 10_000 } else { 100_000 }];
    let crowds = counts.map(Crowd::of);
    let rows = || counts.map(|count| Row::new(&name(count))).to_vec();
    let (mut handle, mut named, mut subscribe) = (rows(), rows(), rows());
    let bursts = (stage.pace.seconds * 2e5) as u64;
    for round in 0..=stage.pace.rounds {
        for (index, crowd) in crowds.iter().enumerate() {
            let mut ticks = crowd.bus.publisher(&crowd.topic).expect("the topic is valid");
            let by_handle = crowd.publish(bursts, |tick| {
                black_box(ticks.publish(tick).expect("nothing blocks"));
            });
            let by_name = crowd.publish(bursts, |tick| {
                black_box(crowd.bus.publish_to(&crowd.topic, tick).expect("nothing blocks"));
            });
            let subscribed = crowd.subscribe(500);
            // The first round fills pools and caches.
            if round > 0 {
                handle[index].add(by_handle);
                named[index].add(by_name);
                subscribe[index].add(subscribed);
            }
        }
    }
    results.add(Cell::new(NAME, BY_HANDLE, "ns", handle));
    results.add(Cell::new(NAME, BY_NAME, "ns", named));
    results.add(Cell::new(NAME, SUBSCRIBE, "ns", subscribe));
}

fn name(count: u64) -> String {
    format!("ringpost bus with {count} subscriptions")
}
