//! The map against a hash map, with hashes that clash; and how much a change shares.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A key whose hash has few values, so that entries clash all the way down.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
struct Alike(u8);

impl Key for Alike {
    type Owned = Alike;

    fn spread(&self) -> u64 {
        [0, u64::MAX, 1 << 60, 1][usize::from(self.0 % 4)]
    }

    fn own(&self) -> Alike {
        self.clone()
    }
}

fn agrees<K: Key<Owned = K> + std::hash::Hash + Clone>(keys: &[K], steps: &[(usize, bool)]) {
    let mut model: HashMap<K, usize> = HashMap::new();
    let mut map: Map<K, usize> = Map::EMPTY;
    // The second map of a writer whose first is being read, and whoever else shares with it.
    let (mut spare, mut kept, mut kept_model) = (Map::EMPTY, Map::EMPTY, HashMap::new());
    for (turn, &(key, keep)) in steps.iter().enumerate() {
        let key = &keys[key % keys.len()];
        let (before, old) = (map.clone(), model.clone());
        assert_eq!(map.put(key, keep.then_some(turn)), model.contains_key(key));
        if turn % 7 == 0 {
            (kept, kept_model) = (spare.clone(), old.clone());
        }
        if turn % 11 == 0 {
            spare = before.clone();
        }
        spare.adopt(&map, key, |_, _| false);
        if keep {
            model.insert(key.clone(), turn)
        } else {
            model.remove(key)
        };
        let maps = [(&before, &old), (&map, &model), (&spare, &model), (&kept, &kept_model)];
        for (map, model) in maps {
            let mut count = 0;
            map.for_each(&mut |key, value| {
                count += 1;
                assert_eq!(model.get(key), Some(value));
            });
            assert_eq!(count, model.len());
            assert_eq!(map.is_empty(), model.is_empty());
            keys.iter().for_each(|key| assert_eq!(map.get(key), model.get(key)));
        }
    }
}

fn addresses<K: Key + ?Sized, V>(tree: &Tree<K, V>, into: &mut Vec<*const Tree<K, V>>) {
    into.push(tree);
    if let Tree::Branch { children, .. } | Tree::Clash(children) = tree {
        children.iter().for_each(|child| addresses(child, into));
    }
}

#[test]
fn a_change_copies_one_path_and_shares_the_rest() {
    let mut map: Map<str, u32> = Map::EMPTY;
    for n in 0..20_000 {
        map.put(&format!("user.{n}"), Some(n));
    }
    let (mut added, mut removed) = (map.clone(), map.clone());
    added.put("one.more", Some(1));
    removed.put("user.77", None);
    let mut before = Vec::new();
    addresses(map.0.as_deref().unwrap(), &mut before);
    let before: std::collections::HashSet<_> = before.into_iter().collect();
    for after in [&added, &removed] {
        let mut all = Vec::new();
        addresses(after.0.as_deref().unwrap(), &mut all);
        let copied = all.iter().filter(|address| !before.contains(*address)).count();
        assert!(copied <= 14, "{copied} of {} nodes are new", all.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_map_does_what_a_hash_map_does_and_leaves_the_old_one_alone(
        steps in prop::collection::vec((0usize..40, any::<bool>()), 1..120)
    ) {
        agrees(&(0..40).map(Alike).collect::<Vec<_>>(), &steps);
        agrees(&(0..40).map(|n| n * 0x0210_0401).collect::<Vec<u64>>(), &steps);
    }
}

/// A writer has two maps by turns, one of which is being read: it must not copy for that.
#[test]
fn a_writer_of_two_maps_copies_nothing() {
    let (mut read, mut spare): (Map<u64, u32>, Map<u64, u32>) = (Map::EMPTY, Map::EMPTY);
    let mut addresses_before = std::collections::HashSet::new();
    for n in 0..4000 {
        if n == 3000 {
            let mut all = Vec::new();
            (read.0.iter().chain(&spare.0)).for_each(|root| addresses(root, &mut all));
            addresses_before.extend(all);
        }
        spare.put(&n, Some(0));
        std::mem::swap(&mut read, &mut spare);
        spare.adopt(&read, &n, |_, _| false);
    }
    let mut all = Vec::new();
    (read.0.iter().chain(&spare.0)).for_each(|root| addresses(root, &mut all));
    let all: std::collections::HashSet<_> = all.into_iter().collect();
    let gone = addresses_before.iter().filter(|before| !all.contains(*before)).count();
    assert_eq!(gone, 0, "of {} nodes", addresses_before.len());
}
