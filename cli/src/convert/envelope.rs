//! What all forms have in common: an event, and what a journal or this program added to it.
#![forbid(unsafe_code)]

use ringpost::Sequence;
use ringpost::event::Event;

/// An event between two forms.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(super) event: Event,
    /// The place in the journal it came from.
    pub(super) sequence: Option<Sequence>,
    /// A `sequence` that is not written as a journal's, as its JSON text.
    pub(super) foreign_sequence: Option<Box<str>>,
    /// It had a `recordedtime` that is no time, which no event can have.
    pub(super) has_lost_time: bool,
    /// The form it came in has no ids: this one was made here.
    pub(super) is_id_new: bool,
}

impl Envelope {
    /// The source of an event whose form has none.
    pub(super) const UNKNOWN_SOURCE: &'static str = "ringpost:unknown";
}
