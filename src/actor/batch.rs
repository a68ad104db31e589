//! A batch of messages for an actor that handles them at once, without a future in between.
//!
//! Called by `run.rs` for every batch. Between two messages of such an actor nothing is kept in the
//! run loop's future: what is stored there in small pieces and read back in large ones costs more
//! than most handlers. One guard against panics serves the whole batch.
#![forbid(unsafe_code)]

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::run::{ending, failed, with_cause};
use super::source::{Head, Source};
use super::subscriber::Subscriber;
use super::{Actor, Context, Delivery};
use crate::{Gap, Message, Sequence, worker};

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was handled, or the subscription is to end.
    Done,
    /// The actor awaits something for the message at the head.
    Awaits,
}

/// Handles the messages of a batch for as long as the actor does so at once.
#[inline]
pub(super) fn handle<M: Message, A: Actor<M>, S: Source<M>>(
    actor: &mut A,
    context: &mut Context,
    source: &mut S,
    subscriber: &Subscriber<M>,
    gaps: &mut Vec<Gap>,
    budget: &mut usize,
) -> Ended {
    loop {
        let batch =
            AssertUnwindSafe(|| handle_unguarded(actor, context, source, subscriber, gaps, budget));
        match catch_unwind(batch) {
            Ok(ended) => return ended,
            Err(panic) => {
                // The message is still at the head: only what comes after its handler moves on.
                let place = source.head(gaps).map(|head| place(&head));
                failed(subscriber, Err(panic), place);
                subscriber.ledger.runner.failed.add_owned(1);
                next(source, gaps, budget);
            }
        }
        if ending(subscriber, context).is_some() {
            return Ended::Done;
        }
    }
}

#[inline]
fn handle_unguarded<M: Message, A: Actor<M>, S: Source<M>>(
    actor: &mut A,
    context: &mut Context,
    source: &mut S,
    subscriber: &Subscriber<M>,
    gaps: &mut Vec<Gap>,
    budget: &mut usize,
) -> Ended {
    let counts = &subscriber.ledger.runner;
    while let Some(head) = source.head(gaps) {
        let (number, topic, message) = place(&head);
        // What is lent owns nothing: kept from being dropped, it need not be laid out in memory for
        // the case that the handler panics.
        let delivery = Delivery::lend(number, topic, subscriber.names(), message, gaps);
        let delivery = ManuallyDrop::new(delivery);
        match with_cause(Some(message), || actor.handle_now(&delivery, context)) {
            None => return Ended::Awaits,
            Some(Ok(())) => counts.handled.add_owned(1),
            Some(failure) => {
                failed(subscriber, Ok(failure), Some((number, topic, message)));
                counts.failed.add_owned(1);
            }
        }
        next(source, gaps, budget);
        if ending(subscriber, context).is_some() {
            break;
        }
    }
    Ended::Done
}

/// Where a message was published, and itself.
#[inline]
pub(super) fn place<'a, M>(head: &Head<'a, M>) -> (Option<Sequence>, crate::topic::TopicId, &'a M) {
    let Head { sequence, topic, message } = *head;
    ((sequence != 0).then(|| Sequence::new(sequence)), topic, message)
}

/// Done with the head.
#[inline]
pub(super) fn next<M: Message, S: Source<M>>(
    source: &mut S,
    gaps: &mut Vec<Gap>,
    budget: &mut usize,
) {
    gaps.clear();
    source.pop();
    *budget = budget.saturating_sub(1);
    worker::beat();
}
