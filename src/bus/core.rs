//! What all handles of one bus share.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use super::offer::offer;
use super::route::Reach;
use super::scratch::Scratch;
use super::table::{Member, Table};
use super::topics::Topics;
use crate::actor::ring_reader::RingReader;
use crate::actor::scope;
use crate::actor::seat::Seat;
use crate::actor::shared_log::SharedLog;
use crate::actor::source::{Entry, Letter};
use crate::actor::subscriber::{Home, Host, Life};
use crate::caught::caught;
use crate::mailbox::signal;
use crate::mailbox::space::Space;
use crate::ring::{Log, Reader};
use crate::stats::Counter;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::worker::Workers;
use crate::{DropReason, Message, Notice, Sequence};

/// How many notices are kept for those who read them.
const NOTICES: usize = 256;

/// What the builder decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) mailbox: usize,
    pub(crate) history: usize,
    pub(crate) publish_timeout: Duration,
    pub(crate) log_events: bool,
}

/// Flushes everything up to this sequence, for at most this long; whether it did.
pub(crate) type Flusher = Box<dyn Fn(Option<Sequence>, Duration) -> bool + Send + Sync>;

/// Anybody may publish.
const OPEN: u64 = 0;
/// A shutdown has begun.
const SHUT: u64 = u64::MAX;

/// Why nothing can be published.
pub(crate) enum Gate {
    Closed,
    Stopped(u64),
}

/// The shared part of a bus.
pub(crate) struct Core<M: Message> {
    /// Tells buses of one process apart; never 0.
    pub(crate) number: u64,
    pub(crate) settings: Settings,
    pub(crate) log: Arc<Log<Entry<M>>>,
    pub(crate) topics: Topics<M>,
    pub(crate) table: Table<M>,
    /// Rung when a required reader of the ring moved on.
    pub(crate) room: Arc<Space>,
    pub(crate) notices: Arc<Log<Notice>>,
    pub(crate) workers: OnceLock<Workers>,
    /// Messages that handlers of this bus published to it, and notices of their failures.
    pub(crate) caused: Arc<CachePadded<Counter>>,
    /// What each subscription has of the bus.
    pub(crate) home: Arc<Home<M>>,
    /// `OPEN`, `SHUT`, or the number of a required reader that stopped by failure.
    gate: AtomicU64,
    next_id: AtomicU64,
    /// Who keeps what was published, and is to be flushed when the bus shuts down.
    pub(crate) flushers: Mutex<Vec<Flusher>>,
    pub(crate) this: Weak<Core<M>>,
}

static NEXT_BUS: Mutex<u64> = Mutex::new(1);

