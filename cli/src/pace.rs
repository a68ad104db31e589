//! How fast a recording is played: as it was recorded, faster, slower, or without waiting.
//!
//! Every event has an instant that is counted from the first one, so that a delay is made up for
//! and never adds up.
#![forbid(unsafe_code)]

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::ValueEnum;
use ringpost::event::{Event, Timestamp};

/// How many times as fast as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// A finite number above 0.
    Times(f64),
    /// Without waiting.
    Max,
}

impl FromStr for Speed {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.strip_suffix(['x', '×']).unwrap_or(text);
        match number.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(anyhow!("`{text}` is no speed: write a number above 0 (2, 0.5), or max")),
        }
    }
}

/// Which of an event's times the pace is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// When the event was recorded.
    Recordedtime,
    /// The event's own time.
    Time,
}

impl Clock {
    /// The time of this clock, if the event has one.
    pub(crate) fn of(self, event: &Event) -> Option<Timestamp> {
        match self {
            Self::Recordedtime => event.recorded_at(),
            Self::Time => event.time(),
        }
    }
}

/// The pace of a run.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: Speed,
    /// When the first event went, and the time it had.
    first: Option<(Instant, Timestamp)>,
}

impl Pace {
    pub(crate) fn new(speed: Speed) -> Self {
        Self { speed, first: None }
    }

    /// Whether no event waits for its turn.
    pub(crate) fn is_none(&self) -> bool {
        self.speed == Speed::Max
    }

    /// How long an event of this time still has to wait. One that is older than those before it
    /// is late already.
    pub(crate) fn wait(&mut self, time: Timestamp, now: Instant) -> Duration {
        let Speed::Times(times) = self.speed else { return Duration::ZERO };
        let (began, first) = *self.first.get_or_insert((now, time));
        let since = time.unix_nanos().saturating_sub(first.unix_nanos()).max(0);
        // What no `Duration` can hold is longer than anybody waits.
        let due = Duration::try_from_secs_f64(since as f64 / 1e9 / times).unwrap_or(Duration::MAX);
        due.saturating_sub(now.saturating_duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i128) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * 1_000_000_000).unwrap()
    }

    #[test]
    fn a_speed_is_a_number_above_0_or_max() {
        let read = |text: &str| text.parse::<Speed>().ok();
        assert_eq!(["1", "0.5x", "1e3"].map(read), [1.0, 0.5, 1e3].map(|x| Some(Speed::Times(x))));
        assert_eq!(read("max"), Some(Speed::Max));
        for text in ["", "0", "-1", "NaN", "inf", "fast", "x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn intervals_are_counted_from_the_first_event() {
        let mut pace = Pace::new(Speed::Times(2.0));
        let now = Instant::now();
        assert_eq!(pace.wait(at(100), now), Duration::ZERO);
        assert_eq!(pace.wait(at(110), now), Duration::from_secs(5));
        // Time that was lost elsewhere is made up for.
        let later = now + Duration::from_secs(4);
        assert_eq!(pace.wait(at(110), later), Duration::from_secs(1));
        assert_eq!(pace.wait(at(106), later), Duration::ZERO);
        // A clock that was set back delays nothing.
        assert_eq!(pace.wait(at(50), later), Duration::ZERO);
        assert_eq!(pace.wait(at(120), later), Duration::from_secs(6));
    }

    #[test]
    fn at_max_nothing_waits() {
        let (mut pace, now) = (Pace::new(Speed::Max), Instant::now());
        assert_eq!(pace.wait(at(0), now), Duration::ZERO);
        assert_eq!(pace.wait(at(1_000_000), now), Duration::ZERO);
    }
}
