//! A persistent map: a copy of a map shares everything with it, and a change of either leaves the
//! other as it was.
//!
//! Used by the trie for the children of a node and for the leaves at one, and by the bus for those
//! who read its ring; any of them may be hundreds of thousands. It never looks at topics, and never
//! clones a leaf: entries sit behind counts. What a change meets on its way and no other map has,
//! it changes in place; of what is shared it makes copies, at most 13 arrays of 32 pointers. So a
//! list of changes costs little where nobody looks at the map in between, and a writer with two
//! maps, one of which is being read, never copies: see [`Map::adopt`].
//!
//! A hash array mapped trie (Bagwell, "Ideal Hash Trees", 2001): five bits of the hash choose the
//! branch at each depth, a bitmap says which of the 32 are there: 100,000 entries are four levels
//! deep. An entry sits as high up as it is alone, so that a map of one entry is one allocation.
#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use foldhash::quality::RandomState;

#[cfg(test)]
mod tests;

/// Seeded once a process, so that nobody can prepare topics that all collide.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

const BITS: u32 = 5;
const WIDTH: u64 = 1 << BITS;

/// What a map can be keyed by.
pub(crate) trait Key: Eq {
    type Owned: Borrow<Self> + Clone;
    fn spread(&self) -> u64;
    fn own(&self) -> Self::Owned;
}

impl Key for str {
    type Owned = Arc<str>;

    fn spread(&self) -> u64 {
        SEED.hash_one(self)
    }

    fn own(&self) -> Arc<str> {
        self.into()
    }
}

/// Ids are given out one after the other: their low bits spread better than any hash.
impl Key for u64 {
    type Owned = u64;

    fn spread(&self) -> u64 {
        *self
    }

    fn own(&self) -> u64 {
        *self
    }
}

pub(crate) struct Map<K: Key + ?Sized, V>(Option<Arc<Tree<K, V>>>);

enum Tree<K: Key + ?Sized, V> {
    Entry(K::Owned, V),
    /// At least one child; if only one, then it is not an entry.
    Branch {
        present: u32,
        children: Box<[Arc<Tree<K, V>>]>,
    },
    /// Two or more entries of one hash; only below the last branch.
    Clash(Box<[Arc<Tree<K, V>>]>),
}

impl<K: Key + ?Sized, V> Map<K, V> {
    pub(crate) const EMPTY: Self = Self(None);

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let mut tree = self.0.as_deref()?;
        let hash = key.spread();
        let mut depth = 0;
        loop {
            match tree {
                Tree::Entry(found, value) => return (found.borrow() == key).then_some(value),
                Tree::Branch { present, children } => {
                    let bit = bit(hash, depth);
                    if present & bit == 0 {
                        return None;
                    }
                    tree = &children[place(*present, bit)];
                    depth += 1;
                }
                Tree::Clash(entries) => {
                    return entries.iter().find_map(|entry| match &**entry {
                        Tree::Entry(found, value) => (found.borrow() == key).then_some(value),
                        _ => None,
                    });
                }
            }
        }
    }

    /// Changes what is under `key`.
    pub(super) fn alter(&mut self, key: &K, change: impl Change<V>) {
        self.alter_as(key, || key.own(), change);
    }

    /// The same for who has the key in the form in which a new entry keeps it.
    pub(super) fn alter_as(&mut self, key: &K, own: impl Fn() -> K::Owned, change: impl Change<V>) {
        match &mut self.0 {
            None => self.0 = change.make().map(|value| Arc::new(Tree::Entry(own(), value))),
            Some(tree) => {
                if !alter(tree, (key, &own), key.spread(), 0, change) {
                    self.0 = None;
                }
            }
        }
    }

    /// Puts a value under `key`, or takes what is there away; whether there was something.
    pub(crate) fn put(&mut self, key: &K, value: Option<V>) -> bool {
        let mut was_there = false;
        self.alter(key, Put { value, was_there: &mut was_there });
        was_there
    }

    /// Makes this map what `other` is. But for what is under `key` the two are the same. What is new
    /// is shared and not copied; the way to it is changed in place. `inside` may do the same for
    /// the values that this map and the other have under `key`; `false` says that it did not.
    pub(crate) fn adopt(&mut self, other: &Self, key: &K, inside: impl FnOnce(&mut V, &V) -> bool) {
        match (&mut self.0, &other.0) {
            (Some(own), Some(theirs)) => adopt(own, theirs, key.spread(), 0, inside),
            (own, theirs) => own.clone_from(theirs),
        }
    }

    /// The first that `f` gives for an entry, in no order that means anything.
    pub(crate) fn find_map<'a, R>(
        &'a self,
        f: &mut impl FnMut(&'a K::Owned, &'a V) -> Option<R>,
    ) -> Option<R> {
        self.0.as_ref()?.find_map(f)
    }

    /// Every entry, in no order that means anything.
    pub(crate) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a K::Owned, &'a V)) {
        if let Some(tree) = &self.0 {
            tree.for_each(f);
        }
    }
}

