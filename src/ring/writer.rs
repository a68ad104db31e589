//! Claiming places in the ring, filling them, and cleaning up behind.
//!
//! Called by `bus`, once or twice a publish. Between claim and commit no foreign code runs and
//! nothing can fail; messages are dropped in `reclaim` alone, the last thing in a publish.
#![allow(unsafe_code)]

use std::cell::Cell as PlainCell;
use std::ptr::NonNull;

use super::block::{AHEAD, Block, drop_quietly};
use super::cell::{Cell, Memory};
use super::directory::Look;
use super::faults::{Fault, planted};
use super::log::{CLOSED, DISABLED, END, Log};
use super::prefetch;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, claim_fence, thread_local};

thread_local! {
    /// Set while this thread drops messages: what they publish is cleaned up by the next publish,
    /// not by one within the other.
    static RECLAIMING: PlainCell<bool> = PlainCell::default();
}

/// Why a claim was refused. Nothing was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A required reader is too far behind, or there are no more blocks: so many are held by
    /// stalled readers and publishers. Whoever gives up calls `reclaim` all the same.
    Full,
    /// The ring is closed, or its sequence is at its end.
    Closed,
    /// Publishing is turned off.
    Disabled,
}

/// A publisher with a cell of its own.
#[derive(Debug)]
pub(crate) struct Writer<T: Send + Sync + 'static> {
    pub(super) log: Arc<Log<T>>,
    /// In the log's list, which never frees it before the log.
    pub(super) cell: NonNull<Cell<T>>,
}

// SAFETY: the cell is the writer's own wherever the writer is, and the messages that its memory
// may hold are `Send`.
unsafe impl<T: Send + Sync + 'static> Send for Writer<T> {}
// SAFETY: a shared writer gives out nothing but the log, which is `Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for Writer<T> {}

impl<T: Send + Sync + 'static> Writer<T> {
    pub(super) fn new(log: Arc<Log<T>>) -> Self {
        let cell = NonNull::from(log.cells.acquire());
        Self { log, cell }
    }

    /// What does the writing.
    #[inline]
    pub(crate) fn pen(&mut self) -> Pen<'_, T> {
        // SAFETY: cells are freed with the log, which is held here.
        let cell = unsafe { self.cell.as_ref() };
        Pen { log: &self.log, cell }
    }

    /// As [`Pen::claim`].
    #[inline]
    #[cfg(test)]
    pub(crate) fn claim(&mut self, k: usize) -> Result<Claim<'_, T>, Refused> {
        let Pen { log, cell } = self.pen();
        claim(log, cell, k)
    }

    /// As [`Pen::reclaim`].
    #[inline]
    #[cfg(test)]
    pub(crate) fn reclaim(&mut self) {
        self.pen().reclaim();
    }
}

impl<T: Send + Sync + 'static> Drop for Writer<T> {
    fn drop(&mut self) {
        self.pen().cell.give_back();
    }
}

/// A publisher for as long as it has its cell: all that can be done with the ring's end.
#[derive(Debug)]
pub(crate) struct Pen<'l, T: Send + Sync + 'static> {
    log: &'l Log<T>,
    cell: &'l Cell<T>,
}

/// A cell that was free, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Borrowed<'l, T: Send + Sync + 'static> {
    log: &'l Log<T>,
    cell: &'l Cell<T>,
}

impl<'l, T: Send + Sync + 'static> Borrowed<'l, T> {
    #[inline]
    pub(super) fn new(log: &'l Log<T>) -> Self {
        Self { log, cell: log.cells.borrow() }
    }

    /// What does the writing.
    #[inline]
    pub(crate) fn pen(&mut self) -> Pen<'_, T> {
        Pen { log: self.log, cell: self.cell }
    }
}

impl<T: Send + Sync + 'static> Drop for Borrowed<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.give_back();
    }
}

