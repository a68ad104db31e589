//! The space bell, the doorbell's mirror: wakes senders that wait for room.
//!
//! Used by `Block` mailboxes and by required readers of the ring. Rung once a batch by whoever
//! frees places, and when a mailbox closes. A sender must never wait here while it holds a place.
//!
//! The argument is that of `signal`: a waiter registers, passes a fence and looks for room once
//! more; a receiver frees places, passes a fence and looks for waiters. Whoever is woken is taken
//! off the list together with all others of its kind and tries again: one that was woken and then
//! went away has taken nothing from the others.
//!
//! # Who is woken when
//!
//! A wake costs about 10 us, a hundred times what a message costs. A receiver that woke its sender
//! for each batch of freed places would run at the pace of the wakes. So there are two kinds:
//!
//! - A **patient** waiter has a clock of its own (`looks`): it looks again after 1 ms, 2, 4, 8 and
//!   then every 16 ms. From 1,024 places on it is woken only when it is worth it: at least half of
//!   them are free, or nothing is left to take. The first is asked of the level, not of how many places were freed
//!   since, so that it holds whoever fills and frees meanwhile: from half on every batch wakes. The
//!   second is for places that are claimed and not filled yet: they count as used, but the receiver
//!   cannot take them, and may sleep before their sender goes on. So a receiver that takes until it
//!   finds nothing always wakes with its last batch at the latest. One that stops before, or whose
//!   handler is slow, wakes nobody; then the clock finds the room.
//! - An **eager** waiter has no clock: `Addr::send_async` on a bare mailbox, which needs no runtime
//!   and no thread, and whoever blocks on a small mailbox, where a clock is only cost. It is woken for every freed batch. Less would not be live: a receiver that takes
//!   one of 64 messages and then nothing for an hour has made room, and nobody else would tell.
//!
//! Measured by `benches/compare` (`--only fan-out fan-in --rounds 3`) on 2 cores, medians, messages a second before and after, 1,024 places: 1 to
//! 16 by ring readers on workers, one by one 2.2 M and 4.5 M, in batches of 64 1.9 M and 5.0 M; two
//! publishers to one mailbox on workers 4.1 M and 10.1 M. Own mailboxes of 16 receivers on workers
//! gain nothing. With 64 places the same rule lost: hence the bound.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use super::signal::wake_caught;
use crate::sync::atomic::{self, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// From how many places on a patient waiter is woken for half of them only. While a sender wakes up
/// its receiver takes a few hundred messages: from a smaller mailbox it would run dry.
#[cfg(not(ringpost_loom))]
const LARGE: u64 = 1024;
/// The models are of the rule.
#[cfg(ringpost_loom)]
const LARGE: u64 = 3;

/// Whether every freed batch among so many places is worth a wake.
pub(crate) fn is_small(places: u64) -> bool {
    places < LARGE
}

/// Those who wait for room in one mailbox, or behind one reader.
#[derive(Debug)]
pub(crate) struct Space {
    /// Whether somebody is registered, and of what kind: `NOBODY`, `PATIENT` or `EAGER`. Written
    /// under the lock, read by whoever frees places.
    waiters: AtomicUsize,
    list: Mutex<List>,
}

const NOBODY: usize = 0;
/// All who wait look again by themselves.
const PATIENT: usize = 1;
/// Somebody relies on being woken.
const EAGER: usize = 2;

#[derive(Debug, Default)]
struct List {
    /// The key of the next waiter.
    next: u64,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    patient: bool,
    waker: Waker,
}

impl Space {
    pub(crate) fn new() -> Self {
        Self { waiters: AtomicUsize::new(NOBODY), list: Mutex::new(List::default()) }
    }

    /// Wakes all waiters: there is nothing to wait for any more, or who is in the way has changed.
    /// Call it after that is visible to a sender that looks.
    pub(crate) fn changed(&self) {
        self.freed(|| true);
    }

    /// Tells the waiters that places were freed: the eager ones always, the patient ones if it is
    /// `worth` it, which is only asked if somebody waits. Call it after the places are visible to a
    /// sender that looks.
    #[inline]
    pub(crate) fn freed(&self, worth: impl FnOnce() -> bool) {
        // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `register`. Between the store of
        // `head` (or the close) and the looks below, also those of `worth`: of two readers that
        // free the same place, the second sees what the first did.
        atomic::fence(Ordering::SeqCst);
        // ORDER: Relaxed; the fence above makes the answer good enough.
        let waiters = self.waiters.load(Ordering::Relaxed);
        if waiters != NOBODY {
            self.wake(waiters, worth());
        }
    }

    #[cold]
    fn wake(&self, waiters: usize, worth: bool) {
        if waiters == PATIENT && !worth {
            return;
        }
        let woken = {
            let mut list = self.lock();
            let woken: Vec<_> = list.waiters.extract_if(.., |w| worth || !w.patient).collect();
            self.count(&list);
            woken
        };
        for waiter in woken {
            wake_caught(waiter.waker);
        }
    }

    /// A place among the waiters for somebody who relies on being woken. Given up when dropped.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        Waiting { space: self, key: None, patient: false }
    }

    /// The same for somebody who looks again by itself from time to time.
    pub(crate) fn waiting_patiently(&self) -> Waiting<'_> {
        Waiting { space: self, key: None, patient: true }
    }

    /// How many wait, for tests.
    #[cfg(test)]
    pub(crate) fn waiting_now(&self) -> usize {
        self.lock().waiters.len()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, list: &List) {
        let kind = |w: &Waiter| if w.patient { PATIENT } else { EAGER };
        let waiters = list.waiters.iter().map(kind).max().unwrap_or(NOBODY);
        // ORDER: Relaxed; the waiter's fence comes after it, and the lock orders the writers.
        self.waiters.store(waiters, Ordering::Relaxed);
    }
}

/// One waiter's registration.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    space: &'a Space,
    key: Option<u64>,
    patient: bool,
}

impl Waiting<'_> {
    /// Resolves when `ready` says so; looked at after every wake. Cancel safe.
    pub(crate) async fn wait(&mut self, mut ready: impl FnMut() -> bool) {
        poll_fn(|cx| self.poll(cx, &mut ready)).await;
    }

    /// Ready if `ready` says so; else `cx` is woken when places were freed after this call's last
    /// look: any, or enough of them if it is patient.
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
            let found = self.key.and_then(|key| list.waiters.iter().position(|w| w.key == key));
            let old = match found {
                Some(at) => Some(std::mem::replace(&mut list.waiters[at].waker, fresh)),
                None => {
                    let key = list.next;
                    list.next += 1;
                    list.waiters.push(Waiter { key, patient: self.patient, waker: fresh });
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
            let at = list.waiters.iter().position(|w| w.key == key);
            let gone = at.map(|at| list.waiters.swap_remove(at));
            self.space.count(&list);
            gone
        };
        drop(gone);
    }
}
