//! Making a subscription: what it wants, how it is run, and joining the route table.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::alike::Alike;
use super::core::Core;
use super::errors::SubscribeError;
use super::foothold::Foothold;
use super::inline::{Handler, Inline};
use super::room::timeout_of;
use super::subscription::Subscription;
use super::table::Member;
use crate::actor::closure::{AsyncClosure, SyncClosure};
use crate::actor::direct::{AtOnce, Awaiting, Way};
use crate::actor::executor::Chosen;
use crate::actor::history::{CatchUpSource, Join};
use crate::actor::mailbox_source::MailboxSource;
use crate::actor::own_source::OwnSource;
use crate::actor::ring_reader::RingReader;
use crate::actor::ring_source::{RingMember, RingSource};
use crate::actor::seat::Seat;
use crate::actor::shared_member::SharedMember;
use crate::actor::shared_source::SharedSource;
use crate::actor::source::{Entry, Source};
use crate::actor::subscriber::{Held, Subscriber};
use crate::actor::target::{Account, Target};
use crate::actor::{Actor, Delivery, Executor, IntoOutcome};
use crate::mailbox::Overflow;
use crate::mailbox::lazy::LazyAddr;
use crate::ring::Log;
use crate::topic::Pattern;
use crate::topic::filter::Filter;
use crate::worker::Lane;
use crate::{Message, Sequence};

#[cfg(test)]
mod tests;

/// Why who was made with a seat has one.
const SEAT: &str = "it was made with a seat";
/// The largest mailbox.
const LARGEST: usize = 1 << 31;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the next message: what was published before is not seen.
    #[default]
    Now,
    /// With the newest messages that the ring still has, at most this many, whatever their topic;
    /// then whatever follows, without gap or repeat.
    Recent(usize),
    /// With this sequence, or with the oldest that the ring still has and a gap before it, which
    /// counts every message of the ring, whatever its topic. A sequence before the bus's first
    /// means the first; one that was not published yet means the next.
    Sequence(Sequence),
}

/// A subscription being made. `spawn`, `spawn_async` or `spawn_actor` starts it.
#[must_use = "nothing is subscribed until it is spawned"]
pub struct SubscribeBuilder<'a, M: Message> {
    core: &'a Arc<Core<M>>,
    pattern: Pattern,
    mailbox: usize,
    overflow: Overflow,
    executor: Executor,
    start: Start,
}

impl<'a, M: Message> SubscribeBuilder<'a, M> {
    pub(crate) fn new(core: &'a Arc<Core<M>>, pattern: Pattern) -> Self {
        Self {
            mailbox: core.settings.mailbox,
            core,
            pattern,
            overflow: Overflow::default(),
            executor: Executor::default(),
            start: Start::default(),
        }
    }

