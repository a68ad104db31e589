//! Which patterns match a topic, for any number of patterns.
//!
//! Called by the bus when a subscription comes or goes and when a publisher resolves its topic;
//! never on the path of a message. It never decides differently from [`Pattern::matches`], which
//! knows nothing of it and is its oracle.
//!
//! The idea is that of the NATS server's sublist: a tree of tokens with separate edges for
//! wildcards. Here it is persistent (a copy shares everything, so that a publisher may go on
//! reading the old one), and a `**` may stand anywhere.
//!
//! ```text
//! native:  a.*.x   a.**.z   a.b        exact: a.b        by beginning: prefix: glob: re:
//!
//!    (root) -a-> ( ) -one--> ( ) -x-> [leaf]
//!                 | --many-> ( ) -z-> [leaf]
//! ```
//!
//! A walk goes over the topic once and holds all nodes reached so far. A node behind `many` is
//! reached at most once and then stays: `**` takes any token. Every other node has one edge that
//! leads to it, so it is reached at most once at a token. Therefore a walk makes at most (tokens)
//! × (nodes reached) steps, whatever the patterns, and reports each leaf once.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::Pattern;
use super::hamt::{Map, Whole, Within};
use super::name::is_reserved;
use super::pattern::{Dialect, Shape};
use super::prefixes::Prefixes;
use super::tokens::{Separators, Step};

/// A set of patterns, each under an id and with a leaf `L`, that finds those that match a topic.
///
/// Persistent: [`insert`](Trie::insert) and [`remove`](Trie::remove) give a new trie and leave the
/// old one as it was. Both cost what the pattern's length and the logarithm of the trie's size
/// cost; [`for_each_match`](Trie::for_each_match) costs what the topic's length and the number of
/// patterns that match at least in part cost. Neither depends on how many patterns there are,
/// except that every `re:`, and every `glob:` that starts with a wildcard, is asked each time.
///
/// ```
/// use ringpost::topic::{Pattern, PatternError, Trie};
///
/// let trie = Trie::new().insert(&Pattern::parse("md.*")?, 7, "quotes");
/// let mut found = Vec::new();
/// trie.for_each_match("md.AAPL", |id, leaf| found.push((id, *leaf)));
/// assert_eq!(found, [(7, "quotes")]);
/// # Ok::<(), PatternError>(())
/// ```
pub struct Trie<L> {
    len: usize,
    /// Patterns of any dialect that match one text.
    exact: Map<str, Leaves<L>>,
    native: Node<L>,
    nats: Node<L>,
    mqtt: Node<L>,
    prefixes: Prefixes<L>,
}

type Leaves<L> = Map<u64, L>;

/// Where a beginning of some pattern ends.
struct Node<L> {
    /// By token; behind a literal by separator and token, because that separator must be met.
    literal: Map<str, Node<L>>,
    one: Option<Arc<Node<L>>>,
    /// Never has a `one` or `many` of its own: see `Steps`.
    many: Option<Arc<Node<L>>>,
    leaves: Leaves<L>,
}

impl<L> Trie<L> {
    /// No patterns.
    #[must_use]
    pub fn new() -> Self {
        Self {
            len: 0,
            exact: Map::EMPTY,
            native: Node::new(),
            nats: Node::new(),
            mqtt: Node::new(),
            prefixes: Prefixes::new(),
        }
    }

    /// How many pairs of a pattern and an id there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A trie that has `leaf` for `pattern` and `id` too. The same pair's former leaf is replaced;
    /// one id may have several patterns.
    #[must_use]
    pub fn insert(&self, pattern: &Pattern, id: u64, leaf: L) -> Self {
        let mut trie = self.clone();
        trie.put(pattern, id, Some(leaf));
        trie
    }

    /// A trie without the leaf for `pattern` and `id`; the same as before if there is none.
    ///
    /// In the token dialects a pattern that means the same is the same: `a.*` removes `a:*`.
    #[must_use]
    pub fn remove(&self, pattern: &Pattern, id: u64) -> Self {
        let mut trie = self.clone();
        trie.put(pattern, id, None);
        trie
    }

