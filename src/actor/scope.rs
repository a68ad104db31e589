//! Whether this thread is inside a handler, and of which subscription.
//!
//! Publishing asks: inside a handler it never parks the thread, it never waits for the handler's
//! own mailbox, and what it publishes keeps `settle` waiting for another round. Entered once a
//! poll of a run loop, not once a message.
#![forbid(unsafe_code)]

use std::cell::Cell;

#[derive(Clone, Copy)]
struct Scope {
    /// The bus whose handler runs; 0 outside of handlers.
    bus: u64,
    /// The subscription that the handler belongs to.
    subscriber: u64,
    /// Messages published to that bus since the scope was entered or last asked.
    published: u64,
}

thread_local! {
    static SCOPE: Cell<Scope> = const { Cell::new(Scope { bus: 0, subscriber: 0, published: 0 }) };
}

/// Restores the outer scope when it is dropped. What was published inside and not asked for is
/// forgotten.
pub(crate) struct Entered(Scope);

/// Enters the scope of a handler of this subscription of the bus with this number, which is not 0.
#[inline]
pub(crate) fn enter(bus: u64, subscriber: u64) -> Entered {
    Entered(SCOPE.replace(Scope { bus, subscriber, published: 0 }))
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

/// Whether the calling thread runs a handler of this very subscription.
pub(crate) fn is_inside(bus: u64, subscriber: u64) -> bool {
    let scope = SCOPE.get();
    scope.bus == bus && scope.subscriber == subscriber
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
        let outer = enter(1, 7);
        note_published(1, 2);
        {
            let _inner = enter(2, 8);
            note_published(1, 5);
            note_published(2, 1);
            assert_eq!(take_published(), 1);
            assert_eq!(take_published(), 0);
            assert!(is_inside(2, 8) && !is_inside(1, 7));
        }
        assert!(inside());
        assert!(is_inside(1, 7) && !is_inside(1, 8));
        assert_eq!(take_published(), 2);
        drop(outer);
        assert!(!inside());
    }
}
