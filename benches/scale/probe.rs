//! The measurements: each is made in a process of its own and told as one line of JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ringpost::{Bus, Delivery, Message, Subscription, Workers};
use serde_json::{Value, json};

use crate::counted::Snapshot;

/// 64 bytes.
#[derive(Clone, Copy)]
struct Tick([u64; 8]);

impl Message for Tick {}

const TICK: Tick = Tick([1; 8]);
/// Publishes between two looks whether they were handled: less than the mailbox holds.
const BURST: u64 = 512;
/// Subscriptions that come and go at once.
const CHURN: usize = 1000;

/// Where the subscriptions of a measurement listen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topics {
    /// Each to a topic of its own.
    Own,
    /// All to one.
    Shared,
}

fn topic(topics: Topics, number: usize, name: &mut String) {
    use std::fmt::Write;
    name.clear();
    match topics {
        Topics::Own => write!(name, "scale.{number}").expect("a string takes it"),
        Topics::Shared => name.push_str("scale.all"),
    }
}

struct Crowd {
    bus: Bus<Tick>,
    workers: Workers,
    handled: Arc<AtomicU64>,
    subscriptions: Vec<Subscription<Tick>>,
}

impl Crowd {
    fn new(mailbox: usize) -> Self {
        let workers = Workers::new(1);
        let bus = Bus::<Tick>::builder().mailbox(mailbox).workers(workers.clone()).build();
        Self { bus, workers, handled: Arc::default(), subscriptions: Vec::new() }
    }

    fn join(&mut self, name: &str) {
        let handled = Arc::clone(&self.handled);
        let subscription = self
            .bus
            .subscribe(name)
            .expect("the pattern is valid")
            .spawn(move |tick: Delivery<'_, Tick>| {
                handled.fetch_add(tick.0[0], Relaxed);
            })
            .expect("the worker starts");
        self.subscriptions.push(subscription);
    }

    fn grow(&mut self, topics: Topics, to: usize) {
        let mut name = String::new();
        for number in self.subscriptions.len()..to {
            topic(topics, number, &mut name);
            self.join(&name);
        }
    }

    /// Until every actor has started, or ended, and waits.
    fn rest(&self) {
        let mut still = 0;
        while still < 5 {
            std::thread::sleep(Duration::from_millis(2));
            let stats = self.workers.stats();
            still = if stats.parked == stats.threads { still + 1 } else { 0 };
        }
    }

    fn handled(&self, count: u64) {
        while self.handled.load(Relaxed) < count {
            std::thread::yield_now();
        }
    }
}

fn per(whole: i64, count: usize) -> f64 {
    whole as f64 / count as f64
}

