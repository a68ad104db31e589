//! The owner's end of a subscription.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Weak;
use std::time::SystemTime;

use super::core::Core;
use super::stats::account;
use super::table::Member;
use crate::actor::subscriber::{Life, Subscriber};
use crate::mailbox::signal;
use crate::{Message, SubscriptionStats};

/// A subscription. Dropping it unsubscribes; [`detach`](Subscription::detach) leaves it to the
/// bus.
#[must_use = "dropping a subscription unsubscribes; `detach` keeps it for the bus's life"]
pub struct Subscription<M: Message> {
    /// One that never was any, once it is detached.
    core: Weak<Core<M>>,
    member: Member<M>,
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
        let log = match &self.member {
            Member::Shared(member) => {
                member.cancel();
                member.log()
            }
            _ => None,
        };
        subscriber.advance(Life::Cancelled);
        let core = self.core.upgrade();
        if let Some(core) = &core {
            core.table.remove(subscriber.id);
        }
        match &self.member {
            Member::Mailbox(target) => target.addr.close(),
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
            Member::Shared(member) => {
                signal::fence();
                member.bell.ring();
                if let (Some(core), Some(log)) = (&core, &log) {
                    core.release_log(log, subscriber.id);
                }
                if matches!(subscriber.life(), Life::Ended | Life::Failed) {
                    member.forget();
                }
            }
            Member::Inline(_) => {
                subscriber.advance(Life::Ended);
            }
        }
    }

    /// Lets the subscription live as long as the bus.
    pub fn detach(mut self) {
        self.core = Weak::new();
    }

    fn subscriber(&self) -> &Subscriber<M> {
        self.member.subscriber()
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
