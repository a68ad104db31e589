//! How long a subscriber handles a message: one time for all, or times drawn from a distribution.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use fastrand::Rng;

use crate::exit::Failure;
use crate::moment::parse_duration;

/// A distribution of service times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Nanoseconds, and how many draws of [`total`](Self::total) are at most here.
    steps: Vec<(u64, u64)>,
}

/// The service time of each message of a record, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    Constant(u64),
    Each(Vec<u64>),
}

impl Times {
    /// That message's.
    pub(crate) fn of(&self, message: usize) -> u64 {
        match self {
            Self::Constant(nanos) => *nanos,
            Self::Each(times) => times.get(message).copied().unwrap_or_default(),
        }
    }
}

impl Service {
    /// Reads a duration (`5us`), or else the file of that name.
    pub(crate) fn named(text: &str) -> Result<Self, Failure> {
        if let Ok(time) = parse_duration(text) {
            return Ok(Self { steps: vec![(nanos(time), 1)] });
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) && !Path::new(text).exists() {
            return Err(Failure::usage(anyhow!(
                "cannot use --service-time {text}: it is no duration and no file; write a number \
                 and its unit (5us, 1.5ms) or a file's name"
            )));
        }
        let read = fs::read_to_string(text).with_context(|| {
            format!("cannot read the service times in {text}, which is no duration either")
        })?;
        Self::parse(&read).map_err(|error| {
            Failure::usage(error.context(format!("cannot use the service times in {text}")))
        })
    }

    /// Reads a distribution: a line is a duration, or a duration, a comma and how often it was
    /// seen. Blank lines and those that begin with `#` say nothing.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut counts = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1_u64..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (time, count) = line.split_once(',').unwrap_or((line, "1"));
            let time = parse_duration(time.trim()).with_context(|| format!("line {number}"))?;
            let count: u64 = count.trim().parse().map_err(|_| {
                anyhow!("line {number}: `{}` is no count: write a whole number", count.trim())
            })?;
            counts.push((nanos(time), count));
        }
        counts.sort_unstable();
        let mut total = 0_u64;
        for (_, count) in &mut counts {
            total = total.checked_add(*count).ok_or_else(|| anyhow!("its counts are too large"))?;
            *count = total;
        }
        match total {
            0 => Err(anyhow!("there is no service time in it: write one duration a line")),
            _ => Ok(Self { steps: counts }),
        }
    }

    fn total(&self) -> u64 {
        self.steps.last().map_or(0, |(_, total)| *total)
    }

    /// The mean, in nanoseconds.
    pub(crate) fn mean(&self) -> f64 {
        let mut before = 0;
        let mut sum = 0.0;
        for &(time, until) in &self.steps {
            sum += time as f64 * (until - before) as f64;
            before = until;
        }
        sum / self.total() as f64
    }

    /// Draws a time for each of so many messages. One seed gives the same times every time: all
    /// sizes are tried with the same ones.
    pub(crate) fn draw(&self, messages: usize, seed: u64) -> Times {
        if let [(time, _)] = self.steps[..] {
            return Times::Constant(time);
        }
        let mut rng = Rng::with_seed(seed);
        let mut one = || {
            let drawn = rng.u64(0..self.total());
            let at = self.steps.partition_point(|(_, until)| *until <= drawn);
            self.steps.get(at).map_or(0, |(time, _)| *time)
        };
        Times::Each((0..messages).map(|_| one()).collect())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_drawn_as_often_as_it_says() {
        let service = Service::parse("# warm\n\n10us, 1\n5us,3\n 1ms\n7us,0\n").unwrap();
        assert_eq!(service.steps, [(5_000, 3), (7_000, 3), (10_000, 4), (1_000_000, 5)]);
        assert!((service.mean() - 205_000.0).abs() < 1e-6);
        let Times::Each(times) = service.draw(50_000, 1) else { panic!("it is no constant") };
        let share = |time| times.iter().filter(|&&drawn| drawn == time).count() as f64 / 50_000.0;
        assert!((share(5_000) - 0.6).abs() < 0.01 && (share(10_000) - 0.2).abs() < 0.01);
        assert!((share(1_000_000) - 0.2).abs() < 0.01 && share(7_000) == 0.0);
        let Times::Each(again) = service.draw(50_000, 1) else { panic!("it is no constant") };
        assert_eq!(times, again);
    }

    #[test]
    fn a_distribution_that_says_nothing_usable_is_refused_by_its_line() {
        for (text, reason) in [
            ("", "no service time"),
            ("# only\n", "no service time"),
            ("5us\n7\n", "line 2: `7` is no duration"),
            ("5us,x\n", "line 1: `x` is no count"),
            ("5us,0\n", "no service time"),
            ("5us,18446744073709551615\n6us\n", "too large"),
        ] {
            let told = format!("{:#}", Service::parse(text).unwrap_err());
            assert!(told.contains(reason), "{text}: {told}");
        }
    }
}
