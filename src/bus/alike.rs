//! Which subscriptions share a log, and the logs that are shared.
//!
//! Those that are alike: one pattern, one mailbox size, one policy. The first of them has a mailbox,
//! which is made when somebody first publishes to it. If a second one comes before that, the first takes
//! a seat at the log that is made for it, and a publish costs one copy for all of them. If it comes later,
//! the first keeps its mailbox, and whoever comes after it shares a log with those that come later still:
//! two copies for all of them.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::route::Target;
use crate::actor::shared_log::{IN_HAND, SharedLog};
use crate::mailbox::Overflow;
use crate::{Message, Pattern};

/// Mailboxes of at least this many places are shared. What a reader of a log has in hand is in a
/// smaller one a large part of what may wait.
const LEAST: usize = IN_HAND;
/// And of at most this many: a log keeps what was handled until it comes round.
const MOST: usize = 1 << 20;

/// What subscriptions have in common that share a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alike {
    pattern: Pattern,
    mailbox: usize,
    /// How long a publish waits for one of them, with `Block`; otherwise the oldest give way.
    timeout: Option<Duration>,
}

impl Alike {
    /// None for a subscription that needs a mailbox of its own.
    pub(crate) fn of(pattern: &Pattern, mailbox: usize, overflow: Overflow) -> Option<Self> {
        let timeout = match overflow {
            Overflow::DropOldest => None,
            Overflow::Block { timeout } => Some(timeout),
            Overflow::DropNewest | Overflow::Disconnect => return None,
        };
        // Notices have numbers of their own, and do not pass by the ring.
        let shares = (LEAST..=MOST).contains(&mailbox) && !pattern.sees_reserved();
        shares.then(|| Self { pattern: pattern.clone(), mailbox, timeout })
    }

    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Whether a mailbox of the same pattern is that of a subscription like this.
    pub(crate) fn fits<M: Message>(&self, target: &Target<M>) -> bool {
        target.addr.capacity() == self.mailbox && target.addr.overflow() == self.overflow()
    }

    fn overflow(&self) -> Overflow {
        match self.timeout {
            None => Overflow::DropOldest,
            Some(timeout) => Overflow::Block { timeout },
        }
    }
}

/// The logs that somebody reads.
pub(crate) struct SharedLogs<M: Message> {
    logs: HashMap<Alike, Weak<SharedLog<M>>, foldhash::fast::RandomState>,
    /// At how many those that nobody has any more are looked for.
    limit: usize,
}

impl<M: Message> SharedLogs<M> {
    pub(crate) fn new() -> Self {
        Self { logs: HashMap::default(), limit: 16 }
    }

    pub(crate) fn get(&self, alike: &Alike) -> Option<Arc<SharedLog<M>>> {
        // Most buses have none.
        (!self.logs.is_empty()).then(|| self.logs.get(alike)?.upgrade())?
    }

