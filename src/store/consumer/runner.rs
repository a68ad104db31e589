//! A thread that hands a durable consumer's events to an actor: in order, each until it succeeds
//! or was tried often enough.
//!
//! It has a thread of its own because it reads files and syncs. The loop pulls the consumer as
//! anybody else would; nothing that the actor does gets past it.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::post::Post;
use super::{AfterLast, Consumer, ConsumerEnd, ConsumerOptions, ConsumerReport, ConsumerStats};
use crate::actor::run::{failure_text, guarded, panic_text};
use crate::actor::{Actor, Context, Failure, runtime};
use crate::block_on::block_on;
use crate::bus::foothold::{Failed, Foothold};
use crate::event::Event;
use crate::store::CursorError;
use crate::{Sequence, Shared};

/// How long a consumer that was told to end has for storing where it is, if nobody says.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it has, once a shutdown's deadline has passed, to see that it is to give up.
const GRACE: Duration = Duration::from_millis(100);

/// A durable consumer with a handler, on a thread of its own named `ringpost-consumer`.
///
/// Dropping it stops the consumer, without waiting: a handler that is running finishes, no other
/// begins, and the position is stored. [`stop`](Self::stop) waits for that;
/// [`detach`](Self::detach) leaves the consumer to the bus.
#[must_use = "dropping a durable subscription stops it; `detach` keeps it for the bus's life"]
pub struct DurableSubscription {
    site: Arc<Foothold<Shared<Event>>>,
    post: Arc<Post>,
    detached: bool,
}

impl DurableSubscription {
    /// The name under which it is known.
    #[must_use]
    pub fn name(&self) -> &str {
        self.post.name()
    }

    /// Its account so far, how far it is, and how it ended if it has.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.post.stats(&self.site)
    }

    /// Waits for at most `timeout` for the consumer to end by itself; whether it has.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.post.await_end(timeout).is_some()
    }

    /// Stops it once the handler that is running has returned, has the journal flushed and the
    /// position stored. After `timeout` it returns in any case; a handler that has not returned
    /// by then is left behind, and the name stays taken until it does.
    #[must_use = "the report says whether everything was stored"]
    pub fn stop(self, timeout: Duration) -> ConsumerReport {
        self.post.stop(timeout);
        let complete = self.post.await_end(timeout.saturating_add(GRACE)) == Some(true);
        ConsumerReport { stats: self.stats(), complete }
    }

    /// Lets the consumer live as long as the bus.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for DurableSubscription {
    fn drop(&mut self) {
        if !self.detached {
            self.post.stop(PATIENCE);
        }
    }
}

