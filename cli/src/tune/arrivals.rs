//! When messages came, as a journal or a file tells.
//!
//! Either by when the bus took them (`recordedtime`) or by when they say they happened (`time`),
//! never mixed. What cannot be meant seriously is refused: clocks that jump back, records without
//! times, a single event.
#![forbid(unsafe_code)]

use anyhow::anyhow;
use clap::ValueEnum;
use ringpost::Event;
#[cfg(feature = "redis")]
use ringpost::Sequence;
use ringpost::event::Timestamp;

use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::filter::Filter;
use crate::target::{Opened, unreadable};

/// Which of an event's times counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// When a bus took it: its recordedtime
    Recorded,
    /// When it happened: its time
    Event,
}

impl Clock {
    /// The name of the attribute.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Recorded => "recordedtime",
            Self::Event => "time",
        }
    }
}

/// How a record is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) filter: &'a Filter,
    /// The one to use; without one the first that every event has.
    pub(crate) clock: Option<Clock>,
    /// Puts times in order, however far they go back.
    pub(crate) sorts: bool,
    /// By how much the time between arrivals is divided.
    pub(crate) speed: f64,
}

/// When messages came.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Nanoseconds since the first, in order, after the speed.
    pub(crate) offsets: Vec<u64>,
    pub(crate) clock: Clock,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Lines that were damaged, and left out.
    pub(crate) damaged: u64,
}

/// So far back in nanoseconds a time may be behind one before it: publishers that race, and
/// machines whose clocks are not quite the same.
const SLACK: i128 = 1_000_000_000;

impl Arrivals {
    /// The time from the first to the last, in seconds, after the speed.
    pub(crate) fn seconds(&self) -> f64 {
        self.offsets.last().map_or(0.0, |last| *last as f64 / 1e9)
    }

    /// Reads a whole record.
    pub(crate) fn read(
        opened: &Opened,
        reading: Reading<'_>,
        console: &Console,
    ) -> Result<Self, Failure> {
        let mut recorded = Column::default();
        let mut own = Column::default();
        let mut add = |event: &Event| {
            if reading.filter.admits(event) {
                recorded.add(event.recorded_at());
                own.add(event.time());
            }
        };
        let (damaged, first) = match opened {
            Opened::Journal(journal) => {
                let mut records = journal.reader.records().map_err(unreadable)?;
                for entry in &mut records {
                    add(&entry.map_err(unreadable)?.event);
                }
                let first = records.first_damage().map(|damage| {
                    format!("{}: byte {}: {}", damage.file.display(), damage.offset, damage.reason)
                });
                (records.damaged(), first)
            }
            #[cfg(feature = "redis")]
            Opened::Stream(reader) => {
                let (mut damaged, mut first) = (0, None);
                for entry in reader.entries(Sequence::FIRST).map_err(unreadable)? {
                    match entry.map_err(unreadable)? {
                        Ok(entry) => add(&entry.event),
                        Err(damage) => {
                            damaged += 1;
                            first
                                .get_or_insert_with(|| format!("{}: {}", damage.id, damage.reason));
                        }
                    }
                }
                (damaged, first)
            }
        };
        if let Some(first) = first {
            console.warn(first);
            let damaged = grouped(damaged);
            console
                .warn(format_args!("{damaged} damaged lines were left out; see `ringpost verify`"));
        }
        let events = recorded.times.len() + recorded.missing;
        if events < 2 {
            let found = if events == 0 { "no event was" } else { "one event alone was" };
            return Err(Failure {
                exit: Exit::Nothing,
                error: Some(anyhow!(
                    "cannot tell how messages arrive: {found} found; check the target and the \
                     filters"
                )),
            });
        }
        let (clock, column) = match reading.clock {
            None if recorded.missing > 0 && own.missing > 0 => {
                let (recorded, own) = (recorded.missing as u64, own.missing as u64);
                return Err(anyhow!(
                    "cannot tell how messages arrive: of {} events {} have no recordedtime and {} \
                     have no time; leave those out with a filter",
                    grouped(events as u64),
                    grouped(recorded),
                    grouped(own),
                )
                .into());
            }
            None if recorded.missing > 0 => (Clock::Event, own),
            None | Some(Clock::Recorded) => (Clock::Recorded, recorded),
            Some(Clock::Event) => (Clock::Event, own),
        };
        if column.missing > 0 {
            let (missing, all) = (grouped(column.missing as u64), grouped(events as u64));
            return Err(anyhow!(
                "cannot tell how messages arrive: {missing} of {all} events have no {}; leave \
                 those out with a filter, or use the other of --times",
                clock.attribute()
            )
            .into());
        }
        let times = column.in_order(reading.sorts, clock, console)?;
        let at = |nanos: Option<&i128>| nanos.and_then(|nanos| Timestamp::from_unix_nanos(*nanos));
        let (Some(first), Some(last)) = (at(times.first()), at(times.last())) else {
            return Err(anyhow!("cannot tell how messages arrive: a time is out of range").into());
        };
        let start = first.unix_nanos();
        let offset = |nanos: &i128| ((nanos - start) as f64 / reading.speed) as u64;
        // As they are unless asked otherwise: a float has 53 bits, which are 104 days.
        let exact = |nanos: &i128| u64::try_from(nanos - start).unwrap_or(u64::MAX);
        let offsets = match reading.speed == 1.0 {
            true => times.iter().map(exact).collect(),
            false => times.iter().map(offset).collect(),
        };
        Ok(Self { offsets, clock, first, last, damaged })
    }
}

/// One attribute of all events.
#[derive(Debug, Default)]
struct Column {
    times: Vec<i128>,
    missing: usize,
}

impl Column {
    fn add(&mut self, time: Option<Timestamp>) {
        match time {
            Some(time) => self.times.push(time.unix_nanos()),
            None => self.missing += 1,
        }
    }

    /// The times in order. Small steps back are mended, large ones refused unless `sorts`.
    fn in_order(
        mut self,
        sorts: bool,
        clock: Clock,
        console: &Console,
    ) -> Result<Vec<i128>, Failure> {
        let mut latest = i128::MIN;
        let mut behind = 0_u64;
        let mut furthest = (0, 0);
        for (&time, number) in self.times.iter().zip(1_u64..) {
            if time < latest {
                behind += 1;
                furthest = furthest.max((latest - time, number));
            }
            latest = latest.max(time);
        }
        let (distance, number) = furthest;
        if distance > SLACK && !sorts {
            let (name, seconds) = (clock.attribute(), distance as f64 / 1e9);
            let (behind, number) = (grouped(behind), grouped(number));
            return Err(anyhow!(
                "cannot tell how messages arrive: {name} goes backwards, in event {number} by \
                 {seconds:.1} s ({behind} events are behind an earlier one); --sort puts them in \
                 order, a filter selects one source"
            )
            .into());
        }
        if behind > 0 {
            self.times.sort_unstable();
            if !sorts {
                let micros = (distance as f64 / 1e3).ceil() as u64;
                console.warn(format_args!(
                    "{} events were put in order: their {} was up to {} us behind an earlier one",
                    grouped(behind),
                    clock.attribute(),
                    grouped(micros),
                ));
            }
        }
        Ok(self.times)
    }
}
