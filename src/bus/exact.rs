//! Mailboxes of single topics, by topic: most subscriptions name one topic, and most topics have one
//! mailbox.
//!
//! Part of the table of subscriptions, which changes it under its lock; publishers look into it
//! without one. It has at most one mailbox a topic. Whoever comes to a topic that has one already, or
//! wants more than a single topic, goes into the table's trie. In here a subscription costs 16 bytes of
//! place and 12 to 32 of words. Making and cancelling it looks at a line or two of words and one of
//! places, however many there are; only [`lay_out`](Exact::lay_out) and a new chunk of places take as
//! long as there are topics. Emptying a place, or filling one again, also walks the slots that arc-swap
//! keeps for each thread that ever looked.
//!
//! A **place** holds a mailbox or nothing, and never moves. The **words** (`bus/words.rs`) name places by
//! the hashes of their topics, and are laid out anew when too few are empty, or many are of topics that
//! have gone. Words and places change one at a time while others read them. What a reader finds is
//! checked against the topic itself, so a place that was given to another topic meanwhile does no harm;
//! and every change is followed by another version of the table, so who came too early for it looks
//! again.
//!
//! Words go with the topics. Places stay, as many as there ever were at once, until the bus goes: 16 to
//! 32 bytes for each, as the last chunk is half of them all, and 4 to 8 in the list of those that are free.
//! They are given to others first, so topics that come and go do not add to them.
#![forbid(unsafe_code)]

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::words::{GONE, Tag, Words};
use crate::Message;
use crate::actor::target::Target;
use crate::topic::chunks::Chunks;
use crate::topic::hamt::Key;

#[cfg(test)]
mod tests;

const LEAST_WORDS: usize = 64;

/// Made by who is the first in it, with its mailbox: the `OnceLock` of [`Chunks`] makes that a plain
/// write, where a `store` walks the slots of all threads. Most places never get a second one.
type Place<M> = ArcSwapOption<Target<M>>;

/// What publishers see.
pub(super) struct Exact<M: Message> {
    words: ArcSwap<Words>,
    places: Chunks<Place<M>>,
}

/// What they do not: which places and words are free. Under the table's lock.
pub(super) struct Places {
    words: Arc<Words>,
    /// How many words are not empty, and how many of them are gone.
    used: usize,
    gone: usize,
    /// Places that nobody has.
    given_back: Vec<u32>,
    /// The first place that nobody ever had.
    next: u32,
}

impl Tag {
    fn of(topic: &str) -> Self {
        Self(topic.spread() as u32)
    }
}

impl<M: Message> Exact<M> {
    pub(super) fn new() -> (Self, Places) {
        let words = Arc::new(Words::new(LEAST_WORDS));
        let seen = Self { words: ArcSwap::new(Arc::clone(&words)), places: Chunks::new() };
        (seen, Places { words, used: 0, gone: 0, given_back: Vec::new(), next: 0 })
    }

    /// The mailbox of this topic, if it has one in here.
    pub(super) fn get(&self, topic: &str) -> Option<Arc<Target<M>>> {
        self.find(topic, Tag::of(topic), &self.words.load())
    }

    fn find(&self, topic: &str, tag: Tag, words: &Words) -> Option<Arc<Target<M>>> {
        words.places(tag).find_map(|(_, number)| {
            let target = self.places.get(number)?.load();
            let target = target.as_ref()?;
            let is_it = target.subscriber.pattern.literal_topic() == Some(topic);
            is_it.then(|| Arc::clone(target))
        })
    }

    /// Adds a mailbox; not if it wants more than a single topic, or if that has one.
    pub(super) fn insert(&self, free: &mut Places, target: &Arc<Target<M>>) -> bool {
        let Some(topic) = target.subscriber.pattern.literal_topic() else { return false };
        let tag = Tag::of(topic);
        if self.find(topic, tag, &free.words).is_some() {
            return false;
        }
        let number = free.given_back.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        let mut mine = Some(Arc::clone(target));
        let place = self.places.get_or_make(number, || Place::new(mine.take()));
        if mine.is_some() {
            place.store(mine);
        }
        if free.words.put(tag, number) {
            free.gone -= 1;
        } else {
            free.used += 1;
            if free.used * 3 > free.words.len() * 2 {
                self.lay_out(free);
            }
        }
        true
    }

    /// Removes a mailbox, if it is in here. The caller has it too, so that nothing foreign is dropped.
    pub(super) fn remove(&self, free: &mut Places, target: &Arc<Target<M>>) -> bool {
        let Some(topic) = target.subscriber.pattern.literal_topic() else { return false };
        let tag = Tag::of(topic);
        let found = free.words.places(tag).find_map(|(at, number)| {
            let place = self.places.get(number)?;
            let is_it = place.load().as_ref().is_some_and(|other| Arc::ptr_eq(other, target));
            is_it.then_some((at, number, place))
        });
        let Some((at, number, place)) = found else { return false };
        free.words.set(at, GONE);
        place.store(None);
        free.gone += 1;
        free.given_back.push(number);
        if free.gone > LEAST_WORDS && free.gone * 2 > free.used {
            self.lay_out(free);
        }
        true
    }

    /// Lays the words out anew, in twice as many as are needed or more, without those that are gone.
    /// Under topics that come and go that is 3 to 8 words a pair of changes, over time.
    fn lay_out(&self, free: &mut Places) {
        let live = free.used - free.gone;
        let fresh = Words::new((live * 2).next_power_of_two().max(LEAST_WORDS));
        fresh.fill_from(&free.words);
        free.words = Arc::new(fresh);
        (free.used, free.gone) = (live, 0);
        self.words.store(Arc::clone(&free.words));
    }
}
