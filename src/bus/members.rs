//! The list of subscriptions by number, in the order they were made.
//!
//! Numbers only rise, so it is kept in blocks of neighbours: a new one goes to the end of the last
//! block, and 16 bytes each is all they take.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::table::Member;
use crate::Message;

/// Numbers of one block. Small, because a block stays for as long as one of them does.
const BLOCK: u64 = 16;

type Block<M> = Box<[Option<Member<M>>; BLOCK as usize]>;

/// Subscriptions by number.
pub(crate) struct Members<M: Message> {
    /// The block that was begun last, and its number.
    newest: Option<(u64, Block<M>)>,
    others: BTreeMap<u64, Block<M>>,
}

fn locate(id: u64) -> (u64, usize) {
    (id / BLOCK, (id % BLOCK) as usize)
}

impl<M: Message> Members<M> {
    pub(crate) const fn new() -> Self {
        Self { newest: None, others: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, id: u64, member: Member<M>) {
        let (number, place) = locate(id);
        if self.newest.as_ref().is_none_or(|(newest, _)| *newest < number) {
            let fresh = (number, Block::new([const { None }; _]));
            let last = self.newest.replace(fresh);
            self.others.extend(last.filter(|(_, block)| block.iter().any(Option::is_some)));
        }
        let block = match &mut self.newest {
            Some((newest, block)) if *newest == number => block,
            _ => self.others.entry(number).or_insert_with(|| Block::new([const { None }; _])),
        };
        block[place] = Some(member);
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Member<M>> {
        let (number, place) = locate(id);
        let block = match &self.newest {
            Some((newest, block)) if *newest == number => block,
            _ => self.others.get(&number)?,
        };
        block[place].as_ref()
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Member<M>> {
        let (number, place) = locate(id);
        if let Some((_, block)) = self.newest.as_mut().filter(|(newest, _)| *newest == number) {
            // It stays, because more of its neighbours are to come.
            return block[place].take();
        }
        let block = self.others.get_mut(&number)?;
        let member = block[place].take();
        if block.iter().all(Option::is_none) {
            self.others.remove(&number);
        }
        member
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member<M>> {
        let newest = self.newest.as_ref().map(|(_, block)| block);
        self.others.values().chain(newest).flat_map(|block| block.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use super::*;
    use crate::actor::subscriber::{Home, Host, Subscriber};
    use crate::bus::inline::Inline;
    use crate::topic::Pattern;
    use crate::topic::names::Names;

    struct Nobody;

    impl Host<u64> for Nobody {
        fn notify(&self, _notice: crate::Notice) {}

        fn failing(&self, _id: u64) {}

        fn ended(&self, _id: u64) {}

        fn stock(&self) {}
    }

    fn member(id: u64) -> Member<u64> {
        let host: Weak<dyn Host<u64>> = Weak::<Nobody>::new();
        let home = Home { bus: 1, names: Arc::new(Names::new()), caused: Arc::default(), host };
        let pattern = Pattern::parse("t").unwrap();
        let subscriber = Arc::new(Subscriber::new(id, Arc::new(home), pattern, true));
        Member::Inline(Arc::new(Inline::new(subscriber, Box::new(|_| Ok(())))))
    }

    fn ids(members: &Members<u64>) -> Vec<u64> {
        members.iter().map(|member| member.subscriber().id).collect()
    }

    #[test]
    fn members_come_in_the_order_of_their_numbers_whatever_was_removed() {
        let mut members = Members::new();
        // Two threads that subscribe may come in either order.
        for id in (1..=50).flat_map(|pair| [2 * pair, 2 * pair - 1]) {
            members.insert(id, member(id));
        }
        assert_eq!(ids(&members), (1..=100).collect::<Vec<_>>());
        for id in (1..=100).filter(|id| id % 3 != 0) {
            assert_eq!(members.remove(id).map(|member| member.subscriber().id), Some(id));
        }
        let left: Vec<u64> = (1..=100).filter(|id| id % 3 == 0).collect();
        assert_eq!(ids(&members), left);
        assert_eq!(members.get(3).map(|member| member.subscriber().id), Some(3));
        assert!(members.get(4).is_none() && members.remove(4).is_none());
    }

    #[test]
    fn a_block_goes_with_the_last_of_its_members_unless_more_may_come() {
        let mut members = Members::new();
        (0..=64).for_each(|id| members.insert(id, member(id)));
        assert_eq!(members.others.len(), 4);
        (0..63).for_each(|id| drop(members.remove(id)));
        assert_eq!(members.others.len(), 1);
        members.remove(63);
        assert!(members.others.is_empty());
        assert_eq!(ids(&members), [64]);
    }
}
