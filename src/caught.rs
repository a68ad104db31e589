//! Foreign code that must not get past its caller: a message's Clone, a waker, a captured value's
//! Drop.
//!
//! What a panic brings with it is foreign as well, and its own Drop may panic in turn; so a payload is
//! never just dropped.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code; `None` if it panicked. (The panic hook has told of it.)
#[inline]
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let_go(payload);
            None
        }
    }
}

/// Drops what a panic brought with it.
#[cold]
pub(crate) fn let_go(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Whatever a payload of a payload does, it is not dropped.
        std::mem::forget(again);
    }
}
