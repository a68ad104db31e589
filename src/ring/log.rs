//! The shared ring: one total order of messages, written by many, borrowed by many.
//!
//! Called by `bus` through `Writer`, `Borrowed`, `Pen` and `Reader`. It never waits, never tells anybody that
//! there is something to read, and runs no foreign code but in `reclaim`.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::arena::MOST_BLOCKS;
use super::block::Block;
use super::cell::Cells;
use super::cursors::Cursors;
use super::directory::{Directory, Look};
use super::faults::{Fault, planted};
use super::pool::Pool;
use super::reader::{Overrun, Reader};
use super::writer::{Borrowed, Pen, Writer};
use crate::Sequence;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, CachePadded};

/// Flag of the tail: no claim succeeds any more.
pub(super) const CLOSED: u64 = 1 << 63;
/// Flag of the tail: publishers touch nothing for now.
pub(super) const DISABLED: u64 = 1 << 62;
const FLAGS: u64 = CLOSED | DISABLED;
/// The tail never gets beyond this, so that it is not taken for a flag: the last sequence that is
/// ever given out is one less than this.
pub(super) const END: u64 = Sequence::LIMIT - 1;

/// Slots in a block of a ring that is large enough.
const BLOCK: usize = 256;
/// A larger ring gets larger blocks instead of more of them.
const MOST_IN_DIRECTORY: usize = 4096;
/// The longest batch that is claimed at once.
const BATCH: usize = 64;

/// The measures of a ring, all but the last two powers of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// `S`, slots in a block.
    pub(super) block: usize,
    /// `K`, blocks in the directory, at least 2.
    pub(super) blocks: usize,
    /// How many blocks there may be in all.
    pub(super) most: u32,
    /// Where the pool's tags begin.
    pub(super) tag: u32,
}

impl Shape {
    fn of(slots: usize) -> Self {
        let slots = slots.max(8).checked_next_power_of_two().expect("a ring that fits in memory");
        let block = if slots < 4 * BLOCK { slots / 4 } else { BLOCK };
        let block = block.max(slots / MOST_IN_DIRECTORY);
        Self { block, blocks: slots / block, most: MOST_BLOCKS, tag: 0 }
    }
}

/// The ring. Publishers, readers and running actors hold it by `Arc`: nothing is freed while a
/// message is lent.
#[derive(Debug)]
pub(crate) struct Log<T> {
    /// The next position to be claimed, and the flags. Written by each claim.
    pub(super) tail: CachePadded<AtomicU64>,
    /// Everything from here on is read-mostly, or padded inside.
    pub(super) directory: Directory,
    pub(super) shift: u32,
    shape: Shape,
    start: u64,
    /// Set once the tail says closed: a reader that finds nothing looks here, because each look at
    /// the tail takes its line from the publishers.
    closing: AtomicBool,
    pub(super) cursors: Cursors,
    pub(super) cells: Cells<T>,
    pub(super) pool: Pool<T>,
    /// Hides the automatic `Send` and `Sync`, which the pointers inside do not earn.
    marker: PhantomData<*mut T>,
}

// SAFETY: what crosses threads are messages, moved in by one thread, dropped by another (`Send`)
// and borrowed by several at a time (`Sync`). Everything else is atomic, or belongs to the one
// thread that has the cell.
unsafe impl<T: Send + Sync> Send for Log<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Log<T> {}

