//! loom's models of the ring: every interleaving of two or three threads, within a bound of
//! preemptions, over rings of two blocks with one or two slots.
//!
//! Numbers begin where they wrap: pool tags at `u32::MAX`, block numbers at 2^48. A message keeps
//! its value in a cell of loom's, so that a read beside a write or a drop is an error even where
//! the value would come out right; it counts its drops. What a model does not cover is said there;
//! larger interleavings are left to `stress`.
#![allow(unsafe_code)]

mod limits;

use std::sync::Arc as Count;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::faults::{Fault, plant};
use super::log::{Entered, Shape};
use super::*;
use crate::sync::{Arc, UnsafeCell, thread};

/// A number that loom watches.
struct Watched {
    value: UnsafeCell<u64>,
    drops: Count<AtomicUsize>,
    /// What to do when dropped.
    last_words: Option<Arc<Log<Watched>>>,
}

// SAFETY: written where it is made and dropped only; that nobody reads it then is what the models
// are to show, and loom checks it at each access.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl Watched {
    fn read(&self) -> u64 {
        self.value.with(|value| {
            // SAFETY: a live value; loom reports a concurrent write.
            unsafe { *value }
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.value.with_mut(|value| {
            // SAFETY: the value is being dropped; loom reports a concurrent read.
            unsafe { *value = u64::MAX }
        });
        self.drops.fetch_add(1, Relaxed);
        if let Some(log) = self.last_words.take() {
            log.with_writer(|pen| {
                let claim = pen.claim(1).unwrap();
                let value = claim.first();
                claim.commit(|| Watched {
                    value: UnsafeCell::new(value),
                    drops: self.drops.clone(),
                    last_words: None,
                });
                pen.reclaim();
            });
        }
    }
}

/// One ring, and how many of its messages died.
#[derive(Clone)]
struct Model {
    log: Arc<Log<Watched>>,
    drops: Count<AtomicUsize>,
}

impl Model {
    fn new(block: usize, blocks: usize, start: u64) -> Self {
        let shape = Shape { block, blocks, most: 10, tag: u32::MAX };
        Self { log: Log::with_shape(shape, start), drops: Count::default() }
    }

    /// One slot a block, two blocks, and their numbers about to wrap.
    fn narrow() -> Self {
        Self::new(1, 2, (1 << 48) - 1)
    }

    /// Two slots a block, two blocks, from the last slot of the last block number.
    fn wide() -> Self {
        Self::new(2, 2, (1 << 49) - 1)
    }

    /// A message whose value is its position, so that reader and writer must agree.
    fn message(&self, position: u64) -> Watched {
        let drops = self.drops.clone();
        Watched { value: UnsafeCell::new(position), drops, last_words: None }
    }

    fn publish(&self, writer: &mut Writer<Watched>) {
        let claim = writer.claim(1).unwrap();
        let value = self.message(claim.first());
        claim.commit(|| value);
        writer.reclaim();
    }

    fn publish_batch(&self, writer: &mut Writer<Watched>, k: u64) -> Result<(), Refused> {
        let claim = writer.claim(k as usize)?;
        let first = claim.first();
        claim.commit_all(&mut (first..first + k).map(|at| self.message(at)).collect());
        writer.reclaim();
        Ok(())
    }

    fn publish_borrowed(&self) {
        self.log.with_writer(|pen| {
            let claim = pen.claim(1).unwrap();
            let value = self.message(claim.first());
            claim.commit(|| value);
            pen.reclaim();
        });
    }

    fn spawn(&self, f: impl FnOnce(Model) + Send + 'static) -> thread::JoinHandle<()> {
        let model = self.clone();
        thread::spawn(move || f(model))
    }

    /// Reads what is there until `Empty` or `Closed`: how many were seen, and how many lost.
    fn read(&self, reader: &mut Reader<Watched>) -> (u64, u64) {
        let (mut seen, mut lost) = (0, 0);
        loop {
            match reader.next() {
                Next::Item(position, message) => {
                    assert_eq!(message.read(), position);
                    reader.advance();
                    seen += 1;
                }
                Next::Gap { from, to } => lost += to - from + 1,
                Next::Empty | Next::Closed => return (seen, lost),
            }
        }
    }

    /// When all threads are done: a reader accounts for each of `published`, every block is in one
    /// place, and every message dies once.
    fn check(self, published: u64) {
        assert_eq!(self.log.tail() - self.log.start(), published);
        let mut reader = Log::reader(&self.log, self.log.start());
        let (seen, lost) = self.read(&mut reader);
        assert_eq!(seen + lost, published);
        drop(reader);
        let made = self.log.pool.arena().len() as usize;
        let (free, limbo) = self.log.pool.census();
        let installed = (self.log.slots() as u64 >> self.log.shift).min(
            ((self.log.tail() - 1) >> self.log.shift) + 1 - (self.log.start() >> self.log.shift),
        ) as usize;
        assert_eq!(free + limbo + installed, made, "{free} free, {limbo} in limbo");
        drop(self.log);
        assert_eq!(self.drops.load(Relaxed) as u64, published);
    }
}

/// L1, L3, two installers: two publishers find the same block missing, one puts it in, the other
/// keeps its spare. A reader meanwhile sees nothing, or the first message, or both in order;
/// never the second without the first.
#[test]
fn two_publishers_install_one_block() {
    loom::model(|| {
        let model = Model::new(2, 2, 1 << 49);
        let start = model.log.start();
        let publishers =
            [(); 2].map(|()| model.spawn(|model| model.publish(&mut Log::writer(&model.log))));
        let mut reader = Log::reader(&model.log, start);
        let (seen, lost) = model.read(&mut reader);
        assert!(seen <= 2 && lost == 0 && reader.position() == start + seen);
        drop(reader);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        model.check(2);
    });
}

/// A receiver makes a block ahead while a publisher takes what is free or makes its own, comes round,
/// evicts the first block and gives it back: no block is lost, and none is in two places.
#[test]
fn a_receiver_stocks_a_block_beside_a_publisher() {
    loom::model(|| {
        let model = Model::narrow();
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        let receiver = model.spawn(|model| model.log.stock());
        model.publish(&mut writer);
        model.publish(&mut writer);
        receiver.join().unwrap();
        drop(writer);
        assert!(model.log.pool.arena().len() <= 4);
        model.check(3);
    });
}

fn transient_reader() {
    loom::model(|| {
        let model = Model::narrow();
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        model.publish(&mut writer);
        let visitor = model.spawn(|model| {
            // No more than counted in and out: what a reader does that comes too late.
            if let Entered::Block(block) = model.log.enter(model.log.start()) {
                model.log.leave(block);
            }
        });
        model.publish(&mut writer);
        visitor.join().unwrap();
        drop(writer);
        model.check(3);
    });
}

/// An evicting publisher and a reader that comes and goes both see the block empty: one of them
/// recycles it.
#[test]
fn evictor_and_transient_reader_recycle_once() {
    transient_reader();
}

/// The same without the CAS: the block comes to limbo twice, which would make a circle of the list.
#[test]
#[should_panic(expected = "a block is recycled twice")]
fn recycling_without_the_cas_is_found() {
    plant(Fault::RecycleWithoutCas);
    transient_reader();
}

fn stalled_writer() {
    loom::model(|| {
        let model = Model::narrow();
        let stalled = model.spawn(|model| model.publish(&mut Log::writer(&model.log)));
        let mut writer = Log::writer(&model.log);
        (0..3).for_each(|_| model.publish(&mut writer));
        stalled.join().unwrap();
        drop(writer);
        model.check(4);
    });
}

/// A publisher is lapped at any point between its claim and its write, its cell being in the list
/// for the first time: its block is not emptied before it is done; its place stays its own, is
/// counted by the reader, and its message dies once.
#[test]
fn a_lapped_writer_keeps_its_place_and_its_block() {
    stalled_writer();
}

/// The same without the word in the cell: the write meets the next lap's.
#[test]
#[should_panic(expected = "Concurrent write accesses")]
fn a_writer_that_does_not_announce_itself_is_found() {
    plant(Fault::SilentWriter);
    stalled_writer();
}

fn stalled_batch() {
    let mut builder = loom::model::Builder::new();
    // One preemption is enough to stall between claim and write.
    builder.preemption_bound = Some(1);
    builder.check(|| {
        let model = Model::wide();
        let mut writer = Log::writer(&model.log);
        let claim = writer.claim(2).unwrap();
        let first = claim.first();
        let evicting = model.spawn(|model| {
            let mut writer = Log::writer(&model.log);
            (0..3).for_each(|_| model.publish_batch(&mut writer, 2).unwrap());
        });
        claim.commit_all(&mut vec![model.message(first), model.message(first + 1)]);
        writer.reclaim();
        evicting.join().unwrap();
        drop(writer);
        model.check(8);
    });
}

/// As above with a batch over the boundary of two blocks: the one word in the cell keeps both.
/// Left to `stress`: a claim that meets others, and an
/// evictor that is interrupted as well.
#[test]
fn a_batch_over_a_boundary_is_protected_in_both_blocks() {
    stalled_batch();
}

/// The same, the cell speaking for the first block only.
#[test]
#[should_panic(expected = "Concurrent write accesses")]
fn a_cell_that_names_one_block_only_is_found() {
    plant(Fault::NameOneBlock);
    stalled_batch();
}

fn guest_writer() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(1);
    builder.check(|| {
        let model = Model::new(2, 2, (1 << 49) - 2);
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        let mut guest = Log::writer(&model.log);
        let guest = model.spawn(move |model| {
            let claim = guest.claim(1).unwrap();
            let value = model.message(claim.first());
            claim.commit(|| value);
        });
        (0..3).for_each(|_| model.publish_batch(&mut writer, 2).unwrap());
        guest.join().unwrap();
        drop(writer);
        model.check(8);
    });
}

