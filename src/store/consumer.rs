//! Durable consumers: named, at least once, from where they were, across restarts.
//!
//! A durable consumer reads a bus and its journal through a [`Cursor`], so it delays no publisher
//! and is never too late, and it stores how far it is beside the journal. The story of an event:
//! the cursor gives it, the pattern admits it, the handler succeeds, and only then the consumer's
//! position goes past it; now and then the position is stored, and never ahead of what the journal
//! would still have after a crash. Events that the pattern does not admit move the position too.
//!
//! | file | noun |
//! |---|---|
//! | here | the consumer itself, pulled by its owner |
//! | [`progress`] | its position, and when that is stored |
//! | [`runner`] | a thread that hands its events to a handler |
//! | [`post`] | what it shares with its owner: the account, and being told to stop |
//! | [`options`], [`builder`], [`error`] | making one |
//! | [`mod@planted`] | the bugs that its tests must find |
#![forbid(unsafe_code)]

mod builder;
mod error;
mod options;
pub(crate) mod planted;
mod post;
mod progress;
mod runner;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

pub use self::builder::DurableBuilder;
pub use self::error::ConsumerError;
pub use self::options::{AfterLast, ConsumerOptions};
pub use self::post::{ConsumerEnd, ConsumerReport, ConsumerStats};
pub use self::runner::DurableSubscription;

use self::planted::{Bug, planted};
use self::post::Post;
use self::progress::Progress;
use super::{Cursor, CursorError, Record, Step, StoreError};
use crate::actor::source::Head;
use crate::block_on::block_on;
use crate::bus::foothold::{Failed, Foothold};
use crate::event::Event;
use crate::topic::TopicId;
use crate::{Delivery, Gap, Sequence, Shared};

/// A durable consumer that its owner pulls.
///
/// [`next`](Self::next) and [`next_timeout`](Self::next_timeout) lend the same event until it is
/// acknowledged by [`ack`](Self::ack), or passed over. Dropping the consumer stores how far it is,
/// as far as the journal is; [`close`](Self::close) waits for the journal and says how it went.
///
/// ```no_run
/// use ringpost::store::journal::{Journal, JournalOptions};
/// use ringpost::store::{Begin, PersistOptions, Store};
/// use ringpost::{EventBus, Sequence};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let journal = Journal::open("journal", JournalOptions::default())?;
/// let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
/// let bus = EventBus::builder().start(Sequence::new(next)).build();
/// let persistence = bus.persist(journal, PersistOptions::default())?;
///
/// let invoices = bus.subscribe("invoice.*")?.durable("billing", &persistence);
/// let mut billing = invoices.begin(Begin::First).pull()?;
/// while let Some(invoice) = billing.next_timeout(Duration::from_secs(1))? {
///     println!("{:?} {}", invoice.sequence(), invoice.kind());
///     billing.ack();
/// }
/// billing.close(Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    site: Arc<Foothold<Shared<Event>>>,
    cursor: Cursor,
    progress: Progress,
    current: Option<Current>,
    /// What was lost right before the next event.
    gaps: Vec<Gap>,
    post: Arc<Post>,
}

/// An event that is handed out and not acknowledged.
struct Current {
    record: Record,
    topic: TopicId,
}

impl Consumer {
    fn new(
        site: Foothold<Shared<Event>>,
        cursor: Cursor,
        progress: Progress,
        post: Arc<Post>,
    ) -> Self {
        Self { site: Arc::new(site), cursor, progress, current: None, gaps: Vec::new(), post }
    }

