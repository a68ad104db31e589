//! Handlers that run on the publisher's own thread.
//!
//! They run last in a publish, in the order of subscription, when everything else is visible and
//! rung. A publish made inside one runs its own inline handlers later: the outermost publish of
//! the thread runs them in order before it returns, so handlers never nest. Nothing that user code
//! does in here gets past it to the publish.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::route::Route;
use crate::actor::run::{failure_text, notice, panic_text};
use crate::actor::scope;
use crate::actor::source::{Head, drop_caught};
use crate::actor::subscriber::{Life, Subscriber};
use crate::actor::{Delivery, Failure};
use crate::caught::caught;
use crate::message::caused_by;
use crate::stats::Counter;
use crate::topic::TopicId;
use crate::{DropReason, Message};

/// A handler as it is kept: it may run on several publishers' threads at once.
pub(crate) type Handler<M> = Box<dyn Fn(Delivery<'_, M>) -> Result<(), Failure> + Send + Sync>;

/// One inline subscription.
pub(crate) struct Inline<M: Message> {
    pub(crate) subscriber: Arc<Subscriber<M>>,
    pub(crate) matched: Counter,
    /// `None` only while it is being dropped.
    handler: Option<Handler<M>>,
}

impl<M: Message> Inline<M> {
    pub(crate) fn new(subscriber: Arc<Subscriber<M>>, handler: Handler<M>) -> Self {
        Self { subscriber, matched: Counter::default(), handler: Some(handler) }
    }

    fn call(&self, delivery: Delivery<'_, M>) -> Result<(), Failure> {
        self.handler.as_ref().map_or(Ok(()), |handler| handler(delivery))
    }

    fn is_running(&self) -> bool {
        self.subscriber.life() == Life::Running
    }
}

impl<M: Message> Drop for Inline<M> {
    /// What the closure keeps is foreign, and a route that is let go in the middle of a publish
    /// may be the last to hold it.
    fn drop(&mut self) {
        drop_caught(self.handler.take());
    }
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
    if route.inline.is_empty() {
        return;
    }
    if DEFERRED.with_borrow(Option::is_some) {
        return defer(route, sequence, topic, message);
    }
    DEFERRED.set(Some(Deferred::new()));
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

#[cold]
fn defer<M: Message>(route: &Arc<Route<M>>, sequence: u64, topic: TopicId, message: &M) {
    let Some(message) = caught(|| message.clone()) else {
        return lose(route, sequence, DropReason::Panicked);
    };
    let route = Arc::clone(route);
    let later = Box::new(move || {
        run(&route, sequence, topic, &message);
        drop_caught(message);
    });
    DEFERRED.with_borrow_mut(|deferred| deferred.get_or_insert_default().push_back(later));
}

/// Counts a message that the inline handlers of a route do not get.
#[cold]
pub(crate) fn lose<M: Message>(route: &Route<M>, sequence: u64, reason: DropReason) {
    for inline in route.inline.iter().filter(|inline| inline.is_running()) {
        inline.matched.add(1);
        inline.subscriber.ledger.losses.record(reason, sequence, sequence, 1);
    }
}

fn run<M: Message>(route: &Route<M>, sequence: u64, topic: TopicId, message: &M) {
    for inline in &route.inline {
        if !inline.is_running() {
            continue;
        }
        inline.matched.add(1);
        let subscriber = &inline.subscriber;
        let head = Head { sequence, topic, message };
        let delivery = Delivery::lend(head, subscriber.names(), &[]);
        let scope = scope::enter(subscriber.home.bus, subscriber.id);
        let call = || caused_by(message, || inline.call(delivery));
        let outcome = catch_unwind(AssertUnwindSafe(call));
        let published = scope::take_published();
        drop(scope);
        // What it published counts for the handler that it ran inside of, if any.
        scope::note_published(subscriber.home.bus, published);
        let (error, panicked) = match outcome {
            Ok(Ok(())) => {
                subscriber.ledger.runner.handled.add(1);
                continue;
            }
            Ok(Err(failure)) => (failure_text(failure), false),
            Err(panic) => (panic_text(panic), true),
        };
        subscriber.ledger.runner.failed.add(1);
        subscriber.notify(notice(subscriber, error, panicked, Some(head)));
    }
}
