//! The message of the benches that cross threads.

use std::time::Duration;

use ringpost::{Message, Overflow};

/// 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) number: u64,
    _rest: [u64; 7],
}

impl Tick {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, _rest: [0; 7] }
    }
}

impl Message for Tick {}

/// Far longer than any receiver takes: who waits that long has found a fault.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Nothing is lost: the sender waits.
pub(crate) const BLOCK: Overflow = Overflow::Block { timeout: LONG };
