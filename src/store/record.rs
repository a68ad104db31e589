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

impl Record {
    /// About how many bytes the record takes when it is written.
    pub(super) fn weight(&self) -> usize {
        crate::event::json::encode::usual_len(&self.event)
    }
}
