//! Blocks that nobody uses: the free ones, and those that wait to be emptied.
//!
//! Called by `writer`, which takes and empties blocks, and by `log`: for receivers that make one ahead,
//! and for the last one out of a block. Nothing here drops a message or waits.
//!
//! Both lists are Treiber stacks (R. K. Treiber, "Systems Programming: Coping with Parallelism",
//! IBM RJ 5118, 1986). Their heads carry a tag against ABA; blocks are type-stable, so looking at
//! the `next` of a block that someone else has just taken is harmless.
#![forbid(unsafe_code)]

use super::arena::Arena;
use super::block::Block;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The head of a stack of blocks: a tag that changes with every push and take, and the first
/// block's index plus one, or 0.
#[derive(Debug)]
struct Stack {
    head: CachePadded<AtomicU64>,
}

fn pack(tag: u32, link: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(link)
}

fn unpack(head: u64) -> (u32, u32) {
    ((head >> 32) as u32, head as u32)
}

impl Stack {
    /// Empty. Tags wrap; `tag` is where they begin.
    fn new(tag: u32) -> Self {
        Self { head: CachePadded::new(AtomicU64::new(pack(tag, 0))) }
    }

    fn is_empty(&self) -> bool {
        // ORDER: Relaxed; a hint.
        unpack(self.head.load(Ordering::Relaxed)).1 == 0
    }

    /// Puts a chain on top, from `first` down to `last`.
    fn push<T>(&self, first: &Block<T>, last: &Block<T>) {
        // ORDER: Relaxed; the CAS decides whether it was up to date.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (tag, link) = unpack(head);
            // ORDER: Relaxed; carried by the CAS below.
            last.next().store(link, Ordering::Relaxed);
            // ORDER(stack): Release; pairs with ORDER(stack) in `pop` and `take`. Carries the
            // chain, and what its owner did to the blocks.
            match self.head.compare_exchange_weak(
                head,
                pack(tag.wrapping_add(1), first.index() + 1),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop<'a, T>(&self, arena: &'a Arena<T>) -> Option<&'a Block<T>> {
        // ORDER(stack): Acquire; pairs with ORDER(stack) in `push`. Carries the top block's link.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let (tag, link) = unpack(head);
            let block = arena.get(link.checked_sub(1)?);
            // ORDER: Relaxed; if the block was taken meanwhile, the CAS fails by its tag.
            let next = block.next().load(Ordering::Relaxed);
            // ORDER(stack): Acquire; pairs with ORDER(stack) in `push`. Carries the block.
            match self.head.compare_exchange_weak(
                head,
                pack(tag.wrapping_add(1), next),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(block),
                Err(now) => head = now,
            }
        }
    }

    /// Takes the whole chain, if there is one.
    fn take<'a, T>(&self, arena: &'a Arena<T>) -> Option<Chain<'a, T>> {
        // ORDER: Relaxed; the CAS decides.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (tag, link) = unpack(head);
            if link == 0 {
                return None;
            }
            // ORDER(stack): Acquire; pairs with ORDER(stack) in `push`. Carries the blocks.
            match self.head.compare_exchange_weak(
                head,
                pack(tag.wrapping_add(1), 0),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(Chain { arena, link }),
                Err(now) => head = now,
            }
        }
    }
}

/// Blocks that the caller has taken off a stack.
struct Chain<'a, T> {
    arena: &'a Arena<T>,
    link: u32,
}

impl<'a, T> Iterator for Chain<'a, T> {
    type Item = &'a Block<T>;

    fn next(&mut self) -> Option<&'a Block<T>> {
        let block = self.arena.get(self.link.checked_sub(1)?);
        // ORDER: Relaxed; the chain is the caller's own.
        self.link = block.next().load(Ordering::Relaxed);
        Some(block)
    }
}

/// The arena with its two lists.
#[derive(Debug)]
pub(super) struct Pool<T> {
    arena: Arena<T>,
    /// Empty blocks, ready to be installed.
    free: Stack,
    /// Blocks that nobody reads any more, with their messages still inside. A publisher that
    /// stalls may yet write into one of them.
    limbo: Stack,
}

impl<T> Pool<T> {
    /// A pool for up to `most` blocks of `slots` slots, its tags beginning at `tag`.
    pub(super) fn new(slots: usize, most: u32, tag: u32) -> Self {
        Self { arena: Arena::new(slots, most), free: Stack::new(tag), limbo: Stack::new(tag) }
    }

    pub(super) fn arena(&self) -> &Arena<T> {
        &self.arena
    }

    /// A block for the caller to own: a free one, or a new one; none when the arena is full.
    pub(super) fn get(&self) -> Option<&Block<T>> {
        self.free.pop(&self.arena).or_else(|| self.arena.make())
    }

