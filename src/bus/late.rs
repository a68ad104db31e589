//! Whoever joined while a publish was under way.
//!
//! Called by `publish.rs` when its look after the claim found another table. All else is committed
//! and rung by then, so that waiting here holds up nobody.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::core::Core;
use super::offer::{found_closed, lose, lose_all, offer_all, ring_bells};
use super::room::Room;
use super::route::{Reach, Route};
use super::scratch::Scratch;
use super::{alarm, inline, shared};
use crate::actor::scope;
use crate::actor::source::Letter;
use crate::caught::caught;
use crate::ring::queue::Refused as NoPlace;
use crate::ring::{Log, Next, Refused};
use crate::topic::TopicId;
use crate::{DropReason, Message};

/// Somebody joined between the look at the route and the claim, and the messages have moved to the
/// ring already: those whom the old route did not reach get copies from there.
///
/// Of all messages first what nobody waits for, and then what is waited for, so that one who is slow
/// holds up nobody else. Inline handlers come last, as always: what they publish must not come before.
#[cold]
pub(super) fn read_back<M: Message>(
    core: &Core<M>,
    old: &Route<M>,
    route: &Arc<Route<M>>,
    sequences: Range<u64>,
    topic: TopicId,
    scratch: &mut Scratch<M>,
) {
    let joined = Arc::new(route.joined_since(old));
    if joined.reach == Reach::RingAlone {
        return;
    }
    let mut letters = Vec::new();
    for sequence in sequences {
        match from_ring(core, sequence) {
            Ok(message) => {
                offer_joined(core, &joined, sequence, topic, &message, scratch);
                letters.push(Letter { sequence, topic, message });
            }
            Err(reason) => lose_all(core, &joined, sequence, reason, &mut scratch.counts),
        }
    }
    ring_bells(&joined);
    join_late(core, &joined, &letters, scratch);
    for letter in letters {
        scratch.counts.delivered += joined.inline.len() as u64;
        inline::deliver(&joined, letter.sequence, topic, &letter.message);
        scratch.stolen.push(letter);
    }
}

/// A copy of a message that is on the ring.
fn from_ring<M: Message>(core: &Core<M>, sequence: u64) -> Result<M, DropReason> {
    let mut reader = Log::reader(&core.log, sequence);
    match reader.next() {
        Next::Item(at, entry) if at == sequence => {
            caught(|| entry.message.clone()).ok_or(DropReason::Panicked)
        }
        // The ring has come round meanwhile.
        _ => Err(DropReason::Joining),
    }
}

/// Offers a message to whoever joined and is not waited for.
fn offer_joined<M: Message>(
    core: &Core<M>,
    joined: &Route<M>,
    sequence: u64,
    topic: TopicId,
    message: &M,
    scratch: &mut Scratch<M>,
) {
    offer_all(core, &joined.open, sequence, topic, message, scratch);
    for leg in &joined.shared[joined.shared_blocking..] {
        let Some(message) = caught(|| message.clone()) else {
            shared::lose(core, leg, sequence, DropReason::Panicked, &mut scratch.counts);
            continue;
        };
        let Scratch { stolen, counts, .. } = &mut *scratch;
        let letter = Letter { sequence, topic, message };
        leg.log.log.with_writer(|pen| shared::offer(core, leg, pen, letter, stolen, counts));
    }
}

/// Serves `Block` mailboxes and logs that joined while this publish was under way: they have no place, and
/// all the rest is done and rung, so that waiting for them holds up nobody else. However many they and
/// the messages are, it is one publish, whose timeout is over once.
#[cold]
pub(super) fn join_late<M: Message>(
    core: &Core<M>,
    joined: &Route<M>,
    letters: &[Letter<M>],
    scratch: &mut Scratch<M>,
) {
    if joined.blocking.is_empty() && joined.shared_blocking == 0 {
        return;
    }
    let since = Instant::now();
    for letter in letters {
        join_one(core, joined, letter, since, scratch);
    }
}

