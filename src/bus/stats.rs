//! Putting the accounts together from the counters that their owners keep.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::core::Core;
use super::table::Member;
use crate::actor::ledger::Ledger;
use crate::actor::shared_member::SharedMember;
use crate::{BusStats, DropReason, Message, Sequence, SubscriptionStats};

/// The account of one subscription.
pub(crate) fn account<M: Message>(core: Option<&Core<M>>, member: &Member<M>) -> SubscriptionStats {
    if let Member::Mailbox(target) = member
        && let Some(member) = SharedMember::of(target)
    {
        // Its mailbox has given way since it was subscribed.
        return account(core, &Member::Shared(member));
    }
    let subscriber = member.subscriber();
    let ledger = &subscriber.ledger;
    let counts = &ledger.runner;
    let mut lost = dropped(ledger);
    let (matched, queued, in_flight, capacity) = match member {
        Member::Mailbox(target) => {
            let inside = target.addr.counts();
            let past = counts.replayed.get() + counts.lapped.get();
            // What was discarded since `inside` was noted may be more than that.
            let matched = (inside.accepted + past + ledger.outside.get())
                .saturating_sub(counts.discarded.get());
            (matched, target.addr.len() as u64, counts.in_flight(), target.addr.capacity())
        }
        Member::Ring(reader) => {
            // Without its bus a reader has seen the end of the ring.
            let tail = core.map_or(counts.done(), |core| core.log.tail());
            let end = subscriber.end(tail);
            let queued = end.saturating_sub(counts.done());
            (end - reader.start, queued, 0, usize::try_from(reader.window).unwrap_or(usize::MAX))
        }
        Member::Shared(member) => {
            let log = member.log();
            // Who has let go of its log has noted where it ended.
            let tail = log.as_ref().map_or(u64::MAX, |log| log.log.tail());
            let (end, taken) = (subscriber.end(tail), member.taken());
            let waiting = end.saturating_sub(taken);
            // What waits beyond its size is lost, though it finds out only when it looks.
            let over = match log {
                Some(log) if !log.blocks() => waiting.saturating_sub(member.window as u64),
                _ => 0,
            };
            if over > 0 {
                *lost.entry(DropReason::FullOldest).or_default() += over;
            }
            (member.matched(end), waiting - over, counts.in_flight(), member.window)
        }
        Member::Inline(inline) => {
            let lost: u64 = lost.values().sum();
            let finished = counts.handled.get() + counts.failed.get() + lost;
            let matched = inline.matched.get();
            (matched, 0, matched.saturating_sub(finished), 0)
        }
    };
    SubscriptionStats {
        id: subscriber.id,
        pattern: subscriber.pattern.to_string(),
        matched,
        handled: counts.handled.get(),
        failed: counts.failed.get(),
        dropped: lost,
        queued,
        in_flight,
        capacity,
    }
}

fn dropped(ledger: &Ledger) -> BTreeMap<DropReason, u64> {
    DropReason::ALL
        .iter()
        .map(|&reason| match reason {
            DropReason::Lapped => {
                (reason, ledger.losses.count(reason) + ledger.runner.lapped.get())
            }
            _ => (reason, ledger.losses.count(reason)),
        })
        .filter(|&(_, count)| count > 0)
        .collect()
}

/// What the bus has done so far.
pub(crate) fn of_bus<M: Message>(core: &Core<M>) -> BusStats {
    let (mut topics, mut failures) = (BTreeMap::new(), BTreeMap::new());
    core.topics.for_each(|name, published, failed| {
        topics.insert(name.to_owned(), published);
        if failed > 0 {
            failures.insert(name.to_owned(), failed);
        }
    });
    let tail = core.log.tail();
    BusStats {
        enabled: core.log.is_enabled(),
        closed: core.log.is_closed(),
        published: tail - core.log.start(),
        next_sequence: Sequence::new(tail),
        topics,
        failures,
        subscriptions: core.table.members().iter().map(|one| account(Some(core), one)).collect(),
        ring_slots: core.log.slots(),
        history: core.settings.history,
    }
}
