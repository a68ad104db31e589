//! Runs one future on the calling thread. For actors with a thread of their own; a worker must
//! never call it, because it blocks.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::thread::{self, Thread};

#[derive(Debug)]
struct Bell {
    /// Set by wakers, cleared by the thread. `park` alone will not do: its token is shared with
    /// whatever else the future parks on.
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDER(woken): Release; pairs with ORDER(woken) in `block_on`. Carries what the waker
        // wrote before; an RMW, so that of several wakers each one's writes arrive.
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

/// Polls `future` to its end on this thread, which parks while there is nothing to do. Who
/// wants to spin first does so inside the future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell { woken: AtomicBool::new(false), thread: thread::current() });
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // ORDER(woken): Acquire; pairs with ORDER(woken) in `wake_by_ref`. Carries what the
        // waker wrote.
        while !bell.woken.swap(false, Acquire) {
            thread::park();
        }
    }
}
