//! The publishers of a measurement, each on a thread of its own.
//!
//! Without a rate they publish as fast as the bus takes it (a closed loop), and one message in 32
//! is timed, so that it is not the clock that is measured. With a rate (an open loop) every
//! message has a time at which it is due, and its latency counts from then, whether its publisher
//! was ready or not: a bus that stalls cannot hide it by slowing its load down.
#![forbid(unsafe_code)]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ringpost::{BatchError, Bus, PublishError, Publisher};

use super::load::{Load, Template};
use super::{Clock, Trial};
use crate::console::{Console, grouped, per_second};
use crate::interrupt::Interrupt;
use crate::latency::Latencies;

/// What the publishers did.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) published: u64,
    /// Of the messages' numbers.
    pub(super) sum: u64,
    /// What a publish cost its publisher, a message.
    pub(super) cost: Latencies,
    /// When the first began.
    pub(super) began: u64,
}

/// One in so many publishes is timed in a closed loop; a power of two.
const SAMPLE: u64 = 32;
/// Closer than this to its due time a publisher does not sleep: it would come too late.
const DOZE: u64 = 100_000;
/// A sleeping publisher looks whether it was asked to end.
const NAP: u64 = 50_000_000;

/// Runs all publishers to their end.
pub(super) fn run<M: Load>(
    trial: &Trial,
    bus: &Bus<M>,
    template: &Template,
    clock: Clock,
    interrupt: &Interrupt,
    console: &Console,
) -> anyhow::Result<Sent> {
    let start = Barrier::new(trial.publishers + 1);
    let mut each = Vec::new();
    for index in 0..trial.publishers {
        let topics = (0..trial.topics).map(|topic| bus.publisher(&format!("bench.{topic}")));
        let topics = topics.collect::<Result<Vec<_>, _>>().context("cannot make a publisher")?;
        each.push(One {
            topics,
            template,
            clock,
            interrupt,
            index: index as u64,
            step: trial.publishers as u64,
            batch: trial.batch,
            // A batch's messages are all due when the batch is.
            interval: trial
                .rate
                .map(|rate| trial.batch as f64 * trial.publishers as f64 * 1e9 / rate),
            sent: Sent { published: 0, sum: 0, cost: Latencies::new(), began: 0 },
        });
    }
    thread::scope(|scope| {
        let start = &start;
        let threads = each.into_iter().map(|mut one| {
            let name = format!("ringpost-publisher-{}", one.index);
            let run = move || {
                start.wait();
                one.run(trial.duration).map(|()| one.sent)
            };
            thread::Builder::new().name(name).spawn_scoped(scope, run)
        });
        // A missing thread would leave the others waiting at the barrier for ever.
        let threads = threads.collect::<Result<Vec<_>, _>>().unwrap_or_else(|error| {
            console.error(format_args!("cannot start a publisher's thread: {error}"));
            std::process::exit(1)
        });
        let began = clock.now();
        start.wait();
        watch(trial, bus, clock, began, interrupt, console);
        let mut all = Sent { published: 0, sum: 0, cost: Latencies::new(), began };
        for thread in threads {
            let sent =
                thread.join().map_err(|_| anyhow!("a publisher failed; this is a bug"))??;
            all.published += sent.published;
            all.sum = all.sum.wrapping_add(sent.sum);
            all.cost.merge(&sent.cost);
        }
        Ok(all)
    })
}