impl fmt::Debug for DurableSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableSubscription")
            .field("name", &self.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Starts the thread.
pub(super) fn start<A: Actor<Shared<Event>>>(
    consumer: Consumer,
    actor: A,
    options: ConsumerOptions,
) -> std::io::Result<DurableSubscription> {
    let (site, post) = (Arc::clone(&consumer.site), Arc::clone(&consumer.post));
    let context = Context::new(site.id(), Arc::clone(site.pattern().text()));
    let runtime = runtime::Runtime::current();
    let mut runner = Runner { consumer, actor, context, options };
    let told = Arc::clone(&post);
    thread::Builder::new().name("ringpost-consumer".into()).spawn(move || {
        let run = async move {
            let end = runner.run();
            let complete = runner.finish();
            // Gives the name back before anybody hears that it ended. The actor's own Drop is user
            // code.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(runner)));
            if let Err(panic) = dropped {
                panic_text(panic);
            }
            told.ended(end, complete);
        };
        // The handler finds the timers and sockets of the runtime that it was made in.
        let _context = runtime.as_ref().map(runtime::Runtime::enter);
        block_on(run, None);
    })?;
    let flushed = Arc::clone(&post);
    site.on_shutdown(Box::new(move |_, timeout| {
        flushed.await_end(timeout).or_else(|| {
            flushed.stop(GRACE);
            flushed.await_end(2 * GRACE)
        }) == Some(true)
    }));
    Ok(DurableSubscription { site, post, detached: false })
}

struct Runner<A> {
    consumer: Consumer,
    actor: A,
    context: Context,
    options: ConsumerOptions,
}

/// What a hook returned, or its panic.
type Outcome = Result<Result<(), Failure>, Box<dyn Any + Send>>;

impl<A: Actor<Shared<Event>>> Runner<A> {
    fn run(&mut self) -> ConsumerEnd {
        let started = self.hook(|actor, context| guarded(NONE, || actor.on_start(context)));
        if let Some((error, panicked)) = text_of(started) {
            self.tell(format!("the consumer could not start: {error}"), panicked);
            return ConsumerEnd::Failed { sequence: None, attempts: 1, error };
        }
        let end = self.serve();
        let stopped = self.hook(|actor, context| guarded(NONE, || actor.on_stop(context)));
        if let Some((error, panicked)) = text_of(stopped) {
            self.tell(error, panicked);
        }
        end
    }

    fn serve(&mut self) -> ConsumerEnd {
        let mut pause = self.options.first_pause;
        let (mut was_busy, mut in_trouble) = (false, false);
        loop {
            if self.consumer.post.is_stopping() || self.context.is_stopping() {
                return ConsumerEnd::Stopped;
            }
            // Looked at without waiting first, so that the actor hears when it is idle.
            let until = if was_busy { Some(Instant::now()) } else { None };
            let filled = self.consumer.fill(until);
            if filled.is_ok() && std::mem::take(&mut in_trouble) {
                self.consumer.post.trouble(None);
            }
            match filled {
                Ok(true) => {
                    was_busy = true;
                    pause = self.options.first_pause;
                    if let Some(end) = self.insist() {
                        return end;
                    }
                }
                Ok(false) if was_busy => {
                    was_busy = false;
                    let idle = self.hook(|actor, context| guarded(NONE, || actor.on_idle(context)));
                    if let Some((error, panicked)) = text_of(idle) {
                        self.tell(error, panicked);
                    }
                }
                Ok(false) => {}
                Err(CursorError::Closed) => return ConsumerEnd::Closed,
                Err(CursorError::Store(error)) => {
                    in_trouble = true;
                    self.consumer.post.trouble(Some(&error));
                    if self.consumer.post.is_first_trouble() {
                        let text = super::chain(&error);
                        self.tell(format!("the consumer cannot read the journal: {text}"), false);
                    }
                    if !self.consumer.post.pause(pause) {
                        return ConsumerEnd::Stopped;
                    }
                    pause = (pause * 2).min(self.options.longest_pause);
                }
            }
        }
    }

    /// Hands the current event to the actor until that succeeds or was tried often enough.
    fn insist(&mut self) -> Option<ConsumerEnd> {
        let mut pause = self.options.first_pause;
        let mut attempts = 0_u32;
        loop {
            let Some((error, panicked)) = text_of(self.handle()) else {
                self.consumer.ack();
                return None;
            };
            attempts = attempts.saturating_add(1);
            if self.consumer.site.is_closed() {
                // It may have failed for that very reason, so it is not held against the event.
                self.tell_current(
                    format!("to be handled again, the bus is closed: {error}"),
                    panicked,
                );
                return Some(ConsumerEnd::Closed);
            }
            let name = self.consumer.name();
            let most = self.options.attempts.map(|most| most.get());
            if most.is_none_or(|most| attempts < most) {
                let of = most.map_or(String::new(), |most| format!(" of {most}"));
                let told = format!("attempt {attempts}{of} of the consumer {name}: {error}");
                self.tell_current(told, panicked);
                self.consumer.post.count(|counts| counts.retried += 1);
                if !self.consumer.post.pause(pause) {
                    return Some(ConsumerEnd::Stopped);
                }
                pause = (pause * 2).min(self.options.longest_pause);
                continue;
            }
            let told = format!("attempt {attempts}, the last one of the consumer {name}");
            match self.options.after_last {
                AfterLast::PassOver => {
                    self.consumer
                        .give_up(format!("{told}, which passes it over: {error}"), panicked);
                    return None;
                }
                AfterLast::Stop => {
                    self.tell_current(format!("{told}, which stops: {error}"), panicked);
                    let sequence = self.current();
                    return Some(ConsumerEnd::Failed { sequence, attempts, error });
                }
            }
        }
    }

    fn handle(&mut self) -> Outcome {
        let Self { consumer, actor, context, .. } = self;
        let _inside = consumer.site.enter();
        let Some(delivery) = consumer.lend() else { return Ok(Ok(())) };
        let message = delivery.message().clone();
        let called = guarded(Some(&message), || actor.handle(delivery, context));
        let outcome = block_on(called, None).expect("without a deadline it ends with the future");
        consumer.site.note_published();
        outcome
    }

    /// Calls one of the actor's hooks.
    fn hook<'r, F: Future<Output = Outcome>>(
        &'r mut self,
        call: impl FnOnce(&'r mut A, &'r mut Context) -> F,
    ) -> Outcome {
        let Self { consumer, actor, context, .. } = self;
        let _inside = consumer.site.enter();
        let outcome = block_on(call(actor, context), None);
        consumer.site.note_published();
        outcome.expect("without a deadline it ends with the future")
    }

    /// Stores where the consumer is; whether all of it.
    fn finish(&mut self) -> bool {
        let patience = self.consumer.post.time_left().unwrap_or(PATIENCE);
        self.consumer.finish(patience)
    }

    fn current(&self) -> Option<Sequence> {
        self.consumer.current.as_ref().map(|current| current.record.sequence)
    }

    fn tell_current(&self, error: String, panicked: bool) {
        if let Some(current) = &self.consumer.current {
            self.consumer.tell(current, error, panicked);
        }
    }

    fn tell(&self, error: String, panicked: bool) {
        self.consumer.site.tell(Failed { message: None, error, panicked });
    }
}

/// A hook that belongs to no message.
const NONE: Option<&Shared<Event>> = None;

/// What a failed hook says, and whether it panicked.
fn text_of(outcome: Outcome) -> Option<(String, bool)> {
    match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some((failure_text(failure), false)),
        Err(panic) => Some((panic_text(panic), true)),
    }
}