impl<T: Send + Sync + 'static> Log<T> {
    /// A ring of `slots` slots, rounded up to a power of two and at least 8, whose first message
    /// will be number `start`.
    ///
    /// # Panics
    ///
    /// If `start` is 0 or not below [`Sequence::LIMIT`].
    pub(crate) fn new(slots: usize, start: u64) -> Arc<Self> {
        Self::with_shape(Shape::of(slots), start)
    }

    pub(super) fn with_shape(shape: Shape, start: u64) -> Arc<Self> {
        assert!(shape.block.is_power_of_two() && shape.blocks.is_power_of_two());
        assert!(shape.blocks >= 2, "a ring of one block would evict what it is writing");
        assert!((1..=END).contains(&start), "a sequence is from 1 and below 2^62");
        let shift = shape.block.ilog2();
        Arc::new(Self {
            tail: CachePadded::new(AtomicU64::new(start)),
            directory: Directory::new(shape.blocks, start >> shift),
            shift,
            shape,
            start,
            closing: AtomicBool::new(false),
            cursors: Cursors::new(),
            cells: Cells::new(),
            pool: Pool::new(shape.block, shape.most, shape.tag),
            marker: PhantomData,
        })
    }

    /// The least number of slots of a ring that has the newest `count` messages at any moment: also
    /// for a reader that was overrun and begins where nothing is about to be evicted.
    pub(crate) fn slots_for(count: usize) -> usize {
        let holds = |slots| {
            let Shape { block, blocks, .. } = Shape::of(slots);
            block * (blocks - 2) >= count
        };
        let mut slots = 8;
        while !holds(slots) {
            slots *= 2;
        }
        slots
    }

    /// How many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.shape.block * self.shape.blocks
    }

    /// How far a required reader may be behind, and how many of the newest messages are sure to
    /// be there: one block less than the slots.
    pub(crate) fn capacity(&self) -> usize {
        self.shape.block * (self.shape.blocks - 1)
    }

    /// The longest batch that can be claimed at once now: bounded by 64, by the block, and by the
    /// smallest window of a required reader.
    pub(crate) fn largest_claim(&self) -> usize {
        usize::try_from(self.cursors.window()).unwrap_or(usize::MAX).min(self.most_at_once())
    }

    pub(super) fn most_at_once(&self) -> usize {
        BATCH.min(self.shape.block)
    }

    /// The next position to be claimed: everything below was.
    pub(crate) fn tail(&self) -> u64 {
        // ORDER(claim): Acquire; pairs with ORDER(claim) in `Pen::claim`. Carries what the
        // claimers did before.
        self.tail.load(Ordering::Acquire) & !FLAGS
    }

    /// The first position that ever could be claimed.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Whether required readers leave room for `k` more, or nothing can be claimed any more: what
    /// a publisher that was refused waits for.
    pub(crate) fn has_room(&self, k: usize) -> bool {
        self.is_closed() || self.cursors.reach(self.tail() + k as u64)
    }

    /// The smallest window of a required reader; `u64::MAX` without any.
    pub(crate) fn smallest_window(&self) -> u64 {
        self.cursors.window()
    }

    /// Whether required readers leave room for half of the smallest window among them.
    pub(crate) fn is_half_free(&self) -> bool {
        self.cursors.reach(self.tail().saturating_add(self.smallest_window().div_ceil(2)))
    }

    /// The first position that some required reader, all of which have this window, has not told
    /// that it has read or has in hand; `None` without one.
    pub(crate) fn read_by_all(&self, window: usize) -> Option<u64> {
        Some(self.cursors.some_limit()?.saturating_sub(self.window(window)))
    }

    /// Makes the block that will be needed next, unless there is one, or all that a lap needs were
    /// made: for receivers that find nothing to do. Else a publisher has to, and waits for fresh memory
    /// with a message in hand. Nothing is made before the first message. Receivers that look at the
    /// same moment may make one each.
    pub(crate) fn stock(&self) {
        // A new block is taken before an old one is evicted: a lap needs one more than there are places.
        self.pool.stock(self.shape.blocks as u32 + 1);
    }

    /// Lets no claim succeed any more and says where the ring ends. Idempotent.
    pub(crate) fn close(&self) -> u64 {
        // ORDER(close): AcqRel; pairs with ORDER(close) in `is_closed`, and with ORDER(claim): a
        // claim is either before, then it is in the result, or it fails. Carries what the closer
        // did before.
        let tail = self.tail.fetch_or(CLOSED, Ordering::AcqRel) & !FLAGS;
        // ORDER(closing): Release; pairs with ORDER(closing) in `is_closing`. Carries the flag in
        // the tail.
        self.closing.store(true, Ordering::Release);
        tail
    }

    /// Whether it is worth looking at the tail for the flag of `close`.
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        // ORDER(closing): Acquire; pairs with ORDER(closing) in `close`. Carries the flag in the
        // tail.
        self.closing.load(Ordering::Acquire)
    }

    /// Whether `close` was called.
    pub(crate) fn is_closed(&self) -> bool {
        // ORDER(close): Acquire; pairs with ORDER(close) in `close`. Carries what the closer did.
        self.tail.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Turns publishing off, so that claims are refused as `Disabled`, or on again.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        // ORDER(claim): AcqRel; one more RMW in the chain of ORDER(claim) in `Pen::claim`. Carries
        // nothing.
        if enabled {
            self.tail.fetch_and(!DISABLED, Ordering::AcqRel);
        } else {
            self.tail.fetch_or(DISABLED, Ordering::AcqRel);
        }
    }

    /// Whether publishing is on.
    pub(crate) fn is_enabled(&self) -> bool {
        // ORDER: Relaxed; whoever acts on it finds out by its claim.
        self.tail.load(Ordering::Relaxed) & DISABLED == 0
    }

    /// The tail, by an RMW that changes nothing. Whoever claims later sees all that the caller did
    /// before; whoever claimed earlier is counted in the result, and the caller sees all that it
    /// did before.
    pub(crate) fn join(&self) -> u64 {
        // ORDER(join): AcqRel; pairs with ORDER(join) in `Pen::claim`. Carries what the joiner, or
        // the claimer, did before.
        self.tail.fetch_or(0, Ordering::AcqRel) & !FLAGS
    }

    /// A writer with a cell of its own, which it gives back when dropped.
    pub(crate) fn writer(log: &Arc<Self>) -> Writer<T> {
        Writer::new(Arc::clone(log))
    }

    /// Lends a free cell: for publishers that are many or short-lived.
    #[inline]
    pub(crate) fn borrow_cell(&self) -> Borrowed<'_, T> {
        Borrowed::new(self)
    }

    /// Borrows one for the call. A panic in `f` gives it back too.
    #[inline]
    pub(crate) fn with_writer<R>(&self, f: impl FnOnce(&mut Pen<'_, T>) -> R) -> R {
        f(&mut self.borrow_cell().pen())
    }

    /// A lossy reader whose next position is `from`. Where that is no longer held, or was never in
    /// this ring, the reader begins with a gap.
    pub(crate) fn reader(log: &Arc<Self>, from: u64) -> Reader<T> {
        Reader::lossy(Arc::clone(log), from)
    }

    /// A reader from the current tail on that publishers must not overrun: they do not get more
    /// than `window` ahead of it, at least 1 and at most [`Log::capacity`]. (One claim that was
    /// under way meanwhile may be longer than a window smaller than it.) The caller wakes waiting
    /// publishers once: a claim may have been refused by the reader's first, lower limit.
    pub(crate) fn required(log: &Arc<Self>, window: usize) -> Reader<T> {
        Reader::required(Arc::clone(log), window)
    }

    /// As [`Log::required`], but from the earlier position `from`, so that publishers are refused
    /// until it has come within `window` of the tail.
    ///
    /// # Errors
    ///
    /// If `from` is no longer held, or is about to be evicted.
    pub(crate) fn required_from(
        log: &Arc<Self>,
        from: u64,
        window: usize,
    ) -> Result<Reader<T>, Overrun> {
        Reader::required_from(Arc::clone(log), from, window)
    }

    /// A window as this ring can keep it.
    pub(super) fn window(&self, asked: usize) -> u64 {
        asked.clamp(1, self.capacity()) as u64
    }

    /// The first position whose block stays when so many more blocks are installed.
    fn oldest_after(&self, blocks: u64) -> u64 {
        let last = self.tail().saturating_sub(1) >> self.shift;
        let block = (last + 1 + blocks).saturating_sub(self.shape.blocks as u64);
        (block << self.shift).max(self.start)
    }

    /// The first position whose block stays when the next block is installed.
    pub(super) fn oldest_safe(&self) -> u64 {
        self.oldest_after(1)
    }

    /// Where a reader goes on that was overrun: at the same, or sooner, if a required reader has not
    /// read that far. The block where that one is stays until it has. So all that is passed over was
    /// read by the required readers, and whoever keeps it, as a journal does, has it.
    pub(super) fn oldest_unread(&self) -> u64 {
        if planted(Fault::PastUnread) {
            return self.oldest_safe();
        }
        self.oldest_safe().min(self.cursors.unread()).max(self.oldest_after(0))
    }

    /// Whether a required reader that has registered at `tail` finds `from` for sure.
    pub(super) fn still_held(&self, from: u64, tail: u64) -> bool {
        // A claim under way, made without knowing of the reader, may come on top of the tail.
        let claimed = tail + self.most_at_once() as u64;
        let end = ((from >> self.shift) + self.shape.blocks as u64) << self.shift;
        from >= self.start && claimed <= end
    }
}

