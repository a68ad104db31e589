//! The model's stand-in for `crossbeam::queue::SegQueue`, which loom cannot see. Used by
//! `queue.rs` under `--cfg ringpost_loom` only; it must promise no more than the real queue.
//!
//! Like the real one it claims an index by an RMW, writes, and marks the slot; a pop that
//! claimed a slot waits for its mark. Unlike it, every index access is Relaxed (the real one's
//! are SeqCst or Acquire), so that no protocol can lean on the queue for its fences. Values
//! stand in a lock that loom does not see: only the slot's mark hands them over.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread;
use std::sync::Mutex;

/// More pushes than any model makes.
const SLOTS: usize = 4;

#[derive(Debug)]
struct Slot<T> {
    written: AtomicUsize,
    value: Mutex<Option<T>>,
}

#[derive(Debug)]
pub(super) struct SegQueue<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: [Slot<T>; SLOTS],
}

impl<T> SegQueue<T> {
    pub(super) fn new() -> Self {
        let slots =
            std::array::from_fn(|_| Slot { written: AtomicUsize::new(0), value: Mutex::new(None) });
        Self { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), slots }
    }

    pub(super) fn push(&self, item: T) {
        // ORDER: Relaxed; the slot's mark hands the value over, not the index.
        let slot = &self.slots[self.tail.fetch_add(1, Relaxed)];
        *slot.value.try_lock().expect("a slot has one writer") = Some(item);
        // ORDER(standin): Release; pairs with ORDER(standin) in `pop`. Carries the value.
        slot.written.store(1, Release);
    }

    pub(super) fn pop(&self) -> Option<T> {
        // ORDER: Relaxed; a stale index fails the exchange or makes the queue look empty.
        let mut head = self.head.load(Relaxed);
        loop {
            // ORDER: Relaxed; as above.
            if head >= self.tail.load(Relaxed) {
                return None;
            }
            // ORDER: Relaxed; the slot's mark hands the value over.
            match self.head.compare_exchange(head, head + 1, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        let slot = &self.slots[head];
        // ORDER(standin): Acquire; pairs with ORDER(standin) in `push`. Carries the value.
        while slot.written.load(Acquire) == 0 {
            thread::yield_now();
        }
        slot.value.try_lock().expect("a slot has one reader").take()
    }

    pub(super) fn is_empty(&self) -> bool {
        // ORDER: Relaxed; who sleeps on this answer fenced before it.
        self.head.load(Relaxed) >= self.tail.load(Relaxed)
    }
}

/// Nobody is known to wait for this thread.
pub(crate) fn is_wanted() -> bool {
    false
}

/// This thread searches for nothing.
pub(crate) fn search(_came: impl FnMut() -> bool) -> bool {
    false
}
