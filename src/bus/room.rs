//! Waiting for whoever had no room: a `Block` mailbox or shared log, or a required reader of the
//! ring.
//!
//! Nobody waits while holding a place: by then everything was given back.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::alarm::{self, Alarm};
use super::core::Core;
use super::route::{Leg, Route, Target};
use super::table::Member;
use crate::Message;
use crate::actor::ring_source::RingMember;
use crate::actor::scope;
use crate::actor::shared_log::SharedLog;
use crate::actor::shared_member::SharedMember;
use crate::actor::subscriber::Subscriber;
use crate::mailbox::Overflow;
use crate::mailbox::looks::{self, Looks};
use crate::mailbox::space::Space;

/// Where there was no room.
pub(crate) enum Room<M: Message> {
    Mailbox(Arc<Target<M>>, Beside<M>),
    Shared(Arc<SharedLog<M>>),
    Ring,
}

/// The route of a publish that was refused by one of its mailboxes; `None` if only that one counts.
///
/// Receivers that share an executor are served one after another, so their mailboxes are full one
/// after another: a publisher that waits for one gets on by a few messages, and has to wait for the
/// next one. So whoever has slept for one waits, for a moment, until half of each is free.
pub(crate) type Beside<M> = Option<Arc<Route<M>>>;

/// How long a publisher that has room waits for other mailboxes of its route at most.
const MOMENT: Duration = Duration::from_millis(1);

impl<M: Message> Room<M> {
    /// How long a publish of `n` messages waits for it.
    pub(crate) fn timeout(&self, core: &Core<M>, n: usize) -> Duration {
        match self {
            Self::Mailbox(target, _) => timeout_of(target.addr.overflow()),
            Self::Shared(log) => timeout_of(log.overflow),
            // Of several that are in the way, whoever has the least patience.
            Self::Ring => Self::in_the_way(core, n)
                .map(|reader| reader.timeout)
                .min()
                .unwrap_or(core.settings.publish_timeout),
        }
    }

    /// The subscriptions that publishers must not overrun, and would with `n` messages more.
    fn in_the_way(core: &Core<M>, n: usize) -> impl Iterator<Item = Arc<RingMember<M>>> {
        let n = n.min(core.log.largest_claim()) as u64;
        core.table.members().into_iter().filter_map(move |member| match member {
            Member::Ring(reader) if reader.required => {
                // In this order the lag is not too small; and a reader tells publishers first.
                let done = reader.subscriber.ledger.runner.done();
                (core.log.tail() + n > done + reader.window).then_some(reader)
            }
            _ => None,
        })
    }

    /// Whether it is for the calling handler itself to make room.
    pub(crate) fn is_own(&self, core: &Core<M>) -> bool {
        let own = |subscriber: &Subscriber<M>| scope::is_inside(core.number, subscriber.id);
        match self {
            Self::Mailbox(target, _) => own(&target.subscriber),
            Self::Shared(log) => {
                let full =
                    |member: &SharedMember<M>| log.log.tail() >= member.taken() + log.window as u64;
                let own = |member: &Member<M>| match member {
                    Member::Shared(member) => {
                        own(member.subscriber()) && member.reads(log) && full(member)
                    }
                    _ => false,
                };
                scope::inside() && core.table.members().iter().any(own)
            }
            Self::Ring => {
                scope::inside() && Self::in_the_way(core, 1).any(|reader| own(&reader.subscriber))
            }
        }
    }

    fn space<'a>(&'a self, core: &'a Core<M>) -> &'a Space {
        match self {
            Self::Mailbox(target, _) => target.addr.space(),
            Self::Shared(log) => &log.space,
            Self::Ring => &core.room,
        }
    }

    /// How many places there are in all.
    fn places(&self, core: &Core<M>) -> u64 {
        match self {
            Self::Mailbox(target, _) => target.addr.capacity() as u64,
            Self::Shared(log) => log.window as u64,
            Self::Ring => core.log.smallest_window(),
        }
    }

    /// Whether it is worth trying again with `n` messages, or as many as ever fit at once.
    fn has_some(&self, core: &Core<M>, n: usize) -> bool {
        match self {
            Self::Mailbox(target, _) => target.addr.has_room(n.min(target.addr.capacity())),
            Self::Shared(log) => log.log.has_room(n.min(log.window)),
            Self::Ring => core.log.has_room(n.min(core.log.largest_claim())),
        }
    }

    /// Whether at least half of the places are free.
    fn is_half_free(&self, core: &Core<M>) -> bool {
        match self {
            Self::Mailbox(target, _) => target.addr.is_half_free(),
            Self::Shared(log) => log.log.is_half_free(),
            Self::Ring => core.log.is_half_free(),
        }
    }

    /// Of the other mailboxes that are more than half full, the one with the most room: as they are
    /// served one after another, the others will have been served before it.
    fn last_served(&self) -> Option<&Leg<M>> {
        let Self::Mailbox(_, Some(route)) = self else { return None };
        let full = route.blocking.iter().filter(|leg| !leg.addr.is_half_free());
        full.min_by_key(|leg| leg.addr.len() * 64 / leg.addr.capacity())
    }

    /// Waits on this thread; whether it is worth trying again before the deadline.
    pub(crate) fn wait_blocking(&self, core: &Core<M>, n: usize, deadline: Instant) -> bool {
        let has_room = looks::wait_blocking(
            self.space(core),
            self.places(core),
            Some(deadline),
            || self.has_some(core, n),
            || self.is_half_free(core),
        );
        let until = deadline.min(Instant::now() + MOMENT);
        while has_room && let Some(leg) = self.last_served() {
            let (places, half) = (leg.addr.capacity() as u64, || leg.addr.is_half_free());
            if !looks::wait_blocking(leg.addr.space(), places, Some(until), half, half) {
                break;
            }
        }
        has_room
    }

