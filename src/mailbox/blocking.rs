//! Waiting on a thread of one's own, with a deadline.
//!
//! Used by the blocking calls of `Mailbox` and `Addr`, and by the bus for a publish that waits.
//! Never call it from a task: it puts the thread to sleep.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, thread};

use super::{Addr, Mailbox, OfferError, Offered, RecvError};

/// Wakes one thread.
struct Bed {
    thread: Thread,
    /// Set by a wake: a future that wakes itself yields, it does not sleep.
    woken: AtomicBool,
}

impl Wake for Bed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDER(bed): Release; pairs with ORDER(bed) in `block_on`. Carries what the future is
        // woken for.
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    static BED: Arc<Bed> =
        Arc::new(Bed { thread: thread::current(), woken: AtomicBool::new(false) });
}

/// Runs `future` on this thread until it is ready, or `None` when `deadline` has passed.
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let bed = BED.with(Arc::clone);
    let waker = Waker::from(Arc::clone(&bed));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        // ORDER(bed): Acquire; pairs with ORDER(bed) in `wake_by_ref`.
        if bed.woken.swap(false, Ordering::Acquire) {
            thread::yield_now();
            continue;
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
            },
        }
        // ORDER: Relaxed; the poll that follows looks for itself.
        bed.woken.store(false, Ordering::Relaxed);
    }
}

impl<T> Mailbox<T> {
    /// The next message; waits for it on this thread, as the mailbox's [`Wait`](crate::Wait)
    /// says.
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// When the mailbox is closed and empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use ringpost::{Mailbox, Overflow, RecvError};
    ///
    /// let (addr, mut mailbox) = Mailbox::new(16, Overflow::block());
    /// let sender = std::thread::spawn(move || (0..100).try_for_each(|n| {
    ///     addr.send_blocking(n, std::time::Duration::from_secs(10)).map(drop)
    /// }));
    /// for expected in 0..100 {
    ///     assert_eq!(mailbox.recv_blocking(), Ok(expected));
    /// }
    /// assert_eq!(mailbox.recv_blocking(), Err(RecvError::Closed));
    /// # sender.join().unwrap().unwrap();
    /// ```
    pub fn recv_blocking(&mut self) -> Result<T, RecvError> {
        block_on(self.recv(), None).expect("without a deadline there is no giving up")
    }

    /// The next message, or `None` when `timeout` has passed without one.
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// When the mailbox is closed and empty.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<T>, RecvError> {
        // A timeout beyond the clock's range is none.
        block_on(self.recv(), Instant::now().checked_add(timeout)).transpose()
    }
}

impl<T> Addr<T> {
    /// Puts `message` in, and waits for room for at most `timeout` on this thread if the mailbox's
    /// policy is [`Overflow::Block`](crate::Overflow::Block); with any other policy this is
    /// [`offer`](Self::offer).
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer); with `Block`, [`OfferError::Full`] when the time is over.
    pub fn send_blocking(&self, message: T, timeout: Duration) -> Result<Offered, OfferError<T>> {
        let mut message = match self.offer(message) {
            Err(OfferError::Full(message)) if self.overflow().waits() => message,
            done => return done,
        };
        // A timeout beyond the clock's range is none.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let room = block_on(self.space().wait(|| self.has_room(1)), deadline);
            message = match self.offer(message) {
                Err(OfferError::Full(message)) if room.is_some() => message,
                done => return done,
            };
        }
    }
}
