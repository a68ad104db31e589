//! Latencies, in a histogram of three significant digits.
//!
//! Filled by taps, the journal and `bench`; read once, at the end.
#![forbid(unsafe_code)]

use hdrhistogram::Histogram;
use ringpost::event::Timestamp;
use serde::Serialize;

/// Nanoseconds, counted.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// The values that a summary tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        // Three digits are always possible; the range grows with what is recorded.
        Self(Histogram::new(3).expect("three significant digits"))
    }

    /// Counts a latency.
    pub(crate) fn add(&mut self, nanos: u64) {
        // Years do not fit; nothing that is measured here takes them.
        let _ = self.0.record(nanos);
    }

    /// Counts how long ago, seen from `now`, the bus took an event.
    pub(crate) fn add_since_publish(&mut self, published: Option<Timestamp>, now: Timestamp) {
        if let Some(at) = published {
            // A clock that was set back in between must not make it negative.
            let nanos = (now.unix_nanos() - at.unix_nanos()).max(0);
            self.add(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }

    /// Takes the other's values in.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both grow by themselves, so that nothing is out of range.
        self.0.add(&other.0).expect("a histogram that resizes itself");
    }

    /// The values, each divided by `unit` nanoseconds; none if nothing was counted.
    pub(crate) fn quantiles(&self, unit: f64) -> Option<Quantiles> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / unit;
        (!self.0.is_empty()).then(|| Quantiles {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_the_unit_that_was_asked_for() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantiles(1.0), None);
        (1..=1000).for_each(|micros| latencies.add(micros * 1000));
        let quantiles = latencies.quantiles(1000.0).unwrap();
        assert!((quantiles.p50 - 500.0).abs() < 1.0, "{quantiles:?}");
        assert!((quantiles.p999 - 999.0).abs() < 2.0, "{quantiles:?}");
        assert!((quantiles.max - 1000.0).abs() < 2.0, "{quantiles:?}");
    }
}
