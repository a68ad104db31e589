//! A run that publishes: a bus with its journal and its taps, from the first event to the summary.
//!
//! Used by `pub` and `replay`. The order of the end: the bus refuses, taps and journal read what is left, and
//! only then anything is counted.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use ringpost::event::Event;
use ringpost::{EventBus, Pattern, PublishError, Shared, Topic, TopicError};
use serde::Serialize;

use crate::console::{Console, grouped, per_second};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::journaling::{Journaling, Ready};
use crate::latency::{Latencies, Quantiles};
use crate::repetition::Repetitions;
use crate::settings::JournalSettings;
use crate::taps::Taps;
use crate::target::unreadable;

/// What a run is made of.
pub(crate) struct Plan {
    pub(crate) journal: Option<JournalSettings>,
    pub(crate) taps: Vec<Pattern>,
    /// Whether taps print, or only count.
    pub(crate) prints: bool,
    /// How long to wait for the journal at the end, and when it fails.
    pub(crate) patience: Duration,
    /// What leaves out events that come twice.
    pub(crate) repetitions: Option<Repetitions>,
}

/// A bus being published to.
#[derive(Debug)]
pub(crate) struct Publication {
    bus: EventBus,
    journaling: Option<Journaling>,
    taps: Option<Taps>,
    patience: Duration,
    repetitions: Option<Repetitions>,
    interrupt: Interrupt,
    console: Console,
    began: Instant,
    published: u64,
    types: BTreeMap<String, u64>,
    damaged: bool,
}

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Sent {
    Published,
    /// It was seen before.
    Repeated,
    /// The bus does not take this one.
    Rejected(String),
    /// The run was asked to end while the event waited for room.
    Interrupted,
}

/// How it went, for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) read: u64,
    pub(crate) published: u64,
    pub(crate) rejected: u64,
    /// Left out, because they were seen before; only where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deduplicated: Option<u64>,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) journaled: u64,
    pub(crate) durable: u64,
    pub(crate) elapsed_s: f64,
    pub(crate) events_per_s: f64,
    pub(crate) latency_us: Option<Quantiles>,
    pub(crate) types: BTreeMap<String, u64>,
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) summary: Summary,
    /// What made the run fail, if something did.
    pub(crate) failure: Option<Failure>,
    /// Whether damage or loss was found and told.
    pub(crate) damaged: bool,
}

/// Few enough that the largest events fit into memory, more than a batch of the journal.
const RING: usize = 2048;
/// How long a publish waits before it looks whether the run was asked to end.
const PUBLISH_WAIT: Duration = Duration::from_millis(100);
/// A journal that has stored everything ends at once; this is for a busy machine.
const STOP: Duration = Duration::from_secs(1);

impl Publication {
    /// Opens the journal and makes the bus.
    pub(crate) fn start(
        mut plan: Plan,
        interrupt: Interrupt,
        console: &Console,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let ready = plan.journal.map(|settings| Ready::open(settings, console)).transpose()?;
        let ready = ready.map(|ready| ready.finishing(interrupt.clone(), plan.patience / 2));
        let damaged = ready.as_ref().is_some_and(|ready| ready.damaged);
        if let (Some(repetitions), Some(ready)) = (&mut plan.repetitions, &ready) {
            ready.tell_past(repetitions).map_err(unreadable)?;
        }
        let mut builder = EventBus::builder().ring(RING).recent(0).publish_timeout(PUBLISH_WAIT);
        if let Some(ready) = &ready {
            builder = builder.start(ready.next_sequence());
        }
        let bus = builder.build();
        let taps = match plan.taps.is_empty() {
            true => None,
            false => Some(Taps::start(&bus, plan.taps, plan.prints, interrupt.clone())?),
        };
        let journaling = ready.map(|ready| ready.start(&bus, console)).transpose()?;
        Ok(Self {
            bus,
            journaling,
            taps,
            patience: plan.patience,
            repetitions: plan.repetitions,
            interrupt,
            console: console.clone(),
            began,
            published: 0,
            types: BTreeMap::new(),
            damaged,
        })
    }