impl<K: Key + ?Sized, V> Tree<K, V> {
    fn find_map<'a, R>(
        &'a self,
        f: &mut impl FnMut(&'a K::Owned, &'a V) -> Option<R>,
    ) -> Option<R> {
        match self {
            Tree::Entry(key, value) => f(key, value),
            Tree::Branch { children, .. } | Tree::Clash(children) => {
                children.iter().find_map(|child| child.find_map(f))
            }
        }
    }

    fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a K::Owned, &'a V)) {
        match self {
            Tree::Entry(key, value) => f(key, value),
            Tree::Branch { children, .. } | Tree::Clash(children) => {
                children.iter().for_each(|child| child.for_each(f));
            }
        }
    }
}

/// What becomes of the value under a key.
pub(super) trait Change<V>: Sized {
    /// The value where there was none; `None` leaves it so.
    fn make(self) -> Option<V>;
    /// Changes a value that no other map has; whether it stays.
    fn change(self, value: &mut V) -> bool;
    /// The value to have instead of one that other maps have too; `None` for none.
    fn instead(self, value: &V) -> Option<V>;
}

/// Another value, or none, whatever there was.
struct Put<'a, V> {
    value: Option<V>,
    was_there: &'a mut bool,
}

impl<V> Change<V> for Put<'_, V> {
    fn make(self) -> Option<V> {
        self.value
    }

    fn change(self, value: &mut V) -> bool {
        *self.was_there = true;
        self.value.map(|new| *value = new).is_some()
    }

    fn instead(self, _value: &V) -> Option<V> {
        *self.was_there = true;
        self.value
    }
}

/// A value that is made of parts: nothing is kept of one that has none.
pub(super) trait Whole: Clone {
    fn empty() -> Self;
    fn is_empty(&self) -> bool;
}

