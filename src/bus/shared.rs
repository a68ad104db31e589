//! One message at the logs of a route that several subscriptions share: places, copies, and what
//! becomes of them. What `offer.rs` does for mailboxes.
#![forbid(unsafe_code)]

use std::iter::repeat_with;
use std::sync::Arc;

use super::batch;
use super::core::Core;
use super::offer::{Counts, Unreserved, copy};
use super::publish::HELD;
use super::room::Room;
use super::route::{Route, SharedLeg};
use super::scratch::Scratch;
use super::table::Member;
use crate::actor::shared_log::{LEAST_SLOTS, SharedLog, Slip};
use crate::actor::shared_member::SharedMember;
use crate::actor::source::{Letter, drop_caught};
use crate::actor::subscriber::Life;
use crate::caught::caught;
use crate::ring::{Holder, Pen, Refused};
use crate::topic::TopicId;
use crate::{DropReason, Message};

#[cfg(test)]
mod tests;

// A batch is claimed at once in a log, which must not be more than a block of it.
const _: () = assert!(batch::LARGEST <= LEAST_SLOTS / 4);

/// A publisher's end of a shared log.
struct SharedEnd<M: Message> {
    log: Arc<SharedLog<M>>,
    holder: Holder<Slip<M>>,
}

/// A publisher's ends of the logs of its route. Aligned again whenever the route is another one. One
/// word, because most routes have none.
pub(crate) struct SharedEnds<M: Message>(Option<Box<Ends<M>>>);

struct Ends<M: Message> {
    /// In the route's order: `Block` first.
    now: Vec<SharedEnd<M>>,
    /// Those of former routes. Their messages may go with them: dropped last in a publish.
    old: Vec<SharedEnd<M>>,
    /// What goes into one log, of a batch.
    slips: Vec<Slip<M>>,
}

impl<M: Message> SharedEnds<M> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Makes them those of this route. No places are held.
    #[cold]
    pub(crate) fn align(&mut self, route: &Route<M>) {
        if self.0.is_none() && route.shared.is_empty() {
            return;
        }
        let Ends { now, old, .. } = &mut **self.0.get_or_insert_with(|| {
            Box::new(Ends { now: Vec::new(), old: Vec::new(), slips: Vec::new() })
        });
        old.append(now);
        now.extend(route.shared.iter().map(|leg| {
            match old.iter().position(|end| Arc::ptr_eq(&end.log, &leg.log)) {
                Some(at) => old.swap_remove(at),
                None => SharedEnd { log: Arc::clone(&leg.log), holder: Holder::new(&leg.log.log) },
            }
        }));
    }

    fn now(&mut self) -> &mut [SharedEnd<M>] {
        self.0.as_mut().map_or(&mut [], |ends| &mut ends.now)
    }

    fn is_aligned(&self, route: &Route<M>) -> bool {
        let same = |(end, leg): (&SharedEnd<M>, &SharedLeg<M>)| Arc::ptr_eq(&end.log, &leg.log);
        let now = self.0.as_ref().map_or(&[][..], |ends| &ends.now);
        now.len() == route.shared.len() && now.iter().zip(&route.shared).all(same)
    }

    /// Drops the ends of former routes, and what the logs came round to: foreign code, so last in a
    /// publish.
    #[inline]
    pub(super) fn clear(&mut self) {
        if let Some(ends) = &mut self.0 {
            ends.clear();
        }
    }

    /// Whether every `Block` log of the route has `n` places now.
    pub(super) fn look(&mut self, route: &Route<M>, n: usize) -> Result<(), Unreserved<M>> {
        debug_assert!(self.is_aligned(route));
        for SharedEnd { log, holder } in &mut self.now()[..route.shared_blocking] {
            if let Some(subscriber) = log.stopped() {
                return Err(Unreserved::Stopped(subscriber));
            }
            if holder.pen().look(n) == Err(Refused::Full) {
                return Err(Unreserved::Full(Room::Shared(Arc::clone(log))));
            }
        }
        Ok(())
    }

    /// Claims `n` places in every `Block` log of the route. If one of them refuses, what the others
    /// gave is to be given back.
    pub(super) fn reserve(&mut self, route: &Route<M>, n: usize) -> Result<(), Unreserved<M>> {
        for SharedEnd { log, holder } in &mut self.now()[..route.shared_blocking] {
            // One that is closed is so together with the bus, which refuses too.
            if holder.hold(n) == Err(Refused::Full) {
                return Err(Unreserved::Full(Room::Shared(Arc::clone(log))));
            }
        }
        Ok(())
    }

    /// Gives back what is held. The caller rings: what lies behind such a place becomes readable.
    pub(super) fn give_back(&mut self) {
        for end in self.now() {
            if let Some(claim) = end.holder.held() {
                let mut nothing = repeat_with(|| None).take(claim.len()).collect();
                claim.commit_all(&mut nothing);
            }
        }
    }

    /// The end at this place of the route.
    #[inline]
    fn pen(&mut self, at: usize) -> Pen<'_, Slip<M>> {
        self.now()[at].holder.pen()
    }
}

