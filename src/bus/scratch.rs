//! What a publisher keeps from one publish to the next, and drops last.
#![forbid(unsafe_code)]

use super::core::Stolen;
use super::offer::Counts;
use super::publish::{Refusal, Refused};
use super::room::Room;
use super::route::Route;
use super::shared::SharedEnds;
use crate::actor::source::{Letter, drop_caught};
use crate::ring::queue::Places;
use crate::{Message, ring};

/// Lists that a publisher keeps, so that publishing allocates nothing.
pub(crate) struct Scratch<M: Message> {
    /// One for each `Block` mailbox of the route; `None` where it was closed.
    pub(super) places: Vec<Option<Places>>,
    /// Its ends of the logs that the route's subscriptions share.
    pub(super) ends: SharedEnds<M>,
    /// One for each `Block` mailbox, and then for each `Block` log.
    pub(super) copies: Vec<Option<M>>,
    /// For a batch: what goes to each mailbox.
    pub(super) columns: Vec<Vec<Letter<M>>>,
    /// What goes last: foreign drops.
    pub(super) stolen: Stolen<M>,
    pub(super) discarded: Vec<M>,
    /// What the publish under way came to.
    pub(super) counts: Counts,
    /// Why it was refused. None if the bus was disabled meanwhile, as before it.
    pub(super) refusal: Option<Refusal<M>>,
    /// Whether this publish may wait for a `Block` mailbox that joined while it was under way.
    pub(super) patient: bool,
}

impl<M: Message> Scratch<M> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            ends: SharedEnds::new(),
            copies: Vec::new(),
            columns: Vec::new(),
            stolen: Vec::new(),
            discarded: Vec::new(),
            counts: Counts::default(),
            refusal: None,
            patient: false,
        }
    }

    /// Those of a publisher with this route.
    pub(crate) fn of(route: &Route<M>) -> Self {
        let mut scratch = Self::new();
        scratch.ends.align(route);
        scratch
    }

    /// Why the last publish was refused.
    #[cold]
    pub(crate) fn refused(&mut self) -> Refusal<M> {
        self.refusal.take().expect("a publish that was refused says why")
    }

    /// Sets the copies of a message aside that was not published.
    #[cold]
    pub(super) fn discard_copies(&mut self, on_ring: Option<M>) {
        self.discarded.extend(self.copies.drain(..).flatten().chain(on_ring));
    }

    /// Notes why the ring did not take it.
    #[cold]
    pub(super) fn refuse(&mut self, refused: ring::Refused) -> Refused {
        self.refusal = match refused {
            ring::Refused::Full => Some(Refusal::Full(Room::Ring)),
            ring::Refused::Closed => Some(Refusal::Closed),
            ring::Refused::Disabled => None,
        };
        Refused
    }

    /// The same for the copies of a batch.
    #[cold]
    pub(super) fn discard_columns(&mut self) {
        for column in &mut self.columns {
            self.stolen.append(column);
        }
    }

    /// Drops what was gathered; a panic of one message's Drop touches no other.
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.stolen.is_empty() {
            drop_each(&mut self.stolen);
        }
        if !self.discarded.is_empty() {
            drop_each(&mut self.discarded);
        }
    }
}

fn drop_each<T>(values: &mut Vec<T>) {
    while let Some(value) = values.pop() {
        drop_caught(value);
    }
}
