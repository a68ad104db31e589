//! One publish of up to 64 messages: the steps of `publish.rs`, each taken once for all.
//!
//! Copies are made message by message, so that a shared message is counted once for all its
//! mailboxes, and are laid out mailbox by mailbox, so that each takes its column in one claim.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::Core;
use super::late::read_back;
use super::offer::{Counts, found_closed, give_back, lose, lost_oldest, reserve, ring_bells};
use super::publish::{Refusal, RingEnd};
use super::room::Room;
use super::route::{Route, Target};
use super::scratch::Scratch;
use super::topics::TopicEntry;
use super::{inline, shared};
use crate::actor::scope;
use crate::actor::source::{Entry, Letter};
use crate::caught::caught;
use crate::mailbox::Rest;
use crate::ring::Refused;
use crate::{DropReason, Message, Sequence, Stamp, trace};

/// The largest group that is claimed at once.
pub(crate) const LARGEST: usize = 64;

/// What became of a batch, summed over its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedBatch {
    /// The first message's sequence; `None` for an empty batch or a disabled bus.
    pub first: Option<Sequence>,
    /// The last message's sequence. Other publishers' messages may lie in between.
    pub last: Option<Sequence>,
    /// Messages that went out; none while the bus is disabled, when they are dropped.
    pub count: u64,
    /// Deliveries: each message in each mailbox that took it, inline handlers run, ring readers.
    pub delivered: u64,
    /// Messages that mailboxes lost to this batch, these or older ones.
    pub dropped: u64,
}

impl PublishedBatch {
    pub(crate) fn add(&mut self, next: Self) {
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
        self.count += next.count;
        self.delivered += next.delivered;
        self.dropped += next.dropped;
    }
}

/// Publishes the first of `messages`, as many as can be claimed at once, and takes them out; or
/// none of them. The caller has some.
pub(crate) fn publish<M: Message>(
    core: &Core<M>,
    ring: &mut impl RingEnd<M>,
    topic: &TopicEntry<M>,
    route: &mut Arc<Route<M>>,
    scratch: &mut Scratch<M>,
    messages: &mut Vec<M>,
) -> Result<PublishedBatch, Refusal<M>> {
    if !core.log.is_enabled() {
        scratch.discarded.append(messages);
        scratch.clear();
        return Ok(PublishedBatch::default());
    }
    if let Some(gate) = core.refuses() {
        return Err(Refusal::at(gate));
    }
    if route.version != core.table.version() {
        topic.follow(&core.table, route, &mut scratch.ends);
    }
    // A group must fit the ring, every required reader's window, and every `Block` mailbox.
    let size = messages.len().min(LARGEST).min(core.log.largest_claim());
    let size = route.smallest_blocking().map_or(size, |most| size.min(most));
    let stamp = Stamp::default();
    for message in &mut messages[..size] {
        message.stamp(&stamp);
    }
    let logs = core.settings.log_events;
    let lines: Vec<_> =
        messages[..size].iter().filter(|_| logs).map(|message| trace::Line::of(message)).collect();
    let done = Group { core, topic, size }.publish(ring, route, scratch, messages);
    scratch.clear();
    ring.pen().reclaim();
    scratch.ends.clear();
    if done.as_ref().is_ok_and(|done| done.first.is_some()) {
        for line in lines {
            line.published(&topic.name, route.subscribers());
        }
    }
    done
}

/// One group under way.
struct Group<'a, M: Message> {
    core: &'a Core<M>,
    topic: &'a TopicEntry<M>,
    size: usize,
}

