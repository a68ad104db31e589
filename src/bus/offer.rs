//! One message at each mailbox of a route: places, copies, and what becomes of them.
//!
//! Called by `publish.rs` and its neighbours, which know the order of the steps. Nothing in here
//! waits.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::Core;
use super::publish::{HELD, Refusal};
use super::room::Room;
use super::route::{Leg, Route, Target};
use super::scratch::Scratch;
use super::shared::SharedEnds;
use super::{inline, shared};
use crate::actor::source::{Letter, drop_caught};
use crate::actor::subscriber::Life;
use crate::caught::caught;
use crate::mailbox::{Push, signal};
use crate::ring::Refused;
use crate::ring::queue::{Places, Refused as NoPlace};
use crate::topic::TopicId;
use crate::{DropReason, Message};

/// The running sums of one publish.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dropped: u64,
}

/// The next copy, or nothing if the message's Clone panics.
#[inline]
pub(super) fn copy<M>(copies: &mut impl Iterator<Item = M>) -> Option<M> {
    // The panic was the message's own and has nowhere to go; the loss is counted.
    caught(|| copies.next()).flatten()
}

/// Why places could not be claimed in all `Block` mailboxes and logs.
pub(super) enum Unreserved<M: Message> {
    Full(Room<M>),
    Stopped(u64),
}

impl<M: Message> From<Unreserved<M>> for Refusal<M> {
    fn from(unreserved: Unreserved<M>) -> Self {
        match unreserved {
            Unreserved::Full(room) => Self::Full(room),
            Unreserved::Stopped(subscriber) => Self::Stopped(subscriber),
        }
    }
}

/// Claims `n` places in every `Block` mailbox and log of the route, or in none.
///
/// What is given back stays a place that is taken until its receiver has passed it. So nothing is
/// claimed before the ring, which is `ready` or says why not, and the logs would take the messages.
pub(super) fn reserve<M: Message>(
    route: &Arc<Route<M>>,
    n: usize,
    scratch: &mut Scratch<M>,
    ready: impl FnOnce() -> Result<(), Refused>,
) -> Result<(), Unreserved<M>> {
    let Scratch { places, ends, .. } = scratch;
    // Why else it would refuse, the claim will say.
    if ready() == Err(Refused::Full) {
        return Err(Unreserved::Full(Room::Ring));
    }
    if route.shared_blocking > 0 {
        ends.look(route, n)?;
    }
    for target in &route.blocking {
        match target.addr.reserve(n) {
            Ok(reserved) => places.push(Some(reserved)),
            Err(NoPlace::Full) => {
                give_back(route, places, ends);
                let (target, route) = (Arc::clone(&target.target), Arc::clone(route));
                return Err(Unreserved::Full(Room::Mailbox(target, Some(route))));
            }
            Err(NoPlace::Closed) if target.subscriber.life() == Life::Failed => {
                give_back(route, places, ends);
                return Err(Unreserved::Stopped(target.subscriber.id));
            }
            // Cancelled, and about to leave the table.
            Err(NoPlace::Closed) => places.push(None),
        }
    }
    if route.shared_blocking > 0
        && let Err(unreserved) = ends.reserve(route, n)
    {
        give_back(route, places, ends);
        return Err(unreserved);
    }
    Ok(())
}

/// Gives back claimed places, all of them, and then rings: a place given back makes what lies behind
/// it readable.
#[cold]
pub(super) fn give_back<M: Message>(
    route: &Route<M>,
    places: &mut Vec<Option<Places>>,
    ends: &mut SharedEnds<M>,
) {
    for (target, place) in route.blocking.iter().zip(places.iter_mut()) {
        if let Some(places) = place {
            target.addr.skip(places);
        }
    }
    ends.give_back();
    signal::fence();
    for target in &route.blocking[..places.len()] {
        target.addr.signal().ring();
    }
    shared::ring_bells(route);
    places.clear();
}

/// Rings everybody of the route who sleeps. The caller has claimed a place at each.
#[inline]
pub(super) fn ring_bells<M: Message>(route: &Route<M>) {
    // One by one: a chain of both takes longer to walk than one mailbox to look at.
    for target in &route.blocking {
        target.addr.signal().ring();
    }
    for target in &route.open {
        target.addr.signal().ring();
    }
    if !route.shared.is_empty() {
        shared::ring_bells(route);
    }
}

