//! Whoever joined while a publish was under way.
//!
//! Called by `publish.rs` when its look after the claim found another table. All else is committed
//! and rung by then, so that waiting here holds up nobody.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::Core;
use super::offer::{found_closed, lose, lose_all, offer_all, ring_bells};
use super::room::Room;
use super::route::Route;
use super::scratch::Scratch;
use super::{alarm, inline, shared};
use crate::actor::scope;
use crate::actor::source::Letter;
use crate::caught::caught;
use crate::ring::queue::Refused as NoPlace;
use crate::ring::{Log, Next, Refused};
use crate::topic::TopicId;
use crate::{DropReason, Message};

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
) {
    let joined = Arc::new(route.joined_since(old));
    if joined.is_ring_alone() {
        return;
    }
    let mut reader = Log::reader(&core.log, sequence);
    let copy = match reader.next() {
        Next::Item(at, entry) if at == sequence => {
            caught(|| entry.message.clone()).ok_or(DropReason::Panicked)
        }
        // The ring has come round meanwhile.
        _ => Err(DropReason::Joining),
    };
    drop(reader);
    let message = match copy {
        Ok(message) => message,
        Err(reason) => return lose_all(core, &joined, sequence, reason, &mut scratch.counts),
    };
    offer_all(core, &joined.open, sequence, topic, &message, scratch);
    for leg in &joined.shared[joined.shared_blocking..] {
        let Some(message) = caught(|| message.clone()) else {
            shared::lose(core, leg, sequence, DropReason::Panicked, &mut scratch.counts);
            continue;
        };
        let Scratch { stolen, counts, .. } = &mut *scratch;
        let letter = Letter { sequence, topic, message };
        leg.log.log.with_writer(|pen| shared::offer(core, leg, pen, letter, stolen, counts));
    }
    ring_bells(&joined);
    join_late(core, &joined, sequence, topic, &message, scratch);
    scratch.counts.delivered += joined.inline.len() as u64;
    inline::deliver(&joined, sequence, topic, &message);
    scratch.stolen.push(Letter { sequence, topic, message });
}

/// Serves `Block` mailboxes and logs that joined while this publish was under way: they have no place, and
/// all the rest is done and rung, so that waiting for them holds up nobody else.
#[cold]
pub(super) fn join_late<M: Message>(
    core: &Core<M>,
    joined: &Route<M>,
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
) {
    for target in &joined.blocking {
        let Some(message) = caught(|| message.clone()) else {
            lose(target, sequence, DropReason::Panicked, &mut scratch.counts);
            continue;
        };
        let room = Room::Mailbox(Arc::clone(&target.target), None);
        match reserve_late(core, &room, scratch.patient, || target.addr.reserve(1)) {
            Ok(mut places) => {
                target.addr.fill(&mut places, || Letter { sequence, topic, message });
                scratch.counts.delivered += 1;
                target.addr.signal().ring();
            }
            Err(NoPlace::Full) => {
                scratch.discarded.push(message);
                lose(target, sequence, DropReason::Joining, &mut scratch.counts);
            }
            Err(NoPlace::Closed) => {
                scratch.discarded.push(message);
                found_closed(core, target, sequence, &mut scratch.counts);
            }
        }
    }
    for leg in &joined.shared[..joined.shared_blocking] {
        let Some(message) = caught(|| message.clone()) else {
            shared::lose(core, leg, sequence, DropReason::Panicked, &mut scratch.counts);
            continue;
        };
        let mut letter = Some(Letter { sequence, topic, message });
        let room = Room::Shared(Arc::clone(&leg.log));
        let shared = reserve_late(core, &room, scratch.patient, || {
            let written = leg.log.log.with_writer(|pen| {
                let claim = pen.claim(1)?;
                claim.commit(|| letter.take());
                Ok(())
            });
            written.map_err(|refused| match refused {
                Refused::Full => NoPlace::Full,
                Refused::Closed | Refused::Disabled => NoPlace::Closed,
            })
        });
        match shared {
            Ok(()) => {
                scratch.counts.delivered += leg.count();
                leg.log.bells.ring();
            }
            Err(NoPlace::Full) => {
                shared::lose(core, leg, sequence, DropReason::Joining, &mut scratch.counts);
            }
            Err(NoPlace::Closed) => {
                shared::found_closed(core, leg, sequence, &mut scratch.counts);
            }
        }
        scratch.stolen.extend(letter);
    }
}

/// A place in a `Block` mailbox or log, as soon as there is one, if this publish may wait for it.
fn reserve_late<M: Message, R>(
    core: &Core<M>,
    room: &Room<M>,
    patient: bool,
    mut reserve: impl FnMut() -> Result<R, NoPlace>,
) -> Result<R, NoPlace> {
    let deadline = alarm::after(room.timeout(core, 1));
    loop {
        match reserve() {
            Err(NoPlace::Full)
                if patient && !scope::inside() && room.wait_blocking(core, 1, deadline) => {}
            done => return done,
        }
    }
}