impl<M: Message> Core<M> {
    pub(crate) fn new(
        settings: Settings,
        slots: usize,
        start: u64,
        workers: Option<Workers>,
    ) -> Arc<Self> {
        let number = {
            let mut next = NEXT_BUS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *next += 1;
            *next - 1
        };
        let (topics, caused) = (Topics::new(), Arc::<CachePadded<Counter>>::default());
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            home: Arc::new(Home {
                bus: number,
                names: Arc::clone(&topics.names),
                caused: Arc::clone(&caused),
                host: this.clone(),
            }),
            number,
            settings,
            log: Log::new(slots, start),
            topics,
            table: Table::new(),
            room: Arc::new(Space::new()),
            notices: Log::new(NOTICES, 1),
            workers: workers.map(OnceLock::from).unwrap_or_default(),
            caused,
            gate: AtomicU64::new(OPEN),
            next_id: AtomicU64::new(1),
            flushers: Mutex::default(),
            this: Weak::clone(this),
        })
    }

    /// The pool that runs actors, which is the process's own unless the builder was given one.
    pub(crate) fn workers(&self) -> &Workers {
        self.workers.get_or_init(Workers::global)
    }

    pub(crate) fn next_id(&self) -> u64 {
        // ORDER: Relaxed; only its being different from all others matters.
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes at once: no message gets a sequence any more, actors drain and stop. Gives the
    /// sequence that the next message would have got.
    pub(crate) fn close(&self) -> u64 {
        let end = self.log.close();
        self.table.members().iter().for_each(Self::tell_closed);
        self.wake_all();
        end
    }

    fn tell_closed(member: &Member<M>) {
        let close_log = |seat: Option<&Seat<M>>| {
            if let Some(log) = seat.and_then(Seat::log) {
                log.close();
            }
        };
        match member {
            Member::Mailbox(target) => {
                target.addr.close();
                // It may have given way since the members were listed.
                close_log(target.seat());
            }
            Member::Shared(member) => close_log(Some(member)),
            // It finds the end of the ring by itself; and what has a place on the ring by now is
            // still handled inline.
            Member::Ring(_) | Member::Inline(_) => {}
        }
    }

    /// After a member was listed: if the bus was closed meanwhile, by somebody who may not have
    /// found it in the list, it hears of it now.
    pub(crate) fn listed(&self, member: &Member<M>) {
        if self.log.is_closed() {
            Self::tell_closed(member);
        }
    }

    /// A reader of the ring, with the bell of those who wait for it.
    pub(crate) fn ring_reader(&self, reader: Reader<Entry<M>>) -> RingReader<Entry<M>> {
        RingReader::new(reader, Arc::clone(&self.log), Arc::clone(&self.room))
    }

    /// Wakes everybody who sleeps, to look at what has changed.
    pub(crate) fn wake_all(&self) {
        signal::fence();
        for member in self.table.members() {
            match &member {
                Member::Mailbox(target) => {
                    target.addr.ring();
                    target.seat().into_iter().for_each(|seat| seat.bell.ring());
                }
                Member::Shared(member) => member.bell.ring(),
                Member::Ring(reader) => reader.bell.ring(),
                Member::Inline(_) => {}
            }
        }
        self.ring_readers();
        self.room.changed();
    }

    /// Why nothing can be published now, if so. One load while all is well.
    #[inline]
    pub(crate) fn refuses(&self) -> Option<Gate> {
        // ORDER: Relaxed; a publish under way when the gate falls is served.
        match self.gate.load(Ordering::Relaxed) {
            OPEN => None,
            SHUT if scope::inside() => None,
            SHUT => Some(Gate::Closed),
            subscriber => Some(Gate::Stopped(subscriber)),
        }
    }

    /// Refuses publishes from outside of handlers from now on.
    pub(crate) fn refuse(&self) {
        // ORDER: Relaxed; see `refuses`.
        self.gate.store(SHUT, Ordering::Relaxed);
    }

    /// A reader that must not lose anything has stopped by failure.
    fn stop_publishers(&self, subscriber: u64) {
        // ORDER: Relaxed; see `refuses`. A shutdown that has begun stays.
        let _ = self.gate.compare_exchange(OPEN, subscriber, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// That reader was cancelled.
    pub(crate) fn release_publishers(&self, subscriber: u64) {
        // ORDER: Relaxed; see `refuses`.
        let gate = &self.gate;
        if gate.compare_exchange(subscriber, OPEN, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            for member in self.table.members() {
                if let Member::Ring(reader) = &member
                    && reader.required
                    && reader.subscriber.life() == Life::Failed
                {
                    let other = reader.subscriber.id;
                    self.stop_publishers(other);
                    // Cancelled since we looked, by somebody who did not find the gate shut yet.
                    if self.table.member(other).is_none() {
                        self.release_publishers(other);
                    }
                }
            }
        }
    }

    /// A subscription that shares a log was cancelled: publishers need not hear of its failure any
    /// more, but perhaps of another's.
    pub(crate) fn release_log(&self, log: &Arc<SharedLog<M>>, subscriber: u64) {
        let mut released = subscriber;
        while log.resume(released) {
            let failed = self.table.members().into_iter().find(|member| {
                matches!(member, Member::Shared(other)
                    if other.reads(log) && other.subscriber().life() == Life::Failed)
            });
            let Some(failed) = failed else { return };
            released = failed.subscriber().id;
            log.stop(released);
            // Cancelled since we looked, by somebody who did not find it noted yet?
            if self.table.member(released).is_some() {
                return;
            }
        }
    }

    /// Wakes the readers of the ring that sleep. The caller has claimed, or passed the fence.
    #[inline]
    pub(crate) fn ring_readers(&self) {
        self.table.bells.ring();
    }

    /// Gives a notice, as a message, to everybody whose pattern asks for it.
    fn deliver_notice(&self, notice: &Notice, sequence: u64) {
        let route = self.table.route(notice.topic);
        if route.reach == Reach::RingAlone {
            return;
        }
        let topic = self.topics.names.intern(notice.topic);
        let Some(message) = M::from_notice(notice) else { return };
        let mut scratch = Scratch::new();
        for target in route.open.iter().chain(&route.blocking) {
            // A notice never waits, and what does not fit is counted like any other message.
            match caught(|| message.clone()) {
                Some(copy) => {
                    let mut copy = Some(copy);
                    offer(self, target, sequence, topic, &mut copy, &mut scratch);
                }
                None => target.subscriber.ledger.lose_outside(DropReason::Panicked, sequence),
            }
        }
        scope::note_published(self.number, 1);
        signal::fence();
        for target in route.open.iter().chain(&route.blocking) {
            target.addr.signal().ring();
        }
        super::inline::deliver(&Arc::new(route), sequence, topic, &message);
    }
}

impl<M: Message> Host<M> for Core<M> {
    fn notify(&self, notice: Notice) {
        if let Some(topic) = &notice.message_topic {
            self.topics.count_failure(topic);
        }
        // A failure in a subscriber of notices is only counted, so that none can feed itself.
        if notice.of_notices {
            return;
        }
        let kept = notice.clone();
        let claimed = self.notices.with_writer(|writer| {
            let sequence = writer.claim(1).ok().map(|claim| {
                let sequence = claim.first();
                claim.commit(|| kept);
                sequence
            });
            writer.reclaim();
            sequence
        });
        if let Some(sequence) = claimed {
            // Making a message of it, copying and dropping that are user code. Whoever failed is
            // not to fail once more by being told.
            caught(|| self.deliver_notice(&notice, sequence));
        }
    }

    fn failing(&self, id: u64) {
        match self.table.member(id) {
            Some(Member::Ring(reader)) if reader.required => {
                self.stop_publishers(id);
                // Cancelled since we looked, by somebody who did not find the gate shut yet.
                if self.table.member(id).is_none() {
                    self.release_publishers(id);
                }
            }
            Some(Member::Shared(member)) => {
                if let Some(log) = member.log().filter(|log| log.blocks()) {
                    log.stop(id);
                    if self.table.member(id).is_none() {
                        self.release_log(&log, id);
                    }
                }
            }
            // A mailbox says so itself once it is closed; and who loses anyway just goes.
            _ => {}
        }
    }

    fn stock(&self) {
        self.log.stock();
    }

    fn ended(&self, id: u64) {
        let Some(member) = self.table.member(id) else { return };
        let blocks = match &member {
            Member::Mailbox(target) => target.blocks(),
            Member::Ring(reader) => reader.required,
            Member::Shared(member) => member.log().is_some_and(|log| log.blocks()),
            Member::Inline(_) => false,
        };
        // Publishers are told of such a failure until somebody cancels it.
        if !(blocks && member.subscriber().life() == Life::Failed) {
            drop(self.table.remove(id));
        }
    }
}

/// Letters that were pushed out of full mailboxes; dropped when everything else is done.
pub(crate) type Stolen<M> = Vec<Letter<M>>;