    /// Makes a free block if there is none, and at least one and fewer than `enough` were ever made.
    pub(super) fn stock(&self, enough: u32) {
        if self.free.is_empty()
            && (1..enough).contains(&self.arena.len())
            && let Some(block) = self.arena.make()
        {
            self.put(block);
        }
    }

    /// The owner gives an empty block back.
    pub(super) fn put(&self, block: &Block<T>) {
        self.free.push(block, block);
    }

    /// The last one out of a retired block leaves it to whoever reclaims.
    pub(super) fn retire(&self, block: &Block<T>) {
        self.limbo.push(block, block);
    }

    /// A word that changes whenever a block comes into the limbo; none while the limbo is empty.
    #[inline]
    pub(super) fn limbo(&self) -> Option<u64> {
        // ORDER: Relaxed; a publisher that misses a block now sees it at its next publish.
        let head = self.limbo.head.load(Ordering::Relaxed);
        (unpack(head).1 != 0).then_some(head)
    }

    /// Takes the first block out of the limbo that `may_take` accepts. The whole limbo is looked
    /// through: one block that a stalled publisher holds must not keep the others.
    pub(super) fn reclaim(&self, may_take: impl Fn(&Block<T>) -> bool) -> Option<&Block<T>> {
        let mut found = None;
        let mut rest: Option<(&Block<T>, &Block<T>)> = None;
        for block in self.limbo.take(&self.arena)? {
            if found.is_none() && may_take(block) {
                found = Some(block);
                continue;
            }
            rest = Some(match rest {
                None => (block, block),
                Some((first, last)) => {
                    // ORDER: Relaxed; the chain is our own until it is pushed.
                    last.next().store(block.index() + 1, Ordering::Relaxed);
                    (first, block)
                }
            });
        }
        if let Some((first, last)) = rest {
            self.limbo.push(first, last);
        }
        found
    }

    /// How many blocks are free, and how many are in limbo: takes them all.
    #[cfg(all(test, ringpost_loom))]
    pub(super) fn census(&self) -> (usize, usize) {
        // More than there are means that one is in twice.
        let all = self.arena.len() as usize + 1;
        let count =
            |stack: &Stack| stack.take(&self.arena).map_or(0, |chain| chain.take(all).count());
        (count(&self.free), count(&self.limbo))
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    fn indexes(pool: &Pool<u8>, take: impl Fn(u32) -> bool) -> Vec<u32> {
        std::iter::from_fn(|| pool.reclaim(|b| take(b.index()))).map(Block::index).collect()
    }

    #[test]
    fn no_more_than_enough_are_ever_made_ahead() {
        let pool = Pool::<u8>::new(2, 10, 0);
        pool.stock(4);
        assert_eq!(pool.arena.len(), 0, "the first is for who needs it");
        assert!(pool.get().is_some());
        for _ in 0..10 {
            pool.stock(4);
            pool.stock(4);
            pool.free.pop(&pool.arena);
        }
        assert_eq!(pool.arena.len(), 4);
    }

    #[test]
    fn reclaim_looks_past_blocks_that_are_still_held() {
        let pool = Pool::<u8>::new(2, 10, u32::MAX - 1);
        for _ in 0..4 {
            pool.retire(pool.get().unwrap());
        }
        assert!(pool.limbo().is_some());
        assert_eq!(indexes(&pool, |index| index == 1 || index == 3), [3, 1]);
        assert_eq!(indexes(&pool, |index| index != 0), [2]);
        assert_eq!(indexes(&pool, |_| false), [0_u32; 0]);
        assert!(pool.limbo().is_some(), "the held one is still there");
        assert_eq!(indexes(&pool, |_| true), [0]);
        assert_eq!(pool.limbo(), None);
    }

    #[test]
    fn tags_wrap_and_every_block_comes_back_once() {
        let pool = Pool::<u8>::new(2, 3, u32::MAX - 2);
        for _ in 0..5 {
            let blocks: Vec<_> = std::iter::from_fn(|| pool.get()).collect();
            assert_eq!(blocks.len(), 3, "as many as there are, whatever the tag");
            for block in blocks {
                pool.put(block);
            }
        }
    }

    #[test]
    fn the_limbos_word_changes_with_each_block_that_comes_in() {
        let pool = Pool::<u8>::new(2, 10, u32::MAX);
        let (a, b) = (pool.get().unwrap(), pool.get().unwrap());
        pool.retire(a);
        let first = pool.limbo();
        assert_ne!(first, None);
        pool.retire(b);
        assert_ne!(pool.limbo(), first);
    }
}
