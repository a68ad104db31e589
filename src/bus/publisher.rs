//! Publishing to one topic from one thread: the fast way.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::alarm;
use super::batch::{self, PublishedBatch};
use super::errors::{BatchError, PublishError};
use super::handle::Handle;
use super::publish::{self, HELD, Outcome, Published, Refusal};
use super::room::{Room, insist};
use super::route::Route;
use super::scratch::Scratch;
use super::topics::{Tally, TopicEntry};
use crate::Message;
use crate::actor::scope;
use crate::actor::source::Entry;
use crate::ring::{Log, Writer};
use crate::worker;

/// Publishes to one topic. One a thread: it keeps its route, its place at the ring and its lists
/// to itself, so that publishing resolves no name, takes no lock and allocates nothing.
///
/// It can be cloned and sent to other threads. Dropping the last `Bus` and `Publisher` closes the
/// bus.
///
/// Publishing never waits for a subscriber, with one exception that the subscriber chose by name:
/// a full [`Overflow::Block`](crate::Overflow::Block) mailbox, or a full required reader of the ring such as the journal.
///
/// # Examples
///
/// ```
/// use ringpost::Bus;
///
/// let bus = Bus::<u64>::new();
/// let mut numbers = bus.publisher("numbers")?;
/// let published = numbers.publish(7_u64)?;
/// assert_eq!(published.sequence.map(u64::from), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Publisher<M: Message> {
    handle: Arc<Handle<M>>,
    topic: Arc<TopicEntry<M>>,
    route: Arc<Route<M>>,
    writer: Writer<Entry<M>>,
    scratch: Scratch<M>,
    tally: Arc<Tally>,
}

impl<M: Message> Publisher<M> {
    pub(crate) fn new(handle: Arc<Handle<M>>, topic: Arc<TopicEntry<M>>) -> Self {
        let core = &handle.core;
        let route = topic.route(&core.table);
        Self {
            scratch: Scratch::of(&route),
            route,
            writer: Log::writer(&core.log),
            tally: topic.open_tally(),
            handle,
            topic,
        }
    }

    /// The topic it publishes to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Publishes without ever waiting.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] if a `Block` mailbox or a required reader has no room,
    /// [`PublishError::Closed`], [`PublishError::Stopped`]; each hands the message back, and
    /// nothing was published.
    #[inline]
    pub fn try_publish(&mut self, message: impl Into<M>) -> Result<Published, PublishError<M>> {
        let mut held = Some(message.into());
        match self.attempt(&mut held, false).published() {
            Some(published) => Ok(published),
            None => Err(refused(self.scratch.refused(), held)),
        }
    }

    /// Publishes, and waits if a `Block` subscription or a required tap has no room: at most the
    /// timeout of that subscription, or the bus's `publish_timeout` for a tap, such as the
    /// journal's. Inside a handler it does not wait.
    ///
    /// # Errors
    ///
    /// As [`try_publish`](Self::try_publish).
    // Inlined, though it is not small: the message is made where it is taken from, and need not be
    // copied into a call. That copy, of what was just written in smaller pieces, took 20 ns.
    #[inline(always)]
    pub fn publish(&mut self, message: impl Into<M>) -> Result<Published, PublishError<M>> {
        let mut held = Some(message.into());
        match self.attempt(&mut held, true).published() {
            Some(published) => Ok(published),
            None => self.insist(held),
        }
    }

    #[cold]
    fn insist(&mut self, mut held: Option<M>) -> Result<Published, PublishError<M>> {
        let done = match self.scratch.refused() {
            Refusal::Full(room) if !scope::inside() => {
                let core = Arc::clone(&self.handle.core);
                insist(&core, room, 1, || match self.again(&mut held, true) {
                    Err(Refusal::Full(room)) => Err(room),
                    done => Ok(done),
                })
                .unwrap_or(Err(Refusal::Full(Room::Ring)))
            }
            refusal => Err(refusal),
        };
        done.map_err(|refusal| refused(refusal, held))
    }

