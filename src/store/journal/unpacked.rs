//! Stands in for `packed` where the feature `zstd` is off: compressed segments are refused.
#![forbid(unsafe_code)]

use std::io;

use super::storage::StoredFile;

pub(super) use self::open as open_anyhow;

pub(super) fn open(_: Box<dyn StoredFile>) -> io::Result<Box<dyn StoredFile>> {
    let told = "this build of ringpost lacks the feature `zstd`";
    Err(io::Error::new(io::ErrorKind::Unsupported, told))
}
