//! Faults planted in the ring to prove that the models can find them.
//!
//! Called by `block`, `cell`, `log` and `writer` at the few places whose removal a model must notice. Outside of
//! a model `planted` is constantly false; it must never decide anything else.
#![forbid(unsafe_code)]

/// A step of the protocol that a model leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A block that was seen empty goes to the limbo without the CAS that only one can win.
    RecycleWithoutCas,
    /// A publisher does not say which block it writes into.
    SilentWriter,
    /// A claim carries nothing to later claims.
    RelaxedClaim,
    /// A cell speaks for its block only, not for the next one, which a batch may reach into.
    NameOneBlock,
    /// The limit is compared with the first position of a batch, not with its end.
    LimitWithoutBatch,
    /// A publisher trusts the limit that it remembers, whoever has registered since.
    OldLimit,
    /// A reader that was overrun goes on where it is safest, whatever others have not read.
    PastUnread,
    /// A reader that counted itself in does not look at the directory again.
    EnterWithoutLook,
}

#[cfg(not(all(test, ringpost_loom)))]
#[inline(always)]
pub(super) const fn planted(_fault: Fault) -> bool {
    false
}

#[cfg(all(test, ringpost_loom))]
pub(super) use planting::{plant, planted};

#[cfg(all(test, ringpost_loom))]
mod planting {
    use super::Fault;
    use std::cell::Cell;

    // The standard one on purpose: all threads of a model run on the test's own thread.
    std::thread_local!(static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) });

    pub(in super::super) fn plant(fault: Fault) {
        PLANTED.set(Some(fault));
    }

    pub(in super::super) fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
