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
//! Who puts in a message needs not even that one. To claim its place it has changed the tail, by an
//! RMW that is SeqCst, and its look at `parked` is SeqCst too; so are the receiver's `parked` and its
//! last look, at the tail. In the one order of these four, whoever comes second sees the first: the
//! receiver finds a place claimed and does not sleep, or the sender finds it parked. The claim comes
//! before the message, so the receiver may find a place that is not readable yet; then it looks
//! again after a yield, as long as it takes, like every receiver whose sender was suspended between claim and
//! commit. crossbeam-channel rests on the same argument. On x86-64 a SeqCst RMW is what a claim costs
//! anyway and the loads are plain: a publish to nobody went from 36 to
//! 29 ns without the fence (`benches/compare`, `--only call`).
//! Models know no SeqCst accesses: there a fence stands behind each claim (`sync::claim_fence`), as
//! one stands behind `parked` anyway, and what comes in between may still come late.
//!
//! The waker lies behind a mutex. It is taken by a receiver that goes to sleep and by the one
//! sender that wakes it (the swap picks one), never by a sender that finds the receiver awake;
//! next to a sleep and a wake it costs nothing, and no foreign code runs under it.
#![forbid(unsafe_code)]

use std::sync::PoisonError;
use std::task::Waker;

use crate::caught::caught;
use crate::sync::Mutex;
use crate::sync::atomic::{self, AtomicU32, Ordering};

/// Stands between a change that was no claim (a place given back, a close) and the looks at the bells.
#[inline]
pub(crate) fn fence() {
    // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `park` and in `Space`. Whoever comes
    // second sees what the first wrote before its fence.
    atomic::fence(Ordering::SeqCst);
}

/// What a receiver sleeps on, see [`Signal::park`].
pub(crate) trait Doorbell {
    /// Whether the receiver sleeps now.
    fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool;
}

impl Doorbell for Signal {
    #[inline]
    fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool {
        Signal::park(self, waker, ready) == Park::Asleep
    }
}

/// The receiver sleeps or is about to. Set by the receiver, cleared by either side.
const PARKED: u32 = 1;
/// Most likely the waker is still where the receiver left it: a sender that ends a sleep takes it along.
/// Only a hint, see `leave`.
const LEFT: u32 = 2;

/// One receiver's doorbell.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Signal {
    /// `PARKED`, `LEFT`, both or none.
    parked: AtomicU32,
    /// The sleeper's waker. Left by the receiver, taken by the sender that cleared `parked`.
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { parked: AtomicU32::new(0), waker: Mutex::new(None) }
    }

    /// Whether the receiver sleeps. Worth something only after a claim, or after [`fence`].
    #[inline]
    pub(crate) fn is_parked(&self) -> bool {
        // ORDER(bell): SeqCst; pairs with ORDER(bell) in `park`. After a claim, or after a fence: it
        // sees a receiver whose last look at the tail did not see the claim. `ring` looks again
        // with an RMW.
        self.parked.load(Ordering::SeqCst) & PARKED != 0
    }

    /// Wakes the receiver if it sleeps; whether this call did it. The caller has claimed the place
    /// that it rings for, or passed [`fence`] since it changed something else.
    #[inline]
    pub(crate) fn ring(&self) -> bool {
        self.is_parked() && self.wake()
    }

    #[cold]
    fn wake(&self) -> bool {
        // ORDER(wake): AcqRel; pairs with ORDER(wake) in `park`. Carries the waker that was left
        // before; the swap makes sure that one sleep is woken once.
        if self.parked.swap(0, Ordering::AcqRel) & PARKED == 0 {
            return false;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            wake_caught(waker);
        }
        true
    }

    /// Says whether the receiver shall sleep: [`Park::Asleep`] promises a wake of `waker` for
    /// whatever becomes readable after this call's last look by `ready`. A wake for nothing may
    /// come at any time.
    pub(crate) fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> Park {
        self.leave(waker);
        // ORDER(wake, bell): SeqCst; Release pairs with ORDER(wake) in `wake` and carries the waker;
        // the one order is for `is_parked`, and for the look at the tail below. As an RMW it also
        // has its place among the swaps in loom's model, which orders plain stores only by what
        // happens before what.
        self.parked.swap(PARKED | LEFT, Ordering::SeqCst);
        // ORDER(bell): SeqCst fence; pairs with ORDER(bell) in `fence`. Between the store above
        // and the look below.
        atomic::fence(Ordering::SeqCst);
        if ready() {
            return if self.clear() { Park::Revoked } else { Park::Rung };
        }
        Park::Asleep
    }

    /// For a receiver that slept elsewhere before this doorbell was made: it sleeps here from now
    /// on. Called before anybody else has the doorbell.
    pub(crate) fn begin_asleep(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
        // ORDER(wake): Release; pairs with ORDER(wake) in `wake`. Carries the waker.
        self.parked.swap(PARKED | LEFT, Ordering::Release);
    }

    /// Ends a sleep from the receiver's side; whether no sender did it before.
    fn clear(&self) -> bool {
        // ORDER: Relaxed; the receiver has nothing to learn from it. An RMW, so that one sleep is
        // ended once.
        self.parked.swap(LEFT, Ordering::Relaxed) & PARKED != 0
    }

    /// Puts the waker down, unless an equal one is there.
    fn leave(&self, waker: &Waker) {
        let lock = || self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // ORDER: Relaxed; only says which way is the shorter one. Both end with this waker in its place.
        let stays = self.parked.load(Ordering::Relaxed) & LEFT != 0;
        if stays && lock().as_ref().is_some_and(|left| left.will_wake(waker)) {
            return;
        }
        // Cloning and dropping a waker is foreign code: not under the lock.
        let fresh = waker.clone();
        let old = lock().replace(fresh);
        drop(old);
    }

    /// For a receiver that stops waiting without having been woken. Whether it was asleep until
    /// now.
    #[inline]
    pub(crate) fn unpark(&self) -> bool {
        self.is_parked() && self.forget()
    }

    /// Takes the waker back, so that nobody keeps its task alive. For a receiver that goes.
    /// Whether it was asleep until now.
    pub(crate) fn forget(&self) -> bool {
        let asleep = self.clear();
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(waker);
        asleep
    }
}

/// Wakes a task. A waker is foreign code: its panic ends here, for whoever rings has others to
/// wake, and an account to keep.
pub(super) fn wake_caught(waker: Waker) {
    caught(|| waker.wake());
}

/// What became of an attempt to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Park {
    /// The receiver sleeps until it is rung.
    Asleep,
    /// There was something; the receiver took its sleep back.
    Revoked,
    /// There was something, and a sender has ended the sleep already.
    Rung,
}
