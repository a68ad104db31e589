//! Stands in for `compress` where the feature `zstd` is off: nothing is compressed, and whoever
//! asks for it is told why.
#![forbid(unsafe_code)]

use super::segment::SegmentNumber;
use super::storage::Storage;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn check(_: i32) -> Result<(), StoreError> {
    let attempt = "compress a journal, which takes ringpost's feature `zstd`";
    Err(StoreError::new(StoreErrorKind::Unsupported, attempt))
}

pub(super) fn compress(
    _: &dyn Storage,
    _: SegmentNumber,
    level: i32,
    _: &dyn Fn() -> bool,
) -> Result<Option<(u64, u64)>, StoreError> {
    check(level).map(|()| None)
}