    /// As [`publish`](Self::publish), but the calling task waits, not its thread: also inside
    /// async handlers. Room that only the calling handler itself could make is not waited for.
    ///
    /// # Errors
    ///
    /// As [`try_publish`](Self::try_publish).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing was published, and the message is dropped.
    pub async fn publish_async(
        &mut self,
        message: impl Into<M>,
    ) -> Result<Published, PublishError<M>> {
        let mut held = Some(message.into());
        let (since, mut waited) = (Instant::now(), false);
        loop {
            // The task may wait, but not its thread.
            let room = match self.again(&mut held, false) {
                Err(Refusal::Full(room)) => room,
                done => return done.map_err(|refusal| refused(refusal, held)),
            };
            let core = &self.handle.core;
            let deadline = alarm::add(since, room.timeout(core, 1));
            // A ring without a free block has room by its numbers: then only the clock ends this.
            let over = waited && Instant::now() >= deadline;
            if over || room.is_own(core) || !room.wait(core, 1, deadline).await {
                return Err(refused(Refusal::Full(room), held));
            }
            if std::mem::replace(&mut waited, true) {
                worker::yield_now().await;
            }
        }
    }

    /// Publishes a list, in order, and empties it: one claim and one look at the route
    /// for up to 64 messages. Each group of 64 is published whole or not at all; between groups
    /// other publishers' messages may come. Waits as [`publish`](Self::publish) does.
    ///
    /// # Errors
    ///
    /// [`BatchError`] says how many went out; the rest stays in `messages`.
    pub fn publish_batch(&mut self, messages: &mut Vec<M>) -> Result<PublishedBatch, BatchError> {
        let core = Arc::clone(&self.handle.core);
        let mut published = PublishedBatch::default();
        self.scratch.patient = true;
        while !messages.is_empty() {
            let most = messages.len().min(batch::LARGEST);
            let mut attempt = |this: &mut Self| {
                let Self { route, writer, scratch, topic, .. } = this;
                batch::publish(&core, writer, topic, route, scratch, messages)
            };
            let chunk = match attempt(self) {
                Err(Refusal::Full(room)) if !scope::inside() => {
                    insist(&core, room, most, || match attempt(self) {
                        Err(Refusal::Full(room)) => Err(room),
                        done => Ok(done),
                    })
                    .unwrap_or(Err(Refusal::Full(Room::Ring)))
                }
                done => done,
            };
            match chunk {
                Ok(chunk) => {
                    self.tally.add_owned(chunk.count);
                    published.add(chunk);
                }
                Err(refusal) => {
                    return Err(BatchError { published, cause: refused(refusal, Some(())) });
                }
            }
        }
        Ok(published)
    }

    #[inline(always)]
    fn attempt(&mut self, held: &mut Option<M>, patient: bool) -> Outcome {
        let Self { handle, topic, route, writer, scratch, tally } = self;
        scratch.patient = patient;
        let core = &handle.core;
        let outcome = match publish::turned_away(core, scratch) {
            Some(outcome) => outcome,
            None => {
                if route.version != core.table.version() {
                    topic.follow(&core.table, route, &mut scratch.ends);
                }
                publish::publish(core, writer, topic, route, scratch, held)
            }
        };
        tally.add_owned(u64::from(outcome.is_published()));
        outcome
    }

    /// The same where it need not be fast.
    #[cold]
    fn again(&mut self, held: &mut Option<M>, patient: bool) -> Result<Published, Refusal<M>> {
        self.attempt(held, patient).published().ok_or_else(|| self.scratch.refused())
    }
}

/// The public form of a refusal, with what was not published.
#[cold]
pub(crate) fn refused<M: Message, T>(refusal: Refusal<M>, held: Option<T>) -> PublishError<T> {
    let message = held.expect(HELD);
    match refusal {
        Refusal::Full(_) => PublishError::Full(message),
        Refusal::Closed => PublishError::Closed(message),
        Refusal::Stopped(subscriber) => PublishError::Stopped { subscriber, message },
    }
}

impl<M: Message> Clone for Publisher<M> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.handle), Arc::clone(&self.topic))
    }
}

impl<M: Message> Drop for Publisher<M> {
    fn drop(&mut self) {
        self.topic.close_tally(&self.tally);
    }
}

impl<M: Message> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("topic", &self.topic()).finish_non_exhaustive()
    }
}
