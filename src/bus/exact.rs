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
//! A **place** holds a mailbox or nothing, and never moves. The words are a hash table with open
//! addressing: each names a place, beside what is needed of the topic's hash to find it again, also when
//! the words are laid out anew in a larger table. Words and places change one at a time while others
//! read them. What a reader finds is checked against the topic itself, so a place that was given to
//! another topic meanwhile does no harm; and every change is followed by another version of the table,
//! so who came too early for it looks again.
//!
//! Words go with the topics. Places stay, as many as there ever were at once, until the bus goes: 16 to
//! 32 bytes for each, as the last chunk is half of them all, and 4 to 8 in the list of those that are free.
//! They are given to others first, so topics that come and go do not add to them.
#![forbid(unsafe_code)]

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::Message;
use crate::actor::target::Target;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::topic::chunks::Chunks;
use crate::topic::hamt::Key;

#[cfg(test)]
mod tests;

/// No topic ever hashed to here.
const EMPTY: u64 = 0;
/// The one that did has gone; others that hash to here may lie behind it.
const GONE: u64 = 1;
/// Added to a place's number in a word.
const FIRST_PLACE: u64 = 2;

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

/// A power of two of them.
struct Words(Box<[AtomicU64]>);

/// The part of a topic's hash that is kept: enough for four thousand million places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    pub(super) fn of(topic: &str) -> Self {
        Self(topic.spread() as u32)
    }
}

impl Words {
    fn new(size: usize) -> Self {
        Self((0..size).map(|_| AtomicU64::new(EMPTY)).collect())
    }

    /// The words from where a topic with this tag would lie, up to the first empty one.
    fn probe(&self, Tag(tag): Tag) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let mask = self.0.len() - 1;
        let mut at = tag as usize & mask;
        std::iter::from_fn(move || {
            let word = &self.0[at];
            at = (at + 1) & mask;
            // ORDER: Relaxed; the table's version carries every change that a reader must see. Who
            // sees a word before that finds nothing or the right mailbox in its place.
            let found = word.load(Ordering::Relaxed);
            (found != EMPTY).then_some((word, found))
        })
    }

    /// Puts a word where the first of its probe is empty, or gone; whether it was gone.
    fn put(&self, tag: Tag, fresh: u64) -> bool {
        let mask = self.0.len() - 1;
        let mut at = tag.0 as usize & mask;
        loop {
            let word = &self.0[at];
            // ORDER: Relaxed; only the caller changes words.
            let found = word.load(Ordering::Relaxed);
            if found <= GONE {
                // ORDER: Relaxed; see `probe`.
                word.store(fresh, Ordering::Relaxed);
                return found == GONE;
            }
            at = (at + 1) & mask;
        }
    }
}

fn word(Tag(tag): Tag, place: u32) -> u64 {
    u64::from(tag) << 32 | (u64::from(place) + FIRST_PLACE)
}

/// The place that a word with this tag names.
fn place_of(word: u64, Tag(tag): Tag) -> Option<u32> {
    let is_it = (word >> 32) as u32 == tag;
    let place = (word & u64::from(u32::MAX)).checked_sub(FIRST_PLACE)?;
    is_it.then_some(place as u32)
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
        words.probe(tag).find_map(|(_, found)| {
            let target = self.places.get(place_of(found, tag)?)?.load();
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
        if free.words.put(tag, word(tag, number)) {
            free.gone -= 1;
        } else {
            free.used += 1;
            if free.used * 3 > free.words.0.len() * 2 {
                self.lay_out(free);
            }
        }
        true
    }

    /// Removes a mailbox, if it is in here. The caller has it too, so that nothing foreign is dropped.
    pub(super) fn remove(&self, free: &mut Places, target: &Arc<Target<M>>) -> bool {
        let Some(topic) = target.subscriber.pattern.literal_topic() else { return false };
        let tag = Tag::of(topic);
        let found = free.words.probe(tag).find_map(|(word, found)| {
            let number = place_of(found, tag)?;
            let place = self.places.get(number)?;
            let is_it = place.load().as_ref().is_some_and(|other| Arc::ptr_eq(other, target));
            is_it.then_some((word, number, place))
        });
        let Some((word, number, place)) = found else { return false };
        // ORDER: Relaxed; see `probe`.
        word.store(GONE, Ordering::Relaxed);
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
        for old in &free.words.0 {
            // ORDER: Relaxed; only the caller changes words.
            let word = old.load(Ordering::Relaxed);
            if word > GONE {
                fresh.put(Tag((word >> 32) as u32), word);
            }
        }
        free.words = Arc::new(fresh);
        (free.used, free.gone) = (live, 0);
        self.words.store(Arc::clone(&free.words));
    }
}