    /// The next event that is not acknowledged, waiting for at most `timeout` for one. May read
    /// files, and may store how far the consumer is.
    ///
    /// # Errors
    ///
    /// [`CursorError::Closed`] when the bus is closed and everything was read;
    /// [`CursorError::Store`] if the journal could not be read: the next call tries again.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Delivery<'_, Shared<Event>>>, CursorError> {
        let until = Instant::now().checked_add(timeout);
        Ok(if self.fill(until)? { self.lend() } else { None })
    }

    /// Waits for the next event that is not acknowledged. Reads files on the task's own thread
    /// while it is behind. What is to be stored waits for the next call if none comes: see
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`next_timeout`](Self::next_timeout).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Delivery<'_, Shared<Event>>, CursorError> {
        while self.current.is_none() {
            self.keep();
            let step = self.cursor.next().await?;
            self.take(step);
        }
        Ok(self.lend().expect("an event was found"))
    }

    /// The event that was handed out last is dealt with, and the next one comes. Does nothing if
    /// there is none.
    pub fn ack(&mut self) {
        if let Some(current) = self.current.take() {
            self.progress.totals().handled += 1;
            self.post.count(|counts| counts.handled += 1);
            self.past(&current.record);
        }
    }

    /// The event that was handed out last is given up: it counts as failed, `why` is told on
    /// `$errors`, and the next one comes. Does nothing if there is none.
    pub fn pass_over(&mut self, why: impl fmt::Display) {
        self.give_up(format!("passed over by the consumer {}: {why}", self.name()), false);
    }

    fn give_up(&mut self, error: String, panicked: bool) {
        if let Some(current) = self.current.take() {
            self.tell(&current, error, panicked);
            self.progress.totals().failed += 1;
            self.post.count(|counts| counts.failed += 1);
            self.past(&current.record);
        }
    }

    /// Stores how far the consumer is, as far as the journal is: up to what is durable there, or
    /// written if its settings promise no more.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. It is tried again by itself.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let stored = self.progress.flush();
        self.post.stored(&self.progress, stored.as_ref().err());
        stored
    }

    /// Has the journal flushed, for at most `timeout`, stores how far the consumer is, and ends.
    #[must_use = "the report says whether everything was stored"]
    pub fn close(mut self, timeout: Duration) -> ConsumerReport {
        let complete = self.finish(timeout);
        ConsumerReport { stats: self.stats(), complete }
    }

    /// The name under which it is known.
    #[must_use]
    pub fn name(&self) -> &str {
        self.post.name()
    }

    /// The first sequence that is not dealt with.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.progress.position()
    }

    /// Its account so far, and how far it is.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.post.stats(&self.site)
    }

    /// Goes on to the next event that the pattern admits; false if there is none by then, or the
    /// consumer is to stop. Without a deadline it waits as long as it takes.
    fn fill(&mut self, until: Option<Instant>) -> Result<bool, CursorError> {
        while self.current.is_none() {
            self.keep();
            if self.post.is_stopping() {
                return Ok(false);
            }
            let step = match self.cursor.try_next()? {
                None => self.wait(until)?,
                step => step,
            };
            match step {
                Some(step) => self.take(step),
                None if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
                None => {}
            }
        }
        Ok(true)
    }

    /// Sleeps until something comes, is to be stored, or the consumer is to stop.
    fn wait(&mut self, until: Option<Instant>) -> Result<Option<Step>, CursorError> {
        let wake = match (until, self.progress.due()) {
            (Some(until), Some(due)) => Some(until.min(due)),
            (until, due) => until.or(due),
        };
        let Self { cursor, post, .. } = self;
        let mut next = pin!(cursor.next());
        let waited = block_on(
            poll_fn(|task| {
                if post.listen(task.waker()) {
                    return Poll::Ready(None);
                }
                next.as_mut().poll(task).map(Some)
            }),
            wake,
        );
        waited.flatten().transpose()
    }

    /// Takes what the cursor gave: as the current event, or past it.
    fn take(&mut self, step: Step) {
        match step {
            Step::Record(record) if self.site.pattern().matches(record.event.topic()) => {
                let topic = self.site.names().intern(record.event.topic());
                if planted(Bug::AcknowledgedBeforeSuccess) {
                    self.progress.advance(after(record.sequence));
                }
                self.current = Some(Current { record, topic });
                self.post
                    .count(|counts| (counts.matched, counts.held) = (counts.matched + 1, true));
            }
            Step::Record(record) if planted(Bug::FilterHolds) => drop(record),
            Step::Record(record) => self.progress.advance(after(record.sequence)),
            Step::Gap(gap) => {
                self.progress.totals().lost += gap.count;
                self.progress.advance(after(gap.to));
                self.post.count(|counts| {
                    (counts.matched, counts.lost) =
                        (counts.matched + gap.count, counts.lost + gap.count);
                });
                self.gaps.push(gap);
                let (from, to) = (gap.from, gap.to);
                let error = format!(
                    "the consumer {} will not see the events {from} to {to}, which neither the \
                     ring nor the journal has",
                    self.name()
                );
                self.site.tell(Failed { message: None, error, panicked: false });
            }
        }
        self.post.moved(self.progress.position());
    }

    fn past(&mut self, record: &Record) {
        self.gaps.clear();
        self.progress.acknowledge(after(record.sequence));
        self.post.count(|counts| counts.held = false);
        self.post.moved(self.progress.position());
        self.keep();
    }

    fn lend(&self) -> Option<Delivery<'_, Shared<Event>>> {
        self.current.as_ref().map(|Current { record, topic }| {
            let Record { sequence, event, .. } = record;
            let head = Head { sequence: sequence.get(), topic: *topic, message: event };
            Delivery::lend(head, self.site.names(), &self.gaps)
        })
    }

    /// Stores how far the consumer is, if that is due.
    fn keep(&mut self) {
        if self.progress.is_due() {
            let stored = self.flush();
            if let Err(error) = stored
                && self.post.is_first_trouble()
            {
                let text = chain(&error);
                let error =
                    format!("the consumer {} cannot store how far it is: {text}", self.name());
                self.site.tell(Failed { message: None, error, panicked: false });
            }
        }
    }

    /// Stores all of it, having the journal flushed for that; whether that was done.
    fn finish(&mut self, timeout: Duration) -> bool {
        self.progress.flush_journal(timeout);
        self.flush().is_ok() && self.progress.is_stored()
    }

    /// Tells of a failure with the current event.
    fn tell(&self, current: &Current, error: String, panicked: bool) {
        let Current { record, topic } = current;
        let message = Some((record.sequence, *topic, &record.event));
        self.site.tell(Failed { message, error, panicked });
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // What is not stored is seen again.
        let _ = self.progress.flush();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name())
            .field("pattern", &self.site.pattern().as_str())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// The next one; the last one there is comes again.
fn after(sequence: Sequence) -> Sequence {
    Sequence::new((sequence.get() + 1).min(Sequence::LIMIT - 1))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