/// A publisher stalls in a block that another one had installed, so that nothing but the chain of
/// claims tells the evictor of its cell. The block waits for it all the same.
#[test]
fn a_writer_is_safe_in_a_block_that_another_installed() {
    guest_writer();
}

/// The same with claims that carry nothing.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_claim_that_carries_nothing_is_found() {
    plant(Fault::RelaxedClaim);
    guest_writer();
}

fn entering_reader() {
    loom::model(|| {
        let model = Model::narrow();
        let start = model.log.start();
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        model.publish(&mut writer);
        let reading = model.spawn(move |model| {
            let mut reader = Log::reader(&model.log, start);
            match reader.next() {
                Next::Item(position, message) => {
                    assert_eq!((position, message.read()), (start, start));
                }
                Next::Gap { from, .. } => assert_eq!(from, start),
                Next::Empty | Next::Closed => panic!("something was published"),
            }
        });
        model.publish(&mut writer);
        model.publish(&mut writer);
        reading.join().unwrap();
        drop(writer);
        model.check(4);
    });
}

/// L9: a reader enters a block that is evicted, emptied and used again meanwhile. It gets the
/// message that belongs to its position, whole and for as long as it holds it, or a gap that
/// begins there.
#[test]
fn a_reader_enters_while_the_block_is_evicted_and_used_again() {
    entering_reader();
}

