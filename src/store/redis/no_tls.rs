//! Without TLS nothing is needed for it.
#![forbid(unsafe_code)]

/// Does nothing.
pub(super) fn prepare() {}
