//! One measurement for each of several values of a setting: the curve of `bench --sweep`.
#![forbid(unsafe_code)]

use std::str::FromStr;

use anyhow::{anyhow, bail};

use super::Trial;

/// A setting and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    pub(crate) setting: Setting,
    pub(crate) values: Vec<usize>,
}

/// What can be swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Mailbox,
    Batch,
    Subscribers,
    Publishers,
}

impl Setting {
    const ALL: [Self; 4] = [Self::Mailbox, Self::Batch, Self::Subscribers, Self::Publishers];

    /// As the flag is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Batch => "batch",
            Self::Subscribers => "subscribers",
            Self::Publishers => "publishers",
        }
    }

    /// The largest value: places, or else threads and actors that a machine can bear.
    fn largest(self) -> usize {
        match self {
            Self::Mailbox => 1 << 31,
            Self::Batch | Self::Subscribers => 1 << 20,
            Self::Publishers => 1 << 10,
        }
    }

    /// The trial with another value.
    pub(crate) fn set(self, trial: &Trial, value: usize) -> Trial {
        let mut trial = trial.clone();
        match self {
            Self::Mailbox => trial.mailbox = value,
            Self::Batch => trial.batch = value,
            Self::Subscribers => trial.subscribers = value,
            Self::Publishers => trial.publishers = value,
        }
        trial
    }
}

impl FromStr for Sweep {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, values)) = text.split_once('=') else {
            bail!(
                "write what is swept over which values: mailbox=64..65536 or mailbox=64,256,1024"
            );
        };
        let setting = Setting::ALL.into_iter().find(|setting| setting.name() == name);
        let setting = setting.ok_or_else(|| {
            anyhow!("`{name}` cannot be swept: it is mailbox, batch, subscribers or publishers")
        })?;
        let read = |text: &str| match text.trim().parse() {
            Ok(value) if (1..=setting.largest()).contains(&value) => Ok(value),
            _ => Err(anyhow!("`{text}` is no number from 1 to {}", setting.largest())),
        };
        let values = match values.split_once("..") {
            None => values.split(',').map(read).collect::<Result<Vec<_>, _>>()?,
            Some((first, last)) => doubling(read(first)?, read(last)?)?,
        };
        Ok(Self { setting, values })
    }
}

/// From the first, each twice the one before, up to the last, which is always there.
fn doubling(first: usize, last: usize) -> anyhow::Result<Vec<usize>> {
    if first > last {
        bail!("`{first}..{last}` goes down: write the smaller one first");
    }
    let mut values = vec![first];
    let mut value = first;
    while value < last {
        value = value.saturating_mul(2).min(last);
        values.push(value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<usize> {
        text.parse::<Sweep>().unwrap().values
    }

    #[test]
    fn a_range_doubles_and_a_list_is_taken_as_it_is() {
        assert_eq!(values("mailbox=64..512"), [64, 128, 256, 512]);
        assert_eq!(values("mailbox=64..65536").len(), 11);
        assert_eq!(values("publishers=1..3"), [1, 2, 3]);
        assert_eq!(values("batch=7..7"), [7]);
        assert_eq!(values("subscribers=4, 1,16"), [4, 1, 16]);
    }

    #[test]
    fn what_cannot_be_swept_is_refused() {
        for text in [
            "",
            "mailbox",
            "mailbox=",
            "mailbox=0",
            "mailbox=8..4",
            "mailbox=1..",
            "mailbox=1,,2",
            "mailbox=4294967296",
            "publishers=2000",
            "ring=8",
            "mailbox=1..2..3",
            "mailbox=-1",
        ] {
            assert!(text.parse::<Sweep>().is_err(), "{text}");
        }
    }
}
