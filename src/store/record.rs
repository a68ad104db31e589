//! What a store keeps of an event.
#![forbid(unsafe_code)]

use crate::Sequence;
use crate::event::Event;
use crate::ring::Shared;

/// An event with the sequence its bus gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the bus's one order.
    pub sequence: Sequence,
    /// The event, shared with the bus.
    pub event: Shared<Event>,
}

/// What the encoder reserves and a usual record does not use.
const RESERVED: usize = 400;

impl Record {
    /// About how many bytes the record takes when it is written.
    pub(super) fn weight(&self) -> usize {
        // The encoder reserves for the longest names and times; a record mostly takes less.
        crate::event::json::encode::max_len(&self.event).saturating_sub(RESERVED)
    }
}