    /// Calls `f` with id and leaf of every pattern that matches `topic`, in no order that means
    /// anything: once for each pattern that an id has.
    pub fn for_each_match<'a>(&'a self, topic: &str, mut f: impl FnMut(u64, &'a L)) {
        let f = &mut f;
        if let Some(leaves) = self.exact.get(topic) {
            leaves.for_each(&mut |&id, leaf| f(id, leaf));
        }
        self.native.walk(topic, Separators::All, f);
        self.nats.walk(topic, Separators::Dot, f);
        self.mqtt.walk(topic, Separators::Slash, f);
        self.prefixes.for_each_match(topic, f);
    }

    /// The first that `f` gives for an id and a leaf of exactly this pattern, in no order that means
    /// anything. Nothing for a pattern that is not made of tokens.
    pub(crate) fn find_map_at<'a, R>(
        &'a self,
        pattern: &Pattern,
        mut f: impl FnMut(u64, &'a L) -> Option<R>,
    ) -> Option<R> {
        let leaves = match pattern.shape() {
            Shape::Literal => self.exact.get(pattern.body())?,
            Shape::Steps(steps) => {
                &self.root_of(pattern.dialect()).at(steps, pattern.body())?.leaves
            }
            Shape::Glob(_) | Shape::Prefix | Shape::Regex(_) => return None,
        };
        leaves.find_map(&mut |&id, leaf| f(id, leaf))
    }

    /// As [`insert`](Trie::insert), or without a leaf [`remove`](Trie::remove), of this trie
    /// itself: what no other trie shares is changed in place.
    pub(crate) fn put(&mut self, pattern: &Pattern, id: u64, mut leaf: Option<L>) {
        let stays = leaf.is_some();
        let mut was_there = false;
        match pattern.shape() {
            Shape::Literal => {
                let (body, text) = (pattern.body(), pattern.text());
                // Its own text, unless a dialect stands before it.
                let own = || if body.len() == text.len() { text.clone() } else { body.into() };
                let change = |leaves: &mut Leaves<L>| was_there = leaves.put(&id, leaf);
                self.exact.alter_as(body, own, Within(change));
            }
            Shape::Steps(steps) => {
                let mut change = |leaves: &mut Leaves<L>| was_there = leaves.put(&id, leaf.take());
                self.root(pattern.dialect()).alter(steps, pattern.body(), &mut change);
            }
            Shape::Glob(_) | Shape::Prefix | Shape::Regex(_) => {
                was_there = self.prefixes.put(pattern, id, leaf);
            }
        }
        self.len = self.len + usize::from(stays) - usize::from(was_there);
    }

    /// Makes this trie what `other` is. But for the leaf of `pattern` and `id` the two are the
    /// same. It costs less than to make the change a second time, and shares what is new.
    pub(crate) fn adopt(&mut self, other: &Self, pattern: &Pattern, id: u64) {
        self.len = other.len;
        match pattern.shape() {
            Shape::Literal => {
                self.exact.adopt(&other.exact, pattern.body(), |leaves, theirs| {
                    leaves.adopt(theirs, &id, |_, _| false);
                    true
                });
            }
            Shape::Steps(steps) => {
                let theirs = other.root_of(pattern.dialect());
                self.root(pattern.dialect()).adopt(theirs, steps, pattern.body(), id);
            }
            Shape::Glob(_) | Shape::Prefix | Shape::Regex(_) => {
                self.prefixes.adopt(&other.prefixes, pattern, id);
            }
        }
    }

    fn root_of(&self, dialect: Dialect) -> &Node<L> {
        match dialect {
            Dialect::Mqtt => &self.mqtt,
            Dialect::Nats => &self.nats,
            _ => &self.native,
        }
    }

    fn root(&mut self, dialect: Dialect) -> &mut Node<L> {
        match dialect {
            Dialect::Mqtt => &mut self.mqtt,
            Dialect::Nats => &mut self.nats,
            _ => &mut self.native,
        }
    }
}

impl<L> Whole for Node<L> {
    fn empty() -> Self {
        Self::new()
    }

    fn is_empty(&self) -> bool {
        self.literal.is_empty()
            && self.one.is_none()
            && self.many.is_none()
            && self.leaves.is_empty()
    }
}