impl<T: Send + Sync + 'static> Pen<'_, T> {
    /// Claims `k` places in a row, all or none. They have to be committed: readers wait there
    /// until the ring has come round.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was claimed then, and the ring was full at some moment of the call if
    /// it says so.
    ///
    /// # Panics
    ///
    /// If `k` is 0, or more than a batch of 64 or a block.
    #[inline]
    pub(crate) fn claim(&mut self, k: usize) -> Result<Claim<'_, T>, Refused> {
        claim(self.log, self.cell, k)
    }

    /// Whether a claim of `k` places would be refused now.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    pub(crate) fn look(&mut self, k: usize) -> Result<(), Refused> {
        // ORDER(claim): Acquire; as in `claim`.
        let tail = self.log.tail.load(Ordering::Acquire);
        // SAFETY: the cell is ours, and this is not inside another `memory`.
        unsafe {
            self.cell.memory(|memory| {
                let (log, k) = (self.log, k as u64);
                let news = memory.registered != log.cursors.registered();
                if news || tail + k > memory.limit { admit(log, memory, tail, k) } else { Ok(()) }
            })
        }
    }

    /// Empties one block that nobody reads any more, if there is one. Foreign drops run here, so
    /// it is called last in every publish, also in one that was refused; a panic of one of them
    /// ends here. What they publish themselves is cleaned up by a later call. While nobody
    /// publishes, messages of the last blocks that were read out stay alive.
    #[inline]
    pub(crate) fn reclaim(&mut self) {
        // SAFETY: the cell is ours, and this is not inside another `memory`.
        let nothing = unsafe {
            self.cell.memory(|memory| {
                let limbo = self.log.pool.limbo();
                memory.lapped.is_empty() && (limbo.is_none() || limbo == memory.held_limbo)
            })
        };
        if !nothing {
            self.reclaim_some();
        }
    }

    #[cold]
    pub(super) fn reclaim_some(&mut self) {
        struct Reclaiming;
        impl Drop for Reclaiming {
            fn drop(&mut self) {
                RECLAIMING.with(|on| on.set(false));
            }
        }
        if RECLAIMING.with(|on| on.replace(true)) {
            return;
        }
        let _reclaiming = Reclaiming;

        let found = self.log.pool.reclaim(|block| !self.log.cells.name(block.number()));
        // SAFETY: the cell is ours, and this is not inside another `memory`.
        let lapped = unsafe {
            self.cell.memory(|memory| {
                memory.held_limbo = if found.is_none() { self.log.pool.limbo() } else { None };
                std::mem::take(&mut memory.lapped)
            })
        };

        // Foreign code from here on, with the cell at rest and nothing else in our hands.
        lapped.into_iter().for_each(drop_quietly);
        if let Some(block) = found {
            struct Return<'a, T: Send + Sync + 'static>(&'a Log<T>, &'a Block<T>);
            impl<T: Send + Sync + 'static> Drop for Return<'_, T> {
                fn drop(&mut self) {
                    self.0.pool.put(self.1);
                }
            }
            let block = Return(self.log, block);
            // SAFETY: it came out of the limbo to us alone, and no cell names it: whoever may name
            // it claimed before its eviction, which we come after.
            unsafe { block.1.empty() };
        }
    }
}

