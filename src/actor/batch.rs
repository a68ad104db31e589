//! A batch of messages for an actor that handles them at once, without a future in between.
//!
//! Called by `run.rs` for every batch. Between two messages of such an actor nothing is kept in the
//! run loop's future: what is stored there in small pieces and read back in large ones costs more
//! than most handlers. One guard against panics serves the whole batch.
#![forbid(unsafe_code)]

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::run::{ending, failed, with_cause};
use super::source::Source;
use super::subscriber::Subscriber;
use super::{Actor, Context, Delivery};
use crate::ring::Flow;
use crate::worker::{self, Beat};
use crate::{Gap, Message};

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
    let counts = &subscriber.ledger.runner;
    loop {
        let before = counts.finished();
        let batch = AssertUnwindSafe(|| {
            worker::beating(|beat| handle_unguarded(actor, context, source, subscriber, gaps, beat))
        });
        let ended = catch_unwind(batch);
        let finished = usize::try_from(counts.finished() - before).unwrap_or(usize::MAX);
        *budget = budget.saturating_sub(finished);
        match ended {
            Ok(ended) => return ended,
            Err(panic) => {
                // The message is still at the head: only what comes after its handler moves on.
                let head = source.head(gaps);
                failed(subscriber, Err(panic), head);
                counts.failed.add_owned(1);
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
    beat: &Beat<'_>,
) -> Ended {
    let (counts, names) = (&subscriber.ledger.runner, subscriber.names());
    let mut stopped = None;
    while stopped.is_none() && source.head(gaps).is_some() {
        source.each(gaps, |head, gaps| {
            // What is lent owns nothing: kept from being dropped, it need not be laid out in memory
            // for the case that the handler panics.
            let delivery = ManuallyDrop::new(Delivery::lend(head, names, gaps));
            match with_cause(Some(head.message), || actor.handle_now(&delivery, context)) {
                None => {
                    stopped = Some(Ended::Awaits);
                    return Flow::Stay;
                }
                Some(Ok(())) => counts.handled.add_owned(1),
                Some(failure) => {
                    failed(subscriber, Ok(failure), Some(head));
                    counts.failed.add_owned(1);
                }
            }
            beat.beat();
            if ending(subscriber, context).is_some() {
                stopped = Some(Ended::Done);
                return Flow::Last;
            }
            Flow::On
        });
    }
    stopped.unwrap_or(Ended::Done)
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
    worker::beating(|beat| beat.beat());
}
