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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::alarm;
use super::core::{Core, Gate, Stolen};
use super::inline;
use super::room::Room;
use super::route::{Route, Target};
use super::topics::TopicEntry;
use crate::actor::scope;
use crate::actor::source::{Entry, Letter, drop_caught};
use crate::actor::subscriber::Life;
use crate::mailbox::{Push, signal};
use crate::ring::queue::{Places, Refused as NoPlace};
use crate::ring::{Log, Next, Pen, Refused, Writer};
use crate::topic::TopicId;
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

/// Somebody joined between the look at the route and the claim, and the message has moved to the
/// ring already: those whom the old route did not reach get a copy from there.
#[cold]
pub(super) fn read_back<M: Message>(
    core: &Core<M>,
    old: &Route<M>,
    route: &Arc<Route<M>>,
    sequence: u64,
    topic: TopicId,
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) {
    let joined = Arc::new(route.joined_since(old));
    if joined.mailboxes() == 0 && joined.inline.is_empty() {
        return;
    }
    let mut reader = Log::reader(&core.log, sequence);
    let copy = match reader.next() {
        Next::Item(at, entry) if at == sequence => {
            catch_unwind(AssertUnwindSafe(|| entry.message.clone()))
                .map_err(|_| DropReason::Panicked)
        }
        // The ring has come round meanwhile.
        _ => Err(DropReason::Joining),
    };
    drop(reader);
    let message = match copy {
        Ok(message) => message,
        Err(reason) => return lose_all(&joined, sequence, reason, counts),
    };
    offer_all(core, &joined.open, sequence, topic, &message, scratch, counts);
    signal::fence();
    ring_bells(&joined);
    join_late(core, &joined, sequence, topic, &message, scratch, counts);
    counts.delivered += joined.inline.len() as u64;
    inline::deliver(&joined, sequence, topic, &message);
    scratch.stolen.push(Letter { sequence, topic, message });
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

/// The running sums of one publish.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dropped: u64,
}

