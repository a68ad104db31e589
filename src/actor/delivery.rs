//! A message as a subscriber sees it.
//!
//! Ring and mailbox lend it alike: the message stays where it lies while the handler runs.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::topic::TopicId;
use crate::topic::names::Names;
use crate::{Gap, Message, Sequence};

/// A message with its sequence, its topic and what was lost right before it.
///
/// It lends the message: [`cloned`](Delivery::cloned) keeps it. Through `Deref` it reads like the
/// message itself.
pub struct Delivery<'a, M: Message> {
    sequence: Option<Sequence>,
    topic: TopicId,
    names: Lent<'a, Arc<Names>>,
    message: Lent<'a, M>,
    gaps: Cow<'a, [Gap]>,
}

/// Borrowed from a slot, or kept.
#[derive(Clone)]
enum Lent<'a, T> {
    Borrowed(&'a T),
    Kept(T),
}

impl<T> Lent<'_, T> {
    #[inline]
    fn get(&self) -> &T {
        match self {
            Self::Borrowed(value) => value,
            Self::Kept(value) => value,
        }
    }
}

impl<'a, M: Message> Delivery<'a, M> {
    #[inline]
    pub(crate) fn lend(
        sequence: Option<Sequence>,
        topic: TopicId,
        names: &'a Arc<Names>,
        message: &'a M,
        gaps: &'a [Gap],
    ) -> Self {
        Self {
            sequence,
            topic,
            names: Lent::Borrowed(names),
            message: Lent::Borrowed(message),
            gaps: Cow::Borrowed(gaps),
        }
    }

    /// The same, lent once more.
    #[inline]
    pub(crate) fn lent(&self) -> Delivery<'_, M> {
        let names = self.names.get();
        Delivery::lend(self.sequence, self.topic, names, self.message.get(), &self.gaps)
    }

    /// The message's place in the bus's total order. `None` for messages that never were on the
    /// ring.
    #[must_use]
    pub fn sequence(&self) -> Option<Sequence> {
        self.sequence
    }

    /// The topic it was published to.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.names.get().name(self.topic)
    }

    /// The topic's number on this bus.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic
    }

    /// The message.
    #[must_use]
    #[inline]
    pub fn message(&self) -> &M {
        self.message.get()
    }

    /// What this subscriber lost since its last delivery: almost always nothing; otherwise one
    /// gap, or one for each reason where there were several.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// A delivery that may be kept after the handler returned.
    #[must_use]
    pub fn cloned(&self) -> Delivery<'static, M> {
        Delivery {
            sequence: self.sequence,
            topic: self.topic,
            names: Lent::Kept(self.names.get().clone()),
            message: Lent::Kept(self.message.get().clone()),
            gaps: Cow::Owned(self.gaps.to_vec()),
        }
    }

    /// The message itself, cloned if it is only lent.
    #[must_use]
    pub fn into_message(self) -> M {
        match self.message {
            Lent::Borrowed(message) => message.clone(),
            Lent::Kept(message) => message,
        }
    }
}

impl<M: Message> Clone for Delivery<'_, M> {
    fn clone(&self) -> Self {
        Self {
            sequence: self.sequence,
            topic: self.topic,
            names: self.names.clone(),
            message: self.message.clone(),
            gaps: self.gaps.clone(),
        }
    }
}

impl<M: Message> Deref for Delivery<'_, M> {
    type Target = M;

    #[inline]
    fn deref(&self) -> &M {
        self.message()
    }
}

impl<M: Message + fmt::Debug> fmt::Debug for Delivery<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("sequence", &self.sequence)
            .field("topic", &self.topic())
            .field("message", self.message())
            .field("gaps", &self.gaps())
            .finish()
    }
}
