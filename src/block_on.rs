//! Runs one future on the calling thread, which sleeps while there is nothing to do.
//!
//! Used by the blocking calls of mailboxes and taps, by a publish that waits, and by actors with
//! a thread of their own. Whoever wants to spin first does so inside the future. Never call it
//! from a task: it puts the thread to sleep.
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `bed` | a wake of the thread | the thread, before and after it sleeps | what it is woken for |
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{park_until, thread, thread_local};

/// Wakes one thread.
#[derive(Debug)]
struct Bed {
    thread: thread::Thread,
    /// Set by wakers, cleared by the thread. `park` alone will not do: its token is shared with
    /// whatever else the future parks on.
    woken: AtomicBool,
}

impl Wake for Bed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDER(bed): Release; pairs with ORDER(bed) in `sleep`. Carries what the waker wrote
        // before; an RMW, so that of several wakers each one's writes arrive.
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// The thread's bed while nobody lies in it.
    #[expect(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
    static BED: Cell<Option<Arc<Bed>>> = Cell::new(None);
}

/// Runs `future` on this thread until it is ready, or `None` when `deadline` has passed, however
/// often it is woken for nothing.
///
/// May be called inside a future that this same function runs, as a handler does that publishes
/// and waits: then it has a bed of its own, or it would sleep through the outer future's wake.
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    // At the end of a thread its bed may be gone: a new one does as well.
    let bed = BED.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
        Arc::new(Bed { thread: thread::current(), woken: AtomicBool::new(false) })
    });
    let output = sleep(future, deadline, &bed);
    let _ = BED.try_with(|made| made.set(Some(bed)));
    output
}

fn sleep<F: Future>(future: F, deadline: Option<Instant>, bed: &Arc<Bed>) -> Option<F::Output> {
    let waker = Waker::from(Arc::clone(bed));
    let mut task = Context::from_waker(&waker);
    let mut future = pin!(future);
    // Wakes may come without end, from the future itself or from others, and mean nothing: what
    // was woken in time is polled once more, then the deadline counts.
    let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let mut last = false;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
            return Some(output);
        }
        if last {
            return None;
        }
        // ORDER(bed): Acquire; pairs with ORDER(bed) in `wake_by_ref`. Carries what the waker
        // wrote.
        if bed.woken.swap(false, Ordering::Acquire) {
            // A future that wakes itself yields, it does not sleep.
            thread::yield_now();
            last = late();
            continue;
        }
        loop {
            let in_time = park_until(deadline);
            // ORDER(bed): Acquire; as above.
            if bed.woken.swap(false, Ordering::Acquire) {
                last = late();
                break;
            }
            if !in_time {
                return None;
            }
        }
    }
}
