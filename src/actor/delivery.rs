//! A message as a subscriber sees it.
//!
//! Ring and mailbox lend it alike: the message stays where it lies while the handler runs.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::source::Head;
use crate::topic::TopicId;
use crate::topic::names::Names;
use crate::{Gap, Message, Sequence};

/// A message with its sequence, its topic and what was lost right before it.
///
/// It lends the message: [`cloned`](Delivery::cloned) keeps it. Through `Deref` it reads like the
/// message itself.
pub struct Delivery<'a, M: Message> {
    /// 0 where there is none.
    sequence: u64,
    topic: TopicId,
    body: Body<'a, M>,
}

/// Borrowed from a slot, or kept. Few words, because they are laid out in memory for each message
/// that is lent, for the case that a handler panics.
enum Body<'a, M> {
    Lent { names: &'a Arc<Names>, message: &'a M, gaps: &'a [Gap] },
    Kept { names: Arc<Names>, message: M, gaps: Vec<Gap> },
}

impl<'a, M: Message> Delivery<'a, M> {
    #[inline]
    pub(crate) fn lend(head: Head<'a, M>, names: &'a Arc<Names>, gaps: &'a [Gap]) -> Self {
        let Head { sequence, topic, message } = head;
        Self { sequence, topic, body: Body::Lent { names, message, gaps } }
    }

    /// The same, lent once more.
    #[inline]
    pub(crate) fn lent(&self) -> Delivery<'_, M> {
        let head = Head { sequence: self.sequence, topic: self.topic, message: self.message() };
        Delivery::lend(head, self.names(), self.gaps())
    }

    #[inline]
    fn names(&self) -> &Arc<Names> {
        match &self.body {
            Body::Lent { names, .. } => names,
            Body::Kept { names, .. } => names,
        }
    }

    /// The message's place in the bus's total order. `None` for messages that never were on the
    /// ring.
    #[must_use]
    pub fn sequence(&self) -> Option<Sequence> {
        (self.sequence != 0).then(|| Sequence::new(self.sequence))
    }

    /// The topic it was published to.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.names().name(self.topic)
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
        match &self.body {
            Body::Lent { message, .. } => message,
            Body::Kept { message, .. } => message,
        }
    }

    /// What this subscriber lost since its last delivery: almost always nothing; otherwise one
    /// gap, or one for each reason where there were several.
    #[must_use]
    #[inline]
    pub fn gaps(&self) -> &[Gap] {
        match &self.body {
            Body::Lent { gaps, .. } => gaps,
            Body::Kept { gaps, .. } => gaps,
        }
    }

    /// A delivery that may be kept after the handler returned.
    #[must_use]
    pub fn cloned(&self) -> Delivery<'static, M> {
        let (names, message) = (Arc::clone(self.names()), self.message().clone());
        let body = Body::Kept { names, message, gaps: self.gaps().to_vec() };
        Delivery { sequence: self.sequence, topic: self.topic, body }
    }

    /// The message itself, cloned if it is only lent.
    #[must_use]
    pub fn into_message(self) -> M {
        match self.body {
            Body::Lent { message, .. } => message.clone(),
            Body::Kept { message, .. } => message,
        }
    }
}

impl<M: Message> Clone for Delivery<'_, M> {
    fn clone(&self) -> Self {
        match &self.body {
            Body::Lent { names, message, gaps } => Self {
                sequence: self.sequence,
                topic: self.topic,
                body: Body::Lent { names, message, gaps },
            },
            Body::Kept { .. } => self.cloned(),
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
            .field("sequence", &self.sequence())
            .field("topic", &self.topic())
            .field("message", self.message())
            .field("gaps", &self.gaps())
            .finish()
    }
}
