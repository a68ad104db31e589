//! Publishing a list whose messages know their topics: neighbours on one topic go out together.
//!
//! For whoever plays back what was recorded. A topic's name and its route are looked up once for
//! all neighbours on it, and the list is never lost: whatever happens, what did not go out is
//! back in it.
#![forbid(unsafe_code)]

use std::iter;
use std::sync::Arc;
use std::vec;

use super::batch::{self, LARGEST, PublishedBatch};
use super::core::Core;
use super::errors::{BatchError, PublishError};
use super::publish::Refusal;
use super::publisher::refused;
use super::room::{Room, insist};
use super::route::Route;
use super::scratch::Scratch;
use super::topics::TopicEntry;
use crate::Message;
use crate::actor::scope;

/// Publishes all of `messages`, in order, or as many as it can.
pub(super) fn publish_all<M: Message>(
    core: &Core<M>,
    messages: &mut Vec<M>,
) -> Result<PublishedBatch, BatchError> {
    let mut published = PublishedBatch::default();
    let mut scratch = Scratch::new();
    scratch.patient = true;
    let mut left = Left::of(messages);
    let mut last: Option<Way<M>> = None;
    while left.begin_run() {
        let way = match last.take().filter(|way| left.is_on(&way.topic.name)) {
            Some(way) => Ok(way),
            None => left.topic().and_then(|topic| Way::to(core, topic)),
        };
        let way = match way {
            Ok(way) => last.insert(way),
            Err(cause) => return Err(BatchError { published, cause }),
        };
        left.go_on(&way.topic.name);
        scratch.ends.align(&way.route);
        while !left.run.is_empty() {
            match way.publish(core, &mut scratch, &mut left.run) {
                Ok(chunk) => published.add(chunk),
                Err(refusal) => {
                    let cause = refused(refusal, Some(()));
                    return Err(BatchError { published, cause });
                }
            }
        }
    }
    Ok(published)
}

/// What has not gone out; given back when it is dropped.
struct Left<'a, M: Message> {
    messages: &'a mut Vec<M>,
    /// Neighbours on one topic.
    run: Vec<M>,
    rest: iter::Peekable<vec::IntoIter<M>>,
}

impl<'a, M: Message> Left<'a, M> {
    fn of(messages: &'a mut Vec<M>) -> Self {
        let run = Vec::with_capacity(messages.len().min(LARGEST));
        let rest = std::mem::take(messages).into_iter().peekable();
        Self { messages, run, rest }
    }

    /// Takes the first message of the next run; false if there is none.
    fn begin_run(&mut self) -> bool {
        self.run.extend(self.rest.next());
        !self.run.is_empty()
    }

    /// Whether the run is on this topic.
    fn is_on(&self, topic: &str) -> bool {
        self.run.first().and_then(M::topic) == Some(topic)
    }

    /// The run's topic.
    fn topic(&self) -> Result<&str, PublishError<()>> {
        self.run.first().and_then(M::topic).ok_or(PublishError::NoTopic(()))
    }

    /// Takes what follows on the same topic, as many as go out at once.
    fn go_on(&mut self, topic: &str) {
        // Looked at where it is: a topic is the message's own code, and may panic.
        let Self { run, rest, .. } = self;
        let is_next = |next: &M| next.topic() == Some(topic);
        run.extend(
            iter::from_fn(|| rest.peek().is_some_and(is_next).then(|| rest.next())?)
                .take(LARGEST - 1),
        );
    }
}

impl<M: Message> Drop for Left<'_, M> {
    fn drop(&mut self) {
        self.messages.append(&mut self.run);
        self.messages.extend(&mut self.rest);
    }
}

/// A topic, and whom it reaches.
struct Way<'c, M: Message> {
    topic: &'c TopicEntry<M>,
    route: Arc<Route<M>>,
}

impl<'c, M: Message> Way<'c, M> {
    fn to(core: &'c Core<M>, topic: &str) -> Result<Self, PublishError<()>> {
        let topic = core
            .topics
            .entry(topic, &core.table)
            .map_err(|error| PublishError::Topic { error, message: () })?;
        Ok(Self { route: topic.route(&core.table), topic })
    }

    /// Publishes the first of `messages`, as many as go out at once; waits as long as it may.
    fn publish(
        &mut self,
        core: &Core<M>,
        scratch: &mut Scratch<M>,
        messages: &mut Vec<M>,
    ) -> Result<PublishedBatch, Refusal<M>> {
        let Self { topic, route } = self;
        let most = messages.len();
        let mut attempt = || {
            let mut ring = core.log.borrow_cell();
            batch::publish(core, &mut ring, topic, route, scratch, messages)
        };
        let done = match attempt() {
            Err(Refusal::Full(room)) if !scope::inside() => {
                insist(core, room, most, || match attempt() {
                    Err(Refusal::Full(room)) => Err(room),
                    done => Ok(done),
                })
                .unwrap_or(Err(Refusal::Full(Room::Ring)))
            }
            done => done,
        };
        if let Ok(chunk) = &done {
            topic.published.add(chunk.count);
        }
        done
    }
}
