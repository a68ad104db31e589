//! An index for patterns that are not made of tokens, by the plain text they begin with.
//!
//! The trie's place for `prefix:`, `glob:` and `re:`. A lookup tries only those beginnings of the
//! topic that have a length in use, and asks each pattern found there. So it costs what shares a
//! beginning with the topic, not what there is; a glob that starts with a wildcard and every `re:`
//! begin with nothing and are asked each time.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::Pattern;
use super::hamt::{Map, Within};
use super::pattern::Shape;

/// No more of a beginning than this is indexed: it bounds the lengths a lookup may have to try.
const LONGEST: usize = 64;

type Bucket<L> = Map<u64, Map<str, (Pattern, L)>>;

pub(super) struct Prefixes<L> {
    buckets: Map<str, Bucket<L>>,
    /// For each length of a beginning in use, rising: how many (pattern, id) have it. At most
    /// `LONGEST + 1` pairs, so that it can be copied at every change.
    lengths: Arc<[(usize, usize)]>,
}

impl<L> Prefixes<L> {
    pub(super) fn new() -> Self {
        Self { buckets: Map::EMPTY, lengths: Arc::new([]) }
    }

    /// Puts what `id` has under `pattern`, or takes it away; whether there was something.
    pub(super) fn put(&mut self, pattern: &Pattern, id: u64, leaf: Option<L>) -> bool {
        let beginning = beginning(pattern);
        let stays = leaf.is_some();
        let leaf = leaf.map(|leaf| (pattern.clone(), leaf));
        let mut was_there = false;
        self.buckets.alter(
            beginning,
            Within(|bucket: &mut Bucket<L>| {
                bucket.alter(
                    &id,
                    Within(|patterns: &mut Map<str, (Pattern, L)>| {
                        was_there = patterns.put(pattern.as_str(), leaf);
                    }),
                );
            }),
        );
        match (was_there, stays) {
            (false, true) => {
                self.lengths = counted(&self.lengths, beginning.len(), |count| count + 1);
            }
            (true, false) => {
                self.lengths = counted(&self.lengths, beginning.len(), |count| count - 1);
            }
            _ => {}
        }
        was_there
    }

    /// See [`Trie::adopt`](super::Trie).
    pub(super) fn adopt(&mut self, other: &Self, pattern: &Pattern, id: u64) {
        self.buckets.adopt(&other.buckets, beginning(pattern), |bucket, theirs| {
            bucket.adopt(theirs, &id, |_, _| false);
            true
        });
        self.lengths = Arc::clone(&other.lengths);
    }

    pub(super) fn for_each_match<'a>(&'a self, topic: &str, f: &mut impl FnMut(u64, &'a L)) {
        for &(length, _) in self.lengths.iter() {
            // Past the topic's end, or in the middle of a character: nothing begins like that.
            let Some(bucket) = topic.get(..length).and_then(|text| self.buckets.get(text)) else {
                continue;
            };
            bucket.for_each(&mut |&id, patterns| {
                patterns.for_each(&mut |_, (pattern, leaf)| {
                    if pattern.matches(topic) {
                        f(id, leaf);
                    }
                });
            });
        }
    }
}

/// The text with which every topic that matches begins, cut to [`LONGEST`].
fn beginning(pattern: &Pattern) -> &str {
    let plain = match pattern.shape() {
        Shape::Prefix => pattern.body().len(),
        Shape::Glob(glob) => glob.plain_prefix(),
        _ => 0,
    };
    let body = pattern.body();
    let fitting = (0..=plain.min(LONGEST)).rev().find(|&at| body.is_char_boundary(at));
    &body[..fitting.unwrap_or(0)]
}

fn counted(
    lengths: &[(usize, usize)],
    length: usize,
    change: impl FnOnce(usize) -> usize,
) -> Arc<[(usize, usize)]> {
    let mut lengths = lengths.to_vec();
    match lengths.binary_search_by_key(&length, |&(length, _)| length) {
        Ok(at) => lengths[at].1 = change(lengths[at].1),
        Err(at) => lengths.insert(at, (length, change(0))),
    }
    lengths.retain(|&(_, count)| count > 0);
    lengths.into()
}

impl<L> Clone for Prefixes<L> {
    fn clone(&self) -> Self {
        Self { buckets: self.buckets.clone(), lengths: self.lengths.clone() }
    }
}
