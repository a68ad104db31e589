//! The run loop of an actor: refill, handle, wait, stop.
//!
//! Spawned by `bus/subscribe.rs` on an executor. It is the only place that calls user code of a
//! subscription; nothing that user code does gets past it.
#![forbid(unsafe_code)]

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::runtime::Runtime;
use super::scope;
use super::source::{Head, Refill, Source};
use super::subscriber::{Held, Life, Subscriber};
use super::{Actor, Context, Delivery, Failure, batch};
use crate::caught::{caught, let_go};
use crate::message::caused_by;
use crate::{DropReason, Fields, Gap, Message, Notice, worker};

/// How many messages an actor handles before it lets others on the same executor run.
pub(super) const BUDGET: usize = 512;

/// Why an actor stopped handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its source is closed and empty.
    Drained,
    /// It was told to stop: what is left counts as dropped for this reason.
    GaveUp(DropReason),
}

/// Runs an actor to its end.
///
/// The whole loop is polled inside the handler's scope, so that entering it costs once a poll and
/// not once a message.
pub(crate) fn run<M, A, S>(
    actor: A,
    source: S,
    subscriber: impl Held<M>,
    runtime: Option<Runtime>,
) -> impl Future<Output = ()> + Send + 'static
where
    M: Message,
    A: Actor<M>,
    S: Source<M>,
{
    // An idle actor is as large as this future, and a future keeps what it was given beside what
    // it makes of it. So everything is in one place, and all below get references.
    let context = Context::new(subscriber.id, Arc::clone(subscriber.pattern.text()));
    // Made now, so that it also speaks up for a loop that is never polled. Of one that is dropped
    // halfway publishers hear first; then the source goes, then the actor, and then it is over.
    let mut body = Body {
        source: Some(source),
        actor: Some(actor),
        context,
        runtime,
        over: Over::new(subscriber),
    };
    async move {
        let Body { source, actor, context, runtime, over } = &mut body;
        let subscriber = over.subscriber();
        let mut life = pin!(live(actor, source, context, subscriber));
        std::future::poll_fn(|task| {
            let _context = runtime.as_ref().map(Runtime::enter);
            let _inside = scope::enter(subscriber.home.bus, subscriber.id);
            let polled = life.as_mut().poll(task);
            // A handler that waits has published some of it by now.
            note_published(subscriber);
            polled
        })
        .await;
    }
}

/// What a run loop works with. `None` once it is done with.
struct Body<M: Message, A, S, H: Held<M>> {
    source: Option<S>,
    actor: Option<A>,
    context: Context,
    /// Whose timers and sockets the actor may use.
    runtime: Option<Runtime>,
    over: Over<M, H>,
}

impl<M: Message, A, S, H: Held<M>> Drop for Body<M, A, S, H> {
    fn drop(&mut self) {
        self.over.halfway();
    }
}

/// Says that the run loop is over, also when its executor dropped it halfway: nobody shall wait
/// for it then.
pub(super) struct Over<M: Message, H: Held<M>>(H, PhantomData<fn() -> M>);

impl<M: Message, H: Held<M>> Over<M, H> {
    pub(super) fn new(subscriber: H) -> Self {
        Self(subscriber, PhantomData)
    }

    #[inline]
    pub(super) fn subscriber(&self) -> &Subscriber<M> {
        &self.0
    }

    /// The loop is dropped, perhaps before its own end. Comes before its source is: what that lets
    /// go of is foreign code, and publishers must not think by then that somebody will look.
    pub(super) fn halfway(&self) {
        if self.0.life() == Life::Running {
            self.0.fail();
        }
    }
}

