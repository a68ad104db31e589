//! The bus: publishers on one side, subscriptions, taps and history on the other.
//!
//! | file | noun |
//! |---|---|
//! | [`publish`], [`one`] | one publish, step by step: the order of everything; the same to one mailbox or log |
//! | [`offer`], [`shared`], [`late`] | a message at its mailboxes, and at logs that several share; those who join meanwhile |
//! | [`alike`] | which subscriptions share a log |
//! | [`scratch`] | what a publisher keeps from one publish to the next |
//! | [`batch`], [`mixed`] | the same for up to 64 messages; for a list of messages on several topics |
//! | [`publisher`] | publishing to one topic from one thread |
//! | [`room`] | waiting for whoever had none |
//! | [`route`], [`table`], [`exact`], [`topics`] | whom a topic reaches; who is subscribed; those with a single topic; names |
//! | [`subscribe`], [`subscription`] | making a subscription; its owner's end |
//! | [`inline`] | handlers on the publisher's thread |
//! | [`tap`], [`foothold`] | reading the ring in its own order; for readers that are run elsewhere |
//! | [`settle`], [`shutdown`] | waiting for quiet; closing in order |
//! | [`alarm`] | deadlines for futures |
//!
//! # Orderings
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `table` | `Table::bump`, after each change | `Table::version`, twice a publish | the table that the version belongs to |
//! | `word` | `Words::set`, when a mailbox goes | `Words::probe`, by who resolves a route | the seat that was shown before |
//!
//! The second of those two looks comes after the claim; that it sees every subscriber whose start
//! lies below is `join` (`ring/mod.rs`). Everything else is Relaxed and says why. `models.rs` has
//! the proofs.
#![forbid(unsafe_code)]

mod alarm;
mod alike;
mod batch;
mod builder;
mod core;
mod errors;
mod exact;
pub(crate) mod foothold;
mod handle;
mod inline;
mod late;
mod members;
mod mixed;
mod offer;
mod one;
mod publish;
mod publisher;
mod room;
mod route;
mod scratch;
mod settle;
mod shared;
mod shutdown;
mod stats;
mod subscribe;
mod subscription;
mod table;
mod tap;
mod topics;
mod words;

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

pub use batch::PublishedBatch;
pub use builder::BusBuilder;
pub use errors::{BatchError, PublishError, SubscribeError};
pub use publish::Published;
pub use publisher::Publisher;
pub use settle::Unsettled;
pub use shutdown::ShutdownReport;
pub use subscribe::{Start, SubscribeBuilder};
pub use subscription::Subscription;
pub use tap::{Tap, TapError, Tapped};

use self::core::Core;
use self::handle::Handle;
use self::publish::Refusal;
use self::publisher::refused;
use self::room::{Room, insist};
use self::scratch::Scratch;
use self::settle::Settle;
use self::topics::TopicEntry;
use crate::actor::source::{Entry, Head};
use crate::actor::{Delivery, IntoOutcome, scope};
use crate::ring::{Log, Next};
use crate::topic::filter::Filter;
use crate::topic::{Pattern, TopicError};
use crate::{BusStats, Message, Notice, Sequence};

/// An event bus for messages of one type.
///
/// Cheap to clone; all clones are the same bus. Dropping the last `Bus` and
/// [`Publisher`] closes it without waiting: actors handle what they have and stop.
/// [`shutdown`](Bus::shutdown) does it in order.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ringpost::Bus;
///
/// let bus = Bus::<u64>::new();
/// let prices = bus.subscribe("md.*")?.spawn(|d: ringpost::Delivery<'_, u64>| {
///     println!("{} costs {}", d.topic(), *d);
/// })?;
/// bus.publish_to("md.AAPL", 42_u64)?;
/// bus.settle(Duration::from_secs(10))?;
/// assert_eq!(prices.stats().handled, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Bus<M: Message> {
    handle: Arc<Handle<M>>,
}

impl<M: Message> Bus<M> {
    /// A bus with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a bus.
    pub fn builder() -> BusBuilder<M> {
        BusBuilder::new()
    }

    fn core(&self) -> &Arc<Core<M>> {
        &self.handle.core
    }

    /// A handle that does not keep the bus open: for actors that publish to their own bus.
    #[must_use]
    pub fn downgrade(&self) -> WeakBus<M> {
        WeakBus(Arc::downgrade(&self.handle))
    }

    /// A publisher for one topic: the fast way to publish more than once.
    ///
    /// # Errors
    ///
    /// If the topic is not a valid name, or starts with `$`.
    pub fn publisher(&self, topic: &str) -> Result<Publisher<M>, TopicError> {
        Ok(Publisher::new(Arc::clone(&self.handle), Arc::clone(self.topic(topic)?)))
    }

    /// Publishes a message that knows its topic. Waits as [`Publisher::publish`] does.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the message is handed back.
    pub fn publish(&self, message: impl Into<M>) -> Result<Published, PublishError<M>> {
        let message = message.into();
        match message.topic().map(|topic| self.topic(topic)) {
            Some(topic) => self.send(topic, message, true),
            None => Err(PublishError::NoTopic(message)),
        }
    }

