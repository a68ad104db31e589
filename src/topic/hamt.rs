//! A persistent map: a change makes a new map that shares all but one path with the old one.
//!
//! Used by the trie for the children of a node and for the leaves at one, either of which may be
//! hundreds of thousands. It never looks at topics, and never clones a value: entries sit behind
//! counts, and a change copies at most 22 small arrays of pointers.
//!
//! A hash array mapped trie (Bagwell, "Ideal Hash Trees", 2001): three bits of the hash choose the
//! branch at each depth, a bitmap says which of the 8 are there. A change counts every neighbour of
//! its path up and down, most of them in lines that are not in the cache: five bits would make that
//! 99 neighbours among 100,000 entries, three make it 44. An entry sits as high up as it is
//! alone, so that a map of one entry is one allocation.
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

const BITS: u32 = 3;
const WIDTH: u64 = 1 << BITS;

/// What a map can be keyed by.
pub(super) trait Key: Eq {
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

pub(super) struct Map<K: Key + ?Sized, V>(Option<Arc<Tree<K, V>>>);

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
    pub(super) const EMPTY: Self = Self(None);

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

    /// The map in which the value of `key` is what `change` makes of it: `None` stands for no
    /// entry, before and after. `change` is called exactly once.
    #[must_use]
    pub(super) fn alter(&self, key: &K, change: impl FnOnce(Option<&V>) -> Option<V>) -> Self {
        self.alter_as(key, || key.own(), change)
    }

    /// The same for who has the key in the form in which a new entry keeps it.
    #[must_use]
    pub(super) fn alter_as(
        &self,
        key: &K,
        own: impl Fn() -> K::Owned,
        change: impl FnOnce(Option<&V>) -> Option<V>,
    ) -> Self {
        Self(alter(self.0.as_ref(), (key, &own), key.spread(), 0, change))
    }

    /// Every entry, in no order that means anything.
    pub(super) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a K::Owned, &'a V)) {
        if let Some(tree) = &self.0 {
            tree.for_each(f);
        }
    }
}

impl<K: Key + ?Sized, V> Tree<K, V> {
    fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a K::Owned, &'a V)) {
        match self {
            Tree::Entry(key, value) => f(key, value),
            Tree::Branch { children, .. } | Tree::Clash(children) => {
                children.iter().for_each(|child| child.for_each(f));
            }
        }
    }
}

fn alter<K: Key + ?Sized, V>(
    tree: Option<&Arc<Tree<K, V>>>,
    (key, own): (&K, &dyn Fn() -> K::Owned),
    hash: u64,
    depth: u32,
    change: impl FnOnce(Option<&V>) -> Option<V>,
) -> Option<Arc<Tree<K, V>>> {
    let entry = |value| Arc::new(Tree::Entry(own(), value));
    let Some(tree) = tree else { return change(None).map(entry) };
    match &**tree {
        Tree::Entry(found, value) if found.borrow() == key => {
            change(Some(value)).map(|value| Arc::new(Tree::Entry(found.clone(), value)))
        }
        Tree::Entry(found, _) => Some(match change(None) {
            None => tree.clone(),
            Some(value) => split(tree.clone(), found.borrow().spread(), entry(value), hash, depth),
        }),
        Tree::Branch { present, children } => {
            let bit = bit(hash, depth);
            let at = place(*present, bit);
            let old = (present & bit != 0).then(|| &children[at]);
            let new = alter(old, (key, own), hash, depth + 1, change);
            let present = if new.is_some() { present | bit } else { present & !bit };
            let children = replaced(children, at, old.is_some(), new);
            match &*children {
                [] => None,
                // An entry that is left alone moves up; a branch or a clash cannot, because its
                // depth says which bits it stands for.
                [only] if matches!(**only, Tree::Entry(..)) => Some(only.clone()),
                _ => Some(Arc::new(Tree::Branch { present, children })),
            }
        }
        Tree::Clash(entries) => {
            let is_it = |entry: &Arc<Tree<K, V>>| match &**entry {
                Tree::Entry(found, _) => found.borrow() == key,
                _ => false,
            };
            let at = entries.iter().position(is_it);
            let new = alter(at.map(|at| &entries[at]), (key, own), hash, depth, change);
            let entries = replaced(entries, at.unwrap_or(entries.len()), at.is_some(), new);
            match &*entries {
                [only] => Some(only.clone()),
                _ => Some(Arc::new(Tree::Clash(entries))),
            }
        }
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

/// `list` with the item at `at` (one that `is_there`, or a place between two) made `new`.
fn replaced<T: Clone>(list: &[T], at: usize, is_there: bool, new: Option<T>) -> Box<[T]> {
    let rest = &list[at + usize::from(is_there)..];
    list[..at].iter().cloned().chain(new).chain(rest.iter().cloned()).collect()
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