impl<M: Message, H: Held<M>> Drop for Over<M, H> {
    fn drop(&mut self) {
        let subscriber = self.subscriber();
        subscriber.advance(Life::Ended);
        subscriber.ended();
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each argument twice")]
fn live<M, A, S>(
    actor: &mut Option<A>,
    source: &mut Option<S>,
    context: &mut Context,
    subscriber: &Subscriber<M>,
) -> impl Future<Output = ()> + Send
where
    M: Message,
    A: Actor<M>,
    S: Source<M>,
{
    async move {
        if let (Some(actor), Some(source)) = (actor.as_mut(), source.as_mut()) {
            let started = guarded(None::<&M>, || actor.on_start(context)).await;
            if failed(subscriber, started, None) {
                subscriber.fail();
                give_up(source, DropReason::Stopped).await;
            } else {
                let end = serve(actor, context, source, subscriber).await;
                if let End::GaveUp(reason) = end {
                    give_up(source, reason).await;
                }
                let stopped = guarded(None::<&M>, || actor.on_stop(context)).await;
                failed(subscriber, stopped, None);
            }
        }
        drop(source.take());
        // An actor's own Drop is user code too.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(actor.take())));
        failed(subscriber, dropped.map(|()| Ok(())), None);
        note_published(subscriber);
        subscriber.advance(Life::Ended);
    }
}

async fn give_up<M: Message>(source: &mut impl Source<M>, reason: DropReason) {
    while !source.give_up(reason) {
        worker::yield_now().await;
    }
}

/// Handles messages until the source ends or the subscription does.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each argument twice")]
fn serve<M: Message, A: Actor<M>, S: Source<M>>(
    actor: &mut A,
    context: &mut Context,
    source: &mut S,
    subscriber: &Subscriber<M>,
) -> impl Future<Output = End> + Send {
    async move {
        let counts = &subscriber.ledger.runner;
        let mut gaps: Vec<Gap> = Vec::new();
        let mut budget = BUDGET;
        let mut was_busy = false;
        loop {
            if let Some(end) = ending(subscriber, context) {
                return end;
            }
            match source.refill() {
                Refill::Ended => return End::Drained,
                Refill::Busy => worker::yield_now().await,
                Refill::Empty => {
                    if std::mem::take(&mut was_busy) {
                        let idle = guarded(None::<&M>, || actor.on_idle(context)).await;
                        failed(subscriber, idle, None);
                    }
                    source.wait().await;
                    budget = BUDGET;
                }
                Refill::Some => {
                    was_busy = true;
                    loop {
                        let (gaps, budget) = (&mut gaps, &mut budget);
                        let ended = batch::handle(actor, context, source, subscriber, gaps, budget);
                        if ended == batch::Ended::Done {
                            break;
                        }
                        let Some(head) = source.head(gaps) else { break };
                        let delivery = Delivery::lend(head, subscriber.names(), gaps);
                        let outcome =
                            guarded(Some(head.message), || actor.handle(delivery, context)).await;
                        if failed(subscriber, outcome, Some(head)) {
                            counts.failed.add_owned(1);
                        } else {
                            counts.handled.add_owned(1);
                        }
                        batch::next(source, gaps, budget);
                        if ending(subscriber, context).is_some() {
                            break;
                        }
                    }
                    note_published(subscriber);
                    source.finish_batch();
                    if budget == 0 {
                        worker::yield_now().await;
                        budget = BUDGET;
                    }
                }
            }
        }
    }
}

/// Whether the subscription should end now, and why.
#[inline]
pub(super) fn ending<M: Message>(subscriber: &Subscriber<M>, context: &Context) -> Option<End> {
    match subscriber.life() {
        Life::Running if !context.is_stopping() => None,
        Life::Abandoned => Some(End::GaveUp(DropReason::Shutdown)),
        _ => Some(End::GaveUp(DropReason::Cancelled)),
    }
}

/// Adds what the handlers published to their own account, before their work counts as done.
#[inline]
pub(super) fn note_published<M: Message>(subscriber: &Subscriber<M>) {
    subscriber.note_caused(scope::take_published());
}

/// Calls a hook, now, and gives what awaits it, catching a panic of either. `message` is the cause
/// of what it publishes. (Called in here and not in the future, which would keep the hook's
/// arguments for as long as it lives.)
pub(crate) fn guarded<M: Message, F: Future>(
    message: Option<&M>,
    call: impl FnOnce() -> F,
) -> impl Future<Output = Result<F::Output, Box<dyn Any + Send>>> {
    let called = catch_unwind(AssertUnwindSafe(|| with_cause(message, call)));
    async move {
        let mut future = pin!(called?);
        std::future::poll_fn(|task| {
            let poll = AssertUnwindSafe(|| with_cause(message, || future.as_mut().poll(task)));
            match catch_unwind(poll) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await
    }
}

#[inline]
pub(super) fn with_cause<M: Message, R>(message: Option<&M>, f: impl FnOnce() -> R) -> R {
    match message {
        Some(message) => caused_by(message, f),
        None => f(),
    }
}

/// Whether a hook failed, and for which message; if so, tells the bus.
#[inline]
pub(super) fn failed<M: Message>(
    subscriber: &Subscriber<M>,
    outcome: Result<Result<(), Failure>, Box<dyn Any + Send>>,
    at: Option<Head<'_, M>>,
) -> bool {
    if let Ok(Ok(())) = outcome {
        return false;
    }
    tell_failed(subscriber, outcome, at);
    true
}

#[cold]
fn tell_failed<M: Message>(
    subscriber: &Subscriber<M>,
    outcome: Result<Result<(), Failure>, Box<dyn Any + Send>>,
    at: Option<Head<'_, M>>,
) {
    let (error, panicked) = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => (failure_text(failure), false),
        Err(panic) => (panic_text(panic), true),
    };
    subscriber.notify(notice(subscriber, error, panicked, at));
}

#[cold]
pub(crate) fn notice<M: Message>(
    subscriber: &Subscriber<M>,
    error: String,
    panicked: bool,
    at: Option<Head<'_, M>>,
) -> Notice {
    let mut fields = Fields::default();
    if let Some(Head { message, .. }) = at {
        // `describe` is user code.
        if caught(|| message.describe(&mut fields)).is_none() {
            fields = Fields::default();
        }
    }
    Notice {
        topic: Notice::ERRORS,
        subscriber: subscriber.id,
        pattern: Arc::clone(subscriber.pattern.text()),
        sequence: at.and_then(|head| head.sequence()),
        message_topic: at.map(|head| Arc::clone(subscriber.names().name(head.topic))),
        message_id: fields.id,
        error: Notice::cut(error),
        panicked,
        of_notices: subscriber.pattern.sees_reserved(),
    }
}

/// The text of a failure. Its Display and its Drop are user code, and may panic.
#[cold]
pub(crate) fn failure_text(failure: Failure) -> String {
    let text = catch_unwind(AssertUnwindSafe(|| failure.to_string()));
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(failure)));
    let panicked = |panic| format!("the error's own code panicked: {}", panic_text(panic));
    match (text, dropped) {
        (Ok(text), Ok(())) => text,
        (Ok(text), Err(panic)) => format!("{text} ({})", panicked(panic)),
        (Err(panic), Ok(())) => panicked(panic),
        (Err(first), Err(second)) => format!("{} ({})", panicked(first), panicked(second)),
    }
}

/// The text of a panic, as far as there is one. Its payload's own Drop may panic again.
#[cold]
pub(crate) fn panic_text(panic: Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked".to_owned());
    let_go(panic);
    text
}