    /// Publishes an event; waits as long as taps and journal need.
    pub(crate) fn publish(&mut self, event: Shared<Event>) -> anyhow::Result<Sent> {
        if let Some(repetitions) = &mut self.repetitions {
            if let Err(error) = publishable(&event) {
                return Ok(Sent::Rejected(error.to_string()));
            }
            if !repetitions.admits(&event) {
                return Ok(Sent::Repeated);
            }
        }
        // Counted before it is given away: the bus stamps it in place only while nobody shares it.
        self.count(event.kind());
        let mut event = event;
        let mut failing: Option<Instant> = None;
        let sent = loop {
            let error = match self.bus.publish(event) {
                Ok(_) => {
                    self.published += 1;
                    return Ok(Sent::Published);
                }
                Err(error) => error,
            };
            let refused = match &error {
                PublishError::Full(_) if self.interrupt.is_set() => Some(Ok(Sent::Interrupted)),
                PublishError::Full(_) => self.is_hopeless(&mut failing).map(Err),
                PublishError::Topic { error, .. } => Some(Ok(Sent::Rejected(error.to_string()))),
                _ => Some(Err(anyhow!("cannot publish: {error}"))),
            };
            event = error.into_message();
            if let Some(refused) = refused {
                break refused;
            }
        };
        self.take_back(std::iter::once(event));
        sent
    }

    /// Publishes a list in its order; waits as long as taps and journal need. Whatever the bus does
    /// not take is told to `reject`; what could not be published before the run was asked to end is
    /// dropped.
    pub(crate) fn publish_all(
        &mut self,
        mut events: Vec<Shared<Event>>,
        mut reject: impl FnMut(String),
    ) -> anyhow::Result<()> {
        let mut repeated = Vec::new();
        if let Some(repetitions) = &mut self.repetitions {
            let mut admitted = 0;
            events.retain(|event| {
                if let Err(error) = publishable(event) {
                    reject(error.to_string());
                    return false;
                }
                let admits = repetitions.admits(event);
                if admits {
                    admitted += 1
                } else {
                    repeated.push(admitted)
                }
                admits
            });
        }
        let admitted = events.len();
        // Counted before they are given away: the bus stamps what nobody shares in place.
        events.iter().for_each(|event| self.count(event.kind()));
        let mut failing: Option<Instant> = None;
        loop {
            let error = match self.bus.publish_all(&mut events) {
                Ok(sent) => {
                    self.published += sent.count;
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.published.count > 0 {
                failing = None;
            }
            self.published += error.published.count;
            let ended = match &error.cause {
                PublishError::Full(()) if self.interrupt.is_set() => Some(Ok(())),
                PublishError::Full(()) => self.is_hopeless(&mut failing).map(Err),
                PublishError::Topic { error, .. } => {
                    reject(error.to_string());
                    self.take_back(events.drain(..1));
                    None
                }
                error => Some(Err(anyhow!("cannot publish: {error}"))),
            };
            if let Some(ended) = ended {
                // As one by one: what lies in the list behind the first of these was not come to.
                let done = admitted - events.len();
                let behind = repeated.len() - repeated.partition_point(|before| *before <= done);
                if let Some(repetitions) = &mut self.repetitions {
                    repetitions.uncount(behind as u64);
                }
                self.take_back(events.drain(..));
                return ended;
            }
        }
    }

    /// Forgets events that were not published after all.
    fn take_back(&mut self, events: impl Iterator<Item = Shared<Event>>) {
        for event in events {
            self.uncount(event.kind());
            if let Some(repetitions) = &mut self.repetitions {
                repetitions.forget(&event);
            }
        }
    }

    /// Why it is no use to wait for room any longer, if it is none.
    fn is_hopeless(&self, failing: &mut Option<Instant>) -> Option<anyhow::Error> {
        let Some((error, worth_waiting)) = self.journaling.as_ref()?.trouble() else {
            *failing = None;
            return None;
        };
        let since = *failing.get_or_insert_with(Instant::now);
        let over = !worth_waiting || since.elapsed() >= self.patience;
        over.then(|| anyhow!("the journal takes nothing: {error}"))
    }

    fn count(&mut self, kind: &str) {
        // Most types have been seen: no text is made for those.
        match self.types.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.types.insert(kind.to_owned(), 1);
            }
        }
    }

    /// Takes back the count of an event that was not published after all.
    fn uncount(&mut self, kind: &str) {
        if let Some(count) = self.types.get_mut(kind) {
            *count -= 1;
            if *count == 0 {
                self.types.remove(kind);
            }
        }
    }

    /// How many were published so far, and how many a second.
    pub(crate) fn progress(&self) -> String {
        let rate = per_second(self.published, self.began.elapsed());
        format!("{} events, {}/s", grouped(self.published), grouped(rate as u64))
    }