/// The body of `claim`, apart so that writer and pen can each lend for their own lifetime.
#[inline]
fn claim<'a, T: Send + Sync + 'static>(
    log: &'a Log<T>,
    cell: &'a Cell<T>,
    k: usize,
) -> Result<Claim<'a, T>, Refused> {
    // One always fits, and for one the check is gone at compile time.
    assert!(k == 1 || (k > 1 && k <= log.most_at_once()), "a claim is one, or at most a batch");
    let k = k as u64;
    // SAFETY: the cell is the caller's, lent by its one pen for the claim's life.
    let claimed = unsafe {
        cell.memory(|memory| {
            // ORDER(claim): Acquire; pairs with the RMW below, of other publishers. Carries what
            // they saw, above all the readers that had registered.
            let mut tail = log.tail.load(Ordering::Acquire);
            loop {
                let asked = if planted(Fault::LimitWithoutBatch) { 1 } else { k };
                let news = memory.registered != log.cursors.registered();
                // Flags make the tail larger than any limit, so that this finds them too.
                if tail + asked > memory.limit || (news && !planted(Fault::OldLimit)) {
                    admit(log, memory, tail, asked)?;
                }
                let number = tail >> log.shift;
                if number != memory.number || (tail + k - 1) >> log.shift != number {
                    prepare(log, memory, tail, k)?;
                }
                if !planted(Fault::SilentWriter) {
                    cell.announce(number);
                }
                // ORDER(claim, join, close): SeqCst, on failure Acquire; pairs with itself and with
                // `Log::join` and `Log::close`, and with `Reader::is_coming` in one order with the
                // readers' doorbells: the chain of RMWs on the tail. Carries the cell's
                // word to whoever evicts the block, whose claim comes later; and what a joiner or
                // closer did before.
                let order =
                    if planted(Fault::RelaxedClaim) { Ordering::Relaxed } else { Ordering::SeqCst };
                match log.tail.compare_exchange_weak(tail, tail + k, order, Ordering::Acquire) {
                    Ok(_) => {
                        if !planted(Fault::RelaxedClaim) {
                            claim_fence();
                        }
                        return Ok(tail);
                    }
                    Err(now) => tail = now,
                }
            }
        })
    };
    match claimed {
        Ok(first) => Ok(Claim { log, cell, first, k }),
        Err(refused) => {
            cell.rest();
            // SAFETY: as above, and the first `memory` is over.
            unsafe { cell.memory(|memory| give_spares_back(log, memory)) };
            Err(refused)
        }
    }
}

/// Finds out whether `k` places from `tail` on are allowed, and how far one may go.
#[cold]
fn admit<T: Send + Sync + 'static>(
    log: &Log<T>,
    memory: &mut Memory<T>,
    tail: u64,
    k: u64,
) -> Result<(), Refused> {
    if tail & CLOSED != 0 {
        return Err(Refused::Closed);
    }
    if tail & DISABLED != 0 {
        return Err(Refused::Disabled);
    }
    if tail + k > END {
        log.close();
        return Err(Refused::Closed);
    }
    // In this order: a reader that registers after the first line is found by the next claim.
    memory.registered = log.cursors.registered();
    memory.limit = log.cursors.limit().min(END);
    if tail + k > memory.limit { Err(Refused::Full) } else { Ok(()) }
}

/// Takes a spare block for each block that a claim of `k` places at `tail` would have to install:
/// after the claim there is no way back. If the claim succeeds, the tail has not moved, so what
/// was installed still is.
#[cold]
fn prepare<T: Send + Sync + 'static>(
    log: &Log<T>,
    memory: &mut Memory<T>,
    tail: u64,
    k: u64,
) -> Result<(), Refused> {
    let (first, last) = (tail >> log.shift, (tail + k - 1) >> log.shift);
    let missing = (first..=last).filter(|number| {
        *number != memory.number && matches!(log.directory.look(*number), Look::Ahead(_))
    });
    for _ in memory.spares.len()..missing.count() {
        let block = log.pool.get().ok_or(Refused::Full)?;
        memory.spares.push(block.index());
    }
    Ok(())
}

#[cold]
fn give_spares_back<T: Send + Sync + 'static>(log: &Log<T>, memory: &mut Memory<T>) {
    for index in memory.spares.drain(..) {
        log.pool.put(log.pool.arena().get(index));
    }
}

/// Places that the caller owns and has to commit.
#[derive(Debug)]
#[must_use = "readers wait for the places until they are committed"]
pub(crate) struct Claim<'a, T: Send + Sync + 'static> {
    pub(super) log: &'a Log<T>,
    pub(super) cell: &'a Cell<T>,
    pub(super) first: u64,
    pub(super) k: u64,
}

