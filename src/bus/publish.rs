//! One publish, step by step. Only this file and `one.rs`, for routes to a single mailbox or log, know
//! their order.
//!
//! 1. the route (cached)
//! 2. copies, as far as they must exist before a claim; places in `Block` mailboxes, all or none
//! 3. the claim on the ring, and one look whether the route is still the table's
//! 4. the commit on the ring
//! 5. `Block` places filled, other mailboxes offered to
//! 6. the bells of those who sleep
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

use super::core::{Core, Gate};
use super::late::{join_late, read_back};
use super::offer::{
    Counts, copy, give_back, lose, lose_all, offer, offer_all, offer_copies, reserve, ring_bells,
};
use super::one::{self, to_one};
use super::room::Room;
use super::route::{Reach, Route};
use super::scratch::Scratch;
use super::topics::TopicEntry;
use super::{inline, shared};
use crate::actor::scope;
use crate::actor::source::{Entry, Letter, drop_caught};
use crate::caught::caught;
use crate::ring::{self, Borrowed, Pen, Writer};
use crate::topic::TopicId;
use crate::{DropReason, Message, Sequence, Stamp, trace};

/// What became of a published message at the moment of its publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its place in the bus's order; `None` while the bus is disabled, when nothing is published.
    pub sequence: Option<Sequence>,
    /// Mailboxes that took it, inline handlers run, and subscriptions that read the ring or a shared
    /// log. Taps are not counted.
    pub delivered: u64,
    /// Mailboxes that lost this or an older message to this publish. Subscriptions that read the
    /// ring or a shared log find their losses themselves, when they come to them.
    pub dropped: u64,
}

/// What a publish came to, in two registers: a result that is read back from memory in other
/// pieces than it was written in stalls a core for longer than a whole publish takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// 0 if nothing was published, because the bus is disabled.
    sequence: u64,
    /// Delivered below, dropped above, 32 bits each.
    counts: u64,
}

impl Outcome {
    const NOTHING: Self = Self { sequence: 0, counts: 0 };
    const REFUSED: Self = Self { sequence: u64::MAX, counts: 0 };

    #[inline]
    fn new(sequence: u64, counts: Counts) -> Self {
        let low = |n: u64| n.min(u64::from(u32::MAX));
        Self { sequence, counts: low(counts.delivered) | low(counts.dropped) << 32 }
    }

    #[inline]
    pub(crate) fn is_published(self) -> bool {
        self != Self::REFUSED && self != Self::NOTHING
    }

    /// None if it was refused: see `Scratch::refused`.
    #[inline]
    pub(crate) fn published(self) -> Option<Published> {
        if self == Self::REFUSED {
            return None;
        }
        let (delivered, dropped) = (self.counts & u64::from(u32::MAX), self.counts >> 32);
        let sequence = (self.sequence != 0).then(|| Sequence::new(self.sequence));
        Some(Published { sequence, delivered, dropped })
    }
}

/// Why nothing was published. The message is where it was.
pub(crate) enum Refusal<M: Message> {
    Full(Room<M>),
    Closed,
    Stopped(u64),
}

impl<M: Message> Refusal<M> {
    #[cold]
    pub(super) fn at(gate: Gate) -> Self {
        match gate {
            Gate::Closed => Self::Closed,
            Gate::Stopped(subscriber) => Self::Stopped(subscriber),
        }
    }
}

/// A refusal lies in `Scratch::refusal`: what is returned on the way out stays in registers.
pub(super) struct Refused;

/// Why a message that is on its way is where it is looked for.
pub(super) const HELD: &str = "a message is taken once, by its place on the ring or by its end";

/// The end of the ring that a publish writes to: a publisher's own, or one lent for a publish. (What
/// is published by whoever runs meanwhile, an inline handler or a message that is dropped, has another.)
pub(crate) trait RingEnd<M: Message> {
    fn pen(&mut self) -> Pen<'_, Entry<M>>;
}

impl<M: Message> RingEnd<M> for Writer<Entry<M>> {
    #[inline]
    fn pen(&mut self) -> Pen<'_, Entry<M>> {
        Writer::pen(self)
    }
}

impl<M: Message> RingEnd<M> for Borrowed<'_, Entry<M>> {
    #[inline]
    fn pen(&mut self) -> Pen<'_, Entry<M>> {
        Borrowed::pen(self)
    }
}