/// Offers one copy to each mailbox, as far as there are copies; returns how far that was.
#[inline]
pub(super) fn offer_copies<M: Message>(
    core: &Core<M>,
    legs: &[Leg<M>],
    sequence: u64,
    topic: TopicId,
    copies: &mut impl Iterator<Item = M>,
    scratch: &mut Scratch<M>,
) -> usize {
    let mut next = 0;
    while next < legs.len() {
        // One guard around the whole loop; after a panic it goes on behind the mailbox that the
        // copy was for.
        let offered = caught(|| {
            while let Some(leg) = legs.get(next) {
                let mut copy = copies.next();
                if copy.is_none() {
                    return false;
                }
                offer(core, leg, sequence, topic, &mut copy, scratch);
                next += 1;
            }
            true
        });
        match offered {
            Some(true) => break,
            // The route grew since the copies were counted.
            Some(false) => return next,
            None => {
                lose(&legs[next], sequence, DropReason::Panicked, &mut scratch.counts);
                next += 1;
            }
        }
    }
    legs.len()
}

/// Offers clones of a message that is kept.
pub(super) fn offer_all<M: Message>(
    core: &Core<M>,
    legs: &[Leg<M>],
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
) {
    let Some(mut copies) = caught(|| message.share(legs.len())) else {
        return legs
            .iter()
            .for_each(|target| lose(target, sequence, DropReason::Panicked, &mut scratch.counts));
    };
    let served = offer_copies(core, legs, sequence, topic, &mut copies, scratch);
    drop_caught(copies);
    // None are left, unless `share` gave fewer than it was asked for.
    for leg in &legs[served..] {
        lose(leg, sequence, DropReason::Panicked, &mut scratch.counts);
    }
}

/// Offers the held message to one mailbox; what is lost by it is counted.
#[inline(always)]
pub(super) fn offer<M: Message>(
    core: &Core<M>,
    leg: &Leg<M>,
    sequence: u64,
    topic: TopicId,
    held: &mut Option<M>,
    scratch: &mut Scratch<M>,
) {
    let letter = || Letter { sequence, topic, message: held.take().expect(HELD) };
    match leg.addr.try_push(letter) {
        Ok(()) => scratch.counts.delivered += 1,
        Err(_) => insist(core, leg, sequence, topic, held, scratch),
    }
}

/// The same where there was no room, apart so that the way with room is short.
#[cold]
#[inline(never)]
fn insist<M: Message>(
    core: &Core<M>,
    target: &Target<M>,
    sequence: u64,
    topic: TopicId,
    held: &mut Option<M>,
    scratch: &mut Scratch<M>,
) {
    let Scratch { counts, stolen, .. } = scratch;
    let mut letter = || Letter { sequence, topic, message: held.take().expect(HELD) };
    let before = stolen.len();
    let pushed = target.addr.push(&mut letter, stolen);
    // Also where others took the room that was made.
    lost_oldest(target, &stolen[before..]);
    match pushed {
        Push::Taken => counts.delivered += 1,
        Push::TookOldest(_) => {
            counts.delivered += 1;
            counts.dropped += 1;
        }
        Push::Refused | Push::Disconnected => {
            stolen.push(letter());
            lose(target, sequence, DropReason::FullNewest, counts);
        }
        Push::Closed => {
            stolen.push(letter());
            found_closed(core, target, sequence, counts);
        }
    }
}

/// A mailbox was closed before the message came. If it was the bus that closed, the subscription
/// was still to get it; a subscription that was cancelled, or left by itself, was not.
#[cold]
pub(super) fn found_closed<M: Message>(
    core: &Core<M>,
    target: &Target<M>,
    sequence: u64,
    counts: &mut Counts,
) {
    let left = matches!(target.subscriber.life(), Life::Cancelled | Life::Failed);
    if core.log.is_closed() && !left {
        lose(target, sequence, DropReason::Shutdown, counts);
    }
}

/// Counts letters that gave way in a full mailbox.
#[cold]
pub(super) fn lost_oldest<M: Message>(target: &Target<M>, stolen: &[Letter<M>]) {
    let from = stolen.iter().map(|letter| letter.sequence).min();
    let to = stolen.iter().map(|letter| letter.sequence).max();
    if let (Some(from), Some(to)) = (from, to) {
        let reason = DropReason::FullOldest;
        target.subscriber.ledger.losses.record(reason, from, to, stolen.len() as u64);
    }
}

/// Counts a message that a mailbox does not get.
#[cold]
pub(super) fn lose<M: Message>(
    target: &Target<M>,
    sequence: u64,
    reason: DropReason,
    counts: &mut Counts,
) {
    counts.dropped += 1;
    target.subscriber.ledger.lose_outside(reason, sequence);
}

/// Counts a message that nobody of a route gets.
#[cold]
pub(super) fn lose_all<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    sequence: u64,
    reason: DropReason,
    counts: &mut Counts,
) {
    for target in route.open.iter().chain(&route.blocking) {
        lose(target, sequence, reason, counts);
    }
    for leg in &route.shared {
        shared::lose(core, leg, sequence, reason, counts);
    }
    inline::lose(route, sequence, reason);
}