fn join_one<M: Message>(
    core: &Core<M>,
    joined: &Route<M>,
    &Letter { sequence, topic, ref message }: &Letter<M>,
    since: Instant,
    scratch: &mut Scratch<M>,
) {
    for target in &joined.blocking {
        let Some(message) = caught(|| message.clone()) else {
            lose(target, sequence, DropReason::Panicked, &mut scratch.counts);
            continue;
        };
        let room = Room::Mailbox(Arc::clone(&target.target), None);
        match reserve_late(core, &room, since, scratch.patient, || target.addr.reserve(1)) {
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
        let shared = reserve_late(core, &room, since, scratch.patient, || {
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

/// A place in a `Block` mailbox or log, as soon as there is one, if this publish may wait for it. It
/// began to wait for such places at `since`.
fn reserve_late<M: Message, R>(
    core: &Core<M>,
    room: &Room<M>,
    since: Instant,
    patient: bool,
    mut reserve: impl FnMut() -> Result<R, NoPlace>,
) -> Result<R, NoPlace> {
    let deadline = alarm::add(since, room.timeout(core, 1));
    #[cfg(test)]
    tests::DEADLINES.with_borrow_mut(|deadlines| deadlines.push(deadline));
    loop {
        match reserve() {
            Err(NoPlace::Full)
                if patient && !scope::inside() && room.wait_blocking(core, 1, deadline) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use crate::{Bus, Delivery, Executor, Message, Overflow, Subscription, Wait};

    use super::*;

    thread_local! {
        /// Until when this thread would have waited for places.
        pub(super) static DEADLINES: RefCell<Vec<Instant>> = const { RefCell::new(Vec::new()) };
    }

    type Join = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

    /// Lets somebody join in the middle of its publish.
    #[derive(Clone, Default)]
    struct Joined(Join);

    impl Message for Joined {
        fn share(&self, n: usize) -> impl Iterator<Item = Self> {
            let join = self.0.lock().unwrap().take();
            if let Some(join) = join {
                join();
            }
            (0..n).map(|_| self.clone())
        }
    }

    /// Two subscriptions that have a message in hand and another one in their mailboxes, which are full.
    fn full_pair(bus: &Bus<Joined>) -> [(Subscription<Joined>, mpsc::Sender<()>); 2] {
        let (enter, entered) = mpsc::channel();
        let pair = [(); 2].map(|()| {
            let (open, gate) = mpsc::channel::<()>();
            let enter = enter.clone();
            let builder = bus.subscribe("t").unwrap().mailbox(1);
            let builder = builder.overflow(Overflow::Block { timeout: Duration::from_millis(1) });
            let builder = builder.executor(Executor::thread(Wait::Park));
            let handle = move |_: Delivery<'_, Joined>| {
                let _ = enter.send(());
                let _ = gate.recv();
            };
            (builder.spawn(handle).unwrap(), open)
        });
        bus.publish_to("t", Joined::default()).unwrap();
        pair.iter().for_each(|_| entered.recv().unwrap());
        bus.publish_to("t", Joined::default()).unwrap();
        pair
    }

    #[test]
    fn a_publish_waits_for_all_that_join_late_as_long_as_for_one() {
        for batch in [false, true] {
            let bus = Bus::<Joined>::new();
            let _old = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Joined>| {}).unwrap();
            let (joiner, slot) = (bus.clone(), Arc::new(Mutex::new(Vec::new())));
            let keep = Arc::clone(&slot);
            let join: Box<dyn FnOnce() + Send> = Box::new(move || {
                keep.lock().unwrap().extend(full_pair(&joiner));
            });
            let first = Joined(Arc::new(Mutex::new(Some(join))));
            let mut publisher = bus.publisher("t").unwrap();
            DEADLINES.take();
            let messages = if batch {
                let mut list = vec![first, Joined::default(), Joined::default()];
                assert_eq!(publisher.publish_batch(&mut list).unwrap().dropped, 6);
                3
            } else {
                assert_eq!(publisher.publish(first).unwrap().dropped, 2);
                1
            };
            let deadlines = DEADLINES.take();
            assert_eq!(deadlines.len(), 2 * messages);
            assert!(deadlines.iter().all(|one| *one == deadlines[0]), "{deadlines:?}");
            let (subscriptions, gates): (Vec<_>, Vec<_>) = slot.lock().unwrap().drain(..).unzip();
            drop(gates);
            bus.settle(Duration::from_secs(60)).unwrap();
            for stats in subscriptions.iter().map(Subscription::stats) {
                assert_eq!(stats.dropped[&DropReason::Joining], messages as u64, "{stats:?}");
                assert!(stats.balances(), "{stats:?}");
            }
        }
    }

    #[test]
    fn whoever_joins_in_the_middle_of_a_publish_has_its_message_by_every_way() {
        let block = Overflow::Block { timeout: Duration::from_secs(60) };
        // One mailbox, a log that two share, both of Block, and mailboxes that are not alike; the route and
        // the place at the ring are the publisher's own, or lent.
        let ways: [(&[(Overflow, usize)], Reach); 5] = [
            (&[(Overflow::DropOldest, 8)], Reach::Mailbox),
            (&[(Overflow::DropOldest, 64); 2], Reach::Log),
            (&[(block, 8)], Reach::BlockMailbox),
            (&[(block, 64); 2], Reach::BlockLog),
            (&[(Overflow::DropOldest, 8), (block, 4)], Reach::Other),
        ];
        let uses = [(false, false), (false, true), (true, false), (true, true)];
        let cases = ways.into_iter().flat_map(|way| uses.map(|use_| (way, use_)));
        for ((way, reach), (by_name, alike)) in cases {
            let bus = Bus::<Joined>::new();
            let (seen, each) = mpsc::channel();
            let join = |bus: &Bus<Joined>, number, (overflow, slots)| {
                let seen = seen.clone();
                let handle =
                    move |d: Delivery<'_, Joined>| seen.send((number, d.sequence())).unwrap();
                let builder = bus.subscribe("t").unwrap().mailbox(slots).overflow(overflow);
                builder.spawn(handle).unwrap()
            };
            let old: Vec<_> =
                way.iter().enumerate().map(|(at, &how)| join(&bus, at, how)).collect();
            let (slot, (overflow, slots)) = (Arc::new(Mutex::new(None)), way[0]);
            let (joiner, keep, late) = (bus.clone(), Arc::clone(&slot), seen.clone());
            let latecomer: Box<dyn FnOnce() + Send> = Box::new(move || {
                let handle = move |d: Delivery<'_, Joined>| late.send((9, d.sequence())).unwrap();
                let builder = joiner.subscribe("t").unwrap();
                let builder =
                    if alike { builder.mailbox(slots).overflow(overflow) } else { builder };
                *keep.lock().unwrap() = Some(builder.spawn(handle).unwrap());
            });
            let mut publisher = bus.publisher("t").unwrap();
            let mut publish = |message| match by_name {
                true => bus.publish_to("t", message).unwrap(),
                false => publisher.publish(message).unwrap(),
            };
            assert_eq!(bus.core().table.route("t").reach, reach, "{way:?}");
            let published = publish(Joined(Arc::new(Mutex::new(Some(latecomer)))));
            assert_eq!(
                (published.delivered, published.dropped),
                (old.len() as u64 + 1, 0),
                "{way:?} {alike}"
            );
            publish(Joined::default());
            bus.settle(Duration::from_secs(60)).unwrap();
            let mut got: Vec<_> =
                each.try_iter().map(|(number, at)| (number, at.unwrap().get())).collect();
            got.sort_unstable();
            let readers = (0..old.len()).chain([9]);
            let expected: Vec<_> = readers.flat_map(|number| [(number, 1), (number, 2)]).collect();
            assert_eq!(got, expected, "{way:?}");
        }
    }
}
