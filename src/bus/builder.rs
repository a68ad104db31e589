//! Settings of a bus, each with its default.
#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Settings};
use super::{Bus, Handle};
use crate::worker::Workers;
use crate::{Message, Sequence};

/// A bus being made.
///
/// # Examples
///
/// ```
/// use ringpost::Bus;
///
/// let bus = Bus::<u64>::builder().ring(1 << 16).mailbox(256).build();
/// assert_eq!(bus.stats().ring_slots, 1 << 16);
/// ```
#[derive(Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct BusBuilder<M: Message> {
    name: String,
    ring: usize,
    start: Sequence,
    recent: usize,
    mailbox: usize,
    enabled: bool,
    publish_timeout: Duration,
    log_events: bool,
    workers: Option<Workers>,
    message: PhantomData<fn(M)>,
}

impl<M: Message> BusBuilder<M> {
    pub(crate) fn new() -> Self {
        Self {
            name: "ringpost".to_owned(),
            ring: 8192,
            start: Sequence::FIRST,
            recent: 500,
            mailbox: 1024,
            enabled: true,
            publish_timeout: Duration::from_secs(1),
            log_events: false,
            workers: None,
            message: PhantomData,
        }
    }

    /// The bus's name, in the names of its threads and tasks. Default: `ringpost`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Slots of the ring, rounded up to a power of two and at least 8; the statistics say what it
    /// became. Default: 8,192. Memory is taken as the ring is first filled, by the block: a
    /// quarter of a small ring, 256 messages of one of up to a million; one ahead, or one for each
    /// receiver that looks at the same moment.
    pub fn ring(mut self, slots: usize) -> Self {
        self.ring = slots;
        self
    }

    /// The first message's sequence: a journal's last and one. Default: 1, which 0 is taken for.
    pub fn start(mut self, sequence: Sequence) -> Self {
        self.start = sequence;
        self
    }

    /// How many messages [`Bus::recent`] can give. Default: 500. The ring is made larger if it
    /// would not hold them.
    pub fn recent(mut self, messages: usize) -> Self {
        self.recent = messages;
        self
    }

    /// The capacity of mailboxes whose subscription names none. Default: 1,024.
    pub fn mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = capacity;
        self
    }

    /// Whether publishing is on. Default: yes.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// How long a publish waits for a required reader of the ring, such as the journal. Default:
    /// 1 s. `Block` subscriptions have a timeout of their own, also those that read the ring.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// Whether each publish writes a log line through `tracing` (feature `tracing`): names and
    /// counts, never payload values. Default: no. It costs a publish about a microsecond.
    pub fn log_events(mut self, on: bool) -> Self {
        self.log_events = on;
        self
    }

    /// The pool that runs its actors. Default: one pool for the whole process, started when it is
    /// first needed.
    pub fn workers(mut self, workers: Workers) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Makes the bus. Opens nothing and starts no thread.
    #[must_use]
    pub fn build(self) -> Bus<M> {
        let settings = Settings {
            name: Arc::from(self.name),
            mailbox: self.mailbox,
            history: self.recent,
            publish_timeout: self.publish_timeout,
            log_events: self.log_events,
        };
        // One block is always being replaced: 256 places, or a quarter of a small ring, or a 4096th
        // of a huge one.
        let spare = (self.recent / 3 + 1).min(256).max(self.recent / 4095 + 1);
        let slots = self.ring.max(self.recent + spare);
        let core = Core::new(settings, slots, self.start.get().max(1), self.workers);
        core.log.set_enabled(self.enabled);
        Bus { handle: Arc::new(Handle { core }) }
    }
}
