//! Whom a topic reaches: an immutable snapshot, resolved once a topic and table.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::Arc;

use super::inline::Inline;
use super::table::Member;
use crate::Message;
use crate::actor::shared_log::SharedLog;
use crate::actor::shared_member::SharedMember;
use crate::actor::source::Letter;
pub(crate) use crate::actor::target::Target;
use crate::mailbox::Addr;

/// One mailbox of a route. The address lies in the route itself: the claim of the mailbox before
/// is a locked instruction, every load behind it waits for it, so each step to memory counts. So a
/// mailbox is made when somebody resolves a route that leads to it, and then it never gives way.
pub(crate) struct Leg<M: Message> {
    pub(crate) addr: Addr<Letter<M>>,
    pub(crate) target: Arc<Target<M>>,
}

impl<M: Message> Leg<M> {
    /// `None` if the mailbox has given way.
    fn new(target: Arc<Target<M>>) -> Option<Self> {
        let addr = target.addr.reach()?.clone();
        Some(Self { addr, target })
    }
}

impl<M: Message> Clone for Leg<M> {
    fn clone(&self) -> Self {
        Self { addr: self.addr.clone(), target: Arc::clone(&self.target) }
    }
}

impl<M: Message> Deref for Leg<M> {
    type Target = Target<M>;

    fn deref(&self) -> &Target<M> {
        &self.target
    }
}

/// One log of a route, and those who share it.
pub(crate) struct SharedLeg<M: Message> {
    pub(crate) log: Arc<SharedLog<M>>,
    pub(crate) members: Vec<SharedMember<M>>,
}

impl<M: Message> SharedLeg<M> {
    /// How many share it.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.members.len() as u64
    }
}

impl<M: Message> Clone for SharedLeg<M> {
    fn clone(&self) -> Self {
        Self { log: Arc::clone(&self.log), members: self.members.clone() }
    }
}

/// What a publish has to do beyond the ring, known at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing: there may be readers of the ring.
    RingAlone,
    /// One mailbox and nothing else; in one that blocks a place is claimed before the ring.
    Mailbox,
    BlockMailbox,
    /// One log and nothing else.
    Log,
    BlockLog,
    Other,
}

/// Whom a topic reaches, each group in the order of subscription.
pub(crate) struct Route<M: Message> {
    /// The table's version it was resolved for.
    pub(crate) version: u64,
    /// Mailboxes in which a place is claimed before the ring.
    pub(crate) blocking: Box<[Leg<M>]>,
    /// All other mailboxes.
    pub(crate) open: Box<[Leg<M>]>,
    /// Logs that several subscriptions share: first those in which a place is claimed before the
    /// ring, and how many these are.
    pub(crate) shared: Box<[SharedLeg<M>]>,
    pub(crate) shared_blocking: usize,
    /// Handlers that run on the publisher's thread.
    pub(crate) inline: Box<[Arc<Inline<M>>]>,
    /// How many subscriptions read the ring itself.
    pub(crate) readers: u64,
    pub(crate) reach: Reach,
}

impl<M: Message> Route<M> {
    /// `None` if a mailbox has given way meanwhile: then the table has changed.
    pub(crate) fn new(version: u64, mut members: Vec<(u64, Member<M>)>) -> Option<Self> {
        members.sort_unstable_by_key(|&(id, _)| id);
        let (mut blocking, mut open, mut inline, mut readers) = (vec![], vec![], vec![], 0);
        let mut shared: Vec<SharedLeg<M>> = vec![];
        for (_, member) in members {
            match member {
                Member::Mailbox(target) if target.blocks() => blocking.push(Leg::new(target)?),
                Member::Mailbox(target) => open.push(Leg::new(target)?),
                Member::Inline(handler) => inline.push(handler),
                Member::Ring(_) => readers += 1,
                Member::Shared(member) => {
                    let Some(log) = member.log() else { continue };
                    // Those that are alike tend to come one after another.
                    match shared.iter_mut().rfind(|leg| Arc::ptr_eq(&leg.log, &log)) {
                        Some(leg) => leg.members.push(member),
                        None => shared.push(SharedLeg { log, members: vec![member] }),
                    }
                }
            }
        }
        shared.sort_by_key(|leg| !leg.log.blocks());
        let shared_blocking = shared.partition_point(|leg| leg.log.blocks());
        let route = Self {
            version,
            blocking: blocking.into(),
            open: open.into(),
            shared: shared.into(),
            shared_blocking,
            inline: inline.into(),
            readers,
            reach: Reach::Other,
        };
        Some(route.with_reach())
    }

    fn with_reach(self) -> Self {
        let (mailboxes, logs) = (self.open.len(), self.shared.len() - self.shared_blocking);
        let reach = match (self.copies(), self.inline.len()) {
            (0, 0) => Reach::RingAlone,
            (1, 0) if mailboxes == 1 => Reach::Mailbox,
            (1, 0) if logs == 1 => Reach::Log,
            (1, 0) if self.shared_blocking == 1 => Reach::BlockLog,
            (1, 0) => Reach::BlockMailbox,
            _ => Reach::Other,
        };
        Self { reach, ..self }
    }

    /// How many mailboxes and logs it has: each takes a copy of a message.
    #[inline]
    pub(crate) fn copies(&self) -> usize {
        self.blocking.len() + self.open.len() + self.shared.len()
    }

    /// The largest batch that fits every `Block` mailbox; `None` if there is none of those.
    pub(crate) fn smallest_blocking(&self) -> Option<usize> {
        self.blocking.iter().map(|target| target.addr.capacity()).min()
    }

    /// What it has more than an older route of the same topic.
    pub(crate) fn joined_since(&self, old: &Self) -> Self {
        fn fresh<T: Clone>(new: &[T], old: &[T], same: impl Fn(&T, &T) -> bool) -> Box<[T]> {
            let known = |one: &T| old.iter().any(|other| same(one, other));
            new.iter().filter(|one| !known(one)).cloned().collect()
        }
        let same = |a: &Leg<M>, b: &Leg<M>| Arc::ptr_eq(&a.target, &b.target);
        // Whoever joined a log that was there has the message by it.
        let same_log = |a: &SharedLeg<M>, b: &SharedLeg<M>| Arc::ptr_eq(&a.log, &b.log);
        let shared = fresh(&self.shared, &old.shared, same_log);
        Self {
            version: self.version,
            blocking: fresh(&self.blocking, &old.blocking, same),
            open: fresh(&self.open, &old.open, same),
            shared_blocking: shared.partition_point(|leg| leg.log.blocks()),
            shared,
            inline: fresh(&self.inline, &old.inline, Arc::ptr_eq),
            readers: 0,
            reach: Reach::Other,
        }
        .with_reach()
    }

    /// How many subscriptions it has.
    pub(crate) fn subscribers(&self) -> u64 {
        let shared: u64 = self.shared.iter().map(SharedLeg::count).sum();
        let single = self.blocking.len() + self.open.len() + self.inline.len();
        single as u64 + shared + self.readers
    }
}
