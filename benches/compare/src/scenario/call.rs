//! What a publish costs its caller, in nanoseconds: one thread, nobody asleep, bursts that fit
//! into every mailbox, emptied between bursts outside of the clock.
//!
//! Of what a publish returns one field is used, not the whole: `black_box` of a struct writes it in
//! small pieces and reads it back in large ones, for which a core waits 6 ns on some machines.

use std::hint::black_box;
use std::time::{Duration, Instant};

use disruptor::{BusySpin, Producer, build_multi_producer};
use ringpost::{Bus, Delivery, Overflow, Subscription};

use super::Stage;
use crate::contest::Pace;
use crate::ours::bus::{LONG, TOPIC};
use crate::ours::by_hand::ByHand;
use crate::results::{Cell, Results, Row};
use crate::tick::Tick;

pub const NAME: &str = "call";

const CAPACITY: usize = 1024;
const BURST: u64 = 256;

pub fn case(receivers: u64) -> String {
    format!("publish to {receivers} mailboxes")
}

/// One burst into a system, and what empties it again.
struct Caller {
    name: String,
    burst: Box<dyn FnMut()>,
    empty: Box<dyn FnMut() -> u64>,
}

impl Caller {
    /// Nanoseconds for one publish, over as many bursts as fill `seconds`.
    fn cost(&mut self, receivers: u64, seconds: f64) -> f64 {
        let (mut spent, mut bursts) = (Duration::ZERO, 0);
        while spent.as_secs_f64() < seconds || bursts < 8 {
            let since = Instant::now();
            (self.burst)();
            spent += since.elapsed();
            bursts += 1;
            assert_eq!((self.empty)(), BURST * receivers, "{}: messages lost", self.name);
        }
        spent.as_nanos() as f64 / (bursts * BURST) as f64
    }
}

pub fn run(stage: &Stage, results: &mut Results) {
    for receivers in [0, 1, 4, 64] {
        let mut callers = vec![
            publisher(receivers, Overflow::DropOldest, "DropOldest"),
            publisher(receivers, Overflow::Block { timeout: LONG }, "Block"),
            by_name(receivers),
        ];
        if receivers > 0 {
            callers.push(tokio_mpsc(receivers));
            callers.push(crossbeam(receivers));
        }
        callers.push(claim(receivers));
        measure(&mut callers, receivers, stage.pace, results);
    }
}

fn measure(callers: &mut [Caller], receivers: u64, pace: Pace, results: &mut Results) {
    let mut rows: Vec<Row> = callers.iter().map(|caller| Row::new(&caller.name)).collect();
    for round in 0..=pace.rounds {
        for (caller, row) in callers.iter_mut().zip(&mut rows) {
            let cost = caller.cost(receivers, pace.seconds / 2.0);
            // The first round fills pools and caches.
            if round > 0 {
                row.add(cost);
            }
        }
    }
    results.add(Cell::new(NAME, case(receivers), "ns", rows));
}

/// What the subscribers of one bus have seen.
fn subscribe(
    bus: &Bus<Tick>,
    count: u64,
    overflow: Overflow,
) -> (Vec<Subscription<Tick>>, ByHand, std::sync::mpsc::Receiver<u64>) {
    let by_hand = ByHand::default();
    let (seen, all) = std::sync::mpsc::channel();
    let subscriptions = (0..count)
        .map(|_| {
            let (seen, mut here) = (seen.clone(), 0);
            bus.subscribe(TOPIC)
                .expect("the pattern is valid")
                .mailbox(CAPACITY)
                .overflow(overflow)
                .executor(by_hand.executor())
                .spawn(move |d: Delivery<'_, Tick>| {
                    here += 1;
                    // A burst is told as a whole.
                    if black_box(d.number) + 1 == BURST {
                        seen.send(std::mem::take(&mut here)).ok();
                    }
                })
                .expect("the subscriber starts")
        })
        .collect();
    (subscriptions, by_hand, all)
}

fn publisher(receivers: u64, overflow: Overflow, policy: &str) -> Caller {
    let bus = Bus::<Tick>::new();
    let (subscriptions, by_hand, seen) = subscribe(&bus, receivers, overflow);
    let mut ticks = bus.publisher(TOPIC).expect("the topic is valid");
    Caller {
        name: format!("ringpost Publisher, {policy}"),
        burst: Box::new(move || {
            for number in 0..BURST {
                let published = ticks.publish(black_box(Tick::new(number))).expect("there is room");
                black_box(published.delivered);
            }
        }),
        empty: Box::new(move || {
            let _kept = &subscriptions;
            by_hand.run();
            seen.try_iter().sum()
        }),
    }
}

fn by_name(receivers: u64) -> Caller {
    let bus = Bus::<Tick>::new();
    let (subscriptions, by_hand, seen) = subscribe(&bus, receivers, Overflow::DropOldest);
    Caller {
        name: "ringpost bus, by topic name, DropOldest".to_owned(),
        burst: Box::new(move || {
            for number in 0..BURST {
                let published = bus.publish_to(TOPIC, black_box(Tick::new(number))).expect("room");
                black_box(published.delivered);
            }
        }),
        empty: Box::new(move || {
            let _kept = &subscriptions;
            by_hand.run();
            seen.try_iter().sum()
        }),
    }
}

fn tokio_mpsc(receivers: u64) -> Caller {
    let (senders, mut channels): (Vec<_>, Vec<_>) =
        (0..receivers).map(|_| tokio::sync::mpsc::channel::<Tick>(CAPACITY)).unzip();
    Caller {
        name: "tokio mpsc each, try_send".to_owned(),
        burst: Box::new(move || {
            for number in 0..BURST {
                let tick = black_box(Tick::new(number));
                for sender in &senders {
                    sender.try_send(tick).expect("there is room");
                }
            }
        }),
        empty: Box::new(move || {
            let mut taken = 0;
            for channel in &mut channels {
                while let Ok(tick) = channel.try_recv() {
                    black_box(tick.number);
                    taken += 1;
                }
            }
            taken
        }),
    }
}

fn crossbeam(receivers: u64) -> Caller {
    let (senders, channels): (Vec<_>, Vec<_>) =
        (0..receivers).map(|_| crossbeam_channel::bounded::<Tick>(CAPACITY)).unzip();
    Caller {
        name: "crossbeam-channel each, try_send".to_owned(),
        burst: Box::new(move || {
            for number in 0..BURST {
                let tick = black_box(Tick::new(number));
                for sender in &senders {
                    sender.try_send(tick).expect("there is room");
                }
            }
        }),
        empty: Box::new(move || {
            channels.iter().map(|channel| channel.try_iter().map(black_box).count() as u64).sum()
        }),
    }
}

/// The disruptor's claim for several producers: one ring, so one write whatever the number of
/// receivers, here one of them, whose count is told for all.
fn claim(receivers: u64) -> Caller {
    let builder = build_multi_producer(CAPACITY, Tick::default, BusySpin);
    let (mut poller, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    Caller {
        name: "disruptor, multi-producer claim, one ring".to_owned(),
        burst: Box::new(move || {
            for number in 0..BURST {
                let tick = black_box(Tick::new(number));
                producer.try_publish(|slot| *slot = tick).expect("there is room");
            }
        }),
        empty: Box::new(move || {
            let mut taken = 0;
            if let Ok(mut ticks) = poller.poll() {
                for tick in &mut ticks {
                    black_box(tick.number);
                    taken += receivers;
                }
            }
            taken
        }),
    }
}
