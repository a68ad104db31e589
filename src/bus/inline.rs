//! Handlers that run on the publisher's own thread.
//!
//! They run last in a publish, in the order of subscription, when everything else is visible and
//! rung. A publish made inside one runs its own inline handlers later: the outermost publish of
//! the thread runs them in order before it returns, so handlers never nest.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::route::Route;
use crate::actor::run::{notice, panic_text};
use crate::actor::scope;
use crate::actor::subscriber::{Life, Subscriber};
use crate::actor::{Delivery, Failure};
use crate::message::caused_by;
use crate::stats::Counter;
use crate::topic::TopicId;
use crate::{Message, Sequence};

/// A handler as it is kept: it may run on several publishers' threads at once.
pub(crate) type Handler<M> = Box<dyn Fn(Delivery<'_, M>) -> Result<(), Failure> + Send + Sync>;

/// One inline subscription.
pub(crate) struct Inline<M: Message> {
    pub(crate) subscriber: Arc<Subscriber<M>>,
    pub(crate) matched: Counter,
    pub(crate) handler: Handler<M>,
}

type Deferred = VecDeque<Box<dyn FnOnce()>>;

thread_local! {
    /// Deliveries that wait for the outermost publish; `None` outside of inline handlers.
    static DEFERRED: RefCell<Option<Deferred>> = const { RefCell::new(None) };
}

/// Hands a message to every inline handler of a route, now or once the outermost publish of this
/// thread comes to it.
pub(crate) fn deliver<M: Message>(
    route: &Arc<Route<M>>,
    sequence: u64,
    topic: TopicId,
    message: &M,
) {
    let nested = DEFERRED.with_borrow_mut(|deferred| match deferred {
        Some(queue) => {
            let (route, message) = (Arc::clone(route), message.clone());
            queue.push_back(Box::new(move || run(&route, sequence, topic, &message)));
            true
        }
        None => {
            *deferred = Some(Deferred::new());
            false
        }
    });
    if nested {
        return;
    }
    run(route, sequence, topic, message);
    while let Some(next) = DEFERRED.with_borrow_mut(|deferred| {
        let next = deferred.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *deferred = None;
        }
        next
    }) {
        next();
    }
}

fn run<M: Message>(route: &Route<M>, sequence: u64, topic: TopicId, message: &M) {
    for inline in &route.inline {
        let subscriber = &inline.subscriber;
        if subscriber.life() != Life::Running {
            continue;
        }
        inline.matched.add(1);
        let number = Some(Sequence::new(sequence));
        let delivery = Delivery::lend(number, topic, &subscriber.names, message, &[]);
        let scope = scope::enter(subscriber.bus);
        let call = || caused_by(message, || (inline.handler)(delivery));
        let outcome = catch_unwind(AssertUnwindSafe(call));
        let published = scope::take_published();
        drop(scope);
        // What it published counts for the handler that it ran inside of, if any.
        scope::note_published(subscriber.bus, published);
        let (error, panicked) = match outcome {
            Ok(Ok(())) => {
                subscriber.ledger.runner.handled.add(1);
                continue;
            }
            Ok(Err(failure)) => (failure.to_string(), false),
            Err(panic) => (panic_text(panic), true),
        };
        subscriber.ledger.runner.failed.add(1);
        subscriber.notify(notice(subscriber, error, panicked, Some((number, topic, message))));
    }
}