/// A node reached by a walk, and whether a literal led to it.
struct Reached<'a, L> {
    node: &'a Node<L>,
    behind_literal: bool,
}

impl<L> Node<L> {
    fn new() -> Self {
        Self { literal: Map::EMPTY, one: None, many: None, leaves: Map::EMPTY }
    }

    /// Where `steps` end.
    fn at(&self, steps: &[Step], body: &str) -> Option<&Self> {
        steps.iter().try_fold(self, |node, step| match step {
            Step::One => node.one.as_deref(),
            Step::Many => node.many.as_deref(),
            Step::Literal(range) => node.literal.get(&body[range.clone()]),
        })
    }

    /// Changes the leaves at the end of `steps`: calls `change` once.
    fn alter(&mut self, steps: &[Step], body: &str, change: &mut dyn FnMut(&mut Leaves<L>)) {
        let Some((step, rest)) = steps.split_first() else { return change(&mut self.leaves) };
        let edge = match step {
            Step::One => &mut self.one,
            Step::Many => &mut self.many,
            Step::Literal(range) => {
                let within = |node: &mut Self| node.alter(rest, body, change);
                return self.literal.alter(&body[range.clone()], Within(within));
            }
        };
        let node = Arc::make_mut(edge.get_or_insert_with(|| Arc::new(Self::new())));
        node.alter(rest, body, change);
        if node.is_empty() {
            *edge = None;
        }
    }

    /// See [`Trie::adopt`].
    fn adopt(&mut self, other: &Self, steps: &[Step], body: &str, id: u64) {
        let (own, theirs, rest) = match steps.split_first() {
            None => return self.leaves.adopt(&other.leaves, &id, |_, _| false),
            Some((Step::One, rest)) => (&mut self.one, &other.one, rest),
            Some((Step::Many, rest)) => (&mut self.many, &other.many, rest),
            Some((Step::Literal(range), rest)) => {
                return self.literal.adopt(&other.literal, &body[range.clone()], |own, theirs| {
                    own.adopt(theirs, rest, body, id);
                    true
                });
            }
        };
        match (own.as_mut().and_then(Arc::get_mut), theirs) {
            (Some(node), Some(theirs)) => node.adopt(theirs, rest, body, id),
            _ => own.clone_from(theirs),
        }
    }

    fn walk<'a>(&'a self, topic: &str, separators: Separators, f: &mut impl FnMut(u64, &'a L)) {
        if self.literal.is_empty() && self.one.is_none() && self.many.is_none() {
            return;
        }
        let reserved = is_reserved(topic);
        // Nodes behind a `many`: those that can still lead on, and the addresses of all.
        let mut staying: Vec<&Node<L>> = Vec::new();
        let mut stayed: HashSet<*const Node<L>, foldhash::fast::RandomState> = HashSet::default();
        let mut stay = |from: &'a Node<L>, staying: &mut Vec<&'a Node<L>>| {
            let Some(many) = from.many.as_deref() else { return };
            if !stayed.insert(std::ptr::from_ref(many)) {
                return;
            }
            // It takes whatever is left of the topic, so its own leaves match already.
            many.leaves.for_each(&mut |&id, leaf| f(id, leaf));
            if !many.literal.is_empty() {
                staying.push(many);
            }
        };
        let mut here = vec![Reached { node: self, behind_literal: false }];
        let mut next = Vec::new();
        if !reserved {
            stay(self, &mut staying);
        }
        for token in separators.split(topic) {
            let bare = &topic[token.clone()];
            let behind_many = staying.iter().map(|&node| (node, bare));
            let behind_one_token = here.iter().map(|reached| {
                let glued = usize::from(reached.behind_literal);
                (reached.node, &topic[token.start - glued..token.end])
            });
            for (node, key) in behind_many.chain(behind_one_token) {
                if let Some(node) = node.literal.get(key) {
                    next.push(Reached { node, behind_literal: true });
                }
                // The first token of a reserved topic is never met by a wildcard.
                if let Some(node) = node.one.as_deref().filter(|_| !reserved || token.start > 0) {
                    next.push(Reached { node, behind_literal: false });
                }
            }
            here.clear();
            std::mem::swap(&mut here, &mut next);
            here.iter().for_each(|reached| stay(reached.node, &mut staying));
            if here.is_empty() && staying.is_empty() {
                return;
            }
        }
        for reached in here {
            reached.node.leaves.for_each(&mut |&id, leaf| f(id, leaf));
        }
    }
}

