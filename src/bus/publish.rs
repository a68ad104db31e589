//! One publish, step by step: the only file that knows their order.
//!
//! 1. the route (cached)
//! 2. copies, as far as they must exist before a claim; places in `Block` mailboxes, all or none
//! 3. the claim on the ring, and one look whether the route is still the table's
//! 4. the commit on the ring
//! 5. `Block` places filled, other mailboxes offered to
//! 6. one fence, then the bells of those who sleep
//! 7. inline handlers
//! 8. foreign drops: what was pushed out of mailboxes, and one retired block of the ring
//!
//! Nobody waits here, and no user code runs between a claim and its commit. A refusal gives back
//! every place, rings for it, and hands the message back; waiting is `publisher.rs`'s business.
//!
//! The look in step 3 is what the join of a subscription rests on: a subscriber changes the table
//! and then passes an RMW on the ring's tail, and a claim is an RMW on the same word. If the
//! claim comes later, the look sees the change; if it comes earlier, the message's sequence is
//! below the subscriber's start.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::{Core, Gate, Stolen};
use super::inline;
use super::late::{join_late, read_back};
use super::offer::{
    Counts, Unreserved, copy, give_back, lose, lose_all, offer, offer_all, offer_copies, reserve,
    ring_bells,
};
use super::room::Room;
use super::route::Route;
use super::topics::TopicEntry;
use crate::actor::scope;
use crate::actor::source::{Entry, Letter, drop_caught};
use crate::mailbox::signal;
use crate::ring::queue::Places;
use crate::ring::{Log, Pen, Refused, Writer};
use crate::{DropReason, Message, Sequence, Stamp, trace};

/// What became of a published message at the moment of its publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its place in the bus's order; `None` while the bus is disabled, when nothing is published.
    pub sequence: Option<Sequence>,
    /// Mailboxes that took it, inline handlers run, and subscriptions that read the ring. Taps
    /// are not counted.
    pub delivered: u64,
    /// Mailboxes that lost this or an older message to this publish.
    pub dropped: u64,
}

/// What a publish on a disabled bus comes to.
const NOTHING: Published = Published { sequence: None, delivered: 0, dropped: 0 };

/// Why nothing was published.
pub(crate) enum Refusal<M: Message, T = M> {
    Full(T, Room<M>),
    Closed(T),
    Stopped(u64, T),
}

impl<M: Message, T> Refusal<M, T> {
    #[cold]
    pub(super) fn at(gate: Gate, message: T) -> Self {
        match gate {
            Gate::Closed => Self::Closed(message),
            Gate::Stopped(subscriber) => Self::Stopped(subscriber, message),
        }
    }
}

/// The end of the ring that a publish writes to: a publisher's own, or one borrowed for a moment.
pub(crate) trait RingEnd<M: Message> {
    fn with<R>(&mut self, f: impl FnOnce(&mut Pen<'_, Entry<M>>) -> R) -> R;
}

impl<M: Message> RingEnd<M> for Writer<Entry<M>> {
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Pen<'_, Entry<M>>) -> R) -> R {
        f(&mut self.pen())
    }
}

/// A borrowed cell for each step, so that no foreign code ever runs while it is held.
impl<M: Message> RingEnd<M> for &Log<Entry<M>> {
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Pen<'_, Entry<M>>) -> R) -> R {
        self.with_writer(f)
    }
}

/// Lists that a publisher keeps, so that publishing allocates nothing.
pub(crate) struct Scratch<M: Message> {
    /// One for each `Block` mailbox of the route; `None` where it was closed.
    pub(super) places: Vec<Option<Places>>,
    /// One for each `Block` mailbox that has a place.
    pub(super) copies: Vec<Option<M>>,
    /// For a batch: what goes to the ring, and what goes to each mailbox.
    pub(super) entries: Vec<Entry<M>>,
    pub(super) columns: Vec<Vec<Letter<M>>>,
    /// What goes last: foreign drops.
    pub(super) stolen: Stolen<M>,
    pub(super) discarded: Vec<M>,
    /// Whether this publish may wait for a `Block` mailbox that joined while it was under way.
    pub(super) patient: bool,
}

impl<M: Message> Scratch<M> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            copies: Vec::new(),
            entries: Vec::new(),
            columns: Vec::new(),
            stolen: Vec::new(),
            discarded: Vec::new(),
            patient: false,
        }
    }

    /// Sets the copies of a message aside that was not published.
    #[cold]
    fn discard_copies(&mut self, on_ring: M) {
        self.discarded.extend(self.copies.drain(..).flatten().chain([on_ring]));
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

/// Publishes one message, or hands it back.
#[inline]
pub(crate) fn publish<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &mut Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    mut message: M,
) -> Result<Published, Refusal<M>> {
    if !core.log.is_enabled() {
        return Ok(NOTHING);
    }
    if let Some(gate) = core.refuses() {
        return Err(Refusal::at(gate, message));
    }
    message.stamp(&Stamp::default());
    if route.version != core.table.version() {
        *route = topic.route(&core.table);
    }
    let line = core.settings.log_events.then(|| trace::Line::of(&message));
    let done = if route.mailboxes() == 0 && route.inline.is_empty() {
        to_ring_alone(core, ring, topic, route, scratch, message)
    } else {
        to_everybody(core, ring, topic, route, scratch, message)
    };
    scratch.clear();
    ring.with(|pen| pen.reclaim());
    if let (Some(line), Ok(Published { sequence: Some(_), .. })) = (line, &done) {
        line.published(&topic.name, route.subscribers());
    }
    done
}