    /// How many messages may wait: exactly this many. Default: the bus's, which is 1,024.
    ///
    /// A subscription to everything (`**`, `>`) with `DropOldest` or `Block` reads the ring itself
    /// and costs its publishers nothing; this is then the lag that it may build up.
    ///
    /// Subscriptions that are alike, with one pattern, one size from 64 to 2<sup>20</sup> and one
    /// policy of these two, share their mailboxes' memory: publishers write one copy for all of
    /// them, but for a first one that a publisher reached before the second came. Each still has its
    /// own size, losses and account. See [`choices`](crate::docs::choices).
    pub fn mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = capacity;
        self
    }

    /// What happens when that many wait. Default: `DropOldest`.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Where the handler runs. Default: the bus's workers; for async handlers the current tokio
    /// runtime, if there is one.
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Where it begins. Default: now.
    ///
    /// `Block` subscriptions keep their promise from the first message that they ask for: if that
    /// is gone from the ring, subscribing fails with [`SubscribeError::Evicted`].
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Starts it with a closure that is done when it returns.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn spawn<F, R>(self, handler: F) -> Result<Subscription<M>, SubscribeError>
    where
        F: FnMut(Delivery<'_, M>) -> R + Send + 'static,
        R: IntoOutcome + 'static,
    {
        self.launch::<_, AtOnce>(SyncClosure(handler), false)
    }

    /// Starts it with a closure that returns a future. The next message waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn spawn_async<F, T, R>(self, handler: F) -> Result<Subscription<M>, SubscribeError>
    where
        F: FnMut(Delivery<'static, M>) -> T + Send + 'static,
        T: Future<Output = R> + Send + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.launch::<_, Awaiting>(AsyncClosure(handler), true)
    }

    /// Starts it with an actor.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn spawn_actor(self, actor: impl Actor<M>) -> Result<Subscription<M>, SubscribeError> {
        self.launch::<_, Awaiting>(actor, true)
    }

    /// What a reader needs that is run elsewhere and takes the pattern alone; nothing if another
    /// setting was made, which would mean nothing there.
    pub(crate) fn into_foothold(self) -> Option<Foothold<M>> {
        let plain = self.mailbox == self.core.settings.mailbox
            && self.overflow == Overflow::default()
            && self.executor.is_default()
            && self.start == Start::default();
        plain.then(|| Foothold::new(self.core, self.pattern))
    }

    fn launch<A: Actor<M>, W: Way<M, A>>(
        mut self,
        actor: A,
        is_async: bool,
    ) -> Result<Subscription<M>, SubscribeError> {
        if self.mailbox == 0 || self.mailbox > LARGEST {
            return Err(SubscribeError::Capacity { asked: self.mailbox, limit: LARGEST });
        }
        if self.core.log.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let chosen = mem::take(&mut self.executor).choose(self.core.workers(), is_async);
        if self.reads_ring() {
            return self.start_on_ring::<A, W>(actor, chosen);
        }
        match self.begin() {
            Some(from) => self.start_in_past::<A, W>(actor, chosen, from),
            None => self.start_now::<A, W>(actor, chosen),
        }
    }

    fn reads_ring(&self) -> bool {
        self.pattern.matches_everything()
            && self.mailbox <= self.core.log.capacity()
            && matches!(self.overflow, Overflow::DropOldest | Overflow::Block { .. })
    }

    fn lane(&self) -> Lane {
        if self.overflow.waits() { Lane::Urgent } else { Lane::Normal }
    }

    fn subscriber(&self) -> Arc<Subscriber<M>> {
        Arc::new(subscriber(self.core, self.pattern.clone(), true))
    }

    /// The first sequence wanted, if it lies in the past.
    fn begin(&self) -> Option<u64> {
        let log = &self.core.log;
        match self.start {
            Start::Now => None,
            // Notices are numbered on a ring of their own, which nobody reads back.
            _ if self.pattern.sees_reserved() => None,
            Start::Recent(count) => {
                let count = count.min(log.capacity()) as u64;
                Some(log.tail().saturating_sub(count).max(log.start()))
            }
            Start::Sequence(sequence) => Some(sequence.get().max(log.start()).min(log.tail())),
        }
    }

    /// A reader that begins there; a required one for `Block`.
    fn reader(&self, from: u64, window: usize) -> Result<RingReader<Entry<M>>, SubscribeError> {
        let log = &self.core.log;
        if !self.overflow.waits() {
            return Ok(self.core.ring_reader(Log::reader(log, from)));
        }
        let mut from = from;
        loop {
            match Log::required_from(log, from, window) {
                Ok(reader) => return Ok(self.core.ring_reader(reader)),
                // "The newest that the ring still has" are those that stay while it registers.
                Err(overrun) if self.is_recent() && overrun.oldest > from => from = overrun.oldest,
                Err(_) => {
                    // Its place limited publishers for a moment.
                    self.core.room.changed();
                    return Err(SubscribeError::Evicted(Sequence::new(from)));
                }
            }
        }
    }

    fn is_recent(&self) -> bool {
        matches!(self.start, Start::Recent(_))
    }

    fn start_on_ring<A: Actor<M>, W: Way<M, A>>(
        self,
        actor: A,
        chosen: Chosen<'_>,
    ) -> Result<Subscription<M>, SubscribeError> {
        let log = &self.core.log;
        let required = self.overflow.waits();
        let subscriber = self.subscriber();
        let bell = self.core.table.bells.bell();
        let reader = match self.begin() {
            Some(from) => self.reader(from, self.mailbox)?,
            None if required => self.core.ring_reader(Log::required(log, self.mailbox)),
            None => self.core.ring_reader(Log::reader(log, log.join())),
        };
        let timeout = timeout_of(self.overflow);
        let member =
            RingMember::new(Arc::clone(&subscriber), bell, &reader, self.mailbox as u64, timeout);
        let member = Arc::new(member);
        let source = RingSource::new(reader, Arc::clone(&member), chosen.wait());
        let member = Member::Ring(member);
        let lane = self.lane();
        self.core.table.insert(member.clone());
        launch::<M, A, W, _>(
            self.core,
            chosen,
            lane,
            (actor, source, subscriber),
            member,
            |_, waker| Some(waker),
        )
    }

    /// With what is published from now on: at the log of those that are like it, or with a mailbox.
    fn start_now<A: Actor<M>, W: Way<M, A>>(
        self,
        actor: A,
        chosen: Chosen<'_>,
    ) -> Result<Subscription<M>, SubscribeError> {
        let (core, lane, is_now) = (self.core, self.lane(), self.start == Start::Now);
        let addr = LazyAddr::new(self.mailbox, self.overflow, chosen.wait());
        let addr = if spins(&chosen) { addr.staying() } else { addr };
        let target = Arc::new(Target::new(subscriber(core, self.pattern, true), addr));
        // Most are the only ones that ask for their topic.
        if !is_now || !core.table.insert_first(&target) {
            if is_now && let Some(seat) = seat(core, &target) {
                let target = Arc::into_inner(target).expect("nobody has seen it");
                return start_on_log::<M, A, W>(core, chosen, lane, actor, target, seat);
            }
            core.table.insert(Member::Mailbox(Arc::clone(&target)));
        }
        start_on_own::<M, A, W>(core, chosen, lane, actor, target)
    }

    /// With what was published from there on.
    fn start_in_past<A: Actor<M>, W: Way<M, A>>(
        self,
        actor: A,
        chosen: Chosen<'_>,
        from: u64,
    ) -> Result<Subscription<M>, SubscribeError> {
        let reader = self.reader(from, self.core.log.capacity())?;
        let (core, lane) = (self.core, self.lane());
        // It goes on with its mailbox, and with no log.
        let addr = LazyAddr::new(self.mailbox, self.overflow, chosen.wait()).staying();
        if spins(&chosen) {
            addr.make();
        }
        let target = Arc::new(Target::new(subscriber(core, self.pattern, false), addr));
        let account = Account(Arc::clone(&target));
        let member = Member::Mailbox(Arc::clone(&target));
        let filter = Filter::new(account.pattern.clone());
        core.table.announce(member.clone());
        core.listed(&member);
        let (weak, id, log) = (core.this.clone(), account.id, Arc::clone(&core.log));
        let join: Join = Box::new(move || {
            if let Some(core) = weak.upgrade() {
                core.table.join(id);
            }
            log.join()
        });
        let source = MailboxSource::new(Arc::clone(&target));
        let source = CatchUpSource::new(reader, filter, join, source, Account(target));
        let parts = (actor, source, account);
        launch::<M, A, W, _>(core, chosen, lane, parts, member, |_, waker| Some(waker))
    }
}