/// The same, the reader not looking at the directory again after it was counted.
#[test]
#[should_panic(expected = "something was published")]
fn entering_without_a_second_look_is_found() {
    plant(Fault::EnterWithoutLook);
    entering_reader();
}

/// L7, L12: a claim is either before the close, then it is in the final tail and is read before
/// the end, or it is refused.
#[test]
fn no_claim_succeeds_after_the_close() {
    loom::model(|| {
        let model = Model::narrow();
        let publisher = model.spawn(|model| {
            let mut writer = Log::writer(&model.log);
            for _ in 0..2 {
                match model.publish_batch(&mut writer, 1) {
                    Ok(()) => {}
                    Err(refused) => return assert_eq!(refused, Refused::Closed),
                }
            }
        });
        let end = model.log.close();
        publisher.join().unwrap();
        assert_eq!(model.log.tail(), end);
        let mut reader = Log::reader(&model.log, end);
        assert!(matches!(reader.next(), Next::Closed));
        drop(reader);
        let published = end - model.log.start();
        assert!(published <= 2);
        model.check(published);
    });
}

/// Two threads want the first cell for each publish: each gets it when it is free, else another,
/// and what the cell remembers goes from one to the other.
#[test]
fn a_cell_is_returned_and_borrowed_again() {
    loom::model(|| {
        let model = Model::narrow();
        let other = model.spawn(|model| model.publish_borrowed());
        model.publish_borrowed();
        model.publish_borrowed();
        other.join().unwrap();
        model.check(3);
    });
}

/// A message publishes when its block is emptied, while another publisher goes on: the nested
/// publish has a cell of its own and empties nothing itself.
#[test]
fn a_message_publishes_from_its_drop_during_eviction() {
    loom::model(|| {
        let model = Model::narrow();
        let mut writer = Log::writer(&model.log);
        let claim = writer.claim(1).unwrap();
        let mut first = model.message(claim.first());
        first.last_words = Some(model.log.clone());
        claim.commit(|| first);
        model.publish(&mut writer);
        let other = model.spawn(|model| model.publish_borrowed());
        model.publish(&mut writer);
        other.join().unwrap();
        // Whoever was in the way has gone; the block may have been left in limbo for that.
        writer.pen().reclaim_some();
        drop(writer);
        model.check(5);
    });
}

/// Counts that were added at once are given up one by one and as a rest, on two threads: the
/// value is read before it dies, and dies once.
#[test]
fn shares_and_drops_free_the_value_once() {
    loom::model(|| {
        let drops = Count::new(AtomicUsize::new(0));
        let value = UnsafeCell::new(7);
        let shared = Shared::new(Watched { value, drops: drops.clone(), last_words: None });
        let mut shares = shared.shares(3);
        let (first, second) = (shares.next().unwrap(), shares.next().unwrap());
        let threads = [
            thread::spawn(move || {
                assert_eq!(first.read(), 7);
                drop(shares);
                assert_eq!(first.clone().read(), 7);
            }),
            thread::spawn(move || assert_eq!(second.read(), 7)),
        ];
        assert_eq!(shared.read(), 7);
        drop(shared);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(Relaxed), 1);
    });
}
