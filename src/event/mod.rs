//! `event`: not written yet.
