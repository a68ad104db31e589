//! Open loop: 1k, 100k and 1M messages a second, to one and to four receivers. What a call costs
//! its publisher is told apart from how long messages take. A publisher is always a thread.

use std::hint;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use actix::Arbiter;
use hdrhistogram::Histogram;
use ringpost::{Bus, Delivery, Mailbox, Overflow, Wait};
use rtrb::PushError;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;

use super::Stage;
use crate::machine;
use crate::open_loop::{self, Probe, Schedule};
use crate::ours::bus::{self, LONG, Place, TOPIC, Way};
use crate::peers::actors::{Witness, actix_actor, actix_send, kameo_actor};
use crate::results::{Cell, Results, Row};
use crate::table::{self, figure};
use crate::tick::Tick;

pub const NAME: &str = "latency";

const CAPACITY: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// What is told of each run: name, whether it is the publisher's, quantile.
const METRICS: [(&str, bool, f64); 6] = [
    ("publish p50", true, 0.5),
    ("publish p99", true, 0.99),
    ("publish p99.9", true, 0.999),
    ("delivery p50", false, 0.5),
    ("delivery p99", false, 0.99),
    ("delivery p99.9", false, 0.999),
];

pub fn case(rate: &str, receivers: u64, metric: &str) -> String {
    format!("{rate}/s 1 to {receivers}, {metric}")
}

/// Puts a message in for every receiver; dropped, it ends them.
type Send<'a> = Box<dyn FnMut(Tick) + 'a>;

/// Makes the receivers, one for each probe.
type Connect<'a> = Box<dyn Fn(Vec<Probe>) -> Send<'a> + 'a>;

pub fn run(stage: &Stage, results: &mut Results) {
    let share = if stage.quick { 0.3 } else { 1.0 };
    for (rate, name, seconds) in
        [(1000, "1k", 0.4), (100_000, "100k", 0.15), (1_000_000, "1M", 0.06)]
    {
        for receivers in [1, 4] {
            let schedule = Schedule::new(rate, seconds * share);
            measure(stage, name, receivers, schedule, results);
        }
    }
}

fn measure(stage: &Stage, rate: &str, receivers: u64, schedule: Schedule, results: &mut Results) {
    let systems = systems(&stage.runtime, receivers);
    let mut columns: Vec<Vec<Row>> =
        METRICS.iter().map(|_| systems.iter().map(|(name, _)| Row::new(name)).collect()).collect();
    let mut round_trip = Row::new(machine::ROUND_TRIP);
    for _ in 0..stage.pace.rounds {
        round_trip.add(machine::round_trip());
        for (index, (_, connect)) in systems.iter().enumerate() {
            let (costs, delays) = once(connect, receivers, schedule);
            for ((_, publish, quantile), column) in METRICS.iter().zip(&mut columns) {
                let histogram = if *publish { &costs } else { &delays };
                column[index].add(histogram.value_at_quantile(*quantile) as f64);
            }
        }
    }
    print(&format!("{rate}/s, 1 to {receivers}"), &round_trip, &columns);
    for ((metric, ..), rows) in METRICS.iter().zip(columns) {
        let cell = Cell::new(NAME, case(rate, receivers, metric), "ns", rows);
        results.keep(cell.on(round_trip.clone()));
    }
}

/// One run: what the publisher paid, and all receivers' delays.
fn once(
    connect: &Connect<'_>,
    receivers: u64,
    schedule: Schedule,
) -> (Histogram<u64>, Histogram<u64>) {
    let base = Instant::now();
    let (done, results) = mpsc::channel();
    let probes = (0..receivers).map(|_| Probe::new(base, schedule, done.clone())).collect();
    let send = connect(probes);
    // Receivers go to sleep before the first message, in all systems.
    thread::sleep(Duration::from_millis(2));
    let mut send = send;
    let costs = open_loop::publish(base, schedule, &mut send);
    let mut delays: Option<Histogram<u64>> = None;
    for _ in 0..receivers {
        let one = results.recv_timeout(PATIENCE).expect("a receiver did not see everything");
        match &mut delays {
            Some(all) => all.add(one).expect("the bounds are the same"),
            None => delays = Some(one),
        }
    }
    (costs, delays.expect("there is a receiver"))
}

fn print(case: &str, round_trip: &Row, columns: &[Vec<Row>]) {
    println!("\n{NAME}: {case} (us){}", table::machine(round_trip));
    let heads: String = METRICS.iter().map(|(metric, ..)| format!("{metric:>15}")).collect();
    println!("  {:44}{heads}", "");
    for (index, row) in columns[0].iter().enumerate() {
        let figures: String = columns
            .iter()
            .map(|column| format!("{:>15}", figure(column[index].median / 1e3)))
            .collect();
        println!("  {:44}{figures}", row.system);
    }
}