/// Shows how far it is.
fn watch<M: Load>(
    trial: &Trial,
    bus: &Bus<M>,
    clock: Clock,
    began: u64,
    interrupt: &Interrupt,
    console: &Console,
) {
    let first = bus.stats().next_sequence.get();
    loop {
        let elapsed = Duration::from_nanos(clock.now() - began);
        let rest = trial.duration.saturating_sub(elapsed);
        if rest.is_zero() || interrupt.wait(rest.min(Duration::from_millis(100))) {
            return;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        console.progress(millis, || {
            let published = bus.stats().next_sequence.get() - first;
            let rate = per_second(published, elapsed) as u64;
            format!("{} published, {}/s", grouped(published), grouped(rate))
        });
    }
}

struct One<'a, M: Load> {
    topics: Vec<Publisher<M>>,
    template: &'a Template,
    clock: Clock,
    interrupt: &'a Interrupt,
    /// Its first number, and the distance to the next: no two publishers share one.
    index: u64,
    step: u64,
    batch: usize,
    /// Nanoseconds from one publish to the next.
    interval: Option<f64>,
    sent: Sent,
}

impl<M: Load> One<'_, M> {
    fn run(&mut self, duration: Duration) -> anyhow::Result<()> {
        let began = self.clock.now();
        let end = began.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let mut number = self.index + 1;
        let mut messages = Vec::with_capacity(self.batch);
        for round in 0_u64.. {
            let timed = self.interval.is_some() || round.is_multiple_of(SAMPLE);
            let mut due = 0;
            if timed {
                let now = self.clock.now();
                due = match self.interval {
                    None => now,
                    // Spread over the interval, so that publishers do not come in step.
                    Some(interval) => {
                        let turn = round as f64 + self.index as f64 / self.step as f64;
                        began + (turn * interval) as u64
                    }
                };
                if due.max(now) >= end || !self.wait_until(due) {
                    break;
                }
            }
            let mut sum = 0_u64;
            for _ in 0..self.batch {
                let message = M::make(self.template, due, number)?;
                sum = sum.wrapping_add(number);
                number += self.step;
                messages.push(message);
            }
            let called = if timed { self.clock.now() } else { 0 };
            let topic = (round % self.topics.len() as u64) as usize;
            let left = self.publish(topic, &mut messages, end)?;
            if timed {
                let cost = (self.clock.now() - called) / self.batch as u64;
                self.sent.cost.add(cost);
            }
            let unsent: u64 = left.iter().copied().fold(0, u64::wrapping_add);
            self.sent.sum = self.sent.sum.wrapping_add(sum).wrapping_sub(unsent);
            self.sent.published += (self.batch - left.len()) as u64;
            if !left.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until a publish is due; false if the run was asked to end.
    fn wait_until(&self, due: u64) -> bool {
        loop {
            if self.interrupt.is_set() {
                return false;
            }
            match due.saturating_sub(self.clock.now()) {
                0 => return true,
                rest @ ..=DOZE => {
                    if rest > DOZE / 4 {
                        thread::yield_now();
                    } else {
                        std::hint::spin_loop();
                    }
                }
                rest => thread::sleep(Duration::from_nanos((rest - DOZE).min(NAP))),
            }
        }
    }

    /// Publishes and empties `messages`, trying again while there is no room; the numbers of
    /// those that found none until `end`.
    fn publish(
        &mut self,
        topic: usize,
        messages: &mut Vec<M>,
        end: u64,
    ) -> anyhow::Result<Vec<u64>> {
        let Some(publisher) = self.topics.get_mut(topic) else { return Ok(Vec::new()) };
        loop {
            let cause = if self.batch == 1 {
                let Some(message) = messages.pop() else { return Ok(Vec::new()) };
                match publisher.publish(message) {
                    Ok(_) => return Ok(Vec::new()),
                    Err(PublishError::Full(message)) => {
                        messages.push(message);
                        PublishError::Full(())
                    }
                    Err(error) => return Err(anyhow!("cannot publish: {error}")),
                }
            } else {
                match publisher.publish_batch(messages) {
                    Ok(_) => return Ok(Vec::new()),
                    Err(BatchError { cause, .. }) => cause,
                }
            };
            if !cause.is_full() {
                return Err(anyhow!("cannot publish: {cause}"));
            }
            if self.clock.now() >= end || self.interrupt.is_set() {
                return Ok(messages.drain(..).map(|message| message.number()).collect());
            }
        }
    }
}
