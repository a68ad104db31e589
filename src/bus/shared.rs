//! One message at the logs of a route that several subscriptions share: places, copies, and what
//! becomes of them. What `offer.rs` does for mailboxes.
#![forbid(unsafe_code)]

use std::iter::repeat_with;
use std::sync::Arc;

use super::core::Core;
use super::offer::{Counts, copy};
use super::route::{Route, SharedLeg};
use super::scratch::Scratch;
use crate::actor::shared_log::{SharedLog, SharedMember, Slip};
use crate::actor::source::Letter;
use crate::actor::subscriber::Life;
use crate::ring::{Holder, Pen, Refused};
use crate::topic::TopicId;
use crate::{DropReason, Message};

/// A publisher's end of a shared log.
pub(crate) struct SharedEnd<M: Message> {
    log: Arc<SharedLog<M>>,
    holder: Holder<Slip<M>>,
}

/// A publisher's ends of the logs of its route, in the route's order: `Block` first.
pub(crate) struct SharedEnds<M: Message>(Vec<SharedEnd<M>>);

/// Why places could not be had in all `Block` logs of a route.
pub(super) enum NoPlaces<M: Message> {
    Full(Arc<SharedLog<M>>),
    Stopped(u64),
}

impl<M: Message> SharedEnds<M> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes them those of this route. No places are held.
    #[inline]
    pub(super) fn align(&mut self, route: &Route<M>) {
        let same = |(end, leg): (&SharedEnd<M>, &SharedLeg<M>)| Arc::ptr_eq(&end.log, &leg.log);
        if self.0.len() != route.shared.len() || !self.0.iter().zip(&route.shared).all(same) {
            self.realign(route);
        }
    }

    #[cold]
    fn realign(&mut self, route: &Route<M>) {
        let mut old = std::mem::take(&mut self.0);
        self.0.extend(route.shared.iter().map(|leg| {
            match old.iter().position(|end| Arc::ptr_eq(&end.log, &leg.log)) {
                Some(at) => old.swap_remove(at),
                None => SharedEnd { log: Arc::clone(&leg.log), holder: Holder::new(&leg.log.log) },
            }
        }));
    }

    /// Claims `n` places in every `Block` log of the route that they are aligned with, or in none.
    pub(super) fn reserve(&mut self, route: &Route<M>, n: usize) -> Result<(), NoPlaces<M>> {
        for at in 0..route.shared_blocking {
            let SharedEnd { log, holder } = &mut self.0[at];
            let refused = match (log.stopped(), holder.hold(n)) {
                (None, Ok(())) => continue,
                // Closed together with the bus, which refuses too.
                (None, Err(Refused::Closed | Refused::Disabled)) => continue,
                (Some(subscriber), _) => NoPlaces::Stopped(subscriber),
                (None, Err(Refused::Full)) => NoPlaces::Full(Arc::clone(log)),
            };
            self.give_back();
            return Err(refused);
        }
        Ok(())
    }

    /// Gives back what is held, and rings: what lies behind such a place becomes readable.
    #[cold]
    pub(super) fn give_back(&mut self) {
        for end in &mut self.0 {
            if let Some(claim) = end.holder.held() {
                let mut nothing = repeat_with(|| None).take(claim.len()).collect();
                claim.commit_all(&mut nothing);
                end.log.bells.ring();
            }
        }
    }

    /// Fills the places that were claimed before the ring, with the copies for them.
    pub(super) fn fill(
        &mut self,
        reserved: &Route<M>,
        sequence: u64,
        topic: TopicId,
        copies: &mut [Option<M>],
        discarded: &mut Vec<M>,
        counts: &mut Counts,
    ) {
        let legs = &reserved.shared[..reserved.shared_blocking];
        for ((leg, end), copy) in legs.iter().zip(&mut self.0).zip(copies) {
            match end.holder.held() {
                Some(claim) => match copy.take() {
                    Some(message) => {
                        claim.commit(|| Some(Letter { sequence, topic, message }));
                        counts.delivered += leg.members.len() as u64;
                    }
                    None => {
                        claim.commit(|| None);
                        lose(leg, sequence, DropReason::Panicked, counts);
                    }
                },
                // Closed before it had a place.
                None => discarded.extend(copy.take()),
            }
        }
    }

    /// The same for a batch. A letter's sequence is right by now; those whose copy is missing are
    /// left out.
    pub(super) fn fill_batch(
        &mut self,
        reserved: &Route<M>,
        at: usize,
        first: u64,
        column: &mut Vec<Letter<M>>,
        (slips, stolen): (&mut Vec<Slip<M>>, &mut Vec<Letter<M>>),
        counts: &mut Counts,
    ) {
        let (leg, end) = (&reserved.shared[at], &mut self.0[at]);
        let Some(claim) = end.holder.held() else { return stolen.append(column) };
        let mut letters = column.drain(..).peekable();
        for sequence in first..first + claim.len() as u64 {
            let letter = letters.next_if(|letter| letter.sequence == sequence);
            match &letter {
                Some(_) => counts.delivered += leg.members.len() as u64,
                None => lose(leg, sequence, DropReason::Panicked, counts),
            }
            slips.push(letter);
        }
        claim.commit_all(slips);
    }

    /// The pen of the log at this place of the route.
    #[inline]
    fn pen(&mut self, at: usize) -> Pen<'_, Slip<M>> {
        self.0[at].holder.pen()
    }

    /// Drops what the logs came round to: foreign code, so last in a publish.
    #[inline]
    pub(super) fn reclaim(&mut self) {
        for end in &mut self.0 {
            end.holder.pen().reclaim();
        }
    }
}

