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

/// A place is claimed before the ring, or none.
const RESERVED: bool = true;
const OPEN: bool = false;

#[inline(never)]
pub(super) fn to_mailbox<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    to_one::<_, OPEN>(core, ring, topic, route, scratch, held, |sequence, held, scratch| {
        let leg = &route.open[0];
        offer(core, leg, sequence, topic.id, held, scratch);
        leg.addr.signal().ring();
    })
}

#[inline(never)]
pub(super) fn to_block_mailbox<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    to_one::<_, RESERVED>(core, ring, topic, route, scratch, held, |sequence, held, scratch| {
        let leg = &route.blocking[0];
        match scratch.places.pop().flatten() {
            Some(mut place) => {
                let mut message = || held.take().expect(HELD);
                let letter = || Letter { sequence, topic: topic.id, message: message() };
                leg.addr.fill(&mut place, letter);
                scratch.counts.delivered += 1;
            }
            // Cancelled before it had a place.
            None => scratch.discarded.extend(held.take()),
        }
        leg.addr.signal().ring();
    })
}

#[inline(never)]
pub(super) fn to_log<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    to_one::<_, OPEN>(core, ring, topic, route, scratch, held, |sequence, held, scratch| {
        shared::offer_held(core, route, sequence, topic.id, held, scratch);
        shared::ring_bells(route);
    })
}

#[inline(never)]
pub(super) fn to_block_log<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
) -> Result<u64, Refused> {
    to_one::<_, RESERVED>(core, ring, topic, route, scratch, held, |sequence, held, scratch| {
        shared::fill_held(route, sequence, topic.id, held, scratch);
        shared::ring_bells(route);
    })
}

/// `hand` gives the held message away and rings.
#[inline(always)]
fn to_one<M: Message, const RESERVES: bool>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    held: &mut Option<M>,
    hand: impl FnOnce(u64, &mut Option<M>, &mut Scratch<M>),
) -> Result<u64, Refused> {
    // Copying may do anything, so it is done before there is a place to hold.
    let message = held.as_ref().expect(HELD);
    let mut on_ring = caught(|| message.share(1).next()).flatten();
    if on_ring.is_none() {
        // A message that can't be copied goes to the ring alone.
        return without_copies(core, ring, topic, route, scratch, held);
    }
    if RESERVES && let Err(refused) = reserve(route, 1, scratch, || ring.pen().look(1)) {
        scratch.discard_copies(on_ring);
        scratch.refusal = Some(refused.into());
        return Err(Refused);
    }
    let (sequence, rerouted) = match claim(core, ring, route, topic.id, &mut on_ring) {
        Ok(claimed) => claimed,
        Err(refused) => {
            if RESERVES {
                give_back(route, &mut scratch.places, &mut scratch.ends);
            }
            scratch.discard_copies(on_ring);
            return Err(scratch.refuse(refused));
        }
    };
    scope::note_published(core.number, 1);
    scratch.counts = Counts { delivered: route.readers, dropped: 0 };
    hand(sequence, held, scratch);
    core.ring_readers();
    if rerouted {
        // Only now: what another route lets go of is foreign code.
        reroute(core, topic, route, scratch, sequence);
    }
    Ok(sequence)
}