    /// Waits as a task; whether it is worth trying again before the deadline.
    pub(crate) async fn wait(&self, core: &Core<M>, n: usize, deadline: Instant) -> bool {
        // By and by the calling handler may be the only one that is in the way.
        let ready = || self.has_some(core, n) || self.is_own(core);
        let has_room = wait_at(self.space(core), deadline, ready).await;
        let until = deadline.min(Instant::now() + MOMENT);
        while has_room && let Some(leg) = self.last_served() {
            if !wait_at(leg.addr.space(), until, || leg.addr.is_half_free()).await {
                break;
            }
        }
        has_room
    }
}

/// Waits as a task until `ready` says so; whether it did before the deadline.
async fn wait_at(space: &Space, deadline: Instant, mut ready: impl FnMut() -> bool) -> bool {
    let mut waiting = space.waiting_patiently();
    let mut looks = Looks::begin();
    let mut alarmed: Option<(Waker, Alarm)> = None;
    std::future::poll_fn(|task| {
        if waiting.poll(task, &mut ready).is_ready() {
            return Poll::Ready(true);
        }
        let now = Instant::now();
        if now >= deadline {
            return Poll::Ready(false);
        }
        if looks.pass(now) {
            alarmed = None;
        }
        if !alarmed.as_ref().is_some_and(|(waker, _)| waker.will_wake(task.waker())) {
            let waker = task.waker().clone();
            alarmed = Some((waker.clone(), alarm::wake_at(looks.next(Some(deadline)), waker)));
        }
        Poll::Pending
    })
    .await
}

/// How long a publish waits for a subscription with this policy.
pub(crate) fn timeout_of(overflow: Overflow) -> Duration {
    match overflow {
        Overflow::Block { timeout } => timeout,
        _ => Duration::ZERO,
    }
}

/// Tries again whenever there is room, until the timeout of whoever had none; `None` if that
/// passes.
pub(crate) fn insist<M: Message, R>(
    core: &Core<M>,
    mut room: Room<M>,
    n: usize,
    mut attempt: impl FnMut() -> Result<R, Room<M>>,
) -> Option<R> {
    let since = Instant::now();
    loop {
        let deadline = alarm::add(since, room.timeout(core, n));
        if !room.wait_blocking(core, n, deadline) {
            return None;
        }
        match attempt() {
            Ok(done) => return Some(done),
            Err(next) => room = next,
        }
        // A ring without a free block has room by its numbers: then only the clock ends this.
        if Instant::now() >= alarm::add(since, room.timeout(core, n)) {
            return None;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Bus, Delivery, Executor, Wait};

    #[test]
    fn a_reader_that_goes_wakes_those_who_wait_for_it() {
        let bus = Bus::<u64>::builder().publish_timeout(Duration::MAX).build();
        let (open, gate) = mpsc::channel::<()>();
        let subscription = bus
            .subscribe("**")
            .unwrap()
            .mailbox(1)
            .overflow(Overflow::Block { timeout: Duration::MAX })
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, u64>| {
                let _ = gate.recv();
            })
            .unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(0_u64).unwrap();
        let waiting = std::thread::spawn(move || publisher.publish(1_u64));
        while bus.core().room.waiting_now() == 0 {
            std::thread::yield_now();
        }
        subscription.cancel();
        drop(open);
        assert!(waiting.join().unwrap().is_ok());
    }

    #[test]
    fn a_required_tap_that_is_dropped_wakes_those_who_wait_for_it() {
        let bus = Bus::<u64>::builder().publish_timeout(Duration::MAX).build();
        let tap = bus.tap_required("**", 1).unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(0_u64).unwrap();
        let waiting = std::thread::spawn(move || publisher.publish(1_u64));
        while bus.core().room.waiting_now() == 0 {
            std::thread::yield_now();
        }
        drop(tap);
        assert!(waiting.join().unwrap().is_ok());
    }

    #[test]
    fn of_full_mailboxes_the_one_with_the_most_room_is_waited_for() {
        let bus = Bus::<u64>::new();
        let (open, gate) = mpsc::channel::<()>();
        let (enter, entered) = mpsc::channel();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let subscriptions: Vec<_> = [6, 4, 64]
            .into_iter()
            .map(|size| {
                let (gate, enter) = (Arc::clone(&gate), enter.clone());
                bus.subscribe("t")
                    .unwrap()
                    .mailbox(size)
                    .overflow(Overflow::Block { timeout: Duration::MAX })
                    .executor(Executor::thread(Wait::Park))
                    .spawn(move |_: Delivery<'_, u64>| {
                        let _ = enter.send(());
                        let _ = gate.lock().unwrap().recv();
                    })
                    .unwrap()
            })
            .collect();
        let mut publisher = bus.publisher("t").unwrap();
        publisher.publish(7_u64).unwrap();
        // Each has one in hand, and takes no more.
        subscriptions.iter().for_each(|_| entered.recv().unwrap());
        let room = loop {
            if publisher.try_publish(7_u64).is_err() {
                let route = Arc::new(bus.core().table.route("t"));
                break Room::Mailbox(Arc::clone(&route.blocking[1].target), Some(route));
            }
        };
        let last = room.last_served().map(|leg| leg.addr.capacity());
        assert_eq!(last, Some(6), "64 has room, and 4 is fuller than 6");
        drop(open);
        drop(subscriptions);
    }
}