/// Rings everybody who sleeps and reads a log of this route.
#[inline]
pub(super) fn ring_bells<M: Message>(route: &Route<M>) {
    for leg in &route.shared {
        leg.log.bells.ring();
    }
}

/// Puts a copy into each log of the route that never refuses, by ends that are aligned with it.
#[inline]
pub(super) fn offer_all<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    sequence: u64,
    topic: TopicId,
    copies: &mut impl Iterator<Item = M>,
    scratch: &mut Scratch<M>,
) {
    for at in route.shared_blocking..route.shared.len() {
        let leg = &route.shared[at];
        match copy(copies) {
            Some(message) => {
                let Scratch { ends, stolen, counts, .. } = scratch;
                let letter = Letter { sequence, topic, message };
                offer(core, leg, &mut ends.pen(at), letter, stolen, counts);
            }
            None => lose(leg, sequence, DropReason::Panicked, &mut scratch.counts),
        }
    }
}

/// Puts a column into the log at this place of the route, which never refuses.
pub(super) fn offer_batch<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    at: usize,
    column: &mut Vec<Letter<M>>,
    (ends, slips): (&mut SharedEnds<M>, &mut Vec<Slip<M>>),
    stolen: &mut Vec<Letter<M>>,
    counts: &mut Counts,
) {
    let leg = &route.shared[at];
    if column.is_empty() {
        return;
    }
    match ends.pen(at).claim(column.len()) {
        Ok(claim) => {
            counts.delivered += (column.len() * leg.members.len()) as u64;
            slips.extend(column.drain(..).map(Some));
            claim.commit_all(slips);
        }
        Err(refused) => {
            for letter in column.drain(..) {
                turned_away(core, leg, refused, letter.sequence, counts);
                stolen.push(letter);
            }
        }
    }
}

/// Puts one letter into a log that never refuses.
#[inline]
pub(super) fn offer<M: Message>(
    core: &Core<M>,
    leg: &SharedLeg<M>,
    pen: &mut Pen<'_, Slip<M>>,
    letter: Letter<M>,
    stolen: &mut Vec<Letter<M>>,
    counts: &mut Counts,
) {
    match pen.claim(1) {
        Ok(claim) => {
            claim.commit(|| Some(letter));
            counts.delivered += leg.members.len() as u64;
        }
        Err(refused) => {
            turned_away(core, leg, refused, letter.sequence, counts);
            stolen.push(letter);
        }
    }
}

/// A log without a free block, since so many are held by stalled readers, or a closed one.
#[cold]
fn turned_away<M: Message>(
    core: &Core<M>,
    leg: &SharedLeg<M>,
    refused: Refused,
    sequence: u64,
    counts: &mut Counts,
) {
    match refused {
        Refused::Full => lose(leg, sequence, DropReason::FullNewest, counts),
        Refused::Closed | Refused::Disabled => found_closed(core, leg, sequence, counts),
    }
}

/// As `offer::found_closed`: if it was the bus that closed, they were still to get it.
#[cold]
pub(super) fn found_closed<M: Message>(
    core: &Core<M>,
    leg: &SharedLeg<M>,
    sequence: u64,
    counts: &mut Counts,
) {
    if core.log.is_closed() {
        let left = |member: &&Arc<SharedMember<M>>| {
            matches!(member.subscriber.life(), Life::Cancelled | Life::Failed)
        };
        let members = leg.members.iter().filter(|member| !left(member));
        lose_by(members, sequence, DropReason::Shutdown, counts);
    }
}

/// Counts a message that nobody of a log gets.
#[cold]
pub(super) fn lose<M: Message>(
    leg: &SharedLeg<M>,
    sequence: u64,
    reason: DropReason,
    counts: &mut Counts,
) {
    lose_by(leg.members.iter(), sequence, reason, counts);
}

fn lose_by<'a, M: Message>(
    members: impl Iterator<Item = &'a Arc<SharedMember<M>>>,
    sequence: u64,
    reason: DropReason,
    counts: &mut Counts,
) {
    for member in members {
        counts.dropped += 1;
        member.subscriber.ledger.lose_outside(reason, sequence);
    }
}