impl<L> Clone for Trie<L> {
    fn clone(&self) -> Self {
        Self {
            len: self.len,
            exact: self.exact.clone(),
            native: self.native.clone(),
            nats: self.nats.clone(),
            mqtt: self.mqtt.clone(),
            prefixes: self.prefixes.clone(),
        }
    }
}

impl<L> Clone for Node<L> {
    fn clone(&self) -> Self {
        Self {
            literal: self.literal.clone(),
            one: self.one.clone(),
            many: self.many.clone(),
            leaves: self.leaves.clone(),
        }
    }
}

impl<L> Default for Trie<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> fmt::Debug for Trie<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trie").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PATTERNS: [&str; 14] = [
        "a",
        "a.b",
        "a.*",
        "a.**",
        "a.*.c",
        "**.c",
        "a.b.c",
        "prefix:a",
        "prefix:a.b",
        "glob:a*",
        "mqtt:a/+",
        "nats:a.>",
        "re:^a",
        "*",
    ];
    const TOPICS: [&str; 6] = ["a", "a.b", "a.b.c", "a/b", "b.c", "c"];

    fn found(trie: &Trie<u32>, topic: &str) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        trie.for_each_match(topic, |id, &leaf| found.push((id, leaf)));
        found.sort_unstable();
        found
    }

    /// Leaves by pattern and id.
    type Oracle = BTreeMap<(&'static str, u64), u32>;

    fn expected(oracle: &Oracle, topic: &str) -> Vec<(u64, u32)> {
        let fits = |text: &str| Pattern::parse(text).unwrap().matches(topic);
        let matching = oracle.iter().filter(|((text, _), _)| fits(text));
        let mut expected: Vec<_> = matching.map(|(&(_, id), &leaf)| (id, leaf)).collect();
        expected.sort_unstable();
        expected
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// As the bus does it: a change in the second trie, which becomes the first; somebody who
        /// looked at one of them before sees it as it was.
        #[test]
        fn two_tries_by_turns_find_what_was_put_in(
            steps in prop::collection::vec(
                (prop::sample::select(&PATTERNS), 0_u64..3, any::<bool>(), 0_u32..8),
                1..60,
            )
        ) {
            let (mut first, mut second) = (Trie::new(), Trie::new());
            let mut oracle = Oracle::new();
            let mut kept = (Trie::new(), Oracle::new());
            for (turn, (text, id, there, chance)) in steps.into_iter().enumerate() {
                let (pattern, leaf) = (Pattern::parse(text).unwrap(), turn as u32);
                match chance {
                    0 => kept = (second.clone(), oracle.clone()),
                    1 => second = first.clone(),
                    _ => {}
                }
                if there {
                    oracle.insert((text, id), leaf);
                } else {
                    oracle.remove(&(text, id));
                }
                second.put(&pattern, id, there.then_some(leaf));
                std::mem::swap(&mut first, &mut second);
                second.adopt(&first, &pattern, id);
                for (trie, oracle) in [(&first, &oracle), (&second, &oracle), (&kept.0, &kept.1)] {
                    prop_assert_eq!(trie.len(), oracle.len());
                    for (&(text, id), leaf) in oracle.iter() {
                        let pattern = Pattern::parse(text).unwrap();
                        let found = trie.find_map_at(&pattern, |other, leaf| (other == id).then_some(leaf));
                        let is_of_tokens = !["prefix:", "glob:", "re:"].iter().any(|way| text.starts_with(way));
                        prop_assert_eq!(found, is_of_tokens.then_some(leaf));
                    }
                    for topic in TOPICS {
                        prop_assert_eq!(found(trie, topic), expected(oracle, topic));
                    }
                }
            }
        }
    }
}
