//! What is asked of a mailbox's size: a share that may be lost, or a time that few may exceed.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use anyhow::{anyhow, bail};

use super::queue::Fate;
use crate::moment::parse_duration;

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    text: String,
    /// The share of all messages that may miss.
    share: f64,
    /// The delay above which a message misses, in nanoseconds; without it only lost ones do.
    limit: Option<u64>,
}

impl Goal {
    /// Whether a message with this fate misses. One that is lost always does: else the smallest
    /// mailbox, which loses most, would have the best delays.
    pub(crate) fn is_missed_by(&self, fate: Fate) -> bool {
        match (fate, self.limit) {
            (Fate::Lost, _) => true,
            (Fate::Handled { .. }, None) => false,
            (Fate::Handled { delay }, Some(limit)) => delay > limit,
        }
    }

    /// How many of so many messages may miss.
    pub(crate) fn allowed(&self, messages: usize) -> u64 {
        // A hundredth of 100 is 1, whatever a sum of powers of two makes of it.
        (self.share * messages as f64 + 1e-6) as u64
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Goal {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, value)) = text.split_once('=') else {
            bail!("write what and how much: loss=0, loss=0.1%, p99=1ms or max=5ms");
        };
        let text = text.to_owned();
        if name == "loss" {
            return Ok(Self { text, share: share(value)?, limit: None });
        }
        let share = match name.strip_prefix('p') {
            _ if name == "max" => 0.0,
            Some(digits) => 1.0 - quantile(digits)?,
            None => bail!("`{name}` is not known: it is loss, max or a percentile (p99)"),
        };
        let limit = u64::try_from(parse_duration(value)?.as_nanos())?;
        Ok(Self { text, share, limit: Some(limit) })
    }
}

fn share(text: &str) -> anyhow::Result<f64> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    match number.parse::<f64>().map(|number| number * unit) {
        Ok(share @ 0.0..=1.0) => Ok(share),
        _ => bail!("`{text}` is no share: write 0, 0.001 or 0.1%"),
    }
}

/// `50`, `99`, `99.9` in percent; `999` and `9999` as they are spoken.
fn quantile(digits: &str) -> anyhow::Result<f64> {
    let wrong = || anyhow!("`p{digits}` is no percentile: write p50, p99, p99.9 or p999");
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let quantile = match digits.contains('.') || digits.len() == 2 {
        true => number / 100.0,
        false if digits.len() > 2 => number / 10_f64.powi(digits.len() as i32),
        false => return Err(wrong()),
    };
    if quantile > 0.0 && quantile < 1.0 { Ok(quantile) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_allow_what_they_say() {
        let allowed = |text: &str, messages| text.parse::<Goal>().unwrap().allowed(messages);
        assert_eq!([allowed("loss=0", 1000), allowed("max=1ms", 1000)], [0, 0]);
        assert_eq!([allowed("loss=0.1%", 1000), allowed("loss=0.001", 999)], [1, 0]);
        assert_eq!([allowed("p99=1ms", 100), allowed("p99=1ms", 99)], [1, 0]);
        assert_eq!([allowed("p99.9=1ms", 5000), allowed("p999=1ms", 5000)], [5, 5]);
        assert_eq!([allowed("p50=1ms", 7), allowed("p9999=1ms", 20_000)], [3, 2]);
    }

    #[test]
    fn a_lost_message_misses_every_goal() {
        let loss: Goal = "loss=1%".parse().unwrap();
        let delay: Goal = "p99=1.5us".parse().unwrap();
        assert!(loss.is_missed_by(Fate::Lost) && delay.is_missed_by(Fate::Lost));
        let late = Fate::Handled { delay: 1_501 };
        assert!(!loss.is_missed_by(late) && delay.is_missed_by(late));
        assert!(!delay.is_missed_by(Fate::Handled { delay: 1_500 }));
    }

    #[test]
    fn what_is_no_goal_is_refused() {
        for text in [
            "",
            "loss",
            "loss=",
            "loss=2",
            "loss=-1%",
            "loss=NaN",
            "loss=101%",
            "p=1ms",
            "p9=1ms",
            "p100=1ms=",
            "p99",
            "p99=1",
            "p0.0=1ms",
            "p100.0=1ms",
            "p-9=1ms",
            "mean=1ms",
            "p00=1ms",
        ] {
            assert!(text.parse::<Goal>().is_err(), "{text}");
        }
    }
}