fn systems(runtime: &Runtime, receivers: u64) -> Vec<(String, Connect<'_>)> {
    let mut systems: Vec<(String, Connect<'_>)> = Vec::new();
    for place in Place::ALL {
        let connect = move |probes| on_bus(runtime, probes, Way::Mailbox, place);
        systems.push((bus::name(Way::Mailbox, place), Box::new(connect)));
    }
    let ring = move |probes| on_bus(runtime, probes, Way::Ring, Place::Workers);
    systems.push((bus::name(Way::Ring, Place::Workers), Box::new(ring)));
    for wait in [Wait::Park, Wait::SpinThenPark] {
        let name = format!("ringpost Mailbox, threads ({wait:?})");
        systems.push((name, Box::new(move |probes| on_mailboxes(probes, wait))));
    }
    systems.push(("tokio mpsc, tasks".to_owned(), Box::new(|probes| tokio_mpsc(runtime, probes))));
    systems.push(("crossbeam-channel, threads".to_owned(), Box::new(crossbeam)));
    if receivers < thread::available_parallelism().map_or(1, usize::from) as u64 {
        systems.push(("rtrb, a receiver that spins (bound)".to_owned(), Box::new(rtrb_spinning)));
    }
    systems.push(("kameo".to_owned(), Box::new(|probes| kameo(runtime, probes))));
    systems.push(("actix".to_owned(), Box::new(actix)));
    systems
}

fn on_bus<'a>(runtime: &Runtime, probes: Vec<Probe>, way: Way, place: Place) -> Send<'a> {
    let bus = Bus::<Tick>::new();
    let subscriptions: Vec<_> = probes
        .into_iter()
        .map(|mut probe| {
            bus.subscribe(if way == Way::Ring { "**" } else { TOPIC })
                .expect("the pattern is valid")
                .mailbox(CAPACITY)
                .overflow(Overflow::Block { timeout: LONG })
                .executor(place.executor(runtime))
                .spawn(move |d: Delivery<'_, Tick>| probe.see(&d))
                .expect("the subscriber starts")
        })
        .collect();
    let mut ticks = bus.publisher(TOPIC).expect("the topic is valid");
    Box::new(move |tick| {
        let _kept = &subscriptions;
        ticks.publish(tick).expect("nobody stops");
    })
}

fn on_mailboxes<'a>(probes: Vec<Probe>, wait: Wait) -> Send<'a> {
    let addrs: Vec<_> = probes
        .into_iter()
        .map(|mut probe| {
            let (addr, mailbox) = Mailbox::new(CAPACITY, Overflow::Block { timeout: LONG });
            let mut mailbox = mailbox.with_wait(wait);
            thread::spawn(move || {
                while let Ok(tick) = mailbox.recv_blocking() {
                    probe.see(&tick);
                    mailbox.drain(usize::MAX, |tick| probe.see(&tick));
                }
            });
            addr
        })
        .collect();
    Box::new(move |tick| {
        for addr in &addrs {
            addr.send_blocking(tick, LONG).expect("the receiver stays");
        }
    })
}

fn tokio_mpsc<'a>(runtime: &Runtime, probes: Vec<Probe>) -> Send<'a> {
    let senders: Vec<_> = probes
        .into_iter()
        .map(|mut probe| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
            runtime.spawn(async move {
                while let Some(tick) = receiver.recv().await {
                    probe.see(&tick);
                }
            });
            sender
        })
        .collect();
    Box::new(move |tick| {
        for sender in &senders {
            let mut tick = tick;
            while let Err(TrySendError::Full(back)) = sender.try_send(tick) {
                tick = back;
                thread::yield_now();
            }
        }
    })
}

fn crossbeam<'a>(probes: Vec<Probe>) -> Send<'a> {
    let senders: Vec<_> = probes
        .into_iter()
        .map(|mut probe| {
            let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
            thread::spawn(move || receiver.iter().for_each(|tick| probe.see(&tick)));
            sender
        })
        .collect();
    Box::new(move |tick| {
        for sender in &senders {
            sender.send(tick).expect("the receiver stays");
        }
    })
}

/// What two cores need at least: nobody sleeps, one sender and one receiver a ring, no claim.
fn rtrb_spinning<'a>(probes: Vec<Probe>) -> Send<'a> {
    let mut senders: Vec<_> = probes
        .into_iter()
        .map(|mut probe| {
            let (sender, mut receiver) = rtrb::RingBuffer::new(CAPACITY);
            thread::spawn(move || {
                let mut is_last = false;
                while !is_last {
                    // In this order: what was put in before the end is taken out.
                    is_last = receiver.is_abandoned();
                    while let Ok(tick) = receiver.pop() {
                        probe.see(&tick);
                    }
                    hint::spin_loop();
                }
            });
            sender
        })
        .collect();
    Box::new(move |tick| {
        for sender in &mut senders {
            let mut tick = tick;
            while let Err(PushError::Full(back)) = sender.push(tick) {
                assert!(!sender.is_abandoned(), "the receiver stays");
                tick = back;
                thread::yield_now();
            }
        }
    })
}

fn kameo<'a>(runtime: &Runtime, probes: Vec<Probe>) -> Send<'a> {
    let _inside = runtime.enter();
    let actors: Vec<_> = probes.into_iter().map(|probe| kameo_actor(probe, CAPACITY)).collect();
    Box::new(move |tick| {
        for actor in &actors {
            let mut tick = tick;
            while let Err(error) = actor.tell(tick).try_send() {
                tick = error.msg().expect("a full mailbox gives the message back");
                thread::yield_now();
            }
        }
    })
}

/// Ends an arbiter's thread when its publisher is done.
struct Ending(Option<Arbiter>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(arbiter) = self.0.take() {
            arbiter.stop();
            arbiter.join().expect("the arbiter ends");
        }
    }
}

fn actix<'a>(probes: Vec<Probe>) -> Send<'a> {
    let arbiter = Arbiter::new();
    let actors: Vec<_> =
        probes.into_iter().map(|probe| actix_actor(&arbiter, probe, CAPACITY)).collect();
    let ending = Ending(Some(arbiter));
    Box::new(move |tick| {
        let _kept = &ending;
        actors.iter().for_each(|actor| actix_send(actor, tick));
    })
}