/// Memory of idle subscriptions, and how fast they are made.
pub(crate) fn idle(count: usize, topics: Topics, mailbox: usize) -> Value {
    let mut crowd = Crowd::new(mailbox);
    // Whatever is made once is made now.
    crowd.grow(topics, 1);
    crowd.subscriptions.clear();
    crowd.rest();
    let before = Snapshot::take();
    let since = Instant::now();
    crowd.grow(topics, count);
    let spent = since.elapsed();
    let spawned = Snapshot::take();
    crowd.rest();
    let started = since.elapsed();
    let after = Snapshot::take();
    let sizes: Vec<Value> = after
        .sizes_since(&before, count)
        .into_iter()
        .map(|(size, each)| json!({ "bytes": size, "each": each }))
        .collect();
    let list = crowd.subscriptions.capacity() * size_of::<Subscription<Tick>>();
    let since = Instant::now();
    crowd.subscriptions.clear();
    let dropped = since.elapsed();
    json!({
        "subscriptions": count,
        "topics": if topics == Topics::Own { "own" } else { "shared" },
        "mailbox": mailbox,
        "resident_bytes": per(after.resident - before.resident, count),
        "allocated_bytes": per(after.bytes - before.bytes, count),
        "of_which_the_list_of_handles": per(list as i64, count),
        "allocations": per(spawned.made - before.made, count),
        "spawns_per_second": count as f64 / spent.as_secs_f64(),
        "started_per_second": count as f64 / started.as_secs_f64(),
        "drops_per_second": count as f64 / dropped.as_secs_f64(),
        "sizes": sizes,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds a publish, one topic with one subscriber among `count` of each, beside the same
/// with `few`: both in turn, many times.
pub(crate) fn publish(count: usize, few: usize) -> Value {
    let crowds: Vec<Crowd> = [few, count]
        .into_iter()
        .map(|count| {
            let mut crowd = Crowd::new(1024);
            crowd.grow(Topics::Own, count);
            let mut name = String::new();
            for number in 0..count {
                topic(Topics::Own, number, &mut name);
                drop(crowd.bus.publisher(&name).expect("the topic is valid"));
            }
            crowd.rest();
            crowd
        })
        .collect();
    let mut name = String::new();
    let mut publishers: Vec<_> = [few, count]
        .into_iter()
        .zip(&crowds)
        .map(|(count, crowd)| {
            topic(Topics::Own, count / 2, &mut name);
            crowd.bus.publisher(&name).expect("the topic is valid")
        })
        .collect();
    let names = [few, count].map(|count| {
        let mut name = String::new();
        topic(Topics::Own, count / 2, &mut name);
        name
    });
    let (mut by_handle, mut by_name) = ([vec![], vec![]], [vec![], vec![]]);
    let mut published = [0, 0];
    for _ in 0..400 {
        for (at, crowd) in crowds.iter().enumerate() {
            let since = Instant::now();
            for _ in 0..BURST {
                publishers[at].publish(TICK).expect("there is room");
            }
            by_handle[at].push(since.elapsed().as_nanos() as f64 / BURST as f64);
            published[at] += BURST;
            crowd.handled(published[at]);
            let since = Instant::now();
            for _ in 0..BURST {
                crowd.bus.publish_to(&names[at], TICK).expect("there is room");
            }
            by_name[at].push(since.elapsed().as_nanos() as f64 / BURST as f64);
            published[at] += BURST;
            crowd.handled(published[at]);
        }
    }
    let [handle_few, handle_many] = by_handle.map(median);
    let [name_few, name_many] = by_name.map(median);
    json!({
        "subscriptions": count,
        "few": few,
        "ns_few": handle_few,
        "ns": handle_many,
        "ratio": handle_many / handle_few,
        "by_name_ns_few": name_few,
        "by_name_ns": name_many,
        "by_name_ratio": name_many / name_few,
    })
}

/// What it costs to subscribe to a new topic and to unsubscribe, with `count` others there.
pub(crate) fn churn(count: usize) -> Value {
    let mut crowd = Crowd::new(64);
    crowd.grow(Topics::Own, count);
    crowd.rest();
    let (mut subscribe, mut unsubscribe, mut reroute) = (vec![], vec![], vec![]);
    let (mut in_bytes, mut out_bytes, mut in_allocations) = (vec![], vec![], vec![]);
    let mut publisher = crowd.bus.publisher("scale.0").expect("the topic is valid");
    for _ in 0..15 {
        let before = Snapshot::take();
        let since = Instant::now();
        crowd.grow(Topics::Own, count + CHURN);
        subscribe.push(since.elapsed().as_nanos() as f64 / CHURN as f64);
        let joined = Snapshot::take();
        in_bytes.push(per(joined.allocated - before.allocated, CHURN));
        in_allocations.push(per(joined.made - before.made, CHURN));
        crowd.rest();
        let since = Instant::now();
        publisher.publish(TICK).expect("there is room");
        reroute.push(since.elapsed().as_nanos() as f64);
        crowd.rest();
        let before = Snapshot::take();
        let since = Instant::now();
        crowd.subscriptions.truncate(count);
        unsubscribe.push(since.elapsed().as_nanos() as f64 / CHURN as f64);
        out_bytes.push(per(Snapshot::take().allocated - before.allocated, CHURN));
        crowd.rest();
    }
    json!({
        "subscriptions": count,
        "subscribe_ns": median(subscribe),
        "subscribe_allocated_bytes": median(in_bytes),
        "subscribe_allocations": median(in_allocations),
        "unsubscribe_ns": median(unsubscribe),
        "unsubscribe_allocated_bytes": median(out_bytes),
        "next_publish_ns": median(reroute),
    })
}
