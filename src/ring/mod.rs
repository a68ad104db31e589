//! `ring`: not written yet.

pub(crate) mod queue;
