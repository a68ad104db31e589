//! Bugs planted in the consumer to prove that its tests can find them. Outside of tests `planted`
//! is constantly false; it must never decide anything else. The tests are the journal's, because
//! they need its simulated disk: `journal/tests/consumers.rs`.
#![forbid(unsafe_code)]

/// A step that is left out, or taken too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An event counts as dealt with when it is handed out.
    AcknowledgedBeforeSuccess,
    /// What is stored may be ahead of what the journal has after a power cut.
    AheadOfJournal,
    /// Events that the pattern does not admit leave the position where it is.
    FilterHolds,
}

#[cfg(not(test))]
#[inline(always)]
pub(super) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(all(test, feature = "jsonl", unix))]
pub(crate) use planting::plant;
#[cfg(test)]
pub(super) use planting::planted;

#[cfg(test)]
mod planting {
    use super::Bug;
    use std::cell::Cell;

    // A test pulls its consumer on its own thread, so others that run meanwhile have no bugs.
    std::thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub(crate) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(in super::super) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    #[test]
    fn a_bug_is_planted_on_one_thread_alone() {
        plant(Some(Bug::FilterHolds));
        assert!(planted(Bug::FilterHolds) && !planted(Bug::AheadOfJournal));
        let elsewhere = std::thread::spawn(|| planted(Bug::FilterHolds));
        assert!(!elsewhere.join().expect("no panic"));
    }
}