impl<'a, T: Send + Sync + 'static> Claim<'a, T> {
    /// The first position; the others follow.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.k as usize
    }

    /// Commits the only place with what `make` gives, which moves a message that exists, and
    /// nothing else.
    // Inlined, and in steps: the message goes straight to its place.
    #[inline(always)]
    pub(crate) fn commit(self, make: impl FnOnce() -> T) {
        debug_assert_eq!(self.k, 1);
        match self.block(self.first) {
            Some(block) => put(block, self.first, make),
            None => self.lapped(make()),
        }
        self.finish();
    }

    /// Commits all places with the first messages of `values`, as many as were claimed. The
    /// vector keeps its allocation and what is left.
    ///
    /// # Panics
    ///
    /// If there are fewer values than places, which then stay empty.
    #[inline]
    pub(crate) fn commit_all(self, values: &mut Vec<T>) {
        let count = self.len();
        self.commit_each(values.drain(..count));
    }

    /// Commits all places with as many values, of which there are enough: a place without one stays
    /// empty, and readers wait there. The iterator moves what exists, and nothing else.
    #[inline]
    pub(crate) fn commit_each(self, mut values: impl Iterator<Item = T>) {
        debug_assert!(values.size_hint().1.is_none_or(|most| most >= self.len()));
        let (first, shift) = (self.first, self.log.shift);
        let (mut position, end) = (first, first + self.k);
        while position < end {
            let here = end.min(((position >> shift) + 1) << shift) - position;
            let values = values.by_ref().take(here as usize);
            match self.block(position) {
                Some(block) => put_row(block, position, values),
                None => values.for_each(|value| self.lapped(value)),
            }
            position += here;
        }
        self.finish();
    }

    /// The block of a claimed position, remembered or looked up. None if the publisher was lapped
    /// before it had found it: then the place is its own all the same, and at once overwritten.
    /// Readers count it in their gap.
    #[inline(always)]
    fn block(&self, position: u64) -> Option<&'a Block<T>> {
        let number = position >> self.log.shift;
        // SAFETY: the cell is lent to this claim, and this is not inside another `memory`.
        let block = unsafe {
            self.cell.memory(|memory| {
                if number == memory.number { memory.block } else { find(self.log, memory, number) }
            })
        };
        // SAFETY: blocks are freed with the log, which the claim borrows.
        block.map(|block| unsafe { block.as_ref() })
    }

    /// Leaves the message of a place that was lapped to `reclaim`.
    #[cold]
    fn lapped(&self, message: T) {
        // SAFETY: as in `block`.
        unsafe { self.cell.memory(|memory| memory.lapped.push(message)) }
    }

    #[inline(always)]
    fn finish(self) {
        // SAFETY: as in `block`.
        unsafe {
            self.cell.memory(|memory| {
                if !memory.spares.is_empty() {
                    give_spares_back(self.log, memory);
                }
            });
        }
        self.cell.rest();
    }
}

#[cold]
fn find<T: Send + Sync + 'static>(
    log: &Log<T>,
    memory: &mut Memory<T>,
    number: u64,
) -> Option<NonNull<Block<T>>> {
    let block = NonNull::from(log.find(number, &mut memory.spares)?);
    memory.number = number;
    memory.block = Some(block);
    Some(block)
}

#[inline]
fn put<T>(block: &Block<T>, position: u64, make: impl FnOnce() -> T) {
    // SAFETY: the position was claimed by the caller and is committed once; the block is that of
    // the position's number, and the cell has named it since before the claim.
    unsafe { block.slot(position).write(position, make) };
    block.prefetch_behind(position);
}

/// The same for positions in a row, all in this block.
#[inline]
fn put_row<T>(block: &Block<T>, first: u64, values: impl Iterator<Item = T>) {
    let slots = block.slots_from(first);
    for (((position, slot), index), value) in (first..).zip(slots).zip(AHEAD..).zip(values) {
        // SAFETY: as in `put`, for each of the positions.
        unsafe { slot.write(position, || value) };
        if let Some(ahead) = slots.get(index) {
            prefetch::for_writing(ahead);
        }
    }
}