    pub(crate) fn make(&mut self, alike: &Alike) -> Arc<SharedLog<M>> {
        if self.logs.len() >= self.limit {
            self.logs.retain(|_, log| log.strong_count() > 0);
            self.limit = 2 * self.logs.len().max(8);
        }
        let log = SharedLog::new(alike.mailbox, alike.overflow());
        self.logs.insert(alike.clone(), Arc::downgrade(&log));
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::route::SharedLeg;
    use crate::{Bus, Delivery, Subscription};

    fn subscribe(bus: &Bus<u64>, size: usize, overflow: Overflow) -> Subscription<u64> {
        let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(overflow);
        builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
    }

    /// How many mailboxes the topic reaches, and how many read each log.
    fn reached(bus: &Bus<u64>) -> (usize, Vec<u64>) {
        let route = bus.core().table.route("t");
        let logs = route.shared.iter().map(SharedLeg::count).collect();
        (route.blocking.len() + route.open.len(), logs)
    }

    #[test]
    fn those_that_are_alike_share_a_log_if_they_come_before_the_first_message() {
        let bus = Bus::<u64>::new();
        let block = Overflow::block();
        let mut kept: Vec<_> = (0..4).map(|_| subscribe(&bus, 64, Overflow::DropOldest)).collect();
        kept.extend((0..3).map(|_| subscribe(&bus, 64, block)));
        kept.extend((0..2).map(|_| subscribe(&bus, 65, block)));
        let longer = Overflow::Block { timeout: Duration::from_secs(2) };
        kept.push(subscribe(&bus, 65, longer));
        assert_eq!(reached(&bus), (1, vec![3, 2, 4]), "those with Block come first");
    }

    #[test]
    fn who_has_had_a_message_keeps_its_mailbox_when_others_come() {
        for topic in ["t", "*"] {
            let bus = Bus::<u64>::new();
            let subscribe = || {
                let builder = bus.subscribe(topic).unwrap().mailbox(64);
                builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
            };
            let first = subscribe();
            bus.publish_to("t", 1_u64).unwrap();
            let others = [subscribe(), subscribe()];
            assert_eq!(reached(&bus), (1, vec![2]));
            bus.publish_to("t", 2_u64).unwrap();
            bus.settle(Duration::from_secs(60)).unwrap();
            assert_eq!(first.stats().handled, 2);
            assert!(others.iter().all(|other| other.stats().handled == 1));
        }
    }

    #[test]
    fn who_takes_a_seat_keeps_its_number_and_its_account() {
        for topic in ["t", "*"] {
            for way in [Overflow::DropOldest, Overflow::block()] {
                let bus = Bus::<u64>::new();
                let subscribe = || {
                    let builder = bus.subscribe(topic).unwrap().mailbox(64).overflow(way);
                    builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
                };
                let first = subscribe();
                let before = first.stats();
                let second = subscribe();
                assert_eq!(reached(&bus), (0, vec![2]));
                assert_eq!(first.stats(), before);
                for n in 0..1000_u64 {
                    bus.publish_to("t", n).unwrap();
                }
                bus.settle(Duration::from_secs(60)).unwrap();
                for one in [&first, &second] {
                    let stats = one.stats();
                    assert_eq!(stats.matched, 1000);
                    assert_eq!(stats.handled + stats.total_dropped(), 1000, "{stats:?}");
                }
                let all = bus.stats().subscriptions;
                assert_eq!(
                    all.iter().map(|one| one.id).collect::<Vec<_>>(),
                    [first.id(), second.id()]
                );
                first.cancel();
                assert_eq!(reached(&bus), (0, vec![1]));
                assert_eq!(first.stats().matched, 1000);
            }
        }
    }

    #[test]
    fn small_mailboxes_and_other_policies_are_each_ones_own() {
        let bus = Bus::<u64>::new();
        let ways =
            [(63, Overflow::DropOldest), (64, Overflow::DropNewest), (64, Overflow::Disconnect)];
        let kept: Vec<_> =
            ways.iter().flat_map(|&(size, way)| (0..3).map(move |_| (size, way))).collect();
        let kept: Vec<_> = kept.into_iter().map(|(size, way)| subscribe(&bus, size, way)).collect();
        assert_eq!(reached(&bus), (kept.len(), vec![]));
    }

    #[test]
    fn who_is_cancelled_leaves_the_log_to_the_others() {
        let bus = Bus::<u64>::new();
        let first = subscribe(&bus, 64, Overflow::DropOldest);
        let others: Vec<_> = (0..2).map(|_| subscribe(&bus, 64, Overflow::DropOldest)).collect();
        first.cancel();
        assert_eq!(reached(&bus), (0, vec![2]));
        let again = subscribe(&bus, 64, Overflow::DropOldest);
        assert_eq!(reached(&bus), (0, vec![3]), "who comes back shares too");
        drop((others, again));
        assert_eq!(reached(&bus), (0, vec![]));
    }
}
