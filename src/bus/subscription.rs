//! The owner's end of a subscription.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::core::Core;
use super::stats::account;
use super::table::Member;
use crate::actor::seat::Seat;
use crate::actor::shared_log::SharedLog;
use crate::actor::subscriber::{Life, Subscriber};
use crate::mailbox::signal;
use crate::{Message, SubscriptionStats};

/// A subscription. Dropping it unsubscribes; [`detach`](Subscription::detach) leaves it to the
/// bus.
#[must_use = "dropping a subscription unsubscribes; `detach` keeps it for the bus's life"]
pub struct Subscription<M: Message> {
    /// One that never was any, once it is detached.
    core: Weak<Core<M>>,
    pub(super) member: Member<M>,
    created_at: SystemTime,
}

impl<M: Message> Subscription<M> {
    pub(crate) fn new(core: Weak<Core<M>>, member: Member<M>) -> Self {
        Self { core, member, created_at: SystemTime::now() }
    }

    /// Its number, rising with the time it was made.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.subscriber().id
    }

    /// Its pattern, as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.subscriber().pattern.as_str()
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// Whether messages are still handled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let open = || self.core.upgrade().is_some_and(|core| !core.log.is_closed());
        // Others see the end of the bus for themselves.
        let inline = matches!(self.member, Member::Inline(_));
        self.subscriber().life() == Life::Running && (!inline || open())
    }

    /// Its account so far. Exact at rest.
    #[must_use]
    pub fn stats(&self) -> SubscriptionStats {
        account(self.core.upgrade().as_deref(), &self.member)
    }

    /// Unsubscribes, and returns at once: a handler that is running finishes, no other begins.
    /// What was still queued counts as `dropped(cancelled)`, and publishers wait for it no more, though
    /// its handler may be running. A second call does nothing.
    pub fn cancel(&self) {
        let subscriber = self.subscriber();
        let mut log = self.let_go_of_log();
        #[cfg(test)]
        tests::meanwhile();
        subscriber.advance(Life::Cancelled);
        let core = self.core.upgrade();
        if let Some(core) = &core {
            core.table.remove(subscriber.id);
        }
        if log.is_none() {
            // Its mailbox may have given way until now; who is in no table keeps what it has.
            log = self.let_go_of_log();
        }
        match &self.member {
            Member::Mailbox(target) => {
                target.addr.close();
                if let Some(seat) = target.seat() {
                    leave(core.as_deref(), subscriber, seat, log);
                }
            }
            Member::Ring(reader) => {
                // Only now, so that it never is overrun without having been cancelled.
                reader.let_go();
                signal::fence();
                reader.bell.ring();
                if let Some(core) = &core {
                    core.room.changed();
                    core.release_publishers(subscriber.id);
                }
            }
            Member::Shared(member) => leave(core.as_deref(), subscriber, member, log),
            Member::Inline(_) => {
                subscriber.advance(Life::Ended);
            }
        }
    }

    /// See [`Seat::cancel`], if it has one.
    #[inline]
    fn let_go_of_log(&self) -> Option<Arc<SharedLog<M>>> {
        let seat = match &self.member {
            Member::Mailbox(target) => target.seat()?,
            Member::Shared(member) => member,
            Member::Ring(_) | Member::Inline(_) => return None,
        };
        seat.cancel(self.subscriber())
    }

    /// Lets the subscription live as long as the bus.
    pub fn detach(mut self) {
        self.core = Weak::new();
    }

    fn subscriber(&self) -> &Subscriber<M> {
        self.member.subscriber()
    }
}

/// The rest of cancelling who had a seat at this log.
fn leave<M: Message>(
    core: Option<&Core<M>>,
    subscriber: &Subscriber<M>,
    seat: &Seat<M>,
    log: Option<Arc<SharedLog<M>>>,
) {
    signal::fence();
    seat.bell.ring();
    if let (Some(core), Some(log)) = (core, &log) {
        core.release_log(log, subscriber.id);
    }
    if matches!(subscriber.life(), Life::Ended | Life::Failed) {
        seat.forget();
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        if !self.core.ptr_eq(&Weak::new()) {
            self.cancel();
        }
    }
}