    /// Lets taps and journal read what is left, and adds everything up.
    pub(crate) fn finish(self, rejected: u64) -> Result<Finished, Failure> {
        let until = Instant::now() + self.patience;
        self.bus.shutdown(self.patience);
        let left = until.saturating_duration_since(Instant::now()).max(STOP);
        let journaled = self.journaling.map(|journaling| journaling.finish(left));
        let tapped = self.taps.map(Taps::finish).transpose()?;
        let elapsed = self.began.elapsed();
        let mut latencies = Latencies::new();
        let deduplicated = self.repetitions.as_ref().map(Repetitions::count);
        self.repetitions.iter().for_each(|repetitions| repetitions.tell(&self.console));
        let mut summary = Summary {
            read: self.published + rejected + deduplicated.unwrap_or(0),
            published: self.published,
            rejected,
            deduplicated,
            delivered: 0,
            dropped: 0,
            journaled: 0,
            durable: 0,
            elapsed_s: elapsed.as_secs_f64(),
            events_per_s: per_second(self.published, elapsed),
            latency_us: None,
            types: self.types,
        };
        let mut failure = None;
        if let Some(tapped) = tapped {
            summary.delivered = tapped.delivered;
            summary.dropped += tapped.dropped;
            latencies.merge(&tapped.latencies);
            failure = tapped.failure;
        }
        if let Some(journaled) = journaled {
            summary.journaled = journaled.count;
            summary.durable = journaled.durable;
            summary.dropped += journaled.lost;
            latencies.merge(&journaled.latencies);
            if let Some(cause) = journaled.unfinished {
                let missing = grouped(summary.published - summary.journaled);
                let error = anyhow!("{missing} events were published but not stored: {cause}");
                failure = Some(error.into());
            }
        }
        summary.latency_us = latencies.quantiles(1000.0);
        let damaged = self.damaged || rejected > 0 || summary.dropped > 0;
        Ok(Finished { summary, failure, damaged })
    }
}

/// Why the bus would refuse the event for its topic. Asked before it can be taken for seen: what is
/// refused must not stand for a sound one with the same id.
fn publishable(event: &Event) -> Result<(), TopicError> {
    let topic = event.topic();
    Topic::check(topic)?;
    if topic.starts_with('$') { Err(TopicError::Reserved) } else { Ok(()) }
}

impl Summary {
    /// Tells it to people.
    pub(crate) fn tell(&self, console: &Console) {
        console.say(format_args!(
            "{} events read, {} published, {} rejected in {:.2} s ({}/s)",
            grouped(self.read),
            grouped(self.published),
            grouped(self.rejected),
            self.elapsed_s,
            grouped(self.events_per_s as u64),
        ));
        if let Some(deduplicated) = self.deduplicated {
            console.say(format_args!("{} seen before, and left out", grouped(deduplicated)));
        }
        if self.journaled > 0 {
            let (journaled, durable) = (grouped(self.journaled), grouped(self.durable));
            console.say(format_args!("{journaled} journaled, {durable} durable"));
        }
        if self.delivered + self.dropped > 0 {
            let (delivered, dropped) = (grouped(self.delivered), grouped(self.dropped));
            console.say(format_args!("{delivered} delivered, {dropped} dropped"));
        }
        if let Some(Quantiles { p50, p99, p999, max }) = self.latency_us {
            console.say(format_args!(
                "latency in µs: {p50:.0} (p50), {p99:.0} (p99), {p999:.0} (p99.9), {max:.0} (max)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use ringpost::Tapped;

    use super::*;
    use crate::repetition::By;

    #[test]
    fn repetitions_behind_what_could_not_be_published_are_not_counted() {
        let interrupt = Interrupt::default();
        let plan = Plan {
            journal: None,
            taps: Vec::new(),
            prints: false,
            patience: STOP,
            repetitions: Some(Repetitions::new("100".parse().unwrap(), By::Arrival)),
        };
        let console = Console::new();
        let mut publication = Publication::start(plan, interrupt.clone(), &console).unwrap();
        // Room for three.
        let mut tap = publication.bus.tap_required("**", 3).unwrap();
        interrupt.set();
        let list = |ids: &[&str]| {
            let event = |id: &&str| Event::builder("t").source("s").id(*id).build().unwrap();
            ids.iter().map(|id| Shared::new(event(id))).collect()
        };
        let reject = |reason| panic!("{reason}");
        let ids = ["1", "2", "1", "3", "3", "4", "5", "2", "4", "6"];
        publication.publish_all(list(&ids), reject).unwrap();
        let taken = std::iter::from_fn(|| match tap.try_next() {
            Ok(Tapped::Delivery(event)) => Some(event.id().to_owned()),
            _ => None,
        });
        assert_eq!(taken.collect::<Vec<_>>(), ["1", "2", "3"]);
        drop(tap);
        // What was not published was not seen.
        publication.publish_all(list(&["4", "3"]), reject).unwrap();
        let summary = publication.finish(0).unwrap().summary;
        assert_eq!((summary.published, summary.deduplicated, summary.read), (4, Some(3), 7));
    }
}
