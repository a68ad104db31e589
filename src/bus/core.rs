//! What all handles of one bus share.
#![forbid(unsafe_code)]

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::table::{Member, Table};
use super::topics::Topics;
use crate::actor::source::{Entry, Letter};
use crate::actor::subscriber::Host;
use crate::mailbox::signal::Idlers;
use crate::mailbox::space::Space;
use crate::ring::Log;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::worker::Workers;
use crate::{Message, Notice};

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
    /// How many readers of the ring sleep.
    pub(crate) idlers: Arc<Idlers>,
    pub(crate) notices: Arc<Log<Notice>>,
    pub(crate) workers: OnceLock<Workers>,
    /// Whether publishing outside of handlers is refused: a shutdown has begun.
    pub(crate) closing: std::sync::OnceLock<()>,
    next_id: AtomicU64,
    pub(crate) this: Weak<Core<M>>,
}

static NEXT_BUS: std::sync::Mutex<u64> = std::sync::Mutex::new(1);

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
        Arc::new_cyclic(|this| Self {
            number,
            settings,
            log: Log::new(slots, start),
            topics: Topics::new(),
            table: Table::new(),
            room: Arc::new(Space::new()),
            idlers: Arc::new(Idlers::new()),
            notices: Log::new(NOTICES, 1),
            workers: workers.map(OnceLock::from).unwrap_or_default(),
            closing: OnceLock::new(),
            next_id: AtomicU64::new(1),
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

    /// Closes at once: no message gets a sequence any more, actors drain and stop.
    pub(crate) fn close(&self) {
        self.log.close();
        self.notices.close();
        for member in self.table.members() {
            match member {
                Member::Mailbox(target) => target.addr.close(),
                Member::Ring(reader) => reader.bell.wake(),
                Member::Inline(_) => {}
            }
        }
        self.table.ring_readers();
        self.room.freed();
    }

    /// Gives a notice, as a message, to everybody whose pattern asks for it.
    fn deliver_notice(&self, notice: &Notice, sequence: u64) {
        let route = self.table.route(notice.topic);
        if route.mailboxes() + route.inline.len() == 0 {
            return;
        }
        let topic = self.topics.names.intern(notice.topic);
        let Some(message) = M::from_notice(notice) else { return };
        let mut stolen = Vec::new();
        for target in route.open.iter().chain(&route.blocking) {
            // A notice never waits, and what does not fit is counted like any other message.
            super::publish::offer(target, sequence, topic, message.clone(), &mut stolen);
        }
        crate::mailbox::signal::fence();
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
        if notice.pattern.trim_start_matches("re:^\\").contains('$') {
            return;
        }
        let claimed = self.notices.with_writer(|writer| {
            let sequence = match writer.claim(1) {
                Ok(claim) => {
                    let sequence = claim.first();
                    claim.commit(notice.clone());
                    Some(sequence)
                }
                Err(_) => None,
            };
            writer.reclaim();
            sequence
        });
        if let Some(sequence) = claimed {
            self.deliver_notice(&notice, sequence);
        }
    }

    fn ended(&self, id: u64) {
        self.table.remove(id);
    }
}

/// Letters that were pushed out of full mailboxes; dropped when everything else is done.
pub(crate) type Stolen<M> = Vec<Letter<M>>;
