//! One measurement: publishers and subscribers on a bus, for some seconds, then the account.
//!
//! Called by the verb `bench`. Every message that a subscriber got is counted and added up, so
//! that nothing can be skipped, and the bus's own account is held against that.
#![forbid(unsafe_code)]

pub(crate) mod curve;
mod load;
mod publishers;
mod sweep;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ringpost::{Bus, Delivery, Executor, Overflow, Subscription, SubscriptionStats, Wait};

use self::load::Template;
pub(crate) use self::load::{Boxed, Inline, Load};
use self::publishers::Sent;
pub(crate) use self::sweep::Sweep;
use crate::console::{Console, grouped};
use crate::interrupt::Interrupt;
use crate::latency::Latencies;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) topics: usize,
    pub(crate) mailbox: usize,
    pub(crate) ring: usize,
    pub(crate) batch: usize,
    pub(crate) bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) runner: Runner,
    /// Messages a second, of all publishers together; none for as fast as it goes.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
}

/// On what subscribers run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    Workers,
    Tokio,
    Threads(Wait),
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) elapsed: Duration,
    pub(crate) publish: Latencies,
    pub(crate) latency: Latencies,
    /// What does not add up; empty if the account balances.
    pub(crate) wrong: Vec<String>,
}

/// The bench's clock: nanoseconds since its start, and at least 1.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// What one subscriber saw; sent home when the subscriber ends.
#[derive(Debug)]
struct Tally {
    id: usize,
    count: u64,
    sum: u64,
    latency: Latencies,
}

/// A tally on its way to be filled.
struct Counting {
    tally: Option<Tally>,
    home: Sender<Tally>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(tally) = self.tally.take() {
            // Nobody is at home after a failure.
            let _ = self.home.send(tally);
        }
    }
}

/// How long what was published may take to be handled after the last publish.
const DRAIN: Duration = Duration::from_secs(10);

/// Measures on a bus that has no subscriptions yet, and closes it.
pub(crate) fn measure<M: Load>(
    trial: &Trial,
    bus: &Bus<M>,
    interrupt: &Interrupt,
    console: &Console,
) -> anyhow::Result<Measured> {
    let clock = Clock(Instant::now());
    let runtime = match trial.runner {
        Runner::Tokio => Some(
            tokio::runtime::Builder::new_multi_thread()
                .build()
                .context("cannot start a tokio runtime")?,
        ),
        _ => None,
    };
    let template = Arc::new(Template::new(trial.bytes));
    let (home, tallies) = channel();
    let mut subscriptions = Vec::new();
    for id in 0..trial.subscribers {
        let executor = match (&runtime, trial.runner) {
            (Some(runtime), _) => Executor::tokio_handle(runtime.handle().clone()),
            (None, Runner::Threads(wait)) => Executor::thread(wait),
            (None, _) => Executor::workers(),
        };
        let tally = Tally { id, count: 0, sum: 0, latency: Latencies::new() };
        let carried = Arc::clone(&template);
        let mut counting = Counting { tally: Some(tally), home: home.clone() };
        let handler = move |delivery: Delivery<'_, M>| {
            let Some(tally) = &mut counting.tally else { return };
            tally.count += 1;
            tally.sum = tally.sum.wrapping_add(delivery.number());
            if let sent @ 1.. = delivery.sent(&carried) {
                tally.latency.add(clock.now().saturating_sub(sent));
            }
        };
        let builder = bus.subscribe("bench.*").context("cannot subscribe")?;
        let builder = builder.mailbox(trial.mailbox).overflow(trial.overflow).executor(executor);
        subscriptions.push(builder.spawn(handler).context("cannot start a subscriber")?);
    }
    drop(home);
    let sent = publishers::run(trial, bus, &template, clock, interrupt, console)?;
    let settled = bus.settle(DRAIN);
    let elapsed = Duration::from_nanos(clock.now() - sent.began);
    let report = bus.shutdown(DRAIN);
    // Of each, also of those that were disconnected: the report knows the others alone.
    let accounts: Vec<_> = subscriptions.iter().map(Subscription::stats).collect();
    let mut wrong = Vec::new();
    if let Err(error) = settled {
        wrong.push(error.to_string());
    }
    let tallies = collect(&tallies, trial.subscribers)?;
    let mut latency = Latencies::new();
    tallies.iter().for_each(|tally| latency.merge(&tally.latency));
    check(&sent, report.published, &accounts, &tallies, trial.overflow, &mut wrong);
    Ok(Measured {
        published: sent.published,
        delivered: tallies.iter().map(|tally| tally.count).sum(),
        dropped: accounts.iter().map(SubscriptionStats::total_dropped).sum(),
        elapsed,
        publish: sent.cost,
        latency,
        wrong,
    })
}

/// Waits for the subscribers' tallies; by subscriber.
fn collect(tallies: &Receiver<Tally>, subscribers: usize) -> anyhow::Result<Vec<Tally>> {
    let mut found = Vec::with_capacity(subscribers);
    for _ in 0..subscribers {
        let tally = tallies.recv_timeout(DRAIN);
        found.push(tally.map_err(|_| anyhow!("a subscriber did not end; this is a bug"))?);
    }
    found.sort_by_key(|tally| tally.id);
    Ok(found)
}

/// Holds what publishers sent, what subscribers saw and what the bus says against each other.
fn check(
    sent: &Sent,
    published: u64,
    accounts: &[SubscriptionStats],
    tallies: &[Tally],
    overflow: Overflow,
    wrong: &mut Vec<String>,
) {
    let mut expect = |what: String, one: u64, other: u64| {
        if one != other {
            wrong.push(format!("{what}: {} is not {}", grouped(one), grouped(other)));
        }
    };
    expect("published, by the publishers and by the bus".into(), sent.published, published);
    for (account, tally) in accounts.iter().zip(tallies) {
        let SubscriptionStats { id, matched, handled, failed, queued, in_flight, .. } = account;
        let dropped = account.total_dropped();
        let columns = handled + failed + dropped + queued + in_flight;
        expect(format!("the account of subscription {id}"), *matched, columns);
        expect(format!("handled, by subscription {id} and by the bus"), tally.count, *handled);
        expect(format!("left over by subscription {id}"), queued + in_flight + failed, 0);
        // A subscription that was disconnected matches nothing after that.
        if overflow != Overflow::Disconnect {
            expect(format!("matched by subscription {id}"), *matched, sent.published);
            if dropped == 0 {
                expect(format!("the checksum of subscription {id}"), tally.sum, sent.sum);
            }
        }
    }
}