impl Counts {
    fn published(self, sequence: u64) -> Published {
        Published {
            sequence: (sequence != 0).then(|| Sequence::new(sequence)),
            delivered: self.delivered,
            dropped: self.dropped,
        }
    }
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

/// The next copy, or nothing if the message's Clone panics.
#[inline]
pub(super) fn copy<M>(copies: &mut impl Iterator<Item = M>) -> Option<M> {
    // The panic was the message's own and has nowhere to go; the loss is counted.
    catch_unwind(AssertUnwindSafe(|| copies.next())).ok().flatten()
}

/// Why places could not be claimed in all `Block` mailboxes.
pub(super) enum Unreserved<M: Message> {
    Full(Arc<Target<M>>),
    Stopped(u64),
}

/// Claims `n` places in every `Block` mailbox of the route, or in none.
pub(super) fn reserve<M: Message>(
    route: &Route<M>,
    n: usize,
    places: &mut Vec<Option<Places>>,
) -> Result<(), Unreserved<M>> {
    for target in &route.blocking {
        match target.addr.reserve(n) {
            Ok(reserved) => places.push(Some(reserved)),
            Err(NoPlace::Full) => {
                give_back(route, places);
                return Err(Unreserved::Full(Arc::clone(target)));
            }
            Err(NoPlace::Closed) if target.subscriber.life() == Life::Failed => {
                give_back(route, places);
                return Err(Unreserved::Stopped(target.subscriber.id));
            }
            // Cancelled, and about to leave the table.
            Err(NoPlace::Closed) => places.push(None),
        }
    }
    Ok(())
}

/// Gives back claimed places, and rings: a place given back makes what lies behind it readable.
#[cold]
pub(super) fn give_back<M: Message>(route: &Route<M>, places: &mut Vec<Option<Places>>) {
    for (target, place) in route.blocking.iter().zip(places.iter_mut()) {
        if let Some(places) = place {
            target.addr.skip(places);
        }
    }
    if !places.is_empty() {
        signal::fence();
        for target in &route.blocking[..places.len()] {
            target.addr.signal().ring();
        }
    }
    places.clear();
}

/// Rings everybody of the route who sleeps. The caller has passed the fence.
#[inline]
pub(super) fn ring_bells<M: Message>(route: &Route<M>) {
    for target in route.blocking.iter().chain(&route.open) {
        target.addr.signal().ring();
    }
}

/// Offers one copy to each mailbox, as far as there are copies; returns how far that was.
#[inline]
fn offer_copies<M: Message>(
    core: &Core<M>,
    targets: &[Arc<Target<M>>],
    sequence: u64,
    topic: TopicId,
    copies: &mut impl Iterator<Item = M>,
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) -> usize {
    let mut next = 0;
    while next < targets.len() {
        // One guard around the whole loop; after a panic it goes on behind the mailbox that the
        // copy was for.
        let offered = catch_unwind(AssertUnwindSafe(|| {
            while let Some(target) = targets.get(next) {
                let Some(message) = copies.next() else { return false };
                offer(core, target, sequence, topic, message, &mut scratch.stolen, counts);
                next += 1;
            }
            true
        }));
        match offered {
            Ok(true) => break,
            // The route grew since the copies were counted.
            Ok(false) => return next,
            Err(_) => {
                lose(&targets[next], sequence, DropReason::Panicked, counts);
                next += 1;
            }
        }
    }
    targets.len()
}

/// Offers clones of a message that is kept.
fn offer_all<M: Message>(
    core: &Core<M>,
    targets: &[Arc<Target<M>>],
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) {
    let Ok(mut copies) = catch_unwind(AssertUnwindSafe(|| message.share(targets.len()))) else {
        return targets
            .iter()
            .for_each(|target| lose(target, sequence, DropReason::Panicked, counts));
    };
    let served = offer_copies(core, targets, sequence, topic, &mut copies, scratch, counts);
    drop_caught(copies);
    // None are left, unless `share` gave fewer than it was asked for.
    for target in &targets[served..] {
        lose(target, sequence, DropReason::Panicked, counts);
    }
}

/// Offers a message to one mailbox; what is lost by it is counted.
#[inline]
pub(super) fn offer<M: Message>(
    core: &Core<M>,
    target: &Target<M>,
    sequence: u64,
    topic: TopicId,
    message: M,
    stolen: &mut Stolen<M>,
    counts: &mut Counts,
) {
    let before = stolen.len();
    let pushed = target.addr.push(Letter { sequence, topic, message }, stolen);
    if stolen.len() > before {
        // Also where others took the room that was made.
        lost_oldest(target, &stolen[before..]);
    }
    match pushed {
        Push::Taken => counts.delivered += 1,
        Push::TookOldest(_) => {
            counts.delivered += 1;
            counts.dropped += 1;
        }
        Push::Refused(letter) | Push::Disconnected(letter) => {
            stolen.push(letter);
            lose(target, sequence, DropReason::FullNewest, counts);
        }
        Push::Closed(letter) => {
            stolen.push(letter);
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
fn lose_all<M: Message>(route: &Route<M>, sequence: u64, reason: DropReason, counts: &mut Counts) {
    for target in route.open.iter().chain(&route.blocking) {
        lose(target, sequence, reason, counts);
    }
    inline::lose(route, sequence, reason);
}

/// Serves `Block` mailboxes that joined while this publish was under way: they have no place, and
/// all the rest is done and rung, so that waiting for them holds up nobody else.
#[cold]
fn join_late<M: Message>(
    core: &Core<M>,
    joined: &Route<M>,
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
    counts: &mut Counts,
) {
    for target in &joined.blocking {
        let Ok(message) = catch_unwind(AssertUnwindSafe(|| message.clone())) else {
            lose(target, sequence, DropReason::Panicked, counts);
            continue;
        };
        match reserve_late(core, target, scratch.patient) {
            Ok(mut places) => {
                target.addr.fill(&mut places, Letter { sequence, topic, message });
                counts.delivered += 1;
                signal::fence();
                target.addr.signal().ring();
            }
            Err(NoPlace::Full) => {
                scratch.discarded.push(message);
                lose(target, sequence, DropReason::Joining, counts);
            }
            Err(NoPlace::Closed) => {
                scratch.discarded.push(message);
                found_closed(core, target, sequence, counts);
            }
        }
    }
}

/// A place in a `Block` mailbox, as soon as there is one, if this publish may wait for it.
fn reserve_late<M: Message>(
    core: &Core<M>,
    target: &Arc<Target<M>>,
    patient: bool,
) -> Result<Places, NoPlace> {
    let room = Room::Mailbox(Arc::clone(target));
    let deadline = alarm::after(room.timeout(core, 1));
    loop {
        match target.addr.reserve(1) {
            Err(NoPlace::Full)
                if patient && !scope::inside() && room.wait_blocking(core, 1, deadline) => {}
            done => return done,
        }
    }
}