impl<M: Message> Ends<M> {
    #[inline(never)]
    fn clear(&mut self) {
        while let Some(end) = self.old.pop() {
            drop_caught(end);
        }
        for end in &mut self.now {
            end.holder.pen().reclaim();
        }
    }
}

/// Rings everybody who sleeps and reads a log of this route.
pub(super) fn ring_bells<M: Message>(route: &Route<M>) {
    for leg in &route.shared {
        leg.log.bells.ring();
    }
}

/// Fills the places that were claimed before the ring, with the copies for them.
pub(super) fn fill<M: Message>(
    core: &Core<M>,
    reserved: &Route<M>,
    sequence: u64,
    topic: TopicId,
    scratch: &mut Scratch<M>,
) {
    let Scratch { ends, copies, counts, discarded, .. } = scratch;
    let copies = &mut copies[reserved.blocking.len()..];
    if copies.iter().any(Option::is_none) {
        return fill_some(core, reserved, sequence, topic, scratch);
    }
    let legs = &reserved.shared[..reserved.shared_blocking];
    for ((leg, end), copy) in legs.iter().zip(ends.now()).zip(copies) {
        match end.holder.held() {
            Some(claim) => {
                let mut message = || copy.take().expect(HELD);
                claim.commit(|| Some(Letter { sequence, topic, message: message() }));
                counts.delivered += leg.count();
            }
            // Closed before it had a place.
            None => discarded.extend(copy.take()),
        }
    }
}

/// The same where copies are missing, apart so that the way with all of them is short. Who has lost
/// a message by it is looked up, under a lock, when no place is held any more.
#[cold]
#[inline(never)]
fn fill_some<M: Message>(
    core: &Core<M>,
    reserved: &Route<M>,
    sequence: u64,
    topic: TopicId,
    scratch: &mut Scratch<M>,
) {
    let Scratch { ends, copies, counts, discarded, .. } = scratch;
    let copies = &mut copies[reserved.blocking.len()..];
    let legs = &reserved.shared[..reserved.shared_blocking];
    let mut lost = Vec::new();
    for ((leg, end), copy) in legs.iter().zip(ends.now()).zip(copies) {
        match (end.holder.held(), copy.take()) {
            (Some(claim), Some(message)) => {
                claim.commit(|| Some(Letter { sequence, topic, message }));
                counts.delivered += leg.count();
            }
            (Some(claim), None) => {
                claim.commit(|| None);
                lost.push(leg);
            }
            (None, copy) => discarded.extend(copy),
        }
    }
    for leg in lost {
        lose(core, leg, sequence, DropReason::Panicked, counts);
    }
}

/// The same for the columns of a batch, whose letters have their sequences by now; those whose copy
/// is missing are left out.
pub(super) fn fill_batch<M: Message>(
    core: &Core<M>,
    reserved: &Route<M>,
    first: u64,
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) {
    let Scratch { ends: SharedEnds(Some(ends)), columns, stolen, .. } = scratch else { return };
    let Ends { now, slips, .. } = &mut **ends;
    let legs = &reserved.shared[..reserved.shared_blocking];
    let columns = &mut columns[reserved.blocking.len()..];
    let mut lost = Vec::new();
    for ((leg, end), column) in legs.iter().zip(now).zip(columns) {
        let Some(claim) = end.holder.held() else {
            stolen.append(column);
            continue;
        };
        let mut letters = column.drain(..).peekable();
        for sequence in first..first + claim.len() as u64 {
            let letter = letters.next_if(|letter| letter.sequence == sequence);
            match &letter {
                Some(_) => counts.delivered += leg.count(),
                None => lost.push((leg, sequence)),
            }
            slips.push(letter);
        }
        claim.commit_all(slips);
    }
    for (leg, sequence) in lost {
        lose(core, leg, sequence, DropReason::Panicked, counts);
    }
}

