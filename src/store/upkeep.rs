//! What a store does on its own with what it has: removing what need not be kept, compressing.
//!
//! Noted by the store's own thread, read by whoever asks; never waited for.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use super::StoreError;
use crate::Sequence;

/// A view of that work: cheap to clone, and true at any time.
#[derive(Clone, Debug, Default)]
pub struct Upkeep(Option<Arc<Mutex<Noted>>>);

#[derive(Clone, Debug, Default)]
struct Noted {
    stats: UpkeepStats,
    /// How far segments are sealed, as was told; and how far that was looked at.
    told: u64,
    seen: u64,
}

/// What was done so far, since the store was opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpkeepStats {
    /// Segments that were removed because they need not be kept.
    pub removed_segments: u64,
    /// Their bytes on the disk.
    pub removed_bytes: u64,
    /// The last sequence that was removed with them: nothing up to here is there any more.
    pub removed_to: Option<Sequence>,
    /// Whether a named consumer needs what would be removed otherwise, or its checkpoint cannot
    /// be read.
    pub held: bool,
    /// Segments that were compressed.
    pub compressed_segments: u64,
    /// Their bytes before.
    pub compressed_from: u64,
    /// Their bytes since.
    pub compressed_to: u64,
    /// Sealed segments that are still to be looked at, or compressed.
    pub waiting: u64,
    /// What failed. It is tried again, with growing pauses; the store goes on meanwhile.
    pub failures: u64,
    /// The last failure, as long as nothing succeeded after it.
    pub failing: Option<StoreError>,
}

impl Upkeep {
    /// What was done so far; nothing for a store that does none.
    #[must_use]
    pub fn stats(&self) -> UpkeepStats {
        let Some(noted) = &self.0 else { return UpkeepStats::default() };
        let noted = noted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unseen = u64::from(noted.told > noted.seen);
        UpkeepStats { waiting: noted.stats.waiting.max(unseen), ..noted.stats }
    }
}

#[cfg(all(feature = "jsonl", unix))]
mod notes {
    use super::{Arc, Mutex, Noted, PoisonError, Sequence, StoreError, Upkeep, UpkeepStats};

    impl Upkeep {
        pub(crate) fn begun() -> Self {
            Self(Some(Arc::<Mutex<Noted>>::default()))
        }

        fn note(&self, note: impl FnOnce(&mut UpkeepStats)) {
            if let Some(noted) = &self.0 {
                note(&mut noted.lock().unwrap_or_else(PoisonError::into_inner).stats);
            }
        }

        pub(crate) fn removed(&self, bytes: u64, last: Option<Sequence>) {
            self.note(|stats| {
                stats.removed_segments += 1;
                stats.removed_bytes += bytes;
                stats.removed_to = stats.removed_to.max(last);
            });
        }

        pub(crate) fn held(&self, held: bool) {
            self.note(|stats| stats.held = held);
        }

        pub(crate) fn compressed(&self, from: u64, to: u64) {
            self.note(|stats| {
                stats.compressed_segments += 1;
                stats.compressed_from += from;
                stats.compressed_to += to;
            });
        }

        pub(crate) fn told(&self, sealed_below: u64) {
            if let Some(noted) = &self.0 {
                noted.lock().unwrap_or_else(PoisonError::into_inner).told = sealed_below;
            }
        }

        /// So many are left to be compressed of those that were sealed by then.
        pub(crate) fn waiting(&self, segments: u64, sealed_below: u64) {
            if let Some(noted) = &self.0 {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.stats.waiting = segments;
                noted.seen = sealed_below;
            }
        }

        pub(crate) fn failed(&self, error: StoreError) {
            self.note(|stats| {
                stats.failures += 1;
                stats.failing = Some(error);
            });
        }

        pub(crate) fn worked(&self) {
            self.note(|stats| stats.failing = None);
        }
    }
}
