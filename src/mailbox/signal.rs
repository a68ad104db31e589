//! The doorbell: wakes a receiver that sleeps, and costs a sender one load while it does not.
//!
//! Rung by senders and by the bus, slept on by mailboxes and by readers of the ring. It knows
//! neither: what is being waited for is the caller's business. It must never be rung while a
//! place is held, because a waker may run anything.
//!
//! The story of a sleep. The receiver leaves its waker, sets `parked`, passes a fence, and looks
//! once more at what it waits for; only if that look finds nothing it sleeps. A sender makes its
//! message readable, passes a fence, and then looks at `parked`. Whichever fence comes second
//! sees what was written before the first one (Dekker's argument), so either the receiver finds
//! the message or the sender finds it parked. Acquire and Release alone do not give this: the
//! models show a lost wake-up. One fence serves all the bells of a publish or of a batch.
//!
//! The waker lies behind a mutex. It is taken by a receiver that goes to sleep and by the one
//! sender that wakes it (the swap picks one), never by a sender that finds the receiver awake;
//! next to a sleep and a wake it costs nothing, and no foreign code runs under it.
#![forbid(unsafe_code)]

use std::sync::PoisonError;
use std::task::Waker;

use crate::sync::Mutex;
use crate::sync::atomic::{self, AtomicU32, Ordering};

/// Stands between making messages readable and looking at the bells: once a publish or a batch.
#[inline]
pub(crate) fn fence() {
    // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `park` and in `Space`. Whoever comes
    // second sees what the first wrote before its fence.
    atomic::fence(Ordering::SeqCst);
}

/// One receiver's doorbell.
#[derive(Debug)]
pub(crate) struct Signal {
    /// 1 while the receiver sleeps or is about to. Set by the receiver, cleared by either side.
    parked: AtomicU32,
    /// The sleeper's waker. Left by the receiver, taken by the sender that cleared `parked`.
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { parked: AtomicU32::new(0), waker: Mutex::new(None) }
    }

    /// Whether the receiver sleeps. Worth something only after [`fence`].
    #[inline]
    pub(crate) fn is_parked(&self) -> bool {
        // ORDER: Relaxed; the fence before it makes the answer good enough, and `ring` looks
        // again with an RMW.
        self.parked.load(Ordering::Relaxed) != 0
    }

    /// Wakes the receiver if it sleeps. The caller has passed [`fence`] since it made readable
    /// what it rings for.
    #[inline]
    pub(crate) fn ring(&self) {
        if self.is_parked() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // ORDER(wake): AcqRel; pairs with ORDER(wake) in `park`. Carries the waker that was left
        // before; the swap makes sure that one sleep is woken once.
        if self.parked.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says whether the receiver shall sleep: `true` promises a wake of `waker` for whatever
    /// becomes readable after this call's last look by `ready`. A wake for nothing may come at
    /// any time.
    pub(crate) fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool {
        self.leave(waker);
        // ORDER(wake): Release; pairs with ORDER(wake) in `wake`. Carries the waker.
        self.parked.store(1, Ordering::Release);
        // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `fence`. Between the store above
        // and the look below.
        atomic::fence(Ordering::SeqCst);
        if ready() {
            // ORDER: Relaxed; a sender that still sees 1 wakes for nothing.
            self.parked.store(0, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Puts the waker down, unless an equal one is there.
    fn leave(&self, waker: &Waker) {
        let lock = || self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().as_ref().is_some_and(|left| left.will_wake(waker)) {
            return;
        }
        // Cloning and dropping a waker is foreign code: not under the lock.
        let fresh = waker.clone();
        let old = lock().replace(fresh);
        drop(old);
    }

    /// For a receiver that stops waiting without having been woken.
    #[inline]
    pub(crate) fn unpark(&self) {
        if self.is_parked() {
            self.forget();
        }
    }

    /// Takes the waker back, so that nobody keeps its task alive. For a receiver that goes.
    pub(crate) fn forget(&self) {
        // ORDER: Relaxed; a sender that still sees 1 wakes for nothing, or finds no waker.
        self.parked.store(0, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(waker);
    }
}