/// What a publish comes to before it touches anything: nothing while the bus is disabled, a refusal
/// if it is closed or waits for somebody who has stopped.
#[inline(always)]
pub(crate) fn turned_away<M: Message>(core: &Core<M>, scratch: &mut Scratch<M>) -> Option<Outcome> {
    if !core.log.is_enabled() {
        return Some(Outcome::NOTHING);
    }
    let gate = core.refuses()?;
    scratch.refusal = Some(Refusal::at(gate));
    Some(Outcome::REFUSED)
}

/// Publishes the message that is held, which is there, or leaves it where it is. The route is the
/// table's, or was a moment ago. The caller was not turned away.
#[inline(always)]
pub(crate) fn publish<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Outcome {
    held.as_mut().expect(HELD).stamp(&Stamp::default());
    let line = core.settings.log_events.then(|| trace::Line::of(held.as_ref().expect(HELD)));
    let done = match route.reach {
        Reach::RingAlone => to_ring_alone(core, ring, topic, route, scratch, held),
        Reach::Mailbox => to_one(core, ring, topic, route, scratch, held, one::Mailbox),
        Reach::BlockMailbox => to_one(core, ring, topic, route, scratch, held, one::BlockMailbox),
        Reach::Log => to_one(core, ring, topic, route, scratch, held, one::Log),
        Reach::BlockLog => to_one(core, ring, topic, route, scratch, held, one::BlockLog),
        Reach::Other => to_everybody(core, ring, topic, route, scratch, held),
    };
    scratch.clear();
    ring.pen().reclaim();
    scratch.ends.clear();
    // Whoever joined meanwhile is not in the line's count.
    if let (Some(line), Ok(_)) = (line, &done) {
        line.published(&topic.name, route.subscribers());
    }
    match done {
        Ok(sequence) => Outcome::new(sequence, scratch.counts),
        Err(Refused) if scratch.refusal.is_some() => Outcome::REFUSED,
        Err(Refused) => Outcome::NOTHING,
    }
}

/// Steps 3 and 4: the message's sequence, and whether the route is no longer the table's.
#[inline(always)]
pub(super) fn claim<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    route: &Route<M>,
    topic: TopicId,
    message: &mut Option<M>,
) -> Result<(u64, bool), ring::Refused> {
    let mut end = ring.pen();
    let claim = end.claim(1)?;
    let sequence = claim.first();
    let rerouted = core.table.version() != route.version;
    claim.commit(|| Entry { topic, message: message.take().expect(HELD) });
    Ok((sequence, rerouted))
}

/// The short way: nobody to copy for, so the message moves to the ring.
#[inline(always)]
fn to_ring_alone<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    let id = topic.id;
    let (sequence, rerouted) = match claim(core, ring, route, id, held) {
        Ok(claimed) => claimed,
        Err(refused) => return Err(scratch.refuse(refused)),
    };
    scope::note_published(core.number, 1);
    scratch.counts = Counts { delivered: route.readers, dropped: 0 };
    core.ring_readers();
    if rerouted {
        reroute(core, topic, route, scratch, sequence);
    }
    Ok(sequence)
}

/// Serves from the ring whoever joined since the route was looked up.
#[cold]
pub(super) fn reroute<M: Message>(
    core: &Core<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    sequence: u64,
) {
    let now = topic.route(&core.table);
    scratch.ends.align(&now);
    // Some may have left.
    let joined = |now: u64, old: u64| now.wrapping_sub(old).cast_signed();
    let logs = now.shared.iter().filter_map(|leg| {
        let old = route.shared.iter().find(|old| Arc::ptr_eq(&old.log, &leg.log))?;
        Some(joined(leg.count(), old.count()))
    });
    let more = joined(now.readers, route.readers) + logs.sum::<i64>();
    scratch.counts.delivered = scratch.counts.delivered.saturating_add_signed(more);
    read_back(core, route, &now, sequence..sequence + 1, topic.id, scratch);
}