/// Whether it looks for messages before it sleeps: a mailbox of its own is then made without waiting for
/// a publisher, and never gives way.
fn spins(chosen: &Chosen<'_>) -> bool {
    chosen.wait() != crate::mailbox::Wait::Park
}

/// A seat at the log that this subscription shares with those that are like it, if there are any.
fn seat<M: Message>(core: &Core<M>, target: &Target<M>) -> Option<Seat<M>> {
    let (pattern, addr) = (&target.subscriber.pattern, &target.addr);
    if !core.table.is_asked_for(pattern) {
        return None;
    }
    let log = core.table.shared_log(&Alike::of(pattern, addr.capacity(), addr.overflow())?)?;
    let reader = log.reader()?;
    Some(Seat::new(&log, reader, None))
}

/// Starts with this seat instead of the target's mailbox, of which nobody knows.
fn start_on_log<M: Message, A: Actor<M>, W: Way<M, A>>(
    core: &Arc<Core<M>>,
    chosen: Chosen<'_>,
    lane: Lane,
    actor: A,
    target: Target<M>,
    seat: Seat<M>,
) -> Result<Subscription<M>, SubscribeError> {
    let Target { subscriber, addr, .. } = target;
    let addr = LazyAddr::new(addr.capacity(), addr.overflow(), addr.wait());
    let target = Arc::new(Target::with_seat(subscriber, addr, seat));
    let member = SharedMember::of(&target).map(Member::Shared).expect(SEAT);
    core.table.insert(member.clone());
    core.listed(&member);
    let source = SharedSource::of(&target, core.log.join()).expect(SEAT);
    let parts = (actor, source, Account(target));
    launch::<M, A, W, _>(core, chosen, lane, parts, member, |_, waker| Some(waker))
}

