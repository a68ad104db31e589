//! The message of all throughput scenarios.

use ringpost::Message;

/// 64 bytes, as most market data fits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick {
    /// Counts from 0, by each publisher for itself.
    pub number: u64,
    /// Nanoseconds since a run's beginning at which it should have been published: latency only.
    pub intended: u64,
    _rest: [u64; 6],
}

impl Tick {
    #[inline]
    pub fn new(number: u64) -> Self {
        Self { number, intended: 0, _rest: [number; 6] }
    }

    #[inline]
    pub fn at(number: u64, intended: u64) -> Self {
        Self { number, intended, _rest: [number; 6] }
    }
}

impl Message for Tick {}

impl actix::Message for Tick {
    type Result = ();
}
