//! A publish to the ring and to the only mailbox or log beside it: what most routes are.
//!
//! The steps of `publish.rs`, where a copy goes to the ring and the message itself to the mailbox or
//! log: no list is filled, and nothing is copied that somebody drops. Each kind has a way of its own,
//! so that it asks nothing that its route has answered.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::Core;
use super::offer::{Counts, give_back, offer, reserve};
use super::publish::{HELD, Refused, RingEnd, claim, reroute, without_copies};
use super::route::Route;
use super::scratch::Scratch;
use super::shared;
use super::topics::TopicEntry;
use crate::Message;
use crate::actor::scope;
use crate::actor::source::Letter;
use crate::caught::caught;
use crate::topic::TopicId;

/// What is there beside the ring.
pub(super) trait Beside<M: Message> {
    /// Whether a place in it is claimed before the ring.
    const RESERVES: bool;

    /// Gives the held message to it, and rings.
    fn hand(
        core: &Core<M>,
        topic: TopicId,
        route: &Route<M>,
        scratch: &mut Scratch<M>,
        held: &mut Option<M>,
        sequence: u64,
    );
}

/// A mailbox that does not block.
pub(super) struct Mailbox;

impl<M: Message> Beside<M> for Mailbox {
    const RESERVES: bool = false;

    #[inline(always)]
    fn hand(
        core: &Core<M>,
        topic: TopicId,
        route: &Route<M>,
        scratch: &mut Scratch<M>,
        held: &mut Option<M>,
        sequence: u64,
    ) {
        let leg = &route.open[0];
        offer(core, leg, sequence, topic, held, scratch);
        leg.addr.signal().ring();
    }
}

/// A mailbox that blocks.
pub(super) struct BlockMailbox;

impl<M: Message> Beside<M> for BlockMailbox {
    const RESERVES: bool = true;

    #[inline(always)]
    fn hand(
        _core: &Core<M>,
        topic: TopicId,
        route: &Route<M>,
        scratch: &mut Scratch<M>,
        held: &mut Option<M>,
        sequence: u64,
    ) {
        let leg = &route.blocking[0];
        match scratch.places.pop().flatten() {
            Some(mut place) => {
                let mut message = || held.take().expect(HELD);
                leg.addr.fill(&mut place, || Letter { sequence, topic, message: message() });
                scratch.counts.delivered += 1;
            }
            // Cancelled before it had a place.
            None => scratch.discarded.extend(held.take()),
        }
        leg.addr.signal().ring();
    }
}

/// A log that several subscriptions share, and that does not block.
pub(super) struct Log;

impl<M: Message> Beside<M> for Log {
    const RESERVES: bool = false;

    #[inline(always)]
    fn hand(
        core: &Core<M>,
        topic: TopicId,
        route: &Route<M>,
        scratch: &mut Scratch<M>,
        held: &mut Option<M>,
        sequence: u64,
    ) {
        shared::offer_held(core, route, sequence, topic, held, scratch);
        shared::ring_bells(route);
    }
}

/// A log that blocks.
pub(super) struct BlockLog;

impl<M: Message> Beside<M> for BlockLog {
    const RESERVES: bool = true;

    #[inline(always)]
    fn hand(
        _core: &Core<M>,
        topic: TopicId,
        route: &Route<M>,
        scratch: &mut Scratch<M>,
        held: &mut Option<M>,
        sequence: u64,
    ) {
        shared::fill_held(route, sequence, topic, held, scratch);
        shared::ring_bells(route);
    }
}

/// A copy to the ring, and the message itself to what is beside it.
#[inline(never)]
pub(super) fn to_one<M: Message, B: Beside<M>>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
    _beside: B,
) -> Result<u64, Refused> {
    // Copying may do anything, so it is done before there is a place to hold.
    let message = held.as_ref().expect(HELD);
    let mut on_ring = caught(|| message.share(1).next()).flatten();
    if on_ring.is_none() {
        // A message that can't be copied goes to the ring alone.
        return without_copies(core, ring, topic, route, scratch, held);
    }
    if B::RESERVES
        && let Err(refused) = reserve(route, 1, scratch, || ring.pen().look(1))
    {
        scratch.discard_copies(on_ring);
        scratch.refusal = Some(refused.into());
        return Err(Refused);
    }
    let (sequence, rerouted) = match claim(core, ring, route, topic.id, &mut on_ring) {
        Ok(claimed) => claimed,
        Err(refused) => {
            if B::RESERVES {
                give_back(route, &mut scratch.places, &mut scratch.ends);
            }
            scratch.discard_copies(on_ring);
            return Err(scratch.refuse(refused));
        }
    };
    scope::note_published(core.number, 1);
    scratch.counts = Counts { delivered: route.readers, dropped: 0 };
    B::hand(core, topic.id, route, scratch, held, sequence);
    core.ring_readers();
    if rerouted {
        // Only now: what another route lets go of is foreign code.
        reroute(core, topic, route, scratch, sequence);
    }
    Ok(sequence)
}
