//! What a reader of the bus needs that is run elsewhere: its taps, its scope, its notices.
//!
//! Made from a subscription that is not spawned as one: the store's durable consumers read by
//! themselves, at their own pace. It does not keep the bus open.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, PoisonError};

use super::core::{Core, Flusher};
use super::{Tap, WeakBus};
use crate::actor::scope;
use crate::actor::subscriber::Host;
use crate::ring::Log;
use crate::topic::TopicId;
use crate::topic::filter::Filter;
use crate::topic::names::Names;
use crate::{Fields, Message, Notice, Pattern, Sequence};

/// See the [module](self).
pub(crate) struct Foothold<M: Message> {
    core: Arc<Core<M>>,
    id: u64,
    pattern: Pattern,
}

/// What went wrong with a message, or without one.
pub(crate) struct Failed<'a, M> {
    pub(crate) message: Option<(Sequence, TopicId, &'a M)>,
    pub(crate) error: String,
    pub(crate) panicked: bool,
}

impl<M: Message> Foothold<M> {
    pub(crate) fn new(core: &Arc<Core<M>>, pattern: Pattern) -> Self {
        Self { id: core.next_id(), core: Arc::clone(core), pattern }
    }

    /// Its number among the bus's subscriptions.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    pub(crate) fn is_of(&self, bus: &WeakBus<M>) -> bool {
        bus.upgrade().is_some_and(|bus| Arc::ptr_eq(bus.core(), &self.core))
    }

    /// The names of the bus's topics.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.core.topics.names
    }

    /// The sequence of the first message of the bus's life.
    pub(crate) fn first(&self) -> Sequence {
        Sequence::new(self.core.log.start())
    }

    /// The sequence of the next message.
    pub(crate) fn next(&self) -> Sequence {
        Sequence::new(self.core.log.tail())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core.log.is_closed()
    }

    /// A lossy reader of everything, from there on.
    pub(crate) fn tap(&self, from: Sequence) -> Tap<M> {
        let log = &self.core.log;
        let from = from.get().clamp(log.start(), log.tail().max(log.start()));
        let all = Filter::new(Pattern::parse("**").expect("the pattern of everything"));
        Tap::new(Arc::clone(&self.core), Log::reader(log, from), all)
    }

    /// This thread runs a handler of the bus until the result is dropped.
    pub(crate) fn enter(&self) -> scope::Entered {
        scope::enter(self.core.number, self.id)
    }

    /// Adds what the handler published since it was last asked to the bus's account.
    pub(crate) fn note_published(&self) {
        let published = scope::take_published();
        if published != 0 {
            self.core.caused.add(published);
        }
    }

    /// Tells of a failure on `$errors`.
    pub(crate) fn tell(&self, failed: Failed<'_, M>) {
        let mut fields = Fields::default();
        if let Some((_, _, message)) = failed.message {
            message.describe(&mut fields);
        }
        self.core.notify(Notice {
            topic: Notice::ERRORS,
            subscriber: self.id,
            pattern: Arc::clone(self.pattern.text()),
            sequence: failed.message.map(|(sequence, ..)| sequence),
            message_topic: failed.message.map(|(_, topic, _)| Arc::clone(self.names().name(topic))),
            message_id: fields.id,
            error: Notice::cut(failed.error),
            panicked: failed.panicked,
            of_notices: false,
        });
    }

    /// Has this flushed when the bus shuts down, after whatever was named before. Not waited for
    /// where the handler itself shuts the bus down.
    pub(crate) fn on_shutdown(&self, flusher: Flusher) {
        let (bus, id) = (self.core.number, self.id);
        let flusher: Flusher =
            Box::new(move |upto, timeout| !scope::is_inside(bus, id) && flusher(upto, timeout));
        self.core.flushers.lock().unwrap_or_else(PoisonError::into_inner).push(flusher);
    }
}

impl<M: Message> fmt::Debug for Foothold<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foothold")
            .field("id", &self.id)
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}