/// The whole way.
#[inline(never)]
fn to_everybody<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    let id = topic.id;
    // The last of several mailboxes takes the message itself, unless it is needed afterwards.
    let needed = route.open.is_empty() || !route.inline.is_empty() || !route.shared.is_empty();
    let blocking = route.blocking.len() + route.shared_blocking;
    let copies = blocking + route.open.len() + usize::from(needed);
    let message = held.as_ref().expect(HELD);
    let Some(mut copies) = caught(|| message.share(copies)) else {
        return without_copies(core, ring, topic, route, scratch, held);
    };
    let mut on_ring = copy(&mut copies);
    if on_ring.is_none() {
        // A message that can't be copied goes to the ring alone; its mailboxes lose it.
        drop_caught(copies);
        return without_copies(core, ring, topic, route, scratch, held);
    }
    if blocking > 0 {
        // Copying may do anything, so it is done before there is a place to hold.
        scratch.copies.extend((0..blocking).map(|_| copy(&mut copies)));
        let ready = || ring.pen().look(1);
        if let Err(refused) = reserve(route, 1, scratch, ready) {
            drop_caught(copies);
            scratch.discard_copies(on_ring);
            scratch.refusal = Some(refused.into());
            return Err(Refused);
        }
    }
    let (sequence, rerouted) = match claim(core, ring, route, id, &mut on_ring) {
        Ok(claimed) => claimed,
        Err(refused) => {
            give_back(route, &mut scratch.places, &mut scratch.ends);
            drop_caught(copies);
            scratch.discard_copies(on_ring);
            return Err(scratch.refuse(refused));
        }
    };
    scope::note_published(core.number, 1);
    scratch.counts = Counts::default();
    if blocking > 0 {
        fill_places(core, route, sequence, id, scratch);
    }
    // Only now: what another route lets go of is foreign code.
    let now = rerouted.then(|| topic.route(&core.table));
    let old = now.is_some().then_some(route);
    let route = now.as_ref().unwrap_or(route);
    if rerouted {
        scratch.ends.align(route);
    }
    scratch.counts.delivered += route.readers;

    let keep = rerouted || !route.inline.is_empty();
    let (most, last) = match route.open.split_last() {
        Some((last, most)) if !keep && route.shared.is_empty() => (most, Some(last)),
        _ => (&route.open[..], None),
    };
    let mut served = 0;
    if !most.is_empty() {
        served = offer_copies(core, most, sequence, id, &mut copies, scratch);
    }
    drop_caught(copies);
    if served < most.len() {
        let message = held.as_ref().expect(HELD);
        offer_all(core, &most[served..], sequence, id, message, scratch);
    }
    if route.shared_blocking < route.shared.len() {
        let message = held.as_ref().expect(HELD);
        shared::offer_all(core, route, sequence, id, message, scratch);
    }
    if let Some(target) = last {
        offer(core, target, sequence, id, held, scratch);
        ring_bells(route);
        core.ring_readers();
        return Ok(sequence);
    }
    ring_bells(route);
    core.ring_readers();
    if old.is_none() && route.inline.is_empty() {
        if std::mem::needs_drop::<M>() {
            scratch.discarded.extend(held.take());
        }
        return Ok(sequence);
    }
    let letter = Letter { sequence, topic: id, message: held.take().expect(HELD) };
    if let Some(old) = old {
        // Who has left the route since has a message all the same.
        ring_bells(old);
        let joined = route.joined_since(old);
        join_late(core, &joined, std::slice::from_ref(&letter), scratch);
    }
    if !route.inline.is_empty() {
        scratch.counts.delivered += route.inline.len() as u64;
        inline::deliver(route, sequence, id, &letter.message);
    }
    scratch.stolen.push(letter);
    Ok(sequence)
}

/// Fills the places that were claimed before the ring.
fn fill_places<M: Message>(
    core: &Core<M>,
    reserved: &Route<M>,
    sequence: u64,
    topic: TopicId,
    scratch: &mut Scratch<M>,
) {
    let Scratch { places, copies, counts, discarded, .. } = scratch;
    for ((target, place), copy) in reserved.blocking.iter().zip(&mut *places).zip(&mut *copies) {
        match place {
            Some(places) if copy.is_some() => {
                let mut message = || copy.take().expect(HELD);
                target.addr.fill(places, || Letter { sequence, topic, message: message() });
                counts.delivered += 1;
            }
            Some(places) => {
                target.addr.skip(places);
                lose(target, sequence, DropReason::Panicked, counts);
            }
            // Cancelled before it had a place.
            None => discarded.extend(copy.take()),
        }
    }
    if reserved.shared_blocking > 0 {
        shared::fill(core, reserved, sequence, topic, scratch);
    }
    scratch.places.clear();
    scratch.copies.clear();
}

/// The message's own Clone, or its `share`, panicked: it is published, and every mailbox loses it.
#[cold]
pub(super) fn without_copies<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    // Whoever joins meanwhile is served from the ring.
    let sequence = to_ring_alone(core, ring, topic, route, scratch, held)?;
    lose_all(core, route, sequence, DropReason::Panicked, &mut scratch.counts);
    Ok(sequence)
}
