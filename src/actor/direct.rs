//! The run loop of an actor that awaits nothing: the one of [`run`](super::run) without a future in
//! it.
//!
//! Started by `bus/subscribe.rs` for plain closures, which are most of all subscriptions. An async
//! loop keeps room for the hooks' futures, and for each step that may be under way; this one has no
//! hooks to call and no step to come back to: so an idle subscription is 300 bytes smaller and
//! a run of one message is short. What a batch does is the same code (`batch.rs`).
#![forbid(unsafe_code)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Poll, Waker};

use super::closure::SyncClosure;
use super::executor::{Loop, Run};
use super::run::{BUDGET, End, Over, ending, failed, note_published, run};
use super::runtime::Runtime;
use super::source::{Refill, Source};
use super::subscriber::{Held, Life, Subscriber};
use super::{Actor, Context, batch, scope};
use crate::{DropReason, Message};

/// How an actor is run.
pub(crate) trait Way<M: Message, A: Actor<M>> {
    /// Whether it does nothing before its first message but wait.
    const BEGINS_ASLEEP: bool;

    /// Its run loop.
    fn run<S: Source<M>>(
        actor: A,
        source: S,
        subscriber: impl Held<M>,
        runtime: Option<Runtime>,
    ) -> impl Loop;
}

/// With whatever it awaits.
pub(crate) struct Awaiting;

impl<M: Message, A: Actor<M>> Way<M, A> for Awaiting {
    /// `on_start` comes first.
    const BEGINS_ASLEEP: bool = false;

    fn run<S: Source<M>>(
        actor: A,
        source: S,
        subscriber: impl Held<M>,
        runtime: Option<Runtime>,
    ) -> impl Loop {
        Box::pin(run(actor, source, subscriber, runtime))
    }
}

/// Without a future, for actors that handle every message at once and leave the other hooks alone.
pub(crate) struct AtOnce;

impl<M: Message, F> Way<M, SyncClosure<F>> for AtOnce
where
    SyncClosure<F>: Actor<M>,
{
    const BEGINS_ASLEEP: bool = true;

    fn run<S: Source<M>>(
        actor: SyncClosure<F>,
        source: S,
        subscriber: impl Held<M>,
        runtime: Option<Runtime>,
    ) -> impl Loop {
        let (source, actor) = (Some(source), Some(actor));
        Direct { source, actor, runtime, given_up: None, over: Over::new(subscriber) }
    }
}

/// The loop's state. The source goes before the actor, and both before the loop is over, also
/// where an executor drops it halfway; of that publishers hear before any of it.
struct Direct<M: Message, A, S, H: Held<M>> {
    source: Option<S>,
    actor: Option<A>,
    /// Whose timers and sockets the handler may use.
    runtime: Option<Runtime>,
    /// Why it takes no more, once it does not.
    given_up: Option<DropReason>,
    over: Over<M, H>,
}

impl<M: Message, A, S, H: Held<M>> Drop for Direct<M, A, S, H> {
    fn drop(&mut self) {
        self.over.halfway();
    }
}

/// Nothing in it is ever pinned.
impl<M: Message, A, S, H: Held<M>> Unpin for Direct<M, A, S, H> {}

impl<M: Message, F, S: Source<M>, H: Held<M>> Loop for Direct<M, SyncClosure<F>, S, H>
where
    SyncClosure<F>: Actor<M>,
{
    fn boxed(self) -> Run {
        Box::pin(self)
    }
}

impl<M: Message, F, S: Source<M>, H: Held<M>> Future for Direct<M, SyncClosure<F>, S, H>
where
    SyncClosure<F>: Actor<M>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<()> {
        let Self { source, actor, runtime, given_up, over } = self.get_mut();
        let subscriber = over.subscriber();
        let _context = runtime.as_ref().map(Runtime::enter);
        let _inside = scope::enter(subscriber.home.bus, subscriber.id);
        if let (Some(actor), Some(source)) = (&mut *actor, &mut *source)
            && serve(actor, source, given_up, subscriber, task).is_pending()
        {
            return Poll::Pending;
        }
        drop(source.take());
        // What a closure keeps is user code too.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(actor.take())));
        failed(subscriber, dropped.map(|()| Ok(())), None);
        note_published(subscriber);
        subscriber.advance(Life::Ended);
        Poll::Ready(())
    }
}

/// Handles messages until nothing is ready, or the source or the subscription ends.
fn serve<M: Message, A: Actor<M>, S: Source<M>>(
    actor: &mut A,
    source: &mut S,
    given_up: &mut Option<DropReason>,
    subscriber: &Subscriber<M>,
    task: &mut std::task::Context<'_>,
) -> Poll<()> {
    let context = &mut Context::unseen(subscriber.id);
    let mut gaps = Vec::new();
    let mut budget = BUDGET;
    loop {
        if given_up.is_none()
            && let Some(End::GaveUp(reason)) = ending(subscriber, context)
        {
            *given_up = Some(reason);
        }
        if let Some(reason) = *given_up {
            return if source.give_up(reason) { Poll::Ready(()) } else { again(task.waker()) };
        }
        match source.refill() {
            Refill::Ended => return Poll::Ready(()),
            Refill::Busy => return again(task.waker()),
            Refill::Empty => {
                if source.poll_wait(task).is_pending() {
                    return Poll::Pending;
                }
                budget = BUDGET;
            }
            Refill::Some => {
                let ended =
                    batch::handle(actor, context, source, subscriber, &mut gaps, &mut budget);
                debug_assert_eq!(ended, batch::Ended::Done, "a closure awaits nothing");
                note_published(subscriber);
                source.finish_batch();
                if budget == 0 {
                    return again(task.waker());
                }
            }
        }
    }
}

/// Lets others on the same executor run.
fn again(waker: &Waker) -> Poll<()> {
    waker.wake_by_ref();
    Poll::Pending
}
