//! The space bell, the doorbell's mirror: wakes senders that wait for room.
//!
//! Used by `Block` mailboxes and by required readers of the ring. Rung once a batch by whoever
//! frees places, and when a mailbox closes. A sender must never wait here while it holds a place.
//!
//! The argument is that of `signal`: a waiter registers, passes a fence and looks for room once
//! more; a receiver frees places, passes a fence and looks for waiters. All waiters are woken at
//! once and try again: one that was woken and then went away has taken nothing from the others.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use super::signal::wake_caught;
use crate::sync::atomic::{self, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Those who wait for room in one mailbox, or behind one reader.
#[derive(Debug)]
pub(crate) struct Space {
    /// How many are registered. Written under the lock, read by whoever frees places.
    waiters: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// The key of the next waiter.
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Space {
    pub(crate) fn new() -> Self {
        Self { waiters: AtomicUsize::new(0), list: Mutex::new(List::default()) }
    }

    /// Tells the waiters that places were freed, or that there is nothing to wait for any more.
    /// Call it after that is visible to a sender that looks.
    #[inline]
    pub(crate) fn freed(&self) {
        // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `register`. Between the store of
        // `head` (or the close) and the look below.
        atomic::fence(Ordering::SeqCst);
        // ORDER: Relaxed; the fence above makes the answer good enough.
        if self.waiters.load(Ordering::Relaxed) != 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let wakers = {
            let mut list = self.lock();
            let wakers = std::mem::take(&mut list.wakers);
            self.count(&list);
            wakers
        };
        for (_, waker) in wakers {
            wake_caught(waker);
        }
    }

    /// A place among the waiters, which is given up when it is dropped.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        Waiting { space: self, key: None }
    }

    /// Resolves when `ready` says so; looked at after every wake. Cancel safe.
    pub(crate) async fn wait(&self, mut ready: impl FnMut() -> bool) {
        let mut waiting = self.waiting();
        poll_fn(|cx| waiting.poll(cx, &mut ready)).await;
    }

    /// How many wait, for tests.
    #[cfg(test)]
    pub(crate) fn waiting_now(&self) -> usize {
        self.lock().wakers.len()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, list: &List) {
        // ORDER: Relaxed; the waiter's fence comes after it, and the lock orders the writers.
        self.waiters.store(list.wakers.len(), Ordering::Relaxed);
    }
}

/// One waiter's registration.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    space: &'a Space,
    key: Option<u64>,
}

impl Waiting<'_> {
    /// Ready if `ready` says so; else `cx` is woken when places were freed after this call's last
    /// look.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if ready() {
            return Poll::Ready(());
        }
        self.register(cx.waker());
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Registers `waker`, or replaces the one of an earlier call. The caller looks for room once
    /// more afterwards, and only then sleeps.
    pub(crate) fn register(&mut self, waker: &Waker) {
        // Cloning and dropping a waker is foreign code: not under the lock.
        let fresh = waker.clone();
        let old = {
            let mut list = self.space.lock();
            let found = self.key.and_then(|key| list.wakers.iter().position(|w| w.0 == key));
            let old = match found {
                Some(at) => Some(std::mem::replace(&mut list.wakers[at].1, fresh)),
                None => {
                    let key = list.next;
                    list.next += 1;
                    list.wakers.push((key, fresh));
                    self.key = Some(key);
                    None
                }
            };
            self.space.count(&list);
            old
        };
        drop(old);
        // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `freed`. Between the count above
        // and the caller's look for room.
        atomic::fence(Ordering::SeqCst);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let gone = {
            let mut list = self.space.lock();
            let at = list.wakers.iter().position(|w| w.0 == key);
            let gone = at.map(|at| list.wakers.swap_remove(at));
            self.space.count(&list);
            gone
        };
        drop(gone);
    }
}
