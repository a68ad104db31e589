//! How a consumer waits on systems that leave it to their user.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use crossbeam_utils::Backoff;

/// One consumer's way to wait, and what a publisher owes it after each message or batch.
pub trait Waiting: Clone + Send + Sync + Default + 'static {
    fn wait(&self, ready: impl FnMut() -> bool);
    fn ring(&self);
}

/// Spins for a short while, then yields to other threads, for ever: the least delay on a machine
/// with few cores, at the price of a core.
#[derive(Clone, Default)]
pub struct Yielding;

impl Waiting for Yielding {
    #[inline]
    fn wait(&self, mut ready: impl FnMut() -> bool) {
        let backoff = Backoff::new();
        while !ready() {
            backoff.snooze();
        }
    }

    #[inline]
    fn ring(&self) {}
}

/// What ringpost's receivers do: eight pauses, so that messages come in batches, one more look,
/// then sleep. Publishers pay for it as ringpost's do: a fence, a look, and the wake.
#[derive(Clone, Default)]
pub struct Parking(Arc<Bell>);

#[derive(Default)]
struct Bell {
    parked: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Waiting for Parking {
    #[inline]
    fn wait(&self, mut ready: impl FnMut() -> bool) {
        for _ in 0..8 {
            hint::spin_loop();
        }
        if ready() {
            return;
        }
        self.0.sleeper.get_or_init(thread::current);
        self.0.parked.swap(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if ready() {
            self.0.parked.store(false, Ordering::Relaxed);
            return;
        }
        while self.0.parked.load(Ordering::Acquire) {
            thread::park();
        }
    }

    #[inline]
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.0.parked.load(Ordering::Relaxed) && self.0.parked.swap(false, Ordering::AcqRel) {
            self.0.sleeper.get().expect("a sleeper names itself first").unpark();
        }
    }
}
