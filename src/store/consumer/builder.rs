//! Making a durable consumer: its name, its place, its settings.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::post::Post;
use super::progress::Progress;
use super::{AfterLast, Consumer, ConsumerError, ConsumerOptions, DurableSubscription, runner};
use crate::actor::closure::{AsyncClosure, SyncClosure};
use crate::bus::foothold::Foothold;
use crate::event::Event;
use crate::store::{
    Begin, Checkpoint, CheckpointStore, ConsumerName, Cursor, Persistence, Receipts, StoreErrorKind,
};
use crate::{Actor, Delivery, IntoOutcome, Pattern, Sequence, Shared, SubscribeBuilder};

/// How long a new consumer waits for the journal to take what was published before, where its
/// beginning depends on that.
const PATIENCE: Duration = Duration::from_secs(10);

/// A durable consumer being made. `spawn`, `spawn_async`, `spawn_actor` or `pull` makes it.
#[must_use = "nothing is consumed until it is spawned or pulled"]
pub struct DurableBuilder<'p> {
    site: Option<Foothold<Shared<Event>>>,
    name: String,
    persistence: &'p Persistence,
    options: ConsumerOptions,
}

impl SubscribeBuilder<'_, Shared<Event>> {
    /// Makes it a durable consumer: one that has a name, goes on where it was when it is started
    /// again, and handles each event at least once. Its checkpoint lies beside the journal that
    /// `persistence` feeds from this bus; what the ring no longer has is read from there, so a
    /// durable consumer delays no publisher and is never too late. One name runs once at a time,
    /// whatever the process.
    ///
    /// It takes the pattern alone. A pattern may change from one start to the next: what lies
    /// before the checkpoint stays dealt with.
    ///
    /// What is promised, what may come twice, and what happens after a power cut is said in
    /// [`docs::guarantees`](crate::docs::guarantees).
    pub fn durable<'p>(self, name: &str, persistence: &'p Persistence) -> DurableBuilder<'p> {
        let (site, name) = (self.into_foothold(), name.to_owned());
        DurableBuilder { site, name, persistence, options: ConsumerOptions::default() }
    }
}

impl DurableBuilder<'_> {
    /// All settings at once.
    pub fn options(mut self, options: ConsumerOptions) -> Self {
        self.options = options;
        self
    }

    /// Where it begins if the store does not know it yet. Default: now.
    pub fn begin(mut self, begin: Begin) -> Self {
        self.options.begin = begin;
        self
    }

    /// How often its position is stored: after so many acknowledged events, and at the latest
    /// after that time. Default: 1,024, and 1 s.
    pub fn checkpoint(mut self, events: u64, time: Duration) -> Self {
        (self.options.checkpoint_events, self.options.checkpoint_time) = (events, time);
        self
    }

    /// How often an event is tried at most, `None` for as often as it takes, and the pauses after
    /// the first failure and at most. Default: 10 times, 100 ms, 30 s.
    pub fn retry(
        mut self,
        attempts: Option<NonZeroU32>,
        first_pause: Duration,
        longest_pause: Duration,
    ) -> Self {
        self.options.attempts = attempts;
        (self.options.first_pause, self.options.longest_pause) = (first_pause, longest_pause);
        self
    }

    /// What happens with an event after its last attempt. Default: the consumer stops.
    pub fn after_last(mut self, after_last: AfterLast) -> Self {
        self.options.after_last = after_last;
        self
    }

    /// Starts it with a closure that is done when it returns. An event is acknowledged when it
    /// returns without an error or a panic.
    ///
    /// # Errors
    ///
    /// [`ConsumerError`].
    pub fn spawn<F, R>(self, handler: F) -> Result<DurableSubscription, ConsumerError>
    where
        F: FnMut(Delivery<'_, Shared<Event>>) -> R + Send + 'static,
        R: IntoOutcome + 'static,
    {
        self.spawn_actor(SyncClosure(handler))
    }

    /// Starts it with a closure that returns a future, which is polled on the consumer's thread,
    /// in the tokio runtime that is current here, if one is (feature `tokio`). The next event
    /// waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`ConsumerError`].
    pub fn spawn_async<F, T, R>(self, handler: F) -> Result<DurableSubscription, ConsumerError>
    where
        F: FnMut(Delivery<'static, Shared<Event>>) -> T + Send + 'static,
        T: Future<Output = R> + Send + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.spawn_actor(AsyncClosure(handler))
    }

    /// Starts it with an actor.
    ///
    /// # Errors
    ///
    /// [`ConsumerError`].
    pub fn spawn_actor(
        self,
        actor: impl Actor<Shared<Event>>,
    ) -> Result<DurableSubscription, ConsumerError> {
        let options = self.options.clone();
        Ok(runner::start(self.pull()?, actor, options)?)
    }

    /// Makes it for its owner to pull. Retries and their limits are then the owner's own.
    ///
    /// # Errors
    ///
    /// [`ConsumerError`].
    pub fn pull(self) -> Result<Consumer, ConsumerError> {
        let Self { site, name, persistence, options } = self;
        let name: ConsumerName = name.parse()?;
        let site = site.ok_or(ConsumerError::Settings)?;
        if site.pattern().sees_reserved() {
            return Err(ConsumerError::Notices(site.pattern().to_string()));
        }
        if !persistence.bus().is_some_and(|bus| site.is_of(bus)) {
            return Err(ConsumerError::OtherBus);
        }
        if site.is_closed() {
            return Err(ConsumerError::Closed);
        }
        let place = persistence.checkpoints().map_err(ConsumerError::Unsupported)?;
        let mut held = place.take(&name).map_err(|error| match error.kind() {
            StoreErrorKind::Locked => ConsumerError::Running(name.clone()),
            _ => ConsumerError::Store(error),
        })?;
        let journal = persistence.receipts();
        let stored = match held.load().map_err(ConsumerError::Store)? {
            Some(checkpoint) => checkpoint,
            None => {
                let next = beginning(&*place, &journal, &site, options.begin)?;
                let checkpoint = Checkpoint::new(next, site.pattern().as_str());
                // Stored at once: from now on retention keeps what it needs.
                held.store(&checkpoint).map_err(ConsumerError::Store)?;
                checkpoint
            }
        };
        let next = stored.next;
        let progress = Progress::new(held, journal, &options, stored, site.pattern().as_str());
        let all = Pattern::parse("**").expect("the pattern of everything");
        // Everything is read and sorted out by the consumer: what it passes by moves it on.
        let cursor = Cursor::over(site.tap(next), place.archive(), all, next);
        let post = Arc::new(Post::new(name, &progress));
        Ok(Consumer::new(site, cursor, progress, post))
    }
}

/// The first sequence that a new consumer is to see.
fn beginning(
    place: &dyn CheckpointStore,
    journal: &Receipts,
    site: &Foothold<Shared<Event>>,
    begin: Begin,
) -> Result<Sequence, ConsumerError> {
    let now = site.next();
    if begin != Begin::Now && now > site.first() {
        // What was published and is not stored yet may be the first that is wanted.
        journal.flush(Sequence::new(now.get() - 1), PATIENCE)?;
    }
    let found = place.place_of(begin).map_err(ConsumerError::Store)?;
    Ok(found.map_or(now, |found| found.min(now)))
}

impl fmt::Debug for DurableBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableBuilder")
            .field("name", &self.name)
            .field("site", &self.site)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