impl<M: Message> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id())
            .field("pattern", &self.pattern())
            .field("active", &self.is_active())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::{Bus, Delivery, DropReason, Executor, ExecutorError, Overflow, Run, Spawn};

    thread_local! {
        /// What somebody else does in the middle of this thread's next cancelling.
        static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    pub(super) fn meanwhile() {
        let act = MEANWHILE.take();
        act.into_iter().for_each(|act| act());
    }

    fn subscribe(bus: &Bus<u64>, overflow: Overflow) -> Subscription<u64> {
        let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(overflow);
        builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
    }

    #[test]
    fn who_takes_a_seat_while_it_is_cancelled_leaves_it() {
        let block = Overflow::Block { timeout: Duration::from_secs(1) };
        for overflow in [block, Overflow::DropOldest] {
            let bus = Bus::<u64>::new();
            let first = subscribe(&bus, overflow);
            let coming = bus.clone();
            MEANWHILE.set(Some(Box::new(move || subscribe(&coming, overflow).detach())));
            first.cancel();
            assert_eq!(bus.core().table.route("t").shared[0].count(), 1, "the second is there");
            // Far more than fit, if somebody held them up.
            (0..1000_u64).for_each(|n| _ = bus.publish_to("t", n).unwrap());
            bus.settle(Duration::from_secs(60)).unwrap();
            // It was woken, sees that it is over, and lets go.
            while first.stats().queued + first.stats().in_flight > 0 || has_log(&first) {
                std::thread::yield_now();
            }
            assert_eq!(first.stats().matched, 0, "{:?}", first.stats());
        }
    }

    /// Keeps run loops for somebody to drop.
    #[derive(Clone, Debug, Default)]
    struct Keeper(Arc<Mutex<Vec<Kept>>>);

    struct Kept(Run);

    impl fmt::Debug for Kept {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Kept")
        }
    }

    impl Spawn for Keeper {
        fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
            self.0.lock().unwrap().push(Kept(run));
            Ok(())
        }
    }

    #[test]
    fn a_run_loop_that_is_dropped_in_its_sleep_does_not_count_as_asleep() {
        for pattern in ["t", "**"] {
            let (bus, keeper) = (Bus::<u64>::new(), Keeper::default());
            let kept = [(); 2].map(|()| {
                let builder = bus.subscribe(pattern).unwrap().mailbox(64);
                let builder = builder.executor(Executor::custom(keeper.clone()));
                builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
            });
            let route = bus.core().table.route("t");
            let bells = match &route.shared[..] {
                [leg] => &leg.log.bells,
                _ => &bus.core().table.bells,
            };
            let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
            for _ in 0..1000 {
                for Kept(run) in keeper.0.lock().unwrap().iter_mut() {
                    assert!(Pin::new(run).poll(task).is_pending());
                }
            }
            assert!(bells.any_asleep());
            keeper.0.lock().unwrap().clear();
            assert!(!bells.any_asleep());
            drop(kept);
        }
    }

    #[test]
    fn who_has_failed_and_is_cancelled_before_it_came_to_its_seat_leaves_it() {
        for overflow in [Overflow::block(), Overflow::DropOldest] {
            let (bus, keeper) = (Bus::<u64>::new(), Keeper::default());
            let builder = bus.subscribe("t").unwrap().mailbox(64).overflow(overflow);
            let builder = builder.executor(Executor::custom(keeper.clone()));
            let first = builder.spawn(|_: Delivery<'_, u64>| {}).unwrap();
            let second = subscribe(&bus, overflow);
            (0..10_u64).for_each(|n| _ = bus.publish_to("t", n).unwrap());
            // As its run loop does first of all when it fails.
            first.subscriber().fail();
            if overflow == Overflow::block() {
                assert!(bus.publish_to("t", 0_u64).is_err(), "publishers hear of it");
            }
            first.cancel();
            (0..1000_u64).for_each(|n| _ = bus.publish_to("t", n).unwrap());
            assert!(first.stats().balances() && first.stats().matched == 10, "{:?}", first.stats());
            keeper.0.lock().unwrap().clear();
            let stats = first.stats();
            assert!(stats.balances() && !has_log(&first), "{stats:?}");
            assert_eq!((stats.matched, stats.dropped[&DropReason::Stopped]), (10, 10), "{stats:?}");
            bus.settle(Duration::from_secs(60)).unwrap();
            assert_eq!(second.stats().matched, 1010);
        }
    }

    fn has_log(subscription: &Subscription<u64>) -> bool {
        let Member::Mailbox(target) = &subscription.member else {
            panic!("it began with a mailbox")
        };
        target.seat().expect("it has taken a seat").log().is_some()
    }
}