/// Starts with a mailbox that is in the table.
fn start_on_own<M: Message, A: Actor<M>, W: Way<M, A>>(
    core: &Arc<Core<M>>,
    chosen: Chosen<'_>,
    lane: Lane,
    actor: A,
    target: Arc<Target<M>>,
) -> Result<Subscription<M>, SubscribeError> {
    if spins(&chosen) {
        target.addr.make();
    }
    let account = Account(Arc::clone(&target));
    let member = Member::Mailbox(Arc::clone(&target));
    core.listed(&member);
    let start = core.log.join();
    // Notices have numbers of their own: none of them is older than the subscription.
    let start = if account.pattern.sees_reserved() { 0 } else { start };
    let source = OwnSource::new(target, start);
    let sleep = |member: &Member<M>, waker| match member {
        Member::Mailbox(target) => target.addr.sleep(waker),
        // Its own is the one from above, whatever the table's has become.
        _ => Some(waker),
    };
    launch::<M, A, W, _>(core, chosen, lane, (actor, source, account), member, sleep)
}

/// Starts the run loop. `sleep` leaves the loop's waker for whoever brings something, or gives it back
/// if the source may have something.
fn launch<M: Message, A: Actor<M>, W: Way<M, A>, S: Source<M>>(
    core: &Arc<Core<M>>,
    mut chosen: Chosen<'_>,
    lane: Lane,
    (actor, source, subscriber): (A, S, impl Held<M>),
    member: Member<M>,
    sleep: impl FnOnce(&Member<M>, Waker) -> Option<Waker>,
) -> Result<Subscription<M>, SubscribeError> {
    // Made first, so that an executor's refusal unsubscribes.
    let subscription = Subscription::new(core.this.clone(), member);
    let id = subscriber.id;
    let run = W::run(actor, source, subscriber, chosen.take_runtime());
    let sleep = |waker| match W::BEGINS_ASLEEP {
        true => sleep(&subscription.member, waker),
        false => Some(waker),
    };
    chosen.spawn(|| format!("{}/{id}", core.settings.name), lane, run, sleep)?;
    Ok(subscription)
}

fn subscriber<M: Message>(core: &Core<M>, pattern: Pattern, caught_up: bool) -> Subscriber<M> {
    Subscriber::new(core.next_id(), Arc::clone(&core.home), pattern, caught_up)
}

/// Subscribes a handler that runs on the publisher's thread.
pub(crate) fn inline<M: Message>(
    core: &Arc<Core<M>>,
    pattern: Pattern,
    handler: Handler<M>,
) -> Result<Subscription<M>, SubscribeError> {
    if core.log.is_closed() {
        return Err(SubscribeError::Closed);
    }
    let builder = SubscribeBuilder::new(core, pattern);
    let subscriber = builder.subscriber();
    let member = Member::Inline(Arc::new(Inline::new(subscriber, handler)));
    core.table.insert(member.clone());
    core.log.join();
    core.listed(&member);
    Ok(Subscription::new(core.this.clone(), member))
}

impl<M: Message> fmt::Debug for SubscribeBuilder<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeBuilder")
            .field("pattern", &self.pattern)
            .field("mailbox", &self.mailbox)
            .field("overflow", &self.overflow)
            .field("executor", &self.executor)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
