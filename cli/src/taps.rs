//! The taps of a run: events of the bus that match, counted, and printed if that is wanted.
//!
//! One thread reads the ring in its own order for all patterns. Its tap is a required one:
//! publishers wait for it, so that printing loses nothing.
#![forbid(unsafe_code)]

use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use ringpost::event::{Timestamp, json};
use ringpost::{Event, EventBus, Pattern, Sequence, Shared, Tap, Tapped};

use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::latency::Latencies;
use crate::output::Output;

/// The taps, reading.
#[derive(Debug)]
pub(crate) struct Taps(JoinHandle<Outcome>);

/// What the taps saw.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Deliveries: an event that several patterns match is one for each.
    pub(crate) delivered: u64,
    /// Events that the ring lost before they were read.
    pub(crate) dropped: u64,
    pub(crate) latencies: Latencies,
    /// Why it ended early.
    pub(crate) failure: Option<Failure>,
}

impl Taps {
    /// Starts reading what is published from now on. If that fails later, `interrupt` is set.
    pub(crate) fn start(
        bus: &EventBus,
        patterns: Vec<Pattern>,
        prints: bool,
        interrupt: Interrupt,
    ) -> anyhow::Result<Self> {
        let tap = bus.tap_required("**", usize::MAX).context("cannot tap the bus")?;
        let mut reading = Reading {
            patterns,
            output: prints.then(Output::new),
            line: Vec::new(),
            outcome: Outcome {
                delivered: 0,
                dropped: 0,
                latencies: Latencies::new(),
                failure: None,
            },
        };
        let read = move || {
            if let Err(failure) = reading.read(tap) {
                reading.outcome.failure = Some(failure);
                interrupt.set();
            }
            reading.outcome
        };
        let thread = thread::Builder::new().name("ringpost-taps".into());
        Ok(Self(thread.spawn(read).context("cannot start the thread of the taps")?))
    }

    /// Waits until everything was read; the bus must be closed.
    pub(crate) fn finish(self) -> Result<Outcome, Failure> {
        self.0.join().map_err(|_| anyhow!("the taps failed; this is a bug").into())
    }
}

struct Reading {
    patterns: Vec<Pattern>,
    output: Option<Output>,
    line: Vec<u8>,
    outcome: Outcome,
}

impl Reading {
    fn read(&mut self, mut tap: Tap<Shared<Event>>) -> Result<(), Failure> {
        loop {
            // Whoever reads along sees everything before a pause.
            if let (0, Some(output)) = (tap.lag(), &mut self.output) {
                output.flush()?;
            }
            match tap.next_blocking() {
                Some(Tapped::Delivery(delivery)) => {
                    let sequence = delivery.sequence().unwrap_or(Sequence::FIRST);
                    self.take(sequence, delivery.message())?;
                }
                Some(Tapped::Gap(gap)) => self.outcome.dropped += gap.count,
                Some(_) => {}
                None => break,
            }
        }
        self.output.as_mut().map_or(Ok(()), Output::flush)
    }

    fn take(&mut self, sequence: Sequence, event: &Event) -> Result<(), Failure> {
        let matching = self.patterns.iter().filter(|one| one.matches(event.topic())).count();
        if matching == 0 {
            return Ok(());
        }
        if let Some(output) = &mut self.output {
            self.line.clear();
            json::encode_record(event, sequence, &mut self.line);
            for _ in 0..matching {
                output.event(&self.line)?;
            }
        }
        let now = Timestamp::now();
        for _ in 0..matching {
            self.outcome.latencies.add_since_publish(event.recorded_at(), now);
        }
        self.outcome.delivered += matching as u64;
        Ok(())
    }
}