impl<M: Message> Group<'_, M> {
    fn publish(
        &self,
        ring: &mut impl RingEnd<M>,
        route: &mut Arc<Route<M>>,
        scratch: &mut Scratch<M>,
        messages: &mut Vec<M>,
    ) -> Result<PublishedBatch, Refusal<M>> {
        let Self { core, topic, size } = *self;
        let inline = usize::from(!route.inline.is_empty());
        // Copying may do anything, so it is done before there is a place to hold.
        self.copy(route.copies() + inline, scratch, messages);
        let ready = || ring.pen().look(size);
        if let Err(unreserved) = reserve(route, size, scratch, ready) {
            scratch.discard_columns();
            return Err(unreserved.into());
        }
        let claimed = match ring.pen().claim(size) {
            Ok(claim) => {
                let first = claim.first();
                let rerouted = core.table.version() != route.version;
                let messages = messages.drain(..size);
                claim.commit_each(messages.map(|message| Entry { topic: topic.id, message }));
                Ok((first, rerouted))
            }
            Err(refused) => Err(refused),
        };
        let (first, rerouted) = match claimed {
            Ok(claimed) => claimed,
            Err(refused) => {
                give_back(route, &mut scratch.places, &mut scratch.ends);
                scratch.discard_columns();
                return match refused {
                    Refused::Full => Err(Refusal::Full(Room::Ring)),
                    Refused::Closed => Err(Refusal::Closed),
                    // Disabled between the first look and the claim: the same as before it.
                    Refused::Disabled => {
                        scratch.discarded.append(messages);
                        Ok(PublishedBatch::default())
                    }
                };
            }
        };
        scope::note_published(core.number, size as u64);
        for letter in scratch.columns.iter_mut().flatten() {
            letter.sequence += first;
        }
        let mut counts = Counts::default();
        self.fill(route, first, scratch, &mut counts);
        self.offer(route, first, scratch, &mut counts);
        self.lose_inline(route, first, scratch);
        ring_bells(route);
        core.ring_readers();
        counts.delivered += route.readers * size as u64;
        if inline == 1 {
            let column = std::mem::take(&mut scratch.columns[route.copies()]);
            counts.delivered += (column.len() * route.inline.len()) as u64;
            for letter in column {
                inline::deliver(route, letter.sequence, letter.topic, &letter.message);
                scratch.stolen.push(letter);
            }
        }
        if rerouted {
            let old = std::mem::replace(route, topic.route(&core.table));
            scratch.ends.align(route);
            scratch.counts = counts;
            read_back(core, &old, route, first..first + size as u64, topic.id, scratch);
            counts = scratch.counts;
        }
        Ok(PublishedBatch {
            first: Some(Sequence::new(first)),
            last: Some(Sequence::new(first + size as u64 - 1)),
            count: size as u64,
            delivered: counts.delivered,
            dropped: counts.dropped,
        })
    }

    /// Makes the copies of all messages, one column a target. A letter's sequence is its place in
    /// the group until the group has one.
    fn copy(&self, targets: usize, scratch: &mut Scratch<M>, messages: &[M]) {
        scratch.columns.resize_with(targets.max(scratch.columns.len()), Vec::new);
        if targets == 0 {
            return;
        }
        let columns = &mut scratch.columns[..targets];
        let mut place = 0;
        while place < self.size {
            // One guard around the whole loop; after a panic it goes on behind the message.
            let copied = caught(|| {
                for message in &messages[place..self.size] {
                    for (column, message) in columns.iter_mut().zip(message.share(targets)) {
                        let sequence = place as u64;
                        column.push(Letter { sequence, topic: self.topic.id, message });
                    }
                    place += 1;
                }
            });
            if copied.is_none() {
                // Nobody gets a message whose Clone panics, so that all mailboxes agree.
                for column in &mut *columns {
                    let torn = column.pop_if(|letter| letter.sequence == place as u64);
                    scratch.stolen.extend(torn);
                }
                place += 1;
            }
        }
    }

    /// Fills the places that were claimed before the ring.
    fn fill(&self, route: &Route<M>, first: u64, scratch: &mut Scratch<M>, counts: &mut Counts) {
        let columns = scratch.columns.iter_mut();
        for ((target, places), column) in
            route.blocking.iter().zip(scratch.places.drain(..)).zip(columns)
        {
            let Some(mut places) = places else {
                scratch.stolen.append(column);
                continue;
            };
            self.lose_uncopied(target, first, column, counts);
            counts.delivered += column.len() as u64;
            target.addr.fill_all(&mut places, column);
            if places.left() > 0 {
                target.addr.skip(&mut places);
            }
        }
        if route.shared_blocking > 0 {
            shared::fill_batch(self.core, route, first, scratch, counts);
        }
    }

    /// Offers a column to each other mailbox and log.
    fn offer(&self, route: &Route<M>, first: u64, scratch: &mut Scratch<M>, counts: &mut Counts) {
        let reserved = route.blocking.len() + route.shared_blocking;
        let columns = scratch.columns.iter_mut().skip(reserved);
        for (target, column) in route.open.iter().zip(columns) {
            self.lose_uncopied(target, first, column, counts);
            let before = scratch.stolen.len();
            let pushed = target.addr.push_all(column, &mut scratch.stolen);
            counts.delivered += pushed.taken;
            counts.dropped += pushed.stolen;
            if pushed.stolen > 0 {
                lost_oldest(target, &scratch.stolen[before..]);
            }
            for letter in &*column {
                match pushed.rest {
                    Rest::Closed => found_closed(self.core, target, letter.sequence, counts),
                    _ => lose(target, letter.sequence, DropReason::FullNewest, counts),
                }
            }
            scratch.stolen.append(column);
        }
        let columns = reserved + route.open.len()..;
        for (at, column) in (route.shared_blocking..route.shared.len()).zip(columns) {
            for sequence in self.uncopied(first, &scratch.columns[column]) {
                let leg = &route.shared[at];
                shared::lose(self.core, leg, sequence, DropReason::Panicked, counts);
            }
            shared::offer_batch(self.core, route, (at, column), scratch, counts);
        }
    }

    /// Counts the messages that are missing in a column because their Clone panicked.
    fn lose_uncopied(
        &self,
        target: &Target<M>,
        first: u64,
        column: &[Letter<M>],
        counts: &mut Counts,
    ) {
        for sequence in self.uncopied(first, column) {
            lose(target, sequence, DropReason::Panicked, counts);
        }
    }

    /// The same for the column of the inline handlers.
    fn lose_inline(&self, route: &Route<M>, first: u64, scratch: &Scratch<M>) {
        if !route.inline.is_empty() {
            for sequence in self.uncopied(first, &scratch.columns[route.copies()]) {
                inline::lose(route, sequence, DropReason::Panicked);
            }
        }
    }

    /// The sequences that are missing in a column.
    fn uncopied(&self, first: u64, column: &[Letter<M>]) -> impl Iterator<Item = u64> {
        let sequences = match self.size - column.len() {
            0 => first..first,
            _ => first..first + self.size as u64,
        };
        let mut letters = column.iter().map(|letter| letter.sequence).peekable();
        sequences.filter(move |sequence| letters.next_if_eq(sequence).is_none())
    }
}