/// How a reader got into a block, or why not.
pub(super) enum Entered<'a, T> {
    /// The reader counts in the block and has to leave it.
    Block(&'a Block<T>),
    /// Nobody has installed the block yet.
    Ahead,
    /// The directory has moved past it.
    Gone,
}

impl<T> Log<T> {
    /// Counts a reader in at block `number`.
    pub(super) fn enter(&self, number: u64) -> Entered<'_, T> {
        loop {
            let entry = match self.directory.look(number) {
                Look::Here(entry) => entry,
                Look::Ahead(_) => return Entered::Ahead,
                Look::Gone => return Entered::Gone,
            };
            let Some(index) = entry.index() else { return Entered::Ahead };
            let block = self.pool.arena().get(index);
            block.enter();
            // If the block was retired before we were counted, we have seen that with the count,
            // and see the changed entry here.
            if self.directory.look(number) == Look::Here(entry) || planted(Fault::EnterWithoutLook)
            {
                return Entered::Block(block);
            }
            self.leave(block);
        }
    }

    /// A reader leaves a block that it had entered.
    pub(super) fn leave(&self, block: &Block<T>) {
        if block.leave() {
            self.pool.retire(block);
        }
    }

    /// Block `number` for a publisher whose cell names it, installing it if nobody has. None when
    /// the publisher was lapped.
    ///
    /// `spares` holds a block for each one that the publisher saw missing before its claim.
    #[cold]
    pub(super) fn find(&self, number: u64, spares: &mut Vec<u32>) -> Option<&Block<T>> {
        loop {
            let old = match self.directory.look(number) {
                Look::Here(entry) => {
                    return entry.index().map(|index| self.pool.arena().get(index));
                }
                Look::Gone => return None,
                Look::Ahead(entry) => entry,
            };
            let spare = spares.last().copied().expect("taken before the claim");
            let block = self.pool.arena().get(spare);
            block.install(number);
            if !self.directory.replace(number, old, spare) {
                block.uninstall();
                continue;
            }
            spares.pop();
            block.prefetch_first();
            if let Some(index) = old.index() {
                let evicted = self.pool.arena().get(index);
                if evicted.retire() {
                    self.pool.retire(evicted);
                }
            }
            return Some(block);
        }
    }
}
