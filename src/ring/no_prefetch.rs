//! Where there is no way to ask for memory before it is needed.
#![forbid(unsafe_code)]

/// Does nothing.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(_value: &T) {}

/// Nothing is asked for here.
#[inline(always)]
pub(super) fn for_writing<T>(_place: *const T) {}