    /// Publishes to a topic. Waits as [`Publisher::publish`] does.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the message is handed back.
    pub fn publish_to(
        &self,
        topic: &str,
        message: impl Into<M>,
    ) -> Result<Published, PublishError<M>> {
        self.send(self.topic(topic), message.into(), true)
    }

    /// Publishes to a topic and never waits.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the message is handed back.
    pub fn try_publish_to(
        &self,
        topic: &str,
        message: impl Into<M>,
    ) -> Result<Published, PublishError<M>> {
        self.send(self.topic(topic), message.into(), false)
    }

    /// Publishes a list of messages that know their topics, in order, and empties it. Neighbours on
    /// the same topic go out together, in groups of up to 64 as
    /// [`Publisher::publish_batch`] publishes them: for playing back what was recorded.
    ///
    /// Waits as [`Publisher::publish`] does if a `Block` subscription or a required tap has no room, for
    /// each group anew, and inside a handler not at all. A bus that is disabled empties the list, too,
    /// and publishes nothing.
    ///
    /// # Errors
    ///
    /// [`BatchError`] says how many went out. The rest is left in `messages`; the first of them is
    /// the one that its `cause` is about.
    pub fn publish_all(&self, messages: &mut Vec<M>) -> Result<PublishedBatch, BatchError> {
        mixed::publish_all(self.core(), messages)
    }

    fn topic(&self, name: &str) -> Result<&Arc<TopicEntry<M>>, TopicError> {
        self.core().topics.entry(name, &self.core().table)
    }

    fn send(
        &self,
        topic: Result<&Arc<TopicEntry<M>>, TopicError>,
        message: M,
        patient: bool,
    ) -> Result<Published, PublishError<M>> {
        let core = self.core();
        let entry = match topic {
            Ok(entry) => entry,
            Err(error) => return Err(PublishError::Topic { error, message }),
        };
        let mut scratch = Scratch::new();
        scratch.patient = patient;
        let mut held = Some(message);
        let mut attempt = |held: &mut Option<M>| {
            if let Some(outcome) = publish::turned_away(core, &mut scratch) {
                return outcome.published().ok_or_else(|| scratch.refused());
            }
            let route = entry.lend_route(&core.table);
            scratch.ends.align(&route);
            let mut ring = core.log.borrow_cell();
            publish::publish(core, &mut ring, entry, &route, &mut scratch, held)
                .published()
                .ok_or_else(|| scratch.refused())
        };
        let done = match attempt(&mut held) {
            Err(Refusal::Full(room)) if patient && !scope::inside() => {
                insist(core, room, 1, || match attempt(&mut held) {
                    Err(Refusal::Full(room)) => Err(room),
                    done => Ok(done),
                })
                .unwrap_or(Err(Refusal::Full(Room::Ring)))
            }
            done => done,
        };
        let done = done.map_err(|refusal| refused(refusal, held));
        if let Ok(Published { sequence: Some(_), .. }) = &done {
            entry.published.add(1);
        }
        done
    }