/// Puts the held message into the only log of the route, which never refuses.
#[inline(always)]
pub(super) fn offer_held<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    sequence: u64,
    topic: TopicId,
    held: &mut Option<M>,
    scratch: &mut Scratch<M>,
) {
    debug_assert!(scratch.ends.is_aligned(route));
    let Scratch { ends, stolen, counts, .. } = scratch;
    let letter = Letter { sequence, topic, message: held.take().expect(HELD) };
    offer(core, &route.shared[0], &mut ends.pen(0), letter, stolen, counts);
}

/// Fills the place that was claimed before the ring in the only log of the route, with the held message.
#[inline(always)]
pub(super) fn fill_held<M: Message>(
    reserved: &Route<M>,
    sequence: u64,
    topic: TopicId,
    held: &mut Option<M>,
    scratch: &mut Scratch<M>,
) {
    let Scratch { ends, counts, discarded, .. } = scratch;
    match ends.now()[0].holder.held() {
        Some(claim) => {
            let mut message = || held.take().expect(HELD);
            claim.commit(|| Some(Letter { sequence, topic, message: message() }));
            counts.delivered += reserved.shared[0].count();
        }
        // Closed before it had a place.
        None => discarded.extend(held.take()),
    }
}

/// Puts a copy into each log of the route that never refuses.
pub(super) fn offer_all<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
) {
    debug_assert!(scratch.ends.is_aligned(route));
    let legs = &route.shared[route.shared_blocking..];
    let Some(mut copies) = caught(|| message.share(legs.len())) else {
        return legs.iter().for_each(|leg| {
            lose(core, leg, sequence, DropReason::Panicked, &mut scratch.counts);
        });
    };
    for (at, leg) in (route.shared_blocking..).zip(legs) {
        match copy(&mut copies) {
            Some(message) => {
                let Scratch { ends, stolen, counts, .. } = scratch;
                let letter = Letter { sequence, topic, message };
                offer(core, leg, &mut ends.pen(at), letter, stolen, counts);
            }
            None => lose(core, leg, sequence, DropReason::Panicked, &mut scratch.counts),
        }
    }
    drop_caught(copies);
}

/// Puts a column of a batch into a log that never refuses.
pub(super) fn offer_batch<M: Message>(
    core: &Core<M>,
    route: &Route<M>,
    (at, column): (usize, usize),
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) {
    let Scratch { ends: SharedEnds(Some(ends)), columns, stolen, .. } = scratch else { return };
    let Ends { now, slips, .. } = &mut **ends;
    let (leg, column) = (&route.shared[at], &mut columns[column]);
    if column.is_empty() {
        return;
    }
    match now[at].holder.pen().claim(column.len()) {
        Ok(claim) => {
            counts.delivered += column.len() as u64 * leg.count();
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
            counts.delivered += leg.count();
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
        Refused::Full => lose(core, leg, sequence, DropReason::FullNewest, counts),
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
        lose(core, leg, sequence, DropReason::Shutdown, counts);
    }
}

/// Counts a message that nobody of a log gets: for those of the route, also if the bus has ended them
/// meanwhile, and for whoever has joined the log since the route was resolved.
#[cold]
pub(super) fn lose<M: Message>(
    core: &Core<M>,
    leg: &SharedLeg<M>,
    sequence: u64,
    reason: DropReason,
    counts: &mut Counts,
) {
    let mut lose = |member: &SharedMember<M>| {
        let subscriber = member.subscriber();
        let left = matches!(subscriber.life(), Life::Cancelled | Life::Failed);
        if !left && member.wants(sequence) {
            counts.dropped += 1;
            subscriber.ledger.lose_outside(reason, sequence);
        }
    };
    leg.members.iter().for_each(&mut lose);
    for member in core.table.members() {
        if let Member::Shared(member) = member
            && member.reads(&leg.log)
            && !leg.members.iter().any(|known| known.is(&member))
        {
            lose(&member);
        }
    }
}