impl<K: Key + ?Sized, V> Whole for Map<K, V> {
    fn empty() -> Self {
        Self::EMPTY
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// A change of a part of a value.
pub(super) struct Within<F>(pub(super) F);

impl<V: Whole, F: FnOnce(&mut V)> Change<V> for Within<F> {
    fn make(self) -> Option<V> {
        self.instead(&V::empty())
    }

    fn change(self, value: &mut V) -> bool {
        (self.0)(value);
        !value.is_empty()
    }

    fn instead(self, value: &V) -> Option<V> {
        let mut value = value.clone();
        self.change(&mut value).then_some(value)
    }
}

/// Changes what is under a key; whether anything is left.
fn alter<K: Key + ?Sized, V>(
    tree: &mut Arc<Tree<K, V>>,
    (key, own): (&K, &dyn Fn() -> K::Owned),
    hash: u64,
    depth: u32,
    change: impl Change<V>,
) -> bool {
    let entry = |value| Arc::new(Tree::Entry(own(), value));
    if let Tree::Entry(found, _) = &**tree
        && found.borrow() != key
    {
        if let Some(value) = change.make() {
            let old = found.borrow().spread();
            *tree = split(Arc::clone(tree), old, entry(value), hash, depth);
        }
        return true;
    }
    if Arc::strong_count(tree) > 1 {
        // Another map has it too: what follows changes a copy.
        *tree = Arc::new(match &**tree {
            Tree::Entry(found, value) => {
                let Some(value) = change.instead(value) else { return false };
                *tree = Arc::new(Tree::Entry(found.clone(), value));
                return true;
            }
            Tree::Branch { present, children } => {
                Tree::Branch { present: *present, children: children.clone() }
            }
            Tree::Clash(entries) => Tree::Clash(entries.clone()),
        });
    }
    let children = match Arc::get_mut(tree) {
        None => unreachable!("a tree has no weak owners"),
        Some(Tree::Entry(_, value)) => return change.change(value),
        Some(Tree::Branch { present, children }) => {
            let bit = bit(hash, depth);
            let at = place(*present, bit);
            if *present & bit == 0 {
                if let Some(value) = change.make() {
                    *present |= bit;
                    insert(children, at, entry(value));
                }
                return true;
            }
            if !alter(&mut children[at], (key, own), hash, depth + 1, change) {
                *present &= !bit;
                remove(children, at);
            }
            children
        }
        Some(Tree::Clash(entries)) => {
            let is_it = |entry: &Arc<Tree<K, V>>| match &**entry {
                Tree::Entry(found, _) => found.borrow() == key,
                _ => false,
            };
            match entries.iter().position(is_it) {
                None => {
                    if let Some(value) = change.make() {
                        insert(entries, entries.len(), entry(value));
                    }
                }
                Some(at) => {
                    if !alter(&mut entries[at], (key, own), hash, depth, change) {
                        remove(entries, at);
                    }
                }
            }
            entries
        }
    };
    // An entry that is left alone moves up; a branch or a clash cannot, because its depth says
    // which bits it stands for.
    let alone = match &**children {
        [] => return false,
        [only] if matches!(**only, Tree::Entry(..)) => Some(Arc::clone(only)),
        _ => None,
    };
    if let Some(alone) = alone {
        *tree = alone;
    }
    true
}

/// Makes `own` what `theirs` is; they differ below this hash alone.
fn adopt<K: Key + ?Sized, V>(
    own: &mut Arc<Tree<K, V>>,
    theirs: &Arc<Tree<K, V>>,
    hash: u64,
    depth: u32,
    inside: impl FnOnce(&mut V, &V) -> bool,
) {
    if Arc::ptr_eq(own, theirs) {
        return;
    }
    let done = match (Arc::get_mut(own), &**theirs) {
        (
            Some(Tree::Branch { present, children }),
            Tree::Branch { present: their_present, children: their_children },
        ) => {
            let bit = bit(hash, depth);
            let (at, there) = (place(*present, bit), place(*their_present, bit));
            match (*present & bit != 0, *their_present & bit != 0) {
                (true, true) => {
                    adopt(&mut children[at], &their_children[there], hash, depth + 1, inside);
                }
                (false, true) => insert(children, at, Arc::clone(&their_children[there])),
                (true, false) => remove(children, at),
                (false, false) => {}
            }
            *present = *their_present;
            true
        }
        (Some(Tree::Entry(key, value)), Tree::Entry(their_key, their_value)) => {
            (*key).borrow() == their_key.borrow() && inside(value, their_value)
        }
        _ => false,
    };
    if !done {
        own.clone_from(theirs);
    }
}

/// A tree of two entries with different keys.
fn split<K: Key + ?Sized, V>(
    one: Arc<Tree<K, V>>,
    one_hash: u64,
    two: Arc<Tree<K, V>>,
    two_hash: u64,
    depth: u32,
) -> Arc<Tree<K, V>> {
    if depth * BITS >= u64::BITS {
        return Arc::new(Tree::Clash([one, two].into()));
    }
    let (one_bit, two_bit) = (bit(one_hash, depth), bit(two_hash, depth));
    let children: Box<[_]> = match one_bit.cmp(&two_bit) {
        Ordering::Equal => [split(one, one_hash, two, two_hash, depth + 1)].into(),
        Ordering::Less => [one, two].into(),
        Ordering::Greater => [two, one].into(),
    };
    Arc::new(Tree::Branch { present: one_bit | two_bit, children })
}

fn insert<T>(list: &mut Box<[T]>, at: usize, item: T) {
    let mut items = std::mem::take(list).into_vec();
    items.reserve_exact(1);
    items.insert(at, item);
    *list = items.into();
}

fn remove<T>(list: &mut Box<[T]>, at: usize) {
    let mut items = std::mem::take(list).into_vec();
    items.remove(at);
    *list = items.into();
}

fn bit(hash: u64, depth: u32) -> u32 {
    1 << ((hash >> (depth * BITS)) & (WIDTH - 1))
}

fn place(present: u32, bit: u32) -> usize {
    (present & (bit - 1)).count_ones() as usize
}

impl<K: Key + ?Sized, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
