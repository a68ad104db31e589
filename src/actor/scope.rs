//! Whether this thread is inside a handler, and of which bus.
//!
//! Publishing asks: inside a handler it never parks the thread, and what it publishes keeps
//! `settle` waiting for another round. Entered once a poll of a run loop, not once a message.
#![forbid(unsafe_code)]

use std::cell::Cell;

#[derive(Clone, Copy)]
struct Scope {
    /// The bus whose handler runs; 0 outside of handlers.
    bus: u64,
    /// Messages published to that bus since the scope was entered or last asked.
    published: u64,
}

thread_local! {
    static SCOPE: Cell<Scope> = const { Cell::new(Scope { bus: 0, published: 0 }) };
}

/// Restores the outer scope when it is dropped.
pub(crate) struct Entered(Scope);

/// Enters the scope of a handler of the bus with this number, which is not 0.
#[inline]
pub(crate) fn enter(bus: u64) -> Entered {
    Entered(SCOPE.replace(Scope { bus, published: 0 }))
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        SCOPE.set(self.0);
    }
}

/// Whether the calling thread runs a handler of any bus.
#[inline]
pub(crate) fn inside() -> bool {
    SCOPE.get().bus != 0
}

/// Notes a publish of `n` messages to the bus with this number.
#[inline]
pub(crate) fn note_published(bus: u64, n: u64) {
    let scope = SCOPE.get();
    if scope.bus == bus {
        SCOPE.set(Scope { published: scope.published + n, ..scope });
    }
}

/// How much was published inside the current scope since this was last asked.
#[inline]
pub(crate) fn take_published() -> u64 {
    let scope = SCOPE.get();
    if scope.published != 0 {
        SCOPE.set(Scope { published: 0, ..scope });
    }
    scope.published
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_count_only_their_own_bus() {
        assert!(!inside());
        let outer = enter(1);
        note_published(1, 2);
        {
            let _inner = enter(2);
            note_published(1, 5);
            note_published(2, 1);
            assert_eq!(take_published(), 1);
            assert_eq!(take_published(), 0);
        }
        assert!(inside());
        assert_eq!(take_published(), 2);
        drop(outer);
        assert!(!inside());
    }
}