    /// A subscription to every topic that the pattern matches, with a mailbox of its own, or its part
    /// of a log that several which are alike share.
    ///
    /// # Errors
    ///
    /// If the pattern is not a valid one.
    pub fn subscribe(&self, pattern: &str) -> Result<SubscribeBuilder<'_, M>, SubscribeError> {
        Ok(SubscribeBuilder::new(self.core(), Pattern::parse(pattern)?))
    }

    /// A subscription whose handler runs on the publisher's thread, before its publish returns:
    /// all of them in the order they were made. It slows publishers down, and may run on several
    /// threads at once.
    ///
    /// An error or a panic of the handler is counted and told as a notice; it reaches neither the
    /// publisher nor the handlers after it.
    ///
    /// # Errors
    ///
    /// If the pattern is not a valid one, or the bus is closed.
    pub fn subscribe_inline<F, R>(
        &self,
        pattern: &str,
        handler: F,
    ) -> Result<Subscription<M>, SubscribeError>
    where
        F: Fn(Delivery<'_, M>) -> R + Send + Sync + 'static,
        R: IntoOutcome,
    {
        let pattern = Pattern::parse(pattern)?;
        let handler = move |delivery: Delivery<'_, M>| handler(delivery).into_outcome();
        subscribe::inline(self.core(), pattern, Box::new(handler))
    }

    /// A lossy reader of the ring, from the next message on.
    ///
    /// # Errors
    ///
    /// If the pattern is not a valid one.
    pub fn tap(&self, pattern: &str) -> Result<Tap<M>, SubscribeError> {
        let filter = Filter::new(Pattern::parse(pattern)?);
        let core = Arc::clone(self.core());
        let reader = Log::reader(&core.log, core.log.join());
        Ok(Tap::new(core, reader, filter))
    }

    /// A lossy reader of the ring, from an earlier sequence on. What is no longer held comes as a
    /// gap.
    ///
    /// # Errors
    ///
    /// If the pattern is not a valid one.
    pub fn tap_from(&self, pattern: &str, from: Sequence) -> Result<Tap<M>, SubscribeError> {
        let filter = Filter::new(Pattern::parse(pattern)?);
        let core = Arc::clone(self.core());
        let from = from.get().clamp(core.log.start(), core.log.tail().max(core.log.start()));
        let reader = Log::reader(&core.log, from);
        Ok(Tap::new(core, reader, filter))
    }

    /// A reader of the ring that publishers must not overrun: when it is `window` messages behind
    /// (at most the ring's capacity) they find the bus full. For whoever must not lose anything,
    /// such as a journal.
    ///
    /// # Errors
    ///
    /// If the pattern is not a valid one, or the bus is closed.
    pub fn tap_required(&self, pattern: &str, window: usize) -> Result<Tap<M>, SubscribeError> {
        let filter = Filter::new(Pattern::parse(pattern)?);
        let core = Arc::clone(self.core());
        if core.log.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let reader = Log::required(&core.log, window);
        Ok(Tap::new(core, reader, filter))
    }

    /// The newest messages, newest first: at most `limit`, and at most what the builder's
    /// `recent` says.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<Delivery<'static, M>> {
        let core = self.core();
        let limit = limit.min(core.settings.history) as u64;
        let tail = core.log.tail();
        let from = tail.saturating_sub(limit).max(core.log.start());
        let mut reader = Log::reader(&core.log, from);
        let mut found = Vec::new();
        loop {
            match reader.next() {
                Next::Item(sequence, _) if sequence >= tail => break,
                Next::Item(sequence, Entry { topic, message }) => {
                    let head = Head { sequence, topic: *topic, message };
                    found.push(Delivery::lend(head, &core.topics.names, &[]).cloned());
                    reader.advance();
                }
                // Overtaken while reading: what is newer is all still there.
                Next::Gap { .. } => {}
                Next::Empty | Next::Closed => break,
            }
        }
        found.reverse();
        found
    }

    /// What the bus says about itself, from now on: failures in handlers, above all.
    #[must_use]
    pub fn notices(&self) -> Notices {
        let log = &self.core().notices;
        Notices(Log::reader(log, log.tail()))
    }

    /// Switches publishing off or on. While it is off a publish does nothing, and says so by
    /// having no sequence.
    pub fn set_enabled(&self, enabled: bool) {
        self.core().log.set_enabled(enabled);
    }

    /// Whether publishing is on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.core().log.is_enabled()
    }

    /// Whether the bus was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core().log.is_closed()
    }

    /// What it has done so far. Exact at rest.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        stats::of_bus(self.core())
    }

    /// Waits, on this thread, until everything published before, and all that it caused, has been
    /// handled: at most `timeout`. Taps are not waited for.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] says what is still open.
    pub fn settle(&self, timeout: Duration) -> Result<(), Unsettled> {
        Settle::new(self.core()).wait_blocking(alarm::after(timeout))
    }

    /// As [`settle`](Bus::settle), as a task.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] says what is still open.
    pub async fn settle_async(&self, timeout: Duration) -> Result<(), Unsettled> {
        Settle::new(self.core()).wait(alarm::after(timeout)).await
    }

    /// Has this flushed when the bus shuts down.
    pub(crate) fn on_shutdown(&self, flusher: core::Flusher) {
        self.core().flushers.lock().unwrap_or_else(PoisonError::into_inner).push(flusher);
    }

    /// Closes the bus in order, on this thread: refuses publishers outside of handlers, waits
    /// until everything was handled, closes, waits until the actors have stopped, and flushes the
    /// journal if there is one. After `deadline` what is left counts as `dropped(shutdown)`, and
    /// handlers that do not return are reported and left behind.
    ///
    /// Inside a handler it closes and reports, but does not wait for actors.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        shutdown::shutdown(self.core(), deadline)
    }
}

impl<M: Message> Default for Bus<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Clone for Bus<M> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<M: Message> fmt::Debug for Bus<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.core().settings.name)
            .field("closed", &self.is_closed())
            .field("enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}

/// A handle to a bus that does not keep it open.
pub struct WeakBus<M: Message>(Weak<Handle<M>>);

impl<M: Message> WeakBus<M> {
    /// The bus, unless its last handle was dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Bus<M>> {
        self.0.upgrade().map(|handle| Bus { handle })
    }

    /// Whether it is a handle to this bus.
    pub(crate) fn is_of(&self, bus: &Bus<M>) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&bus.handle))
    }
}

impl<M: Message> Clone for WeakBus<M> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<M: Message> fmt::Debug for WeakBus<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakBus")
    }
}

/// What a bus says about itself, as it comes; a reader that is 192 notices behind misses some.
#[derive(Debug)]
pub struct Notices(crate::ring::Reader<Notice>);

impl Iterator for Notices {
    type Item = Notice;

    /// The next notice there is. `None` means none now, not never.
    fn next(&mut self) -> Option<Notice> {
        loop {
            let notice = match self.0.next() {
                Next::Item(_, notice) => notice.clone(),
                Next::Gap { .. } => continue,
                Next::Empty | Next::Closed => return None,
            };
            self.0.advance();
            return Some(notice);
        }
    }
}
