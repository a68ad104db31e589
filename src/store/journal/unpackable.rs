//! Stands in for `pack` where the feature `zstd` is off: nothing is compressed, and whoever asks
//! for it is told why.
#![forbid(unsafe_code)]

use std::io;

use super::storage::StoredFile;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn check(_: i32) -> Result<(), StoreError> {
    let attempt = "compress a journal, which takes ringpost's feature `zstd`";
    Err(StoreError::new(StoreErrorKind::Unsupported, attempt))
}

pub(super) fn write(
    _: &dyn StoredFile,
    _: &mut dyn StoredFile,
    _: i32,
    _: &dyn Fn() -> bool,
) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