/// The short way: nobody to copy for, so the message moves to the ring.
#[inline]
fn to_ring_alone<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &mut Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    message: M,
) -> Result<Published, Refusal<M>> {
    let id = topic.id;
    let claimed = ring.with(|pen| match pen.claim(1) {
        Ok(claim) => {
            let sequence = claim.first();
            let rerouted = core.table.version() != route.version;
            claim.commit(Entry { topic: id, message });
            Ok((sequence, rerouted))
        }
        Err(refused) => Err((refused, message)),
    });
    let (sequence, rerouted) = match claimed {
        Ok(claimed) => claimed,
        Err((refused, message)) => return refusal(refused, message, scratch),
    };
    scope::note_published(core.number, 1);
    let old = rerouted.then(|| std::mem::replace(route, topic.route(&core.table)));
    let mut counts = Counts { delivered: route.readers, dropped: 0 };
    signal::fence();
    core.ring_readers();
    if let Some(old) = &old {
        read_back(core, old, route, sequence, id, scratch, &mut counts);
    }
    Ok(counts.published(sequence))
}

/// The whole way.
fn to_everybody<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &mut Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    message: M,
) -> Result<Published, Refusal<M>> {
    let id = topic.id;
    let mut copies = message.share(route.mailboxes() + 1);
    let Some(on_ring) = copy(&mut copies) else {
        // A message that can't be copied goes to the ring alone; its mailboxes lose it.
        drop_caught(copies);
        return without_copies(core, ring, topic, route, scratch, message);
    };
    if !route.blocking.is_empty() {
        // Copying may do anything, so it is done before there is a place to hold.
        scratch.copies.extend(route.blocking.iter().map(|_| copy(&mut copies)));
        if let Err(refused) = reserve(route, 1, &mut scratch.places) {
            drop_caught(copies);
            scratch.discard_copies(on_ring);
            return Err(match refused {
                Unreserved::Full(target) => Refusal::Full(message, Room::Mailbox(target)),
                Unreserved::Stopped(subscriber) => Refusal::Stopped(subscriber, message),
            });
        }
    }
    let claimed = ring.with(|pen| match pen.claim(1) {
        Ok(claim) => {
            let sequence = claim.first();
            let rerouted = core.table.version() != route.version;
            claim.commit(Entry { topic: id, message: on_ring });
            Ok((sequence, rerouted))
        }
        Err(refused) => Err((refused, on_ring)),
    });
    let (sequence, rerouted) = match claimed {
        Ok(claimed) => claimed,
        Err((refused, on_ring)) => {
            give_back(route, &mut scratch.places);
            drop_caught(copies);
            scratch.discard_copies(on_ring);
            return refusal(refused, message, scratch);
        }
    };
    scope::note_published(core.number, 1);
    let old = rerouted.then(|| std::mem::replace(route, topic.route(&core.table)));
    let reserved: &Route<M> = old.as_deref().unwrap_or(route);
    let mut counts = Counts { delivered: route.readers, dropped: 0 };

    for ((target, place), copy) in
        reserved.blocking.iter().zip(&mut scratch.places).zip(&mut scratch.copies)
    {
        match (place, copy.take()) {
            (Some(places), Some(message)) => {
                target.addr.fill(places, Letter { sequence, topic: id, message });
                counts.delivered += 1;
            }
            (Some(places), None) => {
                target.addr.skip(places);
                lose(target, sequence, DropReason::Panicked, &mut counts);
            }
            // Cancelled before it had a place.
            (None, copy) => scratch.discarded.extend(copy),
        }
    }
    scratch.places.clear();
    scratch.copies.clear();

    let keep = rerouted || !route.inline.is_empty();
    let (most, last) = match route.open.split_last() {
        Some((last, most)) if !keep => (most, Some(last)),
        _ => (&route.open[..], None),
    };
    let served = offer_copies(core, most, sequence, id, &mut copies, scratch, &mut counts);
    drop_caught(copies);
    if served < most.len() {
        offer_all(core, &most[served..], sequence, id, &message, scratch, &mut counts);
    }
    if let Some(target) = last {
        offer(core, target, sequence, id, message, &mut scratch.stolen, &mut counts);
        signal::fence();
        ring_bells(route);
        core.ring_readers();
        return Ok(counts.published(sequence));
    }
    signal::fence();
    ring_bells(reserved);
    ring_bells(route);
    core.ring_readers();
    if let Some(old) = &old {
        let joined = route.joined_since(old);
        join_late(core, &joined, sequence, id, &message, scratch, &mut counts);
    }
    if !route.inline.is_empty() {
        counts.delivered += route.inline.len() as u64;
        inline::deliver(route, sequence, id, &message);
    }
    scratch.stolen.push(Letter { sequence, topic: id, message });
    Ok(counts.published(sequence))
}

/// The message's own Clone panicked: it is published, and every mailbox loses it.
#[cold]
fn without_copies<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    message: M,
) -> Result<Published, Refusal<M>> {
    // Whoever joins meanwhile is served from the ring.
    let mut now = Arc::clone(route);
    let done = to_ring_alone(core, ring, topic, &mut now, scratch, message)?;
    let mut counts = Counts { delivered: done.delivered, dropped: done.dropped };
    if let Some(sequence) = done.sequence {
        lose_all(route, sequence.get(), DropReason::Panicked, &mut counts);
    }
    Ok(Published { sequence: done.sequence, ..counts.published(0) })
}

fn refusal<M: Message>(
    refused: Refused,
    message: M,
    scratch: &mut Scratch<M>,
) -> Result<Published, Refusal<M>> {
    match refused {
        Refused::Full => Err(Refusal::Full(message, Room::Ring)),
        Refused::Closed => Err(Refusal::Closed(message)),
        // Disabled between the first look and the claim: the same as before it.
        Refused::Disabled => {
            scratch.discarded.push(message);
            Ok(NOTHING)
        }
    }
}
